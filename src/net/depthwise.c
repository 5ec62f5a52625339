/* depthwise.c: the convolutions of depthwise.h. Called by programs. Owns nothing. The window of Xception (3x3
 * by steps of 1) slides along a row in tiles of a few pixels whose sums stay in registers, so that a number
 * is read once for each of its rows; every other window takes the plain loop. Invariant: pixels outside the
 * picture are never read, and count as zeros. */
#include "net/depthwise.h"

#include "net/simd.h"
#include "net/vec.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

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
                put_number(d->out, (y * w->out_w + x) * w->c + c, plain_sum(d, y, x, c, bf16), d->zero,
                           bf16 ? BF16 : F32);
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

/* A row by the plain loop: BLOCK channels at a time, so that the compiler finds vectors. */
static void plain_row(const mq_depthwise_row *r, number_format from, number_format to) {
    enum { BLOCK = 64 };
    for (size_t x = 0; x < r->w; x++)
        for (size_t first = 0; first < r->c; first += BLOCK) {
            const size_t count = least(r->c - first, BLOCK);
            float sums[BLOCK] = {0};
            if (r->zero) memcpy(sums, r->zero + first, count * sizeof *sums);
            for (size_t k = 0; k < SIDE * SIDE; k++) {
                const size_t column = x + k % SIDE - 1; /* wraps before the edge */
                const float *w = r->weights + (r->back ? SIDE * SIDE - 1 - k : k) * r->c + first;
                if (!r->rows[k / SIDE] || column >= r->w) continue;
                for (size_t c = 0; c < count; c++) {
                    const float a = number(r->rows[k / SIDE], column * r->c + first + c, from);
                    sums[c] += (r->relu && a < 0.0f ? 0.0f : a) * w[c];
                }
            }
            for (size_t c = 0; c < count; c++) put_number(r->out, x * r->c + first + c, sums[c], r->zero, to);
        }
}

static void plain_row_f32_f32(const mq_depthwise_row *r) {
    plain_row(r, F32, F32);
}

static void plain_row_f32_bf16(const mq_depthwise_row *r) {
    plain_row(r, F32, BF16);
}

static void plain_row_bf16_bf16(const mq_depthwise_row *r) {
    plain_row(r, BF16, BF16);
}

#ifdef __x86_64__
/* All channels of a few pixels in a row. */
typedef struct {
    const uint8_t *rows[SIDE]; /* the source at the first pixel; NULL: outside */
    uint8_t *out;
    size_t pixel, out_pixel, channels; /* bytes from one pixel to the next */
    const float *weights, *zero;       /* of the window's first place; zero NULL: none */
    ptrdiff_t step;                    /* floats from one place of the window to the next */
    bool relu, first, last;            /* the tile begins, ends the row */
    bool ahead;                        /* pixels are too short for the processor to see what comes next */
} depth_tile;
typedef void (*depth_tile_fn)(const depth_tile *t);

#define UNROLLED _Pragma("GCC unroll 10")

/* A tile of COUNT pixels. Column j of the source meets the results of pixels j - 2, j - 1 and j. The last
 * vector reaches back over channels that are done already: to the same numbers. */
#define TILE(name, features, isa, from, to, COUNT)                                                           \
    WITH(features) static void name##_##COUNT(const depth_tile *t) {                                         \
        enum { LANES_OF = sizeof(VEC_##isa) / sizeof(float) };                                               \
        const VEC_##isa least = t->relu ? ZERO_##isa : SPREAD_##isa(-INFINITY);                              \
        for (size_t at = 0; at < t->channels; at += LANES_OF) {                                              \
            const size_t c = at + LANES_OF <= t->channels ? at : t->channels - LANES_OF;                     \
            VEC_##isa sums[COUNT];                                                                           \
            if (t->ahead && c * BYTES_##to % LINE == 0)                                                      \
                UNROLLED for (size_t x = COUNT; x < 2 * COUNT; x++) {                                        \
                    __builtin_prefetch(t->out + x * t->out_pixel + c * BYTES_##to, 1);                       \
                    if (t->rows[SIDE - 1])                                                                   \
                        __builtin_prefetch(t->rows[SIDE - 1] + (x + 1) * t->pixel + c * BYTES_##from);       \
                }                                                                                            \
            UNROLLED for (size_t x = 0; x < COUNT; x++) sums[x] = t->zero ? LOAD_##isa(t->zero + c)          \
                                                                          : ZERO_##isa;                      \
            for (size_t y = 0; y < SIDE; y++) {                                                              \
                if (!t->rows[y]) continue;                                                                   \
                const uint8_t *row = t->rows[y] + c * BYTES_##from;                                          \
                const float *w = t->weights + (ptrdiff_t)(y * SIDE) * t->step + c;                           \
                const VEC_##isa w0 = LOAD_##isa(w), w1 = LOAD_##isa(w + t->step),                            \
                                w2 = LOAD_##isa(w + 2 * t->step);                                            \
                UNROLLED for (size_t j = 0; j < COUNT + 2; j++) {                                            \
                    if ((j == 0 && t->first) || (j == COUNT + 1 && t->last)) continue;                       \
                    const VEC_##isa a = MAX_##isa(least, GET_##from##_##isa(row + j * t->pixel - t->pixel)); \
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
                    PUT_##to##_##isa(t->out + x * t->out_pixel + c * BYTES_##to, sums[x]);                   \
            }                                                                                                \
        }                                                                                                    \
    }
#define TILES(name, features, isa, from, to)                                                                 \
    UP_TO_8(TILE, name, features, isa, from, to)                                                             \
    static const depth_tile_fn name##_tiles[TILE_MAX] = {NAMES_UP_TO_8(name)};                               \
    static void name(const mq_depthwise_row *r) {                                                            \
        slide(r, name##_tiles, BYTES_##from, r->zero ? 1 : BYTES_##to);                                      \
    }

/* A row in tiles of nearly one size. */
static void slide(const mq_depthwise_row *r, const depth_tile_fn *set, size_t number, size_t out_number) {
    const size_t tiles = (r->w + TILE_MAX - 1) / TILE_MAX;
    depth_tile t = {.pixel = r->c * number,
                    .out_pixel = r->c * out_number,
                    .channels = r->c,
                    .weights = r->weights + (r->back ? (SIDE * SIDE - 1) * r->c : 0),
                    .zero = r->zero,
                    .step = r->back ? -(ptrdiff_t)r->c : (ptrdiff_t)r->c,
                    .relu = r->relu,
                    .ahead = r->c * number <= SHORT};
    for (size_t i = 0; i < tiles; i++) {
        const size_t x = r->w * i / tiles, end = r->w * (i + 1) / tiles;
        for (size_t k = 0; k < SIDE; k++)
            t.rows[k] = r->rows[k] ? (const uint8_t *)r->rows[k] + x * t.pixel : NULL;
        t.out = (uint8_t *)r->out + x * t.out_pixel;
        t.first = i == 0;
        t.last = i + 1 == tiles;
        set[end - x - 1](&t);
    }
}

TILES(row_f32_256, "avx2,fma", 256, f32, f32)
TILES(row_f32_512, "avx512f", 512, f32, f32)
TILES(row_bf16_512, "avx512f,avx512bw,avx512bf16", 512, bf16, bf16)
TILES(row_f32_bf16_512, "avx512f,avx512bw,avx512bf16", 512, f32, bf16)

/* The rows of a picture, one by one. */
static void slide_rows(const mq_depthwise *d, size_t from, size_t to, mq_depthwise_row_fn fn, size_t number) {
    const mq_window *w = &d->window;
    const size_t row = w->w * w->c * number, out = w->w * w->c * (d->zero ? 1 : number);
    for (size_t y = from; y < to; y++) {
        const uint8_t *a = (const uint8_t *)d->a + y * row;
        fn(&(mq_depthwise_row){.rows = {y ? a - row : NULL, a, y + 1 < w->h ? a + row : NULL},
                               .out = (uint8_t *)d->out + y * out,
                               .w = w->w,
                               .c = w->c,
                               .weights = d->weights,
                               .zero = d->zero,
                               .relu = d->relu});
    }
}

static void slide_f32_256(const mq_depthwise *d, size_t from, size_t to) {
    slide_rows(d, from, to, row_f32_256, sizeof(float));
}

static void slide_f32_512(const mq_depthwise *d, size_t from, size_t to) {
    slide_rows(d, from, to, row_f32_512, sizeof(float));
}

static void slide_bf16_512(const mq_depthwise *d, size_t from, size_t to) {
    slide_rows(d, from, to, row_bf16_512, sizeof(uint16_t));
}
#endif

bool mq_depthwise_slides(const mq_window *w) {
    return w->kernel == SIDE && w->stride == 1 && w->left == 1 && w->top == 1 && w->out_w == w->w &&
           w->out_h == w->h;
}

mq_depthwise_row_fn mq_depthwise_row_of(mq_dtype from, mq_dtype to, size_t channels) {
#ifdef __x86_64__
    const char *isa = mq_dnn_isa();
    const bool bf16 = to == MQ_BF16 && mq_dtype_auto() == MQ_BF16;
    if (channels >= WIDEST) {
        if (bf16) return from == MQ_BF16 ? row_bf16_512 : row_f32_bf16_512;
        if (to == MQ_F32 && strncmp(isa, "avx512", 6) == 0) return row_f32_512;
        if (to == MQ_F32 && strncmp(isa, "avx2", 4) == 0) return row_f32_256;
    }
#else
    (void)channels;
#endif
    return to == MQ_F32 ? plain_row_f32_f32 : from == MQ_F32 ? plain_row_f32_bf16 : plain_row_bf16_bf16;
}

mq_depthwise_fn mq_depthwise_of(mq_dtype dtype, const mq_window *w) {
#ifdef __x86_64__
    const char *isa = mq_dnn_isa();
    if (mq_depthwise_slides(w) && w->c >= WIDEST) {
        if (dtype == MQ_BF16 && mq_dtype_auto() == MQ_BF16) return slide_bf16_512;
        if (dtype == MQ_F32 && strncmp(isa, "avx512", 6) == 0) return slide_f32_512;
        if (dtype == MQ_F32 && strncmp(isa, "avx2", 4) == 0) return slide_f32_256;
    }
#else
    (void)w;
#endif
    return mq_depthwise_plain(dtype);
}
