/* op_sepconv.c: the separable convolution: each channel by itself, then 1x1
 * across channels. A row of the table of operations. Invariant: one depthwise
 * filter per channel, no bias. */
#include "net/op.h"

static mq_status shape(mq_err *err, const mq_node *node, const mq_shape *inputs, mq_shape *out) {
    return mq_shape_window(err, node, inputs, node->filters, out);
}

static void param(const mq_node *node, const mq_shape *input, size_t index, mq_param_shape *p) {
    if (index == 0)
        *p = (mq_param_shape){p->name, 4, {node->kernel, node->kernel, input->c, 1}};
    else
        *p = (mq_param_shape){p->name, 4, {1, 1, input->c, node->filters}};
}

const mq_op mq_op_sepconv = {.name = "separable convolution",
                             .keras_class = "SeparableConv2D",
                             .inputs = 1,
                             .shape = shape,
                             .param_count = 2,
                             .param = param,
                             .params = {"depthwise_kernel", "pointwise_kernel"}};
