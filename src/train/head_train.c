/* head_train.c: the classifier's backward pass and its optimizer. Called by the
 * training loop. Invariant: grad, m and v have the layout of head->params. */
#include "train/head_train.h"
#include "base/mem.h"
#include "train/adam.h"

#include <math.h>

void mq_head_trainer_free(mq_head_trainer **trainer) {
    mq_head_trainer *t = *trainer;
    if (!t) return;
    mq_head_work_free(&t->work);
    free(t->grad);
    free(t->m);
    free(t->v);
    free(t->dlogits);
    free(t->dhidden);
    free(t->dinput);
    free(t);
    *trainer = NULL;
}

mq_status mq_head_trainer_create(mq_err *err, mq_head *head, size_t rows, mq_head_trainer **trainer) {
    mq_status status = MQ_OK;
    mq_head_trainer *t = NULL;
    const size_t size = sizeof(float);
    MQ_TRY(mq_calloc(err, 1, sizeof *t, "training", &t));
    t->head = head;
    MQ_TRY(mq_head_work_create(err, head, rows, &t->work));
    MQ_TRY(mq_calloc(err, head->count, size, "gradients", &t->grad));
    MQ_TRY(mq_calloc(err, head->count, size, "Adam's moments", &t->m));
    MQ_TRY(mq_calloc(err, head->count, size, "Adam's moments", &t->v));
    MQ_TRY(mq_alloc_aligned(err, rows * head->classes, size, "gradients", &t->dlogits));
    if (head->hidden) MQ_TRY(mq_alloc_aligned(err, rows * head->hidden, size, "gradients", &t->dhidden));
    MQ_TRY(mq_alloc_aligned(err, rows * head->features, size, "gradients", &t->dinput));
    *trainer = t;
    t = NULL;
cleanup:
    mq_head_trainer_free(&t);
    return status;
}

mq_status mq_head_gradient(mq_err *err, mq_head_trainer *t, const mq_slice *s) {
    mq_status status = MQ_OK;
    const mq_head *head = t->head;
    const size_t n = s->n;
    const bool add = s->at > 0;
    const mq_head_parts w = mq_head_split(head, head->params), g = mq_head_split(head, t->grad);
    const mq_targets targets = {s->labels, t->weights, t->smoothing};
    MQ_TRY(mq_head_forward_targets(err, head, t->work, s->x, &targets, n));
    if (!add) t->sound = true;
    for (size_t i = 0; i < n; i++) t->sound = t->sound && isfinite(t->work->loss[i]);
    mq_softmax_xent_backward(t->dlogits, t->work->p, &targets, n, s->batch, head->classes);
    const float *inner = head->hidden ? t->work->hidden : t->work->input; /* what the last layer saw */
    const size_t width = head->hidden ? head->hidden : head->features;
    float *dinput = t->thawed ? t->dinput : NULL;
    MQ_TRY(mq_dense_backward(err, (mq_dense_grads){head->hidden ? t->dhidden : dinput, g.w2, g.b2, add},
                             inner, w.w2, t->dlogits, (mq_dense_shape){n, width, head->classes}));
    for (size_t i = 0; head->mean && dinput && i < n * width; i++) dinput[i] *= head->scale[i % width];
    if (!head->hidden) goto cleanup;
    mq_relu_backward(t->dhidden, t->work->hidden, t->dhidden, n * width);
    MQ_TRY(mq_dense_backward(err, (mq_dense_grads){dinput, g.w1, g.b1, add}, s->x, w.w1, t->dhidden,
                             (mq_dense_shape){n, head->features, width}));
cleanup:
    return status;
}

mq_status mq_head_update(mq_err *err, mq_head_trainer *t, double lr) {
    mq_status status = MQ_OK;
    const mq_adam_block block = {t->head->params, t->m, t->v, t->grad, t->head->count};
    MQ_REQUIRE(t->sound, err, MQ_BAD_DATA,
               "training has come apart: the loss is no number at step %llu; begin another run with a "
               "lower learning rate than %g",
               (unsigned long long)t->step + 1, lr);
    MQ_REQUIRE(mq_adam_step(&block, lr, ++t->step), err, MQ_BAD_DATA,
               "training has come apart: weights are no numbers after step %llu; begin another run with a "
               "lower learning rate than %g",
               (unsigned long long)t->step, lr);
cleanup:
    return status;
}
