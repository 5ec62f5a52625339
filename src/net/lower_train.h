/* lower_train.h: what lower_train.c (forward) and lower_back.c (backward) share while they write phases. */
#ifndef MQ_LOWER_TRAIN_H
#define MQ_LOWER_TRAIN_H

#include "net/trainable_impl.h"

/* The tensor of a node. It lies in memory, or it is a map of one that does: ReLU(scale x + shift) is computed
 * where it is read, again in the backward pass, and never kept. */
typedef struct {
    size_t stored; /* buffer; MQ_NONE: a map */
    size_t source; /* map: the stored node it reads */
    size_t norm;   /* map: its batch norm; MQ_NONE */
    bool relu;
    bool
        again; /* what lay in memory is given up after the forward pass, and computed again when it is read */
    size_t scratch, phase; /* map: where it was computed last, and in which phase; MQ_NONE */
} mq_value;

/* The gradient of a node's tensor. Several nodes may share one buffer, as both operands of an addition do. */
typedef struct {
    size_t buffer;  /* MQ_NONE: none yet */
    size_t missing; /* readers whose share has not come yet */
} mq_gradient;

/* A gradient of weights whose tensors are ready when the phase ends. */
typedef struct {
    size_t conv, source, gradient; /* buffers; source MQ_NONE: partial is written already */
    size_t partial;                /* buffer, f32, one for each picture */
} mq_product;

typedef struct {
    mq_err *err;
    const mq_graph *graph;
    mq_trainable *t;
    size_t nodes, phase;
    bool open;          /* a loop over pictures is open */
    mq_value *values;   /* [nodes] */
    mq_gradient *grads; /* [nodes] */
    bool *wants;        /* [nodes] whether the gradient of its tensor is needed */
    size_t *sharers;    /* [tensors] gradients that still need a buffer as it is */
    size_t sharers_capacity;
    size_t *places;       /* [nodes] of pools: buffer of the places chosen */
    size_t *summed;       /* [norms] the phase in which the sums of the present pass are made */
    mq_product *products; /* of the phase that is open */
    size_t product_count, product_capacity;
    mq_product *partials; /* products of the phase before: to be reduced */
    size_t partial_count, partial_capacity;
} mq_train_lowering;

/* A buffer, alive from the present phase (a worker's: from the step that comes next). */
MQ_MUST_USE mq_status mq_lower_tensor(mq_train_lowering *l, mq_each each, size_t bytes, const char *name,
                                      size_t *buffer);

/* Bytes of a node's tensor for one picture. */
size_t mq_lower_bytes(const mq_train_lowering *l, const mq_node *node);

/* Bytes of a depthwise convolution's weights, or their gradient: [kernel, kernel, padded channels] in f32. */
size_t mq_lower_depthwise_bytes(const mq_train_lowering *l, const mq_conv *conv);

/* A step that touches nothing yet. */
mq_train_step mq_lower_step(const mq_train_lowering *l, mq_step_kind kind, const mq_node *node);

/* Opens a loop of the present phase; a loop over pictures opens by itself. */
MQ_MUST_USE mq_status mq_lower_loop(mq_train_lowering *l, mq_each each);

/* Appends a step to the open loop (which is opened where there is none); buffers it touches stay alive. */
MQ_MUST_USE mq_status mq_lower_emit(mq_train_lowering *l, mq_train_step step);

/* One of a convolution's kernels as a step; weights are laid out for it. */
MQ_MUST_USE mq_status mq_lower_conv(mq_train_lowering *l, size_t conv, mq_pass pass, mq_train_step step);

/* Ends the phase: all pictures are done before the next step. */
MQ_MUST_USE mq_status mq_lower_next_phase(mq_train_lowering *l);

/* Where a node's tensor can be read in this phase; MQ_EACH_PICTURE: in memory that outlives the phase. */
MQ_MUST_USE mq_status mq_lower_read(mq_train_lowering *l, size_t node, mq_each each, size_t *buffer);

/* The same for a step that maps what it reads: where that lies, with its batch norm (norm, norm_b) and ReLU.
 */
MQ_MUST_USE mq_status mq_lower_source(mq_train_lowering *l, size_t node, mq_slot slot, mq_train_step *step);

/* A step of mapped.h for a depthwise convolution, without its tensors. */
MQ_MUST_USE mq_status mq_lower_mapped(mq_train_lowering *l, size_t conv, mq_step_kind kind,
                                      mq_train_step *step);

/* The buffer of a node that lies in memory; in the backward pass, of one that was given up too. */
MQ_MUST_USE mq_status mq_lower_stored(mq_train_lowering *l, size_t node, size_t *buffer);

/* The first convolution of a node; the second half of a separable one is behind it. */
size_t mq_lower_conv_of(const mq_train_lowering *l, const mq_node *node);
size_t mq_lower_norm_of(const mq_train_lowering *l, const mq_node *node);

/* The loops that products wait for, opened before those of the new phase's pictures. */
MQ_MUST_USE mq_status mq_lower_products(mq_train_lowering *l);

MQ_MUST_USE mq_status mq_lower_backward(mq_train_lowering *l);

#endif
