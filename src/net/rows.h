/* rows.h: what lies between convolutions while a network trains, on one picture as rows of channels (NHWC):
 * normalising, ReLU, sums, and their gradients.
 *
 * Numbers are f32 or bf16 in memory and f32 in between; sums over pixels are kept in double. A result depends
 * neither on the instruction set nor on threads: channels never mix and pixels are added in order.
 * Arrays of one number a channel are f32 and readable up to a multiple of MQ_ROWS_PAD. */
#ifndef MQ_ROWS_H
#define MQ_ROWS_H

#include "net/bundle.h"
#include "net/graph.h"

enum { MQ_ROWS_PAD = 16 };

/* The arguments of every function below; all memory is borrowed. out may be a, b or old: a number is read
 * before its place is written. */
typedef struct {
    size_t pixels, channels;
    void *out;
    const void *a, *b;                      /* b NULL: none */
    const void *old;                        /* grad: what is added; NULL: nothing */
    const float *scale, *shift;             /* of a; NULL: a as it is */
    const float *scale_b, *shift_b;         /* of b; NULL: b as it is */
    const float *mean, *mean_grad, *factor; /* see stats, norm_back and grad */
    bool relu;
    double *sums; /* [2, channels] */
} mq_rows;

typedef struct {
    /* out = A(a) + B(b), then the ReLU; A(x) = scale x + shift. */
    void (*apply)(const mq_rows *r);
    /* sums = sum of (a - mean), sum of its square, over pixels. mean keeps the numbers small: it may be
     * anything. */
    void (*stats)(const mq_rows *r);
    /* The gradient of batch norm: out = scale ((a - mean_grad) - (b - mean) factor) for gradient a and input
     * b; with mean_grad NULL (stored statistics): out = scale a. */
    void (*norm_back)(const mq_rows *r);
    /* The gradient a where the ReLU of B(b) let pass (relu false: everywhere), plus old; and, where sums are
     * wanted, the sum of out and of out (b - mean) are added to them. */
    void (*grad)(const mq_rows *r);
    /* Mean over pixels, f32 [channels]; its gradient. */
    void (*mean)(const mq_rows *r, float *means);
    void (*mean_back)(const mq_rows *r, const float *gradient);
} mq_rows_kernels;

/* The functions for dtype (MQ_F32 or MQ_BF16) in the widest instruction set that the network may use here;
 * static. */
const mq_rows_kernels *mq_rows_kernels_of(mq_dtype dtype);

#endif
