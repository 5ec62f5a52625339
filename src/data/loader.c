/* loader.c: a ring of three batches that worker threads fill in order. Called
 * by training, eval and feature extraction, from one owning thread. Invariant:
 * what lies at a place of a batch depends on the plan and on what can be read
 * alone: a worker writes only to the slot of its item, draws are functions of the
 * picture, and the owner closes the gaps that skipped pictures leave. */
#include "data/loader.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/pipeline.h"
#include "data/prepare.h"

#include <string.h>

enum {
    BATCHES = 3,          /* one with the owner, one ready, one being filled */
    RECORD_MAX = 1 << 30, /* bytes of one record; the index says how many it really has */
};

struct mq_loader {
    mq_loader_plan plan;
    size_t slots;    /* of the ring */
    size_t item;     /* floats of one picture: imgsz x imgsz x 3 */
    float *ring;     /* slots x item; a multiple of the batch, or all pictures: so no batch wraps around */
    mq_buf *records; /* one for each worker */
    size_t *places;  /* [batch] the items of the rows that were given last */
    mq_pipeline *pipeline;
    size_t taken, lent; /* items taken in all; of these, in slots that are the owner's until its next call */
    double waited;      /* seconds */
    mq_err failure;     /* the first; the loader ends with it */
};

static size_t index_of(const mq_loader_plan *plan, size_t item) {
    return plan->order ? plan->order[item] : item;
}

static mq_status tell_ahead(mq_err *err, const mq_loader_plan *plan, size_t item) {
    if (!plan->ahead || !plan->order || item % plan->ahead) return MQ_OK;
    const size_t left = plan->count - item, count = left < plan->ahead ? left : plan->ahead;
    return mq_dataset_expect(err, plan->dataset, plan->split, plan->order + item, count);
}

static mq_status load(mq_err *err, void *context, size_t item, size_t slot, size_t worker) {
    const mq_loader *loader = context;
    const mq_loader_plan *plan = &loader->plan;
    const size_t index = index_of(plan, item);
    mq_sample sample;
    mq_status status = tell_ahead(err, plan, item);
    if (status != MQ_OK) return status;
    status = mq_dataset_read(err, plan->dataset, plan->split, index, &loader->records[worker], &sample);
    if (status != MQ_OK) return status;
    const mq_encoded in = {sample.name, sample.bytes, sample.size};
    const mq_variant variant = {
        .flip = plan->flips && plan->flips[item],
        .augment = plan->augment,
        .draw = {plan->seed, plan->epoch, (uint32_t)index, plan->times ? plan->times[item] : 0}};
    return mq_prepare(err, plan->recipe, &in, sample.has_box ? &sample.box : NULL, &variant,
                      loader->ring + slot * loader->item);
}

static mq_status check_plan(mq_err *err, const mq_loader_plan *plan) {
    if (plan->size != sizeof *plan || !plan->batch || !plan->workers || !plan->recipe->imgsz ||
        plan->recipe->imgsz > MQ_SIDE_MAX)
        return mq_fail(err, MQ_INTERNAL, "a loader needs a batch, workers and a size of pictures");
    const size_t pictures = mq_dataset_count(plan->dataset, plan->split);
    bool inside = plan->order || plan->count <= pictures;
    for (size_t i = 0; plan->order && i < plan->count; i++) inside = inside && plan->order[i] < pictures;
    if (!inside)
        return mq_fail(err, MQ_INTERNAL, "the order of pictures names one behind the %zu of %s", pictures,
                       mq_split_name(plan->split));
    return mq_dataset_check_recipe(err, plan->dataset, plan->recipe);
}

mq_status mq_loader_open(mq_err *err, const mq_loader_plan *plan, mq_loader **loader) {
    mq_status status = MQ_OK;
    mq_loader *l = NULL;
    size_t slots = 0, bytes = 0;
    MQ_TRY(check_plan(err, plan));
    MQ_TRY(mq_calloc(err, 1, sizeof *l, "a loader", &l));
    l->plan = *plan;
    l->item = (size_t)plan->recipe->imgsz * plan->recipe->imgsz * 3;
    MQ_REQUIRE(mq_mul(plan->batch, BATCHES, &slots) && mq_mul(l->item, sizeof(float), &bytes), err,
               MQ_NO_MEMORY, "no memory for batches of %zu pictures", plan->batch);
    if (slots > plan->count) slots = plan->count ? plan->count : 1;
    l->slots = slots;
    MQ_TRY(mq_alloc_aligned(err, slots, bytes, "three batches of pictures", &l->ring));
    MQ_TRY(mq_calloc(err, plan->batch, sizeof *l->places, "a loader", &l->places));
    MQ_TRY(mq_calloc(err, plan->workers, sizeof *l->records, "a loader", &l->records));
    for (size_t i = 0; i < plan->workers; i++) l->records[i] = mq_buf_init(RECORD_MAX);
    MQ_TRY(mq_pipeline_start(err,
                             &(mq_pipeline_plan){.size = sizeof(mq_pipeline_plan),
                                                 .items = plan->count,
                                                 .slots = slots,
                                                 .workers = plan->workers,
                                                 .work = load,
                                                 .ctx = l},
                             &l->pipeline));
    *loader = l;
    l = NULL;
cleanup:
    mq_loader_free(&l);
    return status;
}

/* Takes the next item. A sound picture goes to row *count of the batch that begins at first, which moves it
 * only where one before it was skipped. */
static mq_status take_item(mq_loader *l, float *first, size_t *count) {
    mq_err why = {0};
    size_t slot = 0;
    if (mq_pipeline_next(&why, l->pipeline, &slot) != MQ_OK)
        return mq_skipped_add(&l->failure, l->plan.skipped, l->plan.split, index_of(&l->plan, l->taken),
                              &why);
    const float *loaded = l->ring + slot * l->item;
    float *row = first + *count * l->item;
    if (row != loaded) memcpy(row, loaded, l->item * sizeof *row);
    l->places[(*count)++] = l->taken;
    return MQ_OK;
}

mq_status mq_loader_next(mq_err *err, mq_loader *loader, const float **pixels, size_t *count) {
    mq_loader *l = loader;
    const double start = mq_seconds();
    size_t rows = 0;
    *pixels = NULL;
    *count = 0;
    if (l->failure.code != MQ_OK) return mq_fail(err, l->failure.code, "%s", l->failure.text);
    do {
        mq_pipeline_release(l->pipeline, l->lent);
        l->lent = 0;
        const size_t left = l->plan.count - l->taken, wanted = left < l->plan.batch ? left : l->plan.batch;
        float *first = l->ring + l->taken % l->slots * l->item;
        for (; l->lent < wanted; l->lent++, l->taken++)
            if (take_item(l, first, &rows) != MQ_OK)
                return mq_fail(err, l->failure.code, "%s", l->failure.text);
        if (rows) *pixels = first;
    } while (!rows && l->taken < l->plan.count);
    *count = rows;
    l->waited += mq_seconds() - start;
    return MQ_OK;
}

const size_t *mq_loader_places(const mq_loader *loader) {
    return loader->places;
}

size_t mq_loader_taken(const mq_loader *loader) {
    return loader->taken;
}

double mq_loader_waited(const mq_loader *loader) {
    return loader->waited;
}

void mq_loader_free(mq_loader **loader) {
    if (!*loader) return;
    mq_loader *l = *loader;
    mq_pipeline_free(&l->pipeline);
    for (size_t i = 0; l->records && i < l->plan.workers; i++) mq_buf_free(&l->records[i]);
    free(l->records);
    free(l->places);
    free(l->ring);
    free(l);
    *loader = NULL;
}
