/* windows.h: what slides a window over a picture beside convolutions: pools. Pictures are NHWC, one at a
 * time; numbers are f32 or bf16 in memory and f32 in between. A result depends neither on the instruction set
 * nor on threads: channels never mix and pixels are added in order. */
#ifndef MQ_WINDOWS_H
#define MQ_WINDOWS_H

#include "net/bundle.h"
#include "net/graph.h"

typedef struct {
    /* Largest of each window of a, and where it stood in the window (the first of equals), [out_h, out_w, c];
     * places NULL: not wanted. */
    void (*max_pool)(const mq_window *w, const void *a, void *out, uint8_t *places);
    /* Its gradient: a [out_h, out_w, c] -> out [h, w, c]. */
    void (*max_pool_back)(const mq_window *w, const void *a, const uint8_t *places, void *out);
} mq_window_kernels;

/* The functions for dtype (MQ_F32 or MQ_BF16) in the widest instruction set that the network may use here;
 * static. */
const mq_window_kernels *mq_window_kernels_of(mq_dtype dtype);

#endif
