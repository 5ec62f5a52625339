/* denoise.h: the filter against noise that a recipe may ask for. */
#ifndef MQ_DENOISE_H
#define MQ_DENOISE_H

#include "base/status.h"

/* Replaces every number by the median of the nine around it in its channel (J. Tukey's median filter of 3 x
 * 3): single wild pixels vanish, edges stay. Beyond the edges the last pixels go on, as in Pillow's
 * MedianFilter(3), which this equals byte for byte. rgb [height, width, 3] is changed in place; sides of at
 * least 1. */
MQ_MUST_USE mq_status mq_denoise_median(mq_err *err, uint32_t width, uint32_t height, uint8_t *rgb);

#endif
