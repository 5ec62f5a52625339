/* outer.c: packs a few pixels of both tensors into panels that lie as they are read, then multiplies panel by
 * panel in registers (K. Goto, R. van de Geijn, Anatomy of High-Performance Matrix Multiplication, 2008).
 * Called by trainable.c. Owns nothing.
 *
 * A word of a panel is one f32, or two bf16 of neighbouring pixels, which one instruction multiplies and
 * adds. Invariant: rows and columns that are not there count as zeros and are never stored. */
#include "net/outer.h"

#include "net/program.h"
#include "net/simd.h"

#include "base/mem.h"

#include <string.h>

/* A tile of sums is ROWS by up to COLUMNS; DEPTH words of both panels stay in the first cache (3 and 18 kB).
 * Panels lie SKEW words apart beyond that, so that they do not meet in the same cache sets. */
enum { ROWS = 8, COLUMNS = 48, DEPTH = 96, SKEW = 16, TILES = 3, PACKED = 8 };
enum { SOURCE_PANEL = DEPTH * ROWS + SKEW, GRADIENT_PANEL = DEPTH * COLUMNS + SKEW };

/* sum [ROWS, columns] = or += source panel x gradient panel over depth words; stride in floats. */
typedef void (*tile_fn)(const uint32_t *source, const uint32_t *gradient, size_t depth, float *sum,
                        size_t stride, bool first);

/* A tile of count vectors, at once rows of its lines: as many sums as the registers hold. */
#define TILE(name, target, isa, madd, at_once, count)                                                        \
    target static void name##_##count(const uint32_t *x, const uint32_t *g, size_t depth, float *sum,        \
                                      size_t stride, bool first) {                                           \
        enum { LANES = sizeof(VEC_##isa) / sizeof(float) };                                                  \
        for (size_t part = 0; part < ROWS; part += at_once, x += at_once, sum += at_once * stride) {         \
            VEC_##isa sums[at_once][count];                                                                  \
            _Pragma("GCC unroll 8") for (size_t r = 0; r < at_once; r++) {                                   \
                __builtin_prefetch(sum + r * stride, 1);                                                     \
                __builtin_prefetch(sum + r * stride + count * LANES - 1, 1);                                 \
                _Pragma("GCC unroll 3") for (size_t v = 0; v < count; v++) sums[r][v] = ZERO_##isa;          \
            }                                                                                                \
            _Pragma("GCC unroll 4") for (size_t k = 0; k < depth; k++) {                                     \
                VEC_##isa row[count];                                                                        \
                _Pragma("GCC unroll 3") for (size_t v = 0; v < count; v++)                                   \
                    row[v] = GET_f32_##isa(g + k * COLUMNS + v * LANES);                                     \
                _Pragma("GCC unroll 8") for (size_t r = 0; r < at_once; r++) {                               \
                    const VEC_##isa one = BITS_##isa(x + k * ROWS + r);                                      \
                    _Pragma("GCC unroll 3") for (size_t v = 0; v < count; v++)                               \
                        sums[r][v] = madd(one, row[v], sums[r][v]);                                          \
                }                                                                                            \
            }                                                                                                \
            _Pragma("GCC unroll 8") for (size_t r = 0; r < at_once; r++)                                     \
                _Pragma("GCC unroll 3") for (size_t v = 0; v < count; v++) {                                 \
                float *to = sum + r * stride + v * LANES;                                                    \
                if (!first) sums[r][v] = ADD_##isa(sums[r][v], LOAD_##isa(to));                              \
                STORE_##isa(to, sums[r][v]);                                                                 \
            }                                                                                                \
        }                                                                                                    \
    }

/* Packs count channels, a multiple of PACKED, of neighbouring pixels that lie pixel bytes apart from `from`
 * on, one (f32) or two (bf16: the first one's numbers below) in each of depth words. */
typedef struct {
    uint32_t *to;
    size_t panel, width; /* words from one panel to the next, and of a panel's row */
    const uint8_t *from;
    size_t pixel, count, depth;
} packing;
typedef void (*pack_fn)(const packing *p);

/* What one instruction set gives: tiles of 1, 2, ... vectors. */
typedef struct {
    tile_fn tiles[TILES];
    size_t most, lanes; /* vectors of the widest tile, floats of a vector */
    pack_fn pack;
} tile_set;

static void pack_f32(const packing *p) {
    for (size_t k = 0; k < p->depth; k++) {
        uint32_t *to = p->to + k * p->width;
        const uint8_t *from = p->from + k * p->pixel;
        for (size_t c = 0, in = 0; c < p->count; c += PACKED, in += PACKED) {
            if (in == p->width) in = 0, to += p->panel;
            memcpy(to + in, from + c * sizeof *to, PACKED * sizeof *to);
        }
    }
}

/* A vector of what is at p: a number, or a pair of bf16. */
static inline float bits_any(const uint32_t *p) {
    float number;
    memcpy(&number, p, sizeof number);
    return number;
}
#define BITS_any(p) SPREAD_any(bits_any(p))
TILE(f32_any, , any, MADD_any, 4, 1)
TILE(f32_any, , any, MADD_any, 4, 2)
TILE(f32_any, , any, MADD_any, 4, 3)
static const tile_set set_f32_any = {{f32_any_1, f32_any_2, f32_any_3}, 3, 4, pack_f32};

#ifdef __x86_64__
#define BITS_256(p) _mm256_castsi256_ps(_mm256_set1_epi32((int)*(p)))
TILE(f32_256, WITH("avx2,fma"), 256, MADD_256, 4, 1)
TILE(f32_256, WITH("avx2,fma"), 256, MADD_256, 4, 2)
TILE(f32_256, WITH("avx2,fma"), 256, MADD_256, 4, 3)
static const tile_set set_f32_256 = {{f32_256_1, f32_256_2, f32_256_3}, 3, 8, pack_f32};

#define BITS_512(p) _mm512_castsi512_ps(_mm512_set1_epi32((int)*(p)))
TILE(f32_512, WITH("avx512f"), 512, MADD_512, ROWS, 1)
TILE(f32_512, WITH("avx512f"), 512, MADD_512, ROWS, 2)
TILE(f32_512, WITH("avx512f"), 512, MADD_512, ROWS, 3)
static const tile_set set_f32_512 = {{f32_512_1, f32_512_2, f32_512_3}, 3, 16, pack_f32};
WITH("avx512f,avx512vl,avx512bw")
static void pack_bf16(const packing *p) {
    for (size_t k = 0; k < p->depth; k++) {
        uint32_t *to = p->to + k * p->width;
        const uint8_t *low = p->from + 2 * k * p->pixel, *high = low + p->pixel;
        for (size_t c = 0, in = 0; c < p->count; c += PACKED, in += PACKED) {
            if (in == p->width) in = 0, to += p->panel;
            const __m256i below = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)(low + 2 * c)));
            const __m256i above = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)(high + 2 * c)));
            _mm256_storeu_si256((void *)(to + in), _mm256_or_si256(below, _mm256_slli_epi32(above, 16)));
        }
    }
}

TILE(bf16_512, WITH("avx512f,avx512bf16"), 512, DOT_512, ROWS, 1)
TILE(bf16_512, WITH("avx512f,avx512bf16"), 512, DOT_512, ROWS, 2)
TILE(bf16_512, WITH("avx512f,avx512bf16"), 512, DOT_512, ROWS, 3)
static const tile_set set_bf16_512 = {{bf16_512_1, bf16_512_2, bf16_512_3}, 3, 16, pack_bf16};
#endif

static size_t rows_of(const mq_window *w) {
    return w->kernel * w->kernel * w->c;
}

size_t mq_outer_parts(const mq_window *window) {
    return mq_ceil_div(rows_of(window), ROWS);
}

static size_t source_words(const mq_window *window, size_t parts) {
    return mq_ceil_div(mq_outer_parts(window), parts) * SOURCE_PANEL;
}

size_t mq_outer_scratch(const mq_window *window, size_t filters, size_t parts) {
    return (source_words(window, parts) + mq_ceil_div(filters, COLUMNS) * GRADIENT_PANEL) * sizeof(uint32_t);
}

/* The rows of sum from first to last, in panels of both tensors; in_word: pixels in a word. */
typedef struct {
    const mq_outer *o;
    const tile_set *set;
    size_t first, last, in_word;
    uint32_t *source, *gradient; /* [blocks][SOURCE_PANEL], [blocks][GRADIENT_PANEL] */
} job;

/* One tensor's panels, which take count of its channels from first on. */
typedef struct {
    uint32_t *panels;
    size_t panel, width;
    const uint8_t *tensor;
    size_t picture_bytes, channels, first, count;
} operand;

static size_t number_bytes(const job *j) {
    return sizeof(uint32_t) / j->in_word;
}

/* Number i of a pixel as bits; NULL: a pixel that is not there, zero. */
static uint32_t bits_at(const job *j, const uint8_t *pixel, size_t i) {
    if (!pixel) return 0;
    uint32_t word;
    uint16_t half;
    if (j->in_word == 1)
        memcpy(&word, pixel + i * sizeof word, sizeof word);
    else
        memcpy(&half, pixel + i * sizeof half, sizeof half), word = half;
    return word;
}

/* count numbers of one or two pixels, which go to index at of word k of the panels. */
typedef struct {
    size_t k, at, count;
    const uint8_t *a, *b; /* b: the next pixel, also where words hold one */
} pixel_run;

static void pack_few(const job *j, const operand *o, const pixel_run *run) {
    for (size_t i = 0; i < run->count; i++) {
        const uint32_t high = j->in_word == 2 ? bits_at(j, run->b, i) << 16 : 0;
        const size_t at = run->at + i;
        o->panels[at / o->width * o->panel + run->k * o->width + at % o->width] = bits_at(j, run->a, i) |
                                                                                  high;
    }
}

/* The same for depth words of pixels that all lie as far apart as a and b. */
static void pack_run(const job *j, const operand *o, const pixel_run *run, size_t depth) {
    const size_t pixel = (size_t)(run->b - run->a);
    size_t done = 0;
    if (run->at % o->width == 0) {
        done = run->count / PACKED * PACKED;
        j->set->pack(&(packing){.to = o->panels + run->at / o->width * o->panel + run->k * o->width,
                                .panel = o->panel,
                                .width = o->width,
                                .from = run->a,
                                .pixel = pixel,
                                .count = done,
                                .depth = depth});
    }
    for (size_t i = 0; i < depth && done < run->count; i++) {
        const uint8_t *a = run->a + i * j->in_word * pixel + done * number_bytes(j);
        pack_few(j, o, &(pixel_run){run->k + i, run->at + done, run->count - done, a, a + pixel});
    }
}

/* depth words from pixel number on of a tensor whose pixels are taken as they lie. */
static void pack_plain(const job *j, const operand *o, size_t number, size_t depth) {
    const size_t pixels = j->o->window.out_h * j->o->window.out_w, bytes = number_bytes(j);
    const size_t pixel = o->channels * bytes;
    for (size_t k = 0; k < depth;) {
        const size_t at = number + k * j->in_word, left = pixels - at % pixels, words = left / j->in_word;
        const uint8_t *from = o->tensor + at / pixels * o->picture_bytes + at % pixels * pixel +
                              o->first * bytes;
        pixel_run run = {k, 0, o->count, from, from + pixel};
        if (words) {
            const size_t now = words < depth - k ? words : depth - k;
            pack_run(j, o, &run, now);
            k += now;
        } else { /* the last pixel of a picture and the first of the next */
            const size_t next = at / pixels + 1;
            const uint8_t *first = o->tensor + next * o->picture_bytes + o->first * bytes;
            run.b = next < j->o->window.n ? first : NULL;
            pack_few(j, o, &run);
            k++;
        }
    }
}

/* count pixels of the source in a row, from what the window of pixel number sees at (y, x) on. */
typedef struct {
    size_t number, y, x, count;
} sight;

/* Where they lie; NULL unless all are inside. */
static const uint8_t *seen_at(const job *j, const sight *s) {
    const mq_window *w = &j->o->window;
    const size_t pixels = w->out_h * w->out_w, at = s->number % pixels;
    const size_t row = at / w->out_w * w->stride + s->y - w->top; /* may wrap */
    const size_t column = at % w->out_w * w->stride + s->x - w->left;
    if (s->number >= w->n * pixels || row >= w->h || column >= w->w || column + s->count > w->w) return NULL;
    return j->o->source + s->number / pixels * j->o->source_bytes +
           (row * w->w + column) * w->c * number_bytes(j);
}

/* Packs them as far as the job has their rows. What is outside counts as zero; but strict packs nothing then
 * and says false. */
static bool pack_seen(const job *j, const operand *o, size_t k, sight s, bool strict) {
    const mq_window *w = &j->o->window;
    const size_t begin = (s.y * w->kernel + s.x) * w->c, end = begin + s.count * w->c;
    const size_t from = begin > j->first ? begin : j->first, to = end < j->last ? end : j->last;
    if (from >= to) return true;
    const size_t skipped = (from - begin) * number_bytes(j);
    pixel_run run = {k, from - j->first, to - from, seen_at(j, &s), NULL};
    s.number++;
    run.b = j->in_word == 2 ? seen_at(j, &s) : run.a;
    const bool whole = run.a && run.b;
    if (strict && !whole) return false;
    if (run.a) run.a += skipped;
    if (run.b) run.b += skipped;
    if (whole)
        pack_run(j, o, &run, 1);
    else
        pack_few(j, o, &run);
    return true;
}

/* A row of the window is one run of memory unless it crosses an edge. */
static void pack_windows(const job *j, const operand *o, size_t number, size_t depth) {
    const size_t kernel = j->o->window.kernel;
    for (size_t k = 0; k < depth; k++)
        for (size_t y = 0; y < kernel; y++) {
            sight s = {number + k * j->in_word, y, 0, kernel};
            if (pack_seen(j, o, k, s, true)) continue;
            s.count = 1;
            for (; s.x < kernel; s.x++) pack_seen(j, o, k, s, false);
        }
}

static void pack(const job *j, size_t number, size_t depth) {
    const mq_outer *o = j->o;
    const mq_window *w = &o->window;
    const operand gradient = {j->gradient,       GRADIENT_PANEL, COLUMNS, o->gradient,
                              o->gradient_bytes, o->filters,     0,       o->filters};
    const operand source = {j->source,       SOURCE_PANEL, ROWS,     o->source,
                            o->source_bytes, w->c,         j->first, j->last - j->first};
    pack_plain(j, &gradient, number, depth);
    if (w->kernel == 1 && w->stride == 1)
        pack_plain(j, &source, number, depth);
    else
        pack_windows(j, &source, number, depth);
}

/* A tile of which only rows and columns are there; the arguments are those of set->tiles. */
typedef struct {
    tile_fn tile;
    const uint32_t *source, *gradient;
    float *sum;
    size_t rows, columns;
} edge;

static void edge_tile(const edge *e, size_t depth, size_t stride, bool first) {
    float whole[ROWS * COLUMNS];
    e->tile(e->source, e->gradient, depth, whole, COLUMNS, true);
    for (size_t r = 0; r < e->rows; r++)
        for (size_t c = 0; c < e->columns; c++) {
            float *to = e->sum + r * stride + c;
            *to = first ? whole[r * COLUMNS + c] : *to + whole[r * COLUMNS + c];
        }
}

/* All tiles of the job's rows and the columns from column on that one panel holds. */
static void multiply_panel(const job *j, size_t column, size_t depth, bool first) {
    const tile_set *set = j->set;
    const size_t filters = j->o->filters, end = column + COLUMNS < filters ? column + COLUMNS : filters;
    const size_t most = set->most * set->lanes;
    for (size_t row = j->first; row < j->last; row += ROWS)
        for (size_t c = column; c < end; c += most) {
            edge e = {.source = j->source + (row - j->first) / ROWS * SOURCE_PANEL,
                      .gradient = j->gradient + column / COLUMNS * GRADIENT_PANEL + c - column,
                      .sum = j->o->sum + row * filters + c,
                      .rows = j->last - row < ROWS ? j->last - row : ROWS,
                      .columns = end - c < most ? end - c : most};
            const size_t vectors = mq_ceil_div(e.columns, set->lanes);
            e.tile = set->tiles[vectors - 1];
            if (e.rows == ROWS && e.columns == vectors * set->lanes)
                e.tile(e.source, e.gradient, depth, e.sum, filters, first);
            else
                edge_tile(&e, depth, filters, first);
        }
}

static void run_part(const mq_outer *o, const tile_set *set, size_t in_word, size_t part, size_t parts) {
    const size_t blocks = mq_outer_parts(&o->window), rows = rows_of(&o->window);
    const size_t pixels = o->window.n * o->window.out_h * o->window.out_w;
    job j = {.o = o,
             .set = set,
             .first = blocks * part / parts * ROWS,
             .last = blocks * (part + 1) / parts * ROWS,
             .in_word = in_word,
             .source = o->scratch};
    if (j.last > rows) j.last = rows;
    j.gradient = j.source + source_words(&o->window, parts);
    memset(j.source, 0, mq_outer_scratch(&o->window, o->filters, parts));
    for (size_t number = 0; number < pixels; number += DEPTH * in_word) {
        const size_t left = mq_ceil_div(pixels - number, in_word), depth = left < DEPTH ? left : DEPTH;
        pack(&j, number, depth);
        for (size_t column = 0; column < o->filters; column += COLUMNS)
            multiply_panel(&j, column, depth, number == 0 && !o->add);
    }
}

static void run_f32_any(const mq_outer *o, size_t part, size_t parts) {
    run_part(o, &set_f32_any, 1, part, parts);
}

#ifdef __x86_64__
static void run_f32_256(const mq_outer *o, size_t part, size_t parts) {
    run_part(o, &set_f32_256, 1, part, parts);
}

static void run_f32_512(const mq_outer *o, size_t part, size_t parts) {
    run_part(o, &set_f32_512, 1, part, parts);
}

static void run_bf16_512(const mq_outer *o, size_t part, size_t parts) {
    run_part(o, &set_bf16_512, 2, part, parts);
}
#endif

mq_outer_fn mq_outer_of(mq_dtype dtype) {
#ifdef __x86_64__
    const mq_simd simd = mq_dnn_simd();
    if (dtype == MQ_BF16) return run_bf16_512;
    if (simd == MQ_SIMD_AVX512) return run_f32_512;
    if (simd == MQ_SIMD_AVX2) return run_f32_256;
#else
    (void)dtype; /* f32 only */
#endif
    return run_f32_any;
}
