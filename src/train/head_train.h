/* head_train.h: one training step of the classifier on given features. */
#ifndef MQ_HEAD_TRAIN_H
#define MQ_HEAD_TRAIN_H

#include "infer/head.h"

/* Rows that a step takes at once: all of its batch, or one slice after the other, whose gradients add up. */
typedef struct {
    const float *x;   /* [n, features] */
    mq_labels labels; /* [n] */
    size_t n;         /* 0: there are no more */
    size_t batch, at; /* rows of the whole step, and how many of them came before */
} mq_slice;

/* A classifier in training with Adam's state. */
typedef struct {
    mq_head *head;       /* borrowed */
    mq_head_work *work;  /* owned */
    float *grad, *m, *v; /* [head->count], owned */
    float *dlogits;      /* [rows, classes], owned */
    float *dhidden;      /* [rows, hidden], owned; 1024 only */
    float *dinput;       /* [rows, features], owned: the gradient of what came in, where wanted */
    bool thawed;         /* whether dinput is wanted; false at first */
    bool sound;          /* whether every loss of the present step is a number */
    uint64_t step;       /* steps taken */
    /* What mq_targets says of weights and smoothing; NULL and 0 at first. */
    const float *weights; /* [classes], borrowed */
    float smoothing;
} mq_head_trainer;

/* For batches of at most rows. *trainer is the caller's; head must outlive it. */
MQ_MUST_USE mq_status mq_head_trainer_create(mq_err *err, mq_head *head, size_t rows,
                                             mq_head_trainer **trainer);
void mq_head_trainer_free(mq_head_trainer **trainer);

/* The gradient of the step's loss, the sum of its rows' losses / batch: trainer->grad of the slices so far,
 * dinput of this one; work holds p and loss of this one. */
MQ_MUST_USE mq_status mq_head_gradient(mq_err *err, mq_head_trainer *trainer, const mq_slice *slice);

/* One step of Adam, once all slices are in. Numbers that are not finite: MQ_BAD_DATA. */
MQ_MUST_USE mq_status mq_head_update(mq_err *err, mq_head_trainer *trainer, double lr);

#endif
