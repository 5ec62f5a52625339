/* augment_noise.c: what cameras and files do to pictures: blur, noise, JPEG;
 * and erased rectangles. Called through the table of augment.c. Owns nothing.
 * Invariant: sums are of integers, so that they come out the same everywhere. */
#include "base/mem.h"
#include "data/augment_parts.h"
#include "data/encode.h"

#include <math.h>
#include <string.h>

enum {
    BLUR_BITS = 14,  /* of a weight of the blur */
    RADIUS_MAX = 30, /* pixels: 3 deviations of 10 */
    BLUR_BLOCK = 96, /* bytes whose sums stay in registers or L1 */
    NOISE_BITS = 12, /* of a place in the table of noise */
    NOISE_PLACES = 1 << NOISE_BITS,
    NOISE_SCALE = 12, /* bits behind the point of its numbers */
    JPEG_LIMIT = 64 << 20,
};

/* Pixel i of a row of n that goes on mirrored, the pixel at the edge once. */
static size_t mirrored(ptrdiff_t i, ptrdiff_t n) {
    if (n == 1) return 0;
    while (i < 0 || i >= n) i = i < 0 ? -i : 2 * (n - 1) - i;
    return (size_t)i;
}

/* Gauss' curve at -radius..radius, cut at 3 deviations, in units that sum to 1. Returns the radius. */
static int blur_weights(double deviation, int16_t weights[2 * RADIUS_MAX + 1]) {
    int radius = (int)ceil(3 * deviation);
    if (radius > RADIUS_MAX) radius = RADIUS_MAX;
    double curve[2 * RADIUS_MAX + 1], sum = 0;
    for (int i = -radius; i <= radius; i++)
        sum += curve[i + radius] = exp(-0.5 * i * i / (deviation * deviation));
    int rest = 1 << BLUR_BITS;
    for (int i = 0; i <= 2 * radius; i++) {
        weights[i] = (int16_t)lround(curve[i] / sum * (1 << BLUR_BITS));
        rest -= weights[i];
    }
    weights[radius] = (int16_t)(weights[radius] + rest);
    return radius;
}

/* A line of bytes from 2 radius + 1 others of the same length. */
static void weigh(const int16_t *weights, int radius, const uint8_t *const *lines, size_t bytes,
                  uint8_t *restrict out) {
    for (size_t start = 0; start < bytes; start += BLUR_BLOCK) {
        const size_t count = bytes - start < BLUR_BLOCK ? bytes - start : BLUR_BLOCK;
        int32_t sums[BLUR_BLOCK];
        for (size_t i = 0; i < count; i++) sums[i] = 1 << (BLUR_BITS - 1);
        for (int k = 0; k <= 2 * radius; k++) {
            const uint8_t *line = lines[k] + start;
            const int16_t weight = weights[k];
            for (size_t i = 0; i < count; i++) sums[i] += (int16_t)line[i] * weight;
        }
        for (size_t i = 0; i < count; i++) out[start + i] = (uint8_t)(sums[i] >> BLUR_BITS);
    }
}

/* Along columns into spare, then along rows, each with its ends mirrored, back. */
mq_status mq_apply_blur(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square) {
    (void)lane;
    mq_status status = MQ_OK;
    int16_t weights[2 * RADIUS_MAX + 1];
    const int radius = blur_weights(change->v[0], weights);
    const uint8_t *lines[2 * RADIUS_MAX + 1];
    const ptrdiff_t size = (ptrdiff_t)square->size, row = size * 3;
    uint8_t *wide = NULL; /* a row with radius more pixels on both sides */
    MQ_TRY(mq_calloc(err, (size_t)size + 2 * RADIUS_MAX, 3, "a row", &wide));
    for (ptrdiff_t y = 0; y < size; y++) {
        for (int k = -radius; k <= radius; k++)
            lines[k + radius] = square->rgb + mirrored(y + k, size) * (size_t)row;
        weigh(weights, radius, lines, (size_t)row, square->spare + y * row);
    }
    for (int k = 0; k <= 2 * radius; k++) lines[k] = wide + 3 * k;
    for (ptrdiff_t y = 0; y < size; y++) {
        const uint8_t *from = square->spare + y * row;
        memcpy(wide + 3 * radius, from, (size_t)row);
        for (int k = 1; k <= radius; k++) {
            memcpy(wide + 3 * (radius - k), from + 3 * mirrored(-k, size), 3);
            memcpy(wide + 3 * (radius + size - 1 + k), from + 3 * mirrored(size - 1 + k, size), 3);
        }
        weigh(weights, radius, lines, (size_t)row, square->rgb + y * row);
    }
cleanup:
    free(wide);
    return status;
}

/* c0 + c1 x + c2 x^2 + c3 x^3. */
static double cubic(const double c[4], double x) {
    return c[0] + x * (c[1] + x * (c[2] + x * c[3]));
}

/* Where the normal distribution has this share, 1e-4 to 0.5, below it. Algorithm AS 241 (PPND7): M. Wichura,
 * Applied Statistics 37, 1988. */
static double normal_quantile(double share) {
    static const double A[4] = {3.3871327179, 50.434271938, 159.29113202, 59.109374720},
                        B[4] = {1, 17.895169469, 78.757757664, 67.187563600},
                        C[4] = {1.4234372777, 2.7568153900, 1.3067284816, 0.17023821103},
                        D[4] = {1, 0.73700164250, 0.12021132975, 0};
    const double q = share - 0.5, middle = 0.180625 - q * q;
    if (middle >= 0) return q * cubic(A, middle) / cubic(B, middle);
    const double tail = sqrt(-log(share)) - 1.6;
    return -cubic(C, tail) / cubic(D, tail);
}

/* The normal distribution as its values at the middles of NOISE_PLACES equal shares. */
static void fill_noise(int16_t table[NOISE_PLACES]) {
    for (int i = 0; i < NOISE_PLACES / 2; i++) {
        const double value = normal_quantile((i + 0.5) / NOISE_PLACES);
        table[i] = (int16_t)lround(value * (1 << NOISE_SCALE));
        table[NOISE_PLACES - 1 - i] = (int16_t)-table[i];
    }
}

mq_status mq_apply_noise(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square) {
    mq_status status = MQ_OK;
    int16_t *table = NULL;
    const size_t bytes = (size_t)square->size * square->size * 3;
    const int64_t deviation = llround(change->v[0] * 256); /* 8 bits behind the point */
    const int shift = NOISE_SCALE + 8;
    MQ_TRY(mq_calloc(err, NOISE_PLACES, sizeof *table, "noise", &table));
    fill_noise(table);
    for (size_t i = 0; i < bytes;) {
        uint32_t words[4];
        mq_lane_words(lane, words);
        for (size_t k = 0; k < 8 && i < bytes; k++, i++) {
            const uint32_t half = words[k / 2] >> (k % 2 * 16) & 0xffff;
            const int64_t noise = table[half >> (16 - NOISE_BITS)] * deviation;
            const int64_t value = square->rgb[i] + ((noise + (1 << (shift - 1))) >> shift);
            square->rgb[i] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
        }
    }
cleanup:
    free(table);
    return status;
}

mq_status mq_apply_jpeg(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square) {
    (void)lane;
    mq_status status = MQ_OK;
    static const uint8_t black[3] = {0};
    const size_t row = (size_t)square->size * 3;
    mq_buf file = mq_buf_init(JPEG_LIMIT);
    mq_pixels pixels = {0};
    const mq_view view = {square->rgb, row, square->size, square->size};
    MQ_TRY(mq_jpeg_encode(err, view, (mq_jpeg_style){.quality = (int)change->v[0]}, &file));
    MQ_TRY(mq_picture_decode(err, "an augmented picture", file.data, file.size, black, &pixels));
    memcpy(square->rgb, pixels.rgb, row * square->size);
cleanup:
    mq_buf_free(&file);
    mq_pixels_free(&pixels);
    return status;
}

/* Noise of even distribution in place of the pixels. */
mq_status mq_apply_erase(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square) {
    (void)err;
    const size_t size = square->size;
    const size_t x = (size_t)lround(change->v[0] * (double)size),
                 w = (size_t)lround(change->v[2] * (double)size);
    const size_t y = (size_t)lround(change->v[1] * (double)size),
                 h = (size_t)lround(change->v[3] * (double)size);
    for (size_t line = y; line < y + h && line < size; line++) {
        uint8_t *out = square->rgb + (line * size + x) * 3;
        const size_t bytes = (x + w < size ? w : size - x) * 3;
        for (size_t i = 0; i < bytes; i += 16) {
            uint32_t words[4];
            mq_lane_words(lane, words);
            memcpy(out + i, words, bytes - i < 16 ? bytes - i : 16);
        }
    }
    return MQ_OK;
}
