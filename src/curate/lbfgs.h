/* lbfgs.h: the least value of a smooth function of many numbers.
 *
 * L-BFGS: J. Nocedal, Updating quasi-Newton matrices with limited storage, Mathematics of Computation 35
 * (1980); the two loops are algorithm 7.4 of J. Nocedal, S. Wright, Numerical Optimization (2006). */
#ifndef MQ_LBFGS_H
#define MQ_LBFGS_H

#include "base/status.h"

/* The function's value at x [count] and its gradient [count]. */
typedef mq_status (*mq_lbfgs_fn)(mq_err *err, void *user, const float *x, float *gradient, double *value);

typedef struct {
    size_t size; /* sizeof(mq_lbfgs_plan) */
    size_t count;
    mq_lbfgs_fn function;
    void *user;
    size_t steps;     /* at most */
    double tolerance; /* it ends where no number of the gradient is larger */
} mq_lbfgs_plan;

/* Goes downhill from x, which becomes the best place found. The same numbers for every number of threads if
 * the function's are. */
MQ_MUST_USE mq_status mq_lbfgs_minimise(mq_err *err, const mq_lbfgs_plan *plan, float *x);

#endif
