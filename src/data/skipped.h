/* skipped.h: the pictures of a data set that work goes on without since they cannot be read, and how many
 * there may be. */
#ifndef MQ_SKIPPED_H
#define MQ_SKIPPED_H

#include "data/dataset.h"

typedef struct mq_skipped mq_skipped;

typedef struct {
    size_t size;               /* sizeof(mq_skipped_plan) */
    const mq_dataset *dataset; /* borrowed while the list lives */
    size_t pictures;           /* that the work needs in all */
    double share;              /* of them that may be skipped; 0: none */
    /* Told once of each picture that is skipped, with the sentence that says why; NULL: nobody. */
    void (*told)(void *user, mq_split split, size_t index, const char *why);
    void *user;
} mq_skipped_plan;

/* An empty list; *skipped is the caller's. One thread at a time. */
MQ_MUST_USE mq_status mq_skipped_create(mq_err *err, const mq_skipped_plan *plan, mq_skipped **skipped);
void mq_skipped_free(mq_skipped **skipped);

/* The picture failed by why. MQ_OK: go on without it. Else the work ends, with why itself where there is
 * no list (skipped is NULL) or where it is no fault of the picture (no memory), and with why's code and a
 * sentence that counts where these are too many. */
MQ_MUST_USE mq_status mq_skipped_add(mq_err *err, mq_skipped *skipped, mq_split split, size_t index,
                                     const mq_err *why);

/* Different pictures so far. */
size_t mq_skipped_count(const mq_skipped *skipped);

#endif
