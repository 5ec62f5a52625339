/* op_max_pool.c: the largest of each window. A row of the table of operations.
 * Invariant: padded pixels never win, even over negative numbers. */
#include "net/op.h"

static mq_status shape(mq_err *err, const mq_node *node, const mq_shape *inputs, mq_shape *out) {
    return mq_shape_window(err, node, inputs, inputs->c, out);
}

const mq_op mq_op_max_pool = {.name = "max pool", .keras_class = "MaxPooling2D", .inputs = 1, .shape = shape};
