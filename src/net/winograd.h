/* winograd.h: convolutions of 3 x 3 windows by steps of 1, in f32, by a quarter of the products: F(4x4, 3x3)
 * of Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (arXiv 1509.09308).
 *
 * 4 x 4 results come from 6 x 6 pixels d and the window's weights g by 36 products for each pair of channels
 * instead of 144: A'[(G g G') (B' d B)]A, whose matrices belong to the points 0, 1/sqrt 2, -1/sqrt 2, sqrt 2,
 * -sqrt 2 and infinity. With these the rounding errors are little larger than those of a plain sum.
 *
 * Tensors lie in blocks of as many channels as a vector has ([c / lanes][h][w][lanes]) or channels last.
 * Numbers do not depend on how the work is cut into parts. */
#ifndef MQ_WINOGRAD_H
#define MQ_WINOGRAD_H

#include "net/outer.h"

/* Lanes of the vectors that the network may use here; 0: there is no such kernel. */
size_t mq_winograd_lanes(void);

/* A convolution of one picture, or its gradient by data. */
typedef struct {
    mq_window window;
    size_t filters;
    bool back; /* from the gradient of the result to that of the source */
    bool last; /* channels lie last */
    bool relu; /* forward only */
    size_t parts;
} mq_winograd;

/* Whether it takes that window and those channels, and is worth it. */
bool mq_winograd_suits(const mq_winograd *winograd);

/* Bytes of the scratch memory of all parts, which begins on a 64-byte boundary. */
size_t mq_winograd_scratch(const mq_winograd *winograd);

/* First the weights, [3][3][channels read][channels written], of the channels read from `from` up to `to`;
 * when all are done, the parts. Each on any thread. */
void mq_winograd_weigh(const mq_winograd *winograd, size_t from, size_t to, const float *weights,
                       void *scratch);

/* What is read and written is the source and the result, or their gradients. bias [filters]; NULL: none. */
void mq_winograd_run(const mq_winograd *winograd, size_t part, const float *read, const float *bias,
                     float *written, void *scratch);

/* The gradient of weights (see outer.h), in one part: whether it takes that, its scratch memory, and it. */
bool mq_winograd_outer_suits(const mq_window *window, size_t filters);
size_t mq_winograd_outer_scratch(const mq_window *window, size_t filters);
void mq_winograd_outer(const mq_outer *outer);

#endif
