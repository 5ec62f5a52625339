/* viewer.h: a frozen network that looks at the pictures of data sets, with the cache of what it has seen. */
#ifndef MQ_VIEWER_H
#define MQ_VIEWER_H

#include "infer/features.h"

typedef struct mq_viewer mq_viewer;

typedef struct {
    size_t size; /* sizeof(mq_viewer_plan) */
    const mq_arch *arch;
    const mq_bundle *weights; /* borrowed, as is the recipe, while the viewer is open */
    const mq_recipe *recipe;
    mq_dtype dtype; /* MQ_F32 or MQ_BF16 */
    size_t workers;
} mq_viewer_plan;

/* *viewer is the caller's. The network is made by the first look. */
MQ_MUST_USE mq_status mq_viewer_open(mq_err *err, const mq_viewer_plan *plan, mq_viewer **viewer);
void mq_viewer_free(mq_viewer **viewer);

/* Numbers that it says of a picture. */
size_t mq_viewer_width(const mq_viewer *viewer);

/* What is looked at, and who is told; dataset and user are borrowed while the features are open. */
typedef struct {
    const mq_dataset *dataset;
    mq_split split;           /* all of its pictures */
    bool flips;               /* mirror images may be asked for */
    bool (*stop)(void *user); /* as mq_features_plan */
    mq_features_progress progress;
    void *user;
} mq_look_plan;

/* Opens the features of a part, under the key that training gives them, so that whoever computes first saves
 * the other the work. *features is the caller's and must be freed before the viewer. */
MQ_MUST_USE mq_status mq_viewer_look(mq_err *err, mq_viewer *viewer, const mq_look_plan *plan,
                                     mq_features **features);

#endif
