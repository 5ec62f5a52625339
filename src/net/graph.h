/* graph.h: the network's meaning only: operations, what feeds them, parameters under Keras' names. Nothing
 * here knows of kernels, number formats or memory.
 *
 * Nodes stand in network order: each behind those that feed it. */
#ifndef MQ_GRAPH_H
#define MQ_GRAPH_H

#include "base/status.h"

typedef struct mq_graph mq_graph;

/* One row in ops_table.c and one op_*.c each. */
typedef enum {
    MQ_OP_INPUT,
    MQ_OP_CONV,       /* no bias */
    MQ_OP_SEPCONV,    /* depthwise, then pointwise 1x1; no bias */
    MQ_OP_BATCH_NORM, /* gamma (x - mean) / sqrt(variance + epsilon) + beta */
    MQ_OP_RELU,
    MQ_OP_MAX_POOL, /* padding never wins */
    MQ_OP_ADD,
    MQ_OP_GLOBAL_AVG_POOL, /* to 1 x 1 */
    MQ_OPS
} mq_op_id;

typedef struct {
    size_t h, w, c;
} mq_shape;

enum { MQ_NODE_INPUTS = 2, MQ_NODE_PARAMS = 4, MQ_PARAM_RANK = 4 };

typedef struct {
    mq_op_id op;
    const char *name;              /* of Keras' layer */
    const char *block;             /* such as "block13": the unit of thawing */
    size_t inputs[MQ_NODE_INPUTS]; /* nodes */
    size_t input_count;
    size_t filters;        /* convolutions: channels of the result */
    size_t kernel, stride; /* convolutions and pools */
    bool same;             /* padding: TensorFlow's "same" (else "valid") */
    double epsilon;        /* batch norm */
    mq_shape shape;        /* of the result; mq_graph_add computes it */
} mq_node;

/* A parameter as Keras keeps it. */
typedef struct {
    const char *name; /* "depthwise_kernel"; static */
    size_t rank;
    size_t shape[MQ_PARAM_RANK];
} mq_param_shape;

/* An empty graph, the caller's. */
MQ_MUST_USE mq_status mq_graph_create(mq_err *err, mq_graph **graph);
void mq_graph_free(mq_graph **graph);

/* Appends a node (copied, names too) and computes its shape; *index tells where it stands. Sizes that do not
 * fit: MQ_USAGE, naming the layer. */
MQ_MUST_USE mq_status mq_graph_add(mq_err *err, mq_graph *graph, const mq_node *node, size_t *index);

size_t mq_graph_size(const mq_graph *graph);                           /* nodes */
const mq_node *mq_graph_node(const mq_graph *graph, size_t index);     /* borrowed */
const mq_node *mq_graph_find(const mq_graph *graph, const char *name); /* NULL when there is none */
size_t mq_graph_index(const mq_graph *graph, const mq_node *node);

/* The one node below a block whose tensor the block and all above it read: where the network can be cut.
 * Nothing below: the input. A block nobody knows: MQ_USAGE, naming the blocks; more than one such node:
 * MQ_UNAVAILABLE. */
MQ_MUST_USE mq_status mq_graph_boundary(mq_err *err, const mq_graph *graph, const char *block, size_t *node);

/* The class of the node's layer in Keras, such as "SeparableConv2D"; static. */
const char *mq_node_class(const mq_node *node);

/* Parameters of a node, in Keras' order of get_weights(): their number, and one of them. */
size_t mq_node_param_count(const mq_node *node);
mq_param_shape mq_node_param(const mq_graph *graph, const mq_node *node, size_t index);

/* Numbers in a parameter. */
size_t mq_param_numbers(const mq_param_shape *param);

/* Numbers in all parameters, moving statistics included. */
size_t mq_graph_param_total(const mq_graph *graph);

/* Where a window of a convolution or pool lies along one side of in pixels: result size and padding before
 * and behind. out is 0 when the window does not fit. */
typedef struct {
    size_t out, before, behind;
} mq_extent;
mq_extent mq_window_extent(size_t in, size_t kernel, size_t stride, bool same);

/* A square window over pictures, as convolutions and pools use it. */
typedef struct {
    size_t n, h, w, c;     /* source */
    size_t out_h, out_w;   /* result */
    size_t kernel, stride; /* both directions */
    size_t top, left;      /* padding before */
    size_t bottom, right;  /* padding behind */
} mq_window;

/* Channels that lie together where tensors are blocked, [c / block][h][w][block]: so many, or twice as many
 * with AVX-512. A block is a tensor by itself. Channels that are no multiple of it are a picture's. */
enum { MQ_BLOCK = 8 };

/* That of a node's kernel, stride and padding over one picture of a shape. */
mq_window mq_window_over(mq_shape in, const mq_node *node);

/* That of a convolution or pool over one picture of its input; and that of the 1x1 convolution which ends a
 * separable one. */
mq_window mq_node_window(const mq_graph *graph, const mq_node *node);
mq_window mq_pointwise_window(const mq_graph *graph, const mq_node *node);

#endif
