/* keras_order.h: weights in the order Keras keeps them, as oneDNN sees them. */
#ifndef MQ_KERAS_ORDER_H
#define MQ_KERAS_ORDER_H

#include "net/dnn.h"
#include "net/graph.h"

/* Weights of a convolution: [h, w, in, out], or [h, w, channels, 1] of a depthwise one. */
typedef struct {
    const mq_param_shape *param;
    bool depthwise;
    const void *values; /* borrowed */
    mq_dtype dtype;     /* of values: MQ_F32 or MQ_I8 */
} mq_keras_weights;

/* Copies them to out as a kernel wants them (its MQ_SLOT_WEIGHTS). Any thread, with a dnn of its own. */
MQ_MUST_USE mq_status mq_keras_lay_out(mq_err *err, const mq_dnn *dnn, const mq_keras_weights *weights,
                                       const mq_kernel *kernel, void *out);

#endif
