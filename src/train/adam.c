/* adam.c: the optimizer in one pass over its block of numbers. Called by the
 * training loop; owns nothing. */
#include "train/adam.h"
#include "base/par.h"

#include <math.h>

static const double BETA1 = 0.9, BETA2 = 0.999;
static const float EPSILON = 1e-7f;

typedef struct {
    float *w, *m, *v;
    const float *g;
    float rate;
} adam_step;

static void step_range(void *ctx, size_t begin, size_t end) {
    const adam_step *s = ctx;
    const float keep1 = (float)(1 - BETA1), keep2 = (float)(1 - BETA2);
    for (size_t i = begin; i < end; i++) {
        s->m[i] += (s->g[i] - s->m[i]) * keep1;
        s->v[i] += (s->g[i] * s->g[i] - s->v[i]) * keep2;
        s->w[i] -= s->rate * s->m[i] / (sqrtf(s->v[i]) + EPSILON);
    }
}

void mq_adam_step(float *w, float *m, float *v, const float *g, size_t count, double lr, uint64_t step) {
    const double t = (double)step;
    adam_step s = {w, m, v, g, (float)(lr * sqrt(1 - pow(BETA2, t)) / (1 - pow(BETA1, t)))};
    mq_parallel_for(count, step_range, &s);
}
