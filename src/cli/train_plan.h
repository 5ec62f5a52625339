/* train_plan.h: what `marque train` says before it begins. */
#ifndef MQ_TRAIN_PLAN_H
#define MQ_TRAIN_PLAN_H

#include "train/train.h"

/* SILENT: of a run that goes on, whose table was printed when it began. */
typedef enum { MQ_PLAN_SILENT, MQ_PLAN_TABLE, MQ_PLAN_DETAILS } mq_plan_words;

/* Counts what every stage takes: what does not fit into memory or on the disk is MQ_NO_MEMORY or MQ_IO,
 * saying what would. Unless SILENT it also measures a few pictures of each, and prints the table of stages to
 * stderr; DETAILS: kernels, lifetimes and places of memory, too, to stdout. */
MQ_MUST_USE mq_status mq_check_train_plan(mq_err *err, const mq_train_plan *plan, mq_plan_words words);

#endif
