/* int8_pack.c: packs weights as int8_pack.h has it. Called by dnn.c. Owns nothing. Invariant: each quad of a
 * panel is there once, and what is added in 16 bits adds up to no more than ROOM of one sign, so that it
 * never overflows, whatever the source. */
#include "net/int8_pack.h"

#include "net/simd.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* LOOK: quads that are asked whether they go with another one; most find one at once, those with large
 * weights hardly any. */
enum { LINE = 64, ROOM = 128, PIECE = 32 /* bytes of AVX2 */, LOOK = 32 };
enum { QUAD = MQ_INT8_QUAD, PANEL = MQ_INT8_PANEL, SLOT = MQ_INT8_SLOT };

/* Of one place in the window. */
static size_t row_quads(const mq_int8 *conv) {
    return mq_ceil_div(conv->window.c, QUAD);
}

/* Numbers of panels and of a panel's quads, and bytes of all that is not weights. */
typedef struct {
    size_t panels, quads, counts;
} sizes;

static sizes sizes_of(const mq_int8 *conv) {
    sizes s = {.panels = mq_ceil_div(conv->filters, PANEL),
               .quads = conv->window.kernel * conv->window.kernel * row_quads(conv)};
    s.counts = mq_round_up((3 * s.panels + s.panels * s.quads) * sizeof(uint32_t), LINE);
    return s;
}

size_t mq_int8_bytes(const mq_int8 *conv) {
    const sizes s = sizes_of(conv);
    return s.counts + 2 * s.panels * s.quads * SLOT; /* if all are wide */
}

mq_int8_packing mq_int8_packing_of(const mq_int8 *conv, const void *packed) {
    const sizes s = sizes_of(conv);
    uint8_t *base;
    memcpy(&base, &packed, sizeof base); /* written by mq_int8_pack only */
    mq_int8_packing p = {.panels = s.panels,
                         .quads = s.quads,
                         .together = (uint32_t *)(void *)base,
                         .weights = (int8_t *)base + s.counts};
    p.narrow = p.together + s.panels;
    p.first = p.narrow + s.panels;
    p.places = p.first + s.panels;
    return p;
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

/* A quad's weights for a panel of filters; zeros for filters that there are not, and for channels that came
 * before. */
static void get_quad(const mq_int8 *conv, const int8_t *weights, size_t quad, size_t filter,
                     int8_t out[SLOT]) {
    const size_t place = quad / row_quads(conv), due = quad % row_quads(conv) * QUAD,
                 begin = quad_channel(conv, quad), left = conv->filters - filter,
                 n = left < PANEL ? left : PANEL;
    if (n < PANEL || begin < due) memset(out, 0, SLOT);
    const int8_t *row = weights + (place * conv->window.c + begin) * conv->filters + filter;
    for (size_t k = begin < due ? due - begin : 0; k < QUAD; k++)
        for (size_t f = 0; f < n; f++) out[f * QUAD + k] = row[k * conv->filters + f];
}

#ifdef __x86_64__
/* Whether quads a and b have no room in any 16 bits together; the compiler finds no vectors for it. */
WITH("avx2") static bool is_over(const int8_t a[SLOT], const int8_t b[SLOT]) {
    const __m256i one = _mm256_set1_epi8(1), zero = _mm256_setzero_si256();
    __m256i most = zero;
    for (size_t at = 0; at < SLOT; at += PIECE) {
        const __m256i x = _mm256_loadu_si256((const void *)(a + at)),
                      y = _mm256_loadu_si256((const void *)(b + at));
        const __m256i above = _mm256_add_epi16(_mm256_maddubs_epi16(one, _mm256_max_epi8(x, zero)),
                                               _mm256_maddubs_epi16(one, _mm256_max_epi8(y, zero)));
        const __m256i below = _mm256_add_epi16(_mm256_maddubs_epi16(one, _mm256_min_epi8(x, zero)),
                                               _mm256_maddubs_epi16(one, _mm256_min_epi8(y, zero)));
        most = _mm256_max_epi16(most, _mm256_max_epi16(above, _mm256_sub_epi16(zero, below)));
    }
    return _mm256_movemask_epi8(_mm256_cmpgt_epi16(most, _mm256_set1_epi16(ROOM))) != 0;
}
#else
static bool is_over(const int8_t *a, const int8_t *b) {
    (void)a, (void)b;
    return true; /* never asked: nothing is multiplied by what is packed here */
}
#endif

/* The panel in work. */
typedef struct {
    const mq_int8 *conv;
    const mq_int8_packing *p;
    size_t panel, quads, slot; /* quads packed so far; slot: of all panels */
    int8_t (*weights)[SLOT];   /* [quads] */
    bool *done;                /* [quads] */
} panel_work;

static void put_place(panel_work *w, size_t quad) {
    w->p->places[w->panel * w->p->quads + w->quads++] = quad_place(w->conv, quad);
    w->done[quad] = true;
}

static void put_narrow(panel_work *w, size_t quad) {
    put_place(w, quad);
    memcpy(w->p->weights + w->slot++ * SLOT, w->weights[quad], SLOT);
}

static void put_wide(panel_work *w, size_t quad) {
    put_place(w, quad);
    for (size_t half = 0; half < 2; half++, w->slot++)
        for (size_t i = 0; i < SLOT / 2; i++) {
            const int16_t weight = w->weights[quad][2 * i + half];
            memcpy(w->p->weights + w->slot * SLOT + i * sizeof weight, &weight, sizeof weight);
        }
}

/* The next quad that goes together with this one; that of all quads if there is none. */
static size_t find_partner(const panel_work *w, size_t quad) {
    const size_t left = w->p->quads - quad, end = quad + (left < LOOK ? left : LOOK);
    for (size_t i = quad + 1; i < end; i++)
        if (!w->done[i] && !is_over(w->weights[quad], w->weights[i])) return i;
    return w->p->quads;
}

static void pack_panel(panel_work *w, const int8_t *weights) {
    static const int8_t nothing[SLOT] = {0};
    const mq_int8_packing *p = w->p;
    w->quads = 0;
    p->first[w->panel] = (uint32_t)w->slot;
    memset(w->done, 0, p->quads * sizeof *w->done);
    for (size_t quad = 0; quad < p->quads; quad++)
        get_quad(w->conv, weights, quad, w->panel * PANEL, w->weights[quad]);
    for (size_t quad = 0, partner; quad < p->quads; quad++) {
        if (w->done[quad] || (partner = find_partner(w, quad)) == p->quads) continue;
        put_narrow(w, quad);
        put_narrow(w, partner);
    }
    p->together[w->panel] = (uint32_t)w->quads;
    for (size_t quad = 0; quad < p->quads; quad++)
        if (!w->done[quad] && !is_over(w->weights[quad], nothing)) put_narrow(w, quad);
    p->narrow[w->panel] = (uint32_t)w->quads;
    for (size_t quad = 0; quad < p->quads; quad++)
        if (!w->done[quad]) put_wide(w, quad);
}

mq_status mq_int8_pack(mq_err *err, const mq_int8 *conv, const int8_t *weights, void *packed) {
    mq_status status = MQ_OK;
    const mq_int8_packing p = mq_int8_packing_of(conv, packed);
    panel_work w = {.conv = conv, .p = &p};
    MQ_TRY(mq_calloc(err, p.quads, sizeof *w.weights, "packed weights", &w.weights));
    MQ_TRY(mq_calloc(err, p.quads, sizeof *w.done, "packed weights", &w.done));
    for (; w.panel < p.panels; w.panel++) pack_panel(&w, weights);
cleanup:
    free(w.weights);
    free(w.done);
    return status;
}
