/* int8_pack.c: packs weights as int8_pack.h has it. Called by dnn.c. Owns nothing. Invariant: what is added
 * in 16 bits adds up to no more than ROOM of one sign, so that it never overflows, whatever the source. */
#include "net/int8_pack.h"

#include "net/simd.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* Instructions for a vector by two quads together, by each alone, and by an extra. */
enum { ROOM = 128, LINE = 64, TOGETHER = 5, ALONE = 6, EXTRA = 3 };
enum { QUAD = MQ_INT8_QUAD, LANES_OF = MQ_INT8_LANES, VECTORS = MQ_INT8_VECTORS, VECTOR = MQ_INT8_VECTOR };

/* Of one place in the window. */
static size_t row_quads(const mq_int8 *conv) {
    return mq_ceil_div(conv->window.c, QUAD);
}

mq_int8_packing mq_int8_packing_of(const mq_int8 *conv, const void *packed) {
    const size_t side = conv->window.kernel, quads = side * side * row_quads(conv),
                 panels = mq_ceil_div(conv->filters, MQ_INT8_PANEL), vectors = panels * VECTORS,
                 most = vectors * quads;
    const size_t counts = mq_round_up((panels + panels * quads + vectors + 1) * sizeof(uint32_t), LINE),
                 list = mq_round_up(most * sizeof(uint32_t), LINE);
    uint8_t *base;
    memcpy(&base, &packed, sizeof base); /* written by mq_int8_pack only */
    mq_int8_packing p = {.panels = panels, .quads = quads, .together = (uint32_t *)(void *)base};
    p.places = p.together + panels;
    p.first = p.places + panels * quads;
    p.weights = (int8_t *)base + counts;
    p.extra_places = (uint32_t *)(void *)(p.weights + most * VECTOR);
    p.extras = p.weights + most * VECTOR + list;
    p.bytes = counts + list + 2 * most * VECTOR;
    return p;
}

size_t mq_int8_bytes(const mq_int8 *conv) {
    return mq_int8_packing_of(conv, NULL).bytes;
}

/* The first channel of a quad within its place. The last one reaches back where channels do not fill it. */
static size_t quad_channel(const mq_int8 *conv, size_t quad) {
    const size_t c = quad % row_quads(conv) * QUAD;
    return c + QUAD <= conv->window.c ? c : conv->window.c - QUAD;
}

static uint32_t quad_place(const mq_int8 *conv, size_t quad) {
    const mq_window *w = &conv->window;
    const size_t place = quad / row_quads(conv), y = place / w->kernel, x = place % w->kernel;
    return (uint32_t)((y * w->w + x) * w->c + quad_channel(conv, quad));
}

/* A quad's weights for a vector of filters; zeros for filters that there are not, for channels that came
 * before, and for a quad that there is not. */
static void get_quad(const mq_int8 *conv, const int8_t *weights, size_t quad, size_t filter,
                     int8_t out[VECTOR]) {
    const size_t place = quad / row_quads(conv), due = quad % row_quads(conv) * QUAD,
                 begin = quad_channel(conv, quad), places = conv->window.kernel * conv->window.kernel;
    const size_t left = place < places && filter < conv->filters ? conv->filters - filter : 0,
                 n = left < LANES_OF ? left : LANES_OF;
    const int8_t *row = weights + (place * conv->window.c + begin) * conv->filters + filter;
    if (n < LANES_OF || begin < due) memset(out, 0, VECTOR);
    for (size_t k = begin < due ? due - begin : 0; n && k < QUAD; k++)
        for (size_t f = 0; f < n; f++) out[f * QUAD + k] = row[k * conv->filters + f];
}

/* Two quads of a panel, and what is taken from them. */
typedef struct {
    int8_t weights[2][VECTORS][VECTOR], rests[2][VECTORS][VECTOR];
    bool extra[2][VECTORS]; /* the rest is not zero */
    size_t extras;          /* of these */
    bool fits;              /* rests have room, too */
} quad_pair;

static int part_of_sign(int8_t weight, int sign) {
    return weight * sign > 0 ? weight * sign : 0;
}

/* Takes from the weights that are added in 16 bits, two of each quad from `from` up to `to`, what has no
 * room of that sign. */
static void split_lane(quad_pair *p, size_t from, size_t to, size_t vector, size_t lane, int sign) {
    int over = -ROOM;
    for (size_t q = from; q < to; q++)
        for (size_t k = 0; k < 2; k++) over += part_of_sign(p->weights[q][vector][2 * lane + k], sign);
    for (size_t q = from; q < to && over > 0; q++) {
        int room = ROOM;
        for (size_t k = 0; k < 2; k++) {
            int8_t *weight = &p->weights[q][vector][2 * lane + k], *rest = &p->rests[q][vector][2 * lane + k];
            int take = part_of_sign(*weight, sign);
            take = take < over ? take : over;
            take = take < room ? take : room;
            if (take <= 0) continue;
            *weight = (int8_t)(*weight - sign * take);
            *rest = (int8_t)(sign * take);
            p->extra[q][vector] = true;
            room -= take;
            over -= take;
        }
    }
    p->fits &= over <= 0;
}

#ifdef __x86_64__
/* Whether any of these sums is too much; the compiler finds no vectors for it. */
WITH("avx2") static bool is_over(const int8_t a[VECTOR], const int8_t b[VECTOR]) {
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
static bool is_over(const int8_t a[VECTOR], const int8_t b[VECTOR]) {
    (void)a, (void)b;
    return true; /* look closer */
}
#endif

/* Both quads for 16 bits: each alone, or together. */
static void split(quad_pair *p, bool together) {
    static const int8_t none[VECTOR] = {0};
    p->fits = true;
    for (size_t q = 0; q < 2; q += together ? 2 : 1)
        for (size_t v = 0; v < VECTORS; v++) {
            if (!is_over(p->weights[q][v], together ? p->weights[1][v] : none)) continue;
            for (size_t lane = 0; lane < VECTOR / 2; lane++)
                for (int sign = -1; sign <= 1; sign += 2)
                    split_lane(p, q, together ? 2 : q + 1, v, lane, sign);
        }
    for (size_t q = 0; q < 2; q++)
        for (size_t v = 0; v < VECTORS; v++) p->extras += p->extra[q][v];
}

/* The panel in work. */
typedef struct {
    const mq_int8 *conv;
    const mq_int8_packing *p;
    size_t panel, front, back; /* slots that are free: front up to back */
    size_t count[VECTORS];     /* extras of each vector */
    uint32_t *extra_places;    /* [VECTORS, quads] */
    int8_t *extras;            /* [VECTORS, quads, VECTOR] */
} panel_work;

static void put_quad(panel_work *w, const quad_pair *pair, size_t q, size_t quad, size_t slot) {
    const mq_int8_packing *p = w->p;
    const uint32_t place = quad_place(w->conv, quad);
    p->places[w->panel * p->quads + slot] = place;
    memcpy(p->weights + (w->panel * p->quads + slot) * MQ_INT8_SLOT, pair->weights[q], MQ_INT8_SLOT);
    for (size_t v = 0; v < VECTORS; v++) {
        if (!pair->extra[q][v]) continue;
        const size_t at = v * p->quads + w->count[v]++;
        w->extra_places[at] = place;
        memcpy(w->extras + at * VECTOR, pair->rests[q][v], VECTOR);
    }
}

/* Quad `quad` and the next one if there is one: those that go together from the front on, others from the
 * back. */
static void pack_pair(panel_work *w, const int8_t *weights, size_t quad) {
    const bool both = quad + 1 < w->p->quads;
    quad_pair alone = {.fits = true};
    for (size_t q = 0; q < 2; q++)
        for (size_t v = 0; v < VECTORS; v++)
            get_quad(w->conv, weights, quad + q, w->panel * MQ_INT8_PANEL + v * LANES_OF,
                     alone.weights[q][v]);
    quad_pair together = alone;
    split(&alone, false);
    if (both) split(&together, true);
    if (both && together.fits &&
        VECTORS * TOGETHER + EXTRA * together.extras <= VECTORS * ALONE + EXTRA * alone.extras) {
        for (size_t q = 0; q < 2; q++) put_quad(w, &together, q, quad + q, w->front++);
    } else {
        for (size_t q = 0; q < 1 + (size_t)both; q++) put_quad(w, &alone, q, quad + q, --w->back);
    }
}

mq_status mq_int8_pack(mq_err *err, const mq_int8 *conv, const int8_t *weights, void *packed) {
    mq_status status = MQ_OK;
    const mq_int8_packing p = mq_int8_packing_of(conv, packed);
    panel_work w = {.conv = conv, .p = &p};
    size_t extras = 0;
    MQ_TRY(mq_calloc(err, VECTORS * p.quads, sizeof *w.extra_places, "packed weights", &w.extra_places));
    MQ_TRY(mq_calloc(err, VECTORS * p.quads, VECTOR, "packed weights", &w.extras));
    for (; w.panel < p.panels; w.panel++) {
        w.front = 0;
        w.back = p.quads;
        memset(w.count, 0, sizeof w.count);
        for (size_t quad = 0; quad < p.quads; quad += 2) pack_pair(&w, weights, quad);
        p.together[w.panel] = (uint32_t)w.front;
        for (size_t v = 0; v < VECTORS; extras += w.count[v++]) {
            p.first[w.panel * VECTORS + v] = (uint32_t)extras;
            memcpy(p.extra_places + extras, w.extra_places + v * p.quads, w.count[v] * sizeof(uint32_t));
            memcpy(p.extras + extras * VECTOR, w.extras + v * p.quads * VECTOR, w.count[v] * VECTOR);
        }
    }
    p.first[p.panels * VECTORS] = (uint32_t)extras;
cleanup:
    free(w.extra_places);
    free(w.extras);
    return status;
}
