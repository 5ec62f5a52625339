/* quant.c: 8-bit layers found in a bundle. Called by the lowerings and whoever opens a model. Owns nothing.
 * Invariant: what passed mq_quant_check can be computed with: scales are positive, zeros whole u8 numbers. */
#include "net/quant.h"

#include "net/tensors.h"

#include <math.h>

/* With fewer channels little is gained: pictures. */
enum { CHANNELS_LEAST = 8 };

static const struct {
    const char *separable, *dense; /* names */
    bool of_filters;               /* else of channels that come in */
    bool whole;
    float least, most;
} parts[MQ_QUANT_PARTS] = {
    [MQ_QUANT_WEIGHTS] = {"pointwise_kernel", "kernel", false, false, 0.0f, 0.0f},
    [MQ_QUANT_WEIGHTS_SCALE] = {"pointwise_scale", "kernel_scale", true, false, 1e-30f, 1e30f},
    [MQ_QUANT_BIAS] = {"pointwise_bias", "kernel_bias", true, false, -1e30f, 1e30f},
    [MQ_QUANT_SCALE] = {"input_scale", "input_scale", false, false, 1e-30f, 1e30f},
    [MQ_QUANT_ZERO] = {"input_zero", "input_zero", false, true, 0.0f, 255.0f},
};

const char *mq_quant_name(const mq_node *layer, mq_quant_part part) {
    return layer->op == MQ_OP_SEPCONV ? parts[part].separable : parts[part].dense;
}

bool mq_quant_window(const mq_graph *graph, const mq_node *layer, mq_window *window) {
    if (layer->op == MQ_OP_SEPCONV) {
        *window = mq_pointwise_window(graph, layer);
        return true;
    }
    if (layer->op != MQ_OP_CONV) return false;
    *window = mq_node_window(graph, layer);
    return window->c >= CHANNELS_LEAST && !window->bottom && !window->right; /* nor, then, before */
}

static const float *numbers_of(const mq_bundle *weights, const char *prefix, const mq_node *layer,
                               mq_quant_part part) {
    return mq_tensors_get(weights, prefix, layer, mq_quant_name(layer, part));
}

static const mq_tensor *kernel_of(const mq_bundle *weights, const char *prefix, const mq_node *layer) {
    return mq_tensors_find(weights, prefix, layer, mq_quant_name(layer, MQ_QUANT_WEIGHTS));
}

bool mq_quant_find(const mq_bundle *weights, const char *prefix, const mq_node *layer, mq_quant *quant) {
    const mq_tensor *kernel = kernel_of(weights, prefix, layer);
    if (!kernel || kernel->dtype != MQ_I8) return false;
    *quant = (mq_quant){
        .weights = kernel->data,
        .weights_scale = numbers_of(weights, prefix, layer, MQ_QUANT_WEIGHTS_SCALE),
        .bias = numbers_of(weights, prefix, layer, MQ_QUANT_BIAS),
        .scale = numbers_of(weights, prefix, layer, MQ_QUANT_SCALE),
        .zero = numbers_of(weights, prefix, layer, MQ_QUANT_ZERO),
        .places = kernel->shape[0] * kernel->shape[1],
        .in = kernel->shape[2],
        .filters = kernel->shape[3],
    };
    return true;
}

bool mq_quant_any(const mq_bundle *weights) {
    for (size_t i = 0; i < mq_bundle_count(weights); i++)
        if (mq_bundle_at(weights, i)->dtype == MQ_I8) return true;
    return false;
}

void mq_quant_widen(const mq_quant *q, float *out) {
    for (size_t row = 0; row < q->places * q->in; row++)
        for (size_t f = 0; f < q->filters; f++) {
            const size_t at = row * q->filters + f;
            out[at] = (float)q->weights[at] * q->weights_scale[f] / q->scale[row % q->in];
        }
}

mq_status mq_quant_check(mq_err *err, const mq_graph *graph, const mq_bundle *weights, const char *prefix,
                         const mq_node *layer) {
    const mq_tensor *kernel = kernel_of(weights, prefix, layer);
    mq_window window;
    if (!mq_quant_window(graph, layer, &window))
        return mq_fail(err, MQ_BAD_DATA, "%s: the layer %s cannot be in 8 bits; export it again",
                       mq_bundle_path(weights), layer->name);
    for (mq_quant_part i = MQ_QUANT_WEIGHTS_SCALE; i < MQ_QUANT_PARTS; i++) {
        const char *name = mq_quant_name(layer, i);
        const mq_tensor *t = mq_tensors_find(weights, prefix, layer, name);
        const size_t count = kernel->shape[parts[i].of_filters ? 3 : 2];
        if (!t || t->dtype != MQ_F32 || t->rank != 1 || t->shape[0] != count)
            return mq_fail(err, MQ_BAD_DATA,
                           "%s: the 8-bit layer %s needs %zu numbers in %s; export it again",
                           mq_bundle_path(weights), layer->name, count, name);
        const float *numbers = t->data;
        for (size_t k = 0; k < count; k++)
            if (!(numbers[k] >= parts[i].least && numbers[k] <= parts[i].most) ||
                (parts[i].whole && numbers[k] != truncf(numbers[k])))
                return mq_fail(err, MQ_BAD_DATA, "%s: %s of the 8-bit layer %s holds %g; export it again",
                               mq_bundle_path(weights), name, layer->name, (double)numbers[k]);
    }
    return MQ_OK;
}
