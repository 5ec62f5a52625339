/* sampling.c: the order of an epoch. Called by train.c. Owns the lists of each
 * class's pictures. Invariant: nothing is remembered from epoch to epoch, so a
 * resumed run draws what the uninterrupted one did. */
#include "train/sampling.h"
#include "base/mem.h"
#include "base/rng.h"

#include <string.h>

struct mq_sampling {
    mq_sampling_plan plan;
    uint32_t *blocks; /* [count / MQ_SAMPLE_BLOCK, rounded up] their order; NULL: no buffer */
    /* The rest is of balanced sampling alone. */
    size_t classes;    /* that have pictures */
    size_t *begin;     /* [classes + 1] where their pictures begin in members */
    uint32_t *members; /* [count] places in the subset, class by class */
    uint32_t *draws;   /* [count] places in the subset, class by class */
    uint32_t *shuffle; /* [count] a permutation of a class's pictures */
    uint32_t *seen;    /* [count] how often a place has come in the epoch */
};

void mq_sampling_free(mq_sampling **sampling) {
    mq_sampling *s = *sampling;
    if (!s) return;
    free(s->blocks);
    free(s->begin);
    free(s->members);
    free(s->draws);
    free(s->shuffle);
    free(s->seen);
    free(s);
    *sampling = NULL;
}

/* Sorts places by class, those of a class by place, and leaves out classes without pictures. */
static void sort_members(mq_sampling *s) {
    const mq_sampling_plan *plan = &s->plan;
    const size_t all = mq_dataset_classes(plan->dataset);
    for (size_t i = 0; i < plan->count; i++)
        s->begin[mq_dataset_label(plan->dataset, MQ_TRAIN, plan->subset[i]) + 1]++;
    for (size_t c = 0; c < all; c++) s->begin[c + 1] += s->begin[c];
    for (size_t i = 0; i < plan->count; i++) /* moves each begin to its end: the begin of the next */
        s->members[s->begin[mq_dataset_label(plan->dataset, MQ_TRAIN, plan->subset[i])]++] = (uint32_t)i;
    size_t end = 0;
    for (size_t c = 0; c < all; c++) {
        const size_t begin = end;
        end = s->begin[c];
        if (end > begin) s->begin[s->classes++] = begin;
    }
    s->begin[s->classes] = plan->count;
}

static mq_status make_balanced(mq_err *err, mq_sampling *s) {
    mq_status status = MQ_OK;
    const size_t count = s->plan.count;
    MQ_TRY(mq_calloc(err, mq_dataset_classes(s->plan.dataset) + 1, sizeof *s->begin, "classes", &s->begin));
    MQ_TRY(mq_calloc(err, count, sizeof *s->members, "the order of pictures", &s->members));
    MQ_TRY(mq_calloc(err, count, sizeof *s->draws, "the order of pictures", &s->draws));
    MQ_TRY(mq_calloc(err, count, sizeof *s->shuffle, "the order of pictures", &s->shuffle));
    MQ_TRY(mq_calloc(err, count, sizeof *s->seen, "the order of pictures", &s->seen));
    sort_members(s);
cleanup:
    return status;
}

static size_t count_blocks(const mq_sampling *s) {
    return mq_ceil_div(s->plan.count, MQ_SAMPLE_BLOCK);
}

mq_status mq_sampling_create(mq_err *err, const mq_sampling_plan *plan, mq_sampling **sampling) {
    mq_status status = MQ_OK;
    mq_sampling *s = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *s, "the order of pictures", &s));
    s->plan = *plan;
    if (plan->kind == MQ_SAMPLE_BALANCED)
        MQ_TRY(make_balanced(err, s));
    else if (plan->buffer)
        MQ_TRY(mq_calloc(err, count_blocks(s), sizeof *s->blocks, "the order of pictures", &s->blocks));
    *sampling = s;
    s = NULL;
cleanup:
    mq_sampling_free(&s);
    return status;
}

/* Draws from..to of class k, all epochs counted together, into draws. */
static void draw_class(mq_sampling *s, uint64_t seed, size_t k, uint64_t from, uint64_t to, uint32_t *draws) {
    const uint32_t *members = s->members + s->begin[k];
    const uint64_t n = s->begin[k + 1] - s->begin[k];
    for (uint64_t d = from; d < to; d++) {
        /* Each class and round has its own permutation. */
        if (d == from || d % n == 0)
            mq_rng_permutation(seed, MQ_RNG_BALANCE, (uint32_t)(d / n * s->classes + k), s->shuffle,
                               (uint32_t)n);
        *draws++ = members[s->shuffle[d % n]];
    }
}

static void draw_balanced(mq_sampling *s, uint64_t seed, uint32_t epoch, uint32_t *order) {
    const uint64_t n = s->plan.count, before = (uint64_t)epoch * n;
    size_t done = 0;
    for (size_t k = 0; k < s->classes; k++) {
        const uint64_t from = (before + k) / s->classes, to = (before + n + k) / s->classes;
        draw_class(s, seed, k, from, to, s->draws + done);
        done += to - from;
    }
    mq_rng_permutation(seed, MQ_RNG_SHUFFLE, epoch, s->shuffle, (uint32_t)n);
    for (size_t i = 0; i < s->plan.count; i++) order[i] = s->draws[s->shuffle[i]];
}

static void draw_buffered(const mq_sampling *s, uint64_t seed, uint32_t epoch, uint32_t *order) {
    const size_t count = s->plan.count, buffer = s->plan.buffer, blocks = count_blocks(s);
    size_t done = 0;
    mq_rng_permutation(seed, MQ_RNG_BLOCKS, epoch, s->blocks, (uint32_t)blocks);
    for (size_t b = 0; b < blocks; b++) {
        const size_t from = (size_t)s->blocks[b] * MQ_SAMPLE_BLOCK; /* the last in the shards may be short */
        for (size_t i = from; i < from + MQ_SAMPLE_BLOCK && i < count; i++) order[done++] = (uint32_t)i;
    }
    for (size_t from = 0; from < count; from += buffer) {
        const size_t n = count - from < buffer ? count - from : buffer;
        mq_rng_permute(seed, MQ_RNG_SHUFFLE, epoch, from, order + from, (uint32_t)n);
    }
}

void mq_sampling_draw(mq_sampling *s, uint64_t seed, uint32_t epoch, uint32_t *order, uint32_t *times) {
    const size_t count = s->plan.count;
    memset(times, 0, count * sizeof *times);
    if (s->plan.kind == MQ_SAMPLE_BALANCED) {
        draw_balanced(s, seed, epoch, order);
        memset(s->seen, 0, count * sizeof *s->seen);
        for (size_t i = 0; i < count; i++) times[i] = s->seen[order[i]]++;
    } else if (s->plan.buffer) {
        draw_buffered(s, seed, epoch, order);
    } else {
        mq_rng_permutation(seed, MQ_RNG_SHUFFLE, epoch, order, (uint32_t)count);
    }
}

uint32_t mq_sampling_picture(const mq_sampling *s, uint32_t place) {
    return s->plan.subset ? s->plan.subset[place] : place;
}

void mq_sampling_epoch(mq_sampling *s, const mq_augment *augment, uint64_t seed, uint32_t epoch,
                       const mq_epoch *out) {
    mq_sampling_draw(s, seed, epoch, out->order, out->times);
    for (size_t i = 0; i < s->plan.count; i++) {
        const mq_draw draw = {seed, epoch, mq_sampling_picture(s, out->order[i]), out->times[i]};
        out->flips[i] = mq_augment_flip(augment, &draw);
    }
}
