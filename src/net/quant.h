/* quant.h: layers in 8 bits. A separable convolution may keep its pointwise kernel as int8 numbers; what they
 * are multiplied by, the depthwise result, is made u8 on the way.
 *
 * For depthwise result y, numbers in memory a [in] (u8) and w [in, filters] (int8):
 *     a[c] = round(y[c] / scale[c] + zero[c]), kept within 0..255
 *     pointwise result[f] = weights_scale[f] sum over c of (a[c] - zero[c]) w[c, f] + bias[f]
 * as B. Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
 * Inference, 2018, have it, with a scale for each channel on both sides: scale goes into the depthwise
 * weights, zero into the bias, so that neither costs anything. */
#ifndef MQ_QUANT_H
#define MQ_QUANT_H

#include "net/bundle.h"
#include "net/graph.h"

/* Tensors of one layer in a bundle, borrowed: LAYER/pointwise_kernel [1, 1, in, filters] and beside it
 * pointwise_scale, pointwise_bias [filters], input_scale, input_zero [in]. */
typedef struct {
    const int8_t *weights;
    const float *weights_scale, *bias;
    const float *scale, *zero;
    size_t in, filters;
} mq_quant;

/* The names, behind LAYER/. */
#define MQ_QUANT_WEIGHTS "pointwise_kernel"
#define MQ_QUANT_WEIGHTS_SCALE "pointwise_scale"
#define MQ_QUANT_BIAS "pointwise_bias"
#define MQ_QUANT_SCALE "input_scale"
#define MQ_QUANT_ZERO "input_zero"

/* Whether the layer is in 8 bits. */
bool mq_quant_find(const mq_bundle *weights, const char *prefix, const mq_node *layer, mq_quant *quant);

/* Whether any layer of the bundle is. */
bool mq_quant_any(const mq_bundle *weights);

/* The pointwise kernel as numbers, [in, filters], for programs in other formats. */
void mq_quant_widen(const mq_quant *quant, float *out);

/* Checks an 8-bit layer's tensors beside the kernel: MQ_BAD_DATA for one that is missing, of another shape,
 * or out of range. */
MQ_MUST_USE mq_status mq_quant_check(mq_err *err, const mq_bundle *weights, const char *prefix,
                                     const mq_node *layer);

#endif
