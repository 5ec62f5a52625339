/* adam.h: Adam as Keras computes it.
 *
 * D. Kingma, J. Ba, Adam: A Method for Stochastic Optimization, 2015, in the
 * form of keras/src/optimizers/adam.py: m += (g - m)(1 - b1),
 * v += (g^2 - v)(1 - b2), w -= lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps),
 * with b1 0.9, b2 0.999, eps 1e-7 outside the root. */
#ifndef MQ_ADAM_H
#define MQ_ADAM_H

#include "marque.h"

/* count numbers w in training, their gradient g and moments m and v; all borrowed. */
typedef struct {
    float *w, *m, *v;
    const float *g;
    size_t count;
} mq_adam_block;

/* One step: w, m and v are changed; step counts from 1. False when one of them is no longer a finite number,
 * which nothing mends: an infinite v would hold its weight still for ever without showing in any loss. */
MQ_MUST_USE bool mq_adam_step(const mq_adam_block *block, double lr, uint64_t step);

#endif
