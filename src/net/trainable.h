/* trainable.h: the thawed part of a network made ready to train: forward pass, backward pass, parameters,
 * gradients and moving statistics. What lies below the first thawed block is run by a program (program.h)
 * whose output is the boundary tensor, the input here. */
#ifndef MQ_TRAINABLE_H
#define MQ_TRAINABLE_H

#include "base/buf.h"
#include "net/arch.h"
#include "net/bundle.h"
#include "net/work.h"

typedef struct mq_trainable mq_trainable;

typedef struct {
    size_t size; /* sizeof(mq_trainable_plan) */
    const mq_arch *arch;
    const mq_bundle *weights; /* borrowed during creation: all of the trunk, f32 under Keras' names */
    const char *prefix;       /* before the names, such as "trunk/"; "" for plain weights */
    uint32_t imgsz;
    size_t batch;      /* the most pictures of a step; see mq_trainable_rows */
    mq_dtype dtype;    /* of activations and their gradients: MQ_F32 or MQ_BF16; all else is f32 */
    const char *first; /* the lowest thawed block, such as "block13"; NULL: everything is thawed */
    const char *last;  /* the highest; NULL: to the end. Blocks above stay frozen, gradients pass through */
    bool batch_statistics; /* thawed batch norms use those of the batch and move their averages (momentum
                              0.99); else they use the stored ones, as the frozen ones always do */
} mq_trainable_plan;

/* Chooses kernels and places all memory. A block nobody knows: MQ_USAGE; bf16 without a processor for it:
 * MQ_UNAVAILABLE. *trainable is the caller's. */
MQ_MUST_USE mq_status mq_trainable_create(mq_err *err, const mq_trainable_plan *plan,
                                          mq_trainable **trainable);
void mq_trainable_free(mq_trainable **trainable);

/* How many pictures the passes take at most. On batch statistics the whole batch; else a step goes slice by
 * slice, forward and backward, in the memory of one slice: nothing ties its pictures together but the sum of
 * their gradients. */
size_t mq_trainable_rows(const mq_trainable *trainable);
size_t mq_trainable_rows_of(const mq_trainable_plan *plan); /* before it is made */

/* input [n, boundary shape] f32, n <= mq_trainable_rows -> features [n, arch->features] f32. Batch statistics
 * are those of the n pictures, and the moving averages move. */
MQ_MUST_USE mq_status mq_trainable_forward(mq_err *err, mq_trainable *trainable, const float *input, size_t n,
                                           float *features);

/* Gradients of the last forward pass's n pictures from those of its features [n, arch->features]; overwrites
 * all of mq_trainable_grads, or with add adds to them. */
MQ_MUST_USE mq_status mq_trainable_backward(mq_err *err, mq_trainable *trainable, const float *gradient,
                                            bool add);

/* Memory that holds nothing between a backward pass and the next forward pass, for others to use; borrowed.
 */
void *mq_trainable_room(const mq_trainable *trainable, size_t *size);

/* Takes over parameters and moving statistics that were changed from outside, before the next forward pass.
 */
MQ_MUST_USE mq_status mq_trainable_changed(mq_err *err, mq_trainable *trainable);

/* All thawed parameters in one block, and their gradients in the same order: from the last layer to the
 * first, those of a layer in Keras' order. Moving means and variances (plan.batch_statistics only; else there
 * are none) likewise. Borrowed; parameters and statistics may be written, then mq_trainable_changed. */
size_t mq_trainable_count(const mq_trainable *trainable);
float *mq_trainable_params(const mq_trainable *trainable);
float *mq_trainable_grads(const mq_trainable *trainable);
float *mq_trainable_moving(const mq_trainable *trainable);

/* One tensor of the block of parameters (moving false) or of moving statistics; false behind the last. */
typedef struct {
    const char *layer, *param; /* Keras' names; borrowed */
    size_t at, count;          /* numbers */
} mq_trainable_tensor;
bool mq_trainable_tensor_at(const mq_trainable *trainable, bool moving, size_t index,
                            mq_trainable_tensor *tensor);

/* The node whose tensor is the input, and its shape. */
const char *mq_trainable_boundary(const mq_trainable *trainable);
mq_shape mq_trainable_input(const mq_trainable *trainable);

/* Bytes the trainable holds, and how many of them each of mq_trainable_rows adds. */
size_t mq_trainable_memory(const mq_trainable *trainable);
size_t mq_trainable_memory_picture(const mq_trainable *trainable);

/* Appends a table for people: phases, kernels, layouts, and the lifetimes and places of all buffers. */
MQ_MUST_USE mq_status mq_trainable_describe(mq_err *err, const mq_trainable *trainable, mq_buf *text);

/* Measures each piece of a forward and a backward pass over n grey pictures. */
MQ_MUST_USE mq_status mq_trainable_profile(mq_err *err, mq_trainable *trainable, size_t n,
                                           mq_measure_visit visit, void *user);

/* Whether all moving statistics are finite numbers. */
bool mq_trainable_statistics_finite(const mq_trainable *trainable);

/* The name of the first layer whose parameters, statistics or gradients hold a number that is not finite;
 * NULL: none does. */
const char *mq_trainable_bad_layer(const mq_trainable *trainable);

#endif
