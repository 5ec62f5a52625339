/* mapped.c: the passes of mapped.h. Called by trainable.c. Owns nothing. Row y of the map lies in slot y % 3
 * of the ring from when row y - 1 of the result is computed until row y + 1 has been. Invariant: pixels
 * outside the picture are never read, and count as zeros behind the map. */
#include "net/mapped.h"

#include "net/depthwise.h"
#include "net/simd.h"
#include "net/vec.h"

#include <string.h>

enum { SIDE = MQ_DEPTHWISE_SIDE, TILE_MAX = 8 };

/* A few pixels of a row of the result's gradient, and the rows of the map that its window saw. */
typedef struct {
    const float *rows[SIDE]; /* at the first pixel; NULL: outside */
    const uint8_t *gradient; /* at the first pixel */
    size_t count, channels;  /* pixels */
    bool first, last;        /* the tile begins, ends the row */
    float *weights;          /* [3, 3, channels], added to */
} weights_tile;
typedef void (*weights_fn)(const weights_tile *t);

/* The plain loop over channels from `from` on. */
static void plain_weights(const weights_tile *t, size_t from, number_format format) {
    for (size_t k = 0; k < SIDE * SIDE; k++) {
        if (!t->rows[k / SIDE]) continue;
        for (size_t x = 0; x < t->count; x++) {
            if ((t->first && x + k % SIDE == 0) || (t->last && x + k % SIDE == t->count + 1)) continue;
            const float *a = t->rows[k / SIDE] + (x + k % SIDE) * t->channels - t->channels;
            for (size_t c = from; c < t->channels; c++)
                t->weights[k * t->channels + c] += a[c] * number(t->gradient, x * t->channels + c, format);
        }
    }
}

#define UNROLLED _Pragma("GCC unroll 10")

/* Column j of the map met pixel j with the window's first place, pixel j - 1 with its second, j - 2 with its
 * third. A tile's sums are added to those of the tiles before it. */
#define WEIGHTS(name, features, isa, from, format, COUNT)                                                    \
    WITH(features) static void name##_##COUNT(const weights_tile *t) {                                       \
        enum { LANES_OF = sizeof(VEC_##isa) / sizeof(float) };                                               \
        size_t c = 0;                                                                                        \
        for (; c + LANES_OF <= t->channels; c += LANES_OF) {                                                 \
            VEC_##isa g[COUNT];                                                                              \
            UNROLLED for (size_t x = 0; x < COUNT; x++)                                                      \
                g[x] = GET_##from##_##isa(t->gradient + (x * t->channels + c) * BYTES_##from);               \
            for (size_t y = 0; y < SIDE; y++) {                                                              \
                if (!t->rows[y]) continue;                                                                   \
                const float *row = t->rows[y] + c;                                                           \
                VEC_##isa s0 = ZERO_##isa, s1 = ZERO_##isa, s2 = ZERO_##isa;                                 \
                UNROLLED for (size_t j = 0; j < COUNT + 2; j++) {                                            \
                    if ((j == 0 && t->first) || (j == COUNT + 1 && t->last)) continue;                       \
                    const VEC_##isa a = LOAD_##isa(row + j * t->channels - t->channels);                     \
                    if (j < COUNT) s0 = MADD_##isa(a, g[j < COUNT ? j : 0], s0);                             \
                    if (j >= 1 && j <= COUNT) s1 = MADD_##isa(a, g[j >= 1 && j <= COUNT ? j - 1 : 0], s1);   \
                    if (j >= 2) s2 = MADD_##isa(a, g[j >= 2 ? j - 2 : 0], s2);                               \
                }                                                                                            \
                float *to = t->weights + y * SIDE * t->channels + c;                                         \
                STORE_##isa(to, ADD_##isa(LOAD_##isa(to), s0));                                              \
                STORE_##isa(to + t->channels, ADD_##isa(LOAD_##isa(to + t->channels), s1));                  \
                STORE_##isa(to + 2 * t->channels, ADD_##isa(LOAD_##isa(to + 2 * t->channels), s2));          \
            }                                                                                                \
        }                                                                                                    \
        if (c < t->channels) plain_weights(t, c, format);                                                    \
    }
#define WEIGHTS_SET(name, features, isa, from, format)                                                       \
    UP_TO_8(WEIGHTS, name, features, isa, from, format)                                                      \
    static void name(const weights_tile *t) {                                                                \
        static const weights_fn tiles[TILE_MAX] = {NAMES_UP_TO_8(name)};                                     \
        tiles[t->count - 1](t);                                                                              \
    }

static void weights_f32(const weights_tile *t) {
    plain_weights(t, 0, F32);
}

static void weights_bf16(const weights_tile *t) {
    plain_weights(t, 0, BF16);
}

#ifdef __x86_64__
WEIGHTS_SET(weights_f32_256, "avx2,fma", 256, f32, F32)
WEIGHTS_SET(weights_f32_512, "avx512f", 512, f32, F32)
WEIGHTS_SET(weights_bf16_512, "avx512f,avx512bw,avx512bf16", 512, bf16, BF16)
#endif

static weights_fn weights_of(mq_dtype dtype) {
#ifdef __x86_64__
    const char *isa = mq_dnn_isa();
    if (dtype == MQ_BF16 && mq_dtype_auto() == MQ_BF16) return weights_bf16_512;
    if (dtype == MQ_F32 && strncmp(isa, "avx512", 6) == 0) return weights_f32_512;
    if (dtype == MQ_F32 && strncmp(isa, "avx2", 4) == 0) return weights_f32_256;
#endif
    return dtype == MQ_BF16 ? weights_bf16 : weights_f32;
}

/* A pass in work: which rows of the map are in the ring. */
typedef struct {
    const mq_mapped *m;
    const mq_rows_kernels *kernels;
    mq_depthwise_row_fn depthwise; /* of the map, or back of the gradient */
    size_t row;                    /* numbers */
    size_t number;                 /* bytes of a tensor's number */
    size_t ready;                  /* rows of the map that have been computed */
} ring_state;

static float *slot(const ring_state *s, size_t y) {
    return (float *)s->m->scratch + y % SIDE * s->row;
}

static ring_state begin(mq_dtype from, mq_dtype dtype, const mq_mapped *m) {
    return (ring_state){.m = m,
                        .kernels = mq_rows_kernels_of(dtype),
                        .depthwise = mq_depthwise_row_of(from, dtype, m->window.c),
                        .row = m->window.w * m->window.c,
                        .number = mq_dtype_size(dtype)};
}

/* Makes sure of the rows around row y: those below it are computed now. */
static void advance(ring_state *s, size_t y, const float *rows[SIDE]) {
    const mq_mapped *m = s->m;
    for (; s->ready < m->window.h && s->ready <= y + 1; s->ready++)
        s->kernels->to_f32(&(mq_rows){.pixels = m->window.w,
                                      .channels = m->window.c,
                                      .out = slot(s, s->ready),
                                      .a = (const uint8_t *)m->source + s->ready * s->row * s->number,
                                      .scale = m->scale,
                                      .shift = m->shift,
                                      .relu = m->relu});
    for (size_t k = 0; k < SIDE; k++) {
        const size_t at = y + k - 1; /* wraps above the edge */
        rows[k] = at < m->window.h ? slot(s, at) : NULL;
    }
}

size_t mq_mapped_scratch(const mq_window *window) {
    return (SIDE + 1) * window->w * window->c * sizeof(float);
}

void mq_mapped_forward(mq_dtype dtype, const mq_mapped *m, void *out) {
    ring_state s = begin(MQ_F32, dtype, m);
    for (size_t y = 0; y < m->window.h; y++) {
        const float *rows[SIDE];
        advance(&s, y, rows);
        s.depthwise(&(mq_depthwise_row){.rows = {rows[0], rows[1], rows[2]},
                                        .out = (uint8_t *)out + y * s.row * s.number,
                                        .w = m->window.w,
                                        .c = m->window.c,
                                        .weights = m->weights});
    }
}

/* Adds what row y of the result gives, in tiles of nearly one size. */
static void add_weights(const ring_state *s, const mq_mapped_back *back, size_t y, const float *const *rows,
                        weights_fn fn) {
    const size_t w = s->m->window.w, channels = s->m->window.c, tiles = (w + TILE_MAX - 1) / TILE_MAX;
    const uint8_t *gradient = (const uint8_t *)back->gradient + y * s->row * s->number;
    for (size_t i = 0; i < tiles; i++) {
        const size_t x = w * i / tiles, end = w * (i + 1) / tiles;
        weights_tile t = {.gradient = gradient + x * channels * s->number,
                          .count = end - x,
                          .channels = channels,
                          .first = i == 0,
                          .last = i + 1 == tiles,
                          .weights = back->weights};
        for (size_t k = 0; k < SIDE; k++) t.rows[k] = rows[k] ? rows[k] + x * channels : NULL;
        fn(&t);
    }
}

/* Row y of the map's gradient, and what becomes of it. */
static void back_row(const ring_state *s, const mq_mapped_back *back, size_t y) {
    const mq_mapped *m = s->m;
    const size_t stride = s->row * s->number;
    const uint8_t *at = (const uint8_t *)back->gradient + y * stride;
    mq_depthwise_row row = {.rows = {y ? at - stride : NULL, at, y + 1 < m->window.h ? at + stride : NULL},
                            .out = (float *)m->scratch + SIDE * s->row,
                            .w = m->window.w,
                            .c = m->window.c,
                            .weights = m->weights,
                            .back = true};
    mq_rows r = *back->below;
    s->depthwise(&row);
    r.pixels = m->window.w;
    r.a = row.out;
    r.b = (const uint8_t *)m->source + y * stride;
    r.old = r.old ? (const uint8_t *)r.old + y * stride : NULL;
    r.out = (uint8_t *)r.out + y * stride;
    s->kernels->grad(&r);
}

void mq_mapped_backward(mq_dtype dtype, const mq_mapped *m, const mq_mapped_back *back) {
    const size_t channels = m->window.c;
    const weights_fn weights = weights_of(dtype);
    ring_state s = begin(dtype, dtype, m);
    if (back->weights) memset(back->weights, 0, SIDE * SIDE * channels * sizeof *back->weights);
    if (back->below && back->below->sums) memset(back->below->sums, 0, 2 * channels * sizeof(double));
    for (size_t y = 0; y < m->window.h; y++) {
        const float *rows[SIDE];
        if (back->below) back_row(&s, back, y); /* reads the gradient's next row, in order */
        if (!back->weights) continue;
        advance(&s, y, rows);
        add_weights(&s, back, y, rows, weights);
    }
}
