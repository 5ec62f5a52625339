/* run_told.h: what `marque inspect` says of a run beside what its model says. */
#ifndef MQ_RUN_TOLD_H
#define MQ_RUN_TOLD_H

#include "base/json.h"

/* A run's folder as an object: "data" and "stages" (text, as --stages takes them), "epochs" of all stages;
 * "epochs_done", null without results.csv; "best_epoch" (from 1) and its "best_top1" (0 to 1), null where
 * nothing was validated. *json is the caller's. What cannot be read of config.json or results.csv is
 * MQ_BAD_DATA. */
MQ_MUST_USE mq_status mq_run_told(mq_err *err, const char *folder, mq_json **json);

/* The same in words, a line for each, onto standard output. */
void mq_run_print(const mq_json *json);

#endif
