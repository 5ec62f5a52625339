/* shared.h: pictures that parts of two data sets have in common. */
#ifndef MQ_SHARED_H
#define MQ_SHARED_H

#include "data/dataset.h"

/* How many pictures of a part have the bytes of one of the other data set's part, as they were imported; to
 * *count. */
MQ_MUST_USE mq_status mq_shared_count(mq_err *err, const mq_dataset *dataset, mq_split split,
                                      const mq_dataset *other, mq_split other_split, size_t *count);

#endif
