/* rows.c: the kernels of rows.h. Called by the training programs. Owns nothing.
 * Invariant: every variant rounds at the same places, so all give the same bytes. */
#include "net/rows.h"

#include "net/vec.h"

#include "base/mem.h"

/* FEW pixels are read side by side, so that memory is still read in order; a tensor of no more than a
 * vector's channels is read in order anyway. */
enum { FEW = 4, BLOCK = 64, PANEL = 1024 };
_Static_assert((int)MQ_ROWS_PAD % (int)LANES == 0, "arrays of channels are read in whole vectors");

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

/* What is known of the channels: those of a block, if block, or that they are whole vectors. */
typedef struct {
    size_t block;
    bool whole;
} extent;

static const extent any = {0, false};

/* The arguments by value: a store may alias them, but not these. */
BODY mq_rows own_rows(const mq_rows *args, extent channels) {
    mq_rows own = *args;
    if (channels.block) own.channels = channels.block;
    return own;
}

/* What apply has to do. */
typedef struct {
    extent channels;
    bool scaled, two, scaled_b, relu;
} apply_flags;

BODY void apply_rows(const mq_rows *args, number_format format, apply_flags f) {
    const mq_rows own = own_rows(args, f.channels), *const r = &own;
    for (size_t p = 0; p < r->pixels; p++)
        for (size_t c = 0; c < r->channels; c += LANES) {
            const size_t i = p * r->channels + c, n = lanes_at(c, r->channels, f.channels.whole);
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
BODY void apply_body(const mq_rows *r, number_format format, size_t block) {
    const bool usual = is_usual(r->channels, block);
    const extent most = {block, true};
    if (usual && !r->b && r->relu && r->scale)
        apply_rows(r, format, (apply_flags){most, true, false, false, true});
    else if (usual && !r->b && r->relu)
        apply_rows(r, format, (apply_flags){most, false, false, false, true});
    else if (usual && !r->b && r->scale)
        apply_rows(r, format, (apply_flags){most, true, false, false, false});
    else if (usual && r->b && !r->relu && r->scale && r->scale_b)
        apply_rows(r, format, (apply_flags){most, true, true, true, false});
    else if (usual && r->b && !r->relu && r->scale)
        apply_rows(r, format, (apply_flags){most, true, true, false, false});
    else
        apply_rows(r, format, (apply_flags){any, r->scale, r->b, r->scale_b, r->relu});
}

/* Sums of up to PANEL channels from first on over BLOCK pixels: short enough for f32, then added up in
 * double. */
typedef struct {
    float s[2][PANEL];
    size_t first;
} panel_sums;

/* Empties it, from channel first on of so many. */
BODY void begin(panel_sums *panel, size_t first, size_t channels) {
    const size_t whole = mq_round_up(least(channels - first, PANEL), LANES);
    panel->first = first;
    for (size_t i = 0; i < 2; i++) memset(panel->s[i], 0, whole * sizeof *panel->s[i]);
}

/* Adds what the panel holds to the sums of its channels and empties it. */
BODY void flush(panel_sums *panel, double *sums, size_t channels) {
    for (size_t c = panel->first; c < channels && c < panel->first + PANEL; c++) {
        sums[c] += (double)panel->s[0][c - panel->first];
        sums[channels + c] += (double)panel->s[1][c - panel->first];
    }
    begin(panel, panel->first, channels);
}

/* Pixels that are summed at once. */
BODY size_t few_of(extent channels) {
    return channels.block ? BLOCK : FEW;
}

/* A few pixels from p on. */
BODY void stats_few(const mq_rows *r, panel_sums *panel, size_t p, number_format format, extent channels) {
    const size_t first = panel->first, end = least(r->pixels, p + few_of(channels));
    for (size_t c = first; c < r->channels && c < first + PANEL; c += LANES) {
        const size_t n = lanes_at(c, r->channels, channels.whole);
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

BODY void stats_rows(const mq_rows *args, number_format format, extent channels) {
    const mq_rows own = own_rows(args, channels), *const r = &own;
    const size_t few = few_of(channels);
    panel_sums panel;
    memset(r->sums, 0, 2 * r->channels * sizeof *r->sums);
    for (size_t first = 0; first < r->channels; first += PANEL) {
        begin(&panel, first, r->channels);
        for (size_t p = 0; p < r->pixels; p += few) {
            stats_few(r, &panel, p, format, channels);
            if ((p + few) % BLOCK == 0 || p + few >= r->pixels) flush(&panel, r->sums, r->channels);
        }
    }
}

BODY void stats_body(const mq_rows *r, number_format format, size_t block) {
    if (is_usual(r->channels, block))
        stats_rows(r, format, (extent){block, true});
    else
        stats_rows(r, format, any);
}

BODY void norm_back_rows(const mq_rows *args, number_format format, extent channels, bool batch) {
    const mq_rows own = own_rows(args, channels), *const r = &own;
    for (size_t p = 0; p < r->pixels; p++)
        for (size_t c = 0; c < r->channels; c += LANES) {
            const size_t i = p * r->channels + c, n = lanes_at(c, r->channels, channels.whole);
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

BODY void norm_back_body(const mq_rows *r, number_format format, size_t block) {
    const bool usual = is_usual(r->channels, block);
    if (usual && r->mean_grad)
        norm_back_rows(r, format, (extent){block, true}, true);
    else if (usual)
        norm_back_rows(r, format, (extent){block, true}, false);
    else
        norm_back_rows(r, format, any, r->mean_grad);
}

/* A gradient and the forward pass's number that goes with it. */
typedef struct {
    vec g, x;
} grad_pair;

/* What grad has to do; scaled: the ReLU's input is B(b), else b. */
typedef struct {
    extent channels;
    bool relu, scaled, old, sums;
} grad_flags;

BODY void grad_vector(const mq_rows *r, size_t pixel, size_t c, number_format format, grad_flags f,
                      grad_pair *out) {
    const size_t i = pixel * r->channels + c, n = lanes_at(c, r->channels, f.channels.whole);
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
    const size_t first = panel->first, end = least(r->pixels, p + few_of(f.channels));
    for (size_t c = first; c < r->channels && c < first + PANEL; c += LANES) {
        vec s0, s1, mean;
        grad_pair v = {0};
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
    const mq_rows own = own_rows(args, f.channels), *const r = &own;
    const size_t few = few_of(f.channels);
    panel_sums panel;
    grad_pair v = {0};
    f.sums = false;
    for (size_t p = 0; p < r->pixels && !r->sums; p++)
        for (size_t c = 0; c < r->channels; c += LANES) grad_vector(r, p, c, format, f, &v);
    if (!r->sums) return;
    f.sums = true;
    for (size_t first = 0; first < r->channels; first += PANEL) {
        begin(&panel, first, r->channels);
        for (size_t p = 0; p < r->pixels; p += few) {
            grad_few(r, &panel, p, format, f);
            if ((p + few) % BLOCK == 0 || p + few >= r->pixels) flush(&panel, r->sums, r->channels);
        }
    }
}

BODY void grad_body(const mq_rows *r, number_format format, size_t block) {
    const bool usual = is_usual(r->channels, block);
    const extent most = {block, true};
    if (usual && r->relu && r->scale_b && !r->old)
        grad_rows(r, format, (grad_flags){most, true, true, false, false});
    else if (usual && r->relu && !r->scale_b && r->old)
        grad_rows(r, format, (grad_flags){most, true, false, true, false});
    else if (usual && r->relu && !r->scale_b)
        grad_rows(r, format, (grad_flags){most, true, false, false, false});
    else if (usual && !r->relu && !r->old)
        grad_rows(r, format, (grad_flags){most, false, false, false, false});
    else
        grad_rows(r, format, (grad_flags){any, r->relu, r->scale_b, r->old, false});
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
#define KERNELS(name, target, format, block)                                                                 \
    target static void apply_##name(const mq_rows *r) {                                                      \
        apply_body(r, format, block);                                                                        \
    }                                                                                                        \
    target static void stats_##name(const mq_rows *r) {                                                      \
        stats_body(r, format, block);                                                                        \
    }                                                                                                        \
    target static void norm_back_##name(const mq_rows *r) {                                                  \
        norm_back_body(r, format, block);                                                                    \
    }                                                                                                        \
    target static void grad_##name(const mq_rows *r) {                                                       \
        grad_body(r, format, block);                                                                         \
    }                                                                                                        \
    target static void mean_##name(const mq_rows *r, float *means) {                                         \
        mean_body(r, means, format);                                                                         \
    }                                                                                                        \
    target static void mean_back_##name(const mq_rows *r, const float *gradient) {                           \
        mean_back_body(r, gradient, format);                                                                 \
    }                                                                                                        \
    static const mq_rows_kernels kernels_##name = {                                                          \
        apply_##name, stats_##name, norm_back_##name, grad_##name, mean_##name, mean_back_##name,            \
    };
VEC_VARIANTS(KERNELS)

#define ENTRY(name, target, format, block) [VARIANT_##name] = &kernels_##name,
static const mq_rows_kernels *const all[] = {VEC_VARIANTS(ENTRY)};

const mq_rows_kernels *mq_rows_kernels_of(mq_dtype dtype) {
    return all[vec_variant_of(dtype)];
}
