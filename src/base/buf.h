/* buf.h: bytes that grow, up to a limit fixed at the start (after curl's dynbuf). */
#ifndef MQ_BUF_H
#define MQ_BUF_H

#include "base/status.h"

typedef struct {
    uint8_t *data;   /* owned; NUL stands behind the last byte, so that text can be read as a string */
    size_t size;     /* bytes used */
    size_t capacity; /* bytes held */
    size_t limit;    /* bytes it may grow to */
} mq_buf;

/* An empty buffer that may grow to limit bytes. Allocates nothing. */
static inline mq_buf mq_buf_init(size_t limit) {
    return (mq_buf){.limit = limit};
}

/* Makes room for extra more bytes behind size, without changing size. Over the limit: MQ_BAD_DATA. */
MQ_MUST_USE mq_status mq_buf_reserve(mq_err *err, mq_buf *buf, size_t extra);

/* Appends; data is borrowed. */
MQ_MUST_USE mq_status mq_buf_add(mq_err *err, mq_buf *buf, const void *data, size_t size);
MQ_MUST_USE mq_status mq_buf_add_text(mq_err *err, mq_buf *buf, const char *text);
MQ_MUST_USE mq_status mq_buf_printf(mq_err *err, mq_buf *buf, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Empties it but keeps the memory. */
static inline void mq_buf_clear(mq_buf *buf) {
    buf->size = 0;
    if (buf->data) buf->data[0] = 0;
}

/* Gives the memory back and leaves an empty buffer of the same limit. */
void mq_buf_free(mq_buf *buf);

#endif
