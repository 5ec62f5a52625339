/* stages.h: which layers a run trains, for how long and how fast. */
#ifndef MQ_STAGES_H
#define MQ_STAGES_H

#include "base/status.h"

enum { MQ_STAGES_MAX = 16 };

typedef struct {
    char thaw[32]; /* "head"; later also a block's name with '+', or "all" */
    uint32_t epochs;
    double lr;
} mq_stage;

/* Reads "head:20@1e-3,block13+:5@1e-4" into stages and *count. epochs and lr are LISTs with one number for
 * each stage, or one number for the last, or NULL. Missing numbers are 20 epochs and 1e-3. */
MQ_MUST_USE mq_status mq_stages_parse(mq_err *err, const char *text, const char *epochs, const char *lr,
                                      mq_stage stages[MQ_STAGES_MAX], size_t *count);

/* "head:20@0.001"; the caller's, for free(). */
MQ_MUST_USE mq_status mq_stages_text(mq_err *err, const mq_stage *stages, size_t count, char **text);

#endif
