/* depthwise.c: the convolutions of depthwise.h. Called by programs. Owns nothing. The window of Xception (3x3
 * by steps of 1) slides along a row in tiles of a few pixels whose sums stay in registers, so that a number
 * is read once for each of its rows; a window of one pixel, with which a quantised convolution begins, scales
 * by the vector; every other window takes the plain loop. Invariant: pixels outside the picture are never
 * read, and count as zeros. */
#include "net/depthwise.h"

#include "net/simd.h"
#include "net/vec.h"

#include "base/mem.h"

#include <math.h>

enum { SIDE = MQ_DEPTHWISE_SIDE, TILE_MAX = 8, WIDEST = 16, LINE = 64, SHORT = 1024 };

static uint8_t byte_of(float value) {
    const float whole = nearbyintf(value);
    return whole >= 255.0f ? 255 : whole > 0.0f ? (uint8_t)whole : 0;
}

/* Rounded to where it goes: a byte, bf16 or f32. */
static void put_number(void *out, size_t at, float value, bool byte, number_format to) {
    if (byte)
        ((uint8_t *)out)[at] = byte_of(value);
    else if (to == F32)
        ((float *)out)[at] = value;
    else
        ((uint16_t *)out)[at] = half_of(value);
}

/* One number of the result: channel c at (y, x). */
static float plain_sum(const mq_depthwise *d, size_t y, size_t x, size_t c, bool bf16) {
    const mq_window *w = &d->window;
    float sum = d->zero ? d->zero[c] : 0.0f;
    for (size_t k = 0; k < w->kernel * w->kernel; k++) {
        const size_t row = y * w->stride + k / w->kernel - w->top; /* wraps outside */
        const size_t column = x * w->stride + k % w->kernel - w->left;
        if (row >= w->h || column >= w->w) continue;
        const size_t at = (row * w->w + column) * w->c + c;
        float value = number(d->a, at, bf16 ? BF16 : F32);
        if (d->relu && value < 0.0f) value = 0.0f;
        sum += value * d->weights[k * w->c + c];
    }
    return sum;
}

static void plain_rows(const mq_depthwise *d, size_t from, size_t to, bool bf16) {
    const mq_window *w = &d->window;
    for (size_t y = from; y < to; y++)
        for (size_t x = 0; x < w->out_w; x++)
            for (size_t c = 0; c < w->c; c++)
                put_number(d->out, ((y - from) * w->out_w + x) * w->c + c, plain_sum(d, y, x, c, bf16),
                           d->zero, bf16 ? BF16 : F32);
}

static void plain_f32(const mq_depthwise *d, size_t from, size_t to) {
    plain_rows(d, from, to, false);
}

static void plain_bf16(const mq_depthwise *d, size_t from, size_t to) {
    plain_rows(d, from, to, true);
}

mq_depthwise_fn mq_depthwise_plain(mq_dtype dtype) {
    return dtype == MQ_BF16 ? plain_bf16 : plain_f32;
}

#ifdef __x86_64__
/* All channels of a few pixels in a row. */
typedef struct {
    const uint8_t *rows[SIDE]; /* the source at the first pixel; NULL: outside */
    uint8_t *out;
    size_t pixel, out_pixel, channels; /* bytes from one pixel to the next */
    const float *weights, *zero;       /* of the window's first place; zero NULL: none */
    bool relu, first, last;            /* the tile begins, ends the row */
    bool ahead;                        /* pixels are too short for the processor to see what comes next */
} depth_tile;
typedef void (*depth_tile_fn)(const depth_tile *t);

#define UNROLLED _Pragma("GCC unroll 10")

/* A tile of COUNT pixels. Column j of the source meets the results of pixels j - 2, j - 1 and j. The last
 * vector reaches back over channels that are done already: to the same numbers. */
#define TILE(name, features, isa, format, COUNT)                                                             \
    WITH(features) static void name##_##COUNT(const depth_tile *t) {                                         \
        enum { LANES_OF = sizeof(VEC_##isa) / sizeof(float) };                                               \
        const VEC_##isa least = t->relu ? ZERO_##isa : SPREAD_##isa(-INFINITY);                              \
        for (size_t at = 0; at < t->channels; at += LANES_OF) {                                              \
            const size_t c = at + LANES_OF <= t->channels ? at : t->channels - LANES_OF;                     \
            VEC_##isa sums[COUNT];                                                                           \
            if (t->ahead && c * BYTES_##format % LINE == 0)                                                  \
                UNROLLED for (size_t x = COUNT; x < 2 * COUNT; x++) {                                        \
                    __builtin_prefetch(t->out + x * t->out_pixel + c * BYTES_##format, 1);                   \
                    if (t->rows[SIDE - 1])                                                                   \
                        __builtin_prefetch(t->rows[SIDE - 1] + (x + 1) * t->pixel + c * BYTES_##format);     \
                }                                                                                            \
            UNROLLED for (size_t x = 0; x < COUNT; x++) sums[x] = t->zero ? LOAD_##isa(t->zero + c)          \
                                                                          : ZERO_##isa;                      \
            for (size_t y = 0; y < SIDE; y++) {                                                              \
                if (!t->rows[y]) continue;                                                                   \
                const uint8_t *row = t->rows[y] + c * BYTES_##format;                                        \
                const float *w = t->weights + y * SIDE * t->channels + c;                                    \
                const VEC_##isa w0 = LOAD_##isa(w), w1 = LOAD_##isa(w + t->channels),                        \
                                w2 = LOAD_##isa(w + 2 * t->channels);                                        \
                UNROLLED for (size_t j = 0; j < COUNT + 2; j++) {                                            \
                    if ((j == 0 && t->first) || (j == COUNT + 1 && t->last)) continue;                       \
                    const VEC_##isa a = MAX_##isa(least,                                                     \
                                                  GET_##format##_##isa(row + j * t->pixel - t->pixel));      \
                    if (j < COUNT) sums[j < COUNT ? j : 0] = MADD_##isa(a, w0, sums[j < COUNT ? j : 0]);     \
                    if (j >= 1 && j <= COUNT)                                                                \
                        sums[j >= 1 ? j - 1 : 0] = MADD_##isa(a, w1, sums[j >= 1 ? j - 1 : 0]);              \
                    if (j >= 2) sums[j >= 2 ? j - 2 : 0] = MADD_##isa(a, w2, sums[j >= 2 ? j - 2 : 0]);      \
                }                                                                                            \
            }                                                                                                \
            UNROLLED for (size_t x = 0; x < COUNT; x++) {                                                    \
                if (t->zero)                                                                                 \
                    PUT_u8_##isa(t->out + x * t->out_pixel + c, sums[x]);                                    \
                else                                                                                         \
                    PUT_##format##_##isa(t->out + x * t->out_pixel + c * BYTES_##format, sums[x]);           \
            }                                                                                                \
        }                                                                                                    \
    }
/* The result's rows from `from` up to `to`. */
#define TILES(name, features, isa, format)                                                                   \
    UP_TO_8(TILE, name##_tile, features, isa, format)                                                        \
    static void name(const mq_depthwise *d, size_t from, size_t to) {                                        \
        static const depth_tile_fn tiles[TILE_MAX] = {NAMES_UP_TO_8(name##_tile)};                           \
        for (size_t y = from; y < to; y++) slide(d, y, y - from, tiles, BYTES_##format);                     \
    }

/* Row y in tiles of nearly one size, into row `at`; number: bytes of the source's. */
static void slide(const mq_depthwise *d, size_t y, size_t at, const depth_tile_fn *set, size_t number) {
    const mq_window *w = &d->window;
    const size_t tiles = mq_ceil_div(w->w, TILE_MAX), line = w->w * w->c * number;
    depth_tile t = {.pixel = w->c * number,
                    .out_pixel = w->c * (d->zero ? 1 : number),
                    .channels = w->c,
                    .weights = d->weights,
                    .zero = d->zero,
                    .relu = d->relu,
                    .ahead = w->c * number <= SHORT};
    const uint8_t *const row = (const uint8_t *)d->a + y * line;
    const uint8_t *const rows[SIDE] = {y ? row - line : NULL, row, y + 1 < w->h ? row + line : NULL};
    for (size_t i = 0; i < tiles; i++) {
        const size_t x = w->w * i / tiles, end = w->w * (i + 1) / tiles;
        for (size_t k = 0; k < SIDE; k++) t.rows[k] = rows[k] ? rows[k] + x * t.pixel : NULL;
        t.out = (uint8_t *)d->out + (at * w->w + x) * t.out_pixel;
        t.first = i == 0;
        t.last = i + 1 == tiles;
        set[end - x - 1](&t);
    }
}

/* A window of one pixel, by any step. */
#define SCALE(name, features, isa, format)                                                                   \
    WITH(features) static void name(const mq_depthwise *d, size_t from, size_t to) {                         \
        enum { LANES_OF = sizeof(VEC_##isa) / sizeof(float) };                                               \
        const mq_window *w = &d->window;                                                                     \
        const VEC_##isa least = d->relu ? ZERO_##isa : SPREAD_##isa(-INFINITY);                              \
        for (size_t pixel = from * w->out_w; pixel < to * w->out_w; pixel++) {                               \
            const size_t at = (pixel / w->out_w * w->w + pixel % w->out_w) * w->stride * w->c;               \
            const uint8_t *a = (const uint8_t *)d->a + at * BYTES_##format;                                  \
            uint8_t *out = (uint8_t *)d->out +                                                               \
                           (pixel - from * w->out_w) * w->c * (d->zero ? 1 : BYTES_##format);                \
            for (size_t i = 0; i < w->c; i += LANES_OF) {                                                    \
                const size_t c = i + LANES_OF <= w->c ? i : w->c - LANES_OF;                                 \
                const VEC_##isa x = MAX_##isa(least, GET_##format##_##isa(a + c * BYTES_##format));          \
                const VEC_##isa sum = MADD_##isa(x, LOAD_##isa(d->weights + c),                              \
                                                 d->zero ? LOAD_##isa(d->zero + c) : ZERO_##isa);            \
                if (d->zero)                                                                                 \
                    PUT_u8_##isa(out + c, sum);                                                              \
                else                                                                                         \
                    PUT_##format##_##isa(out + c * BYTES_##format, sum);                                     \
            }                                                                                                \
        }                                                                                                    \
    }

TILES(slide_f32_256, "avx2,fma", 256, f32)
TILES(slide_f32_512, "avx512f", 512, f32)
TILES(slide_bf16_512, "avx512f,avx512bw,avx512bf16", 512, bf16)
SCALE(scale_f32_256, "avx2,fma", 256, f32)
SCALE(scale_f32_512, "avx512f", 512, f32)
SCALE(scale_bf16_512, "avx512f,avx512bw,avx512bf16", 512, bf16)
#endif

bool mq_depthwise_slides(const mq_window *w) {
    return w->kernel == SIDE && w->stride == 1 && w->left == 1 && w->top == 1 && w->out_w == w->w &&
           w->out_h == w->h;
}

static bool scales(const mq_window *w) {
    return w->kernel == 1 && !w->top && !w->left;
}

mq_depthwise_fn mq_depthwise_of(mq_dtype dtype, const mq_window *w) {
#ifdef __x86_64__
    const mq_simd simd = mq_dnn_simd();
    const bool slide = mq_depthwise_slides(w);
    if ((slide || scales(w)) && w->c >= WIDEST) {
        if (dtype == MQ_BF16 && mq_dtype_auto() == MQ_BF16) return slide ? slide_bf16_512 : scale_bf16_512;
        if (dtype == MQ_F32 && simd == MQ_SIMD_AVX512) return slide ? slide_f32_512 : scale_f32_512;
        if (dtype == MQ_F32 && simd == MQ_SIMD_AVX2) return slide ? slide_f32_256 : scale_f32_256;
    }
#else
    (void)w;
#endif
    return mq_depthwise_plain(dtype);
}
