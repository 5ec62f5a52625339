/* skipped.c: the list of pictures that a run goes on without. Called by the loader, from its owner's thread.
 * Owns a bit for each picture of the data set. Invariant: a picture counts once, however often it fails. */
#include "data/skipped.h"
#include "base/mem.h"

#include <math.h>

struct mq_skipped {
    mq_skipped_plan plan;
    uint8_t *seen[MQ_SPLITS]; /* a bit for each picture */
    size_t count, most;
};

mq_status mq_skipped_create(mq_err *err, const mq_skipped_plan *plan, mq_skipped **skipped) {
    mq_status status = MQ_OK;
    mq_skipped *s = NULL;
    MQ_REQUIRE(plan->size == sizeof *plan && plan->share >= 0 && plan->share <= 1, err, MQ_INTERNAL,
               "a share of pictures from 0 to 1");
    MQ_TRY(mq_calloc(err, 1, sizeof *s, "a list of pictures", &s));
    s->plan = *plan;
    /* 0.29 of 100 pictures are 29, though the product is a little less. */
    s->most = (size_t)floor(plan->share * (double)plan->pictures + 1e-6);
    for (mq_split split = MQ_TRAIN; split < MQ_SPLITS; split++)
        MQ_TRY(mq_calloc(err, mq_dataset_count(plan->dataset, split) / 8 + 1, 1, "a list of pictures",
                         &s->seen[split]));
    *skipped = s;
    s = NULL;
cleanup:
    mq_skipped_free(&s);
    return status;
}

void mq_skipped_free(mq_skipped **skipped) {
    mq_skipped *s = *skipped;
    if (!s) return;
    for (size_t i = 0; i < MQ_SPLITS; i++) free(s->seen[i]);
    free(s);
    *skipped = NULL;
}

/* What is wrong with the picture, its record or the disk below, rather than with this process. */
static bool is_of_picture(mq_status code) {
    return code == MQ_BAD_DATA || code == MQ_NO_INPUT || code == MQ_IO;
}

mq_status mq_skipped_add(mq_err *err, mq_skipped *s, mq_split split, size_t index, const mq_err *why) {
    if (!s || !is_of_picture(why->code)) return mq_fail(err, why->code, "%s", why->text);
    uint8_t *byte = &s->seen[split][index / 8];
    const uint8_t bit = (uint8_t)(1u << index % 8);
    if (*byte & bit) return MQ_OK;
    *byte |= bit;
    /* A scan ends where the disk fails or a file is gone. */
    const bool listed = why->code == MQ_BAD_DATA;
    const char *folder = mq_dataset_folder(s->plan.dataset);
    if (++s->count > s->most)
        return mq_fail(
            err, why->code,
            "%s: %zu of the %zu pictures in use cannot be read, more than the %zu that --max-bad %g "
            "lets pass; bring them back or raise it, then go on with --resume%s%s%s; the last one: %s",
            folder, s->count, s->plan.pictures, s->most, s->plan.share, listed ? " (marque scan " : "",
            listed ? folder : "", listed ? " lists the damaged ones)" : "", why->text);
    if (s->plan.told) s->plan.told(s->plan.user, split, index, why->text);
    return MQ_OK;
}

size_t mq_skipped_count(const mq_skipped *skipped) {
    return skipped->count;
}
