/* head_train.h: one training step of the classifier on given features. */
#ifndef MQ_HEAD_TRAIN_H
#define MQ_HEAD_TRAIN_H

#include "infer/head.h"

/* A classifier in training with Adam's state. */
typedef struct {
    mq_head *head;       /* borrowed */
    mq_head_work *work;  /* owned */
    float *grad, *m, *v; /* [head->count], owned */
    float *dlogits;      /* [rows, classes], owned */
    float *dhidden;      /* [rows, hidden], owned; 1024 only */
    float *dinput;       /* [rows, features], owned: the gradient of what came in, where wanted */
    bool thawed;         /* whether dinput is wanted; false at first */
    uint64_t step;       /* steps taken */
} mq_head_trainer;

/* For batches of at most rows. *trainer is the caller's; head must outlive it. */
MQ_MUST_USE mq_status mq_head_trainer_create(mq_err *err, mq_head *head, size_t rows,
                                             mq_head_trainer **trainer);
void mq_head_trainer_free(mq_head_trainer **trainer);

/* Fills trainer->grad (and dinput) with the gradient of the mean cross-entropy over n rows; work holds p and
 * loss. */
MQ_MUST_USE mq_status mq_head_gradient(mq_err *err, mq_head_trainer *trainer, const float *x,
                                       const uint32_t *labels, size_t n);

/* Gradient and one step of Adam. */
MQ_MUST_USE mq_status mq_head_step(mq_err *err, mq_head_trainer *trainer, const float *x,
                                   const uint32_t *labels, size_t n, double lr);

#endif
