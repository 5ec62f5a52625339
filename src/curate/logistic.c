/* logistic.c: the classifier of `marque clean`. Called by confident.c. Owns what one evaluation of the loss
 * needs. Invariant: both products go through mq_dense_forward, whose sums have a fixed order, so no number
 * depends on the threads. */
#include "curate/logistic.h"
#include "base/mem.h"
#include "base/par.h"
#include "curate/lbfgs.h"
#include "net/ops.h"

#include <string.h>

/* Steps of the minimiser at most, and the gradient it is content with: more changes no answer by 1e-3. */
enum { STEPS = 200 };
static const double TOLERANCE = 1e-5;

typedef struct {
    const mq_logistic_plan *plan;
    size_t used;   /* rows learned from */
    float *w;      /* [features, classes], the weights as the forward product wants them */
    float *logits; /* [count, classes], then the gradient of each row's loss */
    float *p;      /* [count, classes], the caller's or owned */
    float *loss;   /* [count] */
    float *turned; /* [classes, count] */
} fitting;

/* out [columns, rows] = in [rows, columns] turned. */
typedef struct {
    const float *in;
    float *out;
    size_t rows, columns;
} turning;

static void turn_columns(void *ctx, size_t begin, size_t end) {
    const turning *t = ctx;
    enum { BLOCK = 16 }; /* floats of a cache line: a line read is used whole before it leaves the cache */
    for (size_t row = 0; row < t->rows; row += BLOCK)
        for (size_t c = begin; c < end; c++)
            for (size_t r = row; r < t->rows && r < row + BLOCK; r++)
                t->out[c * t->rows + r] = t->in[r * t->columns + c];
}

static void turn(const float *in, float *out, size_t rows, size_t columns) {
    mq_parallel_for(columns, turn_columns, &(turning){in, out, rows, columns});
}

static mq_status open_fitting(mq_err *err, const mq_logistic_plan *plan, fitting *f) {
    mq_status status = MQ_OK;
    const size_t size = sizeof(float), n = plan->count, k = plan->classes;
    MQ_REQUIRE(plan->size == sizeof *plan && n && k && plan->features && plan->l2 > 0, err, MQ_INTERNAL,
               "a classifier of nothing");
    f->plan = plan;
    for (size_t i = 0; i < n; i++) f->used += plan->used[i];
    MQ_REQUIRE(f->used, err, MQ_INTERNAL, "a classifier without pictures to learn from");
    MQ_TRY(mq_alloc_aligned(err, plan->features * k, size, "a classifier", &f->w));
    MQ_TRY(mq_alloc_aligned(err, n * k, size, "answers", &f->logits));
    MQ_TRY(mq_alloc_aligned(err, n * k, size, "answers", &f->turned));
    MQ_TRY(mq_alloc_aligned(err, n, size, "answers", &f->loss));
cleanup:
    return status;
}

static void close_fitting(fitting *f) {
    free(f->w);
    free(f->logits);
    free(f->turned);
    free(f->loss);
}

/* p and loss of every row. */
static void answer(fitting *f, const float *params) {
    const mq_logistic_plan *plan = f->plan;
    const size_t n = plan->count, k = plan->classes;
    turn(params, f->w, k, plan->features);
    mq_dense_forward(f->logits, plan->x, f->w, params + k * plan->features,
                     (mq_dense_shape){n, plan->features, k});
    mq_softmax_xent_forward(f->p, f->loss, f->logits, plan->labels, n, k);
}

/* Of the answers; rows that are not learned from have none. */
static void find_gradient(fitting *f, const float *params, float *gradient) {
    const mq_logistic_plan *plan = f->plan;
    const size_t n = plan->count, k = plan->classes, weights = k * plan->features;
    mq_softmax_xent_backward(f->logits, f->p, plan->labels, n, f->used, k);
    for (size_t i = 0; i < n; i++)
        if (!plan->used[i]) memset(f->logits + i * k, 0, k * sizeof *f->logits);
    turn(f->logits, f->turned, n, k);
    mq_dense_forward(gradient, f->turned, plan->x, NULL, (mq_dense_shape){k, n, plan->features});
    for (size_t i = 0; i < weights; i++) gradient[i] += (float)plan->l2 * params[i];
    for (size_t c = 0; c < k; c++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++) sum += (double)f->turned[c * n + i];
        gradient[weights + c] = (float)sum;
    }
}

/* mq_lbfgs_fn. */
static mq_status evaluate(mq_err *err, void *user, const float *params, float *gradient, double *value) {
    fitting *f = user;
    const mq_logistic_plan *plan = f->plan;
    double loss = 0, squares = 0;
    if (plan->stop && plan->stop(plan->user)) return mq_fail(err, MQ_INTERRUPTED, "stopped");
    answer(f, params);
    find_gradient(f, params, gradient);
    for (size_t i = 0; i < plan->count; i++) loss += plan->used[i] ? (double)f->loss[i] : 0;
    for (size_t i = 0; i < plan->classes * plan->features; i++)
        squares += (double)params[i] * (double)params[i];
    *value = loss / (double)f->used + plan->l2 / 2 * squares;
    return MQ_OK;
}

mq_status mq_logistic_loss(mq_err *err, const mq_logistic_plan *plan, const float *params, float *gradient,
                           double *loss) {
    mq_status status = MQ_OK;
    fitting f = {0};
    float *p = NULL;
    MQ_TRY(open_fitting(err, plan, &f));
    MQ_TRY(mq_alloc_aligned(err, plan->count * plan->classes, sizeof *p, "answers", &p));
    f.p = p;
    MQ_TRY(evaluate(err, &f, params, gradient, loss));
cleanup:
    close_fitting(&f);
    free(p);
    return status;
}

mq_status mq_logistic_fit(mq_err *err, const mq_logistic_plan *plan, float *p) {
    mq_status status = MQ_OK;
    fitting f = {.p = p};
    float *params = NULL;
    const size_t count = (plan->features + 1) * plan->classes;
    const mq_lbfgs_plan search = {.size = sizeof search,
                                  .count = count,
                                  .function = evaluate,
                                  .user = &f,
                                  .steps = STEPS,
                                  .tolerance = TOLERANCE};
    MQ_TRY(open_fitting(err, plan, &f));
    MQ_TRY(mq_calloc(err, count, sizeof *params, "a classifier", &params)); /* from zero, without a seed */
    MQ_TRY(mq_lbfgs_minimise(err, &search, params));
    answer(&f, params);
cleanup:
    close_fitting(&f);
    free(params);
    return status;
}
