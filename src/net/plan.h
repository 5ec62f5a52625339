/* plan.h: places buffers of known lifetimes in one block of memory. */
#ifndef MQ_PLAN_H
#define MQ_PLAN_H

#include "base/status.h"

typedef struct {
    size_t bytes;
    size_t first, last; /* steps that touch it, both included */
    size_t offset;      /* where it lies; mq_plan_memory writes it, a multiple of 64 */
} mq_lifetime;

/* Gives every item an offset such that items alive at the same step never overlap; *total is the size of the
 * block. First fit by falling size: the order that leaves few holes. */
MQ_MUST_USE mq_status mq_plan_memory(mq_err *err, mq_lifetime *items, size_t count, size_t *total);

#endif
