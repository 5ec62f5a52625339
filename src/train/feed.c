/* feed.c: the classifier's input. Called by the training loop; owns one pass at
 * a time. Invariant: what comes out depends on order and flips alone, not on
 * whether the cache or the trunk gave it. */
#include "train/feed.h"
#include "base/mem.h"
#include "data/loader.h"

#include <string.h>

struct mq_feed {
    mq_features_plan plan;
    mq_features *cache; /* NULL: straight from the trunk */
    mq_loader *loader;  /* of the present pass, without cache */
    const uint32_t *order;
    const uint8_t *flips;
    size_t count, rows, position;
    const mq_augment *augment; /* of the next pass; NULL: none */
    uint64_t seed;
    uint32_t epoch;
    uint32_t *pictures; /* [count] of the pass as indexes into the split, for the loader */
    float *x;           /* [rows, width] */
    uint32_t *labels;   /* [rows] */
    size_t capacity;    /* rows that x and labels hold */
    double waited;
};

static void end_pass(mq_feed *f) {
    if (f->loader) f->waited += mq_loader_waited(f->loader);
    mq_loader_free(&f->loader);
    free(f->pictures);
    f->pictures = NULL;
}

void mq_feed_free(mq_feed **feed) {
    mq_feed *f = *feed;
    if (!f) return;
    end_pass(f);
    mq_features_free(&f->cache);
    free(f->x);
    free(f->labels);
    free(f);
    *feed = NULL;
}

mq_status mq_feed_open(mq_err *err, const mq_features_plan *plan, bool cached, mq_feed **feed) {
    mq_status status = MQ_OK;
    mq_feed *f = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *f, "a feed", &f));
    f->plan = *plan;
    if (cached) MQ_TRY(mq_features_open(err, plan, &f->cache));
    *feed = f;
    f = NULL;
cleanup:
    mq_feed_free(&f);
    return status;
}

static size_t place(const mq_feed *f, size_t i) {
    return f->order ? f->order[i] : i;
}

static uint32_t picture(const mq_feed *f, size_t i) {
    const size_t p = place(f, i);
    return f->plan.subset ? f->plan.subset[p] : (uint32_t)p;
}

mq_status mq_feed_begin(mq_err *err, mq_feed *f, const uint32_t *order, const uint8_t *flips, size_t count,
                        size_t rows) {
    mq_status status = MQ_OK;
    end_pass(f);
    f->order = order;
    f->flips = flips;
    f->count = count;
    f->rows = rows;
    f->position = 0;
    if (f->cache) MQ_TRY(mq_features_need(err, f->cache, order, flips, count));
    if (rows > f->capacity) { /* pictures as they are need no room here */
        const size_t width = f->cache || f->plan.program ? f->plan.width : 0;
        free(f->x);
        free(f->labels);
        f->x = NULL, f->labels = NULL, f->capacity = 0;
        MQ_TRY(mq_alloc_aligned(err, rows * width, sizeof *f->x, "a batch of features", &f->x));
        MQ_TRY(mq_calloc(err, rows, sizeof *f->labels, "a batch of labels", &f->labels));
        f->capacity = rows;
    }
    if (f->cache || !count) return status;
    MQ_TRY(mq_calloc(err, count, sizeof *f->pictures, "the order of pictures", &f->pictures));
    for (size_t i = 0; i < count; i++) f->pictures[i] = picture(f, i);
    const mq_loader_plan load = {.size = sizeof load,
                                 .dataset = f->plan.dataset,
                                 .split = f->plan.split,
                                 .recipe = f->plan.recipe,
                                 .order = f->pictures,
                                 .flips = flips,
                                 .count = count,
                                 .batch = rows,
                                 .workers = f->plan.workers,
                                 .augment = f->augment,
                                 .seed = f->seed,
                                 .epoch = f->epoch};
    f->augment = NULL;
    MQ_TRY(mq_loader_open(err, &load, &f->loader));
cleanup:
    return status;
}

void mq_feed_augment(mq_feed *f, const mq_augment *augment, uint64_t seed, uint32_t epoch) {
    f->augment = augment;
    f->seed = seed;
    f->epoch = epoch;
}

mq_status mq_feed_next(mq_err *err, mq_feed *f, const float **x, const uint32_t **labels, size_t *n) {
    mq_status status = MQ_OK;
    const size_t left = f->count - f->position;
    *n = left < f->rows ? left : f->rows;
    *x = f->x;
    *labels = f->labels;
    if (!*n) return status;
    for (size_t i = 0; i < *n; i++)
        f->labels[i] = mq_dataset_label(f->plan.dataset, f->plan.split, picture(f, f->position + i));
    if (f->cache) {
        for (size_t i = 0; i < *n; i++) {
            const size_t at = f->position + i;
            MQ_TRY(mq_features_read(err, f->cache, place(f, at), f->flips && f->flips[at],
                                    f->x + i * f->plan.width));
        }
    } else {
        const float *pixels = NULL;
        MQ_TRY(mq_loader_next(err, f->loader, &pixels, n));
        if (f->plan.program)
            MQ_TRY(mq_program_run(err, f->plan.program, pixels, *n, f->x));
        else
            *x = pixels;
    }
    f->position += *n;
cleanup:
    return status;
}

double mq_feed_waited(const mq_feed *f) {
    return f->waited + (f->loader ? mq_loader_waited(f->loader) : 0);
}
