/* folds.h: the parts of a data set's training pictures for cross-validation (`marque import --folds`). */
#ifndef MQ_FOLDS_H
#define MQ_FOLDS_H

#include "data/dataset.h"

enum { MQ_FOLDS_MAX = 100 };

/* The fold, from 1, of each training picture from the data set's split.csv, found by the picture's content.
 * *folds [mq_dataset_count(dataset, MQ_TRAIN)] is the caller's, for free(); *count is how many folds there
 * are. A data set without folds: MQ_USAGE with what to do. */
MQ_MUST_USE mq_status mq_folds_read(mq_err *err, const mq_dataset *dataset, uint32_t **folds,
                                    uint32_t *count);

#endif
