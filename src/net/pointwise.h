/* pointwise.h: 1x1 convolutions and their gradients by data in f32 with AVX2, for where there is a stride:
 * oneDNN's kernels reach a tenth to two thirds of the processor's peak there. One picture, whose channels lie
 * in blocks ([c / 8][h][w][8]).
 *
 * Forward: result[pixel, f] = sum over c of source[pixel, c] weights[c, f] (+ bias[f]) (+ what it held), then
 * ReLU. Back: result[pixel, c] = sum over f of source[pixel, f] weights[c, f], where source is the gradient
 * of the convolution's result; pixels that a stride leaves out are zero. Each number is summed in one order,
 * whatever runs its item. */
#ifndef MQ_POINTWISE_H
#define MQ_POINTWISE_H

#include "net/graph.h"

/* All memory is borrowed. */
typedef struct {
    mq_window window; /* n and kernel are 1, no padding; channels and filters fill blocks */
    size_t filters;
    bool back;
    const float *source;
    const float *weights; /* in panels of 8 columns: [outer / 8][inner][8] */
    const float *bias;    /* [filters]; NULL: none */
    bool sum, relu;       /* forward only: result += what it held before, ahead of ReLU */
    float *result;
} mq_pointwise;

/* Whether this processor has what run needs, and does not have better (AVX-512, where oneDNN is as fast). */
bool mq_pointwise_suits(void);

/* Zeros what no item writes; before the first of them. */
void mq_pointwise_clear(const mq_pointwise *p);

/* Pieces of the result, and their computation from `from` up to `to`; any thread. */
size_t mq_pointwise_items(const mq_pointwise *p);
void mq_pointwise_run(const mq_pointwise *p, size_t from, size_t to);

#endif
