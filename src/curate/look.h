/* look.h: a picture as the network sees it (cut to its box, upright, stretched), in grey and of one size, so
 * that what is measured of pictures compares whatever their own size. */
#ifndef MQ_LOOK_H
#define MQ_LOOK_H

#include "data/dataset.h"

enum { MQ_LOOK_SIDE = 256, MQ_LOOK_PIXELS = MQ_LOOK_SIDE * MQ_LOOK_SIDE };

typedef struct {
    uint8_t luma[MQ_LOOK_PIXELS];     /* rows from the top; 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601) */
    float pixels[3 * MQ_LOOK_PIXELS]; /* scratch: the same in colour, 0 to 1 */
} mq_look;

/* Looks at a sample; recipe says whether boxes cut, and with which margin. A picture that cannot be decoded
 * is MQ_BAD_DATA. */
MQ_MUST_USE mq_status mq_look_at(mq_err *err, const mq_recipe *recipe, const mq_sample *sample,
                                 mq_look *look);

#endif
