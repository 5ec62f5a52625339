/* confirm.h: whether a frozen network sees the same in two pictures that look alike. */
#ifndef MQ_CONFIRM_H
#define MQ_CONFIRM_H

#include "curate/duplicates.h"

/* Fills cosines [count]: of the angle between the pooled features of each pair's pictures, 1 where the
 * network sees no difference. Features are computed for the pictures of the pairs alone and stay in the cache
 * that `marque train` uses. Stopped: MQ_INTERRUPTED. */
MQ_MUST_USE mq_status mq_confirm_pairs(mq_err *err, const mq_duplicates_plan *plan, const mq_near *pairs,
                                       size_t count, float *cosines);

#endif
