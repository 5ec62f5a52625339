/* archive.h: members of a zip file, read whole into memory. The only header that names libzip. */
#ifndef MQ_CONVERT_ARCHIVE_H
#define MQ_CONVERT_ARCHIVE_H

#include "base/buf.h"

typedef struct mq_archive mq_archive;

/* Opens a zip file and checks every member's name, kind and size; path is borrowed. */
MQ_MUST_USE mq_status mq_archive_open(mq_err *err, const char *path, mq_archive **archive);
void mq_archive_free(mq_archive **archive);

/* Appends a member to data (its limit is the largest size taken); *has is false where there is none. */
MQ_MUST_USE mq_status mq_archive_read(mq_err *err, mq_archive *archive, const char *name, mq_buf *data,
                                      bool *has);

#endif
