/* parts.c: divides a data set for a run. Called by training and by what is told before it. Owns the lists.
 * Invariant: no picture is trained on and validated on. */
#include "train/parts.h"
#include "base/mem.h"
#include "data/folds.h"

#include <math.h>
#include <string.h>

void mq_parts_free(mq_parts *parts) {
    free(parts->train);
    free(parts->val);
    *parts = (mq_parts){0};
}

/* Leaves the first round(fraction x n) of each class, at least one. */
static mq_status thin(mq_err *err, const mq_dataset *dataset, double fraction, mq_parts *parts) {
    mq_status status = MQ_OK;
    const size_t classes = mq_dataset_classes(dataset), all = parts->train_count;
    size_t *left = NULL;
    MQ_TRY(mq_calloc(err, classes, sizeof *left, "a list of classes", &left));
    for (size_t i = 0; i < all; i++) left[mq_dataset_label(dataset, MQ_TRAIN, parts->train[i])]++;
    for (size_t c = 0; c < classes; c++)
        if (left[c]) left[c] = (size_t)fmax(1, round(fraction * (double)left[c]));
    parts->train_count = 0;
    for (size_t i = 0; i < all; i++) {
        size_t *quota = &left[mq_dataset_label(dataset, MQ_TRAIN, parts->train[i])];
        if (*quota) parts->train[parts->train_count++] = parts->train[i], (*quota)--;
    }
cleanup:
    free(left);
    return status;
}

/* Takes the fold out of the training pictures. */
static mq_status hold_out(mq_err *err, const mq_dataset *dataset, uint32_t fold, mq_parts *parts) {
    mq_status status = MQ_OK;
    const size_t all = parts->train_count;
    uint32_t *folds = NULL, count = 0;
    MQ_TRY(mq_folds_read(err, dataset, &folds, &count));
    MQ_REQUIRE(fold <= count, err, MQ_USAGE, "--fold %u: %s has %u folds", fold, mq_dataset_folder(dataset),
               count);
    MQ_TRY(mq_calloc(err, all, sizeof *parts->val, "a list of pictures", &parts->val));
    parts->val_split = MQ_TRAIN;
    parts->train_count = parts->val_count = 0;
    for (uint32_t i = 0; i < all; i++)
        if (folds[i] == fold)
            parts->val[parts->val_count++] = i;
        else
            parts->train[parts->train_count++] = i;
cleanup:
    free(folds);
    return status;
}

mq_status mq_parts_make(mq_err *err, const mq_dataset *dataset, double fraction, uint32_t fold,
                        mq_parts *parts) {
    mq_status status = MQ_OK;
    mq_parts made = {.train_count = mq_dataset_count(dataset, MQ_TRAIN),
                     .val_split = MQ_VAL,
                     .val_count = mq_dataset_count(dataset, MQ_VAL)};
    MQ_TRY(mq_calloc(err, made.train_count, sizeof *made.train, "a list of pictures", &made.train));
    for (size_t i = 0; i < made.train_count; i++) made.train[i] = (uint32_t)i;
    if (fold) MQ_TRY(hold_out(err, dataset, fold, &made));
    MQ_TRY(thin(err, dataset, fraction, &made));
    *parts = made;
    made = (mq_parts){0};
cleanup:
    mq_parts_free(&made);
    return status;
}
