/* features.h: what the frozen part of a network says of pictures and of their mirror images, computed when it
 * is first asked for and kept on disk: the pooled features, or the tensor below the first thawed layer.
 *
 * One file for one key (weights, recipe, network, dtype, instruction set,
 * library version, data set and part), for whatever pictures of the part are asked for: chunks of up to 64
 * views (16 of rows of 128 kB and more) in the order they were computed, each with their numbers and a
 * CRC-32C, so that a file goes on behind its last whole chunk. docs/FORMATS.md describes it. */
#ifndef MQ_FEATURES_H
#define MQ_FEATURES_H

#include "data/skipped.h"
#include "net/program.h"

typedef struct mq_features mq_features;

/* Told after each batch: views done, and in all, of those a call found missing; seconds it has worked,
 * seconds of them spent waiting for data. */
typedef void (*mq_features_progress)(void *user, size_t done, size_t total, double seconds, double waited);

typedef struct {
    size_t size;               /* sizeof(mq_features_plan) */
    const mq_dataset *dataset; /* borrowed, as is all of the plan, while the features are open */
    mq_split split;
    const uint32_t *subset; /* count indexes into the split; NULL: 0..count-1 */
    size_t count;           /* pictures */
    bool flips;             /* mirror images may be asked for */
    const mq_recipe *recipe;
    mq_program *program;      /* the trunk; NULL is enough for mq_features_bytes */
    const char *weights_hash; /* of the weights of the frozen part */
    size_t width;             /* numbers a picture */
    mq_dtype dtype;           /* of the trunk, and of the numbers on disk: MQ_F32 or MQ_BF16 */
    size_t batch, workers;
    size_t ahead;        /* as the loader's, as is skipped; 0: none */
    mq_skipped *skipped; /* NULL: a picture that cannot be read is an error */
    bool (*stop)(void *user);
    mq_features_progress progress;
    void *user;
} mq_features_plan;

/* Bytes the cache takes on disk once it holds every view. */
uint64_t mq_features_bytes(const mq_features_plan *plan);

/* Bytes that the cache in that folder takes on disk; 0 without one. */
uint64_t mq_features_size(const char *folder);

/* The same of the plan's cache, whatever views they are. Makes nothing. */
MQ_MUST_USE mq_status mq_features_held(mq_err *err, const mq_features_plan *plan, uint64_t *bytes);

/* Removes the cache in that folder; one that a process has open is left alone: MQ_CANNOT_CREATE, and *busy.
 */
MQ_MUST_USE mq_status mq_features_remove(mq_err *err, const char *folder, bool *busy);

/* Opens the cache for the plan and finds what it holds. *features is the caller's. */
MQ_MUST_USE mq_status mq_features_open(mq_err *err, const mq_features_plan *plan, mq_features **features);
void mq_features_free(mq_features **features);

/* Computes what is missing of count views, before they are read: places order [count] in the subset (NULL:
 * 0..count-1), mirrored where flips [count] is 1 (NULL: none). Stopped: MQ_INTERRUPTED, and what is done is
 * kept. Views of skipped pictures stay missing, and are tried again when they are next asked for. */
MQ_MUST_USE mq_status mq_features_need(mq_err *err, mq_features *features, const uint32_t *order,
                                       const uint8_t *flips, size_t count);

/* Whether that view has features. */
bool mq_features_has(const mq_features *features, size_t index, bool flip);

/* The features of picture index (its place in the subset), mirrored or not, as f32 into row [width]. */
MQ_MUST_USE mq_status mq_features_read(mq_err *err, const mq_features *features, size_t index, bool flip,
                                       float *row);

/* The folder that holds all caches; the caller's, for free(). */
MQ_MUST_USE mq_status mq_features_folder(mq_err *err, char **path);

#endif
