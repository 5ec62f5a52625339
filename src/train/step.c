/* step.c: forward and backward of one batch. Called by trunk.c and bench.c. Owns nothing. Invariant: every
 * row is in exactly one slice, and slices come in order. */
#include "train/step.h"

static mq_status pass(mq_err *err, const mq_step_plan *plan, const float *x, mq_slice *s) {
    mq_status status = MQ_OK;
    s->x = x;
    if (plan->thawed) {
        MQ_TRY(mq_trainable_forward(err, plan->thawed, x, s->n, plan->features));
        s->x = plan->features;
    }
    MQ_TRY(mq_head_gradient(err, plan->head, s));
    if (plan->thawed) MQ_TRY(mq_trainable_backward(err, plan->thawed, plan->head->dinput, s->at > 0));
    if (plan->each) plan->each(plan->user, s);
cleanup:
    return status;
}

mq_status mq_step_gradients(mq_err *err, const mq_step_plan *plan, const float *x, const mq_labels *labels,
                            size_t n) {
    mq_status status = MQ_OK;
    const size_t rows = plan->thawed ? mq_trainable_rows(plan->thawed) : n;
    const mq_shape in = plan->thawed ? mq_trainable_input(plan->thawed)
                                     : (mq_shape){1, 1, plan->head->head->features};
    for (mq_slice s = {.batch = n}; s.at < n; s.at += s.n) {
        s.n = n - s.at < rows ? n - s.at : rows;
        s.labels = mq_labels_from(labels, s.at);
        MQ_TRY(pass(err, plan, x + s.at * in.h * in.w * in.c, &s));
    }
cleanup:
    return status;
}
