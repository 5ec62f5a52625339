/* head.h: the classifier on top of a trunk's pooled features.
 *
 * "1024": Dense 1024, ReLU, Dense classes, softmax (the reference experiment).
 * "linear": each feature standardised by the training part's mean and standard
 * deviation, then Dense classes, softmax. */
#ifndef MQ_HEAD_H
#define MQ_HEAD_H

#include "net/bundle.h"
#include "net/ops.h"

typedef enum { MQ_HEAD_1024, MQ_HEAD_LINEAR } mq_head_kind;

enum { MQ_HEAD_HIDDEN = 1024, MQ_HEAD_TENSORS = 4 };

typedef struct {
    mq_head_kind kind;
    size_t features, hidden, classes; /* hidden 0: linear */
    size_t count;                     /* numbers in params */
    float *params;       /* owned; w1 [features, hidden], b1, w2 [hidden, classes], b2, in this order */
    float *mean, *scale; /* [features], owned; linear only: x' = (x - mean) x scale */
} mq_head;

/* Where the four parts of params (or of gradients of the same shape) begin; w1 and b1 are NULL for linear. */
typedef struct {
    float *w1, *b1, *w2, *b2;
} mq_head_parts;

/* What one forward pass leaves for the backward pass; for batches of at most rows. */
typedef struct {
    size_t rows;
    float *input;  /* [rows, features], standardised; linear only */
    float *hidden; /* [rows, hidden]; 1024 only */
    float *logits; /* [rows, classes] */
    float *p;      /* [rows, classes] */
    float *loss;   /* [rows] */
} mq_head_work;

const char *mq_head_name(mq_head_kind kind); /* "1024", "linear"; static */

/* Zeroed parameters; mean 0 and scale 1. *head is the caller's. */
MQ_MUST_USE mq_status mq_head_create(mq_err *err, mq_head_kind kind, size_t features, size_t classes,
                                     mq_head **head);
void mq_head_free(mq_head **head);

/* Keras' glorot_uniform: weights from +-sqrt(6 / (in + out)), biases 0; drawn from seed. */
void mq_head_init(mq_head *head, uint64_t seed);

/* Views into params; borrowed. */
mq_head_parts mq_head_split(const mq_head *head, float *params);

MQ_MUST_USE mq_status mq_head_work_create(mq_err *err, const mq_head *head, size_t rows, mq_head_work **work);
void mq_head_work_free(mq_head_work **work);

/* x [n, features], n <= work->rows -> work->p, and work->loss where labels [n] are given. */
MQ_MUST_USE mq_status mq_head_forward(mq_err *err, const mq_head *head, mq_head_work *work, const float *x,
                                      const uint32_t *labels, size_t n);

/* The same, work->loss against targets; NULL: no loss. */
MQ_MUST_USE mq_status mq_head_forward_targets(mq_err *err, const mq_head *head, mq_head_work *work,
                                              const float *x, const mq_targets *targets, size_t n);

/* Places of the k largest of p [classes] into best, largest first, equal ones by class. */
void mq_top_k(const float *p, size_t classes, size_t k, size_t *best);

/* The head as tensors named head/... for a bundle; data borrowed from head. Returns how many. */
size_t mq_head_tensors(const mq_head *head, mq_tensor tensors[MQ_HEAD_TENSORS]);

/* Reads the tensors head/... back; sizes are checked against features and classes. *head is the caller's. */
MQ_MUST_USE mq_status mq_head_load(mq_err *err, const mq_bundle *bundle, size_t features, size_t classes,
                                   mq_head **head);

#endif
