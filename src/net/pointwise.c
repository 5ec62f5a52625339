/* pointwise.c: multiplies tiles of pixels and panels of weights in registers, after Goto and van de Geijn
 * (see outer.c). Pixels are read where they lie: a tile takes one number of each pixel at a time. Called by
 * dnn.c. Owns nothing. Invariant: a tile at the edge computes for a pixel twice what it does not have, and
 * stores only what it has. */
#include "net/pointwise.h"

#include "net/program.h"
#include "net/simd.h"

#include <string.h>

/* A tile is ROWS pixels by up to PANELS panels: 12 sums in registers. DEPTH numbers of its panels stay in the
 * first cache (24 kB), those of PIXELS pixels in the second. */
enum { LANES = MQ_BLOCK, ROWS = 4, PANELS = 3, DEPTH = 256, PIXELS = 64 };

typedef struct {
    const float *x[ROWS];
    float *y[ROWS];          /* NULL: there is none */
    const float *weights;    /* of the first panel */
    size_t panel;            /* floats from one panel to the next */
    size_t plane, out_plane; /* and from one block of the source and of the result */
    size_t depth;
    const float *bias; /* NULL: none */
    bool add, relu;    /* y += */
} tile;

/* Number j of a block of pixel r. */
#define ROW(r, x, count)                                                                                     \
    {                                                                                                        \
        const VEC_8 one = SPREAD_8(x[j]);                                                                    \
        _Pragma("GCC unroll 3") for (size_t v = 0; v < count; v++)                                           \
            sums[r][v] = MADD_8(one, row[v], sums[r][v]);                                                    \
    }

/* A tile of count panels. */
#define TILE(count)                                                                                          \
    TARGET_8 static void tile_##count(const tile *t) {                                                       \
        VEC_8 sums[ROWS][count];                                                                             \
        const float *x0 = t->x[0], *x1 = t->x[1], *x2 = t->x[2], *x3 = t->x[3], *w = t->weights;             \
        const size_t depth = t->depth, apart = t->panel, plane = t->plane;                                   \
        _Pragma("GCC unroll 4") for (size_t r = 0; r < ROWS; r++)                                            \
            _Pragma("GCC unroll 3") for (size_t v = 0; v < count; v++) sums[r][v] = (VEC_8){0};              \
        for (size_t k = 0; k < depth; k += LANES, x0 += plane, x1 += plane, x2 += plane, x3 += plane)        \
            _Pragma("GCC unroll 8") for (size_t j = 0; j < LANES; j++, w += LANES) {                         \
                VEC_8 row[count];                                                                            \
                _Pragma("GCC unroll 3") for (size_t v = 0; v < count; v++)                                   \
                    row[v] = *(const MEMORY_8 *)(w + v * apart);                                             \
                ROW(0, x0, count)                                                                            \
                ROW(1, x1, count)                                                                            \
                ROW(2, x2, count)                                                                            \
                ROW(3, x3, count)                                                                            \
            }                                                                                                \
        _Pragma("GCC unroll 4") for (size_t r = 0; r < ROWS; r++)                                            \
            _Pragma("GCC unroll 3") for (size_t v = 0; v < count; v++) {                                     \
            if (!t->y[r]) continue;                                                                          \
            MEMORY_8 *const y = (MEMORY_8 *)(t->y[r] + v * t->out_plane);                                    \
            VEC_8 sum = sums[r][v];                                                                          \
            if (t->add) sum += *y;                                                                           \
            if (t->bias) sum += *(const MEMORY_8 *)(t->bias + v * LANES);                                    \
            if (t->relu) sum = (VEC_8)((WORDS_8)sum & ~(WORDS_8)(sum < (VEC_8){0})); /* a NaN stays */       \
            *y = sum;                                                                                        \
        }                                                                                                    \
    }

TILE(1)
TILE(2)
TILE(3)

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

/* The numbers of the source that are multiplied now. */
typedef struct {
    size_t first, count;
} share;

/* Panels of the result, and groups of them: up to PANELS each, and as even as can be, as few sums hide less
 * of a multiply-add's latency. */
static size_t panels_of(const mq_pointwise *p) {
    return outer_of(p) / LANES;
}

static size_t groups_of(const mq_pointwise *p) {
    return (panels_of(p) + PANELS - 1) / PANELS;
}

static void run_tile(const mq_pointwise *p, size_t pixel, size_t end, size_t group, share k) {
    static void (*const runs[PANELS])(const tile *t) = {tile_1, tile_2, tile_3};
    const size_t inner = inner_of(p), groups = groups_of(p), large = p->window.h * p->window.w;
    const size_t first = panels_of(p) * group / groups, panels = panels_of(p) * (group + 1) / groups - first;
    const size_t rows = least(ROWS, end - pixel);
    const bool last = k.first + k.count == inner;
    tile t = {.weights = p->weights + (first * inner + k.first) * LANES,
              .panel = inner * LANES,
              .plane = (p->back ? pixels_of(p) : large) * LANES,
              .out_plane = (p->back ? large : pixels_of(p)) * LANES,
              .depth = k.count,
              .bias = last && p->bias ? p->bias + first * LANES : NULL,
              .add = k.first || p->sum,
              .relu = last && p->relu};
    for (size_t r = 0; r < ROWS; r++) {
        const size_t i = pixel + (r < rows ? r : 0);
        t.x[r] = p->source + place(&p->window, i, !p->back) * LANES + k.first / LANES * t.plane;
        if (r < rows) t.y[r] = p->result + place(&p->window, i, p->back) * LANES + first * t.out_plane;
    }
    runs[panels - 1](&t);
}

size_t mq_pointwise_items(const mq_pointwise *p) {
    return (pixels_of(p) + PIXELS - 1) / PIXELS * groups_of(p);
}

void mq_pointwise_run(const mq_pointwise *p, size_t from, size_t to) {
    const size_t groups = groups_of(p), inner = inner_of(p), parts = (inner + DEPTH - 1) / DEPTH;
    for (size_t item = from; item < to; item++) {
        const size_t begin = item / groups * PIXELS, end = least(begin + PIXELS, pixels_of(p));
        for (size_t part = 0; part < parts; part++) {
            const size_t blocks = inner / LANES, first = blocks * part / parts * LANES;
            const share k = {first, blocks * (part + 1) / parts * LANES - first};
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
