/* train_plan.h: what `marque train` says before it begins. */
#ifndef MQ_TRAIN_PLAN_H
#define MQ_TRAIN_PLAN_H

#include "train/train.h"

/* Measures every stage and prints the table of stages to stderr; details: also kernels, lifetimes and places
 * of memory, to stdout. What does not fit into memory or on the disk: MQ_NO_MEMORY or MQ_IO, saying what
 * would. */
MQ_MUST_USE mq_status mq_print_train_plan(mq_err *err, const mq_train_plan *plan, bool details);

#endif
