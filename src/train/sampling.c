/* sampling.c: the order of an epoch. Called by train.c. Owns the lists of each
 * class's pictures. Invariant: nothing is remembered from epoch to epoch, so a
 * resumed run draws what the uninterrupted one did. */
#include "train/sampling.h"
#include "base/mem.h"
#include "base/rng.h"

#include <string.h>

struct mq_sampling {
    mq_sampling_kind kind;
    const uint32_t *subset; /* borrowed */
    size_t count;
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
    free(s->begin);
    free(s->members);
    free(s->draws);
    free(s->shuffle);
    free(s->seen);
    free(s);
    *sampling = NULL;
}

/* Sorts places by class, those of a class by place, and leaves out classes without pictures. */
static void sort_members(mq_sampling *s, const mq_dataset *dataset) {
    const size_t all = mq_dataset_classes(dataset);
    for (size_t i = 0; i < s->count; i++) s->begin[mq_dataset_label(dataset, MQ_TRAIN, s->subset[i]) + 1]++;
    for (size_t c = 0; c < all; c++) s->begin[c + 1] += s->begin[c];
    for (size_t i = 0; i < s->count; i++) /* moves each begin to its end: the begin of the next */
        s->members[s->begin[mq_dataset_label(dataset, MQ_TRAIN, s->subset[i])]++] = (uint32_t)i;
    size_t end = 0;
    for (size_t c = 0; c < all; c++) {
        const size_t begin = end;
        end = s->begin[c];
        if (end > begin) s->begin[s->classes++] = begin;
    }
    s->begin[s->classes] = s->count;
}

mq_status mq_sampling_create(mq_err *err, mq_sampling_kind kind, const mq_dataset *dataset,
                             const uint32_t *subset, size_t count, mq_sampling **sampling) {
    mq_status status = MQ_OK;
    mq_sampling *s = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *s, "the order of pictures", &s));
    s->kind = kind;
    s->subset = subset;
    s->count = count;
    if (kind == MQ_SAMPLE_BALANCED) {
        MQ_TRY(mq_calloc(err, mq_dataset_classes(dataset) + 1, sizeof *s->begin, "classes", &s->begin));
        MQ_TRY(mq_calloc(err, count, sizeof *s->members, "the order of pictures", &s->members));
        MQ_TRY(mq_calloc(err, count, sizeof *s->draws, "the order of pictures", &s->draws));
        MQ_TRY(mq_calloc(err, count, sizeof *s->shuffle, "the order of pictures", &s->shuffle));
        MQ_TRY(mq_calloc(err, count, sizeof *s->seen, "the order of pictures", &s->seen));
        sort_members(s, dataset);
    }
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
    const uint64_t n = s->count, before = (uint64_t)epoch * n;
    size_t done = 0;
    for (size_t k = 0; k < s->classes; k++) {
        const uint64_t from = (before + k) / s->classes, to = (before + n + k) / s->classes;
        draw_class(s, seed, k, from, to, s->draws + done);
        done += to - from;
    }
    mq_rng_permutation(seed, MQ_RNG_SHUFFLE, epoch, s->shuffle, (uint32_t)n);
    for (size_t i = 0; i < s->count; i++) order[i] = s->draws[s->shuffle[i]];
}

void mq_sampling_draw(mq_sampling *s, uint64_t seed, uint32_t epoch, uint32_t *order, uint64_t *keys) {
    if (s->kind == MQ_SAMPLE_BALANCED) {
        draw_balanced(s, seed, epoch, order);
        memset(s->seen, 0, s->count * sizeof *s->seen);
    } else {
        mq_rng_permutation(seed, MQ_RNG_SHUFFLE, epoch, order, (uint32_t)s->count);
    }
    for (size_t i = 0; i < s->count; i++) {
        const uint64_t time = s->seen ? s->seen[order[i]]++ : 0;
        keys[i] = time << 32 | s->subset[order[i]];
    }
}
