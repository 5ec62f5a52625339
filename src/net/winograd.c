/* winograd.c: takes tiles of a picture to their 36 points, multiplies point by point, and brings the products
 * back (see winograd.h). Called by dnn_own.c and trainable.c; dnn_make.c and lower_back.c ask where it suits.
 * Owns nothing.
 *
 * Tiles are done GROUP at a time, so that what lies between stays in the second cache: points of what is
 * read, [36][tile][c], those of the weights, [36][columns of two vectors][c][two vectors], and their
 * products. Invariant: pixels outside the picture are never read, and count as zeros. */
#include "net/winograd.h"

#include "net/program.h"
#include "net/simd.h"
#include "net/thin.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

/* LINE floats between one point's tiles and the next one's keep them from falling on one place of a cache. */
enum { SIDE = 3, OUT = 4, IN = 6, POINTS = IN * IN, GROUP = 24, WIDEST = 16, LINE = 16 };

/* Below so many tiles the weights' points take too long beside the products. */
enum { TILES_ENOUGH = 64 };

#define UNROLLED _Pragma("GCC unroll 12")
#define P 0.70710678118654752440f /* the points: P, -P, Q, -Q; P P = 0.5, Q Q = 2 */
#define Q 1.41421356237309504880f

/* One direction of each transform: o of d. A pair of points p, -p is what is even in p plus or minus what is
 * odd. */
#define PAIR(isa, o, i, even, odd)                                                                           \
    {                                                                                                        \
        const VEC_##isa e = even, f = odd;                                                                   \
        o[i] = ADD_##isa(e, f);                                                                              \
        o[i + 1] = SUB_##isa(e, f);                                                                          \
    }
#define TIMES(isa, factor, v) MUL_##isa(SPREAD_##isa(factor), v)
#define PLUS(isa, sum, factor, v) MADD_##isa(SPREAD_##isa(factor), v, sum)

/* B' of 6 pixels */
#define TAKE(isa, d, o)                                                                                      \
    o[0] = PLUS(isa, ADD_##isa(d[0], d[4]), -2.5f, d[2]);                                                    \
    PAIR(isa, o, 1, PLUS(isa, d[4], -2.0f, d[2]), TIMES(isa, P, PLUS(isa, d[3], -2.0f, d[1])))               \
    PAIR(isa, o, 3, PLUS(isa, d[4], -0.5f, d[2]), TIMES(isa, Q, PLUS(isa, d[3], -0.5f, d[1])))               \
    o[5] = PLUS(isa, ADD_##isa(d[1], d[5]), -2.5f, d[3]);

/* A' of 6 points, to 4 pixels */
#define GIVE(isa, d, o)                                                                                      \
    {                                                                                                        \
        const VEC_##isa even_p = ADD_##isa(d[1], d[2]), odd_p = TIMES(isa, P, SUB_##isa(d[1], d[2]));        \
        const VEC_##isa even_q = ADD_##isa(d[3], d[4]), odd_q = TIMES(isa, Q, SUB_##isa(d[3], d[4]));        \
        o[0] = ADD_##isa(d[0], ADD_##isa(even_p, even_q));                                                   \
        o[1] = ADD_##isa(odd_p, odd_q);                                                                      \
        o[2] = PLUS(isa, TIMES(isa, 0.5f, even_p), 2.0f, even_q);                                            \
        o[3] = PLUS(isa, PLUS(isa, d[5], 0.5f, odd_p), 2.0f, odd_q);                                         \
    }

/* A of 4 pixels' gradients */
#define SPREAD_OUT(isa, d, o)                                                                                \
    o[0] = d[0];                                                                                             \
    PAIR(isa, o, 1, PLUS(isa, d[0], 0.5f, d[2]), TIMES(isa, P, PLUS(isa, d[1], 0.5f, d[3])))                 \
    PAIR(isa, o, 3, PLUS(isa, d[0], 2.0f, d[2]), TIMES(isa, Q, PLUS(isa, d[1], 2.0f, d[3])))                 \
    o[5] = d[3];

/* G of 3 weights */
#define WEIGH(isa, d, o)                                                                                     \
    o[0] = d[0];                                                                                             \
    PAIR(isa, o, 1, TIMES(isa, -2.0f / 3, PLUS(isa, d[0], 0.5f, d[2])), TIMES(isa, -2.0f / 3 * P, d[1]))     \
    PAIR(isa, o, 3, TIMES(isa, 1.0f / 6, PLUS(isa, d[0], 2.0f, d[2])), TIMES(isa, 1.0f / 6 * Q, d[1]))       \
    o[5] = d[2];

/* G' of 6 points, to 3 gradients of weights */
#define GATHER(isa, d, o)                                                                                    \
    {                                                                                                        \
        const VEC_##isa even_p = TIMES(isa, -2.0f / 3, ADD_##isa(d[1], d[2]));                               \
        const VEC_##isa even_q = TIMES(isa, 1.0f / 6, ADD_##isa(d[3], d[4]));                                \
        o[0] = ADD_##isa(d[0], ADD_##isa(even_p, even_q));                                                   \
        o[1] = PLUS(isa, TIMES(isa, 1.0f / 6 * Q, SUB_##isa(d[3], d[4])), -2.0f / 3 * P,                     \
                    SUB_##isa(d[1], d[2]));                                                                  \
        o[2] = PLUS(isa, PLUS(isa, d[5], 0.5f, even_p), 2.0f, even_q);                                       \
    }

/* n x n vectors that become m x m; strides in floats. */
typedef struct {
    const float *from;
    size_t row, pixel;
    float *to;
    size_t to_row, to_pixel;
    const float *bias; /* a vector that is added; NULL: none */
    float least;       /* of what comes out */
} change;
typedef void (*transform_fn)(const change *c);

#define PLAINLY(isa, v) v
#define ENDING(isa, v) MAX_##isa(least, ADD_##isa(v, bias))

/* Both directions of a transform. What lies so many pixels ahead, to be read or to be written, is fetched: a
 * picture has more rows and blocks in work than the processor foresees. */
#define TRANSFORM(name, features, isa, ONE, n, m, END, reads, writes)                                        \
    features static void name(const change *args) {                                                          \
        const change c = *args;                                                                              \
        const VEC_##isa bias = c.bias ? LOAD_##isa(c.bias) : ZERO_##isa, least = SPREAD_##isa(c.least);      \
        VEC_##isa between[m][n];                                                                             \
        (void)bias, (void)least;                                                                             \
        for (size_t x = 0; x < n; x++) {                                                                     \
            const float *const column = c.from + x * c.pixel;                                                \
            VEC_##isa d[n], o[m];                                                                            \
            UNROLLED for (size_t y = 0; y < n; y++) {                                                        \
                d[y] = LOAD_##isa(column + y * c.row);                                                       \
                if (reads > 0 && x * c.pixel % LINE == 0)                                                    \
                    __builtin_prefetch(column + y * c.row + reads * c.pixel);                                \
            }                                                                                                \
            ONE(isa, d, o)                                                                                   \
            UNROLLED for (size_t y = 0; y < m; y++) between[y][x] = o[y];                                    \
        }                                                                                                    \
        for (size_t y = 0; y < m; y++) {                                                                     \
            VEC_##isa o[m];                                                                                  \
            ONE(isa, between[y], o)                                                                          \
            UNROLLED for (size_t x = 0; x < m; x++) {                                                        \
                float *const to = c.to + y * c.to_row + x * c.to_pixel;                                      \
                STORE_##isa(to, END(isa, o[x]));                                                             \
                if (writes > 0 && x * c.to_pixel % LINE == 0)                                                \
                    __builtin_prefetch(to + writes * c.to_pixel, 1);                                         \
            }                                                                                                \
        }                                                                                                    \
    }

/* out [some rows][two vectors] = (or +=) sum over depth of a [row, k] b [k, two vectors]. */
typedef struct {
    const float *a;
    size_t a_row, a_step; /* floats from row to row, and from k to k */
    const float *b;
    size_t b_step, depth;
    float *out;
    bool add;
} product;
typedef void (*product_fn)(const product *p);
#define PRODUCT(name, features, isa, madd, rows)                                                             \
    features static void name(const product *args) {                                                         \
        const product p = *args;                                                                             \
        const float *a = p.a, *b = p.b;                                                                      \
        VEC_##isa sums[rows][2];                                                                             \
        UNROLLED for (size_t i = 0; i < rows; i++) sums[i][0] = sums[i][1] = ZERO_##isa;                     \
        for (size_t k = 0; k < p.depth; k++, a += p.a_step, b += p.b_step) {                                 \
            const VEC_##isa left = LOAD_##isa(b), right = LOAD_##isa(b + LANES_##isa);                       \
            UNROLLED for (size_t i = 0; i < rows; i++) {                                                     \
                const VEC_##isa one = SPREAD_##isa(a[i * p.a_row]);                                          \
                madd(sums[i][0], one, left);                                                                 \
                madd(sums[i][1], one, right);                                                                \
            }                                                                                                \
        }                                                                                                    \
        UNROLLED for (size_t i = 0; i < rows; i++) UNROLLED for (size_t k = 0; k < 2; k++) {                 \
            float *const out = p.out + (2 * i + k) * LANES_##isa;                                            \
            STORE_##isa(out, p.add ? ADD_##isa(LOAD_##isa(out), sums[i][k]) : sums[i][k]);                   \
        }                                                                                                    \
    }

/* What one instruction set gives. Rows of a product: tiles, or for the gradient of weights channels. */
typedef struct {
    size_t lanes, rows, outer_rows;
    product_fn multiply, multiply_outer;
    transform_fn take, give, spread, weigh, gather;
} kernels;

#define KERNELS(name, features, isa, madd, many, some)                                                       \
    TRANSFORM(take_##name, features, isa, TAKE, IN, IN, PLAINLY, OUT, 0)                                     \
    TRANSFORM(give_##name, features, isa, GIVE, IN, OUT, ENDING, 0, OUT)                                     \
    TRANSFORM(spread_##name, features, isa, SPREAD_OUT, OUT, IN, PLAINLY, OUT, 0)                            \
    TRANSFORM(weigh_##name, features, isa, WEIGH, SIDE, IN, PLAINLY, 0, 0)                                   \
    TRANSFORM(gather_##name, features, isa, GATHER, IN, SIDE, PLAINLY, 0, 0)                                 \
    PRODUCT(multiply_##name, features, isa, madd, many)                                                      \
    PRODUCT(multiply_outer_##name, features, isa, madd, some)                                                \
    static const kernels kernels_##name = {                                                                  \
        LANES_##isa, many,        some,          multiply_##name, multiply_outer_##name,                     \
        take_##name, give_##name, spread_##name, weigh_##name,    gather_##name};

#ifdef __x86_64__
#define MADD_TO_256(sum, a, b) MADD_TO_8(sum, a, b)
#define MADD_TO_512(sum, a, b) __asm__("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b))
KERNELS(256, WITH("avx2,fma"), 256, MADD_TO_256, 6, 4)
KERNELS(512, WITH("avx512f"), 512, MADD_TO_512, 12, 8)
#endif

/* NULL: there are none here. */
static const kernels *kernels_here(void) {
#ifdef __x86_64__
    const mq_simd simd = mq_dnn_simd();
    if (simd == MQ_SIMD_AVX512) return &kernels_512;
    if (simd == MQ_SIMD_AVX2) return &kernels_256;
#endif
    return NULL;
}

size_t mq_winograd_lanes(void) {
    const kernels *k = kernels_here();
    return k ? k->lanes : 0;
}

/* How a tensor lies: floats from one pixel, or vector of channels, to the next. */
typedef struct {
    size_t h, w, c, pixel, plane;
} tensor;

static tensor tensor_of(size_t h, size_t w, size_t c, size_t lanes, bool last) {
    return (tensor){h, w, c, last ? c : lanes, last ? lanes : h * w * lanes};
}

/* A convolution as it is run: of its gradient by data, the other way round. */
typedef struct {
    const kernels *k;
    tensor read, written;
    size_t top, left;      /* padding */
    size_t across, tiles;  /* tiles beside each other, and in all */
    size_t taken, product; /* floats of a point */
} conv;

/* Floats from a group's tiles of one point to those of the next. */
static size_t point_floats(size_t channels) {
    return GROUP * channels + LINE;
}

static conv conv_of(const mq_window *w, size_t filters, bool back, bool last) {
    const kernels *const k = kernels_here();
    const tensor source = tensor_of(w->h, w->w, w->c, k->lanes, last),
                 result = tensor_of(w->out_h, w->out_w, filters, k->lanes, last);
    conv c = {.k = k,
              .read = back ? result : source,
              .written = back ? source : result,
              .top = back ? SIDE - 1 - w->top : w->top,
              .left = back ? SIDE - 1 - w->left : w->left};
    c.across = mq_ceil_div(c.written.w, OUT);
    c.tiles = c.across * mq_ceil_div(c.written.h, OUT);
    c.taken = point_floats(c.read.c);
    c.product = point_floats(2 * k->lanes);
    return c;
}

bool mq_winograd_suits(const mq_winograd *winograd) {
    const mq_window *const w = &winograd->window;
    const size_t lanes = mq_winograd_lanes(), read = winograd->back ? winograd->filters : w->c,
                 written = winograd->back ? w->c : winograd->filters;
    return lanes && w->n == 1 && w->kernel == SIDE && w->stride == 1 && w->top < SIDE && w->left < SIDE &&
           mq_ceil_div(w->out_h, OUT) * mq_ceil_div(w->out_w, OUT) >= TILES_ENOUGH && read % lanes == 0 &&
           written % (2 * lanes) == 0;
}

/* Floats of all points of weights. */
static size_t weighed(const conv *c) {
    return POINTS * c->read.c * c->written.c;
}

/* Floats of a part's scratch memory. */
static size_t part_floats(const conv *c) {
    return POINTS * (c->taken + c->product);
}

size_t mq_winograd_scratch(const mq_winograd *w) {
    const conv c = conv_of(&w->window, w->filters, w->back, w->last);
    return (weighed(&c) + w->parts * part_floats(&c)) * sizeof(float);
}

/* Where the weights' points begin for a channel that is read and the columns of a vector of those written. */
static size_t weight_at(const conv *c, size_t read, size_t written) {
    const size_t both = 2 * c->k->lanes;
    return written / both * both * c->read.c + read * both + written % both;
}

void mq_winograd_weigh(const mq_winograd *w, size_t from, size_t to, const float *weights, void *scratch) {
    const conv c = conv_of(&w->window, w->filters, w->back, w->last);
    const size_t lanes = c.k->lanes, tap = c.read.c * c.written.c;
    float taps[SIDE * SIDE * WIDEST];
    for (size_t i = from; i < to; i++)
        for (size_t o = 0; o < c.written.c; o += lanes) {
            /* The way back sees the window from its other end. */
            for (size_t k = 0; k < SIDE * SIDE; k++)
                memcpy(taps + k * lanes,
                       weights + (w->back ? SIDE * SIDE - 1 - k : k) * tap + i * c.written.c + o,
                       lanes * sizeof *taps);
            c.k->weigh(&(change){taps, SIDE * lanes, lanes, (float *)scratch + weight_at(&c, i, o), IN * tap,
                                 tap, NULL, 0});
        }
}

/* A square of a tensor, of which a part may lie outside. */
typedef struct {
    const tensor *t;
    size_t y, x, size; /* y and x may have wrapped */
} square;

static bool is_inside(const square *s) {
    return s->y < s->t->h && s->x < s->t->w && s->y + s->size <= s->t->h && s->x + s->size <= s->t->w;
}

/* A vector of each of its pixels, zeros outside. */
static void copy_square(const square *s, size_t lanes, const float *plane, float *to) {
    memset(to, 0, s->size * s->size * lanes * sizeof *to);
    for (size_t i = 0; i < s->size * s->size; i++) {
        const size_t y = s->y + i / s->size, x = s->x + i % s->size;
        if (y < s->t->h && x < s->t->w)
            memcpy(to + i * lanes, plane + (y * s->t->w + x) * s->t->pixel, lanes * sizeof *to);
    }
}

/* All its channels by a transform to points, which are apart floats from each other. */
static void take_square(const square *s, size_t lanes, transform_fn transform, const float *from, float *to,
                        size_t apart) {
    const tensor *const t = s->t;
    const bool inside = is_inside(s);
    float copy[POINTS * WIDEST];
    change whole = {.row = t->w * t->pixel, .pixel = t->pixel, .to_row = IN * apart, .to_pixel = apart},
           edge = {
               .from = copy, .row = s->size * lanes, .pixel = lanes, .to_row = IN * apart, .to_pixel = apart};
    for (size_t c = 0; c < t->c; c += lanes, from += t->plane) {
        whole.to = edge.to = to + c;
        if (inside) {
            whole.from = from + (s->y * t->w + s->x) * t->pixel;
            transform(&whole);
        } else {
            copy_square(s, lanes, from, copy);
            transform(&edge);
        }
    }
}

/* The pixels that a tile reads, and those that it writes. */
static square read_square(const conv *c, size_t tile) {
    return (square){&c->read, tile / c->across * OUT - c->top, tile % c->across * OUT - c->left, IN};
}

static square written_square(const conv *c, size_t tile) {
    return (square){&c->written, tile / c->across * OUT, tile % c->across * OUT, OUT};
}

/* The tensors of a convolution. */
typedef struct {
    const float *read, *weights; /* weights: their points */
    const float *bias;           /* NULL: none */
    bool relu;
    float *written;
} job;

/* One vector of a tile's products to pixels. */
static void give_square(const conv *c, const square *s, const float *points, size_t channel, const job *j) {
    const tensor *const t = s->t;
    const size_t lanes = c->k->lanes;
    float *const to = j->written + channel / lanes * t->plane + (s->y * t->w + s->x) * t->pixel;
    float copy[OUT * OUT * WIDEST];
    change whole = {.from = points,
                    .row = IN * c->product,
                    .pixel = c->product,
                    .to = to,
                    .to_row = t->w * t->pixel,
                    .to_pixel = t->pixel,
                    .bias = j->bias ? j->bias + channel : NULL,
                    .least = j->relu ? 0 : -INFINITY};
    if (is_inside(s)) {
        c->k->give(&whole);
        return;
    }
    whole.to = copy;
    whole.to_row = OUT * lanes;
    whole.to_pixel = lanes;
    c->k->give(&whole);
    const size_t rows = least(OUT, t->h - s->y), columns = least(OUT, t->w - s->x), number = sizeof *to;
    for (size_t y = 0; y < rows; y++)
        mq_pixels_copy((uint8_t *)(to + y * t->w * t->pixel), t->pixel * number,
                       (const uint8_t *)(copy + y * OUT * lanes), lanes * number, lanes * number, columns);
}

/* A group's tiles, as points of what they read, by the weights of the columns from `first` on. */
static void multiply_group(const conv *c, const float *taken, const float *weights, size_t count,
                           float *products) {
    const size_t both = 2 * c->k->lanes, tap = c->read.c * c->written.c;
    for (size_t p = 0; p < POINTS; p++)
        for (size_t t = 0; t < count; t += c->k->rows)
            c->k->multiply(&(product){.a = taken + p * c->taken + t * c->read.c,
                                      .a_row = c->read.c,
                                      .a_step = 1,
                                      .b = weights + p * tap,
                                      .b_step = both,
                                      .depth = c->read.c,
                                      .out = products + p * c->product + t * both});
}

static void run_group(const conv *c, const job *j, size_t first, size_t count, float *space) {
    const size_t lanes = c->k->lanes;
    float *const taken = space, *const products = space + POINTS * c->taken;
    for (size_t t = 0; t < count; t++) {
        const square s = read_square(c, first + t);
        take_square(&s, lanes, c->k->take, j->read, taken + t * c->read.c, c->taken);
    }
    for (size_t o = 0; o < c->written.c; o += 2 * lanes) {
        multiply_group(c, taken, j->weights + weight_at(c, 0, o), count, products);
        for (size_t i = 0; i < 2 * count; i++) {
            const square s = written_square(c, first + i / 2);
            give_square(c, &s, products + i * lanes, o + i % 2 * lanes, j);
        }
    }
}

void mq_winograd_run(const mq_winograd *w, size_t part, const float *read, const float *bias, float *written,
                     void *scratch) {
    const conv c = conv_of(&w->window, w->filters, w->back, w->last);
    const job j = {read, scratch, bias, w->relu, written};
    float *const space = (float *)scratch + weighed(&c) + part * part_floats(&c);
    const size_t end = c.tiles * (part + 1) / w->parts;
    for (size_t first = c.tiles * part / w->parts; first < end; first += GROUP)
        run_group(&c, &j, first, least(GROUP, end - first), space);
}

bool mq_winograd_outer_suits(const mq_window *w, size_t filters) {
    /* The points of a small picture's gradient take longer to bring back than to multiply. */
    const bool large = 4 * POINTS * w->c * filters < w->h * w->w * w->c + w->out_h * w->out_w * filters;
    return large && mq_winograd_suits(&(mq_winograd){.window = *w, .filters = filters});
}

size_t mq_winograd_outer_scratch(const mq_window *w, size_t filters) {
    const conv c = conv_of(w, filters, false, false);
    return (weighed(&c) + POINTS * (c.taken + point_floats(c.written.c))) * sizeof(float);
}

/* Adds a group's part to the gradient's points, or begins them with it. */
static void outer_group(const conv *c, size_t first, size_t count, const float *source, const float *gradient,
                        float *sums) {
    const kernels *const k = c->k;
    const size_t apart = point_floats(c->written.c), both = 2 * k->lanes;
    float *const taken = sums + weighed(c), *const spread = taken + POINTS * c->taken;
    for (size_t t = 0; t < count; t++) {
        const square from = read_square(c, first + t), to = written_square(c, first + t);
        take_square(&from, k->lanes, k->take, source, taken + t * c->read.c, c->taken);
        take_square(&to, k->lanes, k->spread, gradient, spread + t * c->written.c, apart);
    }
    for (size_t p = 0; p < POINTS; p++)
        for (size_t o = 0; o < c->written.c; o += both)
            for (size_t i = 0; i < c->read.c; i += k->outer_rows)
                k->multiply_outer(&(product){.a = taken + p * c->taken + i,
                                             .a_row = 1,
                                             .a_step = c->read.c,
                                             .b = spread + p * apart + o,
                                             .b_step = c->written.c,
                                             .depth = count,
                                             .out = sums + p * c->read.c * c->written.c + weight_at(c, i, o),
                                             .add = first > 0});
}

/* From the points of a picture's gradient to its part of the sum. */
static void gather_sums(const conv *c, const mq_outer *o, const float *points, bool add) {
    const size_t lanes = c->k->lanes, tap = c->read.c * c->written.c;
    float taps[SIDE * SIDE * WIDEST];
    for (size_t i = 0; i < tap; i += lanes) {
        const size_t read = i / c->written.c, filter = i % c->written.c;
        c->k->gather(&(change){points + weight_at(c, read, filter), IN * tap, tap, taps, SIDE * lanes, lanes,
                               NULL, 0});
        for (size_t k = 0; k < SIDE * SIDE * lanes; k++) {
            float *const sum = o->sum + k / lanes * tap + i + k % lanes;
            const float scaled = taps[k] * (o->scale ? o->scale[filter + k % lanes] : 1.0f);
            *sum = add ? *sum + scaled : scaled;
        }
    }
}

void mq_winograd_outer(const mq_outer *o) {
    const mq_window *const w = &o->window;
    const conv c = conv_of(w, o->filters, false, false);
    float *const sums = o->scratch;
    for (size_t n = 0; n < w->n; n++) {
        const float *const source = (const float *)(const void *)(o->source + n * o->source_bytes),
                           *const gradient = (const float *)(const void *)(o->gradient +
                                                                           n * o->gradient_bytes);
        for (size_t first = 0; first < c.tiles; first += GROUP)
            outer_group(&c, first, least(GROUP, c.tiles - first), source, gradient, sums);
        gather_sums(&c, o, sums, o->add || n > 0);
    }
}
