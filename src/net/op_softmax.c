/* op_softmax.c: softmax with cross-entropy from logits, forward and backward.
 * Called by the classifier. Owns nothing. Invariant: labels are below classes
 * (checked where data enters), and one row is one thread's work. */
#include "net/ops.h"

#include "base/par.h"

#include <math.h>

typedef struct {
    float *out, *loss;
    const float *in;
    const uint32_t *labels;
    size_t batch, classes;
} xent_args;

/* Shifted by the row's maximum, so that exp never overflows; -ln p[label] = ln sum - (x[label] - max), which
 * stays exact where p[label] itself would vanish. */
static void forward(void *ctx, size_t begin, size_t end) {
    const xent_args *a = ctx;
    for (size_t i = begin; i < end; i++) {
        const float *x = a->in + i * a->classes;
        float *p = a->out + i * a->classes;
        float max = x[0];
        for (size_t j = 1; j < a->classes; j++) max = x[j] > max ? x[j] : max;
        double sum = 0.0;
        for (size_t j = 0; j < a->classes; j++) sum += p[j] = expf(x[j] - max);
        if (a->loss) a->loss[i] = (float)(log(sum) - ((double)x[a->labels[i]] - (double)max));
        const float scale = (float)(1.0 / sum);
        for (size_t j = 0; j < a->classes; j++) p[j] *= scale;
    }
}

static void backward(void *ctx, size_t begin, size_t end) {
    const xent_args *a = ctx;
    const float scale = 1.0f / (float)a->batch;
    for (size_t i = begin; i < end; i++) {
        const float *p = a->in + i * a->classes;
        float *d = a->out + i * a->classes;
        for (size_t j = 0; j < a->classes; j++) d[j] = (p[j] - (j == a->labels[i] ? 1.0f : 0.0f)) * scale;
    }
}

void mq_softmax_xent_forward(float *p, float *loss, const float *logits, const uint32_t *labels, size_t n,
                             size_t classes) {
    mq_parallel_for(n, forward, &(xent_args){p, loss, logits, labels, n, classes});
}

void mq_softmax_xent_backward(float *dlogits, const float *p, const uint32_t *labels, size_t n, size_t batch,
                              size_t classes) {
    mq_parallel_for(n, backward, &(xent_args){dlogits, NULL, p, labels, batch, classes});
}
