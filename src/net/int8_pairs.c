/* int8_pairs.c: the arithmetic of int8_pairs.h. Called by int8_pack.c. Owns nothing. Invariant: what is added
 * in 16 bits adds up to no more than ROOM of one sign, so that it never overflows, whatever the source. */
#include "net/int8_pairs.h"

#include "net/simd.h"

#include <string.h>

/* Instructions for a vector by two quads together, by two alone, and by an extra. */
enum { ROOM = 128, TOGETHER = 5, ALONE = 6, EXTRA = 3 };
enum { SLOT = MQ_INT8_SLOT, GROUP = MQ_INT8_GROUP, PIECE = 32 /* bytes of AVX2 */ };

static int part_of_sign(int8_t weight, int sign) {
    return weight * sign > 0 ? weight * sign : 0;
}

/* Takes from the weights that are added in 16 bits, two of each quad from `from` up to `to` that begin at
 * `at`, what has no room of that sign. */
static void split_lane(mq_int8_pair *p, size_t from, size_t to, size_t at, int sign) {
    int over = -ROOM;
    for (size_t q = from; q < to; q++)
        for (size_t k = 0; k < 2; k++) over += part_of_sign(p->weights[q][at + k], sign);
    for (size_t q = from; q < to && over > 0; q++) {
        int room = ROOM;
        for (size_t k = 0; k < 2; k++) {
            int8_t *weight = &p->weights[q][at + k], *rest = &p->rests[q][at + k];
            int take = part_of_sign(*weight, sign);
            take = take < over ? take : over;
            take = take < room ? take : room;
            if (take <= 0) continue;
            *weight = (int8_t)(*weight - sign * take);
            *rest = (int8_t)(sign * take);
            room -= take;
            over -= take;
        }
    }
    p->fits &= over <= 0;
}

#ifdef __x86_64__
#define AVX2 WITH("avx2")
/* Whether PIECE weights of a and b have no room in any 16 bits; the compiler finds no vectors for it. */
AVX2 static bool is_over(const int8_t *a, const int8_t *b) {
    const __m256i one = _mm256_set1_epi8(1), zero = _mm256_setzero_si256(), room = _mm256_set1_epi16(ROOM);
    const __m256i x = _mm256_loadu_si256((const void *)a), y = _mm256_loadu_si256((const void *)b);
    const __m256i above = _mm256_add_epi16(_mm256_maddubs_epi16(one, _mm256_max_epi8(x, zero)),
                                           _mm256_maddubs_epi16(one, _mm256_max_epi8(y, zero)));
    const __m256i below = _mm256_add_epi16(_mm256_maddubs_epi16(one, _mm256_min_epi8(x, zero)),
                                           _mm256_maddubs_epi16(one, _mm256_min_epi8(y, zero)));
    const __m256i most = _mm256_max_epi16(above, _mm256_sub_epi16(zero, below));
    return _mm256_movemask_epi8(_mm256_cmpgt_epi16(most, room)) != 0;
}
#else
#define AVX2
static bool is_over(const int8_t *a, const int8_t *b) {
    (void)a, (void)b;
    return true; /* look closer */
}
#endif

static const mq_int8_quad nothing = {{0}};

/* Both quads for 16 bits: each alone, or together. */
static void split(mq_int8_pair *p, size_t vectors, bool together) {
    p->fits = true;
    for (size_t q = 0; q < 2; q += together ? 2 : 1)
        for (size_t at = 0; at < SLOT; at += PIECE) {
            if (!is_over(&p->weights[q][at], together ? &p->weights[1][at] : nothing.weights)) continue;
            for (size_t k = 0; k < PIECE; k += 2)
                for (int sign = -1; sign <= 1; sign += 2)
                    split_lane(p, q, together ? 2 : q + 1, at + k, sign);
        }
    const size_t vector = SLOT / vectors;
    for (size_t q = 0; q < 2; q++)
        for (size_t v = 0; v < vectors; v++) {
            p->extra[q][v] = memcmp(&p->rests[q][v * vector], nothing.weights, vector) != 0;
            p->extras += p->extra[q][v];
        }
}

mq_int8_pair mq_int8_split(const mq_int8_quad *a, const mq_int8_quad *b, size_t vectors) {
    mq_int8_pair alone = {.fits = true};
    memcpy(alone.weights[0], a, sizeof *a);
    if (b) memcpy(alone.weights[1], b, sizeof *b);
    mq_int8_pair together = alone;
    split(&alone, vectors, false);
    if (!b) return alone;
    split(&together, vectors, true);
    together.together = together.fits && vectors * TOGETHER + EXTRA * together.extras <=
                                             vectors * ALONE + EXTRA * alone.extras;
    return together.together ? together : alone;
}

/* Instructions for two quads in the better way, alone of which they take so many each; of the extras a second
 * quad may need nothing is known yet. */
AVX2 static unsigned cost_of(const mq_int8_quad *a, const mq_int8_quad *b, size_t vectors, unsigned alone) {
    unsigned together = (unsigned)vectors * TOGETHER;
    const size_t vector = SLOT / vectors;
    for (size_t begin = 0; begin < SLOT; begin += vector) {
        bool over = false;
        for (size_t at = begin; at < begin + vector; at += PIECE)
            over |= is_over(&a->weights[at], &b->weights[at]);
        together += EXTRA * (unsigned)over;
    }
    return together < alone ? together : alone;
}

/* Of all pairs of a group, a before b. */
AVX2 static void find_costs(const mq_int8_quad quads[GROUP], size_t vectors, unsigned costs[GROUP][GROUP]) {
    unsigned alone[GROUP];
    for (size_t a = 0; a < GROUP; a++)
        alone[a] = cost_of(&quads[a], &nothing, vectors, UINT32_MAX) + (unsigned)vectors * (ALONE / 2) -
                   (unsigned)vectors * TOGETHER;
    for (size_t a = 0; a < GROUP; a++)
        for (size_t b = a + 1; b < GROUP; b++)
            costs[a][b] = cost_of(&quads[a], &quads[b], vectors, alone[a] + alone[b]);
}

/* The least costs of all that may be left when the first quad of what is left takes any other, from all of
 * them down to none. */
void mq_int8_match(const mq_int8_quad quads[GROUP], size_t vectors, size_t partners[GROUP]) {
    enum { ALL = (1 << GROUP) - 1 };
    unsigned costs[GROUP][GROUP], least[ALL + 1], before[ALL + 1];
    find_costs(quads, vectors, costs);
    memset(least, 0xff, sizeof least);
    least[ALL] = 0;
    for (unsigned left = ALL; left; left--) {
        if (least[left] == UINT32_MAX) continue;
        const int a = __builtin_ctz(left);
        for (unsigned others = left & (left - 1); others; others &= others - 1) {
            const int b = __builtin_ctz(others);
            const unsigned then = left & ~(1u << a | 1u << b), cost = least[left] + costs[a][b];
            if (cost >= least[then]) continue;
            least[then] = cost;
            before[then] = left;
        }
    }
    for (unsigned left = 0; left != ALL; left = before[left]) {
        const unsigned pair = left ^ before[left];
        const size_t a = (size_t)__builtin_ctz(pair), b = (size_t)__builtin_ctz(pair & (pair - 1));
        partners[a] = b;
        partners[b] = a;
    }
}
