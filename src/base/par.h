/* par.h: the one door of all parallel compute. On OpenMP, whose threads oneDNN
 * shares, or on pthreads where a sanitizer has to follow (MARQUE_OPENMP=OFF). */
#ifndef MQ_PAR_H
#define MQ_PAR_H

#include "base/status.h"

/* Works on items [begin, end). */
typedef void (*mq_par_fn)(void *ctx, size_t begin, size_t end);

/* Cuts 0..count-1 into one run of items for each thread, always the same for the same number of threads, and
 * returns when all are done. Called from the compute thread only. */
void mq_parallel_for(size_t count, mq_par_fn fn, void *ctx);

/* The same in runs that become shorter towards the end, each for whichever thread is free: on a busy machine
 * nobody waits long for the slowest. */
void mq_parallel_share(size_t count, mq_par_fn fn, void *ctx);

/* Does one item, with memory of the worker's own (0..workers-1) where it needs some. */
typedef mq_status (*mq_par_item_fn)(mq_err *err, void *ctx, size_t item, size_t worker);

/* Workers take the next of the items 0..count-1, whichever is free, until none is left; one that fails takes
 * no more, and the error of the first such worker is told. Called from the compute thread only. */
MQ_MUST_USE mq_status mq_parallel_each(mq_err *err, size_t workers, size_t count, mq_par_item_fn fn,
                                       void *ctx);

/* Threads that mq_parallel_for and oneDNN use, for the calling thread; 0 means all processors we may run on.
 */
void mq_par_set_threads(int threads);
int mq_par_threads(void);

/* Processors this process may run on (affinity and the quotas of control groups), at least 1. */
int mq_cpu_count(void);

#endif
