/* op_relu.c: max(x, 0): a row of the table of operations, and the plain
 * functions the classifier calls. Owns nothing. Invariant: each element by
 * itself, so threads cannot change it. */
#include "net/op.h"
#include "net/ops.h"

#include "base/par.h"

typedef struct {
    float *out;
    const float *a, *b;
} relu_args;

static void forward(void *ctx, size_t begin, size_t end) {
    const relu_args *r = ctx;
    for (size_t i = begin; i < end; i++) r->out[i] = r->a[i] < 0.0f ? 0.0f : r->a[i]; /* keeps NaN visible */
}

static void backward(void *ctx, size_t begin, size_t end) {
    const relu_args *r = ctx;
    for (size_t i = begin; i < end; i++) r->out[i] = r->a[i] > 0.0f ? r->b[i] : 0.0f;
}

void mq_relu_forward(float *y, const float *x, size_t count) {
    mq_parallel_for(count, forward, &(relu_args){.out = y, .a = x});
}

void mq_relu_backward(float *dx, const float *y, const float *dy, size_t count) {
    mq_parallel_for(count, backward, &(relu_args){.out = dx, .a = y, .b = dy});
}

const mq_op mq_op_relu = {.name = "ReLU", .keras_class = "Activation", .inputs = 1, .shape = mq_shape_same};
