/* looks.h: which of many pictures show nearly the same, by their fingerprints alone: copies that were
 * resized, encoded anew or mirrored. */
#ifndef MQ_LOOKS_H
#define MQ_LOOKS_H

#include "data/phash.h"

typedef struct {
    size_t size;           /* sizeof(mq_looks_plan) */
    const mq_phash *looks; /* [count]; borrowed */
    size_t count;
} mq_looks_plan;

/* Fills group [count]: for each picture the first of those that show nearly what it does; its own number
 * where none does. The nearest are joined first, and no group has more than 16 pictures: of a look that more
 * share none belong together, for then it tells no copies, but what all pictures of a kind are like; at most
 * so many bits may differ, down to none, that there are no more pairs than half the pictures. *crowded counts
 * the pictures that show nearly what more than 15 others do, so that some of those are in no group with them.
 * What is found does not depend on the order of pictures. In memory of about 100 bytes a picture. */
MQ_MUST_USE mq_status mq_looks_group(mq_err *err, const mq_looks_plan *plan, uint32_t *group,
                                     size_t *crowded);

#endif
