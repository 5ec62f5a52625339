/* denoise.c: the median filter. Called by prepare.c. Owns a copy of the picture with an edge around it while
 * it works. Invariant: what is written never comes from what was written. */
#include "data/denoise.h"
#include "base/mem.h"

#include <string.h>

/* Leaves the lesser number in a and the greater in b, without a branch: whole vectors go through at once. */
static inline void order(uint8_t *a, uint8_t *b) {
    const uint8_t low = *a < *b ? *a : *b, high = *a < *b ? *b : *a;
    *a = low;
    *b = high;
}

/* The median of nine by 19 exchanges (J. Smith, Implementing median filters in XC4000E FPGAs, 1996). */
static inline uint8_t median(uint8_t p[9]) {
    static const uint8_t pairs[19][2] = {{1, 2}, {4, 5}, {7, 8}, {0, 1}, {3, 4}, {6, 7}, {1, 2},
                                         {4, 5}, {7, 8}, {0, 3}, {5, 8}, {4, 7}, {3, 6}, {1, 4},
                                         {2, 5}, {4, 7}, {4, 2}, {6, 4}, {4, 2}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) order(&p[pairs[i][0]], &p[pairs[i][1]]);
    return p[4];
}

/* One row of numbers; in points to its first one in the copy, whose rows are stride apart. */
static void filter_row(const uint8_t *in, size_t stride, size_t count, uint8_t *out) {
    for (size_t i = 0; i < count; i++) {
        const uint8_t *at = in + i;
        uint8_t nine[9] = {at[-(ptrdiff_t)stride - 3],
                           at[-(ptrdiff_t)stride],
                           at[-(ptrdiff_t)stride + 3],
                           at[-3],
                           at[0],
                           at[3],
                           at[(ptrdiff_t)stride - 3],
                           at[(ptrdiff_t)stride],
                           at[(ptrdiff_t)stride + 3]};
        out[i] = median(nine);
    }
}

mq_status mq_denoise_median(mq_err *err, uint32_t width, uint32_t height, uint8_t *rgb) {
    mq_status status = MQ_OK;
    const size_t row = (size_t)width * 3, stride = row + 6;
    uint8_t *copy = NULL;
    MQ_TRY(mq_calloc(err, (size_t)height + 2, stride, "a picture's filter", &copy));
    for (size_t y = 0; y < (size_t)height + 2; y++) {
        const size_t from = y == 0 ? 0 : y > height ? height - 1 : y - 1;
        uint8_t *line = copy + y * stride;
        memcpy(line + 3, rgb + from * row, row);
        memcpy(line, line + 3, 3);
        memcpy(line + 3 + row, line + row, 3);
    }
    for (size_t y = 0; y < height; y++) filter_row(copy + (y + 1) * stride + 3, stride, row, rgb + y * row);
cleanup:
    free(copy);
    return status;
}
