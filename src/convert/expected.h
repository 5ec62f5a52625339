/* expected.h: what marque wants from a weights file, as it says on stdin.
 *
 *   {"network": "xception", "layers": [{"layer": "block1_conv1", "class": "Conv2D",
 *       "params": [{"name": "kernel", "shape": [3, 3, 3, 32]}, ...]}, ...]}
 *
 * Layers stand in the order of Keras' model.layers, parameters in the order of
 * Keras' layer.weights. */
#ifndef MQ_CONVERT_EXPECTED_H
#define MQ_CONVERT_EXPECTED_H

#include "base/json.h"

enum { MQ_PARAM_RANK_MAX = 8, MQ_NUMBER_SCOPE = 1 << 20 };

typedef struct {
    const char *name; /* "kernel" */
    size_t rank;
    size_t shape[MQ_PARAM_RANK_MAX];
    size_t count; /* numbers: the product of shape */
} mq_expected_param;

typedef struct {
    const char *name;   /* "block1_conv1" */
    char kind[64];      /* its class as Keras 3 writes it in paths: "conv2d" */
    bool unnamed;       /* Keras chose the name (conv2d, conv2d_7): another file may have another counter */
    size_t same_kind;   /* layers of this kind before it */
    size_t unnamed_ago; /* unnamed layers of this kind that Keras numbered before it */
    mq_expected_param *params;
    size_t param_count;
} mq_layer_shape;

typedef struct {
    mq_json *json; /* owns the names */
    const char *network;
    mq_layer_shape *layers;
    size_t count;
} mq_expected;

/* Reads the list; *expected is the caller's, for mq_expected_free. */
MQ_MUST_USE mq_status mq_expected_parse(mq_err *err, const void *text, size_t size, mq_expected *expected);
void mq_expected_free(mq_expected *expected);

/* Whether rank and sides are equal. */
bool mq_same_shape(const mq_expected_param *a, const mq_expected_param *b);

/* A class name as Keras 3 writes it in paths: SeparableConv2D -> separable_conv2d. Returns out. */
const char *mq_snake_case(const char *class_name, char *out, size_t size);

/* Whether Keras chose name for a layer of kind: the kind itself or kind_NUMBER; Keras 1 wrote convolution2d_1
 * and batchnormalization_1, TensorFlow 1.13 batch_normalization_v1_1, and TensorFlow's scopes may add another
 * _NUMBER. Unless NULL, *number becomes the layer's number times MQ_NUMBER_SCOPE plus the scope's, each 0
 * where there is none. */
bool mq_is_unnamed(const char *name, const char *kind, size_t *number);

/* Whether name is base with one _NUMBER behind it. */
bool mq_is_counted(const char *name, const char *base);

#endif
