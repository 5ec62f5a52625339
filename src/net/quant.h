/* quant.h: layers in 8 bits. A convolution may keep its kernel as int8 numbers; what they are multiplied by
 * is made u8 on the way: a separable convolution's is the result of its depthwise half, any other's its
 * source.
 *
 * For such a tensor y, numbers in memory a (u8) and a kernel w [places, in, filters] (int8; places are a
 * window's, one of a pointwise kernel):
 *     a[c] = round(y[c] / scale[c] + zero[c]), kept within 0..255, of every pixel
 *     result[f] = weights_scale[f] sum over places p, channels c of (a[p, c] - zero[c]) w[p, c, f] + bias[f]
 * as B. Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
 * Inference, 2018, have it, with a scale for each channel on both sides: scale goes into the depthwise
 * weights, zero into the bias, so that neither costs anything. */
#ifndef MQ_QUANT_H
#define MQ_QUANT_H

#include "net/bundle.h"
#include "net/graph.h"

/* Tensors of one layer in a bundle, borrowed. */
typedef struct {
    const int8_t *weights;             /* [places, in, filters] */
    const float *weights_scale, *bias; /* [filters] */
    const float *scale, *zero;         /* [in] */
    size_t places, in, filters;
} mq_quant;

typedef enum {
    MQ_QUANT_WEIGHTS, /* [kernel, kernel, in, filters], in the place of the kernel in f32 */
    MQ_QUANT_WEIGHTS_SCALE,
    MQ_QUANT_BIAS,
    MQ_QUANT_SCALE,
    MQ_QUANT_ZERO,
    MQ_QUANT_PARTS
} mq_quant_part;

/* The name of a part, behind LAYER/; static. */
const char *mq_quant_name(const mq_node *layer, mq_quant_part part);

/* Where a layer's 8-bit kernel lies over what is made u8; false: the layer cannot be in 8 bits. (A window
 * that reaches over the edge would meet zeros there, which are not the tensor's; pictures have too few
 * channels.) */
bool mq_quant_window(const mq_graph *graph, const mq_node *layer, mq_window *window);

/* Whether the layer is in 8 bits. */
bool mq_quant_find(const mq_bundle *weights, const char *prefix, const mq_node *layer, mq_quant *quant);

/* Whether any layer of the bundle is. */
bool mq_quant_any(const mq_bundle *weights);

/* The kernel as numbers, [places, in, filters], for programs in other formats. */
void mq_quant_widen(const mq_quant *quant, float *out);

/* Checks an 8-bit layer's tensors beside the kernel: MQ_BAD_DATA for one that is missing, of another shape,
 * or out of range, and for a layer that cannot be in 8 bits. */
MQ_MUST_USE mq_status mq_quant_check(mq_err *err, const mq_graph *graph, const mq_bundle *weights,
                                     const char *prefix, const mq_node *layer);

#endif
