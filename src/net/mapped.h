/* mapped.h: batch norm (as a map), ReLU and a depthwise convolution in one go while a network trains, and
 * their gradients. The map is computed row by row into a ring of three rows, which stays in the first cache,
 * so that no tensor stands between them.
 *
 * One picture at a time, NHWC; tensors are f32 or bf16 in memory, the ring, weights and sums f32. Numbers
 * depend on the instruction set, but not on threads. */
#ifndef MQ_MAPPED_H
#define MQ_MAPPED_H

#include "net/bundle.h"
#include "net/graph.h"
#include "net/rows.h"

/* All memory is borrowed. */
typedef struct {
    mq_window window;   /* mq_depthwise_slides */
    const void *source; /* [h, w, c] */
    const float *scale,
        *shift;           /* [c], see rows.h: the map is ReLU(scale source + shift); NULL: ReLU(source) */
    bool relu;            /* false: without */
    const float *weights; /* [3, 3, c] */
    size_t apart;  /* floats from one place of the window to the next, here and in the weights' gradient */
    void *scratch; /* mq_mapped_scratch */
} mq_mapped;

/* What the way back makes. */
typedef struct {
    const void *gradient; /* [h, w, c] of the convolution's result */
    void *result;         /* [h, w, c]: that result once more; NULL: not wanted */
    float *weights;       /* [3, 3, c]: the gradient of weights, written; NULL: not wanted */
    const mq_rows *below; /* of rows.h, for the whole picture: grad takes the map's gradient as its a (here
                             NULL) and source as its b; NULL: not wanted */
} mq_mapped_back;

size_t mq_mapped_scratch(void);

/* Those for tensors in dtype (MQ_F32 or MQ_BF16), in the widest instruction set that the network may use
 * here; static. */
typedef struct mq_mapped_kernels mq_mapped_kernels;
const mq_mapped_kernels *mq_mapped_kernels_of(mq_dtype dtype);

/* out [h, w, c]. */
void mq_mapped_forward(const mq_mapped_kernels *kernels, const mq_mapped *m, void *out);
void mq_mapped_backward(const mq_mapped_kernels *kernels, const mq_mapped *m, const mq_mapped_back *back);

#endif
