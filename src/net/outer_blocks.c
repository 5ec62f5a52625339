/* outer_blocks.c: multiplies panels of a block of the source by up to three blocks of the gradient, some
 * pixels of a picture or of several small ones at a time, in registers (see outer.c). Called by trainable.c.
 * Owns nothing. A word of a panel is one f32, or two bf16 of neighbouring pixels. A panel is what the window
 * sees of a block at one of its places: in f32 a block itself where the window takes every pixel as it is,
 * else it is packed. Invariant: a number is summed pixel by pixel in an order that the window alone decides.
 */
#include "net/outer_blocks.h"

#include "net/program.h"
#include "net/simd.h"
#include "net/thin.h"

#include "base/mem.h"

#include <string.h>

enum { BLOCKS = 3, FINER = 4, FINER_PACKED = 2 };

/* What later tiles read, fetched meanwhile: bytes for each word of a tile, and from one picture to the next.
 */
typedef struct {
    const uint8_t *from;
    size_t step, picture;
} fetch;

typedef struct {
    const float *source, *gradient;              /* words, of each picture [depth][block] */
    size_t pictures, source_step, gradient_step; /* words from one picture to the next */
    size_t depth, plane;                         /* plane: words from one block of the gradient to the next */
    float *sum;                                  /* [block, columns], of which rows are wanted */
    const float *scale;                          /* of the columns; NULL: 1 */
    size_t stride, rows;                         /* stride: floats from one row to the next */
    size_t columns;
    bool first;     /* sums are overwritten, else added to */
    fetch ahead[2]; /* while the first channels are multiplied, and the others */
} tile;
typedef void (*tile_fn)(const tile *t);

/* count pixels of a block as words; an odd pixel at the end is followed by a zero. */
typedef void (*pair_fn)(const uint8_t *from, size_t count, float *to);

struct mq_outer_blocks {
    size_t block, number;  /* channels; bytes of a tensor's number */
    size_t depth;          /* words of a panel: as often as one ends, all sums are read and written */
    tile_fn tiles[BLOCKS]; /* of 1, 2, ... blocks */
    pair_fn pair;          /* NULL: a word is a number */
};

/* Adds the products of word k. The loop around it is worth its length in instructions, most of all where
 * another thread has a share of the core. */
#define WORD(isa, madd, block, at_once, count, k)                                                            \
    {                                                                                                        \
        VEC_##isa row[count];                                                                                \
        _Pragma("GCC unroll 3") for (size_t v = 0; v < count; v++)                                           \
            row[v] = READ_##isa(g + v * plane + (k)*block);                                                  \
        _Pragma("GCC unroll 8") for (size_t r = 0; r < at_once; r++) {                                       \
            const VEC_##isa one = SPREAD_##isa(x[(k)*block + r]);                                            \
            _Pragma("GCC unroll 3") for (size_t v = 0; v < count; v++) madd(sums[r][v], one, row[v]);        \
        }                                                                                                    \
    }

/* Sums of at_once channels by count blocks: as many as the registers hold. */
#define TILE(name, target, isa, madd, block, at_once, count)                                                 \
    target static void name##_##count(const tile *t) {                                                       \
        for (size_t part = 0; part < t->rows; part += at_once) {                                             \
            const float *x = t->source + part, *g = t->gradient;                                             \
            const size_t plane = t->plane, depth = t->depth;                                                 \
            float *const sum = t->sum + part * t->stride;                                                    \
            VEC_##isa sums[at_once][count];                                                                  \
            _Pragma("GCC unroll 8") for (size_t r = 0; r < at_once; r++)                                     \
                _Pragma("GCC unroll 3") for (size_t v = 0; v < count; v++) sums[r][v] = (VEC_##isa){0};      \
            for (size_t r = 0; r < at_once && part + r < t->rows; r++) {                                     \
                __builtin_prefetch(sum + r * t->stride, 1);                                                  \
                __builtin_prefetch(sum + r * t->stride + count * block - 1, 1);                              \
            }                                                                                                \
            const fetch *const f = &t->ahead[part > 0];                                                      \
            const size_t step = f->step, lines = block / 4; /* lines: of the cache, in four words */         \
            for (size_t i = 0; i < t->pictures; i++, x += t->source_step, g += t->gradient_step) {           \
                const uint8_t *ahead = f->from + i * f->picture;                                             \
                size_t k = 0;                                                                                \
                for (; k + 4 <= depth; k += 4, ahead += 4 * step) {                                          \
                    _Pragma("GCC unroll 4") for (size_t line = 0; line < lines; line++)                      \
                        __builtin_prefetch(ahead + line * 4 * step / lines, 0, 2);                           \
                    WORD(isa, madd, block, at_once, count, k)                                                \
                    WORD(isa, madd, block, at_once, count, k + 1)                                            \
                    WORD(isa, madd, block, at_once, count, k + 2)                                            \
                    WORD(isa, madd, block, at_once, count, k + 3)                                            \
                }                                                                                            \
                for (; k < depth; k++) WORD(isa, madd, block, at_once, count, k)                             \
            }                                                                                                \
            _Pragma("GCC unroll 8") for (size_t r = 0; r < at_once; r++) {                                   \
                if (part + r >= t->rows) break;                                                              \
                _Pragma("GCC unroll 3") for (size_t v = 0; v < count; v++) {                                 \
                    float *const to = sum + r * t->stride + v * block;                                       \
                    const size_t n = t->columns - v * block;                                                 \
                    if (t->scale) sums[r][v] *= READ_##isa(t->scale + v * block);                            \
                    if (!t->first) sums[r][v] += READ_SOME_##isa(to, n);                                     \
                    WRITE_##isa(to, sums[r][v], n);                                                          \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
    }

/* Filters fill blocks of 8. */
#define READ_8(p) (*(const MEMORY_8 *)(p))
#define READ_SOME_8(p, n) ((void)(n), READ_8(p))
#define WRITE_8(p, v, n) (*(MEMORY_8 *)(p) = (v))
TILE(f32_8, TARGET_8, 8, MADD_TO_8, 8, 4, 1)
TILE(f32_8, TARGET_8, 8, MADD_TO_8, 8, 4, 2)
TILE(f32_8, TARGET_8, 8, MADD_TO_8, 8, 4, 3)
static const mq_outer_blocks blocks_f32_8 = {8, sizeof(float), 768, {f32_8_1, f32_8_2, f32_8_3}, NULL};

#ifdef __x86_64__
#define READ_512(p) LOAD_512(p)
#define READ_SOME_512(p, n) SOME_f32_512(p, n)
#define WRITE_512(p, v, n) PUT_SOME_f32_512(p, v, n)
#define MADD_TO_512(sum, a, b) ((sum) = MADD_512(a, b, sum))
#define DOT_TO_512(sum, a, b) ((sum) = DOT_512(a, b, sum))
TILE(f32_16, WITH("avx512f"), 512, MADD_TO_512, 16, 8, 1)
TILE(f32_16, WITH("avx512f"), 512, MADD_TO_512, 16, 8, 2)
TILE(f32_16, WITH("avx512f"), 512, MADD_TO_512, 16, 8, 3)
static const mq_outer_blocks blocks_f32_16 = {16, sizeof(float), 256, {f32_16_1, f32_16_2, f32_16_3}, NULL};

WITH("avx512f,avx512bw") static void pair_bf16(const uint8_t *from, size_t count, float *to) {
    enum { PIXEL = 32, NUMBERS = 32 };
    uint16_t order[NUMBERS];
    for (size_t i = 0; i < NUMBERS; i++) order[i] = (uint16_t)(i / 2 + i % 2 * (NUMBERS / 2));
    const __m512i both = _mm512_loadu_si512(order);
    for (; count > 1; count -= 2, from += 2 * PIXEL, to += LANES_512)
        _mm512_storeu_si512(to, _mm512_permutexvar_epi16(both, _mm512_loadu_si512(from)));
    if (count) _mm512_storeu_si512(to, _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)from)));
}

TILE(bf16_16, WITH("avx512f,avx512bf16"), 512, DOT_TO_512, 16, 8, 1)
TILE(bf16_16, WITH("avx512f,avx512bf16"), 512, DOT_TO_512, 16, 8, 2)
TILE(bf16_16, WITH("avx512f,avx512bf16"), 512, DOT_TO_512, 16, 8, 3)
static const mq_outer_blocks blocks_bf16_16 = {
    16, sizeof(uint16_t), 192, {bf16_16_1, bf16_16_2, bf16_16_3}, pair_bf16};
#endif

const mq_outer_blocks *mq_outer_blocks_of(mq_dtype dtype) {
    const mq_simd simd = mq_dnn_simd();
#ifdef __x86_64__
    if (dtype == MQ_BF16) return mq_dtype_auto() == MQ_BF16 ? &blocks_bf16_16 : NULL;
    if (simd == MQ_SIMD_AVX512) return &blocks_f32_16;
#endif
    return dtype == MQ_F32 && simd == MQ_SIMD_AVX2 ? &blocks_f32_8 : NULL;
}

size_t mq_outer_blocks_size(const mq_outer_blocks *blocks) {
    return blocks->block;
}

/* The rows of sum from first to last, of the blocks of filters from begin to end. */
typedef struct {
    const mq_outer *o;
    const mq_outer_blocks *b;
    size_t first, last, begin, end;
    float *source, *gradient; /* [panels][depth][block] */
    uint8_t *gathered;        /* what a panel's window sees, before it is paired */
} job;

/* The same neighbouring pixels of some pictures, in words of a panel's depth at most. */
typedef struct {
    size_t picture, pictures, first, count, words; /* words: of each picture */
} stretch;

static size_t rows_of(const mq_window *w) {
    return w->kernel * w->kernel * w->c;
}

static bool is_blocked(const mq_window *w) {
    return w->c % MQ_BLOCK == 0;
}

/* Whether a panel is a block of the source as it lies, through all its pixels. */
static bool is_plain(const mq_window *w) {
    return is_blocked(w) && w->kernel == 1 && w->stride == 1;
}

/* Whether what a panel sees must be gathered; else that of a row of pixels lies in the source at least. */
static bool is_gathered(const mq_window *w) {
    return !is_blocked(w) || w->stride != 1 || w->top || w->left || w->bottom || w->right;
}

static bool is_packed(const mq_outer_blocks *b, const mq_window *w) {
    return b->pair || is_gathered(w);
}

/* Words of a panel. */
static size_t panel_of(const mq_outer_blocks *b) {
    return b->depth * b->block;
}

/* Where a picture's channel c begins, which is the first of its block. */
static const uint8_t *plane(const job *j, size_t picture, size_t c, size_t block) {
    const mq_window *w = &j->o->window;
    return j->o->source + picture * j->o->source_bytes + c / block * w->h * w->w * block * j->b->number;
}

/* Where the source of a stretch's picture lies that its windows see as the rows of sum from row on; not
 * gathered. */
static const uint8_t *seen(const job *j, const stretch *s, size_t picture, size_t row) {
    const mq_window *w = &j->o->window;
    const size_t tap = row / w->c, y = s->first / w->out_w + tap / w->kernel,
                 x = s->first % w->out_w + tap % w->kernel;
    return plane(j, picture, row % w->c, j->b->block) + (y * w->w + x) * j->b->block * j->b->number;
}

/* What the window of a stretch sees of a picture as the rows of sum from row on that lie together: block
 * numbers of each pixel, to the panel's column at `to`. */
static void gather_block(const job *j, const stretch *s, size_t picture, size_t row, size_t block,
                         uint8_t *to) {
    const mq_window *w = &j->o->window;
    const size_t tap_x = row / w->c % w->kernel, bytes = block * j->b->number,
                 pixel = j->b->block * j->b->number;
    for (size_t done = 0, n; done < s->count; done += n, to += n * pixel) {
        const size_t y = (s->first + done) / w->out_w, x = (s->first + done) % w->out_w;
        const size_t tap_y = y * w->stride + row / w->c / w->kernel - w->top; /* may wrap */
        n = least(w->out_w - x, s->count - done);
        if (tap_y >= w->h) continue;
        /* Columns of the source and those left of it, of which the window sees every stride'th. */
        const size_t begin = x * w->stride + tap_x, all = w->left + w->w,
                     skipped = begin < w->left ? mq_ceil_div(w->left - begin, w->stride) : 0,
                     end = begin < all ? least(mq_ceil_div(all - begin, w->stride), n) : 0;
        if (skipped >= end) continue;
        const uint8_t *source = plane(j, picture, row % w->c, block) +
                                (tap_y * w->w + begin + skipped * w->stride - w->left) * bytes;
        mq_pixels_copy(to + skipped * pixel, pixel, source, w->stride * bytes, bytes, end - skipped);
    }
}

/* The rows from row on of a picture's pixels, zero where the window sees none. */
static void gather(const job *j, const stretch *s, size_t picture, size_t row, void *to) {
    const size_t block = j->b->block, rows = least(block, rows_of(&j->o->window) - row);
    memset(to, 0, s->count * block * j->b->number);
    if (is_blocked(&j->o->window))
        gather_block(j, s, picture, row, block, to);
    else
        for (size_t r = 0; r < rows; r++)
            gather_block(j, s, picture, row + r, 1, (uint8_t *)to + r * j->b->number);
}

/* The panel of the rows from row on. */
static void pack_source(const job *j, const stretch *s, size_t row, float *to) {
    const bool gathered = is_gathered(&j->o->window);
    for (size_t i = 0; i < s->pictures; i++, to += s->words * j->b->block) {
        const size_t picture = s->picture + i;
        if (gathered) gather(j, s, picture, row, j->b->pair ? (void *)j->gathered : to);
        if (j->b->pair) j->b->pair(gathered ? j->gathered : seen(j, s, picture, row), s->count, to);
    }
}

/* Where a picture's part of the stretch begins in a block of its gradient. */
static const uint8_t *gradient_at(const job *j, const stretch *s, size_t picture, size_t block) {
    const size_t pixels = j->o->window.out_h * j->o->window.out_w;
    return j->o->gradient + picture * j->o->gradient_bytes +
           (block * pixels + s->first) * j->b->block * j->b->number;
}

static void pack_gradient(const job *j, const stretch *s, size_t block, float *to) {
    for (size_t i = 0; i < s->pictures; i++, to += s->words * j->b->block)
        j->b->pair(gradient_at(j, s, s->picture + i, block), s->count, to);
}

static void pack(const job *j, const stretch *s) {
    const size_t block = j->b->block, panel = panel_of(j->b);
    for (size_t row = j->first; is_packed(j->b, &j->o->window) && row < j->last; row += block)
        pack_source(j, s, row, j->source + (row - j->first) / block * panel);
    for (size_t i = j->begin; j->b->pair && i < j->end; i++)
        pack_gradient(j, s, i, j->gradient + (i - j->begin) * panel);
}

/* Groups of blocks that are one tile wide. */
static size_t groups_of(const job *j) {
    return mq_ceil_div(j->end - j->begin, BLOCKS);
}

static size_t group_begin(const job *j, size_t group) {
    return j->begin + (j->end - j->begin) * group / groups_of(j);
}

/* Has so many words of `next` come in while s goes by. */
static fetch fetch_of(const job *j, const stretch *s, const uint8_t *from, size_t words, size_t picture) {
    return (fetch){from, mq_ceil_div(words * j->b->block * sizeof(float), s->words), picture};
}

/* The share of this row of blocks of what all rows have to fetch of a group's gradient. */
static fetch gradient_ahead(const job *j, const stretch *s, const stretch *next, size_t group, size_t row) {
    const size_t begin = group_begin(j, group), blocks = group_begin(j, group + 1) - begin,
                 rows = mq_ceil_div(j->last - j->first, j->b->block), block = row * blocks / rows,
                 top = mq_ceil_div(block * rows, blocks), bottom = mq_ceil_div((block + 1) * rows, blocks),
                 first = next->words * (row - top) / (bottom - top),
                 end = next->words * (row + 1 - top) / (bottom - top);
    return fetch_of(j, s,
                    gradient_at(j, next, next->picture, begin + block) + first * j->b->block * sizeof(float),
                    end - first, j->o->gradient_bytes);
}

/* The gradient is fetched one group ahead or, where it is packed first, one stretch ahead; the source by the
 * last group of the stretch before. The processor's own foresight ends with each block. next: NULL behind the
 * last stretch. */
static void look_ahead(const job *j, const stretch *s, const stretch *next, size_t group, size_t row,
                       fetch ahead[2]) {
    const size_t block = j->b->block, groups = groups_of(j);
    const bool last = group + 1 == groups, packed = j->b->pair;
    const stretch *const then = last || packed ? next : s;
    ahead[0] = ahead[1] = (fetch){.from = (const uint8_t *)j->o->sum};
    if (last && next && !is_gathered(&j->o->window))
        ahead[0] = fetch_of(j, s, seen(j, next, next->picture, row), next->words, j->o->source_bytes);
    if (then)
        ahead[1] = gradient_ahead(j, s, then, packed ? group : (group + 1) % groups,
                                  (row - j->first) / block);
}

/* All tiles of the job over a stretch; first: nothing has been summed yet. */
static void multiply(const job *j, const stretch *s, const stretch *next, bool first) {
    const mq_outer *o = j->o;
    const mq_window *w = &o->window;
    const size_t block = j->b->block, panel = panel_of(j->b), packed = s->words * block;
    const bool own = is_packed(j->b, w), pair = j->b->pair;
    for (size_t group = 0; group < groups_of(j); group++) {
        const size_t begin = group_begin(j, group), count = group_begin(j, group + 1) - begin;
        const float *const lying = (const float *)(const void *)gradient_at(j, s, s->picture, begin);
        for (size_t row = j->first; row < j->last; row += block) {
            const void *source = own ? (const void *)(j->source + (row - j->first) / block * panel)
                                     : (const void *)seen(j, s, s->picture, row);
            tile t = {.source = source,
                      .gradient = pair ? j->gradient + (begin - j->begin) * panel : lying,
                      .pictures = s->pictures,
                      .source_step = own ? packed : o->source_bytes / sizeof(float),
                      .gradient_step = pair ? packed : o->gradient_bytes / sizeof(float),
                      .depth = s->words,
                      .plane = pair ? panel : w->out_h * w->out_w * block,
                      .sum = o->sum + row * o->filters + begin * block,
                      .scale = o->scale ? o->scale + begin * block : NULL,
                      .stride = o->filters,
                      .rows = least(block, j->last - row),
                      .columns = o->filters - begin * block,
                      .first = first};
            look_ahead(j, s, next, group, row, t.ahead);
            j->b->tiles[count - 1](&t);
        }
    }
}

bool mq_outer_blocks_suits(const mq_outer_blocks *blocks, const mq_window *w) {
    return !is_blocked(w) || w->kernel == 1 || w->c % blocks->block == 0;
}

size_t mq_outer_blocks_parts(const mq_outer_blocks *blocks, const mq_window *window) {
    return mq_ceil_div(rows_of(window), blocks->block);
}

size_t mq_outer_blocks_worth(const mq_outer_blocks *blocks, size_t threads) {
    return threads * (blocks->pair ? FINER_PACKED : FINER);
}

/* The first panel of part y of those below each other. They become smaller, so that no worker waits long for
 * another's last one. */
static size_t first_panel(const mq_outer_blocks *b, const mq_window *w, size_t y, size_t down) {
    const size_t panels = mq_outer_blocks_parts(b, w), left = down - y;
    return panels - panels * left * left / (down * down);
}

/* Panels of the source of the first part, which is the largest, and of the gradient. */
static size_t source_panels(const mq_outer_blocks *b, const mq_window *w, size_t down) {
    return is_packed(b, w) ? first_panel(b, w, 1, down) : 0;
}

static size_t gradient_panels(const mq_outer_blocks *b, size_t filters, size_t across) {
    return b->pair ? mq_ceil_div(mq_ceil_div(filters, b->block), across) : 0;
}

/* Parts side by side: all in all they read the least where they are about as many as one below the other. */
static size_t across_of(const mq_outer_blocks *b, size_t filters, size_t parts) {
    size_t across = 1;
    while (parts % (2 * across) == 0 && 4 * across * across <= parts &&
           2 * across * BLOCKS * b->block <= filters)
        across *= 2;
    return across;
}

size_t mq_outer_blocks_scratch(const mq_outer_blocks *b, const mq_window *window, size_t filters,
                               size_t parts) {
    const size_t across = across_of(b, filters, parts);
    const size_t panels = source_panels(b, window, parts / across) + gradient_panels(b, filters, across);
    return (panels + (b->pair ? 1 : 0)) * panel_of(b) * sizeof(float);
}

static job job_of(const mq_outer_blocks *b, const mq_outer *o, size_t part, size_t parts) {
    const mq_window *w = &o->window;
    float *const scratch = o->scratch;
    const size_t blocks = mq_ceil_div(o->filters, b->block);
    const size_t across = across_of(b, o->filters, parts), down = parts / across, y = part / across,
                 x = part % across;
    job j = {.o = o,
             .b = b,
             .first = first_panel(b, w, y, down) * b->block,
             .last = least(first_panel(b, w, y + 1, down) * b->block, rows_of(w)),
             .begin = blocks * x / across,
             .end = blocks * (x + 1) / across,
             .source = scratch};
    if (b->pair) {
        j.gradient = scratch + source_panels(b, w, down) * panel_of(b);
        j.gathered = (uint8_t *)(j.gradient + gradient_panels(b, o->filters, across) * panel_of(b));
    }
    return j;
}

/* How the pixels of all pictures are cut into stretches. */
typedef struct {
    size_t whole, words, cuts; /* neighbouring pixels of the source, their words, stretches of them */
    size_t runs;               /* of these in a picture */
    size_t together;           /* pictures in a stretch */
    size_t count;
} cutting;

static cutting cutting_of(const mq_outer_blocks *b, const mq_window *w) {
    const size_t pixels = w->out_h * w->out_w;
    /* A stretch of a gathered or plain source goes on in the next row of pixels. */
    const size_t whole = is_gathered(w) || is_plain(w) ? pixels : w->out_w,
                 words = mq_ceil_div(whole, sizeof(float) / b->number), cuts = mq_ceil_div(words, b->depth),
                 runs = pixels / whole, together = least(w->n, b->depth / mq_ceil_div(words, cuts));
    return (cutting){whole, words, cuts, runs, together, mq_ceil_div(w->n, together) * runs * cuts};
}

static stretch stretch_at(const job *j, const cutting *c, size_t i) {
    const size_t run = i / c->cuts, cut = i % c->cuts, picture = run / c->runs * c->together,
                 in_word = sizeof(float) / j->b->number, begin = c->words * cut / c->cuts * in_word,
                 end = least(c->words * (cut + 1) / c->cuts * in_word, c->whole);
    return (stretch){picture, least(c->together, j->o->window.n - picture), run % c->runs * c->whole + begin,
                     end - begin, mq_ceil_div(end - begin, in_word)};
}

void mq_outer_blocks_run(const mq_outer_blocks *b, const mq_outer *o, size_t part, size_t parts) {
    const job j = job_of(b, o, part, parts);
    const cutting c = cutting_of(b, &o->window);
    for (size_t i = 0; i < c.count; i++) {
        const stretch s = stretch_at(&j, &c, i), next = stretch_at(&j, &c, i + 1);
        pack(&j, &s);
        multiply(&j, &s, i + 1 < c.count ? &next : NULL, i == 0 && !o->add);
    }
}
