/* inflate.h: zlib and gzip streams of others, unpacked within bounds. */
#ifndef MQ_INFLATE_H
#define MQ_INFLATE_H

#include "base/buf.h"

enum { MQ_INFLATE_MAX = 64 << 20 /* bytes that all streams in one file may unpack to in memory */ };

/* Unpacks the zlib stream at packed to the end of out, whose limit is what is left of MQ_INFLATE_MAX; more,
 * cut or damaged: MQ_BAD_DATA. name is for messages. */
MQ_MUST_USE mq_status mq_inflate(mq_err *err, const char *name, const uint8_t *packed, size_t size,
                                 mq_buf *out);

typedef struct {
    const char *from, *to; /* files, the second a new one; borrowed */
    uint64_t most;         /* bytes it may grow to; more means a bomb */
    uint64_t room;         /* bytes that may be taken of the disk */
    mq_status (*go_on)(mq_err *err, void *user, uint64_t written); /* asked now and then */
    void *user;
} mq_inflate_plan;

/* Unpacks a file that is a gzip or zlib stream, or several in a row, into another one. Cut, damaged or too
 * large: MQ_BAD_DATA, with a sentence that names from. Of a failure nothing is left. */
MQ_MUST_USE mq_status mq_inflate_file(mq_err *err, const mq_inflate_plan *plan);

#endif
