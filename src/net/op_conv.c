/* op_conv.c: the plain convolution. A row of the table of operations.
 * Invariant: kernels are square and without bias, which batch norm supplies. */
#include "net/op.h"

static mq_status shape(mq_err *err, const mq_node *node, const mq_shape *inputs, mq_shape *out) {
    return mq_shape_window(err, node, inputs, node->filters, out);
}

static void param(const mq_node *node, const mq_shape *input, size_t index, mq_param_shape *p) {
    (void)index;
    *p = (mq_param_shape){p->name, 4, {node->kernel, node->kernel, input->c, node->filters}};
}

const mq_op mq_op_conv = {.name = "convolution",
                          .keras_class = "Conv2D",
                          .inputs = 1,
                          .shape = shape,
                          .param_count = 1,
                          .param = param,
                          .params = {"kernel"}};
