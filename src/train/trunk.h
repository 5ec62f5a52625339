/* trunk.h: the network below the classifier during one stage: a frozen part whose tensors may be cached, and
 * a thawed part in training above it. Either may be missing. */
#ifndef MQ_TRUNK_H
#define MQ_TRUNK_H

#include "train/feed.h"
#include "train/parts.h"
#include "train/stages.h"
#include "train/step.h"

typedef struct mq_trunk mq_trunk;

enum { MQ_VALIDATION_ROWS = 16 }; /* pictures of a batch where nothing is trained */

typedef struct {
    size_t size;               /* sizeof(mq_trunk_plan) */
    const mq_dataset *dataset; /* borrowed, as is all of the plan while the trunk lives */
    const mq_parts *parts;
    const mq_arch *arch;
    mq_bundle *weights; /* always as trained so far; thawed layers lie in the trunk while it lives */
    const mq_recipe *recipe;
    const mq_stage *stage;
    mq_dtype dtype;
    size_t batch, workers;
    size_t ahead;        /* training pictures the system is told of together, as the loader's; 0: none */
    bool cache;          /* where it may be: augmentation beside flips keeps the training part out */
    mq_skipped *skipped; /* gets pictures that cannot be read; NULL: the first one is an error */
    bool (*stop)(void *user);
    /* Told of the frozen part's work on a split, as mq_features_progress. */
    void (*progress)(void *user, mq_split split, size_t done, size_t total, double seconds, double waited);
    void *user;
} mq_trunk_plan;

/* What a stage takes, known before it begins. */
typedef struct {
    size_t params;         /* thawed, without the classifier's */
    size_t head_params;    /* the classifier's; filled by mq_train_measure */
    double head;           /* seconds of its training step a picture; likewise */
    size_t passes;         /* over the training part before the first epoch; likewise */
    size_t memory;         /* bytes: programs and training */
    size_t memory_picture; /* of them for each picture of a batch */
    uint64_t disk;         /* bytes of cache, */
    uint64_t held;         /* and what of them is there already, by the size of its files */
    size_t views;          /* of a training picture that are kept there; 0: the validation part's alone are */
    double frozen;         /* seconds of the frozen part a picture */
    double thawed;         /* seconds of a training step a picture; 0: nothing is thawed */
    double validation;     /* seconds of the thawed part a picture, forward */
} mq_trunk_cost;

/* Makes the programs of the stage and, when it has anything to cache, finds the cache. *trunk is the
 * caller's. */
MQ_MUST_USE mq_status mq_trunk_open(mq_err *err, const mq_trunk_plan *plan, mq_trunk **trunk);
void mq_trunk_free(mq_trunk **trunk);

/* Counts, and where timed measures a few grey pictures, in the memory of a small batch; else the seconds stay
 * 0. Writes nothing to disk. */
MQ_MUST_USE mq_status mq_trunk_measure(mq_err *err, const mq_trunk_plan *plan, bool timed,
                                       mq_trunk_cost *cost);

/* Seconds of a stage of so many epochs, pictures of training and of validation: the frozen part in every
 * pass, or, where its tensors are kept, once for each view that is drawn and not there yet. */
double mq_trunk_seconds(const mq_trunk_cost *cost, double epochs, double train, double val);

/* Appends mq_trainable_describe of the whole batch; nothing where nothing is thawed. */
MQ_MUST_USE mq_status mq_trunk_describe(mq_err *err, const mq_trunk_plan *plan, mq_buf *text);

/* Begins a pass, and caches what it lacks for it; its rows are the trunk's own matter. MQ_TRAIN: the places
 * are those of the subset. MQ_VAL: all pictures as they are. */
MQ_MUST_USE mq_status mq_trunk_begin(mq_err *err, mq_trunk *trunk, mq_split split, const mq_feed_pass *pass);

/* The next batch: x and labels [*n], borrowed until the next call; *n 0 at the end. In MQ_VAL x holds
 * features [*n, arch->features], in MQ_TRAIN what mq_trunk_gradients takes. */
MQ_MUST_USE mq_status mq_trunk_next(mq_err *err, mq_trunk *trunk, mq_split split, const float **x,
                                    mq_labels *labels, size_t *n);

/* Pictures of the split's present pass that have been taken, given or skipped. */
size_t mq_trunk_taken(const mq_trunk *trunk, mq_split split);

/* Gradients of a batch of MQ_TRAIN, of the classifier and of what is thawed; each is told of every slice (see
 * mq_step_plan). */
MQ_MUST_USE mq_status mq_trunk_gradients(mq_err *err, mq_trunk *trunk, mq_step_plan step, const float *x,
                                         const mq_labels *labels, size_t n);

/* Whether anything is thawed; if so, one step of Adam (step counts from 1) from these gradients. Numbers that
 * are not finite: MQ_BAD_DATA, naming the layer. */
bool mq_trunk_thawed(const mq_trunk *trunk);
MQ_MUST_USE mq_status mq_trunk_step(mq_err *err, mq_trunk *trunk, double lr, uint64_t step);

/* Names the first layer whose numbers are not finite; NULL: none. */
const char *mq_trunk_bad_layer(const mq_trunk *trunk);

/* Adam's moments of the thawed parameters [count]; borrowed, may be written. */
size_t mq_trunk_slots(const mq_trunk *trunk, float **m, float **v);

/* Mean and 1 / deviation of each feature over the training part with the trunk as it was when the stage
 * began, of what can be read of it; mirrored, too, where training is. */
MQ_MUST_USE mq_status mq_trunk_statistics(mq_err *err, mq_trunk *trunk, float *mean, float *scale);

/* Seconds spent waiting for pictures. */
double mq_trunk_waited(const mq_trunk *trunk);

#endif
