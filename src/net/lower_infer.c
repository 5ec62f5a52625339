/* lower_infer.c: graph -> program for inference: batch norm folded, ReLU and
 * residual sum done by the convolution before them (chains.h), separable
 * convolutions in two kernels or strip by strip, layouts as oneDNN likes them.
 * Called by program.c. Invariant: a step stands where the last node it covers
 * stands, so its inputs are ready. */
#include "net/chains.h"
#include "net/strips.h"
#include "net/tensors.h"

#include "base/mem.h"
#include "base/par.h"

#include <string.h>

/* From the first 1x1 convolution over no more pixels than FEW on, steps are done for a group of pictures, of
 * ENOUGH pixels together: below, weights are hardly used before the next ones come from memory. */
enum { PIXELS_FEW = 64, PIXELS_ENOUGH = 256, GROUP_MOST = 8 };

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
    mq_chains chains;
    value *values;       /* by node */
    mq_dtype dtype;      /* of tensors that are not quantised */
    bool bytes;          /* layers are multiplied in 8 bits where the weights are */
    bool plain;          /* every tensor lies channels last */
    mq_layout **layouts; /* owned, those that no kernel has */
    size_t layout_count, layout_capacity;
    float *scales; /* [the most filters] of the layer in work */
} lowering;

/* Whether the first half of a separable convolution is a depthwise step of our own: on the way to 8 bits, and
 * where it is as fast as oneDNN's. */
static bool has_own_depth(const void *user, const mq_node *node) {
    const lowering *l = user;
    if (node->op != MQ_OP_SEPCONV || !l->plain) return false;
    const mq_window window = mq_node_window(l->graph, node);
    return l->bytes || mq_depthwise_of(l->dtype, &window) != mq_depthwise_plain(l->dtype);
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

/* Appends a step and takes over its kernel, even on failure. Scratch gets a buffer for this step alone. */
MQ_MUST_USE static mq_status add_step(lowering *l, mq_step *step) {
    mq_status status = MQ_OK;
    mq_program *p = l->p;
    const mq_layout *scratch = step->kernel && !step->rows ? mq_kernel_layout(step->kernel, MQ_SLOT_SCRATCH)
                                                           : NULL;
    MQ_TRY(mq_grow(l->err, &p->steps, &p->step_capacity, p->step_count + 1, sizeof *p->steps));
    if (scratch) MQ_TRY(new_buffer(l, mq_layout_bytes(scratch), &step->buffers[MQ_SLOT_SCRATCH]));
    for (size_t i = 0; i < MQ_SLOTS; i++)
        if (step->buffers[i] >= MQ_BUFFERS_FIXED) p->buffers[step->buffers[i]].last = p->step_count;
    p->steps[p->step_count++] = *step;
    step->kernel = NULL;
cleanup:
    mq_kernel_free(&step->kernel);
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
    MQ_TRY(add_step(l, &step));
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

/* That step, by a kernel of our own. */
static mq_step depth_step(const lowering *l, size_t head, bool quantised) {
    const mq_node *node = mq_graph_node(l->graph, head);
    const mq_window window = depth_window(l, node);
    return (mq_step){.conv = node,
                     .name = node->name,
                     .weights = node->op == MQ_OP_SEPCONV ? MQ_WEIGHTS_DEPTHWISE : MQ_WEIGHTS_SCALE,
                     .depth = {.run = mq_depthwise_of(l->dtype, &window),
                               .window = window,
                               .dtype = l->dtype,
                               .quantised = quantised,
                               .relu = l->chains.of[head].relu_first}};
}

/* src becomes its result. */
MQ_MUST_USE static mq_status emit_depth(lowering *l, size_t head, bool quantised, value *src) {
    mq_status status = MQ_OK;
    mq_step step = depth_step(l, head, quantised);
    const mq_window *w = &step.depth.window;
    const mq_layout *in = NULL, *out = NULL;
    MQ_TRY(plain_layout(l, l->dtype, (mq_shape){w->h, w->w, w->c}, &in));
    MQ_TRY(plain_layout(l, quantised ? MQ_U8 : l->dtype, (mq_shape){w->out_h, w->out_w, w->c}, &out));
    MQ_TRY(in_layout(l, step.name, *src, in, &step.buffers[MQ_SLOT_SRC]));
    MQ_TRY(new_buffer(l, mq_layout_bytes(out), &step.buffers[MQ_SLOT_DST]));
    *src = (value){step.buffers[MQ_SLOT_DST], out};
    MQ_TRY(add_step(l, &step));
cleanup:
    return status;
}

static bool is_small(const mq_window *w) {
    return w->kernel == 1 && w->stride == 1 && w->out_h * w->out_w <= PIXELS_FEW;
}

/* Where every tensor lies channels last: the layouts of a kernel's source and result. */
MQ_MUST_USE static mq_status plain_ends(lowering *l, mq_conv_plan *plan) {
    mq_status status = MQ_OK;
    const mq_window *w = &plan->window;
    MQ_TRY(plain_layout(l, plan->scales ? MQ_U8 : l->dtype, (mq_shape){w->h, w->w, w->c}, &plan->src));
    MQ_TRY(plain_layout(l, l->dtype, (mq_shape){w->out_h, w->out_w, plan->filters}, &plan->dst));
cleanup:
    return status;
}

/* The pictures of a group lie one behind the other, channels last: one picture that is as tall as all. */
MQ_MUST_USE static mq_status group_kernel(lowering *l, const mq_conv_plan *plan, mq_kernel **kernel) {
    mq_status status = MQ_OK;
    mq_conv_plan tall = *plan;
    tall.window.h *= l->p->group;
    tall.window.out_h *= l->p->group;
    MQ_TRY(plain_ends(l, &tall));
    MQ_TRY(mq_kernel_conv(l->err, l->p->dnn, &tall, kernel));
cleanup:
    return status;
}

/* One convolution kernel over src; the result lands in *dst, which for sums is given and else made. */
MQ_MUST_USE static mq_status emit_conv(lowering *l, const mq_conv_plan *plan, mq_step step, value src,
                                       value *dst) {
    mq_status status = MQ_OK;
    size_t buffer = dst->buffer;
    const bool small = l->p->group > 1 && is_small(&plan->window) && src.buffer != MQ_BUFFER_INPUT;
    step.grouped = small && l->plain; /* blocks of channels of several pictures are not those of one */
    MQ_TRY(step.grouped ? group_kernel(l, plan, &step.kernel)
                        : mq_kernel_conv(l->err, l->p->dnn, plan, &step.kernel));
    const mq_layout *in = step.grouped ? plan->src : mq_kernel_layout(step.kernel, MQ_SLOT_SRC),
                    *layout = step.grouped ? plan->dst : mq_kernel_layout(step.kernel, MQ_SLOT_DST);
    MQ_TRY(in_layout(l, step.name, src, in, &step.buffers[MQ_SLOT_SRC]));
    if (!plan->sum) MQ_TRY(new_buffer(l, mq_layout_bytes(layout), &buffer));
    step.buffers[MQ_SLOT_DST] = buffer;
    *dst = (value){buffer, layout};
    if (small && l->p->tail > l->p->step_count) l->p->tail = l->p->step_count;
    MQ_TRY(add_step(l, &step));
cleanup:
    mq_kernel_free(&step.kernel);
    return status;
}

/* The depthwise half of a separable convolution by oneDNN. */
MQ_MUST_USE static mq_status emit_first(lowering *l, const mq_node *node, value *src) {
    const mq_window window = mq_node_window(l->graph, node);
    const mq_conv_plan plan = {.window = window, .filters = window.c, .depthwise = true, .dtype = l->dtype};
    const mq_step step = {.conv = node, .name = node->name, .weights = MQ_WEIGHTS_DEPTHWISE};
    value result = {0};
    const mq_status status = emit_conv(l, &plan, step, *src, &result);
    *src = result;
    return status;
}

/* The last (or only) convolution of a chain. */
static mq_step last_step(const lowering *l, size_t head) {
    const mq_node *node = mq_graph_node(l->graph, head);
    return (mq_step){.conv = node,
                     .norm = l->chains.of[head].norm,
                     .name = mq_graph_node(l->graph, l->chains.of[head].tail)->name,
                     .weights = node->op == MQ_OP_SEPCONV ? MQ_WEIGHTS_POINTWISE : MQ_WEIGHTS_DENSE};
}

/* The kernel of the step; scales are the lowering's, and none but where it is multiplied in 8 bits. */
static mq_conv_plan last_plan(const lowering *l, size_t head, const mq_step *step, const mq_quant *quant) {
    const mq_chain *c = &l->chains.of[head];
    const bool quantised = l->bytes && quant;
    if (quantised) mq_lower_scales(l->plan, step, quant, l->scales);
    return (mq_conv_plan){.window = product_window(l, step->conv, quantised),
                          .filters = step->conv->filters,
                          .bias = c->norm || quant,
                          .sum = c->sum,
                          .relu = c->relu,
                          .dtype = l->dtype,
                          .scales = quantised ? l->scales : NULL};
}

MQ_MUST_USE static mq_status emit_last(lowering *l, size_t head, const mq_quant *quant, value src) {
    mq_status status = MQ_OK;
    const mq_chain *c = &l->chains.of[head];
    const mq_step step = last_step(l, head);
    mq_conv_plan plan = last_plan(l, head, &step, quant);
    value dst = c->sum ? l->values[c->other] : (value){0};
    if (l->plain) MQ_TRY(plain_ends(l, &plan));
    if (c->sum) plan.dst = dst.layout;
    if (!l->plain && plan.window.kernel == 1 && plan.window.stride > 1) plan.src = src.layout;
    MQ_TRY(emit_conv(l, &plan, step, src, &dst));
    l->values[c->tail] = dst;
cleanup:
    return status;
}

/* Rows of the strips in which a separable convolution is done; 0: it is not. A layer that might be put in 8
 * bits is to be seen whole. */
static size_t strip_rows(const lowering *l, size_t head, bool quantised) {
    const mq_node *node = mq_graph_node(l->graph, head);
    const mq_shape made = mq_graph_node(l->graph, node->inputs[0])->shape;
    const mq_dtype dtype = quantised ? MQ_U8 : l->dtype;
    if (!has_own_depth(l, node) || l->chains.of[head].sum || (l->bytes && !quantised)) return 0;
    return mq_strip_rows(dtype, (mq_shape){node->shape.h, node->shape.w, made.c},
                         made.c * node->filters * mq_dtype_size(dtype));
}

/* Both halves of a separable convolution over src, strip by strip. */
MQ_MUST_USE static mq_status emit_strips(lowering *l, size_t head, const mq_quant *quant, size_t rows,
                                         value src) {
    mq_status status = MQ_OK;
    const int threads = mq_par_threads();
    mq_step second = last_step(l, head);
    mq_conv_plan plan = last_plan(l, head, &second, quant);
    mq_step first = depth_step(l, head, plan.scales != NULL);
    const mq_window *w = &first.depth.window;
    const mq_layout *in = NULL;
    value dst = {0};
    MQ_TRY(plain_layout(l, l->dtype, (mq_shape){w->h, w->w, w->c}, &in));
    MQ_TRY(in_layout(l, second.name, src, in, &second.buffers[MQ_SLOT_SRC]));
    MQ_TRY(plain_layout(l, l->dtype, second.conv->shape, &dst.layout));
    MQ_TRY(new_buffer(l, mq_layout_bytes(dst.layout), &dst.buffer));
    second.buffers[MQ_SLOT_DST] = dst.buffer;
    first.rows = second.rows = plan.window.h = plan.window.out_h = rows;
    MQ_TRY(plain_ends(l, &plan));
    mq_par_set_threads(1);
    status = mq_kernel_conv(l->err, l->p->dnn, &plan, &second.kernel);
    mq_par_set_threads(threads);
    MQ_TRY(status);
    l->values[l->chains.of[head].tail] = dst;
    MQ_TRY(add_step(l, &first));
    MQ_TRY(add_step(l, &second));
cleanup:
    mq_kernel_free(&second.kernel);
    return status;
}

MQ_MUST_USE static mq_status lower_chain(lowering *l, size_t head) {
    mq_status status = MQ_OK;
    const mq_node *node = mq_graph_node(l->graph, head);
    value src = l->values[node->inputs[0]];
    mq_quant found;
    const mq_quant *quant = mq_quant_find(l->plan->weights, l->plan->prefix, node, &found) ? &found : NULL;
    const bool quantised = l->bytes && quant;
    const size_t rows = strip_rows(l, head, quantised);
    if (rows) return emit_strips(l, head, quant, rows, src);
    if (quantised || has_own_depth(l, node))
        MQ_TRY(emit_depth(l, head, quantised, &src));
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
    MQ_TRY(add_step(l, &step));
cleanup:
    mq_kernel_free(&step.kernel);
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
    MQ_TRY(add_step(l, &step));
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
                          src.buffer != MQ_BUFFER_INPUT &&
                              mq_chains_last_read(&l->chains, node->inputs[0]) == index);
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
    const mq_node *node = mq_graph_node(l->graph, l->chains.output);
    mq_step step = {.name = node->name};
    const mq_layout *plain = NULL;
    l->p->output = node->shape;
    MQ_TRY(plain_layout(l, MQ_F32, node->shape, &plain));
    MQ_TRY(mq_kernel_reorder(l->err, l->p->dnn, l->values[l->chains.output].layout, plain, &step.kernel));
    step.buffers[MQ_SLOT_SRC] = l->values[l->chains.output].buffer;
    step.buffers[MQ_SLOT_DST] = MQ_BUFFER_OUTPUT;
    MQ_TRY(add_step(l, &step));
cleanup:
    return status;
}

MQ_MUST_USE static mq_status lower_all(lowering *l) {
    mq_status status = MQ_OK;
    const mq_chains *c = &l->chains;
    size_t none;
    l->p->tail = SIZE_MAX;
    for (size_t i = 0; i < MQ_BUFFERS_FIXED; i++) MQ_TRY(new_buffer(l, 0, &none));
    for (size_t i = c->input; i <= c->output; i++) {
        const size_t head = c->head[i];
        if (!c->needed[i]) continue;
        if (i == c->input)
            MQ_TRY(lower_input(l, i));
        else if (head == i && mq_chains_done_later(c, i))
            l->values[i] = l->values[mq_graph_node(l->graph, i)->inputs[0]];
        else if (!mq_chains_is_head(c, head))
            MQ_TRY(lower_node(l, i));
        else if (c->of[head].tail == i)
            MQ_TRY(lower_chain(l, head));
    }
    MQ_TRY(lower_output(l));
    if (l->p->tail > l->p->step_count) l->p->tail = l->p->step_count;
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
    other->group = p->group;
    l->p = other;
    MQ_TRY(lower_all(l));
    p->joint = p->step_count == other->step_count && p->buffer_count == other->buffer_count;
    for (size_t i = 0; i < p->step_count && p->joint; i++) p->joint = is_same(&p->steps[i], &other->steps[i]);
    for (size_t i = 0; i < p->step_count && p->joint; i++) {
        if (p->steps[i].rows) continue; /* for one thread at any time */
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

/* How many pictures a worker takes at once: each is to have two groups of a batch, or it waits for another's
 * last one. */
static size_t group_size(const lowering *l) {
    const size_t most = l->plan->batch / (2 * (size_t)mq_par_threads());
    for (size_t i = l->chains.input + 1; i <= l->chains.output; i++) {
        const mq_node *node = mq_graph_node(l->graph, i);
        if (node->op != MQ_OP_SEPCONV && node->op != MQ_OP_CONV) continue;
        const mq_window window = product_window(l, node, l->bytes);
        if (!is_small(&window)) continue;
        size_t group = PIXELS_ENOUGH / (window.out_h * window.out_w);
        if (group > GROUP_MOST) group = GROUP_MOST;
        return group < most ? group : most > 1 ? most : 1;
    }
    return 1;
}

/* In the tail each picture of a group has a tensor of its own; what comes there from before is alive while
 * the others of the group are brought to it. */
MQ_MUST_USE static mq_status lower_group(mq_err *err, mq_program *p) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_calloc(err, p->buffer_count, sizeof *p->pitch, "a program", &p->pitch));
    for (size_t i = p->tail; i < p->step_count; i++)
        for (mq_slot slot = 0; slot < MQ_SLOTS; slot++) {
            const size_t buffer = p->steps[i].buffers[slot];
            mq_lifetime *b = &p->buffers[buffer];
            if (slot == MQ_SLOT_SCRATCH || buffer < MQ_BUFFERS_FIXED || p->pitch[buffer]) continue;
            p->pitch[buffer] = b->bytes;
            b->bytes *= p->group;
            if (b->first < p->tail) b->first = 0;
        }
cleanup:
    return status;
}

static size_t most_filters(const mq_graph *graph) {
    size_t most = 1;
    for (size_t i = 0; i < mq_graph_size(graph); i++)
        if (mq_graph_node(graph, i)->filters > most) most = mq_graph_node(graph, i)->filters;
    return most;
}

mq_status mq_lower_infer(mq_err *err, const mq_program_plan *plan, mq_program *p) {
    mq_status status = MQ_OK;
    lowering l = {.err = err, .plan = plan, .p = p, .dtype = plan->dtype, .bytes = plan->dtype == MQ_I8};
    if (l.bytes) l.dtype = mq_dtype_auto();
    l.plain = l.bytes || mq_dnn_simd() == MQ_SIMD_AVX512; /* as oneDNN has it there, too */
    MQ_TRY(plan->arch->build(err, plan->imgsz, &p->graph));
    l.graph = p->graph;
    l.chains = (mq_chains){.graph = l.graph,
                           .nodes = mq_graph_size(l.graph),
                           .output = mq_graph_size(l.graph) - 1,
                           .takes_relu = has_own_depth,
                           .user = &l};
    MQ_TRY(find_layer(err, plan, l.graph, plan->input, &l.chains.input));
    MQ_TRY(find_layer(err, plan, l.graph, plan->output, &l.chains.output));
    MQ_REQUIRE(plan->batch, err, MQ_USAGE, "a batch of no pictures");
    MQ_TRY(mq_tensors_check(err, l.graph, plan->weights, plan->prefix));
    MQ_TRY(mq_calloc(err, l.chains.nodes, sizeof *l.values, "a program", &l.values));
    MQ_TRY(mq_calloc(err, most_filters(l.graph), sizeof *l.scales, "a program", &l.scales));
    MQ_TRY(mq_chains_find(err, &l.chains));
    p->group = group_size(&l);
    MQ_TRY(lower_for_threads(&l));
    MQ_TRY(lower_group(err, p));
    MQ_TRY(mq_plan_memory(err, p->buffers, p->buffer_count, &p->arena_bytes));
    mq_lower_places(p);
cleanup:
    mq_chains_free(&l.chains);
    free(l.values);
    free(l.scales);
    for (size_t i = 0; i < l.layout_count; i++) mq_layout_free(&l.layouts[i]);
    free(l.layouts);
    return status;
}
