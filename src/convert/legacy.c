/* legacy.c: the .h5 layout of Keras 1, 2, tf.keras and Keras 3's legacy saver:
 * one group for each layer of the outer model, with the variables' names in
 * weight_names; the layers of nested models lie together in their outermost
 * group. Called by main.c. Invariant: a variable belongs to the layer that its
 * name tells; its place counts only among the variables of one layer. */
#include "base/mem.h"
#include "convert/contents.h"

#include <ctype.h>
#include <string.h>

enum { DEPTH_MAX = 12, DATASETS_MAX = 65536 };

typedef struct {
    mq_h5 *file;
    mq_contents *contents;
    size_t datasets; /* listed without weight_names, in the whole file */
} reading;

/* What the parameters are called today, behind what Keras 1 called them. */
static const struct {
    const char *written, *today;
} params[] = {
    {"kernel", "kernel"},
    {"W", "kernel"},
    {"bias", "bias"},
    {"b", "bias"},
    {"gamma", "gamma"},
    {"beta", "beta"},
    {"moving_mean", "moving_mean"},
    {"running_mean", "moving_mean"},
    {"moving_variance", "moving_variance"},
    {"running_std", "moving_variance"}, /* it always held the variance */
    {"depthwise_kernel", "depthwise_kernel"},
    {"pointwise_kernel", "pointwise_kernel"},
};

/* Groups beside the layers' own, which only a file without layer_names makes us see. */
static const char *const not_layers[] = {"top_level_model_weights", "optimizer_weights"};

/* A variable as its name tells it. */
typedef struct {
    char *text;        /* owns owner and name; cut up */
    const char *owner; /* its layer with all scopes: "xception/block1_conv1"; "" where the name has none */
    const char *name;  /* "kernel"; as written where nobody knows it */
} stored_name;

/* The row of params that text is or, behind an underscore, ends with: the longest, so that pointwise_kernel
 * is no kernel. The length of what stands before goes to *before. NULL: none. */
static const char *find_param(const char *text, size_t *before) {
    const size_t n = strlen(text);
    const char *found = NULL;
    size_t best = 0;
    for (size_t i = 0; i < sizeof params / sizeof *params; i++) {
        const size_t k = strlen(params[i].written);
        if (k <= best || k > n || strcmp(text + n - k, params[i].written) != 0) continue;
        if (k < n && text[n - k - 1] != '_') continue;
        best = k;
        found = params[i].today;
    }
    *before = n - best;
    return found;
}

/* Cuts what TensorFlow puts behind names: ":0", or "_1" where a name was taken. */
static bool cut_digits(char *text, char mark) {
    char *end = text + strlen(text), *digits = end;
    while (digits > text && isdigit((unsigned char)digits[-1])) digits--;
    if (digits == end || digits - text < 2 || digits[-1] != mark) return false;
    digits[-1] = 0;
    return true;
}

/* "xception/block1_conv1/kernel:0" of Keras 2, "block1_conv1_W:0" of Keras 1. */
static mq_status parse_name(mq_err *err, const char *weight, stored_name *parsed) {
    mq_status status = MQ_OK;
    size_t before = 0;
    MQ_TRY(mq_strdup(err, weight, &parsed->text));
    cut_digits(parsed->text, ':');
    char *slash = strrchr(parsed->text, '/'), *last = slash ? slash + 1 : parsed->text;
    parsed->owner = slash ? parsed->text : "";
    parsed->name = last;
    const char *known = find_param(last, &before);
    if (!known) {
        char *copy = NULL;
        MQ_TRY(mq_strdup(err, last, &copy));
        if (cut_digits(copy, '_')) known = find_param(copy, &before);
        free(copy);
    }
    if (known) parsed->name = known;
    if (known && before) { /* Keras 1: the layer's name is part of the parameter's */
        last[before - 1] = 0;
        parsed->owner = parsed->text;
    } else if (slash) {
        *slash = 0;
    }
cleanup:
    return status;
}

/* The length of the scopes before a layer's own name. */
static size_t scope_length(const char *owner) {
    const char *slash = strrchr(owner, '/');
    return slash ? (size_t)(slash - owner) : 0;
}

static bool same_scope(const char *a, const char *b) {
    const size_t n = scope_length(a);
    return n == scope_length(b) && memcmp(a, b, n) == 0;
}

/* All data sets below path, as weight_names would list them, in the order of names. */
static mq_status list_datasets(mq_err *err, reading *r, const char *path, const char *below, size_t depth,
                               mq_texts *weights) {
    mq_status status = MQ_OK;
    char *full = NULL, *inner = NULL;
    mq_texts names = {0};
    bool has = false;
    MQ_REQUIRE(depth < DEPTH_MAX, err, MQ_BAD_DATA, "%s: nests groups more than %d deep", r->contents->what,
               DEPTH_MAX);
    MQ_TRY(mq_format(err, &full, "%s/%s", path, below));
    MQ_TRY(mq_h5_list(err, r->file, full, &names));
    for (size_t i = 0; i < names.count; i++) {
        free(full);
        free(inner);
        full = inner = NULL;
        MQ_REQUIRE(++r->datasets <= DATASETS_MAX, err, MQ_BAD_DATA, "%s: has more than %d entries",
                   r->contents->what, DATASETS_MAX);
        MQ_TRY(mq_format(err, &inner, "%s%s%s", below, *below ? "/" : "", names.items[i]));
        MQ_TRY(mq_format(err, &full, "%s/%s", path, inner));
        MQ_TRY(mq_h5_has_group(err, r->file, full, &has));
        MQ_TRY(has ? list_datasets(err, r, path, inner, depth + 1, weights)
                   : mq_texts_add(err, weights, inner));
    }
cleanup:
    free(full);
    free(inner);
    mq_texts_free(&names);
    return status;
}

/* Adds a variable to the layer called owner, which is most often the one before's. model is an index: the
 * list may move. */
static mq_status add_inner(mq_err *err, reading *r, size_t model, const stored_name *var, const char *path) {
    mq_status status = MQ_OK;
    mq_stored_model *m = &r->contents->models[model];
    mq_stored_layer *layer = NULL;
    for (size_t i = m->count; i > 0 && !layer; i--)
        if (strcmp(m->layers[i - 1].name, var->owner) == 0) layer = &m->layers[i - 1];
    if (!layer) MQ_TRY(mq_add_layer(err, m, var->owner, &layer));
    MQ_TRY(mq_add_var(err, layer, var->name, path));
cleanup:
    return status;
}

static mq_status add_nested(mq_err *err, reading *r, const char *path, size_t *index) {
    mq_status status = MQ_OK;
    mq_stored_model *model = NULL;
    *index = r->contents->count;
    MQ_TRY(mq_add_model(err, r->contents, path, &model));
    model->nested = true;
cleanup:
    return status;
}

/* The model among those from index first on whose layers have the scope of owner; made where it is missing.
 */
static mq_status scope_model(mq_err *err, reading *r, size_t first, const char *owner, size_t *index) {
    for (*index = first; *index < r->contents->count; ++*index)
        if (same_scope(r->contents->models[*index].layers[0].name, owner)) return MQ_OK;
    return add_nested(err, r, owner, index);
}

/* What a group holds beside one layer of the outer model. */
typedef struct {
    const char *path, *name; /* of the group: in the file, in its model */
    stored_name *vars;
    size_t count;
} group;

/* Whether the names tell of other layers than the group's own. */
static bool is_model(const group *g) {
    const char *slash = strrchr(g->name, '/'), *own = slash ? slash + 1 : g->name;
    for (size_t i = 0; i < g->count; i++) {
        const char *owner = g->vars[i].owner, *last = owner + scope_length(owner);
        last += *last == '/';
        if (strcmp(owner, g->vars[0].owner) != 0) return true;
        if (*owner && strcmp(last, own) != 0 && !mq_is_counted(last, own)) return true;
    }
    return false;
}

/* The layers of all models below a group as one model, and where they stand in several scopes, each scope
 * too: two networks in one group are told apart by nothing else. */
static mq_status read_nested(mq_err *err, reading *r, const group *g, const mq_texts *weights) {
    mq_status status = MQ_OK;
    char *full = NULL;
    size_t whole = 0, index = 0;
    bool scopes = false;
    for (size_t i = 1; i < g->count && !scopes; i++) scopes = !same_scope(g->vars[i].owner, g->vars[0].owner);
    MQ_TRY(add_nested(err, r, g->path, &whole));
    for (size_t i = 0; i < g->count; i++) {
        MQ_TRY(mq_format(err, &full, "%s/%s", g->path, weights->items[i]));
        MQ_TRY(add_inner(err, r, whole, &g->vars[i], full));
        if (scopes) {
            MQ_TRY(scope_model(err, r, whole + 1, g->vars[i].owner, &index));
            MQ_TRY(add_inner(err, r, index, &g->vars[i], full));
        }
        free(full);
        full = NULL;
    }
cleanup:
    free(full);
    return status;
}

/* The variables of one group: those of an outer layer, and those of the models that it may hold. */
static mq_status read_vars(mq_err *err, reading *r, size_t model, const char *path, const mq_texts *weights) {
    mq_status status = MQ_OK;
    char *full = NULL;
    mq_stored_layer *layer = NULL;
    group g = {.path = path};
    mq_stored_model *outer = &r->contents->models[model];
    g.name = path + strlen(outer->path) + 1;
    MQ_TRY(mq_calloc(err, weights->count, sizeof *g.vars, "names", &g.vars));
    MQ_TRY(mq_add_layer(err, outer, g.name, &layer));
    for (; g.count < weights->count; g.count++) {
        MQ_TRY(parse_name(err, weights->items[g.count], &g.vars[g.count]));
        MQ_TRY(mq_format(err, &full, "%s/%s", path, weights->items[g.count]));
        MQ_TRY(mq_add_var(err, layer, g.vars[g.count].name, full));
        free(full);
        full = NULL;
    }
    if (is_model(&g)) MQ_TRY(read_nested(err, r, &g, weights));
cleanup:
    for (size_t i = 0; g.vars && i < weights->count; i++) free(g.vars[i].text);
    free(g.vars);
    free(full);
    return status;
}

static mq_status read_model(mq_err *err, reading *r, const char *root, size_t depth);

/* One layer of a model: a group with variables, or with a list of layers of its own. */
static mq_status read_group(mq_err *err, reading *r, size_t model, const char *path, size_t depth) {
    mq_status status = MQ_OK;
    mq_texts layers = {0}, weights = {0};
    bool has = false, listed = false;
    MQ_TRY(mq_h5_has_group(err, r->file, path, &has));
    if (!has) goto cleanup;
    MQ_TRY(mq_h5_texts(err, r->file, path, "layer_names", &layers, &listed));
    if (listed) {
        MQ_TRY(read_model(err, r, path, depth + 1));
        goto cleanup;
    }
    MQ_TRY(mq_h5_texts(err, r->file, path, "weight_names", &weights, &listed));
    if (!listed) MQ_TRY(list_datasets(err, r, path, "", depth, &weights));
    if (weights.count) MQ_TRY(read_vars(err, r, model, path, &weights));
cleanup:
    mq_texts_free(&layers);
    mq_texts_free(&weights);
    return status;
}

static bool is_layer(const char *name) {
    for (size_t i = 0; i < sizeof not_layers / sizeof *not_layers; i++)
        if (strcmp(name, not_layers[i]) == 0) return false;
    return true;
}

/* The model whose layers are groups below root, in the order of its list, else of their names. */
static mq_status read_model(mq_err *err, reading *r, const char *root, size_t depth) {
    mq_status status = MQ_OK;
    char *path = NULL;
    mq_texts layers = {0};
    mq_stored_model *model = NULL;
    bool listed = false;
    const size_t index = r->contents->count;
    MQ_REQUIRE(depth < DEPTH_MAX, err, MQ_BAD_DATA, "%s: nests more than %d models", r->contents->what,
               DEPTH_MAX);
    MQ_TRY(mq_h5_texts(err, r->file, root, "layer_names", &layers, &listed));
    if (!listed) MQ_TRY(mq_h5_list(err, r->file, root, &layers));
    MQ_TRY(mq_add_model(err, r->contents, root, &model));
    for (size_t i = 0; i < layers.count; i++) {
        if (!*layers.items[i] || (!listed && !is_layer(layers.items[i]))) continue;
        MQ_TRY(mq_format(err, &path, "%s/%s", root, layers.items[i]));
        MQ_TRY(read_group(err, r, index, path, depth));
        free(path);
        path = NULL;
    }
cleanup:
    free(path);
    mq_texts_free(&layers);
    return status;
}

mq_status mq_contents_legacy(mq_err *err, mq_h5 *file, const char *root, mq_contents *contents) {
    return read_model(err, &(reading){.file = file, .contents = contents}, root, 0);
}
