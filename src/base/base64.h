/* base64.h: bytes as text (RFC 4648, section 4). */
#ifndef MQ_BASE64_H
#define MQ_BASE64_H

#include "base/buf.h"

/* Appends size bytes in base64, with padding and without line ends. */
MQ_MUST_USE mq_status mq_base64_add(mq_err *err, mq_buf *out, const uint8_t *data, size_t size);

#endif
