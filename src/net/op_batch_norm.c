/* op_batch_norm.c: batch normalisation over channels. A row of the table of
 * operations. Invariant: gamma, beta and both moving statistics are present. */
#include "net/op.h"

static void param(const mq_node *node, const mq_shape *input, size_t index, mq_param_shape *p) {
    (void)node, (void)index;
    *p = (mq_param_shape){p->name, 1, {input->c}};
}

const mq_op mq_op_batch_norm = {.name = "batch norm",
                                .keras_class = "BatchNormalization",
                                .inputs = 1,
                                .shape = mq_shape_same,
                                .param_count = 4,
                                .param = param,
                                .params = {"gamma", "beta", "moving_mean", "moving_variance"}};
