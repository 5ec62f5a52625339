/* pointwise.c: multiplies tiles of pixels and panels of weights in registers, after Goto and van de Geijn
 * (see outer.c). Pixels are read where they lie: a tile takes one number of each pixel at a time. Called by
 * dnn.c. Owns nothing. Invariant: a tile at the edge computes in rows of its own what it does not have, and
 * stores only what it has. */
#include "net/pointwise.h"

#include "net/program.h"

#include <string.h>

/* A tile is ROWS pixels by up to PANELS panels: 12 sums in registers. DEPTH numbers of its panels stay in the
 * first cache (24 kB), those of PIXELS pixels in the second. */
enum { LANES = MQ_POINTWISE_PANEL, ROWS = 4, PANELS = 3, DEPTH = 256, PIXELS = 64 };

typedef struct {
    const float *x[ROWS];
    float *y[ROWS];
    const float *weights; /* of the first panel */
    size_t panel;         /* floats from one panel to the next */
    size_t depth;
    const float *bias; /* NULL: none */
    bool add, relu;    /* y += */
} tile;

/* By pointer or in a macro: by value their calling convention would depend on the instruction set. */
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef float memory __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));
/* A sum with zero would not do: it makes -0 a 0, and is not optimised away. */
#define SPREAD(x) ((vec){x, x, x, x, x, x, x, x})
#ifdef __x86_64__
#include <immintrin.h>
#define TARGET __attribute__((target("avx2,fma")))
#define MADD(a, b, sum) ((vec)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(sum)))
#else
#define TARGET
#define MADD(a, b, sum) ((a) * (b) + (sum))
#endif

/* Number k of pixel r. */
#define ROW(r, x, count)                                                                                     \
    {                                                                                                        \
        const vec one = SPREAD(x[k]);                                                                        \
        _Pragma("GCC unroll 3") for (size_t v = 0; v < count; v++)                                           \
            sums[r][v] = MADD(one, row[v], sums[r][v]);                                                      \
    }

/* A tile of count panels. */
#define TILE(count)                                                                                          \
    TARGET static void tile_##count(const tile *t) {                                                         \
        vec sums[ROWS][count];                                                                               \
        const float *const x0 = t->x[0], *const x1 = t->x[1], *const x2 = t->x[2], *const x3 = t->x[3];      \
        const float *w = t->weights;                                                                         \
        const size_t depth = t->depth, apart = t->panel;                                                     \
        _Pragma("GCC unroll 4") for (size_t r = 0; r < ROWS; r++)                                            \
            _Pragma("GCC unroll 3") for (size_t v = 0; v < count; v++) sums[r][v] = (vec){0};                \
        _Pragma("GCC unroll 4") for (size_t k = 0; k < depth; k++, w += LANES) {                             \
            vec row[count];                                                                                  \
            _Pragma("GCC unroll 3") for (size_t v = 0; v < count; v++)                                       \
                row[v] = *(const memory *)(w + v * apart);                                                   \
            ROW(0, x0, count)                                                                                \
            ROW(1, x1, count)                                                                                \
            ROW(2, x2, count)                                                                                \
            ROW(3, x3, count)                                                                                \
        }                                                                                                    \
        _Pragma("GCC unroll 4") for (size_t r = 0; r < ROWS; r++)                                            \
            _Pragma("GCC unroll 3") for (size_t v = 0; v < count; v++) {                                     \
            memory *const y = (memory *)(t->y[r] + v * LANES);                                               \
            vec sum = sums[r][v];                                                                            \
            if (t->add) sum += *y;                                                                           \
            if (t->bias) sum += *(const memory *)(t->bias + v * LANES);                                      \
            if (t->relu) sum = (vec)((words)sum & ~(words)(sum < (vec){0})); /* a NaN stays */               \
            *y = sum;                                                                                        \
        }                                                                                                    \
    }

TILE(1)
TILE(2)
TILE(3)

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Numbers of a pixel of the source, and of the result. */
static size_t inner_of(const mq_pointwise *p) {
    return p->back ? p->filters : p->window.c;
}

static size_t outer_of(const mq_pointwise *p) {
    return p->back ? p->window.c : p->filters;
}

static size_t pixels_of(const mq_pointwise *p) {
    return p->window.out_h * p->window.out_w;
}

/* Pixels before pixel i of the small grid, in the small or the large one. */
static size_t place(const mq_window *w, size_t i, bool large) {
    return !large || w->stride == 1 ? i : i / w->out_w * w->stride * w->w + i % w->out_w * w->stride;
}

/* rows pixels from the pixel on, columns numbers from column on: less than the tile has. */
static void edge_tile(const tile *whole, void (*run)(const tile *t), size_t rows, size_t columns) {
    float bias[PANELS * LANES] = {0}, out[ROWS][PANELS * LANES] = {{0}};
    tile t = *whole;
    if (t.bias) {
        memcpy(bias, t.bias, columns * sizeof *bias);
        t.bias = bias;
    }
    for (size_t r = 0; r < ROWS; r++) {
        if (t.add && r < rows) memcpy(out[r], t.y[r], columns * sizeof **out);
        t.y[r] = out[r];
    }
    run(&t);
    for (size_t r = 0; r < rows; r++) memcpy(whole->y[r], out[r], columns * sizeof **out);
}

/* The numbers of the source that are multiplied now. */
typedef struct {
    size_t first, count;
} share;

/* Panels of the result, and groups of them: up to PANELS each, and as even as can be, as few sums hide less
 * of a multiply-add's latency. */
static size_t panels_of(const mq_pointwise *p) {
    return (outer_of(p) + LANES - 1) / LANES;
}

static size_t groups_of(const mq_pointwise *p) {
    return (panels_of(p) + PANELS - 1) / PANELS;
}

static void run_tile(const mq_pointwise *p, size_t pixel, size_t end, size_t group, share k) {
    static void (*const runs[PANELS])(const tile *t) = {tile_1, tile_2, tile_3};
    const size_t inner = inner_of(p), outer = outer_of(p), groups = groups_of(p);
    const size_t first = panels_of(p) * group / groups, panels = panels_of(p) * (group + 1) / groups - first;
    const size_t column = first * LANES, columns = least(panels * LANES, outer - column);
    const size_t rows = least(ROWS, end - pixel);
    const bool last = k.first + k.count == inner;
    tile t = {.weights = p->weights + column * inner + k.first * LANES,
              .panel = inner * LANES,
              .depth = k.count,
              .bias = last && p->bias ? p->bias + column : NULL,
              .add = k.first || p->sum,
              .relu = last && p->relu};
    for (size_t r = 0; r < ROWS; r++) {
        const size_t i = pixel + (r < rows ? r : 0);
        t.x[r] = p->source + place(&p->window, i, !p->back) * inner + k.first;
        t.y[r] = p->result + place(&p->window, i, p->back) * outer + column;
    }
    if (rows == ROWS && columns == panels * LANES)
        runs[panels - 1](&t);
    else
        edge_tile(&t, runs[panels - 1], rows, columns);
}

size_t mq_pointwise_items(const mq_pointwise *p) {
    return (pixels_of(p) + PIXELS - 1) / PIXELS * groups_of(p);
}

void mq_pointwise_run(const mq_pointwise *p, size_t from, size_t to) {
    const size_t groups = groups_of(p), inner = inner_of(p), parts = (inner + DEPTH - 1) / DEPTH;
    for (size_t item = from; item < to; item++) {
        const size_t begin = item / groups * PIXELS, end = least(begin + PIXELS, pixels_of(p));
        for (size_t part = 0; part < parts; part++) {
            const size_t first = inner * part / parts;
            const share k = {first, inner * (part + 1) / parts - first};
            for (size_t pixel = begin; pixel < end; pixel += ROWS) run_tile(p, pixel, end, item % groups, k);
        }
    }
}

void mq_pointwise_clear(const mq_pointwise *p) {
    const mq_window *w = &p->window;
    if (p->back && w->stride > 1) memset(p->result, 0, w->h * w->w * w->c * sizeof *p->result);
}

bool mq_pointwise_suits(void) {
#ifdef __x86_64__
    return strncmp(mq_dnn_isa(), "avx2", 4) == 0;
#else
    return false;
#endif
}
