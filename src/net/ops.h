/* ops.h: the plain functions of the classifier's operations, forward and backward. Row-major f32, sums in a
 * fixed order for a fixed number of threads. Outputs first, sizes last; nothing overlaps. */
#ifndef MQ_OPS_H
#define MQ_OPS_H

#include "base/status.h"

/* Rows of the batch, numbers that come in, numbers that go out. */
typedef struct {
    size_t n, in, out;
} mq_dense_shape;

/* y [n, out] = x [n, in] w [in, out] + b [out]; b may be NULL. Keras' Dense. A row of y depends on its row of
 * x alone, to the last bit. */
void mq_dense_forward(float *y, const float *x, const float *w, const float *b, mq_dense_shape shape);

/* Where gradients go, the caller's: dx [n, in] = dy wT (NULL: not wanted), dw [in, out] = xT dy, db [out] =
 * column sums of dy. */
typedef struct {
    float *dx, *dw, *db;
    bool add; /* dw and db are added to */
} mq_dense_grads;

MQ_MUST_USE mq_status mq_dense_backward(mq_err *err, mq_dense_grads grads, const float *x, const float *w,
                                        const float *dy, mq_dense_shape shape);

/* y = max(x, 0), in place allowed; dx = dy where y > 0. */
void mq_relu_forward(float *y, const float *x, size_t count);
void mq_relu_backward(float *dx, const float *y, const float *dy, size_t count);

/* Classes of rows; all borrowed. Where pictures are mixed, row i is first[i] by share[i] and second[i] by the
 * rest. */
typedef struct {
    const uint32_t *first;  /* [n] */
    const uint32_t *second; /* [n]; NULL: nothing is mixed */
    const float *share;     /* [n], 0..1, with second */
} mq_labels;

/* The rows from at on. */
static inline mq_labels mq_labels_from(const mq_labels *l, size_t at) {
    return (mq_labels){l->first + at, l->second ? l->second + at : NULL, l->second ? l->share + at : NULL};
}

/* The class that has the larger share of row i; the first of equals. */
static inline uint32_t mq_labels_main(const mq_labels *l, size_t i) {
    return l->second && l->share[i] < 0.5f ? l->second[i] : l->first[i];
}

/* What a loss measures against: a row of class c has the target t_c = (1 - smoothing) onehot(c) + smoothing /
 * classes (C. Szegedy et al., Rethinking the Inception Architecture, CVPR 2016, in the form of Keras'
 * CategoricalCrossentropy) and counts weights[c] times; a mixed row is the sum of its classes by shares. */
typedef struct {
    mq_labels labels;
    const float *weights; /* [classes]; NULL: each class counts once */
    float smoothing;      /* 0..1 */
} mq_targets;

/* p [n, classes] = softmax of logits; loss[n] = the sum over the row's classes c, by share s, of s weights[c]
 * (-sum of t_c ln p), computed from the logits: plain labels alone give -ln p[label]. loss may be NULL, and
 * targets then too. */
void mq_softmax_xent_forward(float *p, float *loss, const float *logits, const mq_targets *targets, size_t n,
                             size_t classes);

/* dlogits [n, classes]: the gradient of the losses' sum / batch, where the batch has these n rows and others.
 * For plain labels (p - onehot) / batch. */
void mq_softmax_xent_backward(float *dlogits, const float *p, const mq_targets *targets, size_t n,
                              size_t batch, size_t classes);

#endif
