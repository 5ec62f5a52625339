/* adam.c: the optimizer in one pass over its block of numbers. Called by the
 * training loop; owns nothing. */
#include "train/adam.h"
#include "base/par.h"

#include <float.h>
#include <math.h>
#include <stdatomic.h>

static const double BETA1 = 0.9, BETA2 = 0.999;
static const float EPSILON = 1e-7f;

typedef struct {
    const mq_adam_block *block;
    float rate; /* with the bias correction */
    atomic_bool broken;
} adam_step;

static void step_range(void *ctx, size_t begin, size_t end) {
    adam_step *s = ctx;
    float *w = s->block->w, *m = s->block->m, *v = s->block->v;
    const float *g = s->block->g;
    const float keep1 = (float)(1 - BETA1), keep2 = (float)(1 - BETA2);
    int broken = 0;
    for (size_t i = begin; i < end; i++) {
        m[i] += (g[i] - m[i]) * keep1;
        v[i] += (g[i] * g[i] - v[i]) * keep2;
        w[i] -= s->rate * m[i] / (sqrtf(v[i]) + EPSILON);
        broken |= !(fabsf(w[i]) <= FLT_MAX) | !(v[i] <= FLT_MAX); /* a bad m makes a bad w */
    }
    if (broken) s->broken = true;
}

bool mq_adam_step(const mq_adam_block *block, double lr, uint64_t step) {
    const double t = (double)step;
    adam_step s = {block, (float)(lr * sqrt(1 - pow(BETA2, t)) / (1 - pow(BETA1, t))), false};
    mq_parallel_for(block->count, step_range, &s);
    return !s.broken;
}
