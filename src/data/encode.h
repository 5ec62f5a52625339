/* encode.h: pixels become PNG or JPEG, for pictures that are not stored as they came and for those that are
 * shown. */
#ifndef MQ_ENCODE_H
#define MQ_ENCODE_H

#include "base/buf.h"
#include "data/view.h"

/* The most bytes that a PNG of that size takes. */
size_t mq_png_bound(uint32_t width, uint32_t height);

/* Puts a PNG of 8-bit RGB into out in place of what it held. */
MQ_MUST_USE mq_status mq_png_encode(mq_err *err, mq_view view, mq_buf *out);

/* How a JPEG is made: quality 1 to 100; colours at full resolution, or halved both ways as Pillow does. */
typedef struct {
    int quality;
    bool full_colour;
} mq_jpeg_style;

/* The same for JPEG. Sides above 65500 pixels: MQ_BAD_DATA. */
MQ_MUST_USE mq_status mq_jpeg_encode(mq_err *err, mq_view view, mq_jpeg_style style, mq_buf *out);

#endif
