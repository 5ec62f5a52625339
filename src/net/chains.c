/* chains.c: chains found in a graph. Called by lower_infer.c. Owns the arrays of a mq_chains. Invariant: a
 * node belongs to one chain at most, and a tensor is overwritten by a sum only when nobody reads it later. */
#include "net/chains.h"

#include "base/mem.h"

enum { NOT_FOUND = -1 };

static const mq_node *node_at(const mq_chains *c, size_t index) {
    return mq_graph_node(c->graph, index);
}

bool mq_chains_is_head(const mq_chains *c, size_t node) {
    const mq_op_id op = node_at(c, node)->op;
    return op == MQ_OP_CONV || op == MQ_OP_SEPCONV;
}

static bool reads(const mq_node *node, size_t input) {
    for (size_t i = 0; i < node->input_count; i++)
        if (node->inputs[i] == input) return true;
    return false;
}

/* The only node that reads this one, or NOT_FOUND. The output is read by the caller too. */
static ptrdiff_t sole_reader(const mq_chains *c, size_t node) {
    ptrdiff_t reader = NOT_FOUND;
    if (node == c->output) return NOT_FOUND;
    for (size_t i = node + 1; i < c->nodes; i++) {
        if (!c->needed[i] || !reads(node_at(c, i), node)) continue;
        if (reader != NOT_FOUND) return NOT_FOUND;
        reader = (ptrdiff_t)i;
    }
    return reader;
}

/* The convolution that does a ReLU as it reads its source, or NOT_FOUND. */
static ptrdiff_t done_by(const mq_chains *c, size_t relu) {
    const ptrdiff_t reader = sole_reader(c, relu);
    const bool is_relu = node_at(c, relu)->op == MQ_OP_RELU;
    return is_relu && reader != NOT_FOUND && c->of[reader].relu_first ? reader : NOT_FOUND;
}

bool mq_chains_done_later(const mq_chains *c, size_t relu) {
    return done_by(c, relu) != NOT_FOUND;
}

size_t mq_chains_last_read(const mq_chains *c, size_t node) {
    size_t last = node == c->output ? c->nodes : 0;
    for (size_t i = node + 1; i < c->nodes; i++) {
        if (!c->needed[i] || !reads(node_at(c, i), node)) continue;
        const ptrdiff_t by = done_by(c, i);
        const size_t head = c->head[by == NOT_FOUND ? i : (size_t)by];
        const size_t at = mq_chains_is_head(c, head) ? c->of[head].tail : i;
        last = at > last ? at : last;
    }
    return last;
}

/* Nothing below the input. */
static void find_needed(mq_chains *c) {
    c->needed[c->output] = c->needed[c->input] = true;
    for (size_t i = c->output + 1; i-- > c->input + 1;) {
        const mq_node *node = node_at(c, i);
        for (size_t k = 0; c->needed[i] && k < node->input_count; k++) c->needed[node->inputs[k]] = true;
    }
}

/* Lets the chain of head cover the only reader of its tail, if that is of kind op; returns it or NULL. */
static const mq_node *absorb(mq_chains *c, size_t head, mq_op_id op) {
    const ptrdiff_t reader = sole_reader(c, c->of[head].tail);
    if (reader == NOT_FOUND || node_at(c, (size_t)reader)->op != op) return NULL;
    c->of[head].tail = (size_t)reader;
    c->head[reader] = head;
    return node_at(c, (size_t)reader);
}

/* Whether the addition can be done by the chain that ends in operand: result and other operand become one
 * tensor, so nobody may read that one later, nor the chain itself while it writes: but a separable
 * convolution's depthwise half is done by then. It must not be the caller's either. */
static bool can_sum(const mq_chains *c, size_t addition, size_t operand, size_t other) {
    const size_t head = c->head[operand];
    return operand != other && mq_chains_is_head(c, head) && c->of[head].tail == operand &&
           !c->of[head].relu && !c->of[head].sum && sole_reader(c, operand) == (ptrdiff_t)addition &&
           (node_at(c, head)->op == MQ_OP_SEPCONV || !reads(node_at(c, head), other)) &&
           mq_chains_last_read(c, other) <= addition && other != c->input;
}

/* Additions from the last to the first: by then it is known how far later chains reach back. */
static void find_sums(mq_chains *c) {
    for (size_t i = c->nodes; i-- > 0;) {
        const mq_node *node = node_at(c, i);
        if (!c->needed[i] || node->op != MQ_OP_ADD) continue;
        for (size_t k = 0; k < 2; k++) {
            const size_t operand = node->inputs[k], other = node->inputs[1 - k];
            if (!can_sum(c, i, operand, other)) continue;
            mq_chain *chain = &c->of[c->head[operand]];
            chain->sum = true;
            chain->other = other;
            chain->tail = i;
            c->head[i] = c->head[operand];
            chain->relu = absorb(c, c->head[operand], MQ_OP_RELU) != NULL;
            break;
        }
    }
}

/* Where the ReLU before a convolution is read by nobody else, it is done there if it can be. */
static void find_first_relus(mq_chains *c) {
    for (size_t i = 0; i < c->nodes; i++) {
        const ptrdiff_t reader = sole_reader(c, i);
        if (c->needed[i] && i != c->input && c->head[i] == i && node_at(c, i)->op == MQ_OP_RELU &&
            reader != NOT_FOUND && c->takes_relu(c->user, node_at(c, (size_t)reader)))
            c->of[reader].relu_first = true;
    }
}

mq_status mq_chains_find(mq_err *err, mq_chains *c) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_calloc(err, c->nodes, sizeof *c->needed, "a program", &c->needed));
    MQ_TRY(mq_calloc(err, c->nodes, sizeof *c->of, "a program", &c->of));
    MQ_TRY(mq_calloc(err, c->nodes, sizeof *c->head, "a program", &c->head));
    find_needed(c);
    for (size_t i = 0; i < c->nodes; i++) {
        c->head[i] = c->needed[i] && c->head[i] ? c->head[i] : i;
        if (!c->needed[i] || i == c->input || !mq_chains_is_head(c, i)) continue;
        c->of[i].tail = i;
        c->of[i].norm = absorb(c, i, MQ_OP_BATCH_NORM);
        c->of[i].relu = absorb(c, i, MQ_OP_RELU) != NULL;
    }
    /* A ReLU is left to what follows it only where nothing before it takes it; that makes its source live
     * longer, so sums, which overwrite what nobody reads any more, come last. */
    find_first_relus(c);
    find_sums(c);
cleanup:
    return status;
}

void mq_chains_free(mq_chains *c) {
    free(c->needed);
    free(c->of);
    free(c->head);
}
