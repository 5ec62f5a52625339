/* confident.c: which labels the pictures themselves speak against. Called by clean.c. Owns nothing between
 * calls. Invariant: no picture, and no copy of it, is answered by a classifier that has learned from it. */
#include "curate/confident.h"
#include "base/mem.h"
#include "base/rng.h"
#include "curate/logistic.h"

#include <math.h>
#include <string.h>

/* Weight decay of the classifier (mq_logistic_plan.l2): chosen by docs/CLEANING.md's measurement. */
static const double L2 = 0.05;

/* Labels judged together, and bins there are at least where there are too few labels for that. */
enum { BIN = 25, BINS_LEAST = 20 };

/* What a chance needs to be acted on: labels in a bin (the first bin always scores 1; 200 pictures have bins
 * of ten), pictures of a class, and how far the classifier comes from naming the largest class alone (0) to
 * being always right (1). */
enum { BIN_ENOUGH = 10, CLASS_ENOUGH = 10 };
static const double KNOWS = 0.25;

mq_status mq_confident_folds(mq_err *err, const mq_confident_plan *plan, uint32_t *fold) {
    mq_status status = MQ_OK;
    const size_t n = plan->count;
    uint32_t *order = NULL, *next = NULL, *of_group = NULL;
    MQ_REQUIRE(n <= UINT32_MAX && plan->folds >= 2, err, MQ_INTERNAL, "%zu folds of %zu pictures",
               plan->folds, n);
    MQ_TRY(mq_calloc(err, n, sizeof *order, "folds", &order));
    MQ_TRY(mq_calloc(err, n, sizeof *of_group, "folds", &of_group));
    MQ_TRY(mq_calloc(err, plan->classes, sizeof *next, "folds", &next));
    for (size_t i = 0; i < n; i++) of_group[i] = (uint32_t)plan->folds;
    for (size_t c = 0; c < plan->classes; c++) next[c] = (uint32_t)(c % plan->folds);
    mq_rng_permutation(plan->seed, MQ_RNG_FOLD, 0, order, (uint32_t)n);
    for (size_t k = 0; k < n; k++) {
        const uint32_t i = order[k];
        uint32_t *group = &of_group[plan->groups[i]], *turn = &next[plan->labels[i]];
        if (*group == plan->folds) {
            *group = *turn;
            *turn = (uint32_t)((*turn + 1) % plan->folds);
        }
        fold[i] = *group;
    }
cleanup:
    free(order);
    free(next);
    free(of_group);
    return status;
}

/* Learns from all folds but one, and takes over that one's answers. all [count, classes] is for the answers.
 */
static mq_status answer_fold(mq_err *err, const mq_confident_plan *plan, const uint32_t *fold, uint32_t one,
                             float *all, float *p) {
    mq_status status = MQ_OK;
    const size_t n = plan->count, row = plan->classes;
    bool *used = NULL;
    size_t count = 0;
    MQ_TRY(mq_calloc(err, n, sizeof *used, "folds", &used));
    for (size_t i = 0; i < n; i++) count += used[i] = fold[i] != one;
    if (count == n) goto cleanup; /* nobody to answer */
    MQ_REQUIRE(count, err, MQ_BAD_DATA,
               "all pictures are copies of one another, so that labels cannot be judged; marque scan shows "
               "the copies");
    const mq_logistic_plan fit = {.size = sizeof fit,
                                  .x = plan->x,
                                  .labels = plan->labels,
                                  .used = used,
                                  .count = n,
                                  .features = plan->features,
                                  .classes = row,
                                  .l2 = L2,
                                  .stop = plan->stop,
                                  .user = plan->user};
    MQ_TRY(mq_logistic_fit(err, &fit, all));
    for (size_t i = 0; i < n; i++)
        if (!used[i]) memcpy(p + i * row, all + i * row, row * sizeof *p);
cleanup:
    free(used);
    return status;
}

mq_status mq_confident_answers(mq_err *err, const mq_confident_plan *plan, float *p) {
    mq_status status = MQ_OK;
    uint32_t *fold = NULL;
    float *all = NULL;
    MQ_REQUIRE(plan->size == sizeof *plan && plan->count, err, MQ_INTERNAL, "no pictures to answer");
    MQ_TRY(mq_calloc(err, plan->count, sizeof *fold, "folds", &fold));
    MQ_TRY(mq_alloc_aligned(err, plan->count * plan->classes, sizeof *all, "answers", &all));
    MQ_TRY(mq_confident_folds(err, plan, fold));
    for (uint32_t one = 0; one < plan->folds; one++) {
        MQ_TRY(answer_fold(err, plan, fold, one, all, p));
        if (plan->progress) plan->progress(plan->user, one + 1, plan->folds);
    }
cleanup:
    free(fold);
    free(all);
    return status;
}

bool mq_confident_counts_as_one(const mq_answers_given *given, size_t picture) {
    return !given->groups || given->groups[picture] == picture;
}

static const float *row_of(const mq_answers_given *given, size_t picture) {
    return given->p + picture * given->classes;
}

void mq_confident_counts(const mq_answers_given *given, size_t *counts) {
    for (size_t i = 0; i < given->count; i++)
        counts[given->labels[i]] += mq_confident_counts_as_one(given, i);
}

void mq_confident_thresholds(const mq_answers_given *given, double *thresholds) {
    for (size_t c = 0; c < given->classes; c++) {
        double sum = 0;
        size_t count = 0;
        for (size_t i = 0; i < given->count; i++) {
            if (given->labels[i] != c || !mq_confident_counts_as_one(given, i)) continue;
            sum += (double)row_of(given, i)[c];
            count++;
        }
        thresholds[c] = count ? sum / (double)count : 2;
    }
}

size_t mq_confident_class(const mq_answers_given *given, const double *thresholds, size_t picture) {
    const float *p = row_of(given, picture);
    size_t best = given->classes;
    for (size_t c = 0; c < given->classes; c++)
        if ((double)p[c] >= thresholds[c] && (best == given->classes || p[c] > p[best])) best = c;
    return best;
}

/* Labels of like self-confidence, judged together. */
typedef struct {
    size_t labels; /* in the bin, and in those that were merged into it */
    double wrong;  /* chance that one of them is wrong */
} bin;

static int by_value(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

/* How many of sorted [count] are at most value. */
static size_t rank_of(const float *sorted, size_t count, float value) {
    size_t low = 0, high = count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (sorted[middle] <= value)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static size_t labels_each(size_t count) {
    return count >= BIN * BINS_LEAST ? BIN : count / BINS_LEAST ? count / BINS_LEAST : 1;
}

/* How many probabilities of classes that pictures do not bear fall into each bin of `each` labels of sorted
 * [known]; others [bins] is 0. A bin begins behind the last self-confidence of the one before. */
static void count_others(const mq_answers_given *given, const float *sorted, size_t known, size_t bins,
                         size_t *others) {
    const size_t each = labels_each(known);
    for (size_t i = 0; i < given->count; i++)
        for (size_t c = 0; c < given->classes; c++) {
            if (c == given->labels[i] || !mq_confident_counts_as_one(given, i)) continue;
            const float p = row_of(given, i)[c];
            const size_t below = p > 0 ? rank_of(sorted, known, nextafterf(p, 0)) : 0;
            const size_t at = below / each;
            others[at < bins ? at : bins - 1]++;
        }
}

/* Chances that fall from bin to bin: neighbours that rise are taken together (isotonic regression by pooling
 * adjacent violators). Returns how many bins are left. */
static size_t pool(bin *bins, size_t count) {
    size_t left = 0;
    for (size_t i = 0; i < count; i++) {
        bins[left++] = bins[i];
        for (; left > 1 && bins[left - 2].wrong < bins[left - 1].wrong; left--) {
            bin *a = &bins[left - 2];
            const bin *b = &bins[left - 1];
            a->wrong = (a->wrong * (double)a->labels + b->wrong * (double)b->labels) /
                       (double)(a->labels + b->labels);
            a->labels += b->labels;
        }
    }
    return left;
}

/* Chances of the sorted [n] labels, into wrong [n], and the rate. */
static mq_status estimate(mq_err *err, const mq_answers_given *given, const float *sorted, size_t n,
                          double *wrong, double *rate) {
    mq_status status = MQ_OK;
    const size_t each = labels_each(n), count = n / each;
    const double all = (double)n * (double)(given->classes - 1);
    size_t *others = NULL, place = 0;
    bin *bins = NULL;
    MQ_TRY(mq_calloc(err, count, sizeof *others, "labels", &others));
    MQ_TRY(mq_calloc(err, count, sizeof *bins, "labels", &bins));
    count_others(given, sorted, n, count, others);
    for (size_t b = 0; b < count; b++) {
        bins[b].labels = b + 1 < count ? each : n - b * each;
        /* f0 / f, before it is known how many are wrong */
        bins[b].wrong = (double)others[b] / all * (double)n / (double)bins[b].labels;
    }
    *rate = bins[0].wrong > 1 ? 1 / bins[0].wrong : 1;
    const size_t left = pool(bins, count);
    for (size_t b = 0; b < left; b++)
        for (size_t i = 0; i < bins[b].labels; i++) wrong[place++] = fmin(1, *rate * bins[b].wrong);
cleanup:
    free(others);
    free(bins);
    return status;
}

/* The likeliest class but the given one. */
static uint32_t other_class(const mq_answers_given *given, size_t picture) {
    const float *p = row_of(given, picture);
    uint32_t best = given->labels[picture] ? 0 : 1;
    for (uint32_t c = 0; c < given->classes; c++)
        if (c != given->labels[picture] && p[c] > p[best]) best = c;
    return best;
}

/* Whether the answers as a whole are worth acting on; counts [classes] of pictures. */
static bool knows(const mq_answers_given *given, const mq_doubt *doubts, const size_t *counts) {
    size_t largest = 0, right = 0, all = 0;
    for (size_t c = 0; c < given->classes; c++) {
        largest = counts[c] > largest ? counts[c] : largest;
        all += counts[c];
    }
    for (size_t i = 0; i < given->count; i++)
        right += mq_confident_counts_as_one(given, i) && doubts[i].given > doubts[i].best;
    return labels_each(all) >= BIN_ENOUGH &&
           (double)right >= (double)largest + KNOWS * (double)(all - largest);
}

/* Marks the doubts that are well enough founded; a share of wrong labels that is founded on nothing is NaN.
 */
static mq_status weigh(mq_err *err, const mq_answers_given *given, mq_doubt *doubts, double *rate) {
    mq_status status = MQ_OK;
    size_t *counts = NULL;
    MQ_TRY(mq_calloc(err, given->classes, sizeof *counts, "classes", &counts));
    mq_confident_counts(given, counts);
    const bool known = knows(given, doubts, counts);
    for (size_t i = 0; i < given->count; i++)
        doubts[i].founded = known && counts[given->labels[i]] >= CLASS_ENOUGH &&
                            counts[doubts[i].other] >= CLASS_ENOUGH;
    if (!known) *rate = (double)NAN;
cleanup:
    free(counts);
    return status;
}

mq_status mq_confident_judge(mq_err *err, const mq_answers_given *given, mq_doubt *doubts, double *rate) {
    mq_status status = MQ_OK;
    const size_t n = given->count;
    size_t known = 0;
    double *thresholds = NULL, *wrong = NULL;
    float *sorted = NULL;
    MQ_REQUIRE(n && given->classes >= 2, err, MQ_INTERNAL, "no labels to judge");
    MQ_TRY(mq_calloc(err, given->classes, sizeof *thresholds, "classes", &thresholds));
    MQ_TRY(mq_calloc(err, n, sizeof *wrong, "labels", &wrong));
    MQ_TRY(mq_calloc(err, n, sizeof *sorted, "labels", &sorted));
    for (size_t i = 0; i < n; i++)
        if (mq_confident_counts_as_one(given, i)) sorted[known++] = row_of(given, i)[given->labels[i]];
    qsort(sorted, known, sizeof *sorted, by_value);
    MQ_TRY(estimate(err, given, sorted, known, wrong, rate));
    mq_confident_thresholds(given, thresholds);
    for (size_t i = 0; i < n; i++) {
        const float *p = row_of(given, i);
        const uint32_t other = other_class(given, i);
        const float mine = p[given->labels[i]];
        const size_t rank = rank_of(sorted, known, mine); /* 0: a copy that is less sure than all */
        doubts[i] = (mq_doubt){.given = mine,
                               .best = p[other],
                               .other = other,
                               .confident = (uint32_t)mq_confident_class(given, thresholds, i),
                               .wrong = wrong[rank ? rank - 1 : 0]};
    }
    MQ_TRY(weigh(err, given, doubts, rate));
cleanup:
    free(thresholds);
    free(wrong);
    free(sorted);
    return status;
}
