/* depthwise.c: the convolutions of depthwise.h. Called by programs. Owns nothing. The window of Xception (3x3
 * by steps of 1) slides along a row in tiles of a few pixels whose sums stay in registers, so that a number
 * is read once for each of its rows; every other window takes the plain loop. Invariant: pixels outside the
 * picture are never read, and count as zeros. */
#include "net/depthwise.h"

#include "net/vec.h"

#include <math.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

enum { SIDE = 3, TILE_MAX = 8 };

static uint8_t byte_of(float value) {
    const float whole = nearbyintf(value);
    return whole >= 255.0f ? 255 : whole > 0.0f ? (uint8_t)whole : 0;
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
            for (size_t c = 0; c < w->c; c++) {
                const size_t at = (y * w->out_w + x) * w->c + c;
                const float sum = plain_sum(d, y, x, c, bf16);
                if (d->zero)
                    ((uint8_t *)d->out)[at] = byte_of(sum);
                else if (bf16)
                    ((uint16_t *)d->out)[at] = half_of(sum);
                else
                    ((float *)d->out)[at] = sum;
            }
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
/* A vector of channels of a few pixels in a row. */
typedef struct {
    const uint8_t *rows[SIDE]; /* the source below the first pixel's result; NULL: outside */
    uint8_t *out;
    size_t pixel, out_pixel,
        channels;                /* bytes from one pixel to the next; floats from one weight to the next */
    const float *weights, *zero; /* zero NULL: none */
    bool relu, first, last;      /* the tile begins, ends the row */
} depth_tile;
typedef void (*depth_tile_fn)(const depth_tile *t);

#define WITH(features) __attribute__((target(features)))
#define UNROLLED _Pragma("GCC unroll 10")

/* A tile of COUNT pixels. Column j of the source meets the results of pixels j - 2, j - 1 and j. */
#define TILE(name, features, isa, format, COUNT)                                                             \
    WITH(features) static void name##_##COUNT(const depth_tile *t) {                                         \
        VEC_##isa sums[COUNT];                                                                               \
        const VEC_##isa least = t->relu ? ZERO_##isa : SPREAD_##isa(-INFINITY);                              \
        UNROLLED for (size_t x = 0; x < COUNT; x++) sums[x] = t->zero ? LOAD_##isa(t->zero) : ZERO_##isa;    \
        for (size_t y = 0; y < SIDE; y++) {                                                                  \
            if (!t->rows[y]) continue;                                                                       \
            const float *w = t->weights + y * SIDE * t->channels;                                            \
            const VEC_##isa w0 = LOAD_##isa(w), w1 = LOAD_##isa(w + t->channels),                            \
                            w2 = LOAD_##isa(w + 2 * t->channels);                                            \
            UNROLLED for (size_t j = 0; j < COUNT + 2; j++) {                                                \
                if ((j == 0 && t->first) || (j == COUNT + 1 && t->last)) continue;                           \
                const VEC_##isa a = MAX_##isa(least,                                                         \
                                              GET_##format##_##isa(t->rows[y] + j * t->pixel - t->pixel));   \
                if (j < COUNT) sums[j < COUNT ? j : 0] = MADD_##isa(a, w0, sums[j < COUNT ? j : 0]);         \
                if (j >= 1 && j <= COUNT)                                                                    \
                    sums[j >= 1 ? j - 1 : 0] = MADD_##isa(a, w1, sums[j >= 1 ? j - 1 : 0]);                  \
                if (j >= 2) sums[j >= 2 ? j - 2 : 0] = MADD_##isa(a, w2, sums[j >= 2 ? j - 2 : 0]);          \
            }                                                                                                \
        }                                                                                                    \
        UNROLLED for (size_t x = 0; x < COUNT; x++) {                                                        \
            if (t->zero)                                                                                     \
                PUT_u8_##isa(t->out + x * t->out_pixel, sums[x]);                                            \
            else                                                                                             \
                PUT_##format##_##isa(t->out + x * t->out_pixel, sums[x]);                                    \
        }                                                                                                    \
    }
#define TILES(name, features, isa, format)                                                                   \
    TILE(name, features, isa, format, 1)                                                                     \
    TILE(name, features, isa, format, 2)                                                                     \
    TILE(name, features, isa, format, 3)                                                                     \
    TILE(name, features, isa, format, 4)                                                                     \
    TILE(name, features, isa, format, 5)                                                                     \
    TILE(name, features, isa, format, 6)                                                                     \
    TILE(name, features, isa, format, 7)                                                                     \
    TILE(name, features, isa, format, 8)                                                                     \
    static const depth_tile_fn name##_tiles[TILE_MAX] = {name##_1, name##_2, name##_3, name##_4,             \
                                                         name##_5, name##_6, name##_7, name##_8};

#define VEC_256 __m256
#define ZERO_256 _mm256_setzero_ps()
#define SPREAD_256(f) _mm256_set1_ps(f)
#define LOAD_256(p) _mm256_loadu_ps(p)
#define MAX_256(a, b) _mm256_max_ps(a, b) /* b where one is not a number */
#define MADD_256(a, b, s) _mm256_fmadd_ps(a, b, s)
#define GET_f32_256(p) _mm256_loadu_ps((const float *)(const void *)(p))
#define PUT_f32_256(p, v) _mm256_storeu_ps((float *)(void *)(p), v)
#define PUT_u8_256(p, v) put_u8_256(p, v)
WITH("avx2") static void put_u8_256(uint8_t *p, __m256 v) {
    const __m256i whole = _mm256_cvtps_epi32(v);
    const __m128i packed = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storel_epi64((__m128i *)(void *)p, _mm_packus_epi16(packed, packed));
}
TILES(f32_256, "avx2,fma", 256, f32)

#define VEC_512 __m512
#define ZERO_512 _mm512_setzero_ps()
#define SPREAD_512(f) _mm512_set1_ps(f)
#define LOAD_512(p) _mm512_loadu_ps(p)
#define MAX_512(a, b) _mm512_max_ps(a, b)
#define MADD_512(a, b, s) _mm512_fmadd_ps(a, b, s)
#define GET_f32_512(p) _mm512_loadu_ps(p)
#define PUT_f32_512(p, v) _mm512_storeu_ps(p, v)
#define PUT_u8_512(p, v)                                                                                     \
    _mm_storeu_si128((void *)(p), _mm512_cvtusepi32_epi8(                                                    \
                                      _mm512_max_epi32(_mm512_cvtps_epi32(v), _mm512_setzero_si512())))
TILES(f32_512, "avx512f", 512, f32)

#define GET_bf16_512(p)                                                                                      \
    _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)(p))), 16))
#define PUT_bf16_512(p, v) _mm256_storeu_si256((void *)(p), (__m256i)_mm512_cvtneps_pbh(v))
TILES(bf16_512, "avx512f,avx512bw,avx512bf16", 512, bf16)

/* How an instruction set slides: its tiles, bytes of a source's number, channels of a vector. */
typedef struct {
    const depth_tile_fn *tiles;
    size_t number, lanes;
} slide_set;

/* One row of the result for a vector of channels from c on, in tiles of nearly one size. */
static void slide_row(const mq_depthwise *d, const slide_set *set, size_t y, size_t c) {
    const mq_window *w = &d->window;
    const size_t tiles = (w->w + TILE_MAX - 1) / TILE_MAX, out_number = d->zero ? 1 : set->number;
    depth_tile t = {.pixel = w->c * set->number,
                    .out_pixel = w->c * out_number,
                    .channels = w->c,
                    .weights = d->weights + c,
                    .zero = d->zero ? d->zero + c : NULL,
                    .relu = d->relu};
    for (size_t i = 0; i < tiles; i++) {
        const size_t x = w->w * i / tiles, end = w->w * (i + 1) / tiles;
        for (size_t k = 0; k < SIDE; k++) {
            const size_t row = y + k - w->top; /* wraps above the edge */
            t.rows[k] = row < w->h ? (const uint8_t *)d->a + ((row * w->w + x) * w->c + c) * set->number
                                   : NULL;
        }
        t.out = (uint8_t *)d->out + ((y * w->w + x) * w->c + c) * out_number;
        t.first = i == 0;
        t.last = i + 1 == tiles;
        set->tiles[end - x - 1](&t);
    }
}

/* The last vector of a row reaches back over channels that are done already: to the same numbers. */
static void slide(const mq_depthwise *d, const slide_set *set, size_t from, size_t to) {
    const size_t channels = d->window.c, lanes = set->lanes;
    for (size_t y = from; y < to; y++) {
        for (size_t c = 0; c + lanes <= channels; c += lanes) slide_row(d, set, y, c);
        if (channels % lanes) slide_row(d, set, y, channels - lanes);
    }
}

static void slide_f32_256(const mq_depthwise *d, size_t from, size_t to) {
    slide(d, &(slide_set){f32_256_tiles, 4, 8}, from, to);
}

static void slide_f32_512(const mq_depthwise *d, size_t from, size_t to) {
    slide(d, &(slide_set){f32_512_tiles, 4, 16}, from, to);
}

static void slide_bf16_512(const mq_depthwise *d, size_t from, size_t to) {
    slide(d, &(slide_set){bf16_512_tiles, 2, 16}, from, to);
}
#endif

mq_depthwise_fn mq_depthwise_of(mq_dtype dtype, const mq_window *w) {
#ifdef __x86_64__
    const char *isa = mq_dnn_isa();
    const bool slides = w->kernel == SIDE && w->stride == 1 && w->left == 1 && w->top == 1 &&
                        w->out_w == w->w && w->out_h == w->h;
    if (slides && w->c >= 16) {
        if (dtype == MQ_BF16 && mq_dtype_auto() == MQ_BF16) return slide_bf16_512;
        if (dtype == MQ_F32 && strncmp(isa, "avx512", 6) == 0) return slide_f32_512;
        if (dtype == MQ_F32 && strncmp(isa, "avx2", 4) == 0) return slide_f32_256;
    }
#else
    (void)w;
#endif
    return mq_depthwise_plain(dtype);
}
