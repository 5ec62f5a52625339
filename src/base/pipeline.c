/* pipeline.c: the ordered ring of work. Called by whatever goes through pictures in order.
 * Invariant: released <= taken <= claimed <= released + slots, all under the lock. */
#include "base/pipeline.h"
#include "base/mem.h"

#include <pthread.h>
#include <string.h>

typedef struct {
    bool done;
    mq_err err;
} ring_place;

typedef struct {
    mq_pipeline *pipeline;
    size_t number;
    pthread_t thread;
} pipeline_worker;

struct mq_pipeline {
    mq_pipeline_plan plan;
    ring_place *ring;         /* plan.slots */
    pipeline_worker *workers; /* plan.workers, of which started run */
    size_t started;
    size_t claimed, taken, released; /* items, counted from the first */
    bool stop;
    pthread_mutex_t lock;
    pthread_cond_t item_done, slot_free;
};

/* Waits for an item that may begin; false when there is none left. */
static bool claim(mq_pipeline *p, size_t *item) {
    pthread_mutex_lock(&p->lock);
    while (!p->stop && p->claimed < p->plan.items && p->claimed >= p->released + p->plan.slots)
        pthread_cond_wait(&p->slot_free, &p->lock);
    const bool got = !p->stop && p->claimed < p->plan.items;
    if (got) *item = p->claimed++;
    pthread_mutex_unlock(&p->lock);
    return got;
}

static void *run_worker(void *argument) {
    const pipeline_worker *worker = argument;
    mq_pipeline *p = worker->pipeline;
    for (size_t item; claim(p, &item);) {
        mq_err err = {0};
        const size_t slot = item % p->plan.slots;
        const mq_status status = p->plan.work(&err, p->plan.ctx, item, slot, worker->number);
        if (status != MQ_OK && err.code == MQ_OK) (void)mq_fail(&err, status, "item %zu failed", item);
        pthread_mutex_lock(&p->lock);
        p->ring[slot].err = err;
        p->ring[slot].done = true;
        pthread_cond_signal(&p->item_done);
        pthread_mutex_unlock(&p->lock);
    }
    return NULL;
}

mq_status mq_pipeline_start(mq_err *err, const mq_pipeline_plan *plan, mq_pipeline **pipeline) {
    mq_status status = MQ_OK;
    mq_pipeline *p = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *p, "a pipeline", &p));
    p->plan = *plan;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->item_done, NULL);
    pthread_cond_init(&p->slot_free, NULL);
    MQ_REQUIRE(plan->size == sizeof *plan && plan->slots && plan->workers, err, MQ_INTERNAL,
               "a pipeline needs slots and workers");
    MQ_TRY(mq_calloc(err, plan->slots, sizeof *p->ring, "a pipeline", &p->ring));
    MQ_TRY(mq_calloc(err, plan->workers, sizeof *p->workers, "a pipeline", &p->workers));
    for (; p->started < plan->workers; p->started++) {
        pipeline_worker *worker = &p->workers[p->started];
        worker->pipeline = p;
        worker->number = p->started;
        if (pthread_create(&worker->thread, NULL, run_worker, worker) != 0) break;
    }
    MQ_REQUIRE(p->started, err, MQ_NO_MEMORY, "no thread can be started");
    *pipeline = p;
    p = NULL;
cleanup:
    mq_pipeline_free(&p);
    return status;
}

mq_status mq_pipeline_next(mq_err *err, mq_pipeline *pipeline, size_t *slot) {
    mq_pipeline *p = pipeline;
    if (p->taken == p->plan.items) return mq_fail(err, MQ_INTERNAL, "the pipeline has no item left");
    if (p->taken == p->released + p->plan.slots)
        return mq_fail(err, MQ_INTERNAL, "all slots of a pipeline are taken");
    *slot = p->taken % p->plan.slots;
    ring_place *place = &p->ring[*slot];
    pthread_mutex_lock(&p->lock);
    while (!place->done) pthread_cond_wait(&p->item_done, &p->lock);
    place->done = false;
    p->taken++;
    pthread_mutex_unlock(&p->lock);
    return place->err.code == MQ_OK ? MQ_OK : mq_fail(err, place->err.code, "%s", place->err.text);
}

void mq_pipeline_release(mq_pipeline *pipeline, size_t count) {
    pthread_mutex_lock(&pipeline->lock);
    pipeline->released += count;
    pthread_cond_broadcast(&pipeline->slot_free);
    pthread_mutex_unlock(&pipeline->lock);
}

void mq_pipeline_free(mq_pipeline **pipeline) {
    mq_pipeline *p = *pipeline;
    if (!p) return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->slot_free);
    pthread_mutex_unlock(&p->lock);
    for (size_t i = 0; i < p->started; i++) pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->item_done);
    pthread_cond_destroy(&p->slot_free);
    pthread_mutex_destroy(&p->lock);
    free(p->ring);
    free(p->workers);
    free(p);
    *pipeline = NULL;
}
