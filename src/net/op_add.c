/* op_add.c: the sum of two tensors, where residual branches meet. A row of the
 * table of operations. Invariant: both have one shape, nothing is broadcast. */
#include "net/op.h"

static mq_status shape(mq_err *err, const mq_node *node, const mq_shape *in, mq_shape *out) {
    if (in[0].h != in[1].h || in[0].w != in[1].w || in[0].c != in[1].c)
        return mq_fail(err, MQ_USAGE, "layer %s: %zu x %zu x %zu and %zu x %zu x %zu cannot be added",
                       node->name, in[0].h, in[0].w, in[0].c, in[1].h, in[1].w, in[1].c);
    *out = in[0];
    return MQ_OK;
}

const mq_op mq_op_add = {.name = "addition", .keras_class = "Add", .inputs = 2, .shape = shape};
