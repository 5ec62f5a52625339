/* foreign.h: weights files of others, read by the process marque-convert. What
 * it says is checked again here: the process has read a hostile file. */
#ifndef MQ_FOREIGN_H
#define MQ_FOREIGN_H

#include "net/bundle.h"
#include "net/graph.h"

typedef struct {
    const char *layer;      /* Keras' name; those that Keras chose itself as in a fresh session; borrowed */
    const char *class_name; /* "SeparableConv2D"; borrowed */
    size_t param_count;
    mq_param_shape params[MQ_NODE_PARAMS]; /* in the order of Keras' layer.weights */
} mq_foreign_layer;

/* The layers with parameters that a file must hold, in the order of Keras' model.layers. */
typedef struct {
    const char *network; /* for messages; borrowed */
    mq_foreign_layer *layers;
    size_t count;
} mq_foreign_list;

/* Reads from a .keras, .weights.h5 or .h5 file exactly the listed tensors, named layer/param, f32. *bundle is
 * the caller's. The file's own format and Keras' version are its metadata "format" and "keras_version". */
MQ_MUST_USE mq_status mq_foreign_read(mq_err *err, const char *path, const mq_foreign_list *list,
                                      mq_bundle **bundle);

/* Compares names, types and shapes of a bundle with the list. */
MQ_MUST_USE mq_status mq_foreign_check(mq_err *err, const mq_foreign_list *list, const mq_bundle *bundle);

/* The total of the listed numbers in bytes. */
size_t mq_foreign_bytes(const mq_foreign_list *list);

#endif
