/* lower_train.c: graph -> phases of a forward pass that keeps what the backward
 * pass needs. Called by trainable.c. Invariant: only results of convolutions
 * (but cheap ones), sums and pools are kept; all else is computed where it is
 * read. Kernels are for one picture and one thread; how channels lie is decided once
 * for all (trainable_impl.h). */
#include "net/lower_train.h"

#include "base/mem.h"
#include "base/par.h"

#include <string.h>

/* Products in a number of a convolution's result, up to which it is computed again rather than kept. Of
 * Xception: the first convolution, the first of block 2 and what goes around that block, 8.3 of 47 MB a
 * picture in bf16 for 1 % of a step's arithmetic. */
enum { CHEAP = 64 };

/* Of what is laid out. */

size_t mq_lower_conv_of(const mq_train_lowering *l, const mq_node *node) {
    size_t i = 0;
    while (l->t->convs[i].node != node) i++;
    return i;
}

size_t mq_lower_norm_of(const mq_train_lowering *l, const mq_node *node) {
    size_t i = 0;
    while (l->t->norms[i].node != node) i++;
    return i;
}

size_t mq_lower_bytes(const mq_train_lowering *l, const mq_node *node) {
    return node->shape.h * node->shape.w * mq_train_padded(l->t, node->shape.c) * mq_dtype_size(l->t->dtype);
}

mq_status mq_lower_tensor(mq_train_lowering *l, mq_each each, size_t bytes, const char *name,
                          size_t *buffer) {
    mq_status status = MQ_OK;
    mq_trainable *t = l->t;
    const size_t now = each == MQ_EACH_WORKER ? t->step_count : l->phase;
    MQ_TRY(mq_grow(l->err, &t->tensors, &t->tensor_capacity, t->tensor_count + 1, sizeof *t->tensors));
    MQ_TRY(mq_grow(l->err, &l->sharers, &l->sharers_capacity, t->tensor_count + 1, sizeof *l->sharers));
    *buffer = t->tensor_count++;
    t->tensors[*buffer] = (mq_tensor_place){each, bytes, {.first = now, .last = now}, name};
    l->sharers[*buffer] = 0;
cleanup:
    return status;
}

mq_train_step mq_lower_step(const mq_train_lowering *l, mq_step_kind kind, const mq_node *node) {
    mq_train_step s = {.kind = kind,
                       .laid = MQ_NONE,
                       .grads_at = MQ_NONE,
                       .norm = MQ_NONE,
                       .norm_b = MQ_NONE,
                       .pixels = node->shape.h * node->shape.w,
                       .channels = mq_train_padded(l->t, node->shape.c),
                       .name = node->name};
    for (size_t i = 0; i < MQ_SLOTS; i++) s.buffers[i] = MQ_NONE;
    return s;
}

mq_status mq_lower_loop(mq_train_lowering *l, mq_each each) {
    mq_trainable *t = l->t;
    const mq_status status = mq_grow(l->err, &t->loops, &t->loop_capacity, t->loop_count + 1,
                                     sizeof *t->loops);
    if (status != MQ_OK) return status;
    t->loops[t->loop_count++] = (mq_train_loop){.each = each, .first = t->step_count};
    t->phases[l->phase].loops++;
    l->open = true;
    return MQ_OK;
}

mq_status mq_lower_emit(mq_train_lowering *l, mq_train_step step) {
    mq_status status = MQ_OK;
    mq_trainable *t = l->t;
    if (!l->open) MQ_TRY(mq_lower_loop(l, MQ_EACH_PICTURE));
    const mq_layout *scratch = step.kernel ? mq_kernel_layout(step.kernel, MQ_SLOT_SCRATCH) : NULL;
    if (scratch)
        MQ_TRY(mq_lower_tensor(l, MQ_EACH_WORKER, mq_layout_bytes(scratch), step.name,
                               &step.buffers[MQ_SLOT_SCRATCH]));
    MQ_TRY(mq_grow(l->err, &t->steps, &t->step_capacity, t->step_count + 1, sizeof *t->steps));
    for (size_t i = 0; i < MQ_SLOTS; i++) {
        if (step.buffers[i] == MQ_NONE) continue;
        mq_tensor_place *place = &t->tensors[step.buffers[i]];
        place->lifetime.last = place->each == MQ_EACH_WORKER ? t->step_count : l->phase;
    }
    t->steps[t->step_count++] = step;
    t->loops[t->loop_count - 1].count++;
cleanup:
    return status;
}

MQ_MUST_USE static mq_status begin_phase(mq_train_lowering *l) {
    mq_trainable *t = l->t;
    const mq_status status = mq_grow(l->err, &t->phases, &t->phase_capacity, t->phase_count + 1,
                                     sizeof *t->phases);
    if (status != MQ_OK) return status;
    l->phase = t->phase_count++;
    t->phases[l->phase] = (mq_train_phase){.first_loop = t->loop_count, .first_finish = t->finish_count};
    l->open = false;
    return MQ_OK;
}

/* What pictures do, which is written last, comes first: parts of products are smaller, and fill the time of
 * workers that would wait for the last picture. */
static void pictures_first(const mq_trainable *t, const mq_train_phase *phase) {
    if (!phase->loops) return;
    mq_train_loop *loops = t->loops + phase->first_loop, last = loops[phase->loops - 1];
    if (last.each != MQ_EACH_PICTURE) return;
    memmove(loops + 1, loops, (phase->loops - 1) * sizeof *loops);
    loops[0] = last;
}

mq_status mq_lower_next_phase(mq_train_lowering *l) {
    mq_status status = MQ_OK;
    mq_trainable *t = l->t;
    const size_t ended = l->phase;
    pictures_first(t, &t->phases[ended]);
    MQ_TRY(begin_phase(l));
    for (size_t i = 0; i < t->norm_count; i++) {
        if (l->summed[i] != ended) continue;
        MQ_TRY(mq_grow(l->err, &t->finishes, &t->finish_capacity, t->finish_count + 1, sizeof *t->finishes));
        t->finishes[t->finish_count++] = (mq_finish){i, t->backward != MQ_NONE};
        t->phases[l->phase].finishes++;
    }
    MQ_TRY(mq_lower_products(l));
cleanup:
    return status;
}

/* Gives weights that are laid out in so many bytes their place. */
MQ_MUST_USE static mq_status add_laid(mq_train_lowering *l, mq_laid laid, size_t bytes, size_t *index) {
    mq_trainable *t = l->t;
    const mq_status status = mq_grow(l->err, &t->laid, &t->laid_capacity, t->laid_count + 1, sizeof *t->laid);
    if (status != MQ_OK) return status;
    laid.at = t->weights_bytes;
    t->weights_bytes += mq_round_up(bytes, MQ_ALIGNMENT);
    *index = t->laid_count++;
    t->laid[*index] = laid;
    return MQ_OK;
}

/* Weights for a kernel, laid out once however many steps take them. */
MQ_MUST_USE static mq_status lay_out(mq_train_lowering *l, size_t conv, mq_pass pass) {
    mq_conv *c = &l->t->convs[conv];
    const mq_kernel *kernel = c->kernels[pass];
    const mq_laid laid = {.conv = conv, .norm = pass == MQ_FORWARD ? MQ_NONE : c->norm, .kernel = kernel};
    return add_laid(l, laid, mq_layout_bytes(mq_kernel_layout(kernel, MQ_SLOT_WEIGHTS)), &c->laid[pass]);
}

/* The kernel of a pass for one picture. */
MQ_MUST_USE static mq_status make_kernel(mq_train_lowering *l, size_t conv, mq_pass pass) {
    mq_status status = MQ_OK;
    mq_conv *c = &l->t->convs[conv];
    mq_layout *src = NULL, *dst = NULL;
    mq_conv_plan plan = {.pass = pass,
                         .window = c->window,
                         .filters = c->filters,
                         .depthwise = c->depthwise,
                         .dtype = l->t->dtype};
    const mq_window *w = &plan.window;
    MQ_TRY(mq_layout_blocks(l->err, plan.dtype, (const size_t[4]){w->n, w->h, w->w, w->c},
                            mq_train_block(l->t, w->c), &src));
    MQ_TRY(mq_layout_blocks(l->err, plan.dtype, (const size_t[4]){w->n, w->out_h, w->out_w, plan.filters},
                            mq_train_block(l->t, plan.filters), &dst));
    plan.src = src;
    plan.dst = dst;
    MQ_TRY(mq_kernel_conv(l->err, l->t->dnn, &plan, &c->kernels[pass]));
    MQ_TRY(lay_out(l, conv, pass));
cleanup:
    mq_layout_free(&src);
    mq_layout_free(&dst);
    return status;
}

mq_status mq_lower_conv(mq_train_lowering *l, size_t conv, mq_pass pass, mq_train_step step) {
    mq_status status = MQ_OK;
    const mq_conv *c = &l->t->convs[conv];
    if (!c->kernels[pass]) MQ_TRY(make_kernel(l, conv, pass));
    step.kernel = c->kernels[pass];
    step.laid = c->laid[pass];
    MQ_TRY(mq_lower_emit(l, step));
cleanup:
    return status;
}

/* Ends the phase that sums what a map's batch norm needs of the whole batch. */
MQ_MUST_USE static mq_status complete(mq_train_lowering *l, const mq_value *v) {
    if (v->norm == MQ_NONE || !l->t->norms[v->norm].batch || l->summed[v->norm] != l->phase ||
        l->t->backward != MQ_NONE)
        return MQ_OK;
    return mq_lower_next_phase(l);
}

mq_status mq_lower_source(mq_train_lowering *l, size_t node, mq_slot slot, mq_train_step *step) {
    mq_status status = MQ_OK;
    const mq_value *v = &l->values[node];
    if (v->source == MQ_NONE) return mq_lower_stored(l, node, &step->buffers[slot]);
    MQ_TRY(complete(l, v));
    step->norm = step->norm_b = v->norm;
    step->relu = v->relu;
    MQ_TRY(mq_lower_stored(l, v->source, &step->buffers[slot]));
cleanup:
    return status;
}

mq_status mq_lower_read(mq_train_lowering *l, size_t node, mq_each each, size_t *buffer) {
    mq_status status = MQ_OK;
    mq_value *v = &l->values[node];
    const mq_node *n = mq_graph_node(l->graph, node);
    if (v->stored != MQ_NONE) return mq_lower_stored(l, node, buffer);
    MQ_TRY(complete(l, v));
    if (v->phase == l->phase && l->t->tensors[v->scratch].each == each) {
        *buffer = v->scratch;
        return MQ_OK;
    }
    mq_train_step step = mq_lower_step(l, MQ_STEP_APPLY, n);
    MQ_TRY(mq_lower_source(l, node, MQ_SLOT_SRC, &step));
    step.norm_b = MQ_NONE;
    MQ_TRY(mq_lower_tensor(l, each, mq_lower_bytes(l, n), n->name, buffer));
    step.buffers[MQ_SLOT_DST] = *buffer;
    MQ_TRY(mq_lower_emit(l, step));
    v->scratch = *buffer;
    v->phase = l->phase;
cleanup:
    return status;
}

size_t mq_lower_depthwise_bytes(const mq_train_lowering *l, const mq_conv *c) {
    const mq_window *w = &c->window;
    return w->kernel * w->kernel * mq_train_padded(l->t, w->c) * sizeof(float);
}

/* A depthwise convolution's weights as Keras keeps them but for padding, for kernels of our own. */
MQ_MUST_USE static mq_status lay_out_plain(mq_train_lowering *l, size_t conv) {
    mq_conv *c = &l->t->convs[conv];
    const mq_laid laid = {.conv = conv, .norm = MQ_NONE};
    if (c->laid[MQ_FORWARD] != MQ_NONE) return MQ_OK;
    return add_laid(l, laid, mq_lower_depthwise_bytes(l, c), &c->laid[MQ_FORWARD]);
}

mq_status mq_lower_mapped(mq_train_lowering *l, size_t conv, mq_step_kind kind, mq_train_step *step) {
    mq_status status = MQ_OK;
    const mq_conv *c = &l->t->convs[conv];
    *step = mq_lower_step(l, kind, c->node);
    MQ_REQUIRE(mq_depthwise_slides(&c->window), l->err, MQ_UNAVAILABLE,
               "layer %s: only depthwise windows of 3 x 3 by steps of 1 can be trained", c->node->name);
    MQ_TRY(lay_out_plain(l, conv));
    step->laid = c->laid[MQ_FORWARD];
    step->window = c->window;
    step->pixels = c->window.h * c->window.w;
    step->channels = mq_train_padded(l->t, c->window.c);
    MQ_TRY(mq_lower_tensor(l, MQ_EACH_WORKER, mq_mapped_scratch(), c->node->name,
                           &step->buffers[MQ_SLOT_SCRATCH]));
cleanup:
    return status;
}

/* A depthwise convolution, forward, of what its node reads; *to is a new buffer of the worker. */
MQ_MUST_USE static mq_status forward_depthwise(mq_train_lowering *l, size_t conv, size_t *to) {
    mq_status status = MQ_OK;
    const mq_node *node = l->t->convs[conv].node;
    const size_t size = mq_dtype_size(l->t->dtype);
    mq_train_step step;
    MQ_TRY(mq_lower_mapped(l, conv, MQ_STEP_MAPPED, &step));
    MQ_TRY(mq_lower_source(l, node->inputs[0], MQ_SLOT_SRC, &step));
    MQ_TRY(mq_lower_tensor(l, MQ_EACH_WORKER, step.pixels * step.channels * size, node->name, to));
    step.buffers[MQ_SLOT_DST] = *to;
    MQ_TRY(mq_lower_emit(l, step));
cleanup:
    return status;
}

/* A tensor that is kept until its last reader, which may be in the backward pass. */
MQ_MUST_USE static mq_status store(mq_train_lowering *l, size_t index, size_t *buffer) {
    const mq_node *node = mq_graph_node(l->graph, index);
    const mq_status status = mq_lower_tensor(l, MQ_EACH_PICTURE, mq_lower_bytes(l, node), node->name, buffer);
    if (status == MQ_OK) l->values[index].stored = *buffer;
    return status;
}

/* Whether a convolution's result takes much memory for little arithmetic: then it is not kept. The few
 * pictures of a slice take little. */
static bool is_cheap(const mq_train_lowering *l, const mq_node *node) {
    if (!l->t->batch_statistics) return false;
    const mq_conv *c = &l->t->convs[mq_lower_conv_of(l, node) + (node->op == MQ_OP_SEPCONV)];
    return c->window.kernel * c->window.kernel * c->window.c <= CHEAP;
}

MQ_MUST_USE static mq_status forward_conv(mq_train_lowering *l, size_t index) {
    mq_status status = MQ_OK;
    const mq_node *node = mq_graph_node(l->graph, index);
    const size_t conv = mq_lower_conv_of(l, node);
    size_t src, dst;
    mq_train_step step = mq_lower_step(l, MQ_STEP_KERNEL, node);
    if (node->op == MQ_OP_SEPCONV)
        MQ_TRY(forward_depthwise(l, conv, &src));
    else
        MQ_TRY(mq_lower_read(l, node->inputs[0], MQ_EACH_WORKER, &src));
    MQ_TRY(store(l, index, &dst));
    l->values[index].again = l->t->backward == MQ_NONE && is_cheap(l, node);
    step.buffers[MQ_SLOT_SRC] = src;
    step.buffers[MQ_SLOT_DST] = dst;
    MQ_TRY(mq_lower_conv(l, conv + (node->op == MQ_OP_SEPCONV), MQ_FORWARD, step));
cleanup:
    return status;
}

mq_status mq_lower_stored(mq_train_lowering *l, size_t node, size_t *buffer) {
    mq_status status = MQ_OK;
    mq_value *v = &l->values[node];
    if (v->again && l->t->backward != MQ_NONE) {
        v->again = false;
        MQ_TRY(forward_conv(l, node));
    }
    *buffer = v->stored;
cleanup:
    return status;
}

/* Whatever it reads must lie in memory: a map of a map is not kept. */
MQ_MUST_USE static mq_status need_stored(mq_train_lowering *l, size_t node) {
    mq_value *v = &l->values[node];
    if (v->stored != MQ_NONE) return MQ_OK;
    return mq_lower_read(l, node, MQ_EACH_PICTURE, &v->stored);
}

MQ_MUST_USE static mq_status forward_norm(mq_train_lowering *l, size_t index) {
    mq_status status = MQ_OK;
    const mq_node *node = mq_graph_node(l->graph, index);
    const size_t norm = mq_lower_norm_of(l, node);
    MQ_TRY(need_stored(l, node->inputs[0]));
    mq_value *v = &l->values[index];
    v->source = node->inputs[0];
    v->norm = norm;
    if (!l->t->norms[norm].batch) return MQ_OK;
    mq_train_step step = mq_lower_step(l, MQ_STEP_STATS, node);
    step.buffers[MQ_SLOT_SRC] = l->values[v->source].stored;
    step.norm = norm;
    MQ_TRY(mq_lower_emit(l, step));
    l->summed[norm] = l->phase;
cleanup:
    return status;
}

MQ_MUST_USE static mq_status forward_relu(mq_train_lowering *l, size_t index) {
    const size_t input = mq_graph_node(l->graph, index)->inputs[0];
    const mq_value *in = &l->values[input];
    mq_value *v = &l->values[index];
    v->relu = true;
    v->source = input;
    if (in->stored != MQ_NONE) return MQ_OK;
    if (in->relu) return need_stored(l, input);
    v->source = in->source;
    v->norm = in->norm;
    return MQ_OK;
}

MQ_MUST_USE static mq_status forward_pool(mq_train_lowering *l, size_t index) {
    mq_status status = MQ_OK;
    const mq_node *node = mq_graph_node(l->graph, index);
    const mq_shape out = node->shape;
    mq_train_step step = mq_lower_step(l, MQ_STEP_POOL, node);
    MQ_REQUIRE(node->kernel * node->kernel <= 256, l->err, MQ_UNAVAILABLE, "layer %s: a pool of %zu x %zu",
               node->name, node->kernel, node->kernel);
    step.window = mq_node_window(l->graph, node);
    MQ_TRY(mq_lower_read(l, node->inputs[0], MQ_EACH_WORKER, &step.buffers[MQ_SLOT_SRC]));
    MQ_TRY(store(l, index, &step.buffers[MQ_SLOT_DST]));
    MQ_TRY(mq_lower_tensor(l, l->wants[index] ? MQ_EACH_PICTURE : MQ_EACH_WORKER,
                           out.h * out.w * step.channels, node->name, &l->places[index]));
    step.buffers[MQ_SLOT_BIAS] = l->places[index];
    MQ_TRY(mq_lower_emit(l, step));
cleanup:
    return status;
}

/* An operand of an addition: a map without ReLU is done by the addition itself. */
MQ_MUST_USE static mq_status operand(mq_train_lowering *l, size_t node, size_t *buffer, size_t *norm) {
    const mq_value *v = &l->values[node];
    if (v->stored != MQ_NONE || v->relu) return mq_lower_read(l, node, MQ_EACH_WORKER, buffer);
    *buffer = l->values[v->source].stored;
    *norm = v->norm;
    return MQ_OK;
}

MQ_MUST_USE static mq_status forward_add(mq_train_lowering *l, size_t index) {
    mq_status status = MQ_OK;
    const mq_node *node = mq_graph_node(l->graph, index);
    mq_train_step step = mq_lower_step(l, MQ_STEP_APPLY, node);
    for (size_t k = 0; k < 2; k++) { /* the sums of both must be complete before either is read */
        const mq_value *v = &l->values[node->inputs[k]];
        if (v->stored == MQ_NONE) MQ_TRY(complete(l, v));
    }
    MQ_TRY(operand(l, node->inputs[0], &step.buffers[MQ_SLOT_SRC], &step.norm));
    MQ_TRY(operand(l, node->inputs[1], &step.buffers[MQ_SLOT_SRC2], &step.norm_b));
    MQ_TRY(store(l, index, &step.buffers[MQ_SLOT_DST]));
    MQ_TRY(mq_lower_emit(l, step));
cleanup:
    return status;
}

MQ_MUST_USE static mq_status forward_mean(mq_train_lowering *l, size_t index) {
    mq_status status = MQ_OK;
    const mq_node *node = mq_graph_node(l->graph, index), *in = mq_graph_node(l->graph, node->inputs[0]);
    mq_train_step step = mq_lower_step(l, MQ_STEP_MEAN, in);
    MQ_REQUIRE(index + 1 == l->nodes, l->err, MQ_UNAVAILABLE,
               "layer %s: only the last layer may pool all pixels", node->name);
    MQ_TRY(mq_lower_read(l, node->inputs[0], MQ_EACH_WORKER, &step.buffers[MQ_SLOT_SRC]));
    step.buffers[MQ_SLOT_DST] = MQ_TENSOR_FEATURES;
    MQ_TRY(mq_lower_emit(l, step));
cleanup:
    return status;
}

MQ_MUST_USE static mq_status forward_node(mq_train_lowering *l, size_t index) {
    switch (mq_graph_node(l->graph, index)->op) {
    case MQ_OP_CONV:
    case MQ_OP_SEPCONV:
        return forward_conv(l, index);
    case MQ_OP_BATCH_NORM:
        return forward_norm(l, index);
    case MQ_OP_RELU:
        return forward_relu(l, index);
    case MQ_OP_MAX_POOL:
        return forward_pool(l, index);
    case MQ_OP_ADD:
        return forward_add(l, index);
    case MQ_OP_GLOBAL_AVG_POOL:
        return forward_mean(l, index);
    default:
        return mq_fail(l->err, MQ_UNAVAILABLE, "layer %s: %s cannot be trained",
                       mq_graph_node(l->graph, index)->name, mq_node_class(mq_graph_node(l->graph, index)));
    }
}

/* The caller's numbers in the network's format. */
MQ_MUST_USE static mq_status forward_input(mq_train_lowering *l) {
    mq_status status = MQ_OK;
    mq_trainable *t = l->t;
    const mq_node *node = mq_graph_node(l->graph, t->boundary);
    const size_t nhwc[] = {1, node->shape.h, node->shape.w, node->shape.c};
    mq_train_step step = mq_lower_step(l, MQ_STEP_KERNEL, node);
    mq_layout *from = NULL, *to = NULL;
    mq_kernel *kernel = NULL;
    MQ_TRY(mq_layout_nhwc(l->err, MQ_F32, nhwc, &from));
    MQ_TRY(mq_layout_blocks(l->err, t->dtype, nhwc, mq_train_block(t, node->shape.c), &to));
    MQ_TRY(mq_kernel_reorder(l->err, t->dnn, from, to, &kernel));
    MQ_TRY(mq_grow(l->err, &t->kernels, &t->kernel_capacity, t->kernel_count + 1, sizeof *t->kernels));
    step.kernel = t->kernels[t->kernel_count++] = kernel;
    kernel = NULL;
    step.buffers[MQ_SLOT_SRC] = MQ_TENSOR_INPUT;
    MQ_TRY(store(l, t->boundary, &step.buffers[MQ_SLOT_DST]));
    MQ_TRY(mq_lower_emit(l, step));
cleanup:
    mq_kernel_free(&kernel);
    mq_layout_free(&from);
    mq_layout_free(&to);
    return status;
}

/* Whether all channels fill blocks of MQ_BLOCK at least; a picture's need not, as only convolutions read it,
 * and the features' fill theirs. */
static bool fills_blocks(const mq_train_lowering *l, const mq_outer_blocks *blocks) {
    if (l->t->features % mq_outer_blocks_size(blocks)) return false;
    for (size_t i = 0; i < l->t->conv_count; i++)
        if (!l->t->convs[i].depthwise && !mq_outer_blocks_suits(blocks, &l->t->convs[i].window)) return false;
    for (size_t i = l->t->boundary + 1; i < l->nodes; i++) {
        const mq_node *node = mq_graph_node(l->graph, i);
        if (node->shape.c % MQ_BLOCK) return false;
        for (size_t k = 0; node->op != MQ_OP_CONV && k < node->input_count; k++)
            if (mq_graph_node(l->graph, node->inputs[k])->shape.c % MQ_BLOCK) return false;
    }
    return true;
}

/* A gradient is wanted where a thawed parameter lies at or below the node. */
static void find_wanted(mq_train_lowering *l) {
    const mq_trainable *t = l->t;
    for (size_t i = t->boundary + 1; i < l->nodes; i++) {
        const mq_node *node = mq_graph_node(l->graph, i);
        for (size_t k = 0; k < node->input_count; k++) l->wants[i] |= l->wants[node->inputs[k]];
        if (node->op == MQ_OP_BATCH_NORM) l->wants[i] |= t->norms[mq_lower_norm_of(l, node)].thawed;
        if (node->op == MQ_OP_CONV || node->op == MQ_OP_SEPCONV)
            l->wants[i] |= t->convs[mq_lower_conv_of(l, node)].thawed;
    }
}

MQ_MUST_USE static mq_status lower_all(mq_train_lowering *l) {
    mq_status status = MQ_OK;
    mq_trainable *t = l->t;
    size_t fixed;
    t->backward = MQ_NONE;
    t->blocks = mq_outer_blocks_of(t->dtype);
    if (t->blocks && !fills_blocks(l, t->blocks)) t->blocks = NULL;
    MQ_TRY(begin_phase(l));
    for (size_t i = 0; i < MQ_TENSORS_FIXED; i++) MQ_TRY(mq_lower_tensor(l, MQ_EACH_PICTURE, 0, "", &fixed));
    t->tensors[MQ_TENSOR_GRADS].each = MQ_ONCE;
    find_wanted(l);
    MQ_TRY(forward_input(l));
    for (size_t i = t->boundary + 1; i < l->nodes; i++) MQ_TRY(forward_node(l, i));
    MQ_TRY(mq_lower_backward(l));
cleanup:
    return status;
}

mq_status mq_lower_train(mq_err *err, mq_trainable *t) {
    mq_status status = MQ_OK;
    mq_train_lowering l = {.err = err, .graph = t->graph, .t = t, .nodes = mq_graph_size(t->graph)};
    const int threads = mq_par_threads();
    MQ_TRY(mq_calloc(err, l.nodes, sizeof *l.values, "training", &l.values));
    MQ_TRY(mq_calloc(err, l.nodes, sizeof *l.grads, "training", &l.grads));
    MQ_TRY(mq_calloc(err, l.nodes, sizeof *l.wants, "training", &l.wants));
    MQ_TRY(mq_calloc(err, l.nodes, sizeof *l.places, "training", &l.places));
    MQ_TRY(mq_calloc(err, t->norm_count, sizeof *l.summed, "training", &l.summed));
    for (size_t i = 0; i < l.nodes; i++) {
        l.values[i] = (mq_value){MQ_NONE, MQ_NONE, MQ_NONE, false, false, MQ_NONE, MQ_NONE};
        l.grads[i].buffer = MQ_NONE;
    }
    for (size_t i = 0; i < t->norm_count; i++) l.summed[i] = MQ_NONE;
    mq_par_set_threads(1); /* kernels for one thread each */
    status = lower_all(&l);
    mq_par_set_threads(threads);
cleanup:
    free(l.values);
    free(l.grads);
    free(l.wants);
    free(l.places);
    free(l.summed);
    free(l.sharers);
    free(l.products);
    free(l.partials);
    return status;
}
