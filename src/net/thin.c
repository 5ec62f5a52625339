/* thin.c: copies pixels apart and back. Called by dnn_own.c, and for mq_pixels_copy
 * by outer_blocks.c and winograd.c. Owns nothing. Invariant: a row of the small
 * picture stands for stride rows of the large one, the last for those that are
 * left; so rows can go to any thread. */
#include "net/thin.h"

#include "base/mem.h"

#include <string.h>

#define COPY(bytes)                                                                                          \
    for (size_t i = 0; i < count; i++) memcpy(to + i * to_step, from + i * from_step, bytes)

/* The sizes of blocks, and of single numbers, are loops of their own: one move each instead of a call. */
void mq_pixels_copy(uint8_t *to, size_t to_step, const uint8_t *from, size_t from_step, size_t bytes,
                    size_t count) {
    switch (bytes) {
    case 2:
        COPY(2);
        break;
    case 4:
        COPY(4);
        break;
    case 32:
        COPY(32);
        break;
    case 64:
        COPY(64);
        break;
    default:
        COPY(bytes);
    }
}

size_t mq_thin_rows(const mq_thin *t) {
    return t->planes * t->out_h;
}

size_t mq_thin_bytes(const mq_thin *t) {
    return mq_round_up(mq_thin_rows(t) * t->out_w * t->pixel, MQ_ALIGNMENT);
}

void mq_thin_take(const mq_thin *t, size_t from, size_t to, const uint8_t *large, uint8_t *small) {
    const size_t large_row = t->w * t->pixel, small_row = t->out_w * t->pixel;
    for (size_t i = from; i < to; i++) {
        const size_t y = i / t->out_h * t->h + i % t->out_h * t->stride;
        mq_pixels_copy(small + i * small_row, t->pixel, large + y * large_row, t->stride * t->pixel, t->pixel,
                       t->out_w);
    }
}

void mq_thin_spread(const mq_thin *t, size_t from, size_t to, const uint8_t *small, uint8_t *large) {
    const size_t large_row = t->w * t->pixel, small_row = t->out_w * t->pixel;
    for (size_t i = from; i < to; i++) {
        const size_t row = i % t->out_h, y = row * t->stride, end = row + 1 < t->out_h ? y + t->stride : t->h;
        uint8_t *const at = large + (i / t->out_h * t->h + y) * large_row;
        memset(at, 0, (end - y) * large_row);
        mq_pixels_copy(at, t->stride * t->pixel, small + i * small_row, t->pixel, t->pixel, t->out_w);
    }
}
