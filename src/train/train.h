/* train.h: a whole run: features, stages, validation, checkpoints, the best and the last model. */
#ifndef MQ_TRAIN_H
#define MQ_TRAIN_H

#include "train/head_train.h"
#include "train/metrics.h"
#include "train/run.h"
#include "train/sampling.h"
#include "train/trunk.h"

typedef enum { MQ_MONITOR_TOP1, MQ_MONITOR_LOSS } mq_monitor;

typedef enum {
    MQ_PHASE_FEATURES, /* the frozen part runs over the pictures of a split */
    MQ_PHASE_TRAIN,    /* within an epoch */
    MQ_PHASE_VALIDATE, /* behind an epoch */
    MQ_PHASE_EPOCH,    /* an epoch has ended; row is set */
} mq_phase;

/* Where the work stands; borrowed until the callback returns. */
typedef struct {
    mq_phase phase;
    mq_split split;
    size_t done, total;     /* pictures of this phase */
    double seconds;         /* this phase has worked for */
    double waited;          /* of them, waiting for data */
    double left;            /* seconds to the end of the phase, or of the stage in MQ_PHASE_TRAIN */
    uint32_t epoch, epochs; /* from 1, of the stage */
    const char *stage;
    double loss, top1, lr, img_s;
    const mq_run_row *row; /* MQ_PHASE_EPOCH */
    bool best;             /* MQ_PHASE_EPOCH: the best so far */
} mq_train_progress;

typedef struct {
    size_t size;               /* sizeof(mq_train_plan) */
    const mq_dataset *dataset; /* borrowed, as is all of the plan, until mq_train returns */
    const mq_parts *parts;     /* of the data set */
    const mq_arch *arch;
    mq_bundle *weights; /* what is thawed is changed in it */
    const mq_recipe *recipe;
    mq_run *run;
    const char *config; /* digest of the settings that decide the numbers */
    bool resume, inexact;
    mq_head_kind head;
    mq_dtype dtype;
    const mq_stage *stages;
    size_t stage_count;
    size_t batch, workers;
    size_t keep;             /* checkpoints */
    double checkpoint_every; /* seconds */
    uint64_t summary_steps;  /* between records of the training figures; 0: none */
    uint64_t seed;
    mq_sampling_kind sampling;
    size_t shuffle_buffer;      /* pictures, without balanced sampling (sampling.h); 0: all */
    const float *class_weights; /* [classes] of the loss in training; NULL: none */
    double smoothing;           /* of its labels, 0..1 */
    mq_monitor monitor;
    bool cache;
    double max_bad; /* share of the run's pictures that may be skipped as they cannot be read; 0: none */
    mq_status (*accepted)(mq_err *err,
                          void *user); /* called once nothing speaks against going on; NULL: not */
    bool (*stop)(void *user);
    void (*progress)(void *user, const mq_train_progress *progress);
    void *user;
} mq_train_plan;

typedef struct {
    uint32_t epochs, best_epoch; /* best_epoch from 1 */
    bool validated;              /* false: no validation part, so best is last */
    size_t skipped;              /* pictures that could not be read */
    mq_scores best;              /* of the best model on the validation part */
    double seconds;
} mq_train_result;

/* What a stage of the plan takes; its seconds, where timed, from measurements, else 0. */
MQ_MUST_USE mq_status mq_train_measure(mq_err *err, const mq_train_plan *plan, size_t stage, bool timed,
                                       mq_trunk_cost *cost);

/* Appends what mq_trunk_describe says of a stage. */
MQ_MUST_USE mq_status mq_train_describe(mq_err *err, const mq_train_plan *plan, size_t stage, mq_buf *text);

/* Trains. Stopped: MQ_INTERRUPTED after a checkpoint; the same run goes on with resume. */
MQ_MUST_USE mq_status mq_train(mq_err *err, const mq_train_plan *plan, mq_train_result *result);

#endif
