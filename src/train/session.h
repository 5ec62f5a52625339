/* session.h: a run in work, shared by train.c (the loop) and session.c (what is kept on disk). */
#ifndef MQ_SESSION_H
#define MQ_SESSION_H

#include "train/checkpoint.h"
#include "train/records.h"
#include "train/train.h"

/* Everything a run holds while it works. */
typedef struct {
    const mq_train_plan *plan;
    size_t count;
    size_t validation;   /* pictures of the validation part; 0: none */
    mq_skipped *skipped; /* pictures that this process could not read */
    mq_trunk *trunk;     /* of the present stage */
    bool changed;        /* the trunk's weights are no longer those of its file */
    mq_head *head;
    mq_head_trainer *trainer;
    mq_head_work *val_work;
    mq_metrics *metrics;
    float *best;         /* [head->count] the best classifier while the trunk stays as it is */
    bool best_pending;   /* best is not in weights/best.safetensors yet */
    uint32_t named_best; /* the epoch of the model in that file if the newest checkpoint names it; 0: it does
                            not */
    mq_sampling *sampling;
    uint32_t *order; /* [count] of the present epoch */
    uint8_t *flips;  /* [count] of the present epoch, as is times */
    uint32_t *times;
    mq_progress_state state;
    mq_records *records;
    mq_checkpoint *checkpoint; /* what a resume still has to read; NULL: nothing */
    double checkpointed;       /* when the last checkpoint was written, seconds */
    double resumed;            /* when this process began to train, seconds */
    char *checkpoints, *environment;
} mq_session;

bool mq_session_stopped(const mq_session *session);

/* Makes all but the trunk, and goes back to the newest checkpoint when the plan resumes. */
MQ_MUST_USE mq_status mq_session_open(mq_err *err, const mq_train_plan *plan, mq_session *session);
void mq_session_close(mq_session *session);

/* Gives the optimizer's slots of the trunk what the checkpoint holds of them. */
MQ_MUST_USE mq_status mq_session_restore(mq_err *err, mq_session *session);

/* Writes a checkpoint, and the best model before it where that is pending. */
MQ_MUST_USE mq_status mq_session_save(mq_err *err, mq_session *session);

/* The same in the middle of a run: a full disk must not end the run, so it only warns. */
void mq_session_save_or_warn(mq_session *session);

/* The present weights are the best so far. */
MQ_MUST_USE mq_status mq_session_keep_best(mq_err *err, mq_session *session);

/* weights/best, if it is still to be written. */
MQ_MUST_USE mq_status mq_session_write_best(mq_err *err, mq_session *session);

/* weights/last, and weights/best where it is pending or there is no validation part. */
MQ_MUST_USE mq_status mq_session_write_models(mq_err *err, mq_session *session, const mq_scores *last);

#endif
