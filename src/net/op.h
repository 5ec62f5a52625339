/* op.h: a row of the table of operations: what an operation means, as graph.c needs it. */
#ifndef MQ_OP_H
#define MQ_OP_H

#include "net/graph.h"

typedef struct {
    const char *name;        /* as in messages */
    const char *keras_class; /* of its layer */
    size_t inputs;
    /* The result's shape from those of the inputs; MQ_USAGE when they do not fit. */
    mq_status (*shape)(mq_err *err, const mq_node *node, const mq_shape *inputs, mq_shape *shape);
    size_t param_count;
    /* The shape of one parameter, its name being set already; NULL without parameters. */
    void (*param)(const mq_node *node, const mq_shape *input, size_t index, mq_param_shape *param);
    const char *params[MQ_NODE_PARAMS]; /* names in Keras' order */
} mq_op;

extern const mq_op mq_op_input, mq_op_conv, mq_op_sepconv, mq_op_batch_norm, mq_op_relu, mq_op_max_pool,
    mq_op_add, mq_op_global_avg_pool;

const mq_op *mq_op_of(mq_op_id id);

/* Shape rules that several operations share: the input's own, and a window's with channels. */
MQ_MUST_USE mq_status mq_shape_same(mq_err *err, const mq_node *node, const mq_shape *inputs,
                                    mq_shape *shape);
MQ_MUST_USE mq_status mq_shape_window(mq_err *err, const mq_node *node, const mq_shape *input,
                                      size_t channels, mq_shape *shape);

#endif
