/* lower_infer.c: graph -> program for inference: batch norm folded, ReLU and
 * residual sum done by the convolution before them, separable convolutions in
 * two kernels, layouts as oneDNN likes them. Called by program.c. Invariant: a
 * step stands where the last node it covers stands, so its inputs are ready. */
#include "net/program_impl.h"
#include "net/tensors.h"

#include "base/mem.h"
#include "base/par.h"

#include <string.h>

enum { NOT_FOUND = -1 };

/* A convolution and what it absorbs; indexed by the convolution's node. */
typedef struct {
    size_t tail; /* the last node covered; the step stands here */
    const mq_node *norm;
    bool relu, sum;
    size_t other;    /* what is summed up, and overwritten by the result */
    bool relu_first; /* the source's, by a depthwise convolution of our own */
} chain;

/* The tensor of a node. */
typedef struct {
    size_t buffer;
    const mq_layout *layout; /* borrowed from the kernel that wrote it, or from the lowering */
} value;

typedef struct {
    mq_err *err;
    const mq_program_plan *plan;
    mq_program *p;
    const mq_graph *graph;
    size_t nodes, input, output; /* the node that comes in, and the one that is wanted */
    bool *needed;
    chain *chains;
    size_t *head; /* of the chain a node belongs to; itself when to none */
    value *values;
    mq_dtype dtype;      /* of tensors that are not quantised */
    bool plain;          /* every tensor lies channels last: int8 */
    mq_layout **layouts; /* owned, those that no kernel has */
    size_t layout_count, layout_capacity;
    float *scales; /* [the most filters] of the layer in work */
} lowering;

static bool is_conv(const mq_node *node) {
    return node->op == MQ_OP_CONV || node->op == MQ_OP_SEPCONV;
}

static bool reads(const mq_node *node, size_t input) {
    for (size_t i = 0; i < node->input_count; i++)
        if (node->inputs[i] == input) return true;
    return false;
}

/* The only node that reads this one, or NOT_FOUND. The output is read by the caller too. */
static ptrdiff_t sole_reader(const lowering *l, size_t node) {
    ptrdiff_t reader = NOT_FOUND;
    if (node == l->output) return NOT_FOUND;
    for (size_t i = node + 1; i < l->nodes; i++) {
        if (!l->needed[i] || !reads(mq_graph_node(l->graph, i), node)) continue;
        if (reader != NOT_FOUND) return NOT_FOUND;
        reader = (ptrdiff_t)i;
    }
    return reader;
}

/* The convolution that does a ReLU as it reads its source, or NOT_FOUND. */
static ptrdiff_t done_by(const lowering *l, size_t relu) {
    const ptrdiff_t reader = sole_reader(l, relu);
    const bool is_relu = mq_graph_node(l->graph, relu)->op == MQ_OP_RELU;
    return is_relu && reader != NOT_FOUND && l->chains[reader].relu_first ? reader : NOT_FOUND;
}

/* The last position at which a node's tensor is read. */
static size_t last_read(const lowering *l, size_t node) {
    size_t last = node == l->output ? l->nodes : 0;
    for (size_t i = node + 1; i < l->nodes; i++) {
        if (!l->needed[i] || !reads(mq_graph_node(l->graph, i), node)) continue;
        const ptrdiff_t by = done_by(l, i);
        const size_t head = l->head[by == NOT_FOUND ? i : (size_t)by];
        const size_t at = is_conv(mq_graph_node(l->graph, head)) ? l->chains[head].tail : i;
        last = at > last ? at : last;
    }
    return last;
}

/* Nothing below the input. */
static void find_needed(lowering *l) {
    l->needed[l->output] = l->needed[l->input] = true;
    for (size_t i = l->output + 1; i-- > l->input + 1;) {
        const mq_node *node = mq_graph_node(l->graph, i);
        for (size_t k = 0; l->needed[i] && k < node->input_count; k++) l->needed[node->inputs[k]] = true;
    }
}

/* Lets the chain of head cover the only reader of its tail, if that is of kind op; returns it or NULL. */
static const mq_node *absorb(lowering *l, size_t head, mq_op_id op) {
    const ptrdiff_t reader = sole_reader(l, l->chains[head].tail);
    if (reader == NOT_FOUND || mq_graph_node(l->graph, (size_t)reader)->op != op) return NULL;
    l->chains[head].tail = (size_t)reader;
    l->head[reader] = head;
    return mq_graph_node(l->graph, (size_t)reader);
}

/* Whether the addition can be done by the chain that ends in operand: result and other operand become one
 * tensor, so nobody may read that one later, and it must not be the caller's. */
static bool can_sum(const lowering *l, size_t addition, size_t operand, size_t other) {
    const size_t head = l->head[operand];
    return operand != other && is_conv(mq_graph_node(l->graph, head)) && l->chains[head].tail == operand &&
           !l->chains[head].relu && !l->chains[head].sum && sole_reader(l, operand) == (ptrdiff_t)addition &&
           last_read(l, other) <= addition && other != l->input;
}

/* Additions from the last to the first: by then it is known how far later chains reach back. */
static void find_sums(lowering *l) {
    for (size_t i = l->nodes; i-- > 0;) {
        const mq_node *node = mq_graph_node(l->graph, i);
        if (!l->needed[i] || node->op != MQ_OP_ADD) continue;
        for (size_t k = 0; k < 2; k++) {
            const size_t operand = node->inputs[k], other = node->inputs[1 - k];
            if (!can_sum(l, i, operand, other)) continue;
            chain *c = &l->chains[l->head[operand]];
            c->sum = true;
            c->other = other;
            c->tail = i;
            l->head[i] = l->head[operand];
            c->relu = absorb(l, l->head[operand], MQ_OP_RELU) != NULL;
            break;
        }
    }
}

/* Where the ReLU before a separable convolution is read by nobody else, it is done there. */
static void find_first_relus(lowering *l) {
    for (size_t i = 0; l->plain && i < l->nodes; i++) {
        const ptrdiff_t reader = sole_reader(l, i);
        if (l->needed[i] && i != l->input && l->head[i] == i &&
            mq_graph_node(l->graph, i)->op == MQ_OP_RELU && reader != NOT_FOUND &&
            mq_graph_node(l->graph, (size_t)reader)->op == MQ_OP_SEPCONV)
            l->chains[reader].relu_first = true;
    }
}

/* What every convolution covers. A ReLU is left to what follows it only where nothing before it takes it;
 * that makes its source live longer, so sums, which overwrite what nobody reads any more, come last. */
static void find_chains(lowering *l) {
    for (size_t i = 0; i < l->nodes; i++) {
        l->head[i] = l->needed[i] && l->head[i] ? l->head[i] : i;
        if (!l->needed[i] || i == l->input || !is_conv(mq_graph_node(l->graph, i))) continue;
        l->chains[i].tail = i;
        l->chains[i].norm = absorb(l, i, MQ_OP_BATCH_NORM);
        l->chains[i].relu = absorb(l, i, MQ_OP_RELU) != NULL;
    }
    find_first_relus(l);
    find_sums(l);
}

/* A buffer of the arena, alive from the step that comes next. */
MQ_MUST_USE static mq_status new_buffer(lowering *l, size_t bytes, size_t *buffer) {
    mq_program *p = l->p;
    mq_status status = mq_grow(l->err, &p->buffers, &p->buffer_capacity, p->buffer_count + 1,
                               sizeof *p->buffers);
    if (status != MQ_OK) return status;
    *buffer = p->buffer_count++;
    p->buffers[*buffer] = (mq_lifetime){bytes, p->step_count, p->step_count, 0};
    return MQ_OK;
}

/* Appends a step; its kernel is taken over even on failure. Scratch gets a buffer for this step alone. */
MQ_MUST_USE static mq_status add_step(lowering *l, mq_step step) {
    mq_status status = MQ_OK;
    mq_program *p = l->p;
    const mq_layout *scratch = step.kernel ? mq_kernel_layout(step.kernel, MQ_SLOT_SCRATCH) : NULL;
    MQ_TRY(mq_grow(l->err, &p->steps, &p->step_capacity, p->step_count + 1, sizeof *p->steps));
    if (scratch) MQ_TRY(new_buffer(l, mq_layout_bytes(scratch), &step.buffers[MQ_SLOT_SCRATCH]));
    for (size_t i = 0; i < MQ_SLOTS; i++)
        if (step.buffers[i] >= MQ_BUFFERS_FIXED) p->buffers[step.buffers[i]].last = p->step_count;
    p->steps[p->step_count++] = step;
    step.kernel = NULL;
cleanup:
    mq_kernel_free(&step.kernel);
    return status;
}

/* The tensor of v in the layout a kernel wants: itself, or a reordered copy made by a step of its own. */
MQ_MUST_USE static mq_status in_layout(lowering *l, const char *name, value v, const mq_layout *wanted,
                                       size_t *buffer) {
    mq_status status = MQ_OK;
    mq_step step = {.name = name};
    *buffer = v.buffer;
    if (mq_layout_equal(v.layout, wanted)) return MQ_OK;
    MQ_TRY(mq_kernel_reorder(l->err, l->p->dnn, v.layout, wanted, &step.kernel));
    MQ_TRY(new_buffer(l, mq_layout_bytes(wanted), buffer));
    step.buffers[MQ_SLOT_SRC] = v.buffer;
    step.buffers[MQ_SLOT_DST] = *buffer;
    status = add_step(l, step);
    step.kernel = NULL;
cleanup:
    mq_kernel_free(&step.kernel);
    return status;
}

/* A layout that no kernel has: channels last. Borrowed from the lowering. */
MQ_MUST_USE static mq_status plain_layout(lowering *l, mq_dtype dtype, mq_shape s, const mq_layout **layout) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_grow(l->err, &l->layouts, &l->layout_capacity, l->layout_count + 1, sizeof *l->layouts));
    MQ_TRY(mq_layout_nhwc(l->err, dtype, (const size_t[4]){1, s.h, s.w, s.c}, &l->layouts[l->layout_count]));
    *layout = l->layouts[l->layout_count++];
cleanup:
    return status;
}

/* What a step of our own does before a convolution's product: the first half of a separable one, or what
 * makes the source of another one u8, of the pixels that it reads. */
static mq_window depth_window(const lowering *l, const mq_node *node) {
    mq_window w = mq_node_window(l->graph, node);
    if (node->op == MQ_OP_SEPCONV || w.kernel == 1) return w;
    w.kernel = w.stride = 1;
    w.out_h = w.h;
    w.out_w = w.w;
    return w;
}

/* Where the product itself lies: over the result of that step, or its own source. */
static mq_window product_window(const lowering *l, const mq_node *node, bool quantised) {
    if (node->op == MQ_OP_SEPCONV) return mq_pointwise_window(l->graph, node);
    mq_window w = mq_node_window(l->graph, node);
    if (!quantised || w.kernel > 1) return w;
    w.h = w.out_h;
    w.w = w.out_w;
    w.stride = 1;
    return w;
}

/* That step by a kernel of our own; src becomes its result. */
MQ_MUST_USE static mq_status emit_depth(lowering *l, size_t head, bool quantised, value *src) {
    mq_status status = MQ_OK;
    const mq_node *node = mq_graph_node(l->graph, head);
    const mq_window window = depth_window(l, node);
    const mq_layout *in = NULL, *out = NULL;
    mq_step step = {.conv = node,
                    .name = node->name,
                    .weights = node->op == MQ_OP_SEPCONV ? MQ_WEIGHTS_DEPTHWISE : MQ_WEIGHTS_SCALE,
                    .depth = {.run = mq_depthwise_of(l->dtype, &window),
                              .window = window,
                              .dtype = l->dtype,
                              .quantised = quantised,
                              .relu = l->chains[head].relu_first}};
    MQ_TRY(plain_layout(l, l->dtype, (mq_shape){window.h, window.w, window.c}, &in));
    MQ_TRY(plain_layout(l, quantised ? MQ_U8 : l->dtype, (mq_shape){window.out_h, window.out_w, window.c},
                        &out));
    MQ_TRY(in_layout(l, node->name, *src, in, &step.buffers[MQ_SLOT_SRC]));
    MQ_TRY(new_buffer(l, mq_layout_bytes(out), &step.buffers[MQ_SLOT_DST]));
    *src = (value){step.buffers[MQ_SLOT_DST], out};
    MQ_TRY(add_step(l, step));
cleanup:
    return status;
}

/* One convolution kernel over src; the result lands in *dst, which for sums is given and else made. */
MQ_MUST_USE static mq_status emit_conv(lowering *l, const mq_conv_plan *plan, mq_step step, value src,
                                       value *dst) {
    mq_status status = MQ_OK;
    size_t buffer = dst->buffer;
    MQ_TRY(mq_kernel_conv(l->err, l->p->dnn, plan, &step.kernel));
    MQ_TRY(
        in_layout(l, step.name, src, mq_kernel_layout(step.kernel, MQ_SLOT_SRC), &step.buffers[MQ_SLOT_SRC]));
    const mq_layout *layout = mq_kernel_layout(step.kernel, MQ_SLOT_DST);
    if (!plan->sum) MQ_TRY(new_buffer(l, mq_layout_bytes(layout), &buffer));
    step.buffers[MQ_SLOT_DST] = buffer;
    *dst = (value){buffer, layout};
    status = add_step(l, step);
    step.kernel = NULL;
cleanup:
    mq_kernel_free(&step.kernel);
    return status;
}

/* The same by oneDNN. */
MQ_MUST_USE static mq_status emit_first(lowering *l, const mq_node *node, value *src) {
    const mq_window window = mq_node_window(l->graph, node);
    const mq_conv_plan plan = {.window = window, .filters = window.c, .depthwise = true, .dtype = l->dtype};
    const mq_step step = {.conv = node, .name = node->name, .weights = MQ_WEIGHTS_DEPTHWISE};
    value result = {0};
    const mq_status status = emit_conv(l, &plan, step, *src, &result);
    *src = result;
    return status;
}

/* The last (or only) convolution of a chain over src; quant NULL: its weights are not in 8 bits. */
MQ_MUST_USE static mq_status emit_last(lowering *l, size_t head, const mq_quant *quant, value src) {
    mq_status status = MQ_OK;
    const chain *c = &l->chains[head];
    const mq_node *node = mq_graph_node(l->graph, head);
    const bool separable = node->op == MQ_OP_SEPCONV, quantised = l->plain && quant;
    mq_step step = {.conv = node,
                    .norm = c->norm,
                    .name = mq_graph_node(l->graph, c->tail)->name,
                    .weights = separable ? MQ_WEIGHTS_POINTWISE : MQ_WEIGHTS_DENSE};
    mq_conv_plan plan = {.window = product_window(l, node, quantised),
                         .filters = node->filters,
                         .bias = c->norm || quant,
                         .sum = c->sum,
                         .relu = c->relu,
                         .dtype = l->dtype};
    value dst = c->sum ? l->values[c->other] : (value){0};
    if (l->plain) {
        const mq_window *w = &plan.window;
        MQ_TRY(plain_layout(l, quantised ? MQ_U8 : l->dtype, (mq_shape){w->h, w->w, w->c}, &plan.src));
        MQ_TRY(plain_layout(l, l->dtype, node->shape, &plan.dst));
    }
    if (c->sum) plan.dst = dst.layout;
    if (!l->plain && plan.window.kernel == 1 && plan.window.stride > 1) plan.src = src.layout;
    if (quantised) {
        mq_lower_scales(l->plan, &step, quant, l->scales);
        plan.scales = l->scales;
    }
    MQ_TRY(emit_conv(l, &plan, step, src, &dst));
    l->values[c->tail] = dst;
cleanup:
    return status;
}

MQ_MUST_USE static mq_status lower_chain(lowering *l, size_t head) {
    mq_status status = MQ_OK;
    const mq_node *node = mq_graph_node(l->graph, head);
    value src = l->values[node->inputs[0]];
    mq_quant found;
    const mq_quant *quant = mq_quant_find(l->plan->weights, l->plan->prefix, node, &found) ? &found : NULL;
    if (l->plain && (quant || node->op == MQ_OP_SEPCONV))
        MQ_TRY(emit_depth(l, head, quant != NULL, &src));
    else if (node->op == MQ_OP_SEPCONV)
        MQ_TRY(emit_first(l, node, &src));
    MQ_TRY(emit_last(l, head, quant, src));
cleanup:
    return status;
}

/* A kernel from src to a buffer of its own, or in place. */
MQ_MUST_USE static mq_status emit_plain(lowering *l, size_t node, mq_kernel *kernel, value src,
                                        bool in_place) {
    mq_status status = MQ_OK;
    mq_step step = {.kernel = kernel, .name = mq_graph_node(l->graph, node)->name};
    size_t buffer = src.buffer;
    const mq_layout *layout = mq_kernel_layout(kernel, MQ_SLOT_DST);
    if (!in_place) MQ_TRY(new_buffer(l, mq_layout_bytes(layout), &buffer));
    step.buffers[MQ_SLOT_SRC] = src.buffer;
    step.buffers[MQ_SLOT_DST] = buffer;
    l->values[node] = (value){buffer, layout};
    kernel = NULL;
    status = add_step(l, step);
cleanup:
    mq_kernel_free(&kernel);
    return status;
}

MQ_MUST_USE static mq_status lower_add(lowering *l, size_t index, const mq_node *node) {
    mq_status status = MQ_OK;
    const value a = l->values[node->inputs[0]];
    mq_step step = {.name = node->name};
    size_t buffer = 0;
    MQ_TRY(mq_kernel_add(l->err, l->p->dnn, a.layout, &step.kernel));
    step.buffers[MQ_SLOT_SRC] = a.buffer;
    MQ_TRY(in_layout(l, node->name, l->values[node->inputs[1]], a.layout, &step.buffers[MQ_SLOT_SRC2]));
    MQ_TRY(new_buffer(l, mq_layout_bytes(a.layout), &buffer));
    step.buffers[MQ_SLOT_DST] = buffer;
    l->values[index] = (value){buffer, mq_kernel_layout(step.kernel, MQ_SLOT_DST)};
    status = add_step(l, step);
    step.kernel = NULL;
cleanup:
    mq_kernel_free(&step.kernel);
    return status;
}

/* A node that no convolution absorbed. */
MQ_MUST_USE static mq_status lower_node(lowering *l, size_t index) {
    mq_status status = MQ_OK;
    const mq_node *node = mq_graph_node(l->graph, index);
    const value src = l->values[node->inputs[0]];
    mq_kernel *kernel = NULL;
    mq_node whole = {.inputs = {node->inputs[0]}, .stride = 1}; /* a window over all pixels */
    mq_window window;
    switch (node->op) {
    case MQ_OP_RELU:
        MQ_TRY(mq_kernel_relu(l->err, l->p->dnn, src.layout, &kernel));
        return emit_plain(l, index, kernel, src,
                          src.buffer != MQ_BUFFER_INPUT && last_read(l, node->inputs[0]) == index);
    case MQ_OP_MAX_POOL:
        window = mq_node_window(l->graph, node);
        MQ_TRY(mq_kernel_pool(l->err, l->p->dnn, MQ_POOL_MAX, &window, src.layout, &kernel));
        return emit_plain(l, index, kernel, src, false);
    case MQ_OP_GLOBAL_AVG_POOL:
        whole.kernel = mq_graph_node(l->graph, node->inputs[0])->shape.h;
        window = mq_node_window(l->graph, &whole);
        MQ_TRY(mq_kernel_pool(l->err, l->p->dnn, MQ_POOL_AVG, &window, src.layout, &kernel));
        return emit_plain(l, index, kernel, src, false);
    case MQ_OP_ADD:
        return lower_add(l, index, node);
    default:
        return mq_fail(l->err, MQ_UNAVAILABLE, "layer %s: %s stands where inference cannot fold it",
                       node->name, mq_node_class(node));
    }
cleanup:
    return status;
}

MQ_MUST_USE static mq_status lower_input(lowering *l, size_t index) {
    const mq_shape s = mq_graph_node(l->graph, index)->shape;
    l->p->in_size = s.h * s.w * s.c;
    l->values[index].buffer = MQ_BUFFER_INPUT;
    return plain_layout(l, MQ_F32, s, &l->values[index].layout);
}

/* The last step: the wanted tensor, channels last and f32, to the caller. */
MQ_MUST_USE static mq_status lower_output(lowering *l) {
    mq_status status = MQ_OK;
    const mq_node *node = mq_graph_node(l->graph, l->output);
    mq_step step = {.name = node->name};
    const mq_layout *plain = NULL;
    l->p->output = node->shape;
    MQ_TRY(plain_layout(l, MQ_F32, node->shape, &plain));
    MQ_TRY(mq_kernel_reorder(l->err, l->p->dnn, l->values[l->output].layout, plain, &step.kernel));
    step.buffers[MQ_SLOT_SRC] = l->values[l->output].buffer;
    step.buffers[MQ_SLOT_DST] = MQ_BUFFER_OUTPUT;
    MQ_TRY(add_step(l, step));
cleanup:
    return status;
}

MQ_MUST_USE static mq_status lower_all(lowering *l) {
    mq_status status = MQ_OK;
    size_t none;
    for (size_t i = 0; i < MQ_BUFFERS_FIXED; i++) MQ_TRY(new_buffer(l, 0, &none));
    for (size_t i = l->input; i <= l->output; i++) {
        const size_t head = l->head[i];
        if (!l->needed[i]) continue;
        if (i == l->input)
            MQ_TRY(lower_input(l, i));
        else if (head == i && done_by(l, i) != NOT_FOUND)
            l->values[i] = l->values[mq_graph_node(l->graph, i)->inputs[0]];
        else if (!is_conv(mq_graph_node(l->graph, head)))
            MQ_TRY(lower_node(l, i));
        else if (l->chains[head].tail == i)
            MQ_TRY(lower_chain(l, head));
    }
    MQ_TRY(lower_output(l));
cleanup:
    return status;
}

/* Whether steps differ in nothing but the threads that their kernels are for. */
static bool is_same(const mq_step *a, const mq_step *b) {
    if (!a->kernel != !b->kernel || memcmp(a->buffers, b->buffers, sizeof a->buffers) != 0) return false;
    for (mq_slot slot = 0; a->kernel && slot < MQ_SLOTS; slot++) {
        const mq_layout *of_a = mq_kernel_layout(a->kernel, slot), *of_b = mq_kernel_layout(b->kernel, slot);
        if (slot == MQ_SLOT_SCRATCH) continue;
        if (!of_a != !of_b || (of_a && !mq_layout_equal(of_a, of_b))) return false;
    }
    return true;
}

/* Joint kernels of all steps; none where oneDNN lays out any tensor in another way for all threads. */
MQ_MUST_USE static mq_status lower_joint(lowering *l) {
    mq_status status = MQ_OK;
    mq_program *const p = l->p, *other = NULL;
    MQ_TRY(mq_calloc(l->err, 1, sizeof *other, "a program", &other));
    other->dnn = p->dnn;
    l->p = other;
    MQ_TRY(lower_all(l));
    p->joint = p->step_count == other->step_count && p->buffer_count == other->buffer_count;
    for (size_t i = 0; i < p->step_count && p->joint; i++) p->joint = is_same(&p->steps[i], &other->steps[i]);
    for (size_t i = 0; i < p->step_count && p->joint; i++) {
        p->steps[i].joint = other->steps[i].kernel;
        other->steps[i].kernel = NULL;
    }
    for (size_t i = 0; i < p->buffer_count && p->joint; i++) /* scratch */
        if (other->buffers[i].bytes > p->buffers[i].bytes) p->buffers[i].bytes = other->buffers[i].bytes;
cleanup:
    l->p = p;
    if (other) other->dnn = NULL;
    mq_program_free(&other);
    return status;
}

/* Kernels for one thread, or for all where there is one picture at a time: see program.c. */
MQ_MUST_USE static mq_status lower_for_threads(lowering *l) {
    const int threads = mq_par_threads();
    if (l->plan->batch > 1) mq_par_set_threads(1);
    const mq_status status = lower_all(l);
    mq_par_set_threads(threads);
    return status == MQ_OK && l->plan->batch > 1 && threads > 1 ? lower_joint(l) : status;
}

/* Where a layer stands; nothing changes for NULL. */
MQ_MUST_USE static mq_status find_layer(mq_err *err, const mq_program_plan *plan, const mq_graph *graph,
                                        const char *name, size_t *index) {
    const mq_node *node = name ? mq_graph_find(graph, name) : NULL;
    if (name && !node) return mq_fail(err, MQ_USAGE, "%s has no layer called %s", plan->arch->name, name);
    if (node) *index = mq_graph_index(graph, node);
    return MQ_OK;
}

static size_t most_filters(const mq_graph *graph) {
    size_t most = 1;
    for (size_t i = 0; i < mq_graph_size(graph); i++)
        if (mq_graph_node(graph, i)->filters > most) most = mq_graph_node(graph, i)->filters;
    return most;
}

mq_status mq_lower_infer(mq_err *err, const mq_program_plan *plan, mq_program *p) {
    mq_status status = MQ_OK;
    lowering l = {.err = err, .plan = plan, .p = p, .dtype = plan->dtype, .plain = plan->dtype == MQ_I8};
    if (l.plain) l.dtype = mq_dtype_auto();
    MQ_TRY(plan->arch->build(err, plan->imgsz, &p->graph));
    l.graph = p->graph;
    l.nodes = mq_graph_size(l.graph);
    l.output = l.nodes - 1;
    MQ_TRY(find_layer(err, plan, l.graph, plan->input, &l.input));
    MQ_TRY(find_layer(err, plan, l.graph, plan->output, &l.output));
    MQ_REQUIRE(plan->batch, err, MQ_USAGE, "a batch of no pictures");
    MQ_TRY(mq_tensors_check(err, l.graph, plan->weights, plan->prefix));
    MQ_TRY(mq_calloc(err, l.nodes, sizeof *l.needed, "a program", &l.needed));
    MQ_TRY(mq_calloc(err, l.nodes, sizeof *l.chains, "a program", &l.chains));
    MQ_TRY(mq_calloc(err, l.nodes, sizeof *l.head, "a program", &l.head));
    MQ_TRY(mq_calloc(err, l.nodes, sizeof *l.values, "a program", &l.values));
    MQ_TRY(mq_calloc(err, most_filters(l.graph), sizeof *l.scales, "a program", &l.scales));
    find_needed(&l);
    find_chains(&l);
    MQ_TRY(lower_for_threads(&l));
    MQ_TRY(mq_plan_memory(err, p->buffers, p->buffer_count, &p->arena_bytes));
    mq_lower_places(p);
cleanup:
    free(l.needed);
    free(l.chains);
    free(l.head);
    free(l.values);
    free(l.scales);
    for (size_t i = 0; i < l.layout_count; i++) mq_layout_free(&l.layouts[i]);
    free(l.layouts);
    return status;
}
