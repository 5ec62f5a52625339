/* strassen.c: 1x1 convolutions by seven products of quarters (see strassen.h). Called by dnn.c and
 * keras_order.c; dnn_make.c asks where it suits. Owns nothing.
 *
 * A chunk of pixels and as many of the second half are done together: their sums S1 to S4 stay in the second
 * cache, and for each group of columns the products are done one after the other, tile by tile. The weights
 * of a group lie in the order in which they are read: [group][product][blocks read][block][columns].
 * Invariant: a pixel's numbers depend on itself and its partner in the other half alone. */
#include "net/strassen.h"

#include "net/program.h"
#include "net/simd.h"

#include "base/mem.h"

#include <string.h>

/* A tile: ROWS pixels by COLUMNS blocks, or one less of either. A chunk has CHUNK pixels at most. */
enum { ROWS = 4, COLUMNS = 3, TILES = 12, CHUNK = TILES * ROWS, WIDEST = COLUMNS * MQ_BLOCK };

/* Below so many channels, or pixels, what is added costs as much as the product that is saved. */
enum { CHANNELS_ENOUGH = 256, PIXELS_ENOUGH = 64 };

/* What a product multiplies, where its sums begin and go to as they are, what is added to them then, and the
 * quarter of the result that is theirs: the second pixels, the second columns. */
typedef enum { A11, A12, A22, S1, S2, S3, S4 } source;
typedef enum { NONE, U, V, W, SUMS } sum;
typedef enum { C11, C12, C21, C22, NOWHERE } quarter;
enum { SECOND_COLUMNS = 1, SECOND_PIXELS = 2 };
typedef struct {
    source from;
    bool second; /* of the channels read */
    sum begin, keep, plus;
    quarter to;
} product;
static const product products[] = {
    {A11, false, NONE, U, NONE, NOWHERE}, /* by B11 */
    {A12, true, U, NONE, NONE, C11},      /* by B21 */
    {S2, false, U, U, NONE, NOWHERE},     /* by T2 */
    {S3, false, U, V, NONE, NOWHERE},     /* by T3 */
    {A22, true, V, NONE, NONE, C21},      /* by T4 */
    {S1, false, NONE, W, V, C22},         /* by T1 */
    {S4, true, U, NONE, W, C12},          /* by B22 */
};
enum { PRODUCTS = sizeof products / sizeof *products };

/* A tile's sums, [rows][columns][block]: NULL where there is nothing to begin with (then zeros), to keep, to
 * add or to write. */
typedef struct {
    const float *a, *b; /* [blocks][a_block], of which rows of a block; [blocks][block][columns][block] */
    const float *ahead; /* what is multiplied next: two lines of it are fetched with each block */
    size_t blocks, a_block, out_block; /* floats from one block to the next */
    const float *begin, *plus;
    float *keep, *out;
} tile;
typedef void (*tile_fn)(const tile *t);

#define UNROLLED _Pragma("GCC unroll 12")
#define NUMBERS(p) (*(MEMORY_8 *)(p))
#define READ(p) (*(const MEMORY_8 *)(p))
#define TILE(rows, columns)                                                                                  \
    TARGET_8 static void tile_##rows##_##columns(const tile *args) {                                         \
        const tile t = *args;                                                                                \
        const float *a = t.a, *b = t.b, *ahead = t.ahead;                                                    \
        VEC_8 sums[rows][columns];                                                                           \
        UNROLLED for (size_t i = 0; i < rows * columns; i++) {                                               \
            sums[i / columns][i % columns] = (VEC_8){0};                                                     \
            if (t.begin) sums[i / columns][i % columns] = READ(t.begin + i * MQ_BLOCK);                      \
        }                                                                                                    \
        for (size_t k = 0; k < t.blocks; k++, a += t.a_block, ahead += 2 * LINE) {                           \
            __builtin_prefetch(ahead, 0, 2);                                                                 \
            __builtin_prefetch(ahead + LINE, 0, 2);                                                          \
            UNROLLED for (size_t i = 0; i < MQ_BLOCK; i++, b += columns * MQ_BLOCK) {                        \
                VEC_8 row[columns];                                                                          \
                UNROLLED for (size_t c = 0; c < columns; c++) row[c] = READ(b + c * MQ_BLOCK);               \
                UNROLLED for (size_t r = 0; r < rows; r++) {                                                 \
                    const VEC_8 one = SPREAD_8(a[r * MQ_BLOCK + i]);                                         \
                    UNROLLED for (size_t c = 0; c < columns; c++) MADD_TO_8(sums[r][c], one, row[c]);        \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
        UNROLLED for (size_t r = 0; r < rows; r++) {                                                         \
            UNROLLED for (size_t c = 0; c < columns; c++) {                                                  \
                const size_t place = (r * columns + c) * MQ_BLOCK;                                           \
                if (t.keep) NUMBERS(t.keep + place) = sums[r][c];                                            \
                if (t.plus) sums[r][c] += READ(t.plus + place);                                              \
                if (t.out) NUMBERS(t.out + c * t.out_block + r * MQ_BLOCK) = sums[r][c];                     \
            }                                                                                                \
        }                                                                                                    \
    }
enum { LINE = 16 }; /* floats */
TILE(3, 2)
TILE(3, 3)
TILE(4, 2)
TILE(4, 3)
static const tile_fn tiles[2][2] = {{tile_3_2, tile_3_3}, {tile_4_2, tile_4_3}}; /* [rows][columns] */

/* One side of a matrix in halves, each of them cut into as few pieces of at most so many items as there can
 * be: the first ones are as long, the others less by one. */
typedef struct {
    size_t half, second; /* items of either half, and where the second begins */
    size_t pieces, most, whole;
} side;

static side side_of(size_t items, size_t most) {
    const size_t half = mq_ceil_div(items, 2), pieces = mq_ceil_div(half, most);
    return (side){half, items - half, pieces, most, half - pieces * (most - 1)};
}

static size_t piece_begin(const side *s, size_t piece) {
    return piece * (s->most - 1) + least(piece, s->whole);
}

/* Whether there are enough items for that. */
static bool is_even(const side *s) {
    return s->half >= s->pieces * (s->most - 1);
}

typedef struct {
    side pixels, written; /* written: in blocks */
    size_t read, rest;    /* blocks of the first half read, and of the second */
    size_t plane;         /* floats of a block's pixels */
} shape;

static shape shape_of(const mq_strassen *s) {
    const size_t blocks = s->read / MQ_BLOCK, read = mq_ceil_div(blocks, 2);
    return (shape){side_of(s->pixels, ROWS), side_of(s->written / MQ_BLOCK, COLUMNS), read, blocks - read,
                   s->pixels * MQ_BLOCK};
}

static size_t depth_of(const shape *s, const product *p) {
    return p->second ? s->rest : s->read;
}

/* Floats of a column's weights in all products. */
static size_t column_floats(const shape *s) {
    size_t blocks = 0;
    for (size_t i = 0; i < PRODUCTS; i++) blocks += depth_of(s, &products[i]);
    return blocks * MQ_BLOCK;
}

static size_t sum_floats(const shape *s) {
    return s->read * CHUNK * MQ_BLOCK;
}

/* Whether its kernels run here. */
static bool is_available(void) {
    return strncmp(mq_dnn_isa(), "avx2", 4) == 0 || strncmp(mq_dnn_isa(), "avx512", 6) == 0;
}

bool mq_strassen_suits(const mq_strassen *strassen) {
    const shape s = shape_of(strassen);
    return is_available() && strassen->read % MQ_BLOCK == 0 && strassen->written % MQ_BLOCK == 0 &&
           strassen->read >= CHANNELS_ENOUGH && strassen->written >= CHANNELS_ENOUGH &&
           strassen->pixels >= PIXELS_ENOUGH && is_even(&s.pixels) && is_even(&s.written);
}

size_t mq_strassen_weights(const mq_strassen *strassen) {
    const shape s = shape_of(strassen);
    return s.written.half * MQ_BLOCK * column_floats(&s) * sizeof(float);
}

size_t mq_strassen_scratch(const mq_strassen *strassen) {
    const shape s = shape_of(strassen);
    return ((S4 - S1 + 1) * sum_floats(&s) + SUMS * CHUNK * WIDEST) * sizeof(float);
}

/* How weights lie that are to be laid out: floats from one channel to the next, and to the other half. */
typedef struct {
    size_t read_step, written_step, second_read, second_written;
} order;

TARGET_8 static inline void take(const float *from, size_t step, VEC_8 *v) {
    if (step == 1)
        *v = READ(from);
    else
        for (size_t i = 0; i < MQ_BLOCK; i++) (*v)[i] = from[i * step];
}

/* A channel read, and where there is more that of the second half, by some columns, as the products want
 * them. */
TARGET_8 static void lay_channel(const order *o, const float *from, bool more, size_t columns,
                                 float *const to[PRODUCTS]) {
    for (size_t c = 0; c < columns; c += MQ_BLOCK, from += MQ_BLOCK * o->written_step) {
        VEC_8 b11, b12, b21 = {0}, b22 = {0};
        take(from, o->written_step, &b11);
        take(from + o->second_written, o->written_step, &b12);
        if (more) {
            take(from + o->second_read, o->written_step, &b21);
            take(from + o->second_read + o->second_written, o->written_step, &b22);
        }
        const VEC_8 t1 = b12 - b11, t2 = b22 - t1;
        NUMBERS(to[0] + c) = b11;
        NUMBERS(to[2] + c) = t2;
        NUMBERS(to[3] + c) = b22 - b12;
        NUMBERS(to[5] + c) = t1;
        if (!more) continue;
        NUMBERS(to[1] + c) = b21;
        NUMBERS(to[4] + c) = b21 - t2;
        NUMBERS(to[6] + c) = b22;
    }
}

void mq_strassen_lay_out(const mq_strassen *strassen, const float *weights, size_t read_step,
                         size_t written_step, float *laid) {
    const shape s = shape_of(strassen);
    const order o = {read_step, written_step, s.read * MQ_BLOCK * read_step,
                     s.written.second * MQ_BLOCK * written_step};
    for (size_t g = 0; g < s.written.pieces; g++) {
        const size_t begin = piece_begin(&s.written, g) * MQ_BLOCK,
                     columns = piece_begin(&s.written, g + 1) * MQ_BLOCK - begin;
        float *to[PRODUCTS];
        for (size_t i = 0; i < PRODUCTS; i++) {
            to[i] = laid;
            laid += depth_of(&s, &products[i]) * MQ_BLOCK * columns;
        }
        for (size_t k = 0; k < s.read * MQ_BLOCK; k++) {
            const bool more = k < s.rest * MQ_BLOCK;
            lay_channel(&o, weights + k * read_step + begin * written_step, more, columns, to);
            for (size_t i = 0; i < PRODUCTS; i++) to[i] += columns;
        }
    }
}

/* S1 to S4 of a chunk, each [blocks read][CHUNK][block]; what the second half lacks is zero. */
TARGET_8 static void add_up(const shape *s, const float *read, size_t pixels, float *to) {
    const size_t apart = sum_floats(s), below = s->pixels.second * MQ_BLOCK, across = s->read * s->plane;
    for (size_t k = 0; k < s->read; k++, read += s->plane, to += CHUNK * MQ_BLOCK) {
        const bool more = k < s->rest;
        for (size_t i = 0; i < pixels * MQ_BLOCK; i += MQ_BLOCK) {
            const float *const a = read + i;
            const VEC_8 a11 = READ(a), a21 = READ(a + below);
            VEC_8 a12 = {0}, a22 = {0};
            if (more) {
                a12 = READ(a + across);
                a22 = READ(a + across + below);
            }
            const VEC_8 s1 = a21 + a22, s2 = s1 - a11;
            NUMBERS(to + i) = s1;
            NUMBERS(to + apart + i) = s2;
            NUMBERS(to + 2 * apart + i) = a11 - a21;
            NUMBERS(to + 3 * apart + i) = a12 - s2;
        }
    }
}

/* A chunk by a group of columns. */
typedef struct {
    const shape *s;
    size_t first, end;      /* tiles of pixels */
    size_t column, columns; /* blocks written */
    const float *read;      /* the whole picture */
    float *sums;            /* S1 to S4 of the chunk, and room for U, V and W */
    const float *weights;   /* of the present product */
    float *written;
} job;

static float *place_of(const job *j, sum which, size_t pixel) {
    float *const sums = j->sums + (S4 - S1 + 1) * sum_floats(j->s);
    return which == NONE ? NULL : sums + (which - U) * CHUNK * WIDEST + pixel * j->columns * MQ_BLOCK;
}

static void multiply(const job *j, const product *p) {
    const shape *const s = j->s;
    const size_t depth = depth_of(s, p), base = piece_begin(&s->pixels, j->first);
    const bool own = p->from < S1;
    const float *const a = own ? j->read + (p->from == A11 ? 0 : s->read) * s->plane +
                                     (base + (p->from == A22 ? s->pixels.second : 0)) * MQ_BLOCK
                               : j->sums + (p->from - S1) * sum_floats(s);
    float *const out = j->written +
                       (j->column + (p->to & SECOND_COLUMNS ? s->written.second : 0)) * s->plane +
                       (base + (p->to & SECOND_PIXELS ? s->pixels.second : 0)) * MQ_BLOCK;
    const float *const next = j->weights + depth * MQ_BLOCK * j->columns * MQ_BLOCK;
    size_t at = 0; /* pixels of the chunk */
    for (size_t i = j->first, rows; i < j->end; i++, at += rows) {
        rows = i < s->pixels.whole ? ROWS : ROWS - 1;
        tiles[rows == ROWS][j->columns == COLUMNS](
            &(tile){.a = a + at * MQ_BLOCK,
                    .b = j->weights,
                    .ahead = next + (i - j->first) * depth * 2 * LINE,
                    .blocks = depth,
                    .a_block = own ? s->plane : CHUNK * MQ_BLOCK,
                    .out_block = s->plane,
                    .begin = place_of(j, p->begin, at),
                    .plus = place_of(j, p->plus, at),
                    .keep = place_of(j, p->keep, at),
                    .out = p->to == NOWHERE ? NULL : out + at * MQ_BLOCK});
    }
}

void mq_strassen_run(const mq_strassen *strassen, const float *read, const float *laid, float *written,
                     void *scratch) {
    const shape s = shape_of(strassen);
    const size_t chunks = mq_ceil_div(s.pixels.pieces, TILES);
    for (size_t i = 0; i < chunks; i++) {
        const size_t first = s.pixels.pieces * i / chunks, end = s.pixels.pieces * (i + 1) / chunks,
                     pixel = piece_begin(&s.pixels, first);
        add_up(&s, read + pixel * MQ_BLOCK, piece_begin(&s.pixels, end) - pixel, scratch);
        job j = {&s, first, end, 0, 0, read, scratch, laid, written};
        for (size_t g = 0; g < s.written.pieces; g++) {
            j.column = piece_begin(&s.written, g);
            j.columns = piece_begin(&s.written, g + 1) - j.column;
            for (size_t p = 0; p < PRODUCTS; p++) {
                multiply(&j, &products[p]);
                j.weights += depth_of(&s, &products[p]) * MQ_BLOCK * j.columns * MQ_BLOCK;
            }
        }
    }
}
