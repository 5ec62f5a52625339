/* sampling.h: which pictures an epoch trains on, in which order, and what their draws are keyed by.
 *
 * MQ_SAMPLE_SHUFFLE: each picture once. MQ_SAMPLE_BALANCED: as many pictures, of each of the K classes that
 * have any as many as of the others. By the end of epoch e class k has had floor(((e + 1) n + k) / K) draws
 * (which add up to (e + 1) n), so an epoch's figures differ by at most one, and not always for the same
 * classes. A class's draws go through one permutation of its pictures after the other, from epoch to epoch:
 * none comes again before all have come. */
#ifndef MQ_SAMPLING_H
#define MQ_SAMPLING_H

#include "data/dataset.h"

typedef enum { MQ_SAMPLE_SHUFFLE, MQ_SAMPLE_BALANCED } mq_sampling_kind;

typedef struct mq_sampling mq_sampling;

/* For the training pictures subset [count], indexes into the training part; dataset and subset are borrowed
 * while it lives. *sampling is the caller's. */
MQ_MUST_USE mq_status mq_sampling_create(mq_err *err, mq_sampling_kind kind, const mq_dataset *dataset,
                                         const uint32_t *subset, size_t count, mq_sampling **sampling);
void mq_sampling_free(mq_sampling **sampling);

/* The epoch's places in the subset into order [count], a function of seed and epoch alone; into keys [count]
 * the sample by which each of these views draws (base/rng.h): the picture's index in the training part, plus
 * 2^32 for each time it came before in the epoch, so that no two views draw the same. */
void mq_sampling_draw(mq_sampling *sampling, uint64_t seed, uint32_t epoch, uint32_t *order, uint64_t *keys);

#endif
