/* lower_back.c: the phases of a backward pass, from the last node to the first
 * thawed one. Called by lower_train.c. Invariant: a node is visited when every
 * node that reads it has been, so its gradient is whole; maps (batch norm,
 * ReLU) that were not kept are computed again where they are read. */
#include "net/lower_train.h"

#include "base/mem.h"

/* The node whose gradient a reader of node j adds to: batch norm and ReLU of a map are passed on the way. */
static size_t target_of(const mq_train_lowering *l, size_t j) {
    const mq_value *v = &l->values[j];
    if (v->norm != MQ_NONE) return mq_graph_index(l->graph, l->t->norms[v->norm].node);
    return v->source != MQ_NONE ? v->source : j;
}

/* Whether a map is read as a tensor by another map. */
static bool is_source(const mq_train_lowering *l, size_t node) {
    for (size_t i = node + 1; i < l->nodes; i++)
        if (l->values[i].source == node && l->values[i].norm == MQ_NONE) return true;
    return false;
}

/* How many shares each gradient will get: one from every reader that computes. */
static void count_readers(mq_train_lowering *l) {
    for (size_t i = l->t->boundary + 1; i < l->nodes; i++) {
        const mq_node *node = mq_graph_node(l->graph, i);
        if (!l->wants[i] || (node->op == MQ_OP_RELU && !is_source(l, i))) continue;
        if (node->op == MQ_OP_BATCH_NORM) l->grads[target_of(l, l->values[i].source)].missing++;
        for (size_t k = 0; node->op != MQ_OP_BATCH_NORM && k < node->input_count; k++)
            l->grads[target_of(l, node->inputs[k])].missing++;
    }
}

static void take(mq_train_lowering *l, size_t node, size_t buffer) {
    l->grads[node].buffer = buffer;
    l->sharers[buffer]++;
}

static void release(mq_train_lowering *l, size_t node) {
    l->sharers[l->grads[node].buffer]--;
    l->grads[node].buffer = MQ_NONE;
}

/* Where the sum of a node's gradient and a new share is written: over the old one unless others need that. */
MQ_MUST_USE static mq_status place_sum(mq_train_lowering *l, size_t target, size_t *old, size_t *out) {
    mq_status status = MQ_OK;
    const mq_node *node = mq_graph_node(l->graph, target);
    *old = *out = l->grads[target].buffer;
    if (*old != MQ_NONE && l->sharers[*old] == 1) return MQ_OK;
    MQ_TRY(mq_lower_tensor(l, MQ_EACH_PICTURE, mq_lower_bytes(l, node), node->name, out));
    if (*old != MQ_NONE) release(l, target);
    take(l, target, *out);
cleanup:
    return status;
}

/* A share on its way from node j's tensor to the node it belongs to: the ReLU between them, and the sums of a
 * batch norm when it is the last share. */
MQ_MUST_USE static mq_status begin_share(mq_train_lowering *l, size_t j, mq_train_step *step) {
    const mq_value *v = &l->values[j];
    mq_gradient *g = &l->grads[target_of(l, j)];
    const mq_norm *n = v->norm == MQ_NONE ? NULL : &l->t->norms[v->norm];
    g->missing--;
    step->relu = v->relu;
    step->sums = n && !g->missing && (n->batch || n->thawed);
    step->norm = step->norm_b = v->norm;
    return step->relu || step->sums ? mq_lower_stored(l, v->source, &step->buffers[MQ_SLOT_SRC2]) : MQ_OK;
}

MQ_MUST_USE static mq_status end_share(mq_train_lowering *l, const mq_train_step *step) {
    const mq_status status = mq_lower_emit(l, *step);
    if (status == MQ_OK && step->sums) l->summed[step->norm] = l->phase;
    return status;
}

/* Adds a reader's share, the gradient of node j's tensor, to the node it belongs to. */
MQ_MUST_USE static mq_status push(mq_train_lowering *l, size_t j, size_t share) {
    mq_status status = MQ_OK;
    const size_t target = target_of(l, j);
    mq_train_step step = mq_lower_step(l, MQ_STEP_GRAD, mq_graph_node(l->graph, target));
    if (!l->wants[target]) return MQ_OK;
    MQ_TRY(begin_share(l, j, &step));
    step.buffers[MQ_SLOT_SRC] = share;
    if (!step.relu && l->grads[target].buffer == MQ_NONE && l->t->tensors[share].each == MQ_EACH_PICTURE) {
        take(l, target, share);
        step.buffers[MQ_SLOT_DST] = share;
        if (!step.sums) return MQ_OK;
    } else {
        MQ_TRY(place_sum(l, target, &step.buffers[MQ_SLOT_BIAS], &step.buffers[MQ_SLOT_DST]));
    }
    MQ_TRY(end_share(l, &step));
cleanup:
    return status;
}

/* The convolution that makes a node's numbers: of a separable one the pointwise. */
static size_t last_conv(const mq_train_lowering *l, size_t index) {
    const mq_node *node = mq_graph_node(l->graph, index);
    return mq_lower_conv_of(l, node) + (node->op == MQ_OP_SEPCONV);
}

/* Whether only the norm reads a convolution, and multiplies its gradient by what is known beforehand. Then
 * the weights of the way back and the gradient of weights are multiplied by that instead, not each pixel. */
static bool goes_along(const mq_train_lowering *l, const mq_norm *n, size_t source) {
    const mq_node *node = mq_graph_node(l->graph, source);
    size_t readers = 0;
    for (size_t i = source + 1; i < l->nodes; i++) {
        const mq_node *reader = mq_graph_node(l->graph, i);
        for (size_t k = 0; k < reader->input_count; k++) readers += reader->inputs[k] == source;
    }
    return (node->op == MQ_OP_CONV || node->op == MQ_OP_SEPCONV) && readers == 1 && !n->batch &&
           l->t->blocks && n->channels % MQ_BLOCK == 0;
}

MQ_MUST_USE static mq_status back_norm(mq_train_lowering *l, size_t index) {
    mq_status status = MQ_OK;
    const mq_value *v = &l->values[index];
    const size_t source = v->source, own = l->grads[index].buffer;
    const mq_norm *n = &l->t->norms[v->norm];
    mq_train_step step = mq_lower_step(l, MQ_STEP_NORM_BACK, n->node);
    if (!l->wants[target_of(l, source)]) return MQ_OK;
    if (goes_along(l, n, source)) {
        l->t->convs[last_conv(l, source)].norm = v->norm;
        return push(l, source, own);
    }
    if (n->batch && l->summed[v->norm] == l->phase) MQ_TRY(mq_lower_next_phase(l));
    step.norm = v->norm;
    step.buffers[MQ_SLOT_SRC] = step.buffers[MQ_SLOT_DST] = own;
    if (n->batch) MQ_TRY(mq_lower_stored(l, source, &step.buffers[MQ_SLOT_SRC2]));
    if (l->sharers[own] > 1)
        MQ_TRY(mq_lower_tensor(l, MQ_EACH_PICTURE, mq_lower_bytes(l, n->node), n->node->name,
                               &step.buffers[MQ_SLOT_DST]));
    MQ_TRY(mq_lower_emit(l, step));
    MQ_TRY(push(l, source, step.buffers[MQ_SLOT_DST]));
cleanup:
    return status;
}

MQ_MUST_USE static mq_status add_product(mq_train_lowering *l, mq_product product) {
    const mq_status status = mq_grow(l->err, &l->products, &l->product_capacity, l->product_count + 1,
                                     sizeof *l->products);
    if (status != MQ_OK) return status;
    l->products[l->product_count++] = product;
    if (product.source != MQ_NONE) l->sharers[product.gradient]++; /* nobody may write over it */
    return MQ_OK;
}

/* Of what a convolution reads of a picture. */
static size_t read_bytes(const mq_train_lowering *l, const mq_conv *c) {
    return c->window.h * c->window.w * mq_train_padded(l->t, c->window.c) * mq_dtype_size(l->t->dtype);
}

/* A convolution's gradient by data, in a new buffer of the worker. */
MQ_MUST_USE static mq_status back_data(mq_train_lowering *l, size_t conv, size_t gradient, size_t *to) {
    mq_status status = MQ_OK;
    const mq_conv *c = &l->t->convs[conv];
    mq_train_step step = mq_lower_step(l, MQ_STEP_KERNEL, c->node);
    MQ_TRY(mq_lower_tensor(l, MQ_EACH_WORKER, read_bytes(l, c), c->node->name, to));
    step.buffers[MQ_SLOT_SRC] = *to;
    step.buffers[MQ_SLOT_DST] = gradient;
    MQ_TRY(mq_lower_conv(l, conv, MQ_BACKWARD_DATA, step));
cleanup:
    return status;
}

/* Whether a picture's own gradient of weights is smaller than the tensors it comes from: then it is made
 * while those are in the caches, and summed later. */
static bool by_picture(const mq_train_lowering *l, const mq_conv *c) {
    const mq_window *w = &c->window;
    const size_t tensors = (w->h * w->w * w->c + w->out_h * w->out_w * c->filters) *
                           mq_dtype_size(l->t->dtype);
    return 2 * mq_param_numbers(&c->param) * sizeof(float) < tensors;
}

/* A step that multiplies what a convolution read by the gradient of its result. */
MQ_MUST_USE static mq_status outer_step(mq_train_lowering *l, const mq_product *product, size_t parts,
                                        mq_train_step *step) {
    const mq_conv *c = &l->t->convs[product->conv];
    *step = mq_lower_step(l, MQ_STEP_OUTER, c->node);
    step->winograd = by_picture(l, c) && l->t->blocks && l->t->dtype == MQ_F32 &&
                     mq_winograd_outer_suits(&c->window, c->filters);
    const size_t bytes = step->winograd ? mq_winograd_outer_scratch(&c->window, c->filters)
                         : l->t->blocks ? mq_outer_blocks_scratch(l->t->blocks, &c->window, c->filters, parts)
                                        : mq_outer_scratch(&c->window, c->filters, parts);
    step->window = c->window;
    step->channels = c->filters;
    step->norm = c->norm;
    step->buffers[MQ_SLOT_SRC] = product->source;
    step->buffers[MQ_SLOT_SRC2] = product->gradient;
    return mq_lower_tensor(l, MQ_EACH_WORKER, bytes, c->node->name, &step->buffers[MQ_SLOT_SCRATCH]);
}

/* The gradient of a convolution's weights, of this picture now or of all when the phase has ended. */
MQ_MUST_USE static mq_status weights_product(mq_train_lowering *l, mq_product product) {
    mq_status status = MQ_OK;
    const mq_conv *c = &l->t->convs[product.conv];
    mq_train_step step;
    if (by_picture(l, c)) {
        MQ_TRY(outer_step(l, &product, 1, &step));
        MQ_TRY(mq_lower_tensor(l, MQ_EACH_PICTURE, mq_param_numbers(&c->param) * sizeof(float), c->node->name,
                               &product.partial));
        step.buffers[MQ_SLOT_DST] = product.partial;
        MQ_TRY(mq_lower_emit(l, step));
        product.source = MQ_NONE;
    }
    MQ_TRY(add_product(l, product));
cleanup:
    return status;
}

/* A depthwise convolution backwards, from the gradient of its result: its weights' by one picture, and the
 * share of what it read. result: the tensor where that goes once more; MQ_NONE: it is not wanted. */
MQ_MUST_USE static mq_status back_depthwise(mq_train_lowering *l, size_t conv, size_t gradient,
                                            size_t result) {
    mq_status status = MQ_OK;
    const mq_conv *c = &l->t->convs[conv];
    const size_t input = c->node->inputs[0], target = target_of(l, input);
    mq_product product = {conv, MQ_NONE, gradient, MQ_NONE};
    mq_train_step step;
    MQ_TRY(mq_lower_mapped(l, conv, MQ_STEP_MAPPED_BACK, &step));
    if (l->wants[target]) {
        MQ_TRY(begin_share(l, input, &step));
        MQ_TRY(place_sum(l, target, &step.buffers[MQ_SLOT_BIAS], &step.buffers[MQ_SLOT_DST]));
    }
    MQ_TRY(mq_lower_source(l, input, MQ_SLOT_SRC2, &step));
    step.buffers[MQ_SLOT_SRC] = gradient;
    step.buffers[MQ_SLOT_SCALES] = result;
    if (c->thawed)
        MQ_TRY(mq_lower_tensor(l, MQ_EACH_PICTURE, mq_lower_depthwise_bytes(l, c), c->node->name,
                               &product.partial));
    step.buffers[MQ_SLOT_WEIGHTS] = product.partial;
    MQ_TRY(end_share(l, &step));
    if (c->thawed) MQ_TRY(add_product(l, product));
cleanup:
    return status;
}

/* Depthwise, then pointwise, backwards; what stood between them is computed again. */
MQ_MUST_USE static mq_status back_sepconv(mq_train_lowering *l, size_t index) {
    mq_status status = MQ_OK;
    const mq_node *node = mq_graph_node(l->graph, index);
    const size_t point = last_conv(l, index), depth = point - 1, gradient = l->grads[index].buffer;
    const mq_conv *c = &l->t->convs[point];
    mq_product product = {point, MQ_NONE, gradient, MQ_NONE};
    const mq_each each = by_picture(l, c) ? MQ_EACH_WORKER : MQ_EACH_PICTURE;
    size_t between_grad;
    MQ_TRY(back_data(l, point, gradient, &between_grad));
    if (c->thawed) MQ_TRY(mq_lower_tensor(l, each, read_bytes(l, c), node->name, &product.source));
    MQ_TRY(back_depthwise(l, depth, between_grad, product.source));
    if (c->thawed) MQ_TRY(weights_product(l, product));
cleanup:
    return status;
}

MQ_MUST_USE static mq_status back_conv(mq_train_lowering *l, size_t index) {
    mq_status status = MQ_OK;
    const mq_node *node = mq_graph_node(l->graph, index);
    const size_t conv = last_conv(l, index), gradient = l->grads[index].buffer;
    size_t input, input_grad;
    if (l->product_count) MQ_TRY(mq_lower_next_phase(l)); /* gives the memory of their tensors back early */
    if (node->op == MQ_OP_SEPCONV) return back_sepconv(l, index);
    if (l->t->convs[conv].thawed) {
        const bool now = by_picture(l, &l->t->convs[conv]);
        MQ_TRY(mq_lower_read(l, node->inputs[0], now ? MQ_EACH_WORKER : MQ_EACH_PICTURE, &input));
        MQ_TRY(weights_product(l, (mq_product){conv, input, gradient, MQ_NONE}));
    }
    if (!l->wants[target_of(l, node->inputs[0])]) return MQ_OK;
    MQ_TRY(back_data(l, conv, gradient, &input_grad));
    MQ_TRY(push(l, node->inputs[0], input_grad));
cleanup:
    return status;
}

/* A pool's gradient, spread over the pixels it came from. */
MQ_MUST_USE static mq_status back_pool(mq_train_lowering *l, size_t index) {
    mq_status status = MQ_OK;
    const mq_node *node = mq_graph_node(l->graph, index), *in = mq_graph_node(l->graph, node->inputs[0]);
    mq_train_step step = mq_lower_step(l, MQ_STEP_POOL_BACK, in);
    step.window = mq_node_window(l->graph, node);
    step.buffers[MQ_SLOT_SRC] = l->grads[index].buffer;
    step.buffers[MQ_SLOT_BIAS] = l->places[index];
    MQ_TRY(mq_lower_tensor(l, MQ_EACH_WORKER, mq_lower_bytes(l, in), in->name, &step.buffers[MQ_SLOT_DST]));
    MQ_TRY(mq_lower_emit(l, step));
    MQ_TRY(push(l, node->inputs[0], step.buffers[MQ_SLOT_DST]));
cleanup:
    return status;
}

MQ_MUST_USE static mq_status back_mean(mq_train_lowering *l, size_t index) {
    mq_status status = MQ_OK;
    const size_t input = mq_graph_node(l->graph, index)->inputs[0];
    const mq_node *in = mq_graph_node(l->graph, input);
    mq_train_step step = mq_lower_step(l, MQ_STEP_MEAN_BACK, in);
    step.buffers[MQ_SLOT_SRC] = MQ_TENSOR_FEATURES_GRAD;
    MQ_TRY(mq_lower_tensor(l, MQ_EACH_WORKER, mq_lower_bytes(l, in), in->name, &step.buffers[MQ_SLOT_DST]));
    MQ_TRY(mq_lower_emit(l, step));
    MQ_TRY(push(l, input, step.buffers[MQ_SLOT_DST]));
cleanup:
    return status;
}

MQ_MUST_USE static mq_status back_node(mq_train_lowering *l, size_t index) {
    mq_status status = MQ_OK;
    const mq_node *node = mq_graph_node(l->graph, index);
    switch (node->op) {
    case MQ_OP_CONV:
    case MQ_OP_SEPCONV:
        return back_conv(l, index);
    case MQ_OP_BATCH_NORM:
        return back_norm(l, index);
    case MQ_OP_MAX_POOL:
        return back_pool(l, index);
    case MQ_OP_ADD:
        MQ_TRY(push(l, node->inputs[0], l->grads[index].buffer));
        return push(l, node->inputs[1], l->grads[index].buffer);
    default: /* a ReLU that was kept as a tensor */
        return push(l, index, l->grads[index].buffer);
    }
cleanup:
    return status;
}

/* One product over all pictures, in as many parts as there are workers; in more where that costs nothing, as
 * then none of them waits long for the others. */
MQ_MUST_USE static mq_status outer_loop(mq_train_lowering *l, const mq_product *product) {
    mq_status status = MQ_OK;
    mq_trainable *t = l->t;
    const mq_conv *c = &t->convs[product->conv];
    const mq_outer_blocks *blocks = l->t->blocks;
    const size_t most = blocks ? mq_outer_blocks_parts(blocks, &c->window) : mq_outer_parts(&c->window);
    const size_t wanted = blocks ? mq_outer_blocks_worth(blocks, t->worker_count) : t->worker_count;
    const size_t parts = most < wanted ? most : wanted;
    mq_train_step step;
    MQ_TRY(mq_lower_loop(l, MQ_EACH_PART));
    t->loops[t->loop_count - 1].parts = parts;
    MQ_TRY(outer_step(l, product, parts, &step));
    step.grads_at = c->param_at;
    step.buffers[MQ_SLOT_DST] = MQ_TENSOR_GRADS;
    MQ_TRY(mq_lower_emit(l, step));
cleanup:
    return status;
}

/* The sum of the pictures' gradients, in its place among all. */
MQ_MUST_USE static mq_status reduce_step(mq_train_lowering *l, const mq_product *product) {
    const mq_conv *c = &l->t->convs[product->conv];
    mq_train_step sum = mq_lower_step(l, MQ_STEP_REDUCE, c->node);
    sum.pixels = c->depthwise ? c->window.kernel * c->window.kernel : 1;
    sum.channels = mq_param_numbers(&c->param) / sum.pixels;
    sum.buffers[MQ_SLOT_SRC] = product->partial;
    sum.buffers[MQ_SLOT_DST] = MQ_TENSOR_GRADS;
    sum.grads_at = c->param_at;
    return mq_lower_emit(l, sum);
}

mq_status mq_lower_products(mq_train_lowering *l) {
    mq_status status = MQ_OK;
    for (size_t i = 0; i < l->partial_count; i++) {
        MQ_TRY(mq_lower_loop(l, MQ_ONCE));
        MQ_TRY(reduce_step(l, &l->partials[i]));
    }
    l->partial_count = 0;
    for (size_t i = 0; i < l->product_count; i++) {
        if (l->products[i].source != MQ_NONE) {
            MQ_TRY(outer_loop(l, &l->products[i]));
            continue;
        }
        MQ_TRY(
            mq_grow(l->err, &l->partials, &l->partial_capacity, l->partial_count + 1, sizeof *l->partials));
        l->partials[l->partial_count++] = l->products[i];
    }
    l->product_count = 0;
    l->open = false;
cleanup:
    return status;
}

mq_status mq_lower_backward(mq_train_lowering *l) {
    mq_status status = MQ_OK;
    mq_trainable *t = l->t;
    for (size_t i = 0; i < t->norm_count; i++) l->summed[i] = MQ_NONE;
    MQ_TRY(mq_lower_next_phase(l));
    t->backward = l->phase;
    count_readers(l);
    MQ_TRY(back_mean(l, l->nodes - 1));
    for (size_t i = l->nodes - 1; i-- > t->boundary + 1;) {
        if (!l->wants[i] || l->grads[i].buffer == MQ_NONE) continue;
        MQ_TRY(back_node(l, i));
        release(l, i);
    }
    do {
        MQ_TRY(mq_lower_next_phase(l));
    } while (l->product_count || l->partial_count);
cleanup:
    return status;
}
