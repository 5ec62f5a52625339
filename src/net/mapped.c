/* mapped.c: the passes of mapped.h. Called by trainable.c. Owns nothing.
 *
 * A picture is cut into strips of some columns and channels, and each strip is done from its first
 * row to its last: row y of the map, and of the gradient, lie in slots y % 3 of two rings that stay in the
 * first cache, with a pixel more on either side. Memory is read and written once. Invariant: pixels outside
 * the picture are never read, and count as zeros behind the map. */
#include "net/mapped.h"

#include "net/depthwise.h"
#include "net/simd.h"
#include "net/vec.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

/* RING floats hold a row of a strip and a pixel on either side: 150 columns of 8 channels, or 74 of 16. Two
 * rings take 29 kB. Sums of FEW pixels and what is left of their row are short enough for f32. */
enum { SIDE = MQ_DEPTHWISE_SIDE, TAPS = SIDE * SIDE, RING = 1216, WIDEST = 16, LINE = 64, FEW = 40 };

/* What a strip keeps, all in f32. What lies behind its channels is of no meaning. */
typedef struct {
    float map[SIDE][RING], gradient[SIDE][RING];     /* [slot][1 + columns + 1][block] */
    float weights[TAPS][WIDEST], sums[TAPS][WIDEST]; /* sums: the gradient of weights */
    float scale[WIDEST], shift[WIDEST], mean[WIDEST];
    float below[2][WIDEST]; /* of mq_rows: sums of some rows */
} strip_space;

/* How a strip's rows of a tensor go into a ring. */
typedef struct {
    size_t count, channels, pixel; /* pixels; bytes from one to the next */
    size_t ahead;                  /* bytes to the row behind it, which is fetched */
    const float *scale, *shift;
    float least; /* of the map */
} packing;
typedef void (*pack_fn)(const packing *p, const uint8_t *from, float *to);

/* A row of a strip: the rings' rows around it, from the pixel before the strip on, and tensors at the first
 * of its own. */
typedef struct {
    float *map[SIDE], *gradient[SIDE];
    size_t columns, channels, pixel, ahead;
    float (*weights)[WIDEST]; /* [TAPS]: of the convolution, or their gradient, which is added to */
    uint8_t *out;
    const uint8_t *source, *old; /* old NULL: none */
    float above;                 /* where the map lies above it a gradient passes; NaN: everywhere */
    const float *mean;           /* NULL: no sums are wanted */
    float (*sums)[WIDEST];       /* of out, and of out (source - mean): added to */
} strip_row;
typedef void (*row_fn)(const strip_row *r);

/* What one instruction set gives for a format of tensors. */
struct mq_mapped_kernels {
    size_t block, number; /* channels of a strip; bytes of a tensor's number */
    pack_fn widen, map;
    row_fn forward, below, weights;
};

#define UNROLLED _Pragma("GCC unroll 10")

/* Sums over the window of COUNT pixels from x on, of the weights by[0] to by[8] or back from there. Column j
 * of the ring meets the results of pixels j, j - 1 and j - 2. */
#define WINDOWS(isa, block, rows, by, back, x, c, COUNT)                                                     \
    VEC_##isa sums[COUNT];                                                                                   \
    UNROLLED for (size_t k = 0; k < COUNT; k++) sums[k] = ZERO_##isa;                                        \
    for (size_t y = 0; y < SIDE; y++) {                                                                      \
        const float *const line = (rows)[y] + (x)*block + (c);                                               \
        VEC_##isa w[SIDE];                                                                                   \
        UNROLLED for (size_t k = 0; k < SIDE; k++)                                                           \
            w[k] = LOAD_##isa((by)[back ? TAPS - 1 - y * SIDE - k : y * SIDE + k] + (c));                    \
        UNROLLED for (size_t j = 0; j < COUNT + 2; j++) {                                                    \
            const VEC_##isa a = LOAD_##isa(line + j * block);                                                \
            UNROLLED for (size_t k = 0; k < SIDE; k++) if (j >= k && j < COUNT + k)                          \
                sums[j >= k ? j - k : 0] = MADD_##isa(a, w[k], sums[j >= k ? j - k : 0]);                    \
        }                                                                                                    \
    }

#define FORWARD(isa, format, block, COUNT)                                                                   \
    {                                                                                                        \
        WINDOWS(isa, block, r->map, r->weights, false, x, c, COUNT)                                          \
        UNROLLED for (size_t k = 0; k < COUNT; k++) {                                                        \
            uint8_t *const out = r->out + (x + k) * pixel + c * BYTES_##format;                              \
            if (c * BYTES_##format % LINE == 0) __builtin_prefetch(out + r->ahead, 1);                       \
            PUT_SOME_##format##_##isa(out, sums[k], n);                                                      \
        }                                                                                                    \
    }

#define BELOW(isa, format, block, COUNT)                                                                     \
    {                                                                                                        \
        WINDOWS(isa, block, r->gradient, r->weights, true, x, c, COUNT)                                      \
        UNROLLED for (size_t k = 0; k < COUNT; k++) {                                                        \
            const size_t at = (x + k) * pixel + c * BYTES_##format;                                          \
            const VEC_##isa map = LOAD_##isa(r->map[1] + (x + k + 1) * block + c);                           \
            VEC_##isa g = PASS_##isa(map, above, sums[k]);                                                   \
            if (old) g = ADD_##isa(g, SOME_##format##_##isa(r->old + at, n));                                \
            g = ROUND_##format##_##isa(g); /* as the next pass will read it */                               \
            if (c * BYTES_##format % LINE == 0) __builtin_prefetch(r->out + at + r->ahead, 1);               \
            PUT_SOME_##format##_##isa(r->out + at, g, n);                                                    \
            if (!summed) continue;                                                                           \
            s0 = ADD_##isa(s0, g);                                                                           \
            s1 = MADD_##isa(g, SUB_##isa(SOME_##format##_##isa(r->source + at, n), mean), s1);               \
        }                                                                                                    \
    }

/* A row in tiles of 8 pixels, and what is left. */
#define TILES(TILE, isa, format, block)                                                                      \
    for (; x + 8 <= r->columns; x += 8) TILE(isa, format, block, 8)                                          \
    if (x + 4 <= r->columns) {                                                                               \
        TILE(isa, format, block, 4)                                                                          \
        x += 4;                                                                                              \
    }                                                                                                        \
    switch (r->columns - x) {                                                                                \
    case 3:                                                                                                  \
        TILE(isa, format, block, 3)                                                                          \
        break;                                                                                               \
    case 2:                                                                                                  \
        TILE(isa, format, block, 2)                                                                          \
        break;                                                                                               \
    case 1:                                                                                                  \
        TILE(isa, format, block, 1)                                                                          \
    }

/* In 16 registers what a turn has read must not be kept for the next one, or a sum is kept in memory. */
#define FORGET_any(x) (void)(x)
#define FORGET_256(x) __asm__("" : "+r"(x))
#define FORGET_512(x) (void)(x)

/* COUNT pixels' part in the gradient of weights. */
#define WEIGHTS(isa, block, COUNT)                                                                           \
    {                                                                                                        \
        FORGET_##isa(x);                                                                                     \
        VEC_##isa g[COUNT];                                                                                  \
        UNROLLED for (size_t k = 0; k < COUNT; k++) g[k] = LOAD_##isa(gradient + (x + k + 1) * block);       \
        UNROLLED for (size_t y = 0; y < SIDE; y++) UNROLLED for (size_t j = 0; j < COUNT + 2; j++) {         \
            const VEC_##isa a = LOAD_##isa(map[y] + (x + j) * block);                                        \
            UNROLLED for (size_t k = 0; k < SIDE; k++) if (j >= k && j < COUNT + k)                          \
                sums[y * SIDE + k] = MADD_##isa(a, g[j >= k ? j - k : 0], sums[y * SIDE + k]);               \
        }                                                                                                    \
    }

/* Vector k of each pixel into a row of a ring. */
#define PACK(isa, format, block, NUMBERS)                                                                    \
    for (size_t x = 0; x < p.count; x++, from += pixel, to += block)                                         \
        UNROLLED for (size_t k = 0; k < block / LANES_##isa; k++) {                                          \
            const size_t c = k * LANES_##isa;                                                                \
            if (c >= channels) break;                                                                        \
            if (c * BYTES_##format % LINE == 0) __builtin_prefetch(from + c * BYTES_##format + p.ahead);     \
            const VEC_##isa v = SOME_##format##_##isa(from + c * BYTES_##format, channels - c);              \
            STORE_##isa(to + c, NUMBERS);                                                                    \
        }

/* Whether a strip is a tensor of one block: then its channels and pixels are constants. */
#define FILLS(x, format, block) ((x)->channels == block && (x)->pixel == block * BYTES_##format)

/* Arguments are copied, as a store could change them as far as the compiler knows; flags are constants where
 * it costs time. The map is that of rows.h. */
#define KERNELS(name, features, isa, format, block)                                                          \
    features BODY void widen_body_##name(const packing *args, const uint8_t *from, float *to,                \
                                         size_t channels, size_t pixel) {                                    \
        const packing p = *args;                                                                             \
        PACK(isa, format, block, v)                                                                          \
    }                                                                                                        \
    features static void widen_##name(const packing *p, const uint8_t *from, float *to) {                    \
        if (FILLS(p, format, block))                                                                         \
            widen_body_##name(p, from, to, block, block *BYTES_##format);                                    \
        else                                                                                                 \
            widen_body_##name(p, from, to, p->channels, p->pixel);                                           \
    }                                                                                                        \
    features BODY void map_body_##name(const packing *args, const uint8_t *from, float *to, size_t channels, \
                                       size_t pixel) {                                                       \
        const packing p = *args;                                                                             \
        const VEC_##isa least = SPREAD_##isa(p.least);                                                       \
        VEC_##isa scale[block / LANES_##isa], shift[block / LANES_##isa];                                    \
        UNROLLED for (size_t k = 0; k < block / LANES_##isa; k++) {                                          \
            scale[k] = LOAD_##isa(p.scale + k * LANES_##isa);                                                \
            shift[k] = LOAD_##isa(p.shift + k * LANES_##isa);                                                \
        }                                                                                                    \
        PACK(isa, format, block, MAX_##isa(least, ADD_##isa(MUL_##isa(v, scale[k]), shift[k])))              \
    }                                                                                                        \
    features static void map_##name(const packing *p, const uint8_t *from, float *to) {                      \
        if (FILLS(p, format, block))                                                                         \
            map_body_##name(p, from, to, block, block *BYTES_##format);                                      \
        else                                                                                                 \
            map_body_##name(p, from, to, p->channels, p->pixel);                                             \
    }                                                                                                        \
    features BODY void forward_body_##name(const strip_row *row, size_t channels, size_t pixel) {            \
        const strip_row own = *row, *const r = &own;                                                         \
        for (size_t c = 0; c < channels; c += LANES_##isa) {                                                 \
            const size_t n = channels - c;                                                                   \
            size_t x = 0;                                                                                    \
            TILES(FORWARD, isa, format, block)                                                               \
        }                                                                                                    \
    }                                                                                                        \
    features static void forward_##name(const strip_row *r) {                                                \
        if (FILLS(r, format, block))                                                                         \
            forward_body_##name(r, block, block *BYTES_##format);                                            \
        else                                                                                                 \
            forward_body_##name(r, r->channels, r->pixel);                                                   \
    }                                                                                                        \
    features BODY void below_body_##name(const strip_row *row, size_t channels, size_t pixel, bool old,      \
                                         bool summed) {                                                      \
        const strip_row own = *row, *const r = &own;                                                         \
        const VEC_##isa above = SPREAD_##isa(r->above);                                                      \
        for (size_t c = 0; c < channels; c += LANES_##isa) {                                                 \
            const size_t n = channels - c;                                                                   \
            const VEC_##isa mean = summed ? LOAD_##isa(r->mean + c) : ZERO_##isa;                            \
            VEC_##isa s0 = LOAD_##isa(r->sums[0] + c), s1 = LOAD_##isa(r->sums[1] + c);                      \
            size_t x = 0;                                                                                    \
            TILES(BELOW, isa, format, block)                                                                 \
            STORE_##isa(r->sums[0] + c, s0);                                                                 \
            STORE_##isa(r->sums[1] + c, s1);                                                                 \
        }                                                                                                    \
    }                                                                                                        \
    features static void below_##name(const strip_row *r) {                                                  \
        if (FILLS(r, format, block) && !r->old && r->mean)                                                   \
            below_body_##name(r, block, block *BYTES_##format, false, true);                                 \
        else if (FILLS(r, format, block) && !r->mean)                                                        \
            below_body_##name(r, block, block *BYTES_##format, r->old, false);                               \
        else                                                                                                 \
            below_body_##name(r, r->channels, r->pixel, r->old, r->mean);                                    \
    }                                                                                                        \
    features static void weights_##name(const strip_row *row) {                                              \
        const strip_row own = *row, *const r = &own;                                                         \
        for (size_t c = 0; c < r->channels; c += LANES_##isa) {                                              \
            const float *const map[SIDE] = {r->map[0] + c, r->map[1] + c, r->map[2] + c};                    \
            const float *const gradient = r->gradient[1] + c;                                                \
            VEC_##isa sums[TAPS];                                                                            \
            UNROLLED for (size_t k = 0; k < TAPS; k++) sums[k] = LOAD_##isa(r->weights[k] + c);              \
            size_t x = 0;                                                                                    \
            for (; x + 2 <= r->columns; x += 2) WEIGHTS(isa, block, 2)                                       \
            for (; x < r->columns; x++) WEIGHTS(isa, block, 1)                                               \
            UNROLLED for (size_t k = 0; k < TAPS; k++) STORE_##isa(r->weights[k] + c, sums[k]);              \
        }                                                                                                    \
    }                                                                                                        \
    static const mq_mapped_kernels kernels_##name = {                                                        \
        block, BYTES_##format, widen_##name, map_##name, forward_##name, below_##name, weights_##name};

KERNELS(f32_any, , any, f32, 8)
KERNELS(bf16_any, , any, bf16, 8)
#ifdef __x86_64__
KERNELS(f32_256, WITH("avx2,fma"), 256, f32, 8)
KERNELS(f32_512, WITH("avx512f"), 512, f32, 16)
KERNELS(bf16_512, WITH("avx512f,avx512bw,avx512vl,avx512bf16"), 512, bf16, 16)
#endif

const mq_mapped_kernels *mq_mapped_kernels_of(mq_dtype dtype) {
#ifdef __x86_64__
    const mq_simd simd = mq_dnn_simd();
    if (dtype == MQ_BF16 && mq_dtype_auto() == MQ_BF16) return &kernels_bf16_512;
    if (dtype == MQ_F32 && simd == MQ_SIMD_AVX512) return &kernels_f32_512;
    if (dtype == MQ_F32 && simd == MQ_SIMD_AVX2) return &kernels_f32_256;
#endif
    return dtype == MQ_BF16 ? &kernels_bf16_any : &kernels_f32_any;
}

/* A strip in work. */
typedef struct {
    const mq_mapped *m;
    const mq_mapped_back *back; /* NULL: forward */
    const mq_mapped_kernels *kernels;
    strip_space *space;
    size_t x, columns;      /* its first, how many */
    size_t first, channels; /* the same */
    size_t line;            /* bytes of a row of a tensor */
    strip_row row;
    packing packing;
} strip;

/* Of the strip's first pixel in a tensor. */
static size_t offset(const strip *s) {
    return (s->x * s->m->window.c + s->first) * s->kernels->number;
}

/* Of a row of a ring that are used. */
static size_t ring_bytes(const strip *s) {
    return (s->columns + 2) * s->kernels->block * sizeof(float);
}

/* Row y into the last rows of the rings, with the pixels on either side of the strip that the picture has; a
 * row outside is zero. */
static void load(const strip *s, size_t y) {
    const size_t left = s->x ? 1 : 0, skipped = (1 - left) * s->kernels->block;
    const size_t at = offset(s) + y * s->line - left * s->row.pixel;
    const size_t used = ring_bytes(s);
    float *const map = s->row.map[SIDE - 1], *const gradient = s->row.gradient[SIDE - 1];
    if (y >= s->m->window.h) {
        memset(map, 0, used);
        if (s->back) memset(gradient, 0, used);
        return;
    }
    s->kernels->map(&s->packing, (const uint8_t *)s->m->source + at, map + skipped);
    if (s->back) s->kernels->widen(&s->packing, (const uint8_t *)s->back->gradient + at, gradient + skipped);
}

/* The rings go on by a row. */
static void advance(strip_row *r) {
    float *const map = r->map[0], *const gradient = r->gradient[0];
    for (size_t k = 0; k + 1 < SIDE; k++) r->map[k] = r->map[k + 1], r->gradient[k] = r->gradient[k + 1];
    r->map[SIDE - 1] = map;
    r->gradient[SIDE - 1] = gradient;
}

/* What the strip's channels take. */
static void take_channels(const strip *s) {
    strip_space *space = s->space;
    const size_t size = s->channels * sizeof(float);
    for (size_t k = 0; k < TAPS; k++)
        memcpy(space->weights[k], s->m->weights + k * s->m->apart + s->first, size);
    for (size_t c = 0; c < s->channels; c++) {
        space->scale[c] = s->m->scale ? s->m->scale[s->first + c] : 1.0f;
        space->shift[c] = s->m->scale ? s->m->shift[s->first + c] : 0.0f;
    }
    if (!s->back) return;
    memset(space->sums, 0, sizeof space->sums);
    memset(space->below, 0, sizeof space->below);
    if (s->row.mean) memcpy(space->mean, s->back->below->mean + s->first, size);
}

/* Row -1, which is zero like the pixels left and right of the picture, and rows 0 and 1. */
static void begin(strip *s) {
    const mq_window *w = &s->m->window;
    const mq_rows *below = s->back ? s->back->below : NULL;
    const size_t left = s->x ? 1 : 0, right = s->x + s->columns < w->w ? 1 : 0,
                 pixel = w->c * s->kernels->number;
    s->row = (strip_row){.columns = s->columns,
                         .channels = s->channels,
                         .pixel = pixel,
                         .ahead = s->line,
                         .above = s->m->relu ? 0.0f : NAN,
                         .mean = below && below->sums ? s->space->mean : NULL,
                         .sums = s->space->below};
    for (size_t k = 0; k < SIDE; k++) {
        s->row.map[k] = s->space->map[k];
        s->row.gradient[k] = s->space->gradient[k];
        memset(s->row.map[k], 0, ring_bytes(s));
        if (s->back) memset(s->row.gradient[k], 0, ring_bytes(s));
    }
    s->packing = (packing){
        left + s->columns + right,    s->channels, pixel, s->line, s->space->scale, s->space->shift,
        s->m->relu ? 0.0f : -INFINITY};
    take_channels(s);
    for (size_t y = 0; y < 2; y++) {
        advance(&s->row);
        load(s, y);
    }
}

/* Row y of the result, to its place in out. */
static void forward_row(strip *s, size_t y, void *out) {
    s->row.weights = s->space->weights;
    s->row.out = (uint8_t *)out + offset(s) + y * s->line;
    s->kernels->forward(&s->row);
}

static void forward_strip(strip *s, void *out) {
    begin(s);
    for (size_t y = 0; y < s->m->window.h; y++) {
        forward_row(s, y, out);
        advance(&s->row);
        load(s, y + 2);
    }
}

/* Adds the sums of some rows to those of all. */
static void flush(const strip *s) {
    for (size_t i = 0; i < 2; i++)
        for (size_t c = 0; c < s->channels; c++) {
            s->back->below->sums[i * s->m->window.c + s->first + c] += (double)s->space->below[i][c];
            s->space->below[i][c] = 0;
        }
}

/* Row y of the map's gradient, and what becomes of it. */
static void below_row(strip *s, size_t y) {
    const mq_rows *below = s->back->below;
    const size_t at = offset(s) + y * s->line, some = FEW / s->columns + 1;
    s->row.weights = s->space->weights;
    s->row.out = (uint8_t *)below->out + at;
    s->row.source = (const uint8_t *)s->m->source + at;
    s->row.old = below->old ? (const uint8_t *)below->old + at : NULL;
    s->kernels->below(&s->row);
    if (below->sums && ((y + 1) % some == 0 || y + 1 == s->m->window.h)) flush(s);
}

static void back_strip(strip *s) {
    begin(s);
    for (size_t y = 0; y < s->m->window.h; y++) {
        if (s->back->result) forward_row(s, y, s->back->result);
        if (s->back->below) below_row(s, y);
        s->row.weights = s->space->sums;
        if (s->back->weights) s->kernels->weights(&s->row);
        advance(&s->row);
        load(s, y + 2);
    }
    for (size_t k = 0; s->back->weights && k < TAPS; k++)
        for (size_t c = 0; c < s->channels; c++)
            s->back->weights[k * s->m->apart + s->first + c] += s->space->sums[k][c];
}

/* All strips, of nearly one width; out: forward. */
static void run(const mq_mapped_kernels *kernels, const mq_mapped *m, const mq_mapped_back *back, void *out) {
    const size_t w = m->window.w, most = RING / kernels->block - 2, cuts = mq_ceil_div(w, most);
    strip s = {.m = m, .back = back, .kernels = kernels, .space = m->scratch};
    s.line = w * m->window.c * kernels->number;
    for (size_t i = 0; i < cuts; i++)
        for (s.first = 0; s.first < m->window.c; s.first += kernels->block) {
            s.x = w * i / cuts;
            s.columns = w * (i + 1) / cuts - s.x;
            s.channels = least(m->window.c - s.first, kernels->block);
            if (back)
                back_strip(&s);
            else
                forward_strip(&s, out);
        }
}

size_t mq_mapped_scratch(void) {
    return sizeof(strip_space);
}

void mq_mapped_forward(const mq_mapped_kernels *kernels, const mq_mapped *m, void *out) {
    run(kernels, m, NULL, out);
}

void mq_mapped_backward(const mq_mapped_kernels *kernels, const mq_mapped *m, const mq_mapped_back *back) {
    const size_t channels = m->window.c;
    for (size_t k = 0; back->weights && k < TAPS; k++)
        memset(back->weights + k * m->apart, 0, channels * sizeof *back->weights);
    if (back->below && back->below->sums) memset(back->below->sums, 0, 2 * channels * sizeof(double));
    run(kernels, m, back, NULL);
}
