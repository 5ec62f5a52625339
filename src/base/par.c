/* par.c: mq_parallel_for over OpenMP or pthreads, and what is made of it. Called
 * by every kernel of ours. Invariant: which items mq_parallel_for gives a thread
 * depends on count and threads alone. */
#include "base/par.h"
#include "base/cgroup.h"
#include "base/mem.h"

#include <sched.h>
#include <stdatomic.h>

#ifdef _OPENMP
#include <omp.h>
#else
#include <pthread.h>
#endif

enum { THREADS_MAX = 256, AFFINITY_MAX = 1 << 16 /* bits of a mask */ };

/* Those of the affinity mask, however many processors the kernel counts; 0: it cannot be read. */
static int affinity(void) {
    int count = 0;
    for (size_t most = CPU_SETSIZE; !count && most <= AFFINITY_MAX; most *= 2) {
        cpu_set_t *set = CPU_ALLOC(most);
        const size_t size = CPU_ALLOC_SIZE(most);
        if (set && sched_getaffinity(0, size, set) == 0) count = CPU_COUNT_S(size, set);
        if (set) CPU_FREE(set);
    }
    return count;
}

int mq_cpu_count(void) {
    const uint64_t quota = mq_cgroup_processors();
    int count = affinity();
    if (quota < (uint64_t)count) count = (int)quota;
    return count < 1 ? 1 : count > THREADS_MAX ? THREADS_MAX : count;
}

static size_t bound(size_t count, size_t part, size_t parts) {
    return (size_t)((unsigned __int128)count * part / parts);
}

#ifdef _OPENMP

void mq_par_set_threads(int threads) {
    omp_set_num_threads(threads > 0 ? threads : mq_cpu_count());
}

int mq_par_threads(void) {
    return omp_get_max_threads();
}

void mq_parallel_for(size_t count, mq_par_fn fn, void *ctx) {
    const size_t parts = (size_t)mq_par_threads();
    if (parts == 1 || count < 2) {
        if (count) fn(ctx, 0, count);
        return;
    }
#pragma omp parallel for schedule(static, 1)
    for (size_t part = 0; part < parts; part++) {
        const size_t begin = bound(count, part, parts), end = bound(count, part + 1, parts);
        if (begin < end) fn(ctx, begin, end);
    }
}

#else

static _Thread_local int thread_count;

void mq_par_set_threads(int threads) {
    thread_count = threads > 0 ? threads : mq_cpu_count();
}

int mq_par_threads(void) {
    return thread_count ? thread_count : mq_cpu_count();
}

typedef struct {
    mq_par_fn fn;
    void *ctx;
    size_t begin, end;
} par_part;

static void *run_part(void *argument) {
    const par_part *part = argument;
    part->fn(part->ctx, part->begin, part->end);
    return NULL;
}

void mq_parallel_for(size_t count, mq_par_fn fn, void *ctx) {
    const size_t parts = (size_t)mq_par_threads();
    par_part part[THREADS_MAX];
    pthread_t thread[THREADS_MAX];
    int started[THREADS_MAX] = {0};
    for (size_t i = 1; i < parts; i++) {
        part[i] = (par_part){fn, ctx, bound(count, i, parts), bound(count, i + 1, parts)};
        if (part[i].begin == part[i].end) continue;
        started[i] = pthread_create(&thread[i], NULL, run_part, &part[i]) == 0;
        if (!started[i]) run_part(&part[i]);
    }
    part[0] = (par_part){fn, ctx, 0, bound(count, 1, parts)};
    if (part[0].end) run_part(&part[0]);
    for (size_t i = 1; i < parts; i++)
        if (started[i]) pthread_join(thread[i], NULL);
}

#endif

typedef struct {
    mq_par_fn fn;
    void *ctx;
    size_t count, threads;
    atomic_size_t next;
} share_state;

static void take_runs(void *ctx, size_t begin, size_t end) {
    share_state *share = ctx;
    (void)begin, (void)end; /* a thread each */
    for (size_t at = share->next; at < share->count;) {
        const size_t left = share->count - at, run = mq_ceil_div(left, 2 * share->threads);
        if (!atomic_compare_exchange_weak(&share->next, &at, at + run)) continue;
        share->fn(share->ctx, at, at + run);
        at = share->next;
    }
}

void mq_parallel_share(size_t count, mq_par_fn fn, void *ctx) {
    share_state share = {.fn = fn, .ctx = ctx, .count = count, .threads = (size_t)mq_par_threads()};
    mq_parallel_for(share.threads, take_runs, &share);
}

typedef struct {
    mq_par_item_fn fn;
    void *ctx;
    size_t count;
    atomic_size_t next;
    mq_err *errs; /* one for each worker */
} each_state;

static void take_items(void *ctx, size_t begin, size_t end) {
    each_state *each = ctx;
    for (size_t worker = begin; worker < end; worker++)
        for (size_t item; (item = atomic_fetch_add(&each->next, 1)) < each->count;) {
            mq_err *err = &each->errs[worker];
            const mq_status status = each->fn(err, each->ctx, item, worker);
            if (status == MQ_OK) continue;
            (void)mq_fail(err, status, "item %zu failed", item); /* where it has not said why */
            break;
        }
}

mq_status mq_parallel_each(mq_err *err, size_t workers, size_t count, mq_par_item_fn fn, void *ctx) {
    mq_status status = MQ_OK;
    each_state each = {.fn = fn, .ctx = ctx, .count = count};
    MQ_TRY(mq_calloc(err, workers, sizeof *each.errs, "the workers", &each.errs));
    mq_parallel_for(workers, take_items, &each);
    for (size_t i = 0; i < workers; i++)
        if (each.errs[i].code != MQ_OK) MQ_TRY(mq_fail(err, each.errs[i].code, "%s", each.errs[i].text));
cleanup:
    free(each.errs);
    return status;
}
