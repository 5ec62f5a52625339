/* trainable_impl.h: a trainable's insides, shared by trainable.c (which runs it), lower_train.c and
 * lower_back.c (which make it), norms.c and masters.c.
 *
 * The work is a row of phases. All pictures of a batch pass through a phase before the next one begins: where
 * a batch norm needs the statistics of the whole batch, and where a gradient of weights needs the whole
 * batch's tensors. Within a phase each picture takes all its steps on one thread. */
#ifndef MQ_TRAINABLE_IMPL_H
#define MQ_TRAINABLE_IMPL_H

#include "net/depthwise.h"
#include "net/dnn.h"
#include "net/mapped.h"
#include "net/outer_blocks.h"
#include "net/plan.h"
#include "net/rows.h"
#include "net/trainable.h"
#include "net/windows.h"
#include "net/winograd.h"

#include "base/mem.h"

enum { MQ_NONE = SIZE_MAX };

/* How often a buffer or a loop's work exists. A part is a share of one gradient of weights, over all
 * pictures. */
typedef enum { MQ_EACH_PICTURE, MQ_EACH_PART, MQ_EACH_WORKER, MQ_ONCE } mq_each;

/* Buffers that are the caller's: input, features, gradient of features. They have no place in the arena. */
enum { MQ_TENSOR_INPUT, MQ_TENSOR_FEATURES, MQ_TENSOR_FEATURES_GRAD, MQ_TENSOR_GRADS, MQ_TENSORS_FIXED };

typedef struct {
    mq_each each;
    size_t bytes;         /* of one picture or worker */
    mq_lifetime lifetime; /* in phases; of a worker's buffer in steps */
    const char *name;     /* of the node; borrowed from the graph */
} mq_tensor_place;

typedef enum {
    MQ_STEP_KERNEL, /* oneDNN's */
    MQ_STEP_APPLY,  /* these are those of rows.h and windows.h */
    MQ_STEP_STATS,
    MQ_STEP_NORM_BACK,
    MQ_STEP_GRAD,
    MQ_STEP_POOL,
    MQ_STEP_POOL_BACK,
    MQ_STEP_MEAN,
    MQ_STEP_MEAN_BACK,
    MQ_STEP_MAPPED,      /* mapped.h; the window's source is SRC */
    MQ_STEP_MAPPED_BACK, /* the same; it is SRC2, SRC the gradient, WEIGHTS where that of weights goes, SCALES
                            where the result goes once more */
    MQ_STEP_REDUCE,      /* sums the pictures' gradients */
    MQ_STEP_OUTER,       /* a part of a gradient of weights */
} mq_step_kind;

typedef struct {
    mq_step_kind kind;
    const mq_kernel *kernel;  /* borrowed from a convolution or from the trainable's list */
    size_t buffers[MQ_SLOTS]; /* rows: SRC a, SRC2 b, BIAS old or places, DST out; MQ_NONE: none */
    size_t laid;              /* weights of a kernel; MQ_NONE */
    size_t grads_at;          /* where a gradient goes; MQ_NONE */
    size_t norm, norm_b;      /* of a and b; MQ_NONE */
    bool relu, sums;
    bool winograd;           /* a gradient of weights by winograd.h */
    size_t pixels, channels; /* channels: padded; of a gradient of weights not */
    mq_window window;        /* of a pool, or of the convolution with channels filters */
    const char *name;        /* of the node; borrowed */
} mq_train_step;

typedef struct {
    mq_each each; /* pictures, parts or once */
    size_t first, count;
    size_t parts;
} mq_train_loop;

typedef struct {
    size_t first_loop, loops;
    size_t first_finish, finishes; /* norms whose sums are complete when the phase begins */
} mq_train_phase;

typedef struct {
    size_t norm;
    bool backward;
} mq_finish;

/* A batch norm. */
typedef struct {
    const mq_node *node;
    size_t channels, padded;  /* padded: mq_train_padded */
    size_t pixels;            /* of one picture */
    bool thawed, batch;       /* batch: on the statistics of the batch */
    size_t gamma_at, beta_at; /* in params and grads, thawed only */
    size_t moving_at;         /* mean, then variance, in moving; batch only */
    float *gamma, *beta;      /* here and below [padded channels], owned in one block beginning at gamma */
    float *moving_mean, *moving_variance;
    float *mean, *inverse;     /* of the pass; 1 / sqrt(variance + epsilon) */
    float *scale, *shift;      /* the affine map of the pass */
    float *mean_grad, *factor; /* see rows.h */
    double *sums;              /* [batch, padded / block, 2, block], owned */
    size_t block;              /* mq_train_block */
} mq_norm;

/* One of oneDNN's convolutions: a plain one, or either half of a separable one. */
typedef struct {
    const mq_node *node;
    mq_param_shape param;
    mq_window window; /* n is 1 */
    size_t filters;
    bool depthwise, thawed;
    size_t norm;         /* on stored statistics, whose scale the way back takes with it; MQ_NONE */
    size_t param_at;     /* in params and grads; thawed only */
    const float *values; /* master weights in Keras' order; borrowed: from params, or during creation from the
                            bundle */
    mq_kernel *kernels[2]; /* by mq_pass, owned; NULL: not needed */
    size_t laid[2];        /* their weights; MQ_NONE. Those for mapped.h are the first */
} mq_conv;

/* Weights laid out for a kernel. */
typedef struct {
    size_t conv;
    size_t norm;             /* whose scale multiplies them; MQ_NONE */
    const mq_kernel *kernel; /* borrowed; NULL: f32 as Keras keeps them */
    size_t at;               /* in the block of laid out weights */
} mq_laid;

typedef struct {
    mq_dnn *dnn;
    mq_call **calls; /* one for each step; NULL for those of rows.h */
    uint8_t *arena;
} mq_train_worker;

struct mq_trainable {
    mq_graph *graph; /* owned: names */
    mq_dnn *dnn;
    const mq_rows_kernels *rows;
    const mq_window_kernels *windows;
    const mq_mapped_kernels *mapped;
    mq_outer_fn outer; /* of gradients of weights where channels are last */
    mq_dtype dtype;
    bool batch_statistics;
    const mq_outer_blocks *blocks; /* channels lie in its blocks; NULL: last */
    size_t boundary, features;     /* node; numbers of a result */
    size_t batch;                  /* pictures of a pass: of the whole step, or of a slice */
    mq_tensor_place *tensors;
    size_t tensor_count, tensor_capacity;
    mq_train_step *steps;
    size_t step_count, step_capacity;
    mq_train_loop *loops;
    size_t loop_count, loop_capacity;
    mq_train_phase *phases;
    size_t phase_count, phase_capacity, backward; /* backward: the first phase of the backward pass */
    mq_finish *finishes;
    size_t finish_count, finish_capacity;
    mq_norm *norms;
    size_t norm_count;
    mq_conv *convs;
    size_t conv_count;
    mq_laid *laid;
    size_t laid_count, laid_capacity;
    mq_kernel **kernels; /* reorders, owned */
    size_t kernel_count, kernel_capacity;
    mq_trainable_tensor *names, *moving_names;
    size_t name_count, moving_name_count;
    float *params, *grads, *moving;
    size_t count, moving_count;
    uint8_t *weights, *arena;
    size_t weights_bytes, arena_bytes, worker_bytes;
    mq_train_worker *workers;
    size_t worker_count;
    size_t n;      /* pictures of the last forward pass; 0: none yet */
    double *times; /* [workers, steps] seconds; NULL: not measured. Owned */
};

/* Channels that lie together in a tensor of so many. */
static inline size_t mq_train_block(const mq_trainable *t, size_t channels) {
    return !t->blocks ? channels : channels % MQ_BLOCK ? 1 : mq_outer_blocks_size(t->blocks);
}

/* So many channels with those that fill the last block. These have zeros for weights, scale and shift, so
 * that all that is computed of them is zero. */
static inline size_t mq_train_padded(const mq_trainable *t, size_t channels) {
    return mq_round_up(channels, mq_train_block(t, channels));
}

/* Steps from `first` on that a picture takes block by block: they only go through channels, as many of them.
 */
enum { MQ_RUN_MAX = 8 };
size_t mq_train_run(const mq_trainable *t, const mq_train_loop *loop, size_t first);

/* How often the work of a loop is done for n pictures. */
size_t mq_train_items(const mq_train_loop *loop, size_t n);

/* What a step does, for people: "forward", "by data", "sums", ...; static. */
const char *mq_train_step_name(const mq_trainable *t, const mq_train_step *step);

/* masters.c: finds norms and convolutions, gives parameters their places and first values. */
MQ_MUST_USE mq_status mq_masters_create(mq_err *err, const mq_trainable_plan *plan, mq_trainable *t);

/* Lays out the weights of all convolutions, or of the thawed ones only; and norms take over their parameters.
 * The tensors of the batch are lost: each worker uses mq_masters_scratch bytes of their memory. */
size_t mq_masters_scratch(const mq_trainable *t);
MQ_MUST_USE mq_status mq_masters_lay_out(mq_err *err, mq_trainable *t, bool thawed_only);

/* lower_train.c and lower_back.c: fill an empty trainable with phases. */
MQ_MUST_USE mq_status mq_lower_train(mq_err *err, mq_trainable *t);

/* norms.c */
MQ_MUST_USE mq_status mq_norm_create(mq_err *err, size_t batch, mq_norm *norm);
void mq_norm_free(mq_norm *norm);

/* Scale and shift from the stored statistics. */
void mq_norm_stored(mq_norm *norm);

/* From the sums of n pictures: scale and shift and the moving averages, or gradients and what norm_back
 * needs. */
void mq_norm_finish_forward(mq_norm *norm, size_t n, float *moving);
void mq_norm_finish_backward(mq_norm *norm, size_t n, float *grads, bool add);

#endif
