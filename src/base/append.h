/* append.h: files that grow at their end by whole pieces: logs that must be readable while they are written
 * and after any crash. */
#ifndef MQ_APPEND_H
#define MQ_APPEND_H

#include "base/status.h"

typedef struct mq_appender mq_appender;

/* Opens path at its end; *appender is the caller's. fresh: it must not exist yet. A link and anything but a
 * regular file are MQ_CANNOT_CREATE, so that no file outside the folder is ever written to. */
MQ_MUST_USE mq_status mq_appender_open(mq_err *err, const char *path, bool fresh, mq_appender **appender);

/* Closes and sets NULL; NULL is fine. */
void mq_appender_free(mq_appender **appender);

uint64_t mq_appender_size(const mq_appender *appender);

/* Appends size bytes and hands them to the system: all of them or, when that fails, none. */
MQ_MUST_USE mq_status mq_appender_add(mq_err *err, mq_appender *appender, const void *data, size_t size);

/* Reads size bytes at offset. */
MQ_MUST_USE mq_status mq_appender_read(mq_err *err, const mq_appender *appender, void *data, size_t size,
                                       uint64_t offset);

/* Drops everything from byte size on. */
MQ_MUST_USE mq_status mq_appender_cut(mq_err *err, mq_appender *appender, uint64_t size);

#endif
