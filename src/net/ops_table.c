/* ops_table.c: the table of operations and the shape rules they share. Called
 * by graph.c. Invariant: one row for each mq_op_id, in its order. */
#include "net/op.h"

const mq_op *mq_op_of(mq_op_id id) {
    static const mq_op *const table[] = {
        [MQ_OP_INPUT] = &mq_op_input,     [MQ_OP_CONV] = &mq_op_conv,
        [MQ_OP_SEPCONV] = &mq_op_sepconv, [MQ_OP_BATCH_NORM] = &mq_op_batch_norm,
        [MQ_OP_RELU] = &mq_op_relu,       [MQ_OP_MAX_POOL] = &mq_op_max_pool,
        [MQ_OP_ADD] = &mq_op_add,         [MQ_OP_GLOBAL_AVG_POOL] = &mq_op_global_avg_pool,
    };
    _Static_assert(sizeof table / sizeof *table == MQ_OPS, "an operation has no row");
    return table[id];
}

mq_extent mq_window_extent(size_t in, size_t kernel, size_t stride, bool same) {
    mq_extent e = {0};
    if (!kernel || !stride || !in) return e;
    if (!same) {
        e.out = in < kernel ? 0 : (in - kernel) / stride + 1;
        return e;
    }
    /* TensorFlow's rule: ceil(in / stride) windows, the odd pixel of padding behind. */
    e.out = (in - 1) / stride + 1;
    const size_t reach = (e.out - 1) * stride + kernel, total = reach > in ? reach - in : 0;
    e.before = total / 2;
    e.behind = total - e.before;
    return e;
}

mq_status mq_shape_same(mq_err *err, const mq_node *node, const mq_shape *inputs, mq_shape *shape) {
    (void)err, (void)node;
    *shape = inputs[0];
    return MQ_OK;
}

mq_status mq_shape_window(mq_err *err, const mq_node *node, const mq_shape *input, size_t channels,
                          mq_shape *shape) {
    const size_t h = mq_window_extent(input->h, node->kernel, node->stride, node->same).out;
    const size_t w = mq_window_extent(input->w, node->kernel, node->stride, node->same).out;
    if (!h || !w || !channels)
        return mq_fail(
            err, MQ_USAGE,
            "layer %s: a window of %zu pixels by steps of %zu does not fit %zu x %zu x %zu; take larger "
            "pictures",
            node->name, node->kernel, node->stride, input->h, input->w, input->c);
    *shape = (mq_shape){h, w, channels};
    return MQ_OK;
}
