/* members.h: the members of a zip or tar, one after the other. */
#ifndef MQ_MEMBERS_H
#define MQ_MEMBERS_H

#include "base/status.h"

typedef struct {
    const char *path; /* of the archive, for messages; borrowed */
    int archive;      /* the archive, open for reading */
    int folder;       /* an empty folder */
    uint64_t most;    /* bytes that may be unpacked; more means a bomb */
    uint64_t room;    /* bytes that may be taken of the disk */
} mq_unpacking;

/* Unpacks all regular files, told by a byte on stdout each. What is no picture's archive is refused as a
 * whole, MQ_BAD_DATA: links, devices, encrypted and double members, names that lead elsewhere, more than a
 * million members or more bytes than may be. */
MQ_MUST_USE mq_status mq_unpack(mq_err *err, const mq_unpacking *u);

/* One byte on stdout, for each member and each 64 MB, so that nobody takes us for dead. */
MQ_MUST_USE mq_status mq_unpack_tell(mq_err *err);

#endif
