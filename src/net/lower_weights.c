/* lower_weights.c: a program's weights: batch norm folded into the convolution
 * before it, converted, and laid out as each kernel wants. Called by program.c,
 * lower_infer.c and strips.c. Owns nothing. Invariant: folding is done in
 * double, so that f32 results stay within rounding of the unfolded network.
 * Threads take whole steps: they meet only once, at the end. */
#include "net/keras_order.h"
#include "net/program_impl.h"
#include "net/tensors.h"

#include "base/mem.h"
#include "base/par.h"

#include <math.h>
#include <string.h>

/* So that a bias can be divided by it. */
#define SCALE_LEAST 1e-30

/* At most so many threads, each of which needs scratch memory for
 * the largest kernel; the work is bound by memory. */
enum { LOADERS = 4 };

/* Rows of filters numbers: every input channel of every pixel of the kernel. */
static void scale_rows(float *out, const float *in, const double *scale, size_t rows, size_t filters) {
    for (size_t row = 0; row < rows; row++)
        for (size_t o = 0; o < filters; o++)
            out[row * filters + o] = (float)(in[row * filters + o] * scale[o]);
}

/* A batch norm's parameters; gamma NULL: there is none. */
typedef struct {
    const float *gamma, *beta, *mean, *variance;
    double epsilon;
} folding;

/* What it makes of filter o's sum x: scale x + shift. */
typedef struct {
    double scale, shift;
} fold;

static folding folding_of(const mq_program_plan *plan, const mq_node *norm) {
    if (!norm) return (folding){0};
    return (folding){.gamma = mq_tensors_get(plan->weights, plan->prefix, norm, "gamma"),
                     .beta = mq_tensors_get(plan->weights, plan->prefix, norm, "beta"),
                     .mean = mq_tensors_get(plan->weights, plan->prefix, norm, "moving_mean"),
                     .variance = mq_tensors_get(plan->weights, plan->prefix, norm, "moving_variance"),
                     .epsilon = norm->epsilon};
}

static fold fold_at(const folding *f, size_t o) {
    if (!f->gamma) return (fold){1.0, 0.0};
    const double scale = f->gamma[o] / sqrt((double)f->variance[o] + f->epsilon);
    return (fold){scale, f->beta[o] - f->mean[o] * scale};
}

/* Which of the convolution's parameters a step takes. */
static size_t param_index(const mq_step *step) {
    return step->weights == MQ_WEIGHTS_POINTWISE ? 1 : 0;
}

static float *floats_at(const mq_program *p, size_t at) {
    return (float *)(void *)(p->weights + at);
}

void mq_lower_scales(const mq_program_plan *plan, const mq_step *step, const mq_quant *quant, float *scales) {
    const folding f = folding_of(plan, step->norm);
    for (size_t o = 0; o < quant->filters; o++) {
        const double scale = quant->weights_scale[o] * fold_at(&f, o).scale;
        scales[o] = (float)(fabs(scale) < SCALE_LEAST ? SCALE_LEAST : scale);
    }
}

/* The product of a quantised layer: its scales, and the bias with what the source's zeros add up to, in
 * zeros [filters]. */
static void load_quantised(const mq_program_plan *plan, const mq_program *p, const mq_step *step,
                           const mq_quant *q, double *zeros) {
    float *scales = floats_at(p, step->scales_at), *bias = floats_at(p, step->bias_at);
    const folding norm = folding_of(plan, step->norm);
    mq_lower_scales(plan, step, q, scales);
    memset(zeros, 0, q->filters * sizeof *zeros);
    for (size_t row = 0; row < q->places * q->in; row++)
        for (size_t o = 0; o < q->filters; o++)
            zeros[o] += (double)q->zero[row % q->in] * q->weights[row * q->filters + o];
    for (size_t o = 0; o < q->filters; o++) {
        const fold f = fold_at(&norm, o);
        const double sum = q->bias[o] * f.scale + f.shift - zeros[o] * scales[o];
        bias[o] = (float)(mq_kernel_scales_bias(step->kernel) ? sum / scales[o] : sum);
    }
}

/* What comes before it by a kernel of our own: values in Keras' order, NULL for those of a scale; quant NULL:
 * not quantised. */
static void load_depth(const mq_program *p, const mq_step *step, const float *values, const mq_quant *quant) {
    const mq_window *w = &step->depth.window;
    float *weights = floats_at(p, step->weights_at);
    for (size_t i = 0; i < w->kernel * w->kernel * w->c; i++)
        weights[i] = (values ? values[i] : 1.0f) / (quant ? quant->scale[i % w->c] : 1.0f);
    if (quant) memcpy(floats_at(p, step->bias_at), quant->zero, w->c * sizeof *quant->zero);
}

/* What all threads need to know that lay weights out. */
typedef struct {
    const mq_program_plan *plan;
    const mq_program *p;
    size_t largest, filters; /* numbers of the largest kernel, and the most filters */
    uint8_t *scratch;
    mq_dnn *dnns[LOADERS]; /* one for each thread; owned while weights are laid out */
} load_state;

/* What a thread lays out with: its oneDNN, and room in its scratch memory. */
typedef struct {
    const mq_dnn *dnn;
    float *values; /* the largest kernel */
    double *scale; /* the most filters */
} fold_space;

static size_t space_bytes(const load_state *load) {
    return mq_round_up(load->largest * sizeof(float), MQ_ALIGNMENT) +
           mq_round_up(load->filters * sizeof(double), MQ_ALIGNMENT);
}

static fold_space space_of(const load_state *load, size_t worker) {
    uint8_t *const at = load->scratch + worker * space_bytes(load);
    return (fold_space){load->dnns[worker], (void *)at,
                        (void *)(at + mq_round_up(load->largest * sizeof(float), MQ_ALIGNMENT))};
}

/* A kernel as the bundle has it, which is not in 8 bits: read to room if it is still in the file. */
MQ_MUST_USE static mq_status find_kernel(mq_err *err, const load_state *load, const mq_step *step,
                                         float *room, const float **values) {
    const mq_program_plan *plan = load->plan;
    const mq_param_shape param = mq_node_param(load->p->graph, step->conv, param_index(step));
    const mq_tensor *tensor = mq_tensors_find(plan->weights, plan->prefix, step->conv, param.name);
    const void *numbers = NULL;
    const mq_status status = mq_bundle_numbers(err, plan->weights, tensor, room, &numbers);
    *values = numbers;
    return status;
}

/* A kernel in numbers: widened where the bundle has it in 8 bits, and with its batch norm folded in. quant
 * NULL: it has not. *values: where the numbers stand. */
MQ_MUST_USE static mq_status load_folded(mq_err *err, const load_state *load, const mq_step *step,
                                         const mq_quant *quant, const fold_space *space,
                                         const float **values) {
    mq_status status = MQ_OK;
    const mq_program *p = load->p;
    const mq_param_shape param = mq_node_param(p->graph, step->conv, param_index(step));
    const size_t filters = param.shape[3];
    const folding norm = folding_of(load->plan, step->norm);
    float *bias = floats_at(p, step->bias_at);
    if (quant) {
        mq_quant_widen(quant, space->values);
        *values = space->values;
    } else {
        MQ_TRY(find_kernel(err, load, step, space->values, values));
    }
    if (!mq_kernel_layout(step->kernel, MQ_SLOT_BIAS)) return MQ_OK;
    for (size_t o = 0; o < filters; o++) {
        const fold f = fold_at(&norm, o);
        space->scale[o] = f.scale;
        bias[o] = (float)(f.shift + (quant ? quant->bias[o] * f.scale : 0.0));
    }
    scale_rows(space->values, *values, space->scale, mq_param_numbers(&param) / filters, filters);
    *values = space->values;
cleanup:
    return status;
}

MQ_MUST_USE static mq_status load_step(mq_err *err, const load_state *load, const mq_step *step,
                                       const fold_space *space) {
    mq_status status = MQ_OK;
    const mq_program_plan *plan = load->plan;
    const mq_program *p = load->p;
    const mq_param_shape param = mq_node_param(p->graph, step->conv, param_index(step));
    mq_quant found;
    const mq_quant *quant = mq_quant_find(plan->weights, plan->prefix, step->conv, &found) ? &found : NULL;
    mq_keras_weights weights = {.param = &param, .depthwise = step->weights == MQ_WEIGHTS_DEPTHWISE};
    const float *values = NULL;
    if (!step->kernel) {
        if (step->weights != MQ_WEIGHTS_SCALE) MQ_TRY(find_kernel(err, load, step, space->values, &values));
        load_depth(p, step, values, step->depth.quantised ? quant : NULL);
        return MQ_OK;
    }
    if (mq_layout_dtype(mq_kernel_layout(step->kernel, MQ_SLOT_WEIGHTS)) == MQ_I8) {
        load_quantised(plan, p, step, quant, space->scale);
        weights.values = quant->weights;
        weights.dtype = MQ_I8;
    } else {
        if (step->weights == MQ_WEIGHTS_DEPTHWISE) quant = NULL;
        MQ_TRY(load_folded(err, load, step, quant, space, &values));
        weights.values = values;
    }
    MQ_TRY(mq_keras_lay_out(err, space->dnn, &weights, step->kernel, p->weights + step->weights_at));
cleanup:
    return status;
}

/* Bytes of a step's weights, bias and scales; a kernel of our own has its zeros for a bias. */
typedef struct {
    size_t weights, bias, scales;
} step_bytes;

static size_t layout_bytes(const mq_step *step, mq_slot slot) {
    const mq_layout *layout = mq_kernel_layout(step->kernel, slot);
    return layout ? mq_layout_bytes(layout) : 0;
}

static step_bytes bytes_of(const mq_step *step) {
    const mq_window *w = &step->depth.window;
    if (!step->kernel)
        return (step_bytes){w->kernel * w->kernel * w->c * sizeof(float),
                            step->depth.quantised ? w->c * sizeof(float) : 0, 0};
    const bool quantised = mq_layout_dtype(mq_kernel_layout(step->kernel, MQ_SLOT_WEIGHTS)) == MQ_I8;
    const size_t bias = layout_bytes(step, MQ_SLOT_BIAS);
    return (step_bytes){layout_bytes(step, MQ_SLOT_WEIGHTS), bias, quantised ? bias : 0};
}

/* The next place of bytes in the block that ends at *at. */
static size_t take(size_t *at, size_t bytes) {
    const size_t place = *at;
    *at += mq_round_up(bytes, MQ_ALIGNMENT);
    return place;
}

void mq_lower_places(mq_program *p) {
    const size_t threads = (size_t)mq_par_threads();
    size_t at = 0;
    p->loader_count = threads < LOADERS ? threads : LOADERS;
    for (size_t i = 0; i < p->step_count; i++) {
        mq_step *step = &p->steps[i];
        if (step->weights == MQ_WEIGHTS_NONE) continue;
        const step_bytes bytes = bytes_of(step);
        step->weights_at = take(&at, bytes.weights);
        step->bias_at = take(&at, bytes.bias);
        step->scales_at = take(&at, bytes.scales);
    }
    p->weights_bytes = at;
}

mq_status mq_lower_bind(mq_err *err, const mq_program *p, const mq_step *step, mq_call *call) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_call_bind(err, call, MQ_SLOT_WEIGHTS, p->weights + step->weights_at));
    MQ_TRY(mq_call_bind(err, call, MQ_SLOT_BIAS, p->weights + step->bias_at));
    MQ_TRY(mq_call_bind(err, call, MQ_SLOT_SCALES, p->weights + step->scales_at));
cleanup:
    return status;
}

static load_state load_of(const mq_program_plan *plan, const mq_program *p, void *scratch) {
    load_state load = {.plan = plan, .p = p, .scratch = scratch};
    for (size_t i = 0; i < p->step_count; i++) {
        const mq_step *step = &p->steps[i];
        if (step->weights == MQ_WEIGHTS_NONE) continue;
        const mq_param_shape param = mq_node_param(p->graph, step->conv, param_index(step));
        const size_t numbers = mq_param_numbers(&param);
        if (numbers > load.largest) load.largest = numbers;
        if (param.shape[3] > load.filters) load.filters = param.shape[3];
    }
    return load;
}

size_t mq_lower_scratch(const mq_program *p) {
    const load_state load = load_of(NULL, p, NULL);
    return p->loader_count * space_bytes(&load);
}

static mq_status load_item(mq_err *err, void *ctx, size_t item, size_t worker) {
    const load_state *load = ctx;
    const mq_step *step = &load->p->steps[item];
    if (step->weights == MQ_WEIGHTS_NONE) return MQ_OK;
    const fold_space space = space_of(load, worker);
    return load_step(err, load, step, &space);
}

mq_status mq_lower_weights(mq_err *err, const mq_program_plan *plan, mq_program *p) {
    mq_status status = MQ_OK;
    load_state load = load_of(plan, p, p->weights + p->arenas_at);
    for (size_t i = 0; i < p->loader_count; i++) MQ_TRY(mq_dnn_beside(err, p->dnn, &load.dnns[i]));
    MQ_TRY(mq_parallel_each(err, p->loader_count, p->step_count, load_item, &load));
cleanup:
    for (size_t i = 0; i < p->loader_count; i++) mq_dnn_free(&load.dnns[i]);
    return status;
}
