/* frame.h: raw frames of a caller's memory (mq_image in marque.h) become pixels. */
#ifndef MQ_FRAME_H
#define MQ_FRAME_H

#include "data/picture.h"

/* Copies a frame to RGB, alpha laid over background, rows in order and without gaps. name is for messages. A
 * frame that would reach beyond its data, or of no size or format we know: MQ_USAGE. pixels is the caller's.
 */
MQ_MUST_USE mq_status mq_frame_pixels(mq_err *err, const char *name, const mq_image *frame,
                                      const uint8_t background[3], mq_pixels *pixels);

#endif
