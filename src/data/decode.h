/* decode.h: what a decoder of one picture format offers to picture.c. Only src/data/decode_*.c, picture.c
 * and frame.c include this. */
#ifndef MQ_DECODE_H
#define MQ_DECODE_H

#include "data/picture.h"

typedef struct {
    const char *format;                               /* static */
    bool (*knows)(const uint8_t *bytes, size_t size); /* by the first bytes */
    mq_status (*probe)(mq_err *err, const mq_encoded *in, mq_picture_info *info);
    /* Leaves pixels empty on failure. */
    mq_status (*decode)(mq_err *err, const mq_encoded *in, const uint8_t background[3], mq_pixels *pixels);
    /* The same at 1, 2 or 4 eighths of its sides, rounded up; NULL: this format cannot. */
    mq_status (*decode_smaller)(mq_err *err, const mq_encoded *in, uint32_t eighths, mq_pixels *pixels);
    /* Header and pixels of what ends too early; leaves pixels empty on failure. NULL: this format cannot. */
    mq_status (*salvage)(mq_err *err, const mq_encoded *in, const uint8_t background[3],
                         mq_picture_info *info, mq_pixels *pixels);
} mq_decoder;

extern const mq_decoder mq_decoder_jpeg, mq_decoder_png, mq_decoder_webp, mq_decoder_foreign;

/* Refuses empty and too large pictures, with numbers. */
MQ_MUST_USE mq_status mq_picture_check(mq_err *err, const char *name, uint64_t width, uint64_t height);

/* The same, then memory for width x height x channels bytes in *memory, for free(). */
MQ_MUST_USE mq_status mq_picture_memory(mq_err *err, const char *name, uint32_t width, uint32_t height,
                                        size_t channels, uint8_t **memory);

/* Lays count RGBA pixels over background. rgb may be rgba: pixels are written behind where they are read.
 * With x = s a + d (255 - a) + 128 it is (128 x + x / 2) >> 15, the value of Pillow's alpha_composite. */
void mq_rgba_over(const uint8_t *rgba, size_t count, const uint8_t background[3], uint8_t *rgb);

#endif
