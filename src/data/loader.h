/* loader.h: batches of prepared pictures, read, decoded and augmented by workers while the owner computes. */
#ifndef MQ_LOADER_H
#define MQ_LOADER_H

#include "data/augment.h"
#include "data/dataset.h"
#include "data/skipped.h"

typedef struct {
    size_t size;               /* sizeof(mq_loader_plan) */
    const mq_dataset *dataset; /* borrowed while the loader lives, as is what follows */
    mq_split split;
    const mq_recipe *recipe;
    const uint32_t *order; /* count indexes into the split; NULL: 0..count-1 */
    const uint8_t *flips;  /* count times 0 or 1; NULL: none */
    const uint32_t *times; /* count times how often the picture came before in the epoch; NULL: never */
    size_t count;          /* pictures in all */
    size_t batch;          /* pictures a batch; the last may be shorter */
    size_t workers;        /* at least 1 */
    size_t ahead;          /* pictures of order that the system is told of together, as it comes to the first
                            * of them (mq_dataset_expect); 0: none */
    /* What else happens to them, drawn by seed, epoch, the picture's index in the split, and times; its own
     * flip does not count here. NULL: nothing. */
    const mq_augment *augment;
    uint64_t seed;
    uint32_t epoch;
    mq_skipped *skipped; /* gets the pictures that cannot be read; NULL: the first one ends the loader */
} mq_loader_plan;

typedef struct mq_loader mq_loader;

/* Takes memory for three batches and starts the workers; *loader is the caller's. */
MQ_MUST_USE mq_status mq_loader_open(mq_err *err, const mq_loader_plan *plan, mq_loader **loader);

/* The next batch: *pixels [*count, imgsz, imgsz, 3] f32, borrowed until the next call; *count 0 at the end.
 * The same bytes whatever the number of workers. A picture that is skipped leaves its batch smaller, and a
 * batch without any is passed over; one that may not be (mq_skipped_add) ends the loader with a sentence,
 * which every further call repeats. */
MQ_MUST_USE mq_status mq_loader_next(mq_err *err, mq_loader *loader, const float **pixels, size_t *count);

/* Which of the plan's pictures (0..count-1) the rows of the present batch are, in order; borrowed until the
 * next call. */
const size_t *mq_loader_places(const mq_loader *loader);

/* How many of the plan's pictures have been taken, given or skipped. */
size_t mq_loader_taken(const mq_loader *loader);

/* Seconds the owner has waited in mq_loader_next so far. */
double mq_loader_waited(const mq_loader *loader);

void mq_loader_free(mq_loader **loader);

#endif
