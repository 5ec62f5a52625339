/* par.h: the one door of all parallel compute. On OpenMP, whose threads oneDNN
 * shares, or on pthreads where a sanitizer has to follow (MARQUE_OPENMP=OFF). */
#ifndef MQ_PAR_H
#define MQ_PAR_H

#include <stddef.h>

/* Works on items [begin, end). */
typedef void (*mq_par_fn)(void *ctx, size_t begin, size_t end);

/* Cuts 0..count-1 into one run of items for each thread, always the same for the same number of threads, and
 * returns when all are done. Called from the compute thread only. */
void mq_parallel_for(size_t count, mq_par_fn fn, void *ctx);

/* Threads that mq_parallel_for and oneDNN use, for the calling thread; 0 means all processors we may run on.
 */
void mq_par_set_threads(int threads);
int mq_par_threads(void);

/* Processors this process may run on (affinity and cgroup quota), at least 1. */
int mq_cpu_count(void);

#endif
