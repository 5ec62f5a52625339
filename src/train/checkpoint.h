/* checkpoint.h: the state of a run on disk, enough to go on to the very same weights.
 *
 * One .safetensors: tensors params, m, v and best [count] f32 and state [] i64;
 * metadata "marque.checkpoint" (format version), "config" (digest) and
 * "environment" (threads, instruction set, library). Frozen weights are known
 * by the digest in config and not stored. */
#ifndef MQ_CHECKPOINT_H
#define MQ_CHECKPOINT_H

#include "train/head_train.h"

/* Where a run stands. Everything that is not weights. */
typedef struct {
    uint32_t stage, epoch; /* counted from 0; epoch within the stage */
    uint32_t epochs_done;  /* whole epochs of all stages */
    uint64_t position;     /* pictures of the present epoch that are done */
    uint64_t step;         /* of the optimizer */
    double loss_sum;       /* over the present epoch's pictures */
    uint64_t right;        /* pictures of the present epoch answered rightly */
    uint32_t best_epoch;   /* counted from 1; 0: none yet */
    double best_top1, best_loss;
    double seconds; /* worked so far */
} mq_progress_state;

typedef struct {
    const char *folder;      /* RUN/checkpoints */
    const char *config;      /* digest of what must not change between checkpoint and resume */
    const char *environment; /* what may change the numbers: see mq_program_key */
    size_t keep;             /* checkpoints kept */
} mq_checkpoint_place;

/* Writes one atomically, then removes the oldest beyond keep. best [head->count] is borrowed. */
MQ_MUST_USE mq_status mq_checkpoint_save(mq_err *err, const mq_checkpoint_place *place,
                                         const mq_head_trainer *trainer, const float *best,
                                         const mq_progress_state *state);

/* Loads the newest sound one into trainer, its head, best and state; damaged ones are passed over with a
 * warning that names them. Another config is MQ_BAD_DATA; another environment is MQ_BAD_DATA unless inexact.
 * No checkpoint at all: MQ_NO_INPUT. */
MQ_MUST_USE mq_status mq_checkpoint_load(mq_err *err, const mq_checkpoint_place *place, bool inexact,
                                         mq_head_trainer *trainer, float *best, mq_progress_state *state);

#endif
