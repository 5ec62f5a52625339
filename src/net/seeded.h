/* seeded.h: weights made of random numbers, for measurements and tests without Keras' file. */
#ifndef MQ_SEEDED_H
#define MQ_SEEDED_H

#include "net/bundle.h"
#include "net/graph.h"

/* Plausible weights for every parameter of graph, a pure function of seed and of the parameter's place in the
 * network: kernels uniform within sqrt(3 / fan-in), variances and gammas in [0.5, 1.5), betas and means in
 * [-0.5, 0.5). The same on every machine: no libm beyond sqrt. *weights is the caller's. */
MQ_MUST_USE mq_status mq_seeded_weights(mq_err *err, const mq_graph *graph, uint64_t seed,
                                        mq_bundle **weights);

#endif
