/* legacy.c: the .h5 layout of Keras 1, 2 and of Keras 3's legacy saver: one
 * group for each layer of the outer model, with the variables' names in
 * weight_names; the layers of a nested model lie together in its group.
 * Called by main.c. Invariant: nothing is told apart by position but the
 * variables of one layer and the layers whose names Keras chose. */
#include "base/mem.h"
#include "convert/contents.h"

#include <string.h>

typedef struct {
    mq_h5 *file;
    mq_contents *contents;
    const char *root;
} reading;

/* The last part of "block1_conv1/kernel:0" without ":0", and the part before it (NULL: there is none). Both
 * are cut out of text. */
static void split_weight(char *text, char **layer, char **name) {
    char *colon = strrchr(text, ':');
    if (colon) *colon = 0;
    char *slash = strrchr(text, '/');
    *name = slash ? slash + 1 : text;
    *layer = NULL;
    if (!slash) return;
    *slash = 0;
    char *before = strrchr(text, '/');
    *layer = before ? before + 1 : text;
}

/* Whether the weights belong to more than one layer: the group is a model then. */
static bool is_model(const mq_texts *weights) {
    const char *first = strrchr(weights->items[0], '/');
    const size_t n = first ? (size_t)(first - weights->items[0]) + 1 : 0;
    for (size_t i = 0; i < weights->count; i++) {
        const char *slash = strrchr(weights->items[i], '/');
        const size_t length = slash ? (size_t)(slash - weights->items[i]) + 1 : 0;
        if (length != n || memcmp(weights->items[i], weights->items[0], n) != 0) return true;
    }
    return false;
}

static mq_stored_layer *find_layer(const mq_stored_model *model, const char *name) {
    for (size_t i = 0; i < model->count; i++)
        if (strcmp(model->layers[i].name, name) == 0) return &model->layers[i];
    return NULL;
}

/* Adds the variables of one group both to the outer model's layer and to the model the group may itself be.
 */
static mq_status read_group(mq_err *err, const reading *r, const char *group, size_t place) {
    mq_status status = MQ_OK;
    char *path = NULL, *full = NULL, *copy = NULL, *owner = NULL, *name = NULL;
    mq_texts weights = {0};
    mq_stored_model *nested = NULL;
    mq_stored_layer *outer = NULL, *inner = NULL;
    MQ_TRY(mq_format(err, &path, "%s/%s", r->root, group));
    MQ_TRY(mq_h5_texts(err, r->file, path, "weight_names", &weights));
    if (!weights.count) goto cleanup;
    MQ_TRY(mq_add_layer(err, &r->contents->models[0], group, &outer));
    outer->number = place;
    if (is_model(&weights)) MQ_TRY(mq_add_model(err, r->contents, path, &nested));
    /* adding a model may have moved the list */
    outer = &r->contents->models[0].layers[r->contents->models[0].count - 1];
    for (size_t i = 0; i < weights.count; i++) {
        MQ_TRY(mq_format(err, &full, "%s/%s", path, weights.items[i]));
        MQ_TRY(mq_strdup(err, weights.items[i], &copy));
        split_weight(copy, &owner, &name);
        MQ_TRY(mq_add_var(err, outer, name, full));
        if (nested && owner) {
            inner = find_layer(nested, owner);
            if (!inner) MQ_TRY(mq_add_layer(err, nested, owner, &inner));
            MQ_TRY(mq_add_var(err, inner, name, full));
        }
        free(full);
        free(copy);
        full = copy = NULL;
    }
cleanup:
    free(path);
    free(full);
    free(copy);
    mq_texts_free(&weights);
    return status;
}

/* In a nested model's group frozen layers come behind the others, so only the counters in the names that
 * Keras chose tell their order: sort by them. */
static void number_nested(mq_stored_model *model) {
    for (size_t i = 0; i < model->count; i++) {
        mq_stored_layer *layer = &model->layers[i];
        const char *digits = layer->name + strlen(layer->name);
        while (digits > layer->name && strchr("0123456789", digits[-1])) digits--;
        layer->number = *digits && strlen(digits) <= 6 ? strtoul(digits, NULL, 10) : 0;
    }
    mq_sort_layers(model);
}

mq_status mq_contents_legacy(mq_err *err, mq_h5 *file, const char *root, mq_contents *contents) {
    mq_status status = MQ_OK;
    mq_texts layers = {0};
    mq_stored_model *outer = NULL;
    const reading r = {file, contents, root};
    MQ_TRY(mq_h5_texts(err, file, root, "layer_names", &layers));
    MQ_TRY(mq_add_model(err, contents, *root ? root : "/", &outer));
    for (size_t i = 0; i < layers.count; i++) MQ_TRY(read_group(err, &r, layers.items[i], i));
    for (size_t i = 1; i < contents->count; i++) number_nested(&contents->models[i]);
cleanup:
    mq_texts_free(&layers);
    return status;
}
