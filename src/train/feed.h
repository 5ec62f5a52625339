/* feed.h: batches of tensors and labels, from the feature cache or straight from the frozen part of the
 * network, or of pictures where nothing is frozen. Cached or not, the same bytes. */
#ifndef MQ_FEED_H
#define MQ_FEED_H

#include "data/augment.h"
#include "infer/features.h"
#include "net/ops.h"

typedef struct mq_feed mq_feed;

/* Opens a source for plan, cached or not; without plan.program it gives the pictures themselves. *feed is the
 * caller's; what plan borrows must outlive it. */
MQ_MUST_USE mq_status mq_feed_open(mq_err *err, const mq_features_plan *plan, bool cached, mq_feed **feed);
void mq_feed_free(mq_feed **feed);

/* Pictures in an order, once each or more often; all borrowed until the next pass begins. */
typedef struct {
    const uint32_t *order; /* [count] places in the plan's subset; NULL: 0..count-1 */
    const uint8_t *flips;  /* [count] 0 or 1; NULL: none */
    const uint32_t *times; /* [count] how often the picture came before in its epoch; NULL: never */
    size_t count;
    size_t rows;               /* of a batch */
    const mq_augment *augment; /* what is drawn beside flips, and how batches are mixed; NULL: nothing */
    uint64_t seed;             /* of its draws */
    uint32_t epoch;
    size_t first; /* place of the first picture in its epoch */
} mq_feed_pass;

/* Begins a pass, and puts into the cache what it lacks of its pictures. What changes more than flips needs a
 * feed without cache (MQ_INTERNAL). */
MQ_MUST_USE mq_status mq_feed_begin(mq_err *err, mq_feed *feed, const mq_feed_pass *pass);

/* The next batch: x [*n, width] and labels [*n], borrowed until the next call; *n 0 at the end. Pictures that
 * plan.skipped takes are missing in it. */
MQ_MUST_USE mq_status mq_feed_next(mq_err *err, mq_feed *feed, const float **x, mq_labels *labels, size_t *n);

/* Pictures of the pass that have been taken, given or skipped. */
size_t mq_feed_taken(const mq_feed *feed);

/* Seconds spent waiting for pictures since it was opened. */
double mq_feed_waited(const mq_feed *feed);

#endif
