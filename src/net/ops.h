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

/* p [n, classes] = softmax of logits; loss[n] = -ln p[label], computed from the logits. loss may be NULL. */
void mq_softmax_xent_forward(float *p, float *loss, const float *logits, const uint32_t *labels, size_t n,
                             size_t classes);

/* dlogits [n, classes] = (p - onehot) / batch: the gradient of the mean loss of a batch, of which these are n
 * rows. */
void mq_softmax_xent_backward(float *dlogits, const float *p, const uint32_t *labels, size_t n, size_t batch,
                              size_t classes);

#endif
