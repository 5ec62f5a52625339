/* confirm.c: features of candidates, and the angle between them. Called by
 * duplicates.c. Owns the open caches. Invariant: a
 * pair's cosine depends on its two pictures alone. */
#include "curate/confirm.h"
#include "base/clock.h"
#include "base/mem.h"

#include <math.h>

typedef struct {
    const mq_duplicates_plan *plan;
    mq_features *features[MQ_SPLITS];
    float *rows[2];       /* of a pair */
    uint32_t *order;      /* pictures wanted, split by split */
    uint8_t *flips;       /* and whether mirrored */
    size_t missing, done; /* views of all splits to be computed, and of those before the present one */
    double start;
} confirmer;

static bool stop_wanted(void *user) {
    const mq_duplicates_plan *plan = ((const confirmer *)user)->plan;
    return plan->stop && plan->stop(plan->user);
}

/* Of all splits together. */
static void tell(void *user, size_t done, size_t total, double seconds, double waited) {
    const confirmer *c = user;
    (void)total, (void)seconds, (void)waited;
    if (c->plan->progress)
        c->plan->progress(c->plan->user, "candidates compared", c->done + done, c->missing,
                          mq_seconds() - c->start);
}

static mq_status open_features(mq_err *err, confirmer *c, mq_split split) {
    const mq_look_plan look = {c->plan->dataset, split, true, stop_wanted, tell, c};
    return mq_viewer_look(err, c->plan->viewer, &look, &c->features[split]);
}

/* A part of the lists of views: those of one split. */
typedef struct {
    size_t first, count, missing; /* missing: without features */
} view_range;

/* Appends the pictures of a split that are wanted as they are (bit 0) and mirrored (bit 1) to the lists. */
static void list_views(const confirmer *c, mq_split split, const uint8_t *wanted, view_range *range) {
    for (size_t i = 0; i < mq_dataset_count(c->plan->dataset, split); i++)
        for (uint8_t flip = 0; flip < 2; flip++)
            if (wanted[i] >> flip & 1) {
                const size_t view = range->first + range->count++;
                range->missing += !mq_features_has(c->features[split], i, flip);
                c->order[view] = (uint32_t)i;
                c->flips[view] = flip;
            }
}

static mq_status need_all(mq_err *err, confirmer *c, const mq_near *pairs, size_t count, size_t pictures) {
    mq_status status = MQ_OK;
    uint8_t *wanted = NULL; /* [pictures] of all splits */
    view_range ranges[MQ_SPLITS] = {0};
    MQ_TRY(mq_calloc(err, pictures, 1, "candidates", &wanted));
    MQ_TRY(mq_calloc(err, 2 * pictures, sizeof *c->order, "candidates", &c->order));
    MQ_TRY(mq_calloc(err, 2 * pictures, 1, "candidates", &c->flips));
    for (size_t i = 0; i < count; i++) {
        wanted[pairs[i].a] |= 1;
        wanted[pairs[i].b] |= pairs[i].mirrored ? 2 : 1;
    }
    size_t first = 0, views = 0;
    for (mq_split split = MQ_TRAIN; split < MQ_SPLITS; split++) {
        ranges[split].first = views;
        list_views(c, split, wanted + first, &ranges[split]);
        first += mq_dataset_count(c->plan->dataset, split);
        views += ranges[split].count;
        c->missing += ranges[split].missing;
    }
    c->start = mq_seconds();
    for (mq_split split = MQ_TRAIN; split < MQ_SPLITS; split++) {
        const view_range *r = &ranges[split];
        if (r->count)
            MQ_TRY(mq_features_need(err, c->features[split], c->order + r->first, c->flips + r->first,
                                    r->count));
        c->done += r->missing;
    }
cleanup:
    free(wanted);
    return status;
}

static mq_status read_row(mq_err *err, const confirmer *c, uint32_t picture, bool flip, float *row) {
    size_t index;
    const mq_split split = mq_picture_place(c->plan->dataset, picture, &index);
    return mq_features_read(err, c->features[split], index, flip, row);
}

static float cosine(const float *a, const float *b, size_t width) {
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < width; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return aa > 0 && bb > 0 ? (float)(ab / sqrt(aa * bb)) : 0;
}

mq_status mq_confirm_pairs(mq_err *err, const mq_duplicates_plan *plan, const mq_near *pairs, size_t count,
                           float *cosines) {
    mq_status status = MQ_OK;
    confirmer c = {.plan = plan};
    const size_t width = mq_viewer_width(plan->viewer);
    size_t pictures = 0;
    for (mq_split split = MQ_TRAIN; split < MQ_SPLITS; split++) {
        pictures += mq_dataset_count(plan->dataset, split);
        MQ_TRY(open_features(err, &c, split));
    }
    MQ_TRY(need_all(err, &c, pairs, count, pictures));
    for (int i = 0; i < 2; i++) MQ_TRY(mq_calloc(err, width, sizeof(float), "features", &c.rows[i]));
    for (size_t i = 0; i < count; i++) {
        MQ_TRY(read_row(err, &c, pairs[i].a, false, c.rows[0]));
        MQ_TRY(read_row(err, &c, pairs[i].b, pairs[i].mirrored, c.rows[1]));
        cosines[i] = cosine(c.rows[0], c.rows[1], width);
    }
cleanup:
    for (mq_split split = MQ_TRAIN; split < MQ_SPLITS; split++) mq_features_free(&c.features[split]);
    for (int i = 0; i < 2; i++) free(c.rows[i]);
    free(c.order);
    free(c.flips);
    return status;
}
