/* op_global_avg_pool.c: the mean of each channel. A row of the table of
 * operations. Invariant: the result stays a picture, of 1 x 1. */
#include "net/op.h"

static mq_status shape(mq_err *err, const mq_node *node, const mq_shape *inputs, mq_shape *out) {
    (void)err, (void)node;
    *out = (mq_shape){1, 1, inputs->c};
    return MQ_OK;
}

const mq_op mq_op_global_avg_pool = {
    .name = "global average pool", .keras_class = "GlobalAveragePooling2D", .inputs = 1, .shape = shape};
