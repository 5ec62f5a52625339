/* graph.c: the list of nodes with their names and shapes. Called by the zoo,
 * which builds it, and by everything that reads a network. Invariant: a node's
 * inputs stand before it and its shape is known. */
#include "net/op.h"

#include "base/mem.h"

#include <string.h>

struct mq_graph {
    mq_node *nodes; /* names owned */
    size_t count, capacity;
};

mq_status mq_graph_create(mq_err *err, mq_graph **graph) {
    return mq_calloc(err, 1, sizeof **graph, "a network", graph);
}

static void free_text(const char *text) {
    void *p; /* owned here, const for everyone else */
    memcpy(&p, &text, sizeof p);
    free(p);
}

void mq_graph_free(mq_graph **graph) {
    mq_graph *g = *graph;
    if (!g) return;
    for (size_t i = 0; i < g->count; i++) {
        free_text(g->nodes[i].name);
        free_text(g->nodes[i].block);
    }
    free(g->nodes);
    free(g);
    *graph = NULL;
}

mq_status mq_graph_add(mq_err *err, mq_graph *graph, const mq_node *node, size_t *index) {
    mq_status status = MQ_OK;
    const mq_op *op = mq_op_of(node->op);
    mq_shape inputs[MQ_NODE_INPUTS] = {{0}};
    char *name = NULL, *block = NULL;
    mq_node copy = *node;
    MQ_REQUIRE(node->input_count == op->inputs, err, MQ_INTERNAL, "layer %s: %s takes %zu inputs", node->name,
               op->name, op->inputs);
    MQ_REQUIRE(!mq_graph_find(graph, node->name), err, MQ_INTERNAL, "two layers are called %s", node->name);
    for (size_t i = 0; i < node->input_count; i++) {
        MQ_REQUIRE(node->inputs[i] < graph->count, err, MQ_INTERNAL, "layer %s: no node %zu", node->name,
                   node->inputs[i]);
        inputs[i] = graph->nodes[node->inputs[i]].shape;
    }
    MQ_TRY(op->shape(err, node, inputs, &copy.shape));
    MQ_TRY(mq_grow(err, &graph->nodes, &graph->capacity, graph->count + 1, sizeof *graph->nodes));
    MQ_TRY(mq_strdup(err, node->name, &name));
    MQ_TRY(mq_strdup(err, node->block, &block));
    copy.name = name;
    copy.block = block;
    name = block = NULL;
    *index = graph->count;
    graph->nodes[graph->count++] = copy;
cleanup:
    free(name);
    free(block);
    return status;
}

size_t mq_graph_size(const mq_graph *graph) {
    return graph->count;
}

const mq_node *mq_graph_node(const mq_graph *graph, size_t index) {
    return &graph->nodes[index];
}

const mq_node *mq_graph_find(const mq_graph *graph, const char *name) {
    for (size_t i = 0; i < graph->count; i++)
        if (strcmp(graph->nodes[i].name, name) == 0) return &graph->nodes[i];
    return NULL;
}

size_t mq_graph_index(const mq_graph *graph, const mq_node *node) {
    return (size_t)(node - graph->nodes);
}

const char *mq_node_class(const mq_node *node) {
    return mq_op_of(node->op)->keras_class;
}

size_t mq_node_param_count(const mq_node *node) {
    return mq_op_of(node->op)->param_count;
}

mq_param_shape mq_node_param(const mq_graph *graph, const mq_node *node, size_t index) {
    const mq_op *op = mq_op_of(node->op);
    mq_param_shape param = {.name = op->params[index]};
    op->param(node, &graph->nodes[node->inputs[0]].shape, index, &param);
    return param;
}

size_t mq_param_numbers(const mq_param_shape *param) {
    size_t count = 1;
    for (size_t i = 0; i < param->rank; i++) count *= param->shape[i];
    return count;
}

size_t mq_graph_param_total(const mq_graph *graph) {
    size_t total = 0;
    for (size_t i = 0; i < graph->count; i++) {
        const mq_node *node = &graph->nodes[i];
        for (size_t k = 0; k < mq_node_param_count(node); k++) {
            const mq_param_shape p = mq_node_param(graph, node, k);
            total += mq_param_numbers(&p);
        }
    }
    return total;
}

/* The first node of a block; the number of nodes when there is none. */
static size_t block_begin(const mq_graph *graph, const char *block) {
    size_t i = 0;
    while (i < graph->count && strcmp(graph->nodes[i].block, block) != 0) i++;
    return i;
}

mq_status mq_graph_boundary(mq_err *err, const mq_graph *graph, const char *block, size_t *node) {
    mq_status status = MQ_OK;
    const size_t begin = block_begin(graph, block);
    bool found = false;
    MQ_REQUIRE(begin < graph->count, err, MQ_USAGE,
               "there is no block called %.40s; the blocks go from %s to %s", block,
               graph->count ? graph->nodes[0].block : "none",
               graph->count ? graph->nodes[graph->count - 1].block : "none");
    *node = 0;
    if (begin == 0) return MQ_OK; /* the input is of this block */
    for (size_t i = begin; i < graph->count; i++)
        for (size_t k = 0; k < graph->nodes[i].input_count; k++) {
            const size_t input = graph->nodes[i].inputs[k];
            if (input >= begin) continue;
            MQ_REQUIRE(!found || input == *node, err, MQ_UNAVAILABLE,
                       "the network cannot be cut below %s: layers above read both %s and %s", block,
                       graph->nodes[*node].name, graph->nodes[input].name);
            *node = input;
            found = true;
        }
cleanup:
    return status;
}

mq_window mq_window_over(mq_shape in, const mq_node *node) {
    const mq_extent h = mq_window_extent(in.h, node->kernel, node->stride, node->same);
    const mq_extent w = mq_window_extent(in.w, node->kernel, node->stride, node->same);
    return (mq_window){.n = 1,
                       .h = in.h,
                       .w = in.w,
                       .c = in.c,
                       .out_h = h.out,
                       .out_w = w.out,
                       .kernel = node->kernel,
                       .stride = node->stride,
                       .top = h.before,
                       .left = w.before,
                       .bottom = h.behind,
                       .right = w.behind};
}

mq_window mq_node_window(const mq_graph *graph, const mq_node *node) {
    return mq_window_over(graph->nodes[node->inputs[0]].shape, node);
}

mq_window mq_pointwise_window(const mq_graph *graph, const mq_node *node) {
    const mq_shape out = node->shape;
    return (mq_window){.n = 1,
                       .h = out.h,
                       .w = out.w,
                       .c = graph->nodes[node->inputs[0]].shape.c,
                       .out_h = out.h,
                       .out_w = out.w,
                       .kernel = 1,
                       .stride = 1};
}
