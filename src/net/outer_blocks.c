/* outer_blocks.c: multiplies panels of 8 channels of the source by up to three blocks of the gradient, some
 * pixels of a picture or of several small ones at a time, in registers (see outer.c). Called by trainable.c.
 * Owns nothing. A panel is what the window sees of a block at one of its places: a block itself where the
 * window takes every pixel as it is, else it is packed. Invariant: a number is summed pixel by pixel in an
 * order that the window alone decides. */
#include "net/outer_blocks.h"

#include "net/simd.h"

#include <string.h>

/* A tile of sums is 4 channels by up to 3 blocks, 12 vectors. DEPTH pixels of a panel and three blocks stay
 * in the first cache (8 and 24 kB). */
enum { BLOCK = MQ_BLOCK, ROWS = 4, BLOCKS = 3, DEPTH = 256 };

typedef struct {
    const float *source, *gradient;              /* of each picture [depth][BLOCK] */
    size_t pictures, source_step, gradient_step; /* floats from one picture to the next */
    size_t depth, plane; /* plane: floats from one block of the gradient to the next */
    float *sum;          /* [BLOCK, blocks * BLOCK], of which rows are wanted */
    size_t stride, rows; /* stride: floats from one row to the next */
    bool first;          /* sums are overwritten, else added to */
} tile;
typedef void (*tile_fn)(const tile *t);

#define TILE(count)                                                                                          \
    TARGET_8 static void tile_##count(const tile *t) {                                                       \
        for (size_t half = 0; half < t->rows; half += ROWS) {                                                \
            const float *x = t->source + half, *g = t->gradient;                                             \
            const size_t plane = t->plane, depth = t->depth;                                                 \
            float *const sum = t->sum + half * t->stride;                                                    \
            VEC_8 sums[ROWS][count];                                                                         \
            _Pragma("GCC unroll 4") for (size_t r = 0; r < ROWS; r++)                                        \
                _Pragma("GCC unroll 3") for (size_t v = 0; v < count; v++) sums[r][v] = (VEC_8){0};          \
            for (size_t r = 0; r < ROWS && half + r < t->rows; r++) {                                        \
                __builtin_prefetch(sum + r * t->stride, 1);                                                  \
                __builtin_prefetch(sum + r * t->stride + count * BLOCK - 1, 1);                              \
            }                                                                                                \
            for (size_t i = 0; i < t->pictures; i++, x += t->source_step, g += t->gradient_step)             \
                _Pragma("GCC unroll 4") for (size_t k = 0; k < depth; k++) {                                 \
                    VEC_8 row[count];                                                                        \
                    _Pragma("GCC unroll 3") for (size_t v = 0; v < count; v++)                               \
                        row[v] = *(const MEMORY_8 *)(g + v * plane + k * BLOCK);                             \
                    _Pragma("GCC unroll 4") for (size_t r = 0; r < ROWS; r++) {                              \
                        const VEC_8 one = SPREAD_8(x[k * BLOCK + r]);                                        \
                        _Pragma("GCC unroll 3") for (size_t v = 0; v < count; v++)                           \
                            MADD_TO_8(sums[r][v], one, row[v]);                                              \
                    }                                                                                        \
                }                                                                                            \
            _Pragma("GCC unroll 4") for (size_t r = 0; r < ROWS; r++) {                                      \
                if (half + r >= t->rows) break;                                                              \
                _Pragma("GCC unroll 3") for (size_t v = 0; v < count; v++) {                                 \
                    MEMORY_8 *const to = (MEMORY_8 *)(sum + r * t->stride + v * BLOCK);                      \
                    *to = t->first ? sums[r][v] : sums[r][v] + *to;                                          \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
    }
TILE(1)
TILE(2)
TILE(3)

static size_t pieces_of(size_t count, size_t size) {
    return (count + size - 1) / size;
}

/* The rows of sum from first to last. */
typedef struct {
    const mq_outer *o;
    size_t first, last;
    float *packed; /* [panels][DEPTH][BLOCK] */
} job;

/* The same neighbouring pixels of some pictures, DEPTH in all at most. */
typedef struct {
    size_t picture, pictures, first, count;
} stretch;

static size_t rows_of(const mq_window *w) {
    return w->kernel * w->kernel * w->c;
}

static bool is_blocked(const mq_window *w) {
    return w->c % BLOCK == 0;
}

/* Whether a panel is a block of the source as it lies, through all its pixels. */
static bool is_plain(const mq_window *w) {
    return is_blocked(w) && w->kernel == 1 && w->stride == 1;
}

/* Whether panels must be packed; else those of a row of pixels lie in the source at least. */
static bool is_packed(const mq_window *w) {
    return !is_blocked(w) || w->stride != 1 || w->top || w->left || w->bottom || w->right;
}

/* Where a picture's channel c begins, which is the first of its block. */
static const float *plane(const mq_outer *o, size_t picture, size_t c, size_t block) {
    const float *source = (const float *)(const void *)(o->source + picture * o->source_bytes);
    return source + c / block * o->window.h * o->window.w * block;
}

/* Where the source of a stretch's first picture lies that its windows see as the rows of sum from row on; not
 * packed. */
static const float *seen(const mq_outer *o, const stretch *s, size_t row) {
    const mq_window *w = &o->window;
    const size_t tap = row / w->c, y = s->first / w->out_w + tap / w->kernel,
                 x = s->first % w->out_w + tap % w->kernel;
    return plane(o, s->picture, row % w->c, BLOCK) + (y * w->w + x) * BLOCK;
}

/* What the window of a stretch sees of a picture as the rows of sum from row on that lie together: block
 * numbers of each pixel, to the panel's column at `to`. */
static void pack_block(const mq_outer *o, const stretch *s, size_t picture, size_t row, size_t block,
                       float *to) {
    const mq_window *w = &o->window;
    const size_t tap_x = row / w->c % w->kernel;
    for (size_t done = 0, n; done < s->count; done += n, to += n * BLOCK) {
        const size_t y = (s->first + done) / w->out_w, x = (s->first + done) % w->out_w;
        const size_t tap_y = y * w->stride + row / w->c / w->kernel - w->top; /* may wrap */
        n = least(w->out_w - x, s->count - done);
        if (tap_y >= w->h) continue;
        const float *source = plane(o, picture, row % w->c, block) + tap_y * w->w * block;
        for (size_t i = 0; i < n; i++) {
            const size_t at = (x + i) * w->stride + tap_x - w->left;
            for (size_t k = 0; k < block && at < w->w; k++) to[i * BLOCK + k] = source[at * block + k];
        }
    }
}

/* The panel of the rows from row on. */
static void pack_panel(const job *j, const stretch *s, size_t row, float *to) {
    const size_t rows = least(BLOCK, rows_of(&j->o->window) - row);
    memset(to, 0, s->pictures * s->count * BLOCK * sizeof *to);
    for (size_t i = 0; i < s->pictures; i++, to += s->count * BLOCK)
        if (is_blocked(&j->o->window))
            pack_block(j->o, s, s->picture + i, row, BLOCK, to);
        else
            for (size_t r = 0; r < rows; r++) pack_block(j->o, s, s->picture + i, row + r, 1, to + r);
}

/* All tiles of the job over a stretch; first: nothing has been summed yet. */
static void multiply(const job *j, const stretch *s, bool first) {
    static const tile_fn tiles[BLOCKS] = {tile_1, tile_2, tile_3};
    const mq_outer *o = j->o;
    const mq_window *w = &o->window;
    const size_t pixels = w->out_h * w->out_w, blocks = o->filters / BLOCK,
                 groups = pieces_of(blocks, BLOCKS),
                 source_step = is_packed(w) ? s->count * BLOCK : o->source_bytes / sizeof(float);
    const float *gradient = (const float *)(const void *)(o->gradient + s->picture * o->gradient_bytes);
    for (size_t group = 0; group < groups; group++) {
        const size_t begin = blocks * group / groups, count = blocks * (group + 1) / groups - begin;
        for (size_t row = j->first; row < j->last; row += BLOCK) {
            const float *source = is_packed(w) ? j->packed + (row - j->first) * DEPTH : seen(o, s, row);
            tiles[count - 1](&(tile){.source = source,
                                     .gradient = gradient + (begin * pixels + s->first) * BLOCK,
                                     .pictures = s->pictures,
                                     .source_step = source_step,
                                     .gradient_step = o->gradient_bytes / sizeof(float),
                                     .depth = s->count,
                                     .plane = pixels * BLOCK,
                                     .sum = o->sum + row * o->filters + begin * BLOCK,
                                     .stride = o->filters,
                                     .rows = least(BLOCK, j->last - row),
                                     .first = first});
        }
    }
}

size_t mq_outer_blocks_scratch(const mq_window *window, size_t parts) {
    return is_packed(window) ? pieces_of(mq_outer_parts(window), parts) * BLOCK * DEPTH * sizeof(float) : 0;
}

void mq_outer_blocks(const mq_outer *o, size_t part, size_t parts) {
    const mq_window *w = &o->window;
    const size_t panels = mq_outer_parts(w), pixels = w->out_h * w->out_w;
    /* A stretch of a packed or plain source goes on in the next row of pixels. */
    const size_t whole = is_packed(w) || is_plain(w) ? pixels : w->out_w, cuts = pieces_of(whole, DEPTH),
                 runs = pixels / whole;
    const job j = {.o = o,
                   .first = panels * part / parts * BLOCK,
                   .last = least(panels * (part + 1) / parts * BLOCK, rows_of(w)),
                   .packed = o->scratch};
    const size_t together = least(w->n, DEPTH / pieces_of(whole, cuts));
    for (size_t i = 0; i < pieces_of(w->n, together) * runs * cuts; i++) {
        const size_t run = i / cuts, cut = i % cuts, picture = run / runs * together;
        const size_t begin = whole * cut / cuts, end = whole * (cut + 1) / cuts;
        const stretch s = {picture, least(together, w->n - picture), run % runs * whole + begin, end - begin};
        for (size_t row = j.first; is_packed(w) && row < j.last; row += BLOCK)
            pack_panel(&j, &s, row, j.packed + (row - j.first) * DEPTH);
        multiply(&j, &s, i == 0 && !o->add);
    }
}
