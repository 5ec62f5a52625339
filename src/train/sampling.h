/* sampling.h: which pictures an epoch trains on, and in which order.
 *
 * MQ_SAMPLE_SHUFFLE: each picture once, in a random order; with a buffer of N pictures in one that reads the
 * shards almost from end to end: blocks of MQ_SAMPLE_BLOCK pictures that lie one behind the other come in a
 * random order, then the pictures of each N of that order do. MQ_SAMPLE_BALANCED: as many pictures, of each
 * of the K classes that have any as many as of the others. By the end of epoch e class k has had floor(((e +
 * 1) n + k) / K) draws (which add up to (e + 1) n), so an epoch's figures differ by at most one, and not
 * always for the same classes. A class's draws go through one permutation of its pictures after the other,
 * from epoch to epoch, and all draws of an epoch are shuffled: how often a picture comes goes by those
 * permutations, when it comes within the epoch does not. */
#ifndef MQ_SAMPLING_H
#define MQ_SAMPLING_H

#include "data/augment.h"
#include "data/dataset.h"

typedef enum { MQ_SAMPLE_SHUFFLE, MQ_SAMPLE_BALANCED } mq_sampling_kind;

enum { MQ_SAMPLE_BLOCK = 64 };

typedef struct mq_sampling mq_sampling;

typedef struct {
    mq_sampling_kind kind;
    size_t buffer;             /* pictures, of MQ_SAMPLE_SHUFFLE alone; 0: as many as there are */
    const mq_dataset *dataset; /* borrowed while the sampling lives, as is subset */
    const uint32_t *subset;    /* [count] the training pictures: indexes into the training part, rising;
                                  NULL: 0..count-1, of MQ_SAMPLE_SHUFFLE alone */
    size_t count;
} mq_sampling_plan;

/* *sampling is the caller's. */
MQ_MUST_USE mq_status mq_sampling_create(mq_err *err, const mq_sampling_plan *plan, mq_sampling **sampling);
void mq_sampling_free(mq_sampling **sampling);

/* The epoch's places in the subset into order [count], and how often each came before in it into times
 * [count]: functions of seed and epoch alone. */
void mq_sampling_draw(mq_sampling *sampling, uint64_t seed, uint32_t epoch, uint32_t *order, uint32_t *times);

/* An epoch as training sees it; [count] each, of the caller. */
typedef struct {
    uint32_t *order; /* places in the subset */
    uint32_t *times; /* how often the picture came before in the epoch */
    uint8_t *flips;  /* 0 or 1, as augment draws them */
} mq_epoch;

/* The same with flips: what training, and whoever shows what it will see, goes by. */
void mq_sampling_epoch(mq_sampling *sampling, const mq_augment *augment, uint64_t seed, uint32_t epoch,
                       const mq_epoch *out);

/* A place in the subset as an index into the training part. */
uint32_t mq_sampling_picture(const mq_sampling *sampling, uint32_t place);

#endif
