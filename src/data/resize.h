/* resize.h: the two bilinear resizes that networks were trained with. A part of a picture is resized by
 * passing its view: nothing outside the view is read, as if it had been cut out first. */
#ifndef MQ_RESIZE_H
#define MQ_RESIZE_H

#include "data/view.h"

/* Pillow's Image.resize(.., BILINEAR), byte for byte: out [height, width, 3]. Sides of at most MQ_SIDE_MAX,
 * none of them 0. Columns are always done before rows, as in Pillow up to version 12; Pillow 13 begins with
 * the rows where the height shrinks much more than the width, which changes some bytes by one grey level. */
MQ_MUST_USE mq_status mq_resize_pillow(mq_err *err, mq_view in, uint32_t width, uint32_t height,
                                       uint8_t *out);

/* The same of a part of the view, as Pillow's resize(.., box=part) does it: part is in eighths of a pixel,
 * not empty and inside the view, whose pixels around it are read no further than the filter reaches. */
MQ_MUST_USE mq_status mq_resize_pillow_part(mq_err *err, mq_view in, mq_box part, uint32_t width,
                                            uint32_t height, uint8_t *out);

/* TensorFlow's tf.image.resize(.., "bilinear"), not rounded: out [height, width, 3] in 0..255. */
MQ_MUST_USE mq_status mq_resize_tensorflow(mq_err *err, mq_view in, uint32_t width, uint32_t height,
                                           float *out);

#endif
