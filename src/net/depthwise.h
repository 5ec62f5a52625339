/* depthwise.h: depthwise convolutions for use (training has mapped.h): every channel filtered by itself, on
 * one picture whose channels lie last.
 *
 * Numbers are f32 or bf16 in memory; weights, and the sums over the window, are f32. The result is rounded to
 * the source's format, or to 8 bits: u8 = round(zero + sum), kept within 0..255, which is how a quantised
 * pointwise convolution wants it. Numbers depend on the instruction set (whether products are rounded before
 * they are added), but neither on threads nor on how rows are cut. */
#ifndef MQ_DEPTHWISE_H
#define MQ_DEPTHWISE_H

#include "net/bundle.h"
#include "net/graph.h"

/* All memory is borrowed. */
typedef struct {
    mq_window window;     /* n is 1 */
    const void *a;        /* [h, w, c] */
    void *out;            /* [rows that are computed, out_w, c] */
    const float *weights; /* [kernel, kernel, c], as Keras keeps them */
    const float *zero;    /* [c]: the result is u8, around these; NULL: it has the source's format */
    bool relu;            /* of the source, as it is read */
} mq_depthwise;

/* Computes the result's rows from `from` up to `to`; any thread. */
typedef void (*mq_depthwise_fn)(const mq_depthwise *d, size_t from, size_t to);

/* The function for sources of dtype (MQ_F32 or MQ_BF16) and c channels in the widest instruction set that the
 * network may use here; static. */
mq_depthwise_fn mq_depthwise_of(mq_dtype dtype, const mq_window *window);

enum { MQ_DEPTHWISE_SIDE = 3 };

/* Whether a window is Xception's: 3x3 by steps of 1, zeros around. */
bool mq_depthwise_slides(const mq_window *window);

/* The plain loop, which all others are held against. */
mq_depthwise_fn mq_depthwise_plain(mq_dtype dtype);

#endif
