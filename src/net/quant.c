/* quant.c: 8-bit layers found in a bundle. Called by the lowerings and whoever opens a model. Owns nothing.
 * Invariant: what passed mq_quant_check can be computed with: scales are positive, zeros whole u8 numbers. */
#include "net/quant.h"

#include "net/tensors.h"

#include <math.h>

static const struct {
    const char *name;
    bool of_filters; /* else of channels that come in */
    bool whole;
    float least, most;
} parts[] = {
    {MQ_QUANT_WEIGHTS_SCALE, true, false, 1e-30f, 1e30f},
    {MQ_QUANT_BIAS, true, false, -1e30f, 1e30f},
    {MQ_QUANT_SCALE, false, false, 1e-30f, 1e30f},
    {MQ_QUANT_ZERO, false, true, 0.0f, 255.0f},
};
enum { PARTS = sizeof parts / sizeof *parts };

bool mq_quant_find(const mq_bundle *weights, const char *prefix, const mq_node *layer, mq_quant *quant) {
    const mq_tensor *kernel = mq_tensors_find(weights, prefix, layer, MQ_QUANT_WEIGHTS);
    if (!kernel || kernel->dtype != MQ_I8) return false;
    *quant = (mq_quant){
        .weights = kernel->data,
        .weights_scale = mq_tensors_get(weights, prefix, layer, MQ_QUANT_WEIGHTS_SCALE),
        .bias = mq_tensors_get(weights, prefix, layer, MQ_QUANT_BIAS),
        .scale = mq_tensors_get(weights, prefix, layer, MQ_QUANT_SCALE),
        .zero = mq_tensors_get(weights, prefix, layer, MQ_QUANT_ZERO),
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
    for (size_t c = 0; c < q->in; c++)
        for (size_t f = 0; f < q->filters; f++) {
            const size_t at = c * q->filters + f;
            out[at] = (float)q->weights[at] * q->weights_scale[f] / q->scale[c];
        }
}

mq_status mq_quant_check(mq_err *err, const mq_bundle *weights, const char *prefix, const mq_node *layer) {
    const mq_tensor *kernel = mq_tensors_find(weights, prefix, layer, MQ_QUANT_WEIGHTS);
    for (size_t i = 0; i < PARTS; i++) {
        const mq_tensor *t = mq_tensors_find(weights, prefix, layer, parts[i].name);
        const size_t count = kernel->shape[parts[i].of_filters ? 3 : 2];
        if (!t || t->dtype != MQ_F32 || t->rank != 1 || t->shape[0] != count)
            return mq_fail(err, MQ_BAD_DATA,
                           "%s: the 8-bit layer %s needs %zu numbers in %s; export it again",
                           mq_bundle_path(weights), layer->name, count, parts[i].name);
        const float *numbers = t->data;
        for (size_t k = 0; k < count; k++)
            if (!(numbers[k] >= parts[i].least && numbers[k] <= parts[i].most) ||
                (parts[i].whole && numbers[k] != truncf(numbers[k])))
                return mq_fail(err, MQ_BAD_DATA, "%s: %s of the 8-bit layer %s holds %g; export it again",
                               mq_bundle_path(weights), parts[i].name, layer->name, (double)numbers[k]);
    }
    return MQ_OK;
}
