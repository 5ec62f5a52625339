/* prepare.h: the one function that makes a network's input from a picture, for
 * train, eval, predict and whatever follows: decode, turn, crop, resize, augment, range, flip. */
#ifndef MQ_PREPARE_H
#define MQ_PREPARE_H

#include "data/augment.h"

/* How training looks at a picture otherwise than evaluation. */
typedef struct {
    bool flip;                 /* mirrored */
    const mq_augment *augment; /* borrowed; NULL: nothing else. Its own flip is not looked at */
    mq_draw draw;              /* what augment draws for */
} mq_variant;

/* Makes out [imgsz, imgsz, 3] f32 from a picture. box is borrowed, NULL where there is none; it is cut at the
 * picture's edges, and one wholly outside is MQ_BAD_DATA. MQ_FIT_CROP cuts the middle square and resizes
 * that. variant is NULL where pictures are as they are. A flip mirrors the columns of the finished input,
 * padding included, so both flips hold the same numbers. A window that augmentation draws takes the place of
 * the cut, box and MQ_FIT_CROP's square included; changes of pixels are made to the square of 8-bit pixels
 * between resize and range (MQ_FILTER_TENSORFLOW's are rounded for it). What draws nothing gives the bytes
 * that NULL gives. */
MQ_MUST_USE mq_status mq_prepare(mq_err *err, const mq_recipe *recipe, const mq_encoded *in,
                                 const mq_box *box, const mq_variant *variant, float *out);

/* The same without flip from what the library's callers give: an encoded picture, or a raw frame, which has
 * no EXIF orientation. name is for messages; image is borrowed. */
MQ_MUST_USE mq_status mq_prepare_image(mq_err *err, const mq_recipe *recipe, const char *name,
                                       const mq_image *image, float *out);

/* The same from pixels that are already upright and cut; pixels is borrowed. */
MQ_MUST_USE mq_status mq_prepare_pixels(mq_err *err, const mq_recipe *recipe, const mq_pixels *pixels,
                                        bool flip, float *out);

/* The 8-bit square rgb [imgsz, imgsz, 3] that a network's input is made of, before denoise and range. Stored
 * without loss and prepared by the same recipe, without box, it gives the picture's own input. MQ_FIT_STRETCH
 * and MQ_FILTER_PILLOW only. */
MQ_MUST_USE mq_status mq_presize(mq_err *err, const mq_recipe *recipe, const mq_encoded *in,
                                 const mq_box *box, uint8_t *rgb);

/* Turns count pixels of a network's input back into RGB, to the nearest grey level. */
void mq_unprepare(const mq_recipe *recipe, const float *in, size_t count, uint8_t *rgb);

#endif
