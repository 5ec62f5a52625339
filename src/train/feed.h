/* feed.h: batches of tensors and labels, from the feature cache or straight from the frozen part of the
 * network, or of pictures where nothing is frozen. Cached or not, the same bytes. */
#ifndef MQ_FEED_H
#define MQ_FEED_H

#include "data/augment.h"
#include "infer/features.h"

typedef struct mq_feed mq_feed;

/* Opens a source for plan, cached or not; without plan.program it gives the pictures themselves. *feed is the
 * caller's; what plan borrows must outlive it. */
MQ_MUST_USE mq_status mq_feed_open(mq_err *err, const mq_features_plan *plan, bool cached, mq_feed **feed);
void mq_feed_free(mq_feed **feed);

/* Begins a pass over count pictures in batches of rows, and puts into the cache what it lacks of them: order
 * [count] are places in the plan's subset (NULL: 0..count-1), flips [count] 0 or 1 (NULL: none); both
 * borrowed until the next begin. */
MQ_MUST_USE mq_status mq_feed_begin(mq_err *err, mq_feed *feed, const uint32_t *order, const uint8_t *flips,
                                    size_t count, size_t rows);

/* What the next pass begun draws for its pictures beside their flips, without cache; later passes draw
 * nothing again. augment is borrowed until that pass ends. */
void mq_feed_augment(mq_feed *feed, const mq_augment *augment, uint64_t seed, uint32_t epoch);

/* The next batch: x [*n, width] and labels [*n], borrowed until the next call; *n 0 at the end. */
MQ_MUST_USE mq_status mq_feed_next(mq_err *err, mq_feed *feed, const float **x, const uint32_t **labels,
                                   size_t *n);

/* Seconds spent waiting for pictures since it was opened. */
double mq_feed_waited(const mq_feed *feed);

#endif
