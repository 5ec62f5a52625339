/* pointwise.c: multiplies tiles of pixels and panels of weights in registers, after Goto and van de Geijn
 * (see outer.c). Pixels are read where they lie: a tile takes one number of each pixel at a time. Called by
 * dnn.c. Owns nothing. Invariant: a tile at the edge computes for a pixel twice what it does not have, and
 * stores only what it has. */
#include "net/pointwise.h"

#include "net/program.h"
#include "net/simd.h"

#include <string.h>

/* A tile is ROWS pixels by up to PANELS panels: 12 sums in registers. DEPTH numbers of its panels stay in the
 * first cache (18 kB) beside its sums of PIXELS pixels, and the source of those in the second. */
enum { LANES = MQ_BLOCK, ROWS = 4, PANELS = 3, DEPTH = 192, PIXELS = 96 };

typedef struct {
    const float *x[ROWS];
    const float *weights; /* of the first panel: [depth][LANES] */
    size_t panel;         /* floats from one panel to the next */
    size_t plane;         /* floats from one block of the source to the next */
    size_t depth;
    float *sums; /* [ROWS][panels][LANES] */
    bool add;    /* to sums, else they are overwritten */
} tile;
typedef void (*tile_fn)(const tile *t);

#define EACH_ROW _Pragma("GCC unroll 4") for (size_t r = 0; r < ROWS; r++)
#define EACH_PANEL(count) _Pragma("GCC unroll 3") for (size_t v = 0; v < count; v++)

/* Where pixel r of a tile lies: behind the one before it, which needs one pointer, or anywhere. */
#define NEXT_TO(r) (x0 + r * LANES)
#define APART(r) x##r

/* Number j of a block of pixel r. */
#define ROW(r, count, PLACE)                                                                                 \
    {                                                                                                        \
        const VEC_8 one = SPREAD_8(PLACE(r)[j]);                                                             \
        EACH_PANEL(count) MADD_TO_8(sums[r][v], one, row[v]);                                                \
    }

/* A tile of count panels. */
#define TILE(name, count, PLACE)                                                                             \
    TARGET_8 static void name##_##count(const tile *t) {                                                     \
        VEC_8 sums[ROWS][count];                                                                             \
        const float *x0 = t->x[0], *x1 = t->x[1], *x2 = t->x[2], *x3 = t->x[3];                              \
        const float *w = t->weights, *const end = w + t->depth * LANES;                                      \
        const size_t plane = t->plane, panel = t->panel;                                                     \
        float *const out = t->sums;                                                                          \
        if (t->add)                                                                                          \
            EACH_ROW EACH_PANEL(count) sums[r][v] = *(const MEMORY_8 *)(out + (r * count + v) * LANES);      \
        else                                                                                                 \
            EACH_ROW EACH_PANEL(count) sums[r][v] = (VEC_8){0};                                              \
        for (; w < end; x0 += plane, x1 += plane, x2 += plane, x3 += plane)                                  \
            _Pragma("GCC unroll 8") for (size_t j = 0; j < LANES; j++, w += LANES) {                         \
                VEC_8 row[count];                                                                            \
                EACH_PANEL(count) row[v] = *(const MEMORY_8 *)(w + v * panel);                               \
                ROW(0, count, PLACE)                                                                         \
                ROW(1, count, PLACE)                                                                         \
                ROW(2, count, PLACE)                                                                         \
                ROW(3, count, PLACE)                                                                         \
            }                                                                                                \
        EACH_ROW EACH_PANEL(count) * (MEMORY_8 *)(out + (r * count + v) * LANES) = sums[r][v];               \
    }

TILE(next_to, 1, NEXT_TO)
TILE(next_to, 2, NEXT_TO)
TILE(next_to, 3, NEXT_TO)
TILE(apart, 1, APART)
TILE(apart, 2, APART)
TILE(apart, 3, APART)

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

/* Floats from one block of the small or the large grid to the next. */
static size_t plane_of(const mq_pointwise *p, bool large) {
    return (large ? p->window.h * p->window.w : pixels_of(p)) * LANES;
}

/* Panels of the result, and groups of them: up to PANELS each, and as even as can be, as few sums hide less
 * of a multiply-add's latency. */
static size_t panels_of(const mq_pointwise *p) {
    return outer_of(p) / LANES;
}

static size_t groups_of(const mq_pointwise *p) {
    return (panels_of(p) + PANELS - 1) / PANELS;
}

/* The pixels from begin to end, and the panels of a group. */
typedef struct {
    size_t begin, end, first, panels;
} piece;

/* The result of a tile of some rows. */
TARGET_8 static void finish(const mq_pointwise *p, const piece *of, size_t pixel, size_t rows,
                            const float *sums) {
    const size_t plane = plane_of(p, p->back), panels = of->panels;
    WORDS_8 kept = {0};
    if (!p->relu) kept = ~kept;
    for (size_t r = 0; r < rows; r++) {
        float *const y = p->result + of->first * plane + place(&p->window, pixel + r, p->back) * LANES;
        for (size_t v = 0; v < panels; v++) {
            MEMORY_8 *const to = (MEMORY_8 *)(y + v * plane);
            VEC_8 sum = *(const MEMORY_8 *)(sums + (r * panels + v) * LANES);
            if (p->bias) sum += *(const MEMORY_8 *)(p->bias + (of->first + v) * LANES);
            if (p->sum) sum += *to;
            *to = (VEC_8)((WORDS_8)sum & (~(WORDS_8)(sum < (VEC_8){0}) | kept)); /* a NaN stays */
        }
    }
}

/* sums [pixels][panels][LANES] of a piece, or their part from number k of the source's pixels on. What is
 * done is written at once: a tile's products hide the way to memory. */
static void multiply(const mq_pointwise *p, const piece *of, size_t k, size_t depth, float *sums) {
    static const tile_fn next[PANELS] = {next_to_1, next_to_2, next_to_3},
                         any[PANELS] = {apart_1, apart_2, apart_3};
    const bool large = !p->back, dense = p->back || p->window.stride == 1, last = k + depth == inner_of(p);
    tile t = {.weights = p->weights + (of->first * inner_of(p) + k) * LANES,
              .panel = inner_of(p) * LANES,
              .plane = plane_of(p, large),
              .depth = depth,
              .sums = sums,
              .add = k > 0};
    const float *const x = p->source + k / LANES * t.plane;
    for (size_t i = of->begin; i < of->end; i += ROWS) {
        const size_t rows = least(ROWS, of->end - i);
        for (size_t r = 0; r < ROWS; r++)
            t.x[r] = x + place(&p->window, i + (r < rows ? r : 0), large) * LANES;
        (dense && rows == ROWS ? next : any)[of->panels - 1](&t);
        if (last) finish(p, of, i, rows, t.sums);
        t.sums += ROWS * of->panels * LANES;
    }
}

size_t mq_pointwise_items(const mq_pointwise *p) {
    return (pixels_of(p) + PIXELS - 1) / PIXELS * groups_of(p);
}

void mq_pointwise_run(const mq_pointwise *p, size_t from, size_t to) {
    const size_t groups = groups_of(p), blocks = inner_of(p) / LANES,
                 parts = (inner_of(p) + DEPTH - 1) / DEPTH;
    float sums[PIXELS * PANELS * LANES] __attribute__((aligned(64)));
    for (size_t item = from; item < to; item++) {
        const size_t begin = item / groups * PIXELS, group = item % groups;
        const size_t first = panels_of(p) * group / groups;
        const piece of = {begin, least(begin + PIXELS, pixels_of(p)), first,
                          panels_of(p) * (group + 1) / groups - first};
        for (size_t part = 0; part < parts; part++) {
            const size_t k = blocks * part / parts * LANES;
            multiply(p, &of, k, blocks * (part + 1) / parts * LANES - k, sums);
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
