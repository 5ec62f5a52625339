/* tensors.h: a network's parameters found in a bundle under Keras' names: PREFIX LAYER "/" PARAMETER. */
#ifndef MQ_TENSORS_H
#define MQ_TENSORS_H

#include "base/hash.h"
#include "net/bundle.h"
#include "net/graph.h"

/* Whether weights hold every parameter of graph as f32 of the right shape, or as a sound 8-bit layer
 * (quant.h); if not, MQ_BAD_DATA with the first differences and their number. */
MQ_MUST_USE mq_status mq_tensors_check(mq_err *err, const mq_graph *graph, const mq_bundle *weights,
                                       const char *prefix);

/* The hash of the parameters of the nodes up to and with `last`, of a checked bundle: their names and
 * numbers. */
MQ_MUST_USE mq_status mq_tensors_hash(mq_err *err, const mq_graph *graph, const mq_bundle *weights,
                                      size_t last, char hex[MQ_HASH_HEX_SIZE]);

/* A tensor of a node, borrowed; NULL when there is none of that name. */
const mq_tensor *mq_tensors_find(const mq_bundle *weights, const char *prefix, const mq_node *node,
                                 const char *name);

/* Numbers of one parameter of a checked bundle, borrowed from it; NULL when there is none of that name. */
const float *mq_tensors_get(const mq_bundle *weights, const char *prefix, const mq_node *node,
                            const char *param);

#endif
