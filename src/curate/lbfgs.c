/* lbfgs.c: a minimiser without settings to tune. Called by logistic.c. Owns the last few steps and changes of
 * the gradient. Invariant: the value never rises from step to step; sums have an order of their own, whatever
 * the threads. */
#include "curate/lbfgs.h"
#include "base/mem.h"
#include "base/par.h"

#include <math.h>
#include <string.h>

/* Steps remembered; numbers summed at a time; halvings of a step before it is given up. */
enum { HISTORY = 8, SLOTS /* and one that is tried */, CHUNK = 4096, HALVINGS = 30 };
/* A step must win this share of what the gradient promises (Armijo's rule). */
static const double SUFFICIENT = 1e-4;

typedef struct {
    const mq_lbfgs_plan *plan;
    float *x;                     /* the caller's */
    float *next, *g, *next_g, *d; /* place to try, gradients here and there, direction; [count] */
    float *s[SLOTS], *y[SLOTS];   /* steps and changes of the gradient, the newest at (taken - 1) % SLOTS */
    double sy[SLOTS];
    size_t taken;
    double *partial; /* [chunks] */
    double value;
} search;

typedef struct {
    const float *a, *b;
    size_t count;
    double *partial;
} product;

static void sum_chunks(void *ctx, size_t begin, size_t end) {
    const product *p = ctx;
    for (size_t chunk = begin; chunk < end; chunk++) {
        const size_t first = chunk * CHUNK, left = p->count - first;
        double sum = 0;
        for (size_t i = first; i < first + (left < CHUNK ? left : CHUNK); i++)
            sum += (double)p->a[i] * (double)p->b[i];
        p->partial[chunk] = sum;
    }
}

static size_t chunks_of(size_t count) {
    return mq_ceil_div(count, CHUNK);
}

static double dot(const search *s, const float *a, const float *b) {
    product p = {a, b, s->plan->count, s->partial};
    double sum = 0;
    mq_parallel_for(chunks_of(p.count), sum_chunks, &p);
    for (size_t i = 0; i < chunks_of(p.count); i++) sum += s->partial[i];
    return sum;
}

static float largest(const float *a, size_t count) {
    float most = 0;
    for (size_t i = 0; i < count; i++) most = fmaxf(most, fabsf(a[i]));
    return most;
}

/* a += factor b */
static void add(float *a, double factor, const float *b, size_t count) {
    const float f = (float)factor;
    for (size_t i = 0; i < count; i++) a[i] += f * b[i];
}

static void scale(float *a, double factor, size_t count) {
    for (size_t i = 0; i < count; i++) a[i] *= (float)factor;
}

/* d = - (the remembered guess of the inverse Hessian) g. */
static void find_direction(search *s) {
    const size_t count = s->plan->count, kept = s->taken < HISTORY ? s->taken : HISTORY;
    double alpha[SLOTS];
    for (size_t i = 0; i < count; i++) s->d[i] = -s->g[i];
    for (size_t age = 1; age <= kept; age++) {
        const size_t k = (s->taken - age) % SLOTS;
        alpha[k] = dot(s, s->s[k], s->d) / s->sy[k];
        add(s->d, -alpha[k], s->y[k], count);
    }
    if (kept) {
        const size_t k = (s->taken - 1) % SLOTS;
        scale(s->d, s->sy[k] / dot(s, s->y[k], s->y[k]), count);
    } else {
        scale(s->d, 1 / fmax(1, sqrt(dot(s, s->g, s->g))), count);
    }
    for (size_t age = kept; age >= 1; age--) {
        const size_t k = (s->taken - age) % SLOTS;
        add(s->d, alpha[k] - dot(s, s->y[k], s->d) / s->sy[k], s->s[k], count);
    }
}

/* The longest of the steps 1, 1/2, 1/4, ... that wins enough; *found says whether there is one. */
static mq_status try_steps(mq_err *err, search *s, bool *found) {
    mq_status status = MQ_OK;
    const size_t count = s->plan->count;
    const double slope = dot(s, s->d, s->g);
    double length = 1, value;
    *found = false;
    if (!(slope < 0)) return MQ_OK;
    for (int i = 0; i < HALVINGS && !*found; i++, length /= 2) {
        memcpy(s->next, s->x, count * sizeof *s->next);
        add(s->next, length, s->d, count);
        MQ_TRY(s->plan->function(err, s->plan->user, s->next, s->next_g, &value));
        *found = value <= s->value + SUFFICIENT * length * slope;
    }
    if (*found) s->value = value;
cleanup:
    return status;
}

/* Goes to the place tried, and remembers the step where it shows how the gradient bends. The slot that it is
 * tried in holds none of those in use. */
static void take_step(search *s) {
    const size_t count = s->plan->count, k = s->taken % SLOTS;
    for (size_t i = 0; i < count; i++) {
        s->s[k][i] = s->next[i] - s->x[i];
        s->y[k][i] = s->next_g[i] - s->g[i];
    }
    s->sy[k] = dot(s, s->s[k], s->y[k]);
    if (s->sy[k] > 1e-12 * dot(s, s->y[k], s->y[k])) s->taken++;
    memcpy(s->x, s->next, count * sizeof *s->x);
    memcpy(s->g, s->next_g, count * sizeof *s->g);
}

static mq_status take_memory(mq_err *err, search *s) {
    mq_status status = MQ_OK;
    const size_t count = s->plan->count;
    float **const plain[] = {&s->next, &s->g, &s->next_g, &s->d};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        MQ_TRY(mq_alloc_aligned(err, count, sizeof(float), "a minimiser", plain[i]));
    for (size_t k = 0; k < SLOTS; k++) {
        MQ_TRY(mq_alloc_aligned(err, count, sizeof(float), "a minimiser", &s->s[k]));
        MQ_TRY(mq_alloc_aligned(err, count, sizeof(float), "a minimiser", &s->y[k]));
    }
    MQ_TRY(mq_calloc(err, chunks_of(count), sizeof *s->partial, "a minimiser", &s->partial));
cleanup:
    return status;
}

static void free_memory(search *s) {
    free(s->next);
    free(s->g);
    free(s->next_g);
    free(s->d);
    for (size_t k = 0; k < SLOTS; k++) {
        free(s->s[k]);
        free(s->y[k]);
    }
    free(s->partial);
}

mq_status mq_lbfgs_minimise(mq_err *err, const mq_lbfgs_plan *plan, float *x) {
    mq_status status = MQ_OK;
    search s = {.plan = plan, .x = x};
    MQ_REQUIRE(plan->size == sizeof *plan && plan->count, err, MQ_INTERNAL, "a minimiser of %zu numbers",
               plan->count);
    MQ_TRY(take_memory(err, &s));
    MQ_TRY(plan->function(err, plan->user, x, s.g, &s.value));
    for (size_t step = 0; step < plan->steps; step++) {
        bool found = false;
        if ((double)largest(s.g, plan->count) <= plan->tolerance) break;
        find_direction(&s);
        MQ_TRY(try_steps(err, &s, &found));
        if (!found) break; /* as near as f32 allows */
        take_step(&s);
    }
cleanup:
    free_memory(&s);
    return status;
}
