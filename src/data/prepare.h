/* prepare.h: the one function that makes a network's input from a picture, for
 * train, eval, predict and whatever follows: decode, turn, crop, resize, range, flip. */
#ifndef MQ_PREPARE_H
#define MQ_PREPARE_H

#include "data/picture.h"

/* Makes out [imgsz, imgsz, 3] f32 from a picture. box is borrowed, NULL where there is none; it is cut at the
 * picture's edges, and one wholly outside is MQ_BAD_DATA. MQ_FIT_CROP cuts the middle square and resizes
 * that. A flip mirrors the columns of the finished input, padding included, so both flips hold the same
 * numbers. */
MQ_MUST_USE mq_status mq_prepare(mq_err *err, const mq_recipe *recipe, const mq_encoded *in,
                                 const mq_box *box, bool flip, float *out);

/* The same without flip from what the library's callers give: an encoded picture, or a raw frame, which has
 * no EXIF orientation. name is for messages; image is borrowed. */
MQ_MUST_USE mq_status mq_prepare_image(mq_err *err, const mq_recipe *recipe, const char *name,
                                       const mq_image *image, float *out);

/* The same from pixels that are already upright and cut; pixels is borrowed. */
MQ_MUST_USE mq_status mq_prepare_pixels(mq_err *err, const mq_recipe *recipe, const mq_pixels *pixels,
                                        bool flip, float *out);

#endif
