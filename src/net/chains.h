/* chains.h: what each convolution of a network in use does besides: the batch norm behind it, which is folded
 * into its weights, the residual sum and the ReLU behind that, and the ReLU before it. */
#ifndef MQ_CHAINS_H
#define MQ_CHAINS_H

#include "net/graph.h"

/* A convolution and what it absorbs. */
typedef struct {
    size_t tail;         /* the last node covered; what is done stands here */
    const mq_node *norm; /* NULL: none */
    bool relu, sum;
    size_t other;    /* what is summed up, and overwritten by the result */
    bool relu_first; /* the source's, as it is read */
} mq_chain;

typedef struct {
    const mq_graph *graph;       /* borrowed */
    size_t nodes, input, output; /* the node that comes in, and the one that is wanted */
    /* Whether a convolution can do the ReLU before it. */
    bool (*takes_relu)(const void *user, const mq_node *convolution);
    const void *user;
    bool *needed; /* [nodes], owned, as are the others */
    mq_chain *of; /* of a convolution's node */
    size_t *head; /* of the chain a node belongs to; itself when to none */
} mq_chains;

/* Fills needed, of and head; the rest is given. Freed by mq_chains_free, also after a failure. */
MQ_MUST_USE mq_status mq_chains_find(mq_err *err, mq_chains *chains);
void mq_chains_free(mq_chains *chains);

/* Whether a node is the head of a chain, a convolution. */
bool mq_chains_is_head(const mq_chains *chains, size_t node);

/* Whether a ReLU is done by the convolution that reads it. */
bool mq_chains_done_later(const mq_chains *chains, size_t relu);

/* The last position at which a node's tensor is read. */
size_t mq_chains_last_read(const mq_chains *chains, size_t node);

#endif
