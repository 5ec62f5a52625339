/* encode.h: pixels become PNG or JPEG, for pictures that are not stored as they came. */
#ifndef MQ_ENCODE_H
#define MQ_ENCODE_H

#include "base/buf.h"
#include "data/view.h"

/* Puts a PNG of 8-bit RGB into out in place of what it held. */
MQ_MUST_USE mq_status mq_png_encode(mq_err *err, mq_view view, mq_buf *out);

enum { MQ_JPEG_QUALITY = 95 };

/* Puts a JPEG of that quality, its colours at full resolution, into out in place of what it held. Sides above
 * 65500 pixels: MQ_BAD_DATA. */
MQ_MUST_USE mq_status mq_jpeg_encode(mq_err *err, mq_view view, mq_buf *out);

#endif
