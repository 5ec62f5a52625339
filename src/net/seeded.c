/* seeded.c: random weights as a bundle in memory. Called by bench and by the
 * golden tests, whose generator draws the same numbers in Python. Owns nothing.
 * Invariant: tensor number and element decide a number, threads never do. */
#include "net/seeded.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

enum { LENGTH_BYTES = 8 };

typedef struct {
    float *out;
    uint64_t seed;
    uint32_t tensor;
    float scale, shift; /* out = u * scale + shift for u in [0, 1), rounded twice */
} draw;

static void draw_range(void *ctx, size_t begin, size_t end) {
    const draw *d = ctx;
    for (size_t i = begin; i < end; i++)
        d->out[i] = mq_rng_unit(d->seed, MQ_RNG_INIT, d->tensor, i) * d->scale + d->shift;
}

static draw distribution(const mq_param_shape *param) {
    if (param->rank == 4) {
        const size_t fan_in = mq_param_numbers(param) / param->shape[3] /
                              (param->shape[3] == 1 ? param->shape[2] : 1);
        const float limit = (float)sqrt(3.0 / (double)fan_in);
        return (draw){.scale = 2.0f * limit, .shift = -limit};
    }
    const bool positive = strcmp(param->name, "gamma") == 0 || strcmp(param->name, "moving_variance") == 0;
    return (draw){.scale = 1.0f, .shift = positive ? 0.5f : -0.5f};
}

typedef mq_status (*visit_fn)(mq_err *err, void *user, const mq_node *node, const mq_param_shape *param,
                              uint32_t tensor, size_t at);

/* Calls visit for every parameter in network order with its offset in bytes. */
MQ_MUST_USE static mq_status each_param(mq_err *err, const mq_graph *graph, visit_fn visit, void *user) {
    uint32_t tensor = 0;
    size_t at = 0;
    for (size_t i = 0; i < mq_graph_size(graph); i++) {
        const mq_node *node = mq_graph_node(graph, i);
        for (size_t k = 0; k < mq_node_param_count(node); k++) {
            const mq_param_shape param = mq_node_param(graph, node, k);
            const mq_status status = visit(err, user, node, &param, tensor++, at);
            if (status != MQ_OK) return status;
            at += mq_param_numbers(&param) * sizeof(float);
        }
    }
    return MQ_OK;
}

static mq_status add_entry(mq_err *err, void *user, const mq_node *node, const mq_param_shape *param,
                           uint32_t tensor, size_t at) {
    mq_status status = MQ_OK;
    mq_buf *header = user;
    MQ_TRY(mq_buf_printf(err, header, "%s\"%s/%s\":{\"dtype\":\"F32\",\"shape\":[", tensor ? "," : "{",
                         node->name, param->name));
    for (size_t i = 0; i < param->rank; i++)
        MQ_TRY(mq_buf_printf(err, header, i ? ",%zu" : "%zu", param->shape[i]));
    MQ_TRY(mq_buf_printf(err, header, "],\"data_offsets\":[%zu,%zu]}", at,
                         at + mq_param_numbers(param) * sizeof(float)));
cleanup:
    return status;
}

typedef struct {
    uint8_t *data;
    uint64_t seed;
} target;

static mq_status fill(mq_err *err, void *user, const mq_node *node, const mq_param_shape *param,
                      uint32_t tensor, size_t at) {
    (void)err, (void)node;
    const target *t = user;
    draw d = distribution(param);
    d.out = (float *)(void *)(t->data + at);
    d.seed = t->seed;
    d.tensor = tensor;
    mq_parallel_for(mq_param_numbers(param), draw_range, &d);
    return MQ_OK;
}

mq_status mq_seeded_weights(mq_err *err, const mq_graph *graph, uint64_t seed, mq_bundle **weights) {
    mq_status status = MQ_OK;
    mq_buf header = mq_buf_init(1u << 20);
    uint8_t *file = NULL;
    const size_t bytes = mq_graph_param_total(graph) * sizeof(float);
    MQ_TRY(each_param(err, graph, add_entry, &header));
    MQ_TRY(mq_buf_add(err, &header, "}", 1));
    while (header.size % LENGTH_BYTES) MQ_TRY(mq_buf_add(err, &header, " ", 1));
    MQ_TRY(mq_alloc_aligned(err, 1, LENGTH_BYTES + header.size + bytes, "random weights", &file));
    for (size_t i = 0; i < LENGTH_BYTES; i++) file[i] = (uint8_t)((uint64_t)header.size >> 8 * i);
    memcpy(file + LENGTH_BYTES, header.data, header.size);
    MQ_TRY(each_param(err, graph, fill, &(target){file + LENGTH_BYTES + header.size, seed}));
    MQ_TRY(mq_bundle_parse(err, "random weights", file, LENGTH_BYTES + header.size + bytes, weights));
cleanup:
    mq_buf_free(&header);
    free(file);
    return status;
}
