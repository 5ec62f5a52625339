/* buf.c: the growing byte buffer. Called by every reader and writer of files.
 * Invariant: size <= limit, size < capacity, and data[size] is NUL once anything was added. */
#include "base/buf.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

mq_status mq_buf_reserve(mq_err *err, mq_buf *buf, size_t extra) {
    size_t wanted;
    if (!mq_add(buf->size, extra, &wanted) || wanted > buf->limit)
        return mq_fail(err, MQ_BAD_DATA, "more than %zu bytes where marque takes no more", buf->limit);
    if (wanted < buf->capacity) return MQ_OK;
    size_t bigger = buf->capacity > 32 ? buf->capacity : 32;
    while (bigger <= wanted) bigger = bigger > buf->limit / 2 ? buf->limit + 1 : bigger * 2;
    uint8_t *p = realloc(buf->data, bigger);
    if (!p) return mq_fail(err, MQ_NO_MEMORY, "no memory for a buffer of %zu bytes", bigger);
    buf->data = p;
    buf->capacity = bigger;
    return MQ_OK;
}

mq_status mq_buf_add(mq_err *err, mq_buf *buf, const void *data, size_t size) {
    const mq_status status = mq_buf_reserve(err, buf, size);
    if (status != MQ_OK) return status;
    if (size) memcpy(buf->data + buf->size, data, size);
    buf->size += size;
    buf->data[buf->size] = 0;
    return MQ_OK;
}

mq_status mq_buf_add_text(mq_err *err, mq_buf *buf, const char *text) {
    return mq_buf_add(err, buf, text, strlen(text));
}

mq_status mq_buf_printf(mq_err *err, mq_buf *buf, const char *format, ...) {
    char *text = NULL;
    va_list args;
    va_start(args, format);
    const int n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0) return mq_fail(err, MQ_NO_MEMORY, "no memory for a line of text");
    const mq_status status = mq_buf_add(err, buf, text, (size_t)n);
    free(text);
    return status;
}

void mq_buf_free(mq_buf *buf) {
    free(buf->data);
    *buf = mq_buf_init(buf->limit);
}
