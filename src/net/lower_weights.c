/* lower_weights.c: a program's weights: batch norm folded into the convolution
 * before it, converted, and laid out as each kernel wants. Called by
 * lower_infer.c. Owns nothing. Invariant: folding is done in double, so that
 * f32 results stay within rounding of the unfolded network. Threads take whole
 * steps: they meet only once, at the end. */
#include "net/keras_order.h"
#include "net/program_impl.h"
#include "net/tensors.h"

#include "base/mem.h"
#include "base/par.h"

#include <math.h>

/* Rows of filters numbers: every input channel of every pixel of the kernel. */
static void scale_rows(float *out, const float *in, const double *scale, size_t rows, size_t filters) {
    for (size_t row = 0; row < rows; row++)
        for (size_t o = 0; o < filters; o++)
            out[row * filters + o] = (float)(in[row * filters + o] * scale[o]);
}

/* The scale of each filter, and the bias that goes with it. */
static void fold_norm(const mq_program_plan *plan, const mq_step *step, size_t filters, double *scale,
                      float *bias) {
    const mq_node *norm = step->norm;
    const float *gamma = mq_tensors_get(plan->weights, plan->prefix, norm, "gamma");
    const float *beta = mq_tensors_get(plan->weights, plan->prefix, norm, "beta");
    const float *mean = mq_tensors_get(plan->weights, plan->prefix, norm, "moving_mean");
    const float *variance = mq_tensors_get(plan->weights, plan->prefix, norm, "moving_variance");
    for (size_t o = 0; o < filters; o++) {
        scale[o] = gamma[o] / sqrt((double)variance[o] + norm->epsilon);
        bias[o] = (float)(beta[o] - mean[o] * scale[o]);
    }
}

/* Which of the convolution's parameters a step takes. */
static size_t param_index(const mq_step *step) {
    return step->weights == MQ_WEIGHTS_POINTWISE ? 1 : 0;
}

typedef struct {
    float *values; /* the largest kernel, folded */
    double *scale; /* the most filters */
} fold_space;

MQ_MUST_USE static mq_status load_step(mq_err *err, const mq_program_plan *plan, const mq_program *p,
                                       const mq_step *step, const fold_space *space) {
    const mq_param_shape param = mq_node_param(p->graph, step->conv, param_index(step));
    const float *values = mq_tensors_get(plan->weights, plan->prefix, step->conv, param.name);
    if (step->norm) {
        const size_t filters = param.shape[3];
        fold_norm(plan, step, filters, space->scale, (float *)(void *)(p->weights + step->bias_at));
        scale_rows(space->values, values, space->scale, mq_param_numbers(&param) / filters, filters);
        values = space->values;
    }
    const mq_keras_weights weights = {&param, step->weights == MQ_WEIGHTS_DEPTHWISE, values};
    return mq_keras_lay_out(err, p->dnn, &weights, mq_kernel_layout(step->kernel, MQ_SLOT_WEIGHTS),
                            p->weights + step->weights_at);
}

/* Offsets of all weights and biases in one block. */
static void place(mq_program *p, size_t *largest, size_t *filters) {
    size_t at = 0;
    for (size_t i = 0; i < p->step_count; i++) {
        mq_step *step = &p->steps[i];
        if (step->weights == MQ_WEIGHTS_NONE) continue;
        const mq_layout *bias = mq_kernel_layout(step->kernel, MQ_SLOT_BIAS);
        step->weights_at = at;
        at += (mq_layout_bytes(mq_kernel_layout(step->kernel, MQ_SLOT_WEIGHTS)) + 63) / 64 * 64;
        step->bias_at = at;
        at += bias ? (mq_layout_bytes(bias) + 63) / 64 * 64 : 0;
        const mq_param_shape param = mq_node_param(p->graph, step->conv, param_index(step));
        if (mq_param_numbers(&param) > *largest) *largest = mq_param_numbers(&param);
        if (param.shape[3] > *filters) *filters = param.shape[3];
    }
    p->weights_bytes = at;
}

typedef struct {
    const mq_program_plan *plan;
    const mq_program *p;
    fold_space *spaces; /* one for each thread */
} load_state;

static mq_status load_item(mq_err *err, void *ctx, size_t item, size_t worker) {
    const load_state *load = ctx;
    const mq_step *step = &load->p->steps[item];
    if (step->weights == MQ_WEIGHTS_NONE) return MQ_OK;
    return load_step(err, load->plan, load->p, step, &load->spaces[worker]);
}

mq_status mq_lower_weights(mq_err *err, const mq_program_plan *plan, mq_program *p) {
    mq_status status = MQ_OK;
    const size_t threads = (size_t)mq_par_threads();
    size_t largest = 0, filters = 0; /* numbers in the largest kernel, most filters */
    load_state load = {.plan = plan, .p = p};
    place(p, &largest, &filters);
    if (!p->weights) MQ_TRY(mq_alloc_aligned(err, 1, p->weights_bytes, "the weights", &p->weights));
    MQ_TRY(mq_calloc(err, threads, sizeof *load.spaces, "the weights", &load.spaces));
    for (size_t i = 0; i < threads; i++) {
        MQ_TRY(mq_alloc_aligned(err, largest, sizeof *load.spaces->values, "the weights",
                                &load.spaces[i].values));
        MQ_TRY(mq_calloc(err, filters, sizeof *load.spaces->scale, "the weights", &load.spaces[i].scale));
    }
    MQ_TRY(mq_parallel_each(err, threads, p->step_count, load_item, &load));
cleanup:
    for (size_t i = 0; load.spaces && i < threads; i++) {
        free(load.spaces[i].values);
        free(load.spaces[i].scale);
    }
    free(load.spaces);
    return status;
}
