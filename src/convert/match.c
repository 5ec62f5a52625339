/* match.c: which stored layer is which expected one. Called by main.c once the
 * file's contents are listed. Invariant: layers with names of their own are
 * found by name where the file tells names; layers that Keras named, by their
 * order among their kind; and every shape is compared before anything is taken. */
#include "base/mem.h"
#include "base/text.h"
#include "convert/contents.h"

#include <string.h>

enum { SHOWN = 8, SENTENCE_LIMIT = 4096 };

/* One attempt: a model held against what is expected. */
typedef struct {
    mq_h5 *file;
    const mq_expected *expected;
    const mq_stored_model *model;
    const char **paths; /* of all parameters; owned by mq_contents_match */
    size_t missing, wrong, extra;
    mq_buf shown; /* the first differences, as text */
} attempt;

/* Adds a name to the sentence while it is short. */
static mq_status show(mq_err *err, attempt *a, const char *layer, const char *name) {
    char safe[96];
    const size_t seen = a->missing + a->wrong + a->extra;
    if (seen > SHOWN) return MQ_OK;
    return mq_buf_printf(err, &a->shown, "%s%s%s%s", seen > 1 ? ", " : "",
                         mq_text_safe(layer, safe, sizeof safe), name ? "/" : "", name ? name : "");
}

static mq_status show_shape(mq_err *err, attempt *a, const mq_param_shape *shape) {
    mq_status status = MQ_OK;
    if (a->missing + a->wrong + a->extra > SHOWN) return MQ_OK;
    for (size_t i = 0; i < shape->rank; i++)
        MQ_TRY(mq_buf_printf(err, &a->shown, i ? ",%zu" : "[%zu", shape->shape[i]));
    MQ_TRY(mq_buf_add_text(err, &a->shown, shape->rank ? "]" : "[]"));
cleanup:
    return status;
}

static bool is_kind(const mq_stored_layer *stored, const mq_layer_shape *wanted) {
    return !stored->kind || strcmp(stored->kind, wanted->kind) == 0;
}

/* Files of one model name either all layers or none. */
static bool has_names(const mq_stored_model *model) {
    for (size_t i = 0; i < model->count; i++)
        if (!model->layers[i].name) return false;
    return true;
}

/* The stored layer for an expected one; NULL when there is none. */
static const mq_stored_layer *find_stored(const mq_stored_model *model, const mq_layer_shape *wanted,
                                          bool named) {
    const size_t place = named ? wanted->unnamed_ago : wanted->same_kind;
    size_t seen = 0;
    for (size_t i = 0; i < model->count; i++) {
        const mq_stored_layer *stored = &model->layers[i];
        if (!is_kind(stored, wanted)) continue;
        if (named && !wanted->unnamed) {
            if (strcmp(stored->name, wanted->name) == 0) return stored;
        } else if (!named || mq_is_unnamed(stored->name, wanted->kind, NULL)) {
            if (seen++ == place) return stored;
        }
    }
    return NULL;
}

/* The variable for parameter index: by name where the file's names are Keras' of today, else by place. */
static const char *find_var(const mq_stored_layer *stored, const mq_layer_shape *wanted, size_t index) {
    if (stored->var_count != wanted->param_count) return NULL;
    size_t known = 0;
    const char *by_name = NULL;
    for (size_t p = 0; p < wanted->param_count; p++) {
        for (size_t i = 0; i < stored->var_count; i++) {
            if (!stored->vars[i].name || strcmp(stored->vars[i].name, wanted->params[p].name) != 0) continue;
            known++;
            if (p == index) by_name = stored->vars[i].path;
        }
    }
    return known == wanted->param_count ? by_name : stored->vars[index].path;
}

/* Writes the paths of one layer's parameters, and counts what is missing or of another shape. */
static mq_status compare_layer(mq_err *err, attempt *a, const mq_layer_shape *wanted,
                               const mq_stored_layer *stored, const char **paths) {
    mq_status status = MQ_OK;
    for (size_t p = 0; p < wanted->param_count; p++) {
        const mq_param_shape *param = &wanted->params[p];
        mq_param_shape shape = {0};
        bool has = false;
        paths[p] = stored ? find_var(stored, wanted, p) : NULL;
        if (paths[p]) MQ_TRY(mq_h5_shape(err, a->file, paths[p], &shape, &has));
        if (!has) {
            a->missing++;
            MQ_TRY(show(err, a, wanted->name, param->name));
        } else if (shape.rank != param->rank ||
                   memcmp(shape.shape, param->shape, param->rank * sizeof *param->shape) != 0) {
            a->wrong++;
            MQ_TRY(show(err, a, wanted->name, param->name));
            if (a->missing + a->wrong <= SHOWN) MQ_TRY(mq_buf_add_text(err, &a->shown, " "));
            MQ_TRY(show_shape(err, a, &shape));
            if (a->missing + a->wrong <= SHOWN) MQ_TRY(mq_buf_add_text(err, &a->shown, " for "));
            MQ_TRY(show_shape(err, a, param));
        }
    }
cleanup:
    return status;
}

/* Layers with variables that nobody asked for: told about only where others are missing. */
static mq_status count_extra(mq_err *err, attempt *a, const bool *used) {
    mq_status status = MQ_OK;
    for (size_t i = 0; i < a->model->count; i++) {
        const mq_stored_layer *stored = &a->model->layers[i];
        if (used[i] || !stored->var_count) continue;
        a->extra++;
        MQ_TRY(show(err, a, stored->name ? stored->name : stored->kind, NULL));
    }
cleanup:
    return status;
}

/* Holds one model of the file against all expected layers. Other layers, such as a head, do no harm. */
static mq_status try_model(mq_err *err, attempt *a) {
    mq_status status = MQ_OK;
    const bool named = has_names(a->model);
    const char **paths = a->paths;
    bool *used = NULL;
    MQ_TRY(mq_calloc(err, a->model->count, sizeof *used, "matching", &used));
    for (size_t i = 0; i < a->expected->count; i++) {
        const mq_layer_shape *wanted = &a->expected->layers[i];
        const mq_stored_layer *stored = find_stored(a->model, wanted, named);
        if (stored) used[stored - a->model->layers] = true;
        MQ_TRY(compare_layer(err, a, wanted, stored, paths));
        paths += wanted->param_count;
    }
    if (a->missing + a->wrong) MQ_TRY(count_extra(err, a, used));
cleanup:
    free(used);
    return status;
}

/* The sentence about the model that came nearest. */
static mq_status refuse(mq_err *err, const char *what, const attempt *best, size_t params) {
    const size_t seen = best->missing + best->wrong + best->extra;
    return mq_fail(err, MQ_BAD_DATA,
                   "%s: not the weights of %s: of %zu tensors %zu are missing, %zu have another shape, and "
                   "%zu other layers are there: %s%s",
                   what, best->expected->network, params, best->missing, best->wrong, best->extra,
                   best->shown.data ? (const char *)best->shown.data : "", seen > SHOWN ? ", ..." : "");
}

mq_status mq_contents_match(mq_err *err, mq_h5 *file, const char *what, const mq_expected *expected,
                            const mq_contents *contents, const char ***paths) {
    mq_status status = MQ_OK;
    size_t params = 0, fitting = 0;
    const char **found = NULL, **trial = NULL;
    attempt best = {.missing = SIZE_MAX / 4, .shown = mq_buf_init(SENTENCE_LIMIT)}, a = best;
    for (size_t i = 0; i < expected->count; i++) params += expected->layers[i].param_count;
    MQ_TRY(mq_calloc(err, params, sizeof *found, "matching", &found));
    MQ_TRY(mq_calloc(err, params, sizeof *trial, "matching", &trial));
    for (size_t m = 0; m < contents->count; m++) {
        a = (attempt){file, expected, &contents->models[m], trial, 0, 0, 0, mq_buf_init(SENTENCE_LIMIT)};
        MQ_TRY(try_model(err, &a));
        /* the first that fits is kept; a second one makes the file ambiguous */
        if (a.missing + a.wrong == 0 && fitting++ == 0) memcpy(found, trial, params * sizeof *found);
        if (a.missing + a.wrong < best.missing + best.wrong) {
            mq_buf_free(&best.shown);
            best = a;
        } else {
            mq_buf_free(&a.shown);
        }
        a.shown = mq_buf_init(SENTENCE_LIMIT);
    }
    MQ_REQUIRE(contents->count, err, MQ_BAD_DATA, "%s: holds no Keras model", what);
    if (fitting == 0) MQ_TRY(refuse(err, what, &best, params));
    MQ_REQUIRE(fitting == 1, err, MQ_BAD_DATA,
               "%s: holds %zu models with the shape of %s; marque cannot know which is meant", what, fitting,
               expected->network);
    *paths = found;
    found = NULL;
cleanup:
    mq_buf_free(&best.shown);
    mq_buf_free(&a.shown);
    free(found);
    free(trial);
    return status;
}
