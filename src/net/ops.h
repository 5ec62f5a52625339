/* ops.h: the plain functions of the classifier's operations, forward and backward. Row-major f32, sums in a
 * fixed order for a fixed number of threads. Outputs first, sizes last; nothing overlaps. */
#ifndef MQ_OPS_H
#define MQ_OPS_H

#include "base/status.h"

/* y [n, out] = x [n, in] w [in, out] + b [out]; b may be NULL. Keras' Dense. */
MQ_MUST_USE mq_status mq_dense_forward(mq_err *err, float *y, const float *x, const float *w, const float *b,
                                       size_t n, size_t in, size_t out);

/* dx [n, in] = dy wT (NULL: not wanted), dw [in, out] = xT dy, db [out] = column sums of dy. */
MQ_MUST_USE mq_status mq_dense_backward(mq_err *err, float *dx, float *dw, float *db, const float *x,
                                        const float *w, const float *dy, size_t n, size_t in, size_t out);

/* y = max(x, 0), in place allowed; dx = dy where y > 0. */
void mq_relu_forward(float *y, const float *x, size_t count);
void mq_relu_backward(float *dx, const float *y, const float *dy, size_t count);

/* p [n, classes] = softmax of logits; loss[n] = -ln p[label], computed from the logits. loss may be NULL. */
void mq_softmax_xent_forward(float *p, float *loss, const float *logits, const uint32_t *labels, size_t n,
                             size_t classes);

/* dlogits = (p - onehot) / n: the gradient of the mean loss. */
void mq_softmax_xent_backward(float *dlogits, const float *p, const uint32_t *labels, size_t n,
                              size_t classes);

#endif
