/* model.h: a model file ready to answer: trunk, classifier, classes and recipe.
 *
 * The file is one .safetensors: tensors trunk/LAYER/PARAM and head/..., and in
 * its metadata "marque.model" (format version), "arch", "classes" (JSON list),
 * "recipe" and what else docs/FORMATS.md describes. */
#ifndef MQ_MODEL_H
#define MQ_MODEL_H

#include "base/digest.h"
#include "base/names.h"
#include "base/recipe.h"
#include "infer/head.h"
#include "net/program.h"

/* Before the names of the network's tensors, in models and checkpoints. */
#define MQ_TRUNK_PREFIX "trunk/"

typedef struct mq_model mq_model;

typedef struct {
    size_t size;      /* sizeof(mq_model_plan) */
    const char *path; /* of the model file; borrowed during creation */
    size_t batch;     /* pictures computed at once */
    mq_dtype dtype;   /* MQ_F32 or MQ_BF16; 8-bit layers are widened */
    bool own;         /* a model in 8 bits computes in 8 instead, where the processor can */
    bool digest;      /* mq_model_digest is wanted, which takes as long as reading the file */
} mq_model_plan;

/* The folder that a run's name means: itself, or one below runs/. *folder is the caller's, for free(). */
MQ_MUST_USE mq_status mq_run_find(mq_err *err, const char *run, char **folder);

/* Finds the file that MODEL means: a file, a run folder (its weights/best.safetensors), or a run's name below
 * runs/. *path is the caller's, for free(). */
MQ_MUST_USE mq_status mq_model_find(mq_err *err, const char *model, char **path);

/* What a model file says of itself, all of it checked. */
typedef struct {
    const mq_arch *arch;
    mq_recipe recipe;
    mq_names classes;              /* owned; of any bytes, as folders may be called */
    bool boxes;                    /* trained on pictures cut to boxes */
    bool quantised;                /* has 8-bit layers */
    char data_digest[MQ_HEX_SIZE]; /* of what it was trained on; "" when unknown */
} mq_model_card;
MQ_MUST_USE mq_status mq_model_card_read(mq_err *err, const mq_bundle *bundle, mq_model_card *card);
void mq_model_card_free(mq_model_card *card);

/* Reads and lowers it; *model is the caller's. */
MQ_MUST_USE mq_status mq_model_open(mq_err *err, const mq_model_plan *plan, mq_model **model);
void mq_model_free(mq_model **model);

/* Borrowed from the model. */
const mq_arch *mq_model_arch(const mq_model *model);
const mq_recipe *mq_model_recipe(const mq_model *model);
size_t mq_model_classes(const mq_model *model);
const char *mq_model_class(const mq_model *model, size_t index);
const char *mq_model_digest(const mq_model *model);      /* SHA-256 hex of the file; "": not asked for */
const char *mq_model_data_digest(const mq_model *model); /* of what it was trained on; "" when unknown */
bool mq_model_on_boxes(const mq_model *model);           /* trained on pictures cut to boxes */
mq_dtype mq_model_dtype(const mq_model *model);          /* that it computes in */
size_t
mq_model_params(const mq_model *model); /* numbers in trunk and classifier, without the standardisation */

/* What one batch is answered; the arrays are the caller's. */
typedef struct {
    const uint32_t *labels; /* [count]; NULL: unknown */
    float *p;               /* [count, classes], filled */
    float *loss;            /* [count], filled where labels are known; NULL: not wanted */
} mq_answers;

/* Answers pixels [count, imgsz, imgsz, 3], count <= plan.batch. */
MQ_MUST_USE mq_status mq_model_run(mq_err *err, mq_model *model, const float *pixels, size_t count,
                                   const mq_answers *answers);

/* Everything a model file is made of; all borrowed. */
typedef struct {
    size_t size; /* sizeof(mq_model_parts) */
    const mq_arch *arch;
    const mq_bundle *weights; /* the trunk as it is now; metadata and digest of the weights it began with */
    const mq_head *head;
    const mq_recipe *recipe;
    const char *const *classes; /* head->classes names */
    const mq_json *metrics;     /* of the validation part; NULL: none */
    const char *data_digest;
    bool boxes; /* its pictures were cut to boxes */
} mq_model_parts;

MQ_MUST_USE mq_status mq_model_write(mq_err *err, const char *path, const mq_model_parts *parts);

#endif
