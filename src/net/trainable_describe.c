/* trainable_describe.c: what the planner decided, as text for people. Called by
 * `marque train --plan`. Owns nothing. */
#include "net/trainable_impl.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

static const char *const each_name[] = {"picture", "part", "worker", "once"};

const char *mq_train_step_name(const mq_trainable *t, const mq_train_step *step) {
    static const char *const kinds[] = {
        [MQ_STEP_KERNEL] = "reorder",
        [MQ_STEP_APPLY] = "map",
        [MQ_STEP_STATS] = "sums",
        [MQ_STEP_NORM_BACK] = "norm gradient",
        [MQ_STEP_GRAD] = "gradient",
        [MQ_STEP_POOL] = "pool",
        [MQ_STEP_POOL_BACK] = "pool back",
        [MQ_STEP_MEAN] = "mean",
        [MQ_STEP_MEAN_BACK] = "mean back",
        [MQ_STEP_MAPPED] = "depthwise forward",
        [MQ_STEP_MAPPED_BACK] = "depthwise back",
        [MQ_STEP_REDUCE] = "sum of parts",
        [MQ_STEP_OUTER] = "by weights",
    };
    static const char *const passes[2] = {"forward", "by data"};
    for (size_t i = 0; step->kernel && i < t->conv_count; i++)
        for (size_t k = 0; k < 2; k++)
            if (t->convs[i].kernels[k] == step->kernel) return passes[k];
    return kinds[step->kind];
}

static const char *kernel_name(const mq_train_step *step) {
    return step->kernel ? mq_kernel_name(step->kernel) : step->winograd ? "winograd" : "own";
}

MQ_MUST_USE static mq_status describe_step(mq_err *err, const mq_trainable *t, const mq_train_step *s,
                                           mq_buf *text) {
    mq_status status = MQ_OK;
    MQ_TRY(
        mq_buf_printf(err, text, "    %-24s %-20s %-32s", s->name, mq_train_step_name(t, s), kernel_name(s)));
    for (mq_slot slot = 0; slot < MQ_SLOTS; slot++)
        if (s->buffers[slot] != MQ_NONE) MQ_TRY(mq_buf_printf(err, text, " %zu", s->buffers[slot]));
    MQ_TRY(mq_buf_add_text(err, text, "\n"));
cleanup:
    return status;
}

MQ_MUST_USE static mq_status describe_phase(mq_err *err, const mq_trainable *t, size_t index, mq_buf *text) {
    mq_status status = MQ_OK;
    const mq_train_phase *phase = &t->phases[index];
    MQ_TRY(mq_buf_printf(err, text, "phase %zu (%s)%s\n", index, index < t->backward ? "forward" : "backward",
                         phase->finishes ? ": behind the sums of the whole batch" : ""));
    for (size_t i = phase->first_loop; i < phase->first_loop + phase->loops; i++) {
        const mq_train_loop *loop = &t->loops[i];
        MQ_TRY(mq_buf_printf(err, text, "  each %s\n", each_name[loop->each]));
        for (size_t k = loop->first; k < loop->first + loop->count; k++)
            MQ_TRY(describe_step(err, t, &t->steps[k], text));
    }
cleanup:
    return status;
}

mq_status mq_trainable_describe(mq_err *err, const mq_trainable *t, mq_buf *text) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_buf_printf(
        err, text,
        "training from %s on: %zu phases, batch %zu, %zu workers\n"
        "tensors of the batch %.1f MB, of a worker %.1f MB, weights laid out %.1f MB, parameters and "
        "gradients %.1f MB\nall tensors are %s, %s\n",
        mq_trainable_boundary(t), t->phase_count, t->batch, t->worker_count, (double)t->arena_bytes / 1e6,
        (double)t->worker_bytes / 1e6, (double)t->weights_bytes / 1e6,
        (double)(2 * t->count + t->moving_count) * 4e-6,
        !t->blocks                                    ? "channels last (NHWC)"
        : mq_outer_blocks_size(t->blocks) == MQ_BLOCK ? "in blocks of 8 channels (NCHW8c)"
                                                      : "in blocks of 16 channels (NCHW16c)",
        mq_dtype_name(t->dtype)));
    for (size_t i = 0; i < t->phase_count; i++) MQ_TRY(describe_phase(err, t, i, text));
    MQ_TRY(mq_buf_add_text(
        err, text, "buffer  for each    bytes of one      at byte  alive (phases; a worker's: steps)\n"));
    for (size_t i = MQ_TENSORS_FIXED; i < t->tensor_count; i++) {
        const mq_tensor_place *p = &t->tensors[i];
        MQ_TRY(mq_buf_printf(err, text, "%6zu  %-8s %14zu %12zu  %zu to %zu  %s\n", i, each_name[p->each],
                             p->bytes, p->lifetime.offset, p->lifetime.first, p->lifetime.last, p->name));
    }
cleanup:
    return status;
}

/* A sum is not finite where any of its numbers is not. */
static bool is_finite(const float *numbers, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += (double)numbers[i];
    return isfinite(sum);
}

bool mq_trainable_statistics_finite(const mq_trainable *t) {
    return is_finite(t->moving, t->moving_count);
}

/* In the order in which numbers come about: forward through the network, then back. */
const char *mq_trainable_bad_layer(const mq_trainable *t) {
    for (size_t i = t->name_count; i-- > 0;)
        if (!is_finite(t->params + t->names[i].at, t->names[i].count)) return t->names[i].layer;
    for (size_t i = t->moving_name_count; i-- > 0;)
        if (!is_finite(t->moving + t->moving_names[i].at, t->moving_names[i].count))
            return t->moving_names[i].layer;
    for (size_t i = 0; i < t->norm_count; i++)
        if (!is_finite(t->norms[i].scale, t->norms[i].channels) ||
            !is_finite(t->norms[i].mean, t->norms[i].channels))
            return t->norms[i].node->name;
    for (size_t i = 0; i < t->name_count; i++)
        if (!is_finite(t->grads + t->names[i].at, t->names[i].count)) return t->names[i].layer;
    return NULL;
}

/* Of all pixels of n pictures. */
static mq_work outer_work(const mq_trainable *t, const mq_train_step *step, size_t n) {
    const mq_window *w = &step->window;
    const double pictures = (double)n, products = (double)(w->kernel * w->kernel * w->c * step->channels);
    return (mq_work){2 * pictures * (double)step->pixels * products,
                     pictures * (double)(t->tensors[step->buffers[MQ_SLOT_SRC]].bytes +
                                         t->tensors[step->buffers[MQ_SLOT_SRC2]].bytes) +
                         sizeof(float) * products};
}

/* Each product of the window once forward; back once for each of the two gradients. A result made again does
 * not count. */
static double depthwise_flops(const mq_train_step *step) {
    const mq_window *w = &step->window;
    const int products = step->kind == MQ_STEP_MAPPED ? 1
                                                      : (step->buffers[MQ_SLOT_DST] != MQ_NONE) +
                                                            (step->buffers[MQ_SLOT_WEIGHTS] != MQ_NONE);
    return 2.0 * products * (double)(w->out_h * w->out_w * w->kernel * w->kernel * w->c);
}

/* Of n pictures. */
static mq_work work_of(const mq_trainable *t, const mq_train_step *step, double runs, size_t n) {
    mq_work work = {0};
    if (step->kind == MQ_STEP_OUTER) return outer_work(t, step, n); /* in parts or by pictures */
    if (step->kernel) work = mq_kernel_work(step->kernel);
    if (step->kind == MQ_STEP_MAPPED || step->kind == MQ_STEP_MAPPED_BACK) work.flops = depthwise_flops(step);
    for (mq_slot slot = 0; slot < MQ_SLOT_SCRATCH && !step->kernel; slot++)
        if (step->buffers[slot] != MQ_NONE) work.bytes += (double)t->tensors[step->buffers[slot]].bytes;
    return (mq_work){work.flops * runs, work.bytes * runs};
}

/* Forward kernels among the backward phases are there for the second time. */
static void visit_loop(const mq_trainable *t, const mq_train_loop *loop, bool backward, size_t n,
                       mq_measure_visit visit, void *user) {
    const double runs = (double)mq_train_items(loop, n);
    for (size_t i = loop->first; i < loop->first + loop->count; i++) {
        const mq_train_step *step = &t->steps[i];
        mq_measure m = {.layer = step->name,
                        .what = mq_train_step_name(t, step),
                        .kernel = kernel_name(step),
                        .work = work_of(t, step, runs, n)};
        const bool depthwise = strcmp(m.what, "depthwise forward") == 0;
        m.again = backward && (depthwise || strcmp(m.what, "forward") == 0);
        if (m.again) m.what = depthwise ? "depthwise again" : "forward again";
        for (size_t w = 0; w < t->worker_count; w++) m.seconds += t->times[w * t->step_count + i];
        visit(user, &m);
    }
}

static void visit_phases(const mq_trainable *t, size_t n, mq_measure_visit visit, void *user) {
    for (size_t i = 0; i < t->phase_count; i++)
        for (size_t k = 0; k < t->phases[i].loops; k++)
            visit_loop(t, &t->loops[t->phases[i].first_loop + k], i >= t->backward, n, visit, user);
}

mq_status mq_trainable_profile(mq_err *err, mq_trainable *t, size_t n, mq_measure_visit visit, void *user) {
    mq_status status = MQ_OK;
    const mq_shape s = mq_trainable_input(t);
    float *in = NULL, *features = NULL;
    MQ_TRY(mq_calloc(err, n * s.h * s.w * s.c, sizeof *in, "pictures", &in));
    MQ_TRY(mq_calloc(err, n * t->features, sizeof *features, "features", &features));
    for (int round = 0; round < 2; round++) { /* the first one warms up */
        free(t->times);
        t->times = NULL;
        if (round)
            MQ_TRY(mq_calloc(err, t->worker_count * t->step_count, sizeof *t->times, "times", &t->times));
        MQ_TRY(mq_trainable_forward(err, t, in, n, features));
        MQ_TRY(mq_trainable_backward(err, t, features, false));
    }
    visit_phases(t, n, visit, user);
cleanup:
    free(t->times);
    t->times = NULL;
    free(in);
    free(features);
    return status;
}
