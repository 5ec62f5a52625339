/* contents.h: what a weights file holds, whatever its format: models, their layers, their variables. */
#ifndef MQ_CONVERT_CONTENTS_H
#define MQ_CONVERT_CONTENTS_H

#include "convert/h5.h"

/* A variable: a data set, with its name where the file knows it ("kernel"), else NULL. */
typedef struct {
    char *name, *path;
} mq_stored_var;

typedef struct {
    char *name; /* the layer's name, in nested models behind its scopes; NULL where the file does not tell */
    char *kind; /* its class as Keras 3 writes it in paths; NULL where the file does not tell */
    size_t number; /* its place among those of its kind, where kind is known */
    mq_stored_var *vars;
    size_t var_count, var_capacity;
} mq_stored_layer;

/* A model: layers in the order in which those of one kind follow each other in Keras' model.layers. */
typedef struct {
    const char *what; /* the file, for messages; borrowed */
    char *path;       /* where it stands in the file */
    bool nested;      /* names come from its variables: scopes may stand before them, a _NUMBER behind */
    mq_stored_layer *layers;
    size_t count, capacity;
} mq_stored_model;

typedef struct {
    const char *what;   /* the file, for messages; borrowed */
    const char *format; /* static: "keras legacy h5" ... */
    mq_stored_model *models;
    size_t count, capacity;
} mq_contents;

void mq_contents_free(mq_contents *contents);

/* Adds an empty item, zeroed; *item is borrowed until the next is added. path and name are copied. */
MQ_MUST_USE mq_status mq_add_model(mq_err *err, mq_contents *contents, const char *path,
                                   mq_stored_model **item);
MQ_MUST_USE mq_status mq_add_layer(mq_err *err, mq_stored_model *model, const char *name,
                                   mq_stored_layer **item);
MQ_MUST_USE mq_status mq_add_var(mq_err *err, mq_stored_layer *layer, const char *name, const char *path);

/* Sorts the layers of a model by kind and number. */
void mq_sort_layers(mq_stored_model *model);

/* Whether the folder of Keras 3's layout stands at the root. */
MQ_MUST_USE mq_status mq_is_keras3(mq_err *err, mq_h5 *file, bool *is);

/* All models of Keras 3's layout. config is the config.json beside it, for the layers' names; NULL: none. */
MQ_MUST_USE mq_status mq_contents_keras3(mq_err *err, mq_h5 *file, const mq_json *config,
                                         mq_contents *contents);

/* All models of the legacy layout below root ("" or "/model_weights"). */
MQ_MUST_USE mq_status mq_contents_legacy(mq_err *err, mq_h5 *file, const char *root, mq_contents *contents);

/* Finds the expected layers in one of the models: for each the stored layer and, in Keras' order, its
 * variables' paths in *paths (one after another; borrowed from contents, the list the caller's for free()).
 * No model or two that fit: MQ_BAD_DATA with the differences. */
MQ_MUST_USE mq_status mq_contents_match(mq_err *err, mq_h5 *file, const mq_expected *expected,
                                        const mq_contents *contents, const char ***paths);

#endif
