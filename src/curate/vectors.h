/* vectors.h: what a frozen network says of every picture of a data set: one row of pooled features each. */
#ifndef MQ_VECTORS_H
#define MQ_VECTORS_H

#include "curate/viewer.h"

typedef struct {
    size_t size;               /* sizeof(mq_vectors_plan) */
    const mq_dataset *dataset; /* borrowed, as is all of the plan, while mq_vectors_read runs */
    mq_viewer *viewer;
    bool splits[MQ_SPLITS];   /* whose pictures are wanted */
    bool (*stop)(void *user); /* NULL: never */
    /* Told of what the feature cache lacks, as mq_features_progress; NULL: nobody. */
    void (*progress)(void *user, mq_split split, size_t done, size_t total, double seconds, double waited);
    void *user;
} mq_vectors_plan;

/* The pictures of the wanted splits one after the other, each split in the order of its index. */
typedef struct {
    float *rows;              /* [count, width], owned */
    size_t count, width;      /* pictures, and numbers of each */
    size_t begin[MQ_SPLITS];  /* first row of each split */
    size_t number[MQ_SPLITS]; /* rows of each split; 0 where it was not wanted */
} mq_vectors;

/* Reads the features from the cache that `marque train` uses (infer/features.h), after computing what it
 * lacks. Stopped: MQ_INTERRUPTED, and what is done stays in the cache; more rows than the memory holds:
 * MQ_NO_MEMORY. *vectors is the caller's, for mq_vectors_free. */
MQ_MUST_USE mq_status mq_vectors_read(mq_err *err, const mq_vectors_plan *plan, mq_vectors *vectors);
void mq_vectors_free(mq_vectors *vectors);

/* Gives every column mean 0 and standard deviation 1 over all rows; a column that never changes becomes 0. */
void mq_vectors_standardise(mq_vectors *vectors);

/* Gives every row the length 1, so that a dot product is a cosine; a row of zeros stays. */
void mq_vectors_normalise(mq_vectors *vectors);

#endif
