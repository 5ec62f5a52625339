/* op_softmax.c: softmax with cross-entropy from logits, forward and backward.
 * Called by the classifier. Owns nothing. Invariant: labels are below classes
 * (checked where data enters), and one row is one thread's work. */
#include "net/ops.h"

#include "base/par.h"

#include <math.h>

typedef struct {
    float *out, *loss;
    const float *in;
    const mq_targets *targets;
    size_t batch, classes;
} xent_args;

/* The two classes of a row and how much each counts: share times weight. Without mixing the second counts 0.
 */
typedef struct {
    uint32_t a, b;
    float of_a, of_b;
} row_target;

static row_target target_of(const mq_targets *t, size_t i) {
    const mq_labels *l = &t->labels;
    const float share = l->second ? l->share[i] : 1.0f;
    row_target r = {l->first[i], l->second ? l->second[i] : l->first[i], share, 1.0f - share};
    if (t->weights) r.of_a *= t->weights[r.a], r.of_b *= t->weights[r.b];
    return r;
}

/* x [classes] are the row's logits, sum that of exp(x - max). -ln p[j] = ln sum - (x[j] - max), which stays
 * exact where p[j] itself would vanish. */
static float loss_of(const xent_args *a, size_t i, const float *x, double max, double sum) {
    const row_target t = target_of(a->targets, i);
    const double e = (double)a->targets->smoothing, all = (double)t.of_a + (double)t.of_b;
    double mean = 0.0;
    for (size_t j = 0; e > 0 && j < a->classes; j++) mean += ((double)x[j] - max) / (double)a->classes;
    const double known = (double)t.of_a * ((double)x[t.a] - max) +
                         (t.of_b > 0 ? (double)t.of_b * ((double)x[t.b] - max) : 0.0);
    return (float)(all * log(sum) - (1.0 - e) * known - all * e * mean);
}

/* Shifted by the row's maximum, so that exp never overflows. */
static void forward(void *ctx, size_t begin, size_t end) {
    const xent_args *a = ctx;
    for (size_t i = begin; i < end; i++) {
        const float *x = a->in + i * a->classes;
        float *p = a->out + i * a->classes;
        float max = x[0];
        for (size_t j = 1; j < a->classes; j++) max = x[j] > max ? x[j] : max;
        double sum = 0.0;
        for (size_t j = 0; j < a->classes; j++) sum += p[j] = expf(x[j] - max);
        if (a->loss) a->loss[i] = loss_of(a, i, x, (double)max, sum);
        const float scale = (float)(1.0 / sum);
        for (size_t j = 0; j < a->classes; j++) p[j] *= scale;
    }
}

static void backward(void *ctx, size_t begin, size_t end) {
    const xent_args *a = ctx;
    const float scale = 1.0f / (float)a->batch, e = a->targets->smoothing;
    for (size_t i = begin; i < end; i++) {
        const row_target t = target_of(a->targets, i);
        const float all = t.of_a + t.of_b, spread = all * e / (float)a->classes;
        const float *p = a->in + i * a->classes;
        float *d = a->out + i * a->classes;
        for (size_t j = 0; j < a->classes; j++) d[j] = all * p[j] - spread;
        d[t.a] -= (1.0f - e) * t.of_a;
        d[t.b] -= (1.0f - e) * t.of_b;
        for (size_t j = 0; j < a->classes; j++) d[j] *= scale;
    }
}

void mq_softmax_xent_forward(float *p, float *loss, const float *logits, const mq_targets *targets, size_t n,
                             size_t classes) {
    mq_parallel_for(n, forward, &(xent_args){p, loss, logits, targets, n, classes});
}

void mq_softmax_xent_backward(float *dlogits, const float *p, const mq_targets *targets, size_t n,
                              size_t batch, size_t classes) {
    mq_parallel_for(n, backward, &(xent_args){dlogits, NULL, p, targets, batch, classes});
}
