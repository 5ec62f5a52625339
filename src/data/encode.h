/* encode.h: pixels become PNG or JPEG. */
#ifndef MQ_ENCODE_H
#define MQ_ENCODE_H

#include "base/buf.h"
#include "data/view.h"

/* Puts a PNG of 8-bit RGB into out in place of what it held. */
MQ_MUST_USE mq_status mq_png_encode(mq_err *err, mq_view view, mq_buf *out);

/* The same for JPEG of a quality from 1 to 100. */
MQ_MUST_USE mq_status mq_jpeg_encode(mq_err *err, mq_view view, int quality, mq_buf *out);

#endif
