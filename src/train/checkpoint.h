/* checkpoint.h: the state of a run on disk, enough to go on to the very same weights.
 *
 * One .safetensors: the caller's tensors and "state" (i64); metadata
 * "marque.checkpoint" (format version), "config" (digest), "environment"
 * (threads, instruction set, library) and "hash" over all of it. Frozen
 * weights are known by the digest in config and not stored. */
#ifndef MQ_CHECKPOINT_H
#define MQ_CHECKPOINT_H

#include "net/bundle.h"

/* Where a run stands. Everything that is not weights. */
typedef struct {
    uint32_t stage, epoch; /* counted from 0; epoch within the stage */
    uint32_t epochs_done;  /* whole epochs of all stages */
    uint64_t position;     /* pictures of the present epoch that are done */
    uint64_t skipped;      /* of them, those that could not be read */
    uint64_t step;         /* of the stage's optimizer */
    uint64_t steps_done;   /* of all stages; names the checkpoint */
    double loss_sum;       /* over the present epoch's pictures */
    uint64_t right;        /* pictures of the present epoch answered rightly */
    uint32_t best_epoch;   /* counted from 1; 0: none yet */
    double best_top1, best_top5, best_loss;
    uint64_t best_pictures; /* that these are of; 0: older checkpoints do not say */
    double seconds;         /* worked so far */
} mq_progress_state;

typedef struct {
    const char *folder;      /* RUN/checkpoints; the run is locked by the caller */
    const char *config;      /* digest of what must not change between checkpoint and resume */
    const char *environment; /* what may change the numbers: see mq_dnn_numbers */
    size_t keep;             /* checkpoints kept, at least 1 */
} mq_checkpoint_place;

/* Writes one atomically: the tensors, borrowed and of any names but "state", and the state. Only when it is
 * safe on disk are the oldest beyond keep removed, and those of later steps, which mq_checkpoint_open passed
 * over. What a killed save left behind is removed first. */
MQ_MUST_USE mq_status mq_checkpoint_save(mq_err *err, const mq_checkpoint_place *place,
                                         const mq_tensor *tensors, size_t count,
                                         const mq_progress_state *state);

typedef struct mq_checkpoint mq_checkpoint;

/* Opens the newest sound one; damaged ones are passed over with warnings that name them and what is used
 * instead. Another config is MQ_BAD_DATA; another environment is MQ_BAD_DATA unless inexact. None at all:
 * MQ_NO_INPUT; none sound: MQ_BAD_DATA. *checkpoint is the caller's. */
MQ_MUST_USE mq_status mq_checkpoint_open(mq_err *err, const mq_checkpoint_place *place, bool inexact,
                                         mq_checkpoint **checkpoint);
void mq_checkpoint_free(mq_checkpoint **checkpoint);

const mq_progress_state *mq_checkpoint_state(const mq_checkpoint *checkpoint); /* borrowed */
bool mq_checkpoint_has(const mq_checkpoint *checkpoint, const char *name);

/* Copies the tensor name, f32 and of exactly count numbers, into data; missing or of another size:
 * MQ_BAD_DATA. */
MQ_MUST_USE mq_status mq_checkpoint_read(mq_err *err, const mq_checkpoint *checkpoint, const char *name,
                                         float *data, size_t count);

#endif
