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
static int blur_weights(double deviation, int32_t weights[2 * RADIUS_MAX + 1]) {
    int radius = (int)ceil(3 * deviation);
    if (radius > RADIUS_MAX) radius = RADIUS_MAX;
    double curve[2 * RADIUS_MAX + 1], sum = 0;
    for (int i = -radius; i <= radius; i++)
        sum += curve[i + radius] = exp(-0.5 * i * i / (deviation * deviation));
    int32_t rest = 1 << BLUR_BITS;
    for (int i = 0; i <= 2 * radius; i++)
        rest -= weights[i] = (int32_t)lround(curve[i] / sum * (1 << BLUR_BITS));
    weights[radius] += rest;
    return radius;
}

/* One pass along lines of count pixels, step bytes apart; the lines lie next apart. */
static void blur_pass(const int32_t *weights, int radius, const mq_square *square, bool rows) {
    const size_t size = square->size, step = rows ? 3 : size * 3, next = rows ? size * 3 : 3;
    size_t places[2 * RADIUS_MAX + 1];
    for (size_t i = 0; i < size; i++) {
        for (int k = -radius; k <= radius; k++)
            places[k + radius] = mirrored((ptrdiff_t)i + k, (ptrdiff_t)size) * step;
        for (size_t line = 0; line < size; line++) {
            const uint8_t *in = square->rgb + line * next;
            uint8_t *out = square->spare + line * next + i * step;
            int32_t sums[3] = {1 << (BLUR_BITS - 1), 1 << (BLUR_BITS - 1), 1 << (BLUR_BITS - 1)};
            for (int k = 0; k <= 2 * radius; k++)
                for (size_t c = 0; c < 3; c++) sums[c] += weights[k] * in[places[k] + c];
            for (size_t c = 0; c < 3; c++) out[c] = (uint8_t)(sums[c] >> BLUR_BITS);
        }
    }
}

mq_status mq_apply_blur(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square) {
    (void)err, (void)lane;
    int32_t weights[2 * RADIUS_MAX + 1];
    const int radius = blur_weights(change->v[0], weights);
    for (int pass = 0; pass < 2; pass++) {
        blur_pass(weights, radius, square, pass == 0);
        mq_square_swap(square);
    }
    return MQ_OK;
}

/* The normal distribution as its values at the middles of NOISE_PLACES equal shares: where
 * erfc(-x / sqrt 2) / 2 is the share, found by halving. */
static void fill_noise(int16_t table[NOISE_PLACES]) {
    for (int i = 0; i < NOISE_PLACES / 2; i++) {
        const double share = (i + 0.5) / NOISE_PLACES;
        double low = -8, high = 0;
        for (int round = 0; round < 24; round++) {
            const double middle = (low + high) / 2;
            if (erfc(-middle / sqrt(2)) / 2 < share)
                low = middle;
            else
                high = middle;
        }
        table[NOISE_PLACES - 1 - i] = (int16_t)lround(-low * (1 << NOISE_SCALE));
        table[i] = (int16_t)-table[NOISE_PLACES - 1 - i];
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
    MQ_TRY(mq_jpeg_encode(err, view, (int)change->v[0], &file));
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
