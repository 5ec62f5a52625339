/* op_input.c: where pictures enter, of a shape given with the node. A row of
 * the table of operations. Invariant: it has no inputs. */
#include "net/op.h"

static mq_status shape(mq_err *err, const mq_node *node, const mq_shape *inputs, mq_shape *out) {
    (void)inputs;
    const mq_shape s = node->shape;
    if (!s.h || !s.w || !s.c || s.h > 1u << 15 || s.w > 1u << 15)
        return mq_fail(err, MQ_USAGE, "layer %s: pictures of %zu x %zu x %zu cannot be", node->name, s.h, s.w,
                       s.c);
    *out = s;
    return MQ_OK;
}

const mq_op mq_op_input = {.name = "input", .keras_class = "InputLayer", .shape = shape};
