/* evaluate.h: a model's answers to one part of a data set, counted and written down. */
#ifndef MQ_EVALUATE_H
#define MQ_EVALUATE_H

#include "data/dataset.h"
#include "infer/model.h"
#include "train/metrics.h"

typedef struct {
    size_t size;               /* sizeof(mq_evaluate_plan) */
    mq_model *model;           /* borrowed, as is all of the plan */
    const mq_dataset *dataset; /* its classes are matched to the model's by name */
    mq_split split;
    const uint32_t *pictures; /* [count] of that part, rising: a fold, which stood for "val"; NULL: all */
    size_t count;
    const mq_dataset *trained_on; /* the model's own data as it was then; NULL: it is not there any more */
    size_t batch, workers;
    const char
        *folder; /* gets metrics.json, per_class.csv, predictions.csv, confusion_matrix.csv; NULL: none */
    const char *model_name;
    bool (*stop)(void *user);
    void (*progress)(void *user, size_t done, size_t total, double seconds);
    void *user;
} mq_evaluate_plan;

/* Scores and, in *json, the whole of metrics.json (schema marque.eval.v1, docs/FORMATS.md), the caller's. */
MQ_MUST_USE mq_status mq_evaluate(mq_err *err, const mq_evaluate_plan *plan, mq_scores *scores,
                                  mq_json **json);

#endif
