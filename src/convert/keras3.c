/* keras3.c: the layout of Keras 3 (and of TensorFlow 2.12 and later): nested
 * groups layers/<class in snake case>[_k]/vars/<i>. Called by main.c. The
 * layers' names are in config.json, in newer files also beside the variables.
 * Invariant: k counts the layers of one class in the order of model.layers. */
#include "base/mem.h"
#include "base/text.h"
#include "convert/contents.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { DEPTH_MAX = 12, PATH_MAX_BYTES = 1024 };

/* How the layers' folder of a model is called: Keras 3's way and that of TensorFlow 2.12 and 2.13. */
static const char *const folders[] = {"layers", "_layer_checkpoint_dependencies"};

typedef struct {
    mq_h5 *file;
    mq_contents *contents;
} reading;

/* A model's folder while its entries are read. */
typedef struct {
    const char *path;
    const mq_json *config;
    size_t model; /* its index in contents */
    size_t depth;
} place;

/* "conv2d_12" is number 12 of kind "conv2d"; the length of the kind. */
static size_t split_name(const char *name, size_t *number) {
    size_t end = strlen(name), digits = end;
    *number = 0;
    while (digits && isdigit((unsigned char)name[digits - 1])) digits--;
    if (digits < 2 || digits == end || end - digits > 6 || name[digits - 1] != '_' || name[digits] == '0')
        return end;
    *number = strtoul(name + digits, NULL, 10);
    return digits - 1;
}

/* The config of the layer that Keras stores under a group's name: number k of its class in the list. */
static const mq_json *config_of(const mq_json *config, const char *kind, size_t number) {
    const mq_json *layers = mq_json_get(mq_json_get(config, "config"), "layers");
    char snake[64];
    size_t seen = 0;
    for (size_t i = 0; i < mq_json_size(layers); i++) {
        const mq_json *layer = mq_json_at(layers, i);
        const char *class_name = mq_json_string(mq_json_get(layer, "class_name"));
        if (!class_name || strcmp(mq_snake_case(class_name, snake, sizeof snake), kind) != 0) continue;
        if (seen++ == number) return layer;
    }
    return NULL;
}

/* The layer's variables 0, 1, ... in path/vars, and its name where the group tells it. */
static mq_status read_layer(mq_err *err, const reading *r, const char *path, mq_stored_layer *layer) {
    mq_status status = MQ_OK;
    char vars[PATH_MAX_BYTES + 16], var[PATH_MAX_BYTES + 48];
    mq_texts names = {0}, entries = {0};
    bool has = false, named = false;
    snprintf(vars, sizeof vars, "%s/vars", path);
    MQ_TRY(mq_h5_has_group(err, r->file, vars, &has));
    if (!has) goto cleanup;
    MQ_TRY(mq_h5_texts(err, r->file, vars, "name", &names, &named));
    if (names.count == 1) {
        free(layer->name);
        layer->name = NULL;
        MQ_TRY(mq_strdup(err, names.items[0], &layer->name));
    }
    MQ_TRY(mq_h5_list(err, r->file, vars, &entries));
    for (size_t i = 0; i < entries.count; i++) {
        snprintf(var, sizeof var, "%s/%zu", vars, i);
        MQ_TRY(mq_add_var(err, layer, NULL, var));
    }
cleanup:
    mq_texts_free(&names);
    mq_texts_free(&entries);
    return status;
}

static mq_status read_model(mq_err *err, const reading *r, const char *path, const mq_json *config,
                            size_t depth);

/* One entry of a model's folder: its own variables, and the model it is where it is one. */
static mq_status read_entry(mq_err *err, const reading *r, const place *at, const char *name) {
    mq_status status = MQ_OK;
    char full[PATH_MAX_BYTES], *kind = NULL;
    mq_stored_layer *layer = NULL;
    size_t number;
    bool has = false;
    if ((size_t)snprintf(full, sizeof full, "%s/%s", at->path, name) >= sizeof full)
        return mq_fail(err, MQ_BAD_DATA, "%s: has names that are impossibly long", r->contents->what);
    MQ_TRY(mq_h5_has_group(err, r->file, full, &has));
    if (!has) goto cleanup;
    kind = strndup(name, split_name(name, &number));
    MQ_REQUIRE(kind, err, MQ_NO_MEMORY, "no memory for a name");
    const mq_json *own = config_of(at->config, kind, number);
    const char *known = mq_json_string(mq_json_get(mq_json_get(own, "config"), "name"));
    MQ_TRY(mq_add_layer(err, &r->contents->models[at->model], known, &layer));
    layer->kind = kind;
    layer->number = number;
    kind = NULL;
    MQ_TRY(read_layer(err, r, full, layer));
    MQ_TRY(read_model(err, r, full, own, at->depth + 1));
cleanup:
    free(kind);
    return status;
}

/* The folder of layers of the model at path; *has is false where there is none. */
static mq_status find_folder(mq_err *err, mq_h5 *file, const char *path, char folder[PATH_MAX_BYTES],
                             bool *has) {
    mq_status status = MQ_OK;
    *has = false;
    for (size_t i = 0; i < sizeof folders / sizeof *folders && !*has; i++) {
        MQ_REQUIRE((size_t)snprintf(folder, PATH_MAX_BYTES, "%s%s%s", path, *path ? "/" : "", folders[i]) <
                       PATH_MAX_BYTES,
                   err, MQ_BAD_DATA, "%s: has names that are impossibly long", mq_h5_what(file));
        MQ_TRY(mq_h5_has_group(err, file, folder, has));
    }
cleanup:
    return status;
}

mq_status mq_is_keras3(mq_err *err, mq_h5 *file, bool *is) {
    char folder[PATH_MAX_BYTES];
    return find_folder(err, file, "", folder, is);
}

/* The model at path, if one is there, and all that are nested in it. */
static mq_status read_model(mq_err *err, const reading *r, const char *path, const mq_json *config,
                            size_t depth) {
    mq_status status = MQ_OK;
    char folder[PATH_MAX_BYTES];
    mq_stored_model *model = NULL;
    mq_texts names = {0};
    bool has = false;
    MQ_TRY(find_folder(err, r->file, path, folder, &has));
    if (!has) goto cleanup;
    MQ_REQUIRE(depth < DEPTH_MAX, err, MQ_BAD_DATA, "%s: nests more than %d models", r->contents->what,
               DEPTH_MAX);
    /* the index, not the pointer: nested models are added to the same list and may move it */
    const place at = {folder, config, r->contents->count, depth};
    MQ_TRY(mq_add_model(err, r->contents, folder, &model));
    MQ_TRY(mq_h5_list(err, r->file, folder, &names));
    for (size_t i = 0; i < names.count; i++) MQ_TRY(read_entry(err, r, &at, names.items[i]));
    mq_sort_layers(&r->contents->models[at.model]);
cleanup:
    mq_texts_free(&names);
    return status;
}

mq_status mq_contents_keras3(mq_err *err, mq_h5 *file, const mq_json *config, mq_contents *contents) {
    return read_model(err, &(reading){file, contents}, "", config, 0);
}
