/* rewrite.h: a data set made from another one by leaving pictures out and giving some of them another class.
 */
#ifndef MQ_REWRITE_H
#define MQ_REWRITE_H

#include "data/dataset.h"

/* What happens to one picture. */
typedef struct {
    mq_split split;
    size_t index; /* in its split */
    bool drop;
    uint32_t label;     /* its new class, unless it is dropped */
    const char *reason; /* why, in words; borrowed */
} mq_rewrite_change;

typedef struct {
    size_t size;                      /* sizeof(mq_rewrite_plan) */
    const mq_dataset *dataset;        /* borrowed, as is what follows */
    const char *output;               /* folder of the new data set, which must hold nothing yet */
    const mq_rewrite_change *changes; /* [count], at most one for a picture */
    size_t count;
    const char *list_digest;  /* SHA-256 hex of the list that says so, for dataset.json */
    bool (*stop)(void *user); /* asked between pictures; NULL: never */
    void (*progress)(void *user, size_t done, size_t total); /* pictures written; NULL: none */
    void *user;
} mq_rewrite_plan;

/* Writes the new data set: all other pictures stay as they are and where they are, classes keep their
 * numbers. dataset.json gets the changes ("cleaned" in docs/FORMATS.md). No training pictures left:
 * MQ_BAD_DATA. Nothing is left in output unless the status is MQ_OK; plan->dataset is only read. */
MQ_MUST_USE mq_status mq_rewrite(mq_err *err, const mq_rewrite_plan *plan);

#endif
