/* int8_pack.c: packs weights as int8_pack.h has it. Called by dnn.c. Owns nothing. Invariant: each quad of a
 * panel is there once, and its extras in the lists of their vectors. */
#include "net/int8_pairs.h"

#include "net/program.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { LINE = 64, GROUP = MQ_INT8_GROUP };
enum { QUAD = MQ_INT8_QUAD, PANEL = MQ_INT8_PANEL, SLOT = MQ_INT8_SLOT };

size_t mq_int8_vectors(void) {
    return mq_dnn_simd() == MQ_SIMD_AVX512 ? 2 : 4;
}

/* Of one place in the window. */
static size_t row_quads(const mq_int8 *conv) {
    return mq_ceil_div(conv->window.c, QUAD);
}

/* Bytes of its parts, and numbers of what is in them. */
typedef struct {
    size_t panels, quads, vectors;  /* quads: of a panel; vectors: of all panels */
    size_t counts, weights, places; /* places: of extras, which have as many weights as the others at most */
} sizes;

static sizes sizes_of(const mq_int8 *conv) {
    sizes s = {.panels = mq_ceil_div(conv->filters, PANEL),
               .quads = conv->window.kernel * conv->window.kernel * row_quads(conv)};
    s.vectors = s.panels * mq_int8_vectors();
    s.counts = mq_round_up((s.panels + s.panels * s.quads + s.vectors + 1) * sizeof(uint32_t), LINE);
    s.weights = s.panels * s.quads * SLOT;
    s.places = mq_round_up(s.vectors * s.quads * sizeof(uint32_t), LINE);
    return s;
}

size_t mq_int8_bytes(const mq_int8 *conv) {
    const sizes s = sizes_of(conv);
    return s.counts + 2 * s.weights + s.places;
}

mq_int8_packing mq_int8_packing_of(const mq_int8 *conv, const void *packed) {
    const sizes s = sizes_of(conv);
    uint8_t *base;
    memcpy(&base, &packed, sizeof base); /* written by mq_int8_pack only */
    mq_int8_packing p = {.panels = s.panels,
                         .vectors = mq_int8_vectors(),
                         .quads = s.quads,
                         .together = (uint32_t *)(void *)base};
    p.places = p.together + s.panels;
    p.first = p.places + s.panels * s.quads;
    p.weights = (int8_t *)base + s.counts;
    p.extra_places = (uint32_t *)(void *)(p.weights + s.weights);
    p.extras = p.weights + s.weights + s.places;
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

/* A quad's weights for a panel of filters; zeros for filters that there are not, for channels that came
 * before, and for a quad that there is not. */
static void get_quad(const mq_int8 *conv, const int8_t *weights, size_t quad, size_t filter,
                     int8_t out[SLOT]) {
    const size_t place = quad / row_quads(conv), due = quad % row_quads(conv) * QUAD,
                 begin = quad_channel(conv, quad), places = conv->window.kernel * conv->window.kernel;
    const size_t left = place < places ? conv->filters - filter : 0, n = left < PANEL ? left : PANEL;
    if (n < PANEL || begin < due) memset(out, 0, SLOT);
    if (!n) return;
    const int8_t *row = weights + (place * conv->window.c + begin) * conv->filters + filter;
    for (size_t k = begin < due ? due - begin : 0; k < QUAD; k++)
        for (size_t f = 0; f < n; f++) out[f * QUAD + k] = row[k * conv->filters + f];
}

/* The panel in work. */
typedef struct {
    const mq_int8 *conv;
    const mq_int8_packing *p;
    size_t panel, front, back;     /* slots that are free: front up to back */
    size_t count[MQ_INT8_VECTORS]; /* extras of each vector */
    uint32_t *extra_places;        /* [vectors, quads] */
    int8_t *extras;                /* [vectors, quads, SLOT / vectors] */
} panel_work;

static void put_quad(panel_work *w, const mq_int8_pair *pair, size_t q, size_t quad, size_t slot) {
    const mq_int8_packing *p = w->p;
    const uint32_t place = quad_place(w->conv, quad);
    p->places[w->panel * p->quads + slot] = place;
    memcpy(p->weights + (w->panel * p->quads + slot) * SLOT, pair->weights[q], SLOT);
    const size_t vector = SLOT / p->vectors;
    for (size_t v = 0; v < p->vectors; v++) {
        if (!pair->extra[q][v]) continue;
        const size_t at = v * p->quads + w->count[v]++;
        w->extra_places[at] = place;
        memcpy(w->extras + at * vector, &pair->rests[q][v * vector], vector);
    }
}

/* The group of quads that begins with `first`; those that go together from the front on, others from the
 * back. */
static void pack_group(panel_work *w, const int8_t *weights, size_t first) {
    mq_int8_quad quads[GROUP];
    size_t partners[GROUP];
    const size_t left = w->p->quads - first, count = left < GROUP ? left : GROUP;
    for (size_t q = 0; q < GROUP; q++)
        get_quad(w->conv, weights, first + q, w->panel * PANEL, quads[q].weights);
    mq_int8_match(quads, w->p->vectors, partners);
    for (size_t a = 0; a < count; a++) {
        const size_t b = partners[a];
        if (b < a) continue; /* done */
        const mq_int8_pair pair = mq_int8_split(&quads[a], b < count ? &quads[b] : NULL, w->p->vectors);
        put_quad(w, &pair, 0, first + a, pair.together ? w->front++ : --w->back);
        if (b < count) put_quad(w, &pair, 1, first + b, pair.together ? w->front++ : --w->back);
    }
}

mq_status mq_int8_pack(mq_err *err, const mq_int8 *conv, const int8_t *weights, void *packed) {
    mq_status status = MQ_OK;
    const mq_int8_packing p = mq_int8_packing_of(conv, packed);
    panel_work w = {.conv = conv, .p = &p};
    size_t extras = 0;
    const size_t vector = SLOT / p.vectors;
    MQ_TRY(mq_calloc(err, p.vectors * p.quads, sizeof *w.extra_places, "packed weights", &w.extra_places));
    MQ_TRY(mq_calloc(err, p.quads, SLOT, "packed weights", &w.extras));
    for (; w.panel < p.panels; w.panel++) {
        w.front = 0;
        w.back = p.quads;
        memset(w.count, 0, sizeof w.count);
        for (size_t quad = 0; quad < p.quads; quad += GROUP) pack_group(&w, weights, quad);
        p.together[w.panel] = (uint32_t)w.front;
        for (size_t v = 0; v < p.vectors; extras += w.count[v++]) {
            p.first[w.panel * p.vectors + v] = (uint32_t)extras;
            memcpy(p.extra_places + extras, w.extra_places + v * p.quads, w.count[v] * sizeof(uint32_t));
            memcpy(p.extras + extras * vector, w.extras + v * p.quads * vector, w.count[v] * vector);
        }
    }
    p.first[p.panels * p.vectors] = (uint32_t)extras;
cleanup:
    free(w.extra_places);
    free(w.extras);
    return status;
}
