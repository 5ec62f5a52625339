/* exchange.h: a data set's folder, written beside what is there and exchanged for it when all of it is there.
 *
 * The new files are made in FOLDER/.import.tmp. In the exchange dataset.json goes first and comes last, so
 * that half of it is seen, and whoever opens the folder next ends it. */
#ifndef MQ_EXCHANGE_H
#define MQ_EXCHANGE_H

#include "base/status.h"

typedef struct {
    const char *folder; /* borrowed */
    bool update;        /* it must hold a data set; else it must hold nothing */
    bool look;          /* nothing will be exchanged: without update it may hold a data set, too */
    const char *remedy; /* what to do where it holds a data set and should not; borrowed */
} mq_exchange_plan;

/* Refuses a folder that holds something else than the plan wants: MQ_CANNOT_CREATE, or MQ_NO_INPUT where
 * there is no data set to update. Touches nothing. */
MQ_MUST_USE mq_status mq_exchange_check(mq_err *err, const mq_exchange_plan *plan);

/* The path of the dataset.json that folder holds, or will once an exchange that was killed is ended; NULL in
 * *path: none. It is the caller's. */
MQ_MUST_USE mq_status mq_exchange_description(mq_err *err, const char *folder, char **path);

typedef struct mq_exchange mq_exchange;

/* Makes the folder, locks it, ends an exchange that was killed in the middle (but for a plan that only
 * looks), and checks it. *exchange is the caller's. */
MQ_MUST_USE mq_status mq_exchange_open(mq_err *err, const mq_exchange_plan *plan, mq_exchange **exchange);

/* Refuses new files of that many bytes where folder's disk has no room for them (MQ_IO); output names the
 * data set. */
MQ_MUST_USE mq_status mq_exchange_room(mq_err *err, const char *output, const char *folder, uint64_t bytes);

/* An empty folder for the new files; borrowed. */
MQ_MUST_USE mq_status mq_exchange_begin(mq_err *err, mq_exchange *exchange, const char **folder);

/* A folder beside the output that need not exist, for what is needed only while the work lasts:
 * mq_exchange_free, or the next process after a kill, removes it with all it holds. Borrowed. */
const char *mq_exchange_scratch(const mq_exchange *exchange);

/* Puts the new files, dataset.json among them, in the place of the old ones. */
MQ_MUST_USE mq_status mq_exchange_commit(mq_err *err, mq_exchange *exchange);

/* Removes new files that were not exchanged, and the folder where it was made for them. */
void mq_exchange_free(mq_exchange **exchange);

#endif
