/* windows.c: the kernels of windows.h. Called by the training programs. Owns nothing.
 * Invariant: every variant rounds at the same places, so all give the same bytes. */
#include "net/windows.h"

#include "net/vec.h"

enum { PLACES = 256 };

BODY void get_places(words *place, const uint8_t *p, size_t n) {
    if (n == LANES)
        *place = __builtin_convertvector(*(const bytes *)p, words);
    else
        for (size_t k = 0; k < n; k++) (*place)[k] = p[k];
}

BODY void put_places(const words *place, uint8_t *p, size_t n) {
    if (n == LANES)
        *(bytes *)p = __builtin_convertvector(*place, bytes);
    else
        for (size_t k = 0; k < n; k++) p[k] = (uint8_t)(*place)[k];
}

/* What meets at one pixel: offsets of the other side's rows, and places in the window. */
typedef struct {
    size_t count, offset[PLACES];
    uint32_t place[PLACES];
} pool_meeting;

/* The pixels that window `at` reads, those outside left out. */
BODY void meet_window(const mq_window *w, size_t at, pool_meeting *m) {
    const size_t y = at / w->out_w * w->stride, x = at % w->out_w * w->stride;
    m->count = 0;
    for (size_t k = 0; k < w->kernel * w->kernel; k++) {
        const size_t sy = y + k / w->kernel - w->top,
                     sx = x + k % w->kernel - w->left; /* wrap above the edge */
        if (sy >= w->h || sx >= w->w) continue;
        m->offset[m->count] = (sy * w->w + sx) * w->c;
        m->place[m->count++] = (uint32_t)k;
    }
}

/* The windows that read a pixel, in order: their corners lie at most kernel - 1 before it. */
BODY void meet_pixel(const mq_window *w, size_t pixel, pool_meeting *m) {
    const size_t y = pixel / w->w + w->top, x = pixel % w->w + w->left;
    const size_t y0 = y < w->kernel ? 0 : (y - w->kernel) / w->stride + 1;
    const size_t x0 = x < w->kernel ? 0 : (x - w->kernel) / w->stride + 1;
    m->count = 0;
    for (size_t wy = y0; wy * w->stride <= y && wy < w->out_h; wy++)
        for (size_t wx = x0; wx * w->stride <= x && wx < w->out_w; wx++) {
            m->offset[m->count] = (wy * w->out_w + wx) * w->c;
            m->place[m->count++] = (uint32_t)((y - wy * w->stride) * w->kernel + (x - wx * w->stride));
        }
}

BODY void max_pool_rows(const mq_window *window, const void *a, void *out, uint8_t *places,
                        number_format format, bool whole) {
    const mq_window own = *window, *const w = &own;
    pool_meeting m;
    for (size_t at = 0; at < w->out_h * w->out_w; at++) {
        meet_window(w, at, &m);
        for (size_t c = 0; c < w->c; c += LANES) {
            const size_t n = lanes_at(c, w->c, whole);
            words place = (words){0} + m.place[0];
            vec best, v;
            get(&best, a, m.offset[0] + c, n, format);
            for (size_t k = 1; k < m.count; k++) {
                get(&v, a, m.offset[k] + c, n, format);
                const words more = (words)(v > best) | (words)(v != v), here = (words){0} + m.place[k];
                best = (vec)(((words)v & more) | ((words)best & ~more));
                place = (here & more) | (place & ~more);
            }
            put(&best, out, at * w->c + c, n, format);
            put_places(&place, places + at * w->c + c, n);
        }
    }
}

BODY void max_pool_body(const mq_window *window, const void *a, void *out, uint8_t *places,
                        number_format format) {
    if (is_whole(window->c))
        max_pool_rows(window, a, out, places, format, true);
    else
        max_pool_rows(window, a, out, places, format, false);
}

/* A pixel gets the gradients of the windows that chose it, added in the order of windows. */
BODY void max_pool_back_rows(const mq_window *window, const void *a, const uint8_t *places, void *out,
                             number_format format, bool whole) {
    const mq_window own = *window, *const w = &own;
    pool_meeting m;
    for (size_t pixel = 0; pixel < w->h * w->w; pixel++) {
        meet_pixel(w, pixel, &m);
        for (size_t c = 0; c < w->c; c += LANES) {
            const size_t n = lanes_at(c, w->c, whole);
            vec sum = {0}, g;
            for (size_t k = 0; k < m.count; k++) {
                words place = {0};
                get(&g, a, m.offset[k] + c, n, format);
                get_places(&place, places + m.offset[k] + c, n);
                sum += (vec)((words)g & (words)(place == m.place[k]));
            }
            put(&sum, out, pixel * w->c + c, n, format);
        }
    }
}

BODY void max_pool_back_body(const mq_window *window, const void *a, const uint8_t *places, void *out,
                             number_format format) {
    if (is_whole(window->c))
        max_pool_back_rows(window, a, places, out, format, true);
    else
        max_pool_back_rows(window, a, places, out, format, false);
}

/* All kernels for one instruction set and number format, and their table. */
#define KERNELS(name, target, format)                                                                        \
    target static void max_pool_##name(const mq_window *w, const void *a, void *out, uint8_t *places) {      \
        max_pool_body(w, a, out, places, format);                                                            \
    }                                                                                                        \
    target static void max_pool_back_##name(const mq_window *w, const void *a, const uint8_t *places,        \
                                            void *out) {                                                     \
        max_pool_back_body(w, a, places, out, format);                                                       \
    }                                                                                                        \
    static const mq_window_kernels kernels_##name = {                                                        \
        max_pool_##name,                                                                                     \
        max_pool_back_##name,                                                                                \
    };
VEC_VARIANTS(KERNELS)

#define ENTRY(name, target, format) [VARIANT_##name] = &kernels_##name,
static const mq_window_kernels *const all[] = {VEC_VARIANTS(ENTRY)};

const mq_window_kernels *mq_window_kernels_of(mq_dtype dtype) {
    return all[vec_variant_of(dtype)];
}
