/* masters.c: a trainable's parameters: which are thawed, where each lies in the
 * block of all, and their copies in the layouts that kernels want. Called by
 * trainable.c. Invariant: masters are f32 in Keras' order; copies follow them
 * by mq_masters_lay_out alone. */
#include "net/keras_order.h"
#include "net/tensors.h"
#include "net/trainable_impl.h"

#include "base/mem.h"
#include "base/par.h"

#include <string.h>

/* The last node of the highest thawed block. */
static size_t last_thawed(const mq_graph *graph, const char *block) {
    size_t last = mq_graph_size(graph) - 1;
    for (size_t i = 0; block && i < mq_graph_size(graph); i++)
        if (strcmp(mq_graph_node(graph, i)->block, block) == 0) last = i;
    return last;
}

static size_t halves_of(const mq_node *node) {
    return node->op == MQ_OP_SEPCONV ? 2 : node->op == MQ_OP_CONV ? 1 : 0;
}

MQ_MUST_USE static mq_status count_parts(mq_err *err, mq_trainable *t) {
    mq_status status = MQ_OK;
    size_t params = 0;
    for (size_t i = t->boundary + 1; i < mq_graph_size(t->graph); i++) {
        const mq_node *node = mq_graph_node(t->graph, i);
        t->norm_count += node->op == MQ_OP_BATCH_NORM;
        t->conv_count += halves_of(node);
        params += mq_node_param_count(node);
    }
    MQ_TRY(mq_calloc(err, t->norm_count, sizeof *t->norms, "training", &t->norms));
    MQ_TRY(mq_calloc(err, t->conv_count, sizeof *t->convs, "training", &t->convs));
    MQ_TRY(mq_calloc(err, params, sizeof *t->names, "training", &t->names));
    MQ_TRY(mq_calloc(err, params, sizeof *t->moving_names, "training", &t->moving_names));
cleanup:
    return status;
}

/* Gives a thawed parameter its place in the block. */
static size_t place(mq_trainable *t, const mq_node *node, const char *name, size_t count) {
    const size_t at = t->count;
    t->names[t->name_count++] = (mq_trainable_tensor){node->name, name, at, count};
    t->count += count;
    return at;
}

static size_t place_moving(mq_trainable *t, const mq_node *node, const char *name, size_t count) {
    const size_t at = t->moving_count;
    t->moving_names[t->moving_name_count++] = (mq_trainable_tensor){node->name, name, at, count};
    t->moving_count += count;
    return at;
}

static void add_norm(mq_trainable *t, const mq_node *node, bool thawed, size_t index) {
    const size_t c = node->shape.c;
    mq_norm *n = &t->norms[index];
    *n = (mq_norm){.node = node,
                   .channels = c,
                   .pixels = node->shape.h * node->shape.w,
                   .thawed = thawed,
                   .batch = thawed && t->batch_statistics};
    if (thawed) {
        n->gamma_at = place(t, node, "gamma", c);
        n->beta_at = place(t, node, "beta", c);
    }
    if (n->batch) {
        n->moving_at = place_moving(t, node, "moving_mean", c);
        place_moving(t, node, "moving_variance", c);
    }
}

static void add_conv(mq_trainable *t, const mq_node *node, bool thawed, size_t first) {
    const bool separable = node->op == MQ_OP_SEPCONV;
    for (size_t half = 0; half < halves_of(node); half++) {
        mq_conv *c = &t->convs[first + half];
        *c = (mq_conv){.node = node,
                       .param = mq_node_param(t->graph, node, half),
                       .window = half ? mq_pointwise_window(t->graph, node) : mq_node_window(t->graph, node),
                       .depthwise = separable && half == 0,
                       .thawed = thawed,
                       .norm = MQ_NONE,
                       .laid = {MQ_NONE, MQ_NONE}};
        c->filters = c->depthwise ? c->window.c : node->filters;
        if (thawed) c->param_at = place(t, node, c->param.name, mq_param_numbers(&c->param));
    }
}

/* From the last layer to the first: so lie the parameters, and so come the gradients. */
static void add_parts(const mq_trainable_plan *plan, mq_trainable *t) {
    const size_t last = last_thawed(t->graph, plan->last);
    size_t norm = t->norm_count, conv = t->conv_count;
    for (size_t i = mq_graph_size(t->graph); i-- > t->boundary + 1;) {
        const mq_node *node = mq_graph_node(t->graph, i);
        const bool thawed = i <= last;
        if (node->op == MQ_OP_BATCH_NORM) add_norm(t, node, thawed, --norm);
        if (!halves_of(node)) continue;
        conv -= halves_of(node);
        add_conv(t, node, thawed, conv);
    }
}

static void copy_norm(const mq_trainable_plan *plan, mq_trainable *t, mq_norm *n) {
    static const char *const names[] = {"gamma", "beta", "moving_mean", "moving_variance"};
    float *const arrays[] = {n->gamma, n->beta, n->moving_mean, n->moving_variance};
    for (size_t i = 0; i < 4; i++)
        memcpy(arrays[i], mq_tensors_get(plan->weights, plan->prefix, n->node, names[i]),
               n->channels * sizeof(float));
    if (n->thawed) {
        memcpy(t->params + n->gamma_at, n->gamma, n->channels * sizeof(float));
        memcpy(t->params + n->beta_at, n->beta, n->channels * sizeof(float));
    }
    if (!n->batch) return;
    memcpy(t->moving + n->moving_at, n->moving_mean, n->channels * sizeof(float));
    memcpy(t->moving + n->moving_at + n->channels, n->moving_variance, n->channels * sizeof(float));
}

mq_status mq_masters_create(mq_err *err, const mq_trainable_plan *plan, mq_trainable *t) {
    mq_status status = MQ_OK;
    MQ_TRY(count_parts(err, t));
    add_parts(plan, t);
    MQ_REQUIRE(t->count, err, MQ_USAGE, "the blocks from %s on have nothing to train", plan->first);
    MQ_TRY(mq_alloc_aligned(err, t->count, sizeof *t->params, "the parameters", &t->params));
    MQ_TRY(mq_alloc_aligned(err, t->count, sizeof *t->grads, "the gradients", &t->grads));
    MQ_TRY(mq_alloc_aligned(err, t->moving_count, sizeof *t->moving, "the moving averages", &t->moving));
    memset(t->grads, 0, t->count * sizeof *t->grads);
    for (size_t i = 0; i < t->norm_count; i++) {
        MQ_TRY(mq_norm_create(err, t->batch, &t->norms[i]));
        copy_norm(plan, t, &t->norms[i]);
    }
    for (size_t i = 0; i < t->conv_count; i++) {
        mq_conv *c = &t->convs[i];
        c->values = mq_tensors_get(plan->weights, plan->prefix, c->node, c->param.name);
        if (!c->thawed) continue;
        memcpy(t->params + c->param_at, c->values, mq_param_numbers(&c->param) * sizeof(float));
        c->values = t->params + c->param_at;
    }
cleanup:
    return status;
}

/* Norms on stored statistics get their map now; those of the batch when its sums are there. */
static void refresh_norm(mq_trainable *t, mq_norm *n) {
    if (n->thawed) {
        memcpy(n->gamma, t->params + n->gamma_at, n->channels * sizeof(float));
        memcpy(n->beta, t->params + n->beta_at, n->channels * sizeof(float));
    }
    if (n->batch) {
        memcpy(n->moving_mean, t->moving + n->moving_at, n->channels * sizeof(float));
        memcpy(n->moving_variance, t->moving + n->moving_at + n->channels, n->channels * sizeof(float));
    } else {
        mq_norm_stored(n);
    }
}

typedef struct {
    const mq_trainable *t;
    bool thawed_only;
} lay_state;

/* [kernel, kernel, padded channels]. */
static void lay_depthwise(const mq_trainable *t, const mq_conv *c, float *to) {
    const size_t channels = c->window.c, padded = mq_train_padded(t, channels);
    for (size_t k = 0; k < c->window.kernel * c->window.kernel; k++, to += padded) {
        memcpy(to, c->values + k * channels, channels * sizeof *to);
        memset(to + channels, 0, (padded - channels) * sizeof *to);
    }
}

size_t mq_masters_scratch(const mq_trainable *t) {
    size_t most = 0;
    for (size_t i = 0; i < t->laid_count; i++) {
        const size_t numbers = mq_param_numbers(&t->convs[t->laid[i].conv].param);
        if (t->laid[i].norm != MQ_NONE && numbers > most) most = numbers;
    }
    return mq_round_up(most * sizeof(float), MQ_ALIGNMENT);
}

/* A kernel with each filter multiplied by the norm's scale. */
static void scale_filters(const mq_conv *c, const mq_norm *n, float *to) {
    const size_t count = mq_param_numbers(&c->param);
    for (size_t row = 0; row < count; row += c->filters)
        for (size_t f = 0; f < c->filters; f++) to[row + f] = c->values[row + f] * n->scale[f];
}

static mq_status lay_item(mq_err *err, void *ctx, size_t item, size_t worker) {
    const lay_state *s = ctx;
    const mq_laid *laid = &s->t->laid[item];
    const mq_conv *c = &s->t->convs[laid->conv];
    const mq_norm *n = laid->norm == MQ_NONE ? NULL : &s->t->norms[laid->norm];
    float *const scaled = (float *)(void *)(s->t->arena + worker * mq_masters_scratch(s->t));
    if (s->thawed_only && !c->thawed) return MQ_OK; /* then so is the norm behind it */
    if (!laid->kernel) {
        lay_depthwise(s->t, c, (float *)(void *)(s->t->weights + laid->at));
        return MQ_OK;
    }
    if (n) scale_filters(c, n, scaled);
    const mq_keras_weights weights = {&c->param, c->depthwise, n ? scaled : c->values, MQ_F32};
    return mq_keras_lay_out(err, s->t->workers[worker].dnn, &weights, laid->kernel, s->t->weights + laid->at);
}

mq_status mq_masters_lay_out(mq_err *err, mq_trainable *t, bool thawed_only) {
    mq_status status = MQ_OK;
    for (size_t i = 0; i < t->norm_count; i++)
        if (!thawed_only || t->norms[i].thawed) refresh_norm(t, &t->norms[i]);
    MQ_TRY(mq_parallel_each(err, t->worker_count, t->laid_count, lay_item, &(lay_state){t, thawed_only}));
cleanup:
    return status;
}
