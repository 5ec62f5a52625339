/* feed.c: the classifier's input. Called by the training loop; owns one pass at
 * a time. Invariant: what comes out depends on order, flips and what can be
 * read alone, not on whether the cache or the trunk gave it; which pictures make
 * a batch, on their places in the pass, whatever is skipped. */
#include "train/feed.h"
#include "base/mem.h"
#include "data/loader.h"

#include <string.h>

struct mq_feed {
    mq_features_plan plan;
    mq_features *cache; /* NULL: straight from the trunk */
    mq_loader *loader;  /* of the present pass, without cache */
    mq_feed_pass pass;
    size_t position;        /* pictures of the pass that were given or skipped */
    uint32_t *pictures;     /* [count] of the pass as indexes into the split, for the loader */
    float *x;               /* [rows, width] */
    uint32_t *labels;       /* [rows] */
    size_t capacity;        /* rows that x and labels hold */
    mq_mix_rule mix;        /* of the present pass */
    mq_mix_row *rows_mixed; /* [mixing]; so are those that follow */
    float *mixed;           /* [mixing, imgsz, imgsz, 3] */
    uint32_t *second;
    float *share;
    size_t mixing; /* rows of a batch that these hold */
    double waited;
};

static void end_pass(mq_feed *f) {
    if (f->loader) f->waited += mq_loader_waited(f->loader);
    mq_loader_free(&f->loader);
    free(f->pictures);
    f->pictures = NULL;
}

static void free_mixed(mq_feed *f) {
    free(f->rows_mixed);
    free(f->mixed);
    free(f->second);
    free(f->share);
    f->rows_mixed = NULL, f->mixed = NULL, f->second = NULL, f->share = NULL, f->mixing = 0;
}

void mq_feed_free(mq_feed **feed) {
    mq_feed *f = *feed;
    if (!f) return;
    end_pass(f);
    mq_features_free(&f->cache);
    free_mixed(f);
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
    return f->pass.order ? f->pass.order[i] : i;
}

static uint32_t picture(const mq_feed *f, size_t i) {
    const size_t p = place(f, i);
    return f->plan.subset ? f->plan.subset[p] : (uint32_t)p;
}

/* Room for the batches of a pass; pictures as they are need none. */
static mq_status make_room(mq_err *err, mq_feed *f, size_t rows) {
    mq_status status = MQ_OK;
    const size_t width = f->cache || f->plan.program ? f->plan.width : 0;
    if (rows <= f->capacity) return MQ_OK;
    free(f->x);
    free(f->labels);
    f->x = NULL, f->labels = NULL, f->capacity = 0;
    MQ_TRY(mq_alloc_aligned(err, rows * width, sizeof *f->x, "a batch of features", &f->x));
    MQ_TRY(mq_calloc(err, rows, sizeof *f->labels, "a batch of labels", &f->labels));
    f->capacity = rows;
cleanup:
    return status;
}

/* The same for mixed pictures. */
static mq_status make_room_to_mix(mq_err *err, mq_feed *f, size_t rows) {
    mq_status status = MQ_OK;
    const size_t side = f->plan.recipe->imgsz;
    if (rows <= f->mixing) return MQ_OK;
    free_mixed(f);
    MQ_TRY(mq_calloc(err, rows, sizeof *f->rows_mixed, "mixed pictures", &f->rows_mixed));
    MQ_TRY(mq_calloc(err, rows, sizeof *f->second, "mixed pictures", &f->second));
    MQ_TRY(mq_calloc(err, rows, sizeof *f->share, "mixed pictures", &f->share));
    MQ_TRY(mq_alloc_aligned(err, rows * side * side * 3, sizeof *f->mixed, "mixed pictures", &f->mixed));
    f->mixing = rows;
cleanup:
    return status;
}

static mq_status open_loader(mq_err *err, mq_feed *f) {
    mq_status status = MQ_OK;
    const mq_feed_pass *pass = &f->pass;
    MQ_TRY(mq_calloc(err, pass->count, sizeof *f->pictures, "the order of pictures", &f->pictures));
    for (size_t i = 0; i < pass->count; i++) f->pictures[i] = picture(f, i);
    const mq_loader_plan load = {.size = sizeof load,
                                 .dataset = f->plan.dataset,
                                 .split = f->plan.split,
                                 .recipe = f->plan.recipe,
                                 .order = f->pictures,
                                 .flips = pass->flips,
                                 .times = pass->times,
                                 .count = pass->count,
                                 .batch = pass->rows,
                                 .workers = f->plan.workers,
                                 .ahead = f->plan.ahead,
                                 .augment = pass->augment,
                                 .seed = pass->seed,
                                 .epoch = pass->epoch,
                                 .skipped = f->plan.skipped};
    MQ_TRY(mq_loader_open(err, &load, &f->loader));
cleanup:
    return status;
}

mq_status mq_feed_begin(mq_err *err, mq_feed *f, const mq_feed_pass *pass) {
    mq_status status = MQ_OK;
    end_pass(f);
    f->pass = *pass;
    f->position = 0;
    f->mix = pass->augment ? mq_augment_mix(pass->augment) : (mq_mix_rule){0};
    MQ_REQUIRE(!f->cache || !pass->augment || mq_augment_cacheable(pass->augment), err, MQ_INTERNAL,
               "pictures that change in every epoch cannot come from a cache");
    if (f->cache) MQ_TRY(mq_features_need(err, f->cache, pass->order, pass->flips, pass->count));
    MQ_TRY(make_room(err, f, pass->rows));
    if (mq_mix_wanted(&f->mix)) MQ_TRY(make_room_to_mix(err, f, pass->rows));
    if (!f->cache && pass->count) MQ_TRY(open_loader(err, f));
cleanup:
    return status;
}

/* Takes n loaded pictures and their labels for mixed ones, where the batch that begins at start is to be
 * mixed.
 */
static void mix_batch(mq_feed *f, size_t start, const float **pixels, mq_labels *labels, size_t n) {
    const uint32_t side = f->plan.recipe->imgsz;
    const mq_mix_place place = {f->pass.seed, f->pass.epoch, f->pass.first + start};
    if (!mq_mix_draw(&f->mix, &place, side, f->rows_mixed, n)) return;
    mq_mix_pixels(f->mixed, *pixels, f->rows_mixed, n, side);
    for (size_t i = 0; i < n; i++) {
        f->second[i] = labels->first[f->rows_mixed[i].partner];
        f->share[i] = f->rows_mixed[i].share;
    }
    *pixels = f->mixed;
    *labels = (mq_labels){labels->first, f->second, f->share};
}

static uint32_t label(const mq_feed *f, size_t i) {
    return mq_dataset_label(f->plan.dataset, f->plan.split, picture(f, i));
}

/* The next batch that has any pictures, from the cache. */
static mq_status next_cached(mq_err *err, mq_feed *f, size_t *n) {
    mq_status status = MQ_OK;
    while (!*n && f->position < f->pass.count) {
        const size_t left = f->pass.count - f->position, rows = left < f->pass.rows ? left : f->pass.rows;
        for (const size_t end = f->position + rows; f->position < end; f->position++) {
            const size_t at = f->position;
            const bool flip = f->pass.flips && f->pass.flips[at];
            if (!mq_features_has(f->cache, place(f, at), flip)) continue;
            MQ_TRY(mq_features_read(err, f->cache, place(f, at), flip, f->x + *n * f->plan.width));
            f->labels[(*n)++] = label(f, at);
        }
    }
cleanup:
    return status;
}

/* The same, straight from the trunk, or pictures as they are. */
static mq_status next_loaded(mq_err *err, mq_feed *f, const float **x, mq_labels *labels, size_t *n) {
    mq_status status = MQ_OK;
    const float *pixels = NULL;
    if (!f->loader) return MQ_OK;
    const size_t *places = mq_loader_places(f->loader);
    MQ_TRY(mq_loader_next(err, f->loader, &pixels, n));
    f->position = mq_loader_taken(f->loader);
    if (!*n) {
        end_pass(f); /* its memory is for the next one */
        goto cleanup;
    }
    for (size_t i = 0; i < *n; i++) f->labels[i] = label(f, places[i]);
    mix_batch(f, places[0] - places[0] % f->pass.rows, &pixels, labels, *n);
    if (f->plan.program)
        MQ_TRY(mq_program_run(err, f->plan.program, pixels, *n, f->x));
    else
        *x = pixels;
cleanup:
    return status;
}

mq_status mq_feed_next(mq_err *err, mq_feed *f, const float **x, mq_labels *labels, size_t *n) {
    *n = 0;
    *x = f->x;
    *labels = (mq_labels){.first = f->labels};
    return f->cache ? next_cached(err, f, n) : next_loaded(err, f, x, labels, n);
}

size_t mq_feed_taken(const mq_feed *f) {
    return f->position;
}

double mq_feed_waited(const mq_feed *f) {
    return f->waited + (f->loader ? mq_loader_waited(f->loader) : 0);
}
