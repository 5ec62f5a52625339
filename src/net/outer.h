/* outer.h: the gradient of a convolution's weights as one sum of outer products: over all pixels of all
 * pictures, what the window sees times the gradient of the result.
 *
 * sum[(y, x, c), f] = sum over pixels of source[pixel's window at y, x; c] gradient[pixel; f], which is
 * Keras' order of a kernel [h, w, in, out]. Products of bf16 numbers are exact and summed in f32, in the
 * order of pixels: a result depends on the instruction set, but neither on threads nor on how it is cut into
 * parts. */
#ifndef MQ_OUTER_H
#define MQ_OUTER_H

#include "net/bundle.h"
#include "net/graph.h"

/* All memory is borrowed. */
typedef struct {
    mq_window window; /* n pictures, NHWC */
    size_t filters;
    const uint8_t *source, *gradient;
    size_t source_bytes, gradient_bytes; /* from one picture to the next */
    float *sum;                          /* [kernel, kernel, c, filters] */
    const float *scale;                  /* [filters, to whole blocks] multiplies the products; NULL: 1. In
                                          * blocks only (outer_blocks.h) */
    bool add;                            /* to what sum holds; else it is overwritten */
    void *scratch;                       /* mq_outer_scratch bytes on a 64-byte boundary */
} mq_outer;

/* Computes the rows of sum that belong to part of parts; every part may run on a thread of its own, with
 * scratch of its own. */
typedef void (*mq_outer_fn)(const mq_outer *outer, size_t part, size_t parts);

/* The function for dtype (MQ_F32 or MQ_BF16) in the widest instruction set that the network may use here;
 * static. */
mq_outer_fn mq_outer_of(mq_dtype dtype);

/* How many parts there are at most: any more would have no rows. */
size_t mq_outer_parts(const mq_window *window);
size_t mq_outer_scratch(const mq_window *window, size_t filters, size_t parts);

#endif
