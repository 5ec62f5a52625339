/* thin.h: the pixels of a picture that a stride sees, one of stride x stride. A 1x1 convolution with a stride
 * is one without over those. Where channels lie in blocks oneDNN's kernels reach a quarter to a half of the
 * processor's peak if the stride does not divide the sides, and three quarters on what is thinned. */
#ifndef MQ_THIN_H
#define MQ_THIN_H

#include <stddef.h>
#include <stdint.h>

/* One picture in planes: a plane is a block of channels, [h][w] pixels of so many bytes. */
typedef struct {
    size_t planes, h, w, pixel;
    size_t stride, out_h, out_w; /* out = (in - 1) / stride + 1 */
} mq_thin;

/* Bytes of the small picture, with those that fill its last cache line. */
size_t mq_thin_bytes(const mq_thin *t);

/* Work goes by rows of the small picture, planes * out_h of them: from `from` up to `to`; any thread. */
size_t mq_thin_rows(const mq_thin *t);

/* small [planes][out_h][out_w] = every stride'th pixel of large [planes][h][w]. */
void mq_thin_take(const mq_thin *t, size_t from, size_t to, const uint8_t *large, uint8_t *small);

/* large = small where mq_thin_take reads, else zero; every pixel is written. */
void mq_thin_spread(const mq_thin *t, size_t from, size_t to, const uint8_t *small, uint8_t *large);

/* count pixels of so many bytes, `from_step` bytes apart, to where they are `to_step` bytes apart. */
void mq_pixels_copy(uint8_t *to, size_t to_step, const uint8_t *from, size_t from_step, size_t bytes,
                    size_t count);

#endif
