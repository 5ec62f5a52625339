/* train_plan.h: what `marque train` says before it begins. */
#ifndef MQ_TRAIN_PLAN_H
#define MQ_TRAIN_PLAN_H

#include "train/train.h"

/* Counts what every stage takes: what does not fit into memory or on the disk is MQ_NO_MEMORY or MQ_IO,
 * saying what would. Of a run that begins, and with details, it also measures a few pictures of each and
 * prints the table of stages to stderr; details: kernels, lifetimes and places of memory, too, to stdout. */
MQ_MUST_USE mq_status mq_check_train_plan(mq_err *err, const mq_train_plan *plan, bool details);

#endif
