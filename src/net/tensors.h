/* tensors.h: a network's parameters found in a bundle under Keras' names: PREFIX LAYER "/" PARAMETER. */
#ifndef MQ_TENSORS_H
#define MQ_TENSORS_H

#include "net/bundle.h"
#include "net/graph.h"

/* Whether weights hold every parameter of graph as f32 of the right shape; if not, MQ_BAD_DATA with the first
 * differences and their number. */
MQ_MUST_USE mq_status mq_tensors_check(mq_err *err, const mq_graph *graph, const mq_bundle *weights,
                                       const char *prefix);

/* Numbers of one parameter of a checked bundle, borrowed from it; NULL when there is none of that name. */
const float *mq_tensors_get(const mq_bundle *weights, const char *prefix, const mq_node *node,
                            const char *param);

#endif
