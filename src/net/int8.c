/* int8.c: the convolutions of int8.h over packed weights. Called by dnn_own.c. Owns nothing. A tile is some
 * pixels of the result by the filters of a panel; its sums stay in registers. Invariant: sums are of whole
 * numbers and exact, so that their order does not matter. */
#include "net/int8_pack.h"

#include "net/program.h"
#include "net/simd.h"

#include "base/mem.h"

#include <string.h>

/* CHUNK: bytes of the source that go through all panels before the next ones do: the second cache keeps them
 * beside a panel. */
enum { TILE = 2, CHUNK = 128 << 10 };
enum { LANES_OF = MQ_INT8_LANES, VECTORS = MQ_INT8_VECTORS, VECTOR = MQ_INT8_VECTOR, SLOT = MQ_INT8_SLOT };

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
    return mq_ceil_div(conv->filters, MQ_INT8_PANEL) * chunks_of(conv);
}

#ifdef __x86_64__
/* A tile, and what it is made of. */
typedef struct {
    const uint8_t *pixels[TILE]; /* where the window of each begins */
    float *out[TILE];
    const uint32_t *places; /* of the panel's quads */
    const int8_t *weights;
    size_t together, quads;
    const uint32_t *first, *extra_places; /* first: of the panel's vectors */
    const int8_t *extras;
    size_t filters;             /* of the panel that there are */
    const float *scales, *bias; /* of these */
    bool sum, relu;
} int8_tile;
typedef void (*int8_tile_fn)(const int8_tile *t);

/* Inlined with a constant count and unrolled, sums[][] become registers. */
#define INLINE WITH("avx2,fma") static inline __attribute__((always_inline))
#define EACH(i, count) _Pragma("GCC unroll 4") for (size_t i = 0; i < (count); i++)
#define WEIGHTS(p) "m"(*(const __m256i *)(const void *)(p))

/* sum += the products of four bytes a and a vector's weights; and of two such. Each in one piece, or GCC
 * keeps sums in memory. */
#define DOT_TO(sum, a, weights, ones)                                                                        \
    do {                                                                                                     \
        __m256i pairs;                                                                                       \
        __asm__("vpmaddubsw %3, %2, %1\n\tvpmaddwd %4, %1, %1\n\tvpaddd %1, %0, %0"                          \
                : "+x"(sum), "=&x"(pairs)                                                                    \
                : "x"(a), WEIGHTS(weights), "x"(ones));                                                      \
    } while (0)
#define DOT_2_TO(sum, a, a_weights, b, b_weights, ones)                                                      \
    do {                                                                                                     \
        __m256i pairs, more;                                                                                 \
        __asm__("vpmaddubsw %4, %3, %1\n\tvpmaddubsw %6, %5, %2\n\tvpaddw %2, %1, %1\n\t"                    \
                "vpmaddwd %7, %1, %1\n\tvpaddd %1, %0, %0"                                                   \
                : "+x"(sum), "=&x"(pairs), "=&x"(more)                                                       \
                : "x"(a), WEIGHTS(a_weights), "x"(b), WEIGHTS(b_weights), "x"(ones));                        \
    } while (0)

INLINE __m256i four_of(const uint8_t *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm256_set1_epi32(four);
}

/* n numbers of the result from the panel's number `at` on; more than a vector has: all. */
INLINE void finish(const int8_tile *t, __m256i sums, size_t at, float *out, size_t n) {
    __m256 v = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums), SOME_f32_256(t->scales + at, n),
                               SOME_f32_256(t->bias + at, n));
    if (t->sum) v = _mm256_add_ps(v, SOME_f32_256(out + at, n));
    if (t->relu) v = _mm256_max_ps(v, _mm256_setzero_ps());
    PUT_SOME_f32_256(out + at, v, n);
}

/* The panel's quads: those that go together, then the others. */
INLINE void add_quads(const int8_tile *t, size_t count, __m256i sums[TILE][VECTORS], __m256i ones) {
    const int8_t *w = t->weights;
    size_t quad = 0;
    for (; quad < t->together; quad += 2, w += 2 * SLOT) {
        EACH(x, count) {
            const __m256i a = four_of(t->pixels[x] + t->places[quad]),
                          b = four_of(t->pixels[x] + t->places[quad + 1]);
            EACH(v, VECTORS) {
                DOT_2_TO(sums[x][v], a, w + v * VECTOR, b, w + SLOT + v * VECTOR, ones);
            }
        }
    }
    for (; quad < t->quads; quad++, w += SLOT) {
        EACH(x, count) {
            const __m256i a = four_of(t->pixels[x] + t->places[quad]);
            EACH(v, VECTORS) {
                DOT_TO(sums[x][v], a, w + v * VECTOR, ones);
            }
        }
    }
}

INLINE void add_extras(const int8_tile *t, size_t count, __m256i sums[TILE][VECTORS], __m256i ones) {
    EACH(v, VECTORS) {
        for (size_t i = t->first[v]; i < t->first[v + 1]; i++) {
            EACH(x, count) {
                const __m256i a = four_of(t->pixels[x] + t->extra_places[i]);
                DOT_TO(sums[x][v], a, t->extras + i * VECTOR, ones);
            }
        }
    }
}

/* A tile of `count` pixels, a constant. */
INLINE void tile(const int8_tile *t, size_t count) {
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i sums[TILE][VECTORS];
    EACH(x, count) {
        EACH(v, VECTORS) {
            sums[x][v] = _mm256_setzero_si256();
        }
    }
    add_quads(t, count, sums, ones);
    add_extras(t, count, sums, ones);
    EACH(x, count) {
        EACH(v, VECTORS) {
            const size_t at = v * LANES_OF;
            if (t->filters == MQ_INT8_PANEL)
                finish(t, sums[x][v], at, t->out[x], LANES_OF);
            else if (at < t->filters)
                finish(t, sums[x][v], at, t->out[x], t->filters - at);
        }
    }
}

WITH("avx2,fma") static void tile_1(const int8_tile *t) {
    tile(t, 1);
}

WITH("avx2,fma") static void tile_2(const int8_tile *t) {
    tile(t, 2);
}

/* A panel's tiles from `from` up to `to`. */
static void run_tiles(const mq_int8 *conv, const mq_int8_tensors *tensors, int8_tile *t, size_t filter,
                      size_t from, size_t to) {
    static const int8_tile_fn fns[TILE] = {tile_1, tile_2};
    const mq_window *w = &conv->window;
    const size_t pixels = w->out_h * w->out_w, end = to * TILE < pixels ? to * TILE : pixels;
    size_t y = from * TILE / w->out_w, x = from * TILE % w->out_w;
    for (size_t pixel = from * TILE, count; pixel < end; pixel += count) {
        count = end - pixel < TILE ? end - pixel : TILE;
        for (size_t k = 0; k < count; k++) {
            t->pixels[k] = tensors->source + (y * w->w + x) * w->stride * w->c;
            t->out[k] = tensors->result + (pixel + k) * conv->filters + filter;
            if (++x == w->out_w) x = 0, y++;
        }
        fns[count - 1](t);
    }
}

void mq_int8_run(const mq_int8 *conv, const mq_int8_tensors *tensors, size_t first, size_t end) {
    const mq_int8_packing p = mq_int8_packing_of(conv, tensors->packed);
    const size_t chunks = chunks_of(conv), tiles = tiles_of(conv);
    for (size_t item = first; item < end; item++) {
        const size_t chunk = item / p.panels, panel = item % p.panels, filter = panel * MQ_INT8_PANEL,
                     left = conv->filters - filter;
        int8_tile t = {.places = p.places + panel * p.quads,
                       .weights = p.weights + panel * p.quads * SLOT,
                       .together = p.together[panel],
                       .quads = p.quads,
                       .first = p.first + panel * VECTORS,
                       .extra_places = p.extra_places,
                       .extras = p.extras,
                       .filters = left < MQ_INT8_PANEL ? left : MQ_INT8_PANEL,
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
