/* pipeline.h: work on numbered items in parallel, results taken in order, in bounded memory.
 *
 * A ring of slots: worker threads fill the slot item % slots, the owner takes
 * them in the order of items and gives them back. A worker never runs ahead of
 * the owner by more than the ring. Which worker does an item never shows in its result. */
#ifndef MQ_PIPELINE_H
#define MQ_PIPELINE_H

#include "base/status.h"

typedef struct mq_pipeline mq_pipeline;

/* Does item into slot (the index of a ring place that is this item's alone until it is released). worker is
 * 0..workers-1, for scratch memory of its own. A failure stays with its item. */
typedef mq_status (*mq_pipeline_fn)(mq_err *err, void *ctx, size_t item, size_t slot, size_t worker);

typedef struct {
    size_t size; /* sizeof(mq_pipeline_plan) */
    size_t items;
    size_t slots;   /* at least 1 */
    size_t workers; /* at least 1 */
    mq_pipeline_fn work;
    void *ctx; /* borrowed while the pipeline lives */
} mq_pipeline_plan;

/* Starts the workers; *pipeline is the caller's. */
MQ_MUST_USE mq_status mq_pipeline_start(mq_err *err, const mq_pipeline_plan *plan, mq_pipeline **pipeline);

/* Waits for the next item in order; *slot holds it until it is released. The status is the item's own (its
 * err is copied to err); the item counts as taken in any case. After the last item: MQ_INTERNAL. */
MQ_MUST_USE mq_status mq_pipeline_next(mq_err *err, mq_pipeline *pipeline, size_t *slot);

/* Gives the count oldest taken slots back to the workers. */
void mq_pipeline_release(mq_pipeline *pipeline, size_t count);

/* Stops the workers after their present item and waits for them; sets *pipeline to NULL; NULL is fine. */
void mq_pipeline_free(mq_pipeline **pipeline);

#endif
