/* rows.c: the kernels of rows.h, one body each, compiled for three instruction
 * sets and two number formats. Called by the training programs. Owns nothing.
 * Invariant: every variant rounds at the same places, so all give the same bytes. */
#include "net/rows.h"

#include "net/program.h"

#include <string.h>

/* Vectors go by pointer: by value their calling convention would depend on the instruction set. */
/* FEW pixels are read side by side, so that memory is still read in order. */
enum { LANES = MQ_ROWS_PAD, FEW = 4, BLOCK = 64, PANEL = 1024, PLACES = 256 };
typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint32_t words __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint8_t bytes __attribute__((vector_size(LANES), aligned(1), may_alias));
typedef uint16_t halves __attribute__((vector_size(2 * LANES), aligned(2), may_alias));

#define BODY __attribute__((always_inline)) static inline

/* Of numbers in memory; BF16_FAST: by the processor's own instructions, to the same bits. */
typedef enum { F32, BF16, BF16_FAST } number_format;
#if defined __x86_64__ && !defined __clang__ /* which looks at operands before it inlines */
#define FAST
#endif

BODY float number(const void *p, size_t i, number_format format) {
    float value;
    if (format == F32) return ((const float *)p)[i];
    const uint32_t bits = (uint32_t)((const uint16_t *)p)[i] << 16;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* To the nearest bf16, ties to even, as vcvtneps2bf16 does: what is too small for a normal number is a zero,
 * NaNs become quiet and keep their upper bits. */
BODY uint16_t half_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (value != value) return (uint16_t)(bits >> 16 | 0x40);
    if (!(bits & 0x7F800000)) return (uint16_t)(bits >> 16 & 0x8000);
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

/* The same of LANES numbers. */
BODY void halves_of(const vec *v, halves *out, number_format format) {
#ifdef FAST
    if (format == BF16_FAST) {
        __asm__("vcvtneps2bf16 %1, %0" : "=v"(*out) : "v"(*v));
        return;
    }
#endif
    (void)format;
    const words bits = (words)*v, nan = (words)(*v != *v), tiny = (words)((bits & 0x7F800000) == 0);
    const words rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
    const words sound = (tiny & (bits >> 16 & 0x8000)) | (~tiny & rounded);
    *out = __builtin_convertvector((nan & (bits >> 16 | 0x40)) | (~nan & sound), halves);
}

BODY void words_of(const halves *from, words *out, number_format format) {
#ifdef FAST
    if (format == BF16_FAST) {
        __asm__("vpmovzxwd %1, %0" : "=v"(*out) : "m"(*from));
        return;
    }
#endif
    (void)format;
    *out = __builtin_convertvector(*from, words);
}

/* n <= LANES numbers at p[i]; the lanes behind them are 0. */
BODY void get(vec *v, const void *p, size_t i, size_t n, number_format format) {
    if (n < LANES) {
        *v = (vec){0};
        for (size_t k = 0; k < n; k++) (*v)[k] = number(p, i + k, format);
    } else if (format != F32) {
        words bits;
        words_of((const halves *)((const uint16_t *)p + i), &bits, format);
        *v = (vec)(bits << 16);
    } else {
        *v = *(const vec *)((const float *)p + i);
    }
}

BODY void put(const vec *v, void *p, size_t i, size_t n, number_format format) {
    if (n < LANES) {
        for (size_t k = 0; k < n; k++)
            if (format != F32)
                ((uint16_t *)p)[i + k] = half_of((*v)[k]);
            else
                ((float *)p)[i + k] = (*v)[k];
    } else if (format != F32) {
        halves rounded;
        halves_of(v, &rounded, format);
        *(halves *)((uint16_t *)p + i) = rounded;
    } else {
        *(vec *)((float *)p + i) = *v;
    }
}

/* What put stores, as f32. */
BODY void round_to(vec *v, number_format format) {
    if (format == F32) return;
    halves rounded;
    halves_of(v, &rounded, format);
    words bits;
    words_of(&rounded, &bits, format);
    *v = (vec)(bits << 16);
}

BODY void channel(vec *v, const float *p, size_t c) {
    *v = *(const vec *)(p + c);
}

BODY size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* whole: channels are a multiple of LANES. Like all flags below it is a constant wherever it costs time. */
BODY size_t lanes_at(size_t c, size_t channels, bool whole) {
    return whole ? LANES : least(channels - c, LANES);
}

BODY bool is_whole(size_t channels) {
    return channels % LANES == 0;
}

/* v = scale v + shift at channel c. */
BODY void affine(vec *v, const float *scale, const float *shift, size_t c) {
    vec s, t;
    channel(&s, scale, c);
    channel(&t, shift, c);
    *v = *v * s + t;
}

/* v where x is above zero, else 0. A NaN in x lets v pass, so that it stays visible. */
BODY void mask(vec *v, const vec *x) {
    const words blocked = (words)(*x <= (vec){0});
    *v = (vec)((words)*v & ~blocked);
}

/* What apply has to do. */
typedef struct {
    bool whole, scaled, two, scaled_b, relu;
} apply_flags;

BODY void apply_rows(const mq_rows *args, number_format format, apply_flags f) {
    const mq_rows own = *args, *const r = &own; /* a store may alias args, but not these */
    for (size_t p = 0; p < r->pixels; p++)
        for (size_t c = 0; c < r->channels; c += LANES) {
            const size_t i = p * r->channels + c, n = lanes_at(c, r->channels, f.whole);
            vec a, b;
            get(&a, r->a, i, n, format);
            if (f.scaled) affine(&a, r->scale, r->shift, c);
            if (f.two) {
                get(&b, r->b, i, n, format);
                if (f.scaled_b) affine(&b, r->scale_b, r->shift_b, c);
                a += b;
            }
            if (f.relu) a = (vec)((words)a & ~(words)(a < (vec){0}));
            put(&a, r->out, i, n, format);
        }
}

/* The kinds that networks have get loops of their own. */
BODY void apply_body(const mq_rows *r, number_format format) {
    const bool whole = is_whole(r->channels);
    if (whole && !r->b && r->relu && r->scale)
        apply_rows(r, format, (apply_flags){true, true, false, false, true});
    else if (whole && !r->b && r->relu)
        apply_rows(r, format, (apply_flags){true, false, false, false, true});
    else if (whole && !r->b && r->scale)
        apply_rows(r, format, (apply_flags){true, true, false, false, false});
    else if (whole && r->b && !r->relu && r->scale && r->scale_b)
        apply_rows(r, format, (apply_flags){true, true, true, true, false});
    else if (whole && r->b && !r->relu && r->scale)
        apply_rows(r, format, (apply_flags){true, true, true, false, false});
    else
        apply_rows(r, format, (apply_flags){whole, r->scale, r->b, r->scale_b, r->relu});
}

/* Sums of up to PANEL channels from first on over BLOCK pixels: short enough for f32, then added up in
 * double. */
typedef struct {
    float s[2][PANEL];
    size_t first;
} panel_sums;

/* Adds what the panel holds to the sums of its channels and empties it. */
BODY void flush(panel_sums *panel, double *sums, size_t channels) {
    for (size_t c = panel->first; c < channels && c < panel->first + PANEL; c++) {
        sums[c] += (double)panel->s[0][c - panel->first];
        sums[channels + c] += (double)panel->s[1][c - panel->first];
    }
    memset(panel->s, 0, sizeof panel->s);
}

/* FEW pixels from p on. */
BODY void stats_few(const mq_rows *r, panel_sums *panel, size_t p, number_format format, bool whole) {
    const size_t first = panel->first, end = least(r->pixels, p + FEW);
    for (size_t c = first; c < r->channels && c < first + PANEL; c += LANES) {
        const size_t n = lanes_at(c, r->channels, whole);
        vec s0, s1, x, mean;
        channel(&s0, panel->s[0], c - first);
        channel(&s1, panel->s[1], c - first);
        channel(&mean, r->mean, c);
        for (size_t i = p; i < end; i++) {
            get(&x, r->a, i * r->channels + c, n, format);
            x -= mean;
            s0 += x;
            s1 += x * x;
        }
        *(vec *)(panel->s[0] + c - first) = s0;
        *(vec *)(panel->s[1] + c - first) = s1;
    }
}

BODY void stats_rows(const mq_rows *args, number_format format, bool whole) {
    const mq_rows own = *args, *const r = &own;
    panel_sums panel = {.first = 0};
    memset(r->sums, 0, 2 * r->channels * sizeof *r->sums);
    for (; panel.first < r->channels; panel.first += PANEL)
        for (size_t p = 0; p < r->pixels; p += FEW) {
            stats_few(r, &panel, p, format, whole);
            if ((p + FEW) % BLOCK == 0 || p + FEW >= r->pixels) flush(&panel, r->sums, r->channels);
        }
}

BODY void stats_body(const mq_rows *r, number_format format) {
    if (is_whole(r->channels))
        stats_rows(r, format, true);
    else
        stats_rows(r, format, false);
}

BODY void norm_back_rows(const mq_rows *args, number_format format, bool whole, bool batch) {
    const mq_rows own = *args, *const r = &own; /* a store may alias args, but not these */
    for (size_t p = 0; p < r->pixels; p++)
        for (size_t c = 0; c < r->channels; c += LANES) {
            const size_t i = p * r->channels + c, n = lanes_at(c, r->channels, whole);
            vec g, x, scale, mean_grad, mean, factor;
            get(&g, r->a, i, n, format);
            channel(&scale, r->scale, c);
            if (batch) {
                get(&x, r->b, i, n, format);
                channel(&mean_grad, r->mean_grad, c);
                channel(&mean, r->mean, c);
                channel(&factor, r->factor, c);
                g = (g - mean_grad) - (x - mean) * factor;
            }
            g *= scale;
            put(&g, r->out, i, n, format);
        }
}

BODY void norm_back_body(const mq_rows *r, number_format format) {
    const bool whole = is_whole(r->channels);
    if (whole && r->mean_grad)
        norm_back_rows(r, format, true, true);
    else if (whole)
        norm_back_rows(r, format, true, false);
    else
        norm_back_rows(r, format, false, r->mean_grad);
}

/* A gradient and the forward pass's number that goes with it. */
typedef struct {
    vec g, x;
} grad_pair;

/* What grad has to do; scaled: the ReLU's input is B(b), else b. */
typedef struct {
    bool whole, relu, scaled, old, sums;
} grad_flags;

BODY void grad_vector(const mq_rows *r, size_t pixel, size_t c, number_format format, grad_flags f,
                      grad_pair *out) {
    const size_t i = pixel * r->channels + c, n = lanes_at(c, r->channels, f.whole);
    vec *g = &out->g, *x = &out->x;
    get(g, r->a, i, n, format);
    if (f.relu || f.sums) get(x, r->b, i, n, format);
    if (f.relu) {
        vec y = *x;
        if (f.scaled) affine(&y, r->scale_b, r->shift_b, c);
        mask(g, &y);
    }
    if (f.old) {
        vec old;
        get(&old, r->old, i, n, format);
        *g += old;
    }
    put(g, r->out, i, n, format);
}

BODY void grad_few(const mq_rows *r, panel_sums *panel, size_t p, number_format format, grad_flags f) {
    const size_t first = panel->first, end = least(r->pixels, p + FEW);
    for (size_t c = first; c < r->channels && c < first + PANEL; c += LANES) {
        vec s0, s1, mean;
        grad_pair v;
        channel(&s0, panel->s[0], c - first);
        channel(&s1, panel->s[1], c - first);
        channel(&mean, r->mean, c);
        for (size_t i = p; i < end; i++) {
            grad_vector(r, i, c, format, f, &v);
            round_to(&v.g, format); /* of the numbers that the next pass will read */
            s0 += v.g;
            s1 += v.g * (v.x - mean);
        }
        *(vec *)(panel->s[0] + c - first) = s0;
        *(vec *)(panel->s[1] + c - first) = s1;
    }
}

BODY void grad_rows(const mq_rows *args, number_format format, grad_flags f) {
    const mq_rows own = *args, *const r = &own;
    panel_sums panel = {.first = 0};
    grad_pair v;
    f.sums = false;
    for (size_t p = 0; p < r->pixels && !r->sums; p++)
        for (size_t c = 0; c < r->channels; c += LANES) grad_vector(r, p, c, format, f, &v);
    if (!r->sums) return;
    f.sums = true;
    memset(r->sums, 0, 2 * r->channels * sizeof *r->sums);
    for (; panel.first < r->channels; panel.first += PANEL)
        for (size_t p = 0; p < r->pixels; p += FEW) {
            grad_few(r, &panel, p, format, f);
            if ((p + FEW) % BLOCK == 0 || p + FEW >= r->pixels) flush(&panel, r->sums, r->channels);
        }
}

BODY void grad_body(const mq_rows *r, number_format format) {
    const bool whole = is_whole(r->channels);
    if (whole && r->relu && r->scale_b && !r->old)
        grad_rows(r, format, (grad_flags){true, true, true, false, false});
    else if (whole && r->relu && !r->scale_b && r->old)
        grad_rows(r, format, (grad_flags){true, true, false, true, false});
    else if (whole && r->relu && !r->scale_b)
        grad_rows(r, format, (grad_flags){true, true, false, false, false});
    else if (whole && !r->relu && !r->old)
        grad_rows(r, format, (grad_flags){true, false, false, false, false});
    else
        grad_rows(r, format, (grad_flags){whole, r->relu, r->scale_b, r->old, false});
}

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

BODY void mean_body(const mq_rows *r, float *means, number_format format) {
    for (size_t c = 0; c < r->channels; c += LANES) {
        const size_t n = lanes_at(c, r->channels, false);
        vec sum = {0}, x;
        for (size_t p = 0; p < r->pixels; p++) {
            get(&x, r->a, p * r->channels + c, n, format);
            sum += x;
        }
        for (size_t k = 0; k < n; k++) means[c + k] = sum[k] / (float)r->pixels;
    }
}

BODY void mean_back_body(const mq_rows *r, const float *gradient, number_format format) {
    const float share = 1.0f / (float)r->pixels;
    for (size_t p = 0; p < r->pixels; p++)
        for (size_t c = 0; c < r->channels; c += LANES) {
            const size_t n = lanes_at(c, r->channels, false);
            vec g;
            get(&g, gradient, c, n, F32);
            g *= share;
            put(&g, r->out, p * r->channels + c, n, format);
        }
}

/* All kernels for one instruction set and number format, and their table. */
#define KERNELS(name, target, format)                                                                        \
    target static void apply_##name(const mq_rows *r) {                                                      \
        apply_body(r, format);                                                                               \
    }                                                                                                        \
    target static void stats_##name(const mq_rows *r) {                                                      \
        stats_body(r, format);                                                                               \
    }                                                                                                        \
    target static void norm_back_##name(const mq_rows *r) {                                                  \
        norm_back_body(r, format);                                                                           \
    }                                                                                                        \
    target static void grad_##name(const mq_rows *r) {                                                       \
        grad_body(r, format);                                                                                \
    }                                                                                                        \
    target static void max_pool_##name(const mq_window *w, const void *a, void *out, uint8_t *places) {      \
        max_pool_body(w, a, out, places, format);                                                            \
    }                                                                                                        \
    target static void max_pool_back_##name(const mq_window *w, const void *a, const uint8_t *places,        \
                                            void *out) {                                                     \
        max_pool_back_body(w, a, places, out, format);                                                       \
    }                                                                                                        \
    target static void mean_##name(const mq_rows *r, float *means) {                                         \
        mean_body(r, means, format);                                                                         \
    }                                                                                                        \
    target static void mean_back_##name(const mq_rows *r, const float *gradient) {                           \
        mean_back_body(r, gradient, format);                                                                 \
    }                                                                                                        \
    static const mq_rows_kernels kernels_##name = {                                                          \
        apply_##name,    stats_##name,         norm_back_##name, grad_##name,                                \
        max_pool_##name, max_pool_back_##name, mean_##name,      mean_back_##name,                           \
    };

#ifdef __x86_64__
#define WITH(features) __attribute__((target(features)))
KERNELS(f32_512, WITH("avx512f,avx512bw,avx512vl,avx512dq"), F32)
KERNELS(bf16_512, WITH("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16"), BF16_FAST)
KERNELS(f32_256, WITH("avx2"), F32)
KERNELS(bf16_256, WITH("avx2"), BF16)
#endif
KERNELS(f32_any, , F32)
KERNELS(bf16_any, , BF16)

const mq_rows_kernels *mq_rows_kernels_of(mq_dtype dtype) {
    const bool bf16 = dtype == MQ_BF16;
#ifdef __x86_64__
    const char *isa = mq_dnn_isa();
    if (bf16 && mq_dtype_auto() == MQ_BF16) return &kernels_bf16_512;
    if (strncmp(isa, "avx512", 6) == 0) return bf16 ? &kernels_bf16_256 : &kernels_f32_512;
    if (strncmp(isa, "avx2", 4) == 0) return bf16 ? &kernels_bf16_256 : &kernels_f32_256;
#endif
    return bf16 ? &kernels_bf16_any : &kernels_f32_any;
}
