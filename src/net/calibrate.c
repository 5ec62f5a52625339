/* calibrate.c: ranges, samples and the search of calibrate.h. Called by export.
 * Owns the samples and the tensors it makes. Invariant: what it makes passes mq_quant_check. */
#include "net/calibrate.h"

#include "net/dnn.h"
#include "net/quant.h"
#include "net/tensors.h"

#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROWS = 1024, NAME_SIZE = 160 };
static const float shares[] = {0.0f, 0.25f, 0.5f, 0.75f, 1.0f}, cuts[] = {1.0f, 0.9f, 0.8f, 0.7f};
/* Of the widest channel's range, what every channel has at least: others may show more than these pictures
 * do. */
static const float NARROW = 0.01f;
#define COUNT(list) (sizeof(list) / sizeof *(list))

/* What is known of a layer, and of the tensor that it would make u8. */
typedef struct {
    const mq_node *node, *norm; /* norm NULL: none */
    mq_window window;           /* of its product, over that tensor */
    size_t in, filters, rows;
    size_t patch;      /* numbers that make one of its results: places of the window times in */
    float *sample;     /* [ROWS, patch] */
    float *low, *high; /* [in] */
    float *made;       /* owner of the numbers below: [filters, filters, in, in] */
    float *weights_scale, *bias, *scale, *zero;
    int8_t *weights; /* [patch, filters] */
} layer;

struct mq_calibration {
    mq_calibration_plan plan;
    mq_graph *graph;
    mq_program *program;
    layer *layers; /* in network order */
    size_t count, seen;
    mq_tensor *tensors;
    char (*names)[NAME_SIZE];
    size_t tensor_count;
};

/* The batch norm that alone reads a node, or NULL. */
static const mq_node *norm_behind(const mq_graph *graph, size_t index) {
    const mq_node *next = index + 1 < mq_graph_size(graph) ? mq_graph_node(graph, index + 1) : NULL;
    return next && next->op == MQ_OP_BATCH_NORM && next->inputs[0] == index ? next : NULL;
}

/* Nothing where the layer cannot be in 8 bits. */
MQ_MUST_USE static mq_status add_layer(mq_err *err, mq_calibration *c, size_t index) {
    mq_status status = MQ_OK;
    layer *l = &c->layers[c->count];
    l->node = mq_graph_node(c->graph, index);
    if (!mq_quant_window(c->graph, l->node, &l->window)) return MQ_OK;
    c->count++;
    l->norm = norm_behind(c->graph, index);
    l->in = l->window.c;
    l->filters = l->node->filters;
    l->patch = l->window.kernel * l->window.kernel * l->in;
    MQ_TRY(mq_calloc(err, ROWS * l->patch, sizeof *l->sample, "calibration", &l->sample));
    MQ_TRY(mq_calloc(err, l->in, sizeof *l->low, "calibration", &l->low));
    MQ_TRY(mq_calloc(err, l->in, sizeof *l->high, "calibration", &l->high));
    MQ_TRY(mq_calloc(err, 2 * (l->filters + l->in), sizeof *l->made, "calibration", &l->made));
    MQ_TRY(mq_calloc(err, l->patch * l->filters, sizeof *l->weights, "calibration", &l->weights));
    l->weights_scale = l->made;
    l->bias = l->weights_scale + l->filters;
    l->scale = l->bias + l->filters;
    l->zero = l->scale + l->in;
cleanup:
    return status;
}

mq_status mq_calibration_create(mq_err *err, const mq_calibration_plan *plan, mq_calibration **calibration) {
    mq_status status = MQ_OK;
    mq_calibration *c = NULL;
    MQ_REQUIRE(plan->size == sizeof *plan && plan->pictures, err, MQ_INTERNAL,
               "a calibration without pictures");
    MQ_REQUIRE(!mq_quant_any(plan->weights), err, MQ_USAGE, "%s: is in 8 bits already",
               mq_bundle_path(plan->weights));
    MQ_TRY(mq_calloc(err, 1, sizeof *c, "calibration", &c));
    c->plan = *plan;
    MQ_TRY(plan->arch->build(err, plan->imgsz, &c->graph));
    const size_t nodes = mq_graph_size(c->graph);
    MQ_TRY(mq_calloc(err, nodes, sizeof *c->layers, "calibration", &c->layers));
    MQ_TRY(mq_calloc(err, nodes * MQ_QUANT_PARTS, sizeof *c->tensors, "calibration", &c->tensors));
    MQ_TRY(mq_calloc(err, nodes * MQ_QUANT_PARTS, sizeof *c->names, "calibration", &c->names));
    for (size_t i = 0; i < nodes; i++) MQ_TRY(add_layer(err, c, i));
    const mq_program_plan program = {.size = sizeof program,
                                     .arch = plan->arch,
                                     .weights = plan->weights,
                                     .prefix = plan->prefix,
                                     .imgsz = plan->imgsz,
                                     .batch = 1,
                                     .dtype = MQ_I8};
    MQ_TRY(mq_program_create(err, &program, &c->program));
    *calibration = c;
    c = NULL;
cleanup:
    mq_calibration_free(&c);
    return status;
}

void mq_calibration_free(mq_calibration **calibration) {
    mq_calibration *c = *calibration;
    if (!c) return;
    for (size_t i = 0; c->layers && i < c->count; i++) {
        layer *l = &c->layers[i];
        free(l->sample);
        free(l->low);
        free(l->high);
        free(l->made);
        free(l->weights);
    }
    free(c->layers);
    free(c->tensors);
    free(c->names);
    mq_program_free(&c->program);
    mq_graph_free(&c->graph);
    free(c);
    *calibration = NULL;
}

/* What the window meets in row y, column x of its result, into patch. */
static void gather(const layer *l, const float *values, size_t y, size_t x, float *patch) {
    const mq_window *w = &l->window;
    for (size_t k = 0; k < w->kernel * w->kernel; k++) {
        const size_t row = y * w->stride + k / w->kernel, column = x * w->stride + k % w->kernel;
        memcpy(patch + k * l->in, values + (row * w->w + column) * l->in, l->in * sizeof *values);
    }
}

/* Widens the ranges by a picture's values [h, w, in] and keeps some places of the window. */
static mq_status look(mq_err *err, void *user, const mq_node *node, const float *values) {
    (void)err;
    mq_calibration *c = user;
    layer *l = c->layers;
    while (strcmp(l->node->name, node->name) != 0) l++;
    const mq_window *w = &l->window;
    float *restrict low = l->low, *restrict high = l->high; /* so that the loop is done in vectors */
    for (size_t p = 0; p < w->h * w->w; p++)
        for (size_t i = 0; i < l->in; i++) {
            const float value = values[p * l->in + i];
            low[i] = value < low[i] ? value : low[i];
            high[i] = value > high[i] ? value : high[i];
        }
    const size_t wanted = ROWS * (c->seen + 1) / c->plan.pictures, places = w->out_h * w->out_w;
    for (; l->rows < wanted && l->rows < ROWS; l->rows++) {
        const float draw = mq_rng_unit(c->plan.seed, MQ_RNG_PLACES, (uint32_t)(l - c->layers), l->rows);
        const size_t place = (size_t)(draw * (float)places) % places;
        gather(l, values, place / w->out_w, place % w->out_w, l->sample + l->rows * l->patch);
    }
    return MQ_OK;
}

mq_status mq_calibration_add(mq_err *err, mq_calibration *c, const float *pixels) {
    const mq_status status = mq_program_observe(err, c->program, pixels, look, c);
    c->seen++;
    return status;
}

/* Memory of the search for one layer. */
typedef struct {
    const float *exact; /* [patch, filters] weights; borrowed */
    float *wanted;      /* [rows, filters] what they give */
    float *sources;     /* [rows, patch] the sample, quantised: whole numbers around 0 */
    float *weights;     /* [patch, filters] quantised, and scaled back */
    float *result;      /* [rows, filters] */
    double *weighing;   /* [filters] */
    double *sums;       /* [4, filters] */
} space;

static void free_space(space *s) {
    free(s->wanted);
    free(s->sources);
    free(s->weights);
    free(s->result);
    free(s->weighing);
    free(s->sums);
}

/* How much of a filter's result goes on: the square of its batch norm's scale. */
static void weigh(const mq_calibration *c, const layer *l, double *weighing) {
    const float *gamma = NULL, *variance = NULL;
    if (l->norm) {
        gamma = mq_tensors_get(c->plan.weights, c->plan.prefix, l->norm, "gamma");
        variance = mq_tensors_get(c->plan.weights, c->plan.prefix, l->norm, "moving_variance");
    }
    for (size_t f = 0; f < l->filters; f++)
        weighing[f] = gamma ? (double)gamma[f] * gamma[f] / (variance[f] + l->norm->epsilon) : 1.0;
}

MQ_MUST_USE static mq_status make_space(mq_err *err, const mq_calibration *c, const layer *l, space *s) {
    mq_status status = MQ_OK;
    const size_t kernel = l->patch * l->filters, result = l->rows * l->filters;
    s->exact = mq_tensors_get(c->plan.weights, c->plan.prefix, l->node,
                              mq_quant_name(l->node, MQ_QUANT_WEIGHTS));
    MQ_TRY(mq_alloc_aligned(err, kernel, sizeof(float), "calibration", &s->weights));
    MQ_TRY(mq_alloc_aligned(err, result, sizeof(float), "calibration", &s->wanted));
    MQ_TRY(mq_alloc_aligned(err, result, sizeof(float), "calibration", &s->result));
    MQ_TRY(mq_alloc_aligned(err, l->rows * l->patch, sizeof(float), "calibration", &s->sources));
    MQ_TRY(mq_calloc(err, l->filters, sizeof *s->weighing, "calibration", &s->weighing));
    MQ_TRY(mq_calloc(err, 4 * l->filters, sizeof *s->sums, "calibration", &s->sums));
    weigh(c, l, s->weighing);
    const mq_gemm gemm = {.m = l->rows, .n = l->filters, .k = l->patch};
    MQ_TRY(mq_dnn_sgemm(err, &gemm, l->sample, s->exact, s->wanted));
cleanup:
    return status;
}

/* A scale and a zero for each channel: share 1 gives each its own range, 0 all the widest, cut leaves out the
 * rare ends of it. */
static void choose_inputs(layer *l, float share, float cut) {
    float widest = 0.0f;
    for (size_t i = 0; i < l->in; i++) widest = fmaxf(widest, l->high[i] - l->low[i]);
    if (!(widest > 0.0f)) widest = 1.0f;
    for (size_t i = 0; i < l->in; i++) {
        const float range = fmaxf(l->high[i] - l->low[i], widest * NARROW);
        l->scale[i] = cut * powf(range, share) * powf(widest, 1.0f - share) / 255.0f;
        l->zero[i] = fminf(fmaxf(nearbyintf(-l->low[i] * cut / l->scale[i]), 0.0f), 255.0f);
    }
}

/* A layer and what is tried for it, as threads share it out: filters or rows of the sample. */
typedef struct {
    layer *l;
    const space *s;
} attempt;

/* The whole number next to x, the even one of two, for numbers below 2^22 of either sign. */
static float nearest(float x) {
    const float shift = 12582912.0f; /* 1.5 times 2^23: the sum has no place for a fraction */
    return (x + shift) - shift;
}

/* The kernel of some filters in 8 bits for these inputs: each filter's largest weight is 127. */
static void choose_weights(void *ctx, size_t begin, size_t end) {
    const attempt *a = ctx;
    layer *l = a->l;
    float *const largest = l->weights_scale;
    for (size_t f = begin; f < end; f++) largest[f] = 0.0f;
    for (size_t i = 0; i < l->patch; i++) {
        const float *const exact = a->s->exact + i * l->filters, scale = l->scale[i % l->in];
        for (size_t f = begin; f < end; f++) {
            const float size = fabsf(exact[f]) * scale;
            largest[f] = size > largest[f] ? size : largest[f];
        }
    }
    for (size_t f = begin; f < end; f++) largest[f] = largest[f] > 1e-25f ? largest[f] / 127.0f : 1.0f;
    for (size_t i = 0; i < l->patch; i++) {
        const size_t at = i * l->filters;
        const float scale = l->scale[i % l->in];
        for (size_t f = begin; f < end; f++) {
            const float whole = nearest(a->s->exact[at + f] * scale / largest[f]);
            l->weights[at + f] = (int8_t)whole;
            a->s->weights[at + f] = whole * largest[f];
        }
    }
}

/* Some rows of the sample, a place of the window after the other. */
static void quantise_sample(void *ctx, size_t begin, size_t end) {
    const attempt *a = ctx;
    const layer *l = a->l;
    for (size_t at = begin * l->patch; at < end * l->patch; at += l->in)
        for (size_t i = 0; i < l->in; i++) {
            const float value = l->sample[at + i] / l->scale[i] + l->zero[i],
                        above = value > 0.0f ? value : 0.0f;
            a->s->sources[at + i] = nearest(above < 255.0f ? above : 255.0f) - l->zero[i];
        }
}

/* For some filters, sums over the rows: of the error, its square, the result, its square. */
static void sum_errors(void *ctx, size_t begin, size_t end) {
    const attempt *a = ctx;
    const size_t filters = a->l->filters;
    double *const off = a->s->sums, *const off2 = off + filters, *const sum = off2 + filters,
                  *const sum2 = sum + filters;
    for (size_t f = begin; f < end; f++) off[f] = off2[f] = sum[f] = sum2[f] = 0.0;
    for (size_t r = 0; r < a->l->rows; r++) {
        const float *const wanted = a->s->wanted + r * filters, *const result = a->s->result + r * filters;
        for (size_t f = begin; f < end; f++) {
            const double exact = wanted[f], error = exact - result[f];
            off[f] += error, off2[f] += error * error, sum[f] += exact, sum2[f] += exact * exact;
        }
    }
}

/* The error's part of the variance of the result, both weighed; the bias is set to take its mean away. */
static double error_of(layer *l, const space *s) {
    double lost = 0.0, all = 0.0;
    const double rows = (double)l->rows, *const off = s->sums, *const off2 = off + l->filters,
                 *const sum = off2 + l->filters, *const sum2 = sum + l->filters;
    for (size_t f = 0; f < l->filters; f++) {
        l->bias[f] = (float)(off[f] / rows);
        lost += s->weighing[f] * (off2[f] - off[f] * off[f] / rows);
        all += s->weighing[f] * (sum2[f] - sum[f] * sum[f] / rows);
    }
    return all > 0.0 ? fmax(lost, 0.0) / all : 0.0;
}

/* Fills the layer's numbers for one choice. */
MQ_MUST_USE static mq_status try_choice(mq_err *err, layer *l, const space *s, float share, float cut,
                                        double *error) {
    mq_status status = MQ_OK;
    const mq_gemm gemm = {.m = l->rows, .n = l->filters, .k = l->patch};
    attempt a = {l, s};
    choose_inputs(l, share, cut);
    mq_parallel_for(l->filters, choose_weights, &a);
    mq_parallel_for(l->rows, quantise_sample, &a);
    MQ_TRY(mq_dnn_sgemm(err, &gemm, s->sources, s->weights, s->result));
    mq_parallel_for(l->filters, sum_errors, &a);
    *error = error_of(l, s);
cleanup:
    return status;
}

MQ_MUST_USE static mq_status fit(mq_err *err, const mq_calibration *c, layer *l, double *error) {
    mq_status status = MQ_OK;
    space s = {0};
    double best = INFINITY;
    float share = 0.0f, cut = 1.0f;
    MQ_TRY(make_space(err, c, l, &s));
    for (size_t i = 0; i < COUNT(shares) * COUNT(cuts); i++) {
        const float a = shares[i / COUNT(cuts)], b = cuts[i % COUNT(cuts)];
        MQ_TRY(try_choice(err, l, &s, a, b, error));
        if (*error < best) best = *error, share = a, cut = b;
    }
    MQ_TRY(try_choice(err, l, &s, share, cut, error));
cleanup:
    free_space(&s);
    return status;
}

static void add_tensor(mq_calibration *c, const layer *l, mq_quant_part part, mq_tensor tensor) {
    char *full = c->names[c->tensor_count];
    snprintf(full, NAME_SIZE, "%s%s/%s", c->plan.prefix, l->node->name, mq_quant_name(l->node, part));
    tensor.name = full;
    tensor.bytes = mq_dtype_size(tensor.dtype);
    for (size_t i = 0; i < tensor.rank; i++) tensor.bytes *= tensor.shape[i];
    c->tensors[c->tensor_count++] = tensor;
}

static void add_tensors(mq_calibration *c, const layer *l) {
    const size_t side = l->window.kernel;
    const float *const numbers[MQ_QUANT_PARTS] = {[MQ_QUANT_WEIGHTS_SCALE] = l->weights_scale,
                                                  [MQ_QUANT_BIAS] = l->bias,
                                                  [MQ_QUANT_SCALE] = l->scale,
                                                  [MQ_QUANT_ZERO] = l->zero};
    add_tensor(
        c, l, MQ_QUANT_WEIGHTS,
        (mq_tensor){.dtype = MQ_I8, .rank = 4, .shape = {side, side, l->in, l->filters}, .data = l->weights});
    for (mq_quant_part part = MQ_QUANT_WEIGHTS_SCALE; part < MQ_QUANT_PARTS; part++) {
        const size_t count = part < MQ_QUANT_SCALE ? l->filters : l->in;
        add_tensor(c, l, part, mq_tensor_row(NULL, numbers[part], count));
    }
}

mq_status mq_calibration_fit(mq_err *err, mq_calibration *c, double most, mq_calibrated_fn each, void *user) {
    mq_status status = MQ_OK;
    MQ_REQUIRE(c->seen, err, MQ_INTERNAL, "calibrated on nothing");
    c->tensor_count = 0;
    for (size_t i = 0; i < c->count; i++) {
        layer *l = &c->layers[i];
        mq_calibrated told = {.layer = l->node->name};
        MQ_TRY(fit(err, c, l, &told.error));
        told.quantised = told.error <= most;
        if (told.quantised) add_tensors(c, l);
        MQ_TRY(each(err, user, &told, i, c->count));
    }
cleanup:
    return status;
}

size_t mq_calibration_tensors(const mq_calibration *c, const mq_tensor **tensors) {
    *tensors = c->tensors;
    return c->tensor_count;
}
