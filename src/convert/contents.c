/* contents.c: the lists of models, layers and variables that the two layouts
 * fill. Owns their names. Invariant: at most LAYERS_MAX layers in a model. */
#include "convert/contents.h"
#include "base/mem.h"

#include <string.h>

/* A real model is far below every limit here: only a hostile file gets near them. */
enum { MODELS_MAX = 1024, LAYERS_MAX = 8192 };

void mq_contents_free(mq_contents *contents) {
    for (size_t m = 0; m < contents->count; m++) {
        mq_stored_model *model = &contents->models[m];
        for (size_t i = 0; i < model->count; i++) {
            mq_stored_layer *layer = &model->layers[i];
            for (size_t k = 0; k < layer->var_count; k++) {
                free(layer->vars[k].name);
                free(layer->vars[k].path);
            }
            free(layer->vars);
            free(layer->name);
            free(layer->kind);
        }
        free(model->layers);
        free(model->path);
    }
    free(contents->models);
    *contents = (mq_contents){0};
}

static mq_status too_many(mq_err *err, const char *file, const char *what) {
    return mq_fail(err, MQ_BAD_DATA, "%s: has more %s than marque reads", file, what);
}

mq_status mq_add_model(mq_err *err, mq_contents *contents, const char *path, mq_stored_model **item) {
    mq_status status = MQ_OK;
    if (contents->count == MODELS_MAX) return too_many(err, contents->what, "models");
    MQ_TRY(mq_grow(err, &contents->models, &contents->capacity, contents->count + 1, sizeof **item));
    *item = &contents->models[contents->count++];
    **item = (mq_stored_model){.what = contents->what};
    MQ_TRY(mq_strdup(err, path, &(*item)->path));
cleanup:
    return status;
}

mq_status mq_add_layer(mq_err *err, mq_stored_model *model, const char *name, mq_stored_layer **item) {
    mq_status status = MQ_OK;
    if (model->count == LAYERS_MAX) return too_many(err, model->what, "layers");
    MQ_TRY(mq_grow(err, &model->layers, &model->capacity, model->count + 1, sizeof **item));
    *item = &model->layers[model->count++];
    **item = (mq_stored_layer){0};
    if (name) MQ_TRY(mq_strdup(err, name, &(*item)->name));
cleanup:
    return status;
}

mq_status mq_add_var(mq_err *err, mq_stored_layer *layer, const char *name, const char *path) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_grow(err, &layer->vars, &layer->var_capacity, layer->var_count + 1, sizeof *layer->vars));
    mq_stored_var *var = &layer->vars[layer->var_count++];
    *var = (mq_stored_var){0};
    if (name) MQ_TRY(mq_strdup(err, name, &var->name));
    MQ_TRY(mq_strdup(err, path, &var->path));
cleanup:
    return status;
}

/* Within a kind by number: 2 before 10, which HDF5's order of names has the other way round. */
static int by_kind(const void *left, const void *right) {
    const mq_stored_layer *l = left, *r = right;
    const int order = strcmp(l->kind ? l->kind : "", r->kind ? r->kind : "");
    if (order) return order;
    return l->number < r->number ? -1 : l->number > r->number;
}

void mq_sort_layers(mq_stored_model *model) {
    qsort(model->layers, model->count, sizeof *model->layers, by_kind);
}
