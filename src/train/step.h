/* step.h: the one way from a batch to gradients: forward through what is thawed, the classifier, and back,
 * slice by slice where the network takes fewer pictures at once than the batch has. */
#ifndef MQ_STEP_H
#define MQ_STEP_H

#include "net/trainable.h"
#include "train/head_train.h"

typedef struct {
    mq_trainable *thawed; /* NULL: the classifier alone. All borrowed */
    mq_head_trainer *head;
    float *features; /* [mq_trainable_rows, head->features] of the thawed part */
    /* Told of each slice, whose answers are in head->work; NULL: nobody. */
    void (*each)(void *user, const mq_slice *slice);
    void *user;
} mq_step_plan;

/* Gradients of n rows' loss (mq_head_gradient): x holds their features, or what comes into the thawed part.
 */
MQ_MUST_USE mq_status mq_step_gradients(mq_err *err, const mq_step_plan *plan, const float *x,
                                        const mq_labels *labels, size_t n);

#endif
