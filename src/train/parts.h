/* parts.h: which pictures of a data set a run trains on, and which it validates on. */
#ifndef MQ_PARTS_H
#define MQ_PARTS_H

#include "data/dataset.h"

/* Indexes into parts of the data set; owned, for mq_parts_free. */
typedef struct {
    uint32_t *train; /* [train_count] of the training part, rising */
    size_t train_count;
    mq_split val_split; /* MQ_VAL, or MQ_TRAIN where a fold is validated on */
    uint32_t *val;      /* [val_count] of val_split, rising; NULL: all of it */
    size_t val_count;
} mq_parts;

/* The validation part, or with a fold (from 1, see data/folds.h) that fold of the training part; and of what
 * is left of the training part the first round(fraction x n), at least one, of each class. A fold that is not
 * there: MQ_USAGE. */
MQ_MUST_USE mq_status mq_parts_make(mq_err *err, const mq_dataset *dataset, double fraction, uint32_t fold,
                                    mq_parts *parts);
void mq_parts_free(mq_parts *parts);

#endif
