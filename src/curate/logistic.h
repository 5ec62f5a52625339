/* logistic.h: multinomial logistic regression with an L2 penalty: the linear classifier that `marque clean`
 * asks about pictures it has not learned from. Unlike the classifier of a run it is learned to the end, so
 * that it has no settings and depends on no order of pictures. */
#ifndef MQ_LOGISTIC_H
#define MQ_LOGISTIC_H

#include "base/status.h"

typedef struct {
    size_t size;            /* sizeof(mq_logistic_plan) */
    const float *x;         /* [count, features], borrowed, as is what follows */
    const uint32_t *labels; /* [count], below classes */
    const bool *used;       /* [count] rows to learn from; the others are answered only */
    size_t count, features, classes;
    double l2; /* penalty: l2 / 2 times the sum of squares of the weights, biases excepted, beside
                  the mean cross-entropy; above 0 */
    bool (*stop)(void *user); /* asked at every step; NULL: never */
    void *user;
} mq_logistic_plan;

/* Learns from the used rows and answers all: p [count, classes], the caller's. The same bytes
 * every time for the same number of threads, and nearly the same for others. Stopped: MQ_INTERRUPTED. */
MQ_MUST_USE mq_status mq_logistic_fit(mq_err *err, const mq_logistic_plan *plan, float *p);

/* The penalised mean cross-entropy at params (weights [classes, features], then biases [classes]) and its
 * gradient, of the same layout. For tests; mq_logistic_fit minimises it. */
MQ_MUST_USE mq_status mq_logistic_loss(mq_err *err, const mq_logistic_plan *plan, const float *params,
                                       float *gradient, double *loss);

#endif
