/* stages.h: which layers a run trains, for how long, how fast, and on pictures changed how. */
#ifndef MQ_STAGES_H
#define MQ_STAGES_H

#include "data/augment.h"

enum { MQ_STAGES_MAX = 16 };

typedef struct {
    char thaw[32]; /* "head", a block's name with '+', or "all" */
    uint32_t epochs;
    double lr;
    bool batch_statistics;     /* thawed batch norms: on those of the batch, else on the stored ones */
    const mq_augment *augment; /* of its training pictures, borrowed; NULL: none. Parsing leaves it out */
} mq_stage;

/* What --bn says of thawed stages that say nothing themselves. */
typedef enum { MQ_BN_AUTO, MQ_BN_STORED, MQ_BN_TRAIN } mq_bn;

/* The texts that describe stages; all borrowed. */
typedef struct {
    const char *stages;      /* "head:20@1e-3,block13+:5@1e-4/stored" */
    const char *epochs, *lr; /* LISTs with one number for each stage, or one number for the last, or NULL */
    mq_bn bn;                /* stands above what a stage says; auto: that, or else train */
} mq_stages_words;

/* Reads them into stages and *count. Missing numbers are 20 epochs and 1e-3 for head, 5 and 1e-4 for what
 * thaws. */
MQ_MUST_USE mq_status mq_stages_parse(mq_err *err, const mq_stages_words *words,
                                      mq_stage stages[MQ_STAGES_MAX], size_t *count);

bool mq_stage_is_head(const mq_stage *stage);

enum { MQ_STAGE_NAME = sizeof(((mq_stage *)0)->thaw) };

/* The lowest thawed block of a BLOCK+ into block; false for head and all, which name none. */
bool mq_stage_block(const mq_stage *stage, char block[MQ_STAGE_NAME]);

/* "head:20@0.001,block13+:5@0.0001/train"; the caller's, for free(). */
MQ_MUST_USE mq_status mq_stages_text(mq_err *err, const mq_stage *stages, size_t count, char **text);

#endif
