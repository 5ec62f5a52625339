/* int8.c: the convolutions of int8.h over packed weights. Called by dnn_own.c. Owns nothing. A tile is some
 * pixels of the result by the filters of a panel; its sums stay in registers. Invariant: sums are of whole
 * numbers and exact, so that their order does not matter. */
#include "net/int8_pack.h"

#include "net/program.h"
#include "net/simd.h"

#include "base/mem.h"

#include <string.h>

/* TILE: pixels of the largest; CHUNK: bytes of the source that go through all panels before the next ones do:
 * the second cache keeps them beside a panel; WIDE: quads that are widened at once. */
enum { TILE = 4, CHUNK = 128 << 10, WIDE = 16 };
enum { PANEL = MQ_INT8_PANEL, SLOT = MQ_INT8_SLOT };

bool mq_int8_available(void) {
    return mq_dnn_simd() != MQ_SIMD_OTHER;
}

/* Pixels are tiled in order; chunks have nearly as many tiles each. */
static size_t tiles_of(const mq_int8 *conv) {
    return mq_ceil_div(conv->window.out_h * conv->window.out_w, TILE);
}

static size_t chunks_of(const mq_int8 *conv) {
    const mq_window *w = &conv->window;
    const size_t chunks = mq_ceil_div(w->h * w->w * w->c, CHUNK), tiles = tiles_of(conv);
    return chunks < tiles ? chunks : tiles;
}

size_t mq_int8_items(const mq_int8 *conv) {
    return mq_ceil_div(conv->filters, PANEL) * chunks_of(conv);
}

#ifdef __x86_64__
/* A tile, and what it is made of. */
typedef struct {
    const uint8_t *pixels[TILE]; /* where the window of each begins */
    float *out[TILE];
    const uint32_t *places; /* of the panel's quads */
    const int8_t *weights;
    size_t together, narrow, quads; /* as in mq_int8_packing */
    size_t filters;                 /* of the panel that there are */
    const float *scales, *bias;     /* of these */
    bool sum, relu;
} int8_tile;
typedef void (*int8_tile_fn)(const int8_tile *t);

/* Inlined with a constant count and unrolled, sums[][] become registers. */
#define INLINE static inline __attribute__((always_inline))
#define EACH(i, count) _Pragma("GCC unroll 4") for (size_t i = 0; i < (count); i++)

#define AVX2 "avx2,fma"
#define AVX512 "avx512f,avx512bw,avx512dq,avx512vl"

/* Vectors of whole numbers; ACROSS: of a panel. */
#define INTS_256 __m256i
#define INTS_512 __m512i
#define ACROSS_256 (PANEL / LANES_256)
#define ACROSS_512 (PANEL / LANES_512)
#define FOUR_256(p) _mm256_set1_epi32(four_of(p))
#define FOUR_512(p) _mm512_set1_epi32(four_of(p))
#define ONES_256 _mm256_set1_epi16(1)
#define ONES_512 _mm512_set1_epi16(1)
#define EVEN_256 _mm256_set1_epi16(0xFF)
#define EVEN_512 _mm512_set1_epi16(0xFF)
#define AND_256(a, b) _mm256_and_si256(a, b)
#define AND_512(a, b) _mm512_and_si512(a, b)
#define HIGH_256(a) _mm256_srli_epi16(a, 8)
#define HIGH_512(a) _mm512_srli_epi16(a, 8)
#define FLOATS_256(v) _mm256_cvtepi32_ps(v)
#define FLOATS_512(v) _mm512_cvtepi32_ps(v)
#define MEMORY(set, p) "m"(*(const INTS_##set *)(const void *)(p))

/* sum += the products of four bytes a and a vector's weights; of two widened bytes and theirs; and of two
 * fours. Each in one piece, or GCC keeps sums in memory. */
#define DOT_TO(set, sum, a, weights, ones)                                                                   \
    do {                                                                                                     \
        INTS_##set pairs;                                                                                    \
        __asm__("vpmaddubsw %3, %2, %1\n\tvpmaddwd %4, %1, %1\n\tvpaddd %1, %0, %0"                          \
                : "+v"(sum), "=&v"(pairs)                                                                    \
                : "v"(a), MEMORY(set, weights), "v"(ones));                                                  \
    } while (0)
#define DOT_WIDE_TO(set, sum, a, weights)                                                                    \
    do {                                                                                                     \
        INTS_##set pairs;                                                                                    \
        __asm__("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0"                                                   \
                : "+v"(sum), "=&v"(pairs)                                                                    \
                : "v"(a), MEMORY(set, weights));                                                             \
    } while (0)
#define DOT_2_TO(set, sum, a, a_weights, b, b_weights, ones)                                                 \
    do {                                                                                                     \
        INTS_##set pairs, more;                                                                              \
        __asm__("vpmaddubsw %4, %3, %1\n\tvpmaddubsw %6, %5, %2\n\tvpaddw %2, %1, %1\n\t"                    \
                "vpmaddwd %7, %1, %1\n\tvpaddd %1, %0, %0"                                                   \
                : "+v"(sum), "=&v"(pairs), "=&v"(more)                                                       \
                : "v"(a), MEMORY(set, a_weights), "v"(b), MEMORY(set, b_weights), "v"(ones));                \
    } while (0)

INLINE int32_t four_of(const uint8_t *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    return four;
}

/* add_narrow, add_wide: the panel's quads. finish: the results of its filters from `at` on, a vector of them
 * or the n that there are. tile: of `count` pixels, a constant. */
#define KERNELS(set, isa)                                                                                    \
    INLINE WITH(isa) void finish_##set(const int8_tile *t, size_t count, size_t v,                           \
                                       INTS_##set sums[TILE][ACROSS_##set], size_t n) {                      \
        const size_t at = v * LANES_##set;                                                                   \
        const VEC_##set scale = SOME_f32_##set(t->scales + at, n), bias = SOME_f32_##set(t->bias + at, n);   \
        VEC_##set results[TILE];                                                                             \
        EACH(x, count) {                                                                                     \
            results[x] = MADD_##set(FLOATS_##set(sums[x][v]), scale, bias);                                  \
        }                                                                                                    \
        if (t->sum) {                                                                                        \
            EACH(x, count) {                                                                                 \
                results[x] = ADD_##set(results[x], SOME_f32_##set(t->out[x] + at, n));                       \
            }                                                                                                \
        }                                                                                                    \
        if (t->relu) {                                                                                       \
            EACH(x, count) {                                                                                 \
                results[x] = MAX_##set(results[x], ZERO_##set);                                              \
            }                                                                                                \
        }                                                                                                    \
        EACH(x, count) {                                                                                     \
            PUT_SOME_f32_##set(t->out[x] + at, results[x], n);                                               \
        }                                                                                                    \
    }                                                                                                        \
    INLINE WITH(isa) void add_narrow_##set(const int8_tile *t, size_t count,                                 \
                                           INTS_##set sums[TILE][ACROSS_##set], INTS_##set ones) {           \
        const int8_t *w = t->weights;                                                                        \
        size_t quad = 0;                                                                                     \
        for (; quad < t->together; quad += 2, w += 2 * SLOT) {                                               \
            EACH(x, count) {                                                                                 \
                const INTS_##set a = FOUR_##set(t->pixels[x] + t->places[quad]),                             \
                                 b = FOUR_##set(t->pixels[x] + t->places[quad + 1]);                         \
                EACH(v, ACROSS_##set) {                                                                      \
                    const size_t at = v * sizeof a;                                                          \
                    DOT_2_TO(set, sums[x][v], a, w + at, b, w + SLOT + at, ones);                            \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
        for (; quad < t->narrow; quad++, w += SLOT) {                                                        \
            EACH(x, count) {                                                                                 \
                const INTS_##set a = FOUR_##set(t->pixels[x] + t->places[quad]);                             \
                EACH(v, ACROSS_##set) {                                                                      \
                    DOT_TO(set, sums[x][v], a, w + v * sizeof a, ones);                                      \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
    }                                                                                                        \
    INLINE WITH(isa) void add_wide_##set(const int8_tile *t, size_t count,                                   \
                                         INTS_##set sums[TILE][ACROSS_##set], INTS_##set even) {             \
        const int8_t *w = t->weights + t->narrow * SLOT;                                                     \
        for (size_t quad = t->narrow; quad < t->quads; quad++, w += 2 * SLOT) {                              \
            EACH(x, count) {                                                                                 \
                const INTS_##set four = FOUR_##set(t->pixels[x] + t->places[quad]),                          \
                                 a = AND_##set(four, even), b = HIGH_##set(four);                            \
                EACH(v, ACROSS_##set) {                                                                      \
                    DOT_WIDE_TO(set, sums[x][v], a, w + v * sizeof a);                                       \
                    DOT_WIDE_TO(set, sums[x][v], b, w + SLOT + v * sizeof a);                                \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
    }                                                                                                        \
    INLINE WITH(isa) void tile_##set(const int8_tile *t, size_t count) {                                     \
        const INTS_##set ones = ONES_##set;                                                                  \
        INTS_##set sums[TILE][ACROSS_##set];                                                                 \
        EACH(x, count) {                                                                                     \
            EACH(v, ACROSS_##set) {                                                                          \
                sums[x][v] = (INTS_##set){0};                                                                \
            }                                                                                                \
        }                                                                                                    \
        add_narrow_##set(t, count, sums, ones);                                                              \
        add_wide_##set(t, count, sums, EVEN_##set);                                                          \
        EACH(v, ACROSS_##set) {                                                                              \
            const size_t at = v * LANES_##set;                                                               \
            if (t->filters == PANEL)                                                                         \
                finish_##set(t, count, v, sums, LANES_##set);                                                \
            else if (at < t->filters)                                                                        \
                finish_##set(t, count, v, sums, t->filters - at);                                            \
        }                                                                                                    \
    }
KERNELS(256, AVX2)
KERNELS(512, AVX512)

#define TILE_OF(set, isa, count)                                                                             \
    WITH(isa) static void tile_##set##_##count(const int8_tile *t) {                                         \
        tile_##set(t, count);                                                                                \
    }
TILE_OF(256, AVX2, 1)
TILE_OF(256, AVX2, 2)
TILE_OF(512, AVX512, 1)
TILE_OF(512, AVX512, 2)
TILE_OF(512, AVX512, 3)
TILE_OF(512, AVX512, 4)

/* Tiles of one pixel up to `most`. */
typedef struct {
    size_t most;
    int8_tile_fn fns[TILE];
} int8_tiles;

static int8_tiles best_tiles(void) {
    if (mq_dnn_simd() == MQ_SIMD_AVX512)
        return (int8_tiles){TILE, {tile_512_1, tile_512_2, tile_512_3, tile_512_4}};
    return (int8_tiles){2, {tile_256_1, tile_256_2}};
}

/* A panel's tiles from `from` up to `to`. */
static void run_tiles(const mq_int8 *conv, const mq_int8_tensors *tensors, int8_tile *t, size_t filter,
                      size_t from, size_t to) {
    const int8_tiles kernels = best_tiles();
    const mq_window *w = &conv->window;
    const size_t pixels = w->out_h * w->out_w, end = to * TILE < pixels ? to * TILE : pixels;
    const size_t step = w->stride * w->c, behind = (w->w - w->out_w) * step; /* behind: a row's last step */
    size_t x = from * TILE % w->out_w;
    size_t read = (from * TILE / w->out_w * w->w + x) * step, written = from * TILE * conv->filters + filter;
    for (size_t pixel = from * TILE, count; pixel < end; pixel += count) {
        count = end - pixel < kernels.most ? end - pixel : kernels.most;
        for (size_t k = 0; k < count; k++, read += step, written += conv->filters) {
            t->pixels[k] = tensors->source + read;
            t->out[k] = tensors->result + written;
            if (++x == w->out_w) x = 0, read += behind;
        }
        kernels.fns[count - 1](t);
    }
}

void mq_int8_run(const mq_int8 *conv, const mq_int8_tensors *tensors, size_t first, size_t end) {
    const mq_int8_packing p = mq_int8_packing_of(conv, tensors->packed);
    const size_t chunks = chunks_of(conv), tiles = tiles_of(conv);
    for (size_t item = first; item < end; item++) {
        const size_t chunk = item / p.panels, panel = item % p.panels, filter = panel * PANEL,
                     left = conv->filters - filter;
        int8_tile t = {.places = p.places + panel * p.quads,
                       .weights = p.weights + (size_t)p.first[panel] * SLOT,
                       .together = p.together[panel],
                       .narrow = p.narrow[panel],
                       .quads = p.quads,
                       .filters = left < PANEL ? left : PANEL,
                       .scales = tensors->scales + filter,
                       .bias = tensors->bias + filter,
                       .sum = conv->sum,
                       .relu = conv->relu};
        run_tiles(conv, tensors, &t, filter, tiles * chunk / chunks, tiles * (chunk + 1) / chunks);
    }
}
#else
void mq_int8_run(const mq_int8 *conv, const mq_int8_tensors *tensors, size_t first, size_t end) {
    (void)conv, (void)tensors, (void)first, (void)end; /* is not available */
}
#endif
