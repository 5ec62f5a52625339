/* predict.h: answers for many picture files, in their order, prepared by workers while the model computes. */
#ifndef MQ_PREDICT_H
#define MQ_PREDICT_H

#include "infer/model.h"

/* The model's recipe, where a box that is asked for counts, also with a model trained without. box may be
 * NULL. */
mq_recipe mq_predict_recipe(const mq_model *model, const mq_box *box);

/* One file's answer; borrowed until the callback returns. */
typedef struct {
    const char *path;
    const float *p;      /* [classes]; NULL where the file failed */
    const char *problem; /* the sentence where it failed, else NULL */
} mq_prediction;

typedef mq_status (*mq_prediction_fn)(mq_err *err, void *user, const mq_prediction *prediction);

typedef struct {
    size_t size;              /* sizeof(mq_predict_plan) */
    mq_model *model;          /* borrowed, as is all of the plan */
    const char *const *paths; /* "-" is standard input */
    size_t count;
    const mq_box *box; /* the same for every picture; NULL: whole pictures */
    size_t batch;      /* at most the model's */
    size_t workers;
    bool (*stop)(void *user); /* asked from any thread; NULL: goes on to the end */
    mq_prediction_fn each;    /* called in the order of paths, from the caller's thread */
    void *user;
} mq_predict_plan;

/* Answers every path. A bad file is told to each and does not end the work; *bad counts them. */
MQ_MUST_USE mq_status mq_predict_files(mq_err *err, const mq_predict_plan *plan, size_t *bad);

#endif
