/* match.c: which stored layer is which expected one. Called by main.c once the
 * file's contents are listed. Invariant: layers with names of their own are
 * found by name where the file tells names; layers that Keras named, by their
 * order among their kind; every shape is compared before anything is taken, and
 * where two layers could be meant, none is. */
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
    const char **paths;            /* of all parameters; owned by mq_contents_match */
    const mq_stored_layer **found; /* for each expected layer; NULL: none. Owned by try_model */
    size_t missing, wrong, extra;
    size_t turned;       /* of the wrong ones, kernels with the channels first */
    const char *unclear; /* an expected layer that two stored ones fit; NULL: none */
    mq_buf shown;        /* the first differences, as text */
} attempt;

/* Adds a name to the sentence while it is short. */
static mq_status show(mq_err *err, attempt *a, const char *layer, const char *name) {
    char safe[96];
    const size_t seen = a->missing + a->wrong + a->extra;
    if (seen > SHOWN) return MQ_OK;
    return mq_buf_printf(err, &a->shown, "%s%s%s%s", seen > 1 ? ", " : "",
                         mq_text_safe(layer, safe, sizeof safe), name ? "/" : "", name ? name : "");
}

static mq_status show_shape(mq_err *err, attempt *a, const mq_expected_param *shape) {
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

/* Whether a layer has what is wanted, every shape included. */
static mq_status layer_fits(mq_err *err, const attempt *a, const mq_stored_layer *stored,
                            const mq_layer_shape *wanted, bool *fits) {
    mq_status status = MQ_OK;
    *fits = true;
    for (size_t p = 0; p < wanted->param_count && *fits; p++) {
        mq_expected_param shape = {0};
        const char *path = find_var(stored, wanted, p);
        *fits = path != NULL;
        if (path) MQ_TRY(mq_h5_shape(err, a->file, path, &shape, fits));
        *fits = *fits && mq_same_shape(&shape, &wanted->params[p]);
    }
cleanup:
    return status;
}

static bool is_wanted(const mq_expected *expected, const char *name) {
    for (size_t i = 0; i < expected->count; i++)
        if (strcmp(expected->layers[i].name, name) == 0) return true;
    return false;
}

/* A layer's own name: nested ones stand behind their scopes. */
static const char *own_name(const mq_stored_model *model, const mq_stored_layer *stored) {
    const char *slash = model->nested ? strrchr(stored->name, '/') : NULL;
    return slash ? slash + 1 : stored->name;
}

/* Whether a stored name is the wanted one. Below scopes TensorFlow counts on where a name was taken before.
 */
static bool has_name(const attempt *a, const mq_stored_layer *stored, const char *wanted) {
    if (strcmp(stored->name, wanted) == 0) return true;
    if (!a->model->nested) return false;
    const char *name = own_name(a->model, stored);
    return strcmp(name, wanted) == 0 || (mq_is_counted(name, wanted) && !is_wanted(a->expected, name));
}

/* The layer of a name: where several have it, the one that fits; none fits: the first, to tell what is wrong.
 */
static mq_status find_named(mq_err *err, attempt *a, size_t index) {
    mq_status status = MQ_OK;
    const mq_layer_shape *wanted = &a->expected->layers[index];
    size_t fitting = 0;
    for (size_t i = 0; i < a->model->count; i++) {
        const mq_stored_layer *stored = &a->model->layers[i];
        bool fits = false;
        if (!is_kind(stored, wanted) || !has_name(a, stored, wanted->name)) continue;
        MQ_TRY(layer_fits(err, a, stored, wanted, &fits));
        if (!a->found[index] || (fits && !fitting)) a->found[index] = stored;
        fitting += fits;
    }
    if (fitting > 1) a->unclear = wanted->name;
cleanup:
    return status;
}

typedef struct {
    const mq_stored_layer *layer;
    size_t number;
    bool taken;
} numbered;

static int by_number(const void *left, const void *right) {
    const numbered *l = left, *r = right;
    return l->number < r->number ? -1 : l->number > r->number;
}

/* The stored layers of a kind that Keras named, in the order of their numbers. */
static size_t list_unnamed(const mq_stored_model *model, const mq_layer_shape *kind, numbered *list) {
    size_t count = 0;
    for (size_t i = 0; i < model->count; i++) {
        numbered item = {&model->layers[i], 0, false};
        if (!is_kind(item.layer, kind)) continue;
        if (mq_is_unnamed(own_name(model, item.layer), kind->kind, &item.number)) list[count++] = item;
    }
    qsort(list, count, sizeof *list, by_number);
    return count;
}

static bool is_unnamed_of(const mq_layer_shape *layer, const mq_layer_shape *kind) {
    return layer->unnamed && strcmp(layer->kind, kind->kind) == 0;
}

/* Whether all expected unnamed layers of a kind fit those from the first of list on. */
static mq_status run_fits(mq_err *err, const attempt *a, const mq_layer_shape *kind, const numbered *list,
                          bool *fits) {
    mq_status status = MQ_OK;
    *fits = true;
    for (size_t i = 0; i < a->expected->count && *fits; i++) {
        const mq_layer_shape *wanted = &a->expected->layers[i];
        if (is_unnamed_of(wanted, kind))
            MQ_TRY(layer_fits(err, a, list[wanted->unnamed_ago].layer, wanted, fits));
    }
cleanup:
    return status;
}

/* A network is built in one go, so the layers that Keras named are a run among all such layers of the file:
 * the only one that fits, else the first. */
static mq_status find_run(mq_err *err, attempt *a, const mq_layer_shape *kind, const numbered *list,
                          size_t count) {
    mq_status status = MQ_OK;
    size_t wanted = 0, start = 0, fitting = 0;
    for (size_t i = 0; i < a->expected->count; i++) wanted += is_unnamed_of(&a->expected->layers[i], kind);
    for (size_t from = 0; from + wanted <= count && fitting < 2; from++) {
        bool fits = false;
        MQ_TRY(run_fits(err, a, kind, list + from, &fits));
        if (fits && fitting++ == 0) start = from;
    }
    if (fitting > 1) a->unclear = kind->name;
    for (size_t i = 0; i < a->expected->count; i++) {
        const mq_layer_shape *layer = &a->expected->layers[i];
        if (is_unnamed_of(layer, kind) && start + layer->unnamed_ago < count)
            a->found[i] = list[start + layer->unnamed_ago].layer;
    }
cleanup:
    return status;
}

/* Each layer by its shapes alone, where only one has them. */
static mq_status find_by_shape(mq_err *err, attempt *a, const mq_layer_shape *kind, numbered *list,
                               size_t count) {
    mq_status status = MQ_OK;
    for (size_t i = 0; i < a->expected->count; i++) {
        const mq_layer_shape *wanted = &a->expected->layers[i];
        numbered *found = NULL;
        if (!is_unnamed_of(wanted, kind)) continue;
        for (size_t k = 0; k < count; k++) {
            bool fits = false;
            MQ_TRY(layer_fits(err, a, list[k].layer, wanted, &fits));
            if (!fits) continue;
            if (found || list[k].taken) a->unclear = wanted->name;
            found = &list[k];
        }
        if (!found) continue;
        found->taken = true;
        a->found[i] = found->layer;
    }
cleanup:
    return status;
}

/* The expected layers of the kind of the one at index that Keras named. Where TensorFlow counted scopes on,
 * conv2d_1 became conv2d_1_1, but conv2d the next free name, conv2d_4: then numbers do not tell the order. */
static mq_status find_unnamed(mq_err *err, attempt *a, size_t index, numbered *list) {
    const mq_layer_shape *kind = &a->expected->layers[index];
    const size_t count = list_unnamed(a->model, kind, list);
    size_t scoped = 0;
    for (size_t i = 0; i < count; i++) scoped += list[i].number % MQ_NUMBER_SCOPE != 0;
    return scoped == 0 || scoped == count ? find_run(err, a, kind, list, count)
                                          : find_by_shape(err, a, kind, list, count);
}

/* In files without names only the order within a kind tells. */
static const mq_stored_layer *find_placed(const mq_stored_model *model, const mq_layer_shape *wanted) {
    size_t seen = 0;
    for (size_t i = 0; i < model->count; i++)
        if (is_kind(&model->layers[i], wanted) && seen++ == wanted->same_kind) return &model->layers[i];
    return NULL;
}

/* Fills a->found. */
static mq_status find_layers(mq_err *err, attempt *a) {
    mq_status status = MQ_OK;
    numbered *list = NULL;
    const bool named = has_names(a->model);
    MQ_TRY(mq_calloc(err, a->model->count, sizeof *list, "matching", &list));
    for (size_t i = 0; i < a->expected->count; i++) {
        const mq_layer_shape *wanted = &a->expected->layers[i];
        if (!named)
            a->found[i] = find_placed(a->model, wanted);
        else if (!wanted->unnamed)
            MQ_TRY(find_named(err, a, i));
        else if (wanted->unnamed_ago == 0) /* once for each kind */
            MQ_TRY(find_unnamed(err, a, i, list));
    }
cleanup:
    free(list);
    return status;
}

/* A kernel as Keras 1 stored it for Theano's order of pictures: (filters, channels, rows, columns). */
static bool is_turned(const mq_expected_param *stored, const mq_expected_param *wanted) {
    static const size_t order[] = {3, 2, 0, 1};
    bool turned = stored->rank == 4 && wanted->rank == 4;
    for (size_t i = 0; turned && i < 4; i++) turned = stored->shape[i] == wanted->shape[order[i]];
    return turned;
}

/* Tells the difference of one parameter, while the sentence is short. */
static mq_status show_difference(mq_err *err, attempt *a, const mq_layer_shape *wanted, size_t p,
                                 const mq_expected_param *shape) {
    mq_status status = MQ_OK;
    MQ_TRY(show(err, a, wanted->name, wanted->params[p].name));
    if (!shape || a->missing + a->wrong > SHOWN) goto cleanup;
    MQ_TRY(mq_buf_add_text(err, &a->shown, " "));
    MQ_TRY(show_shape(err, a, shape));
    MQ_TRY(mq_buf_add_text(err, &a->shown, " for "));
    MQ_TRY(show_shape(err, a, &wanted->params[p]));
cleanup:
    return status;
}

/* Writes the paths of one layer's parameters, and counts what is missing or of another shape. */
static mq_status compare_layer(mq_err *err, attempt *a, const mq_layer_shape *wanted,
                               const mq_stored_layer *stored, const char **paths) {
    mq_status status = MQ_OK;
    for (size_t p = 0; p < wanted->param_count; p++) {
        const mq_expected_param *param = &wanted->params[p];
        mq_expected_param shape = {0};
        bool has = false;
        paths[p] = stored ? find_var(stored, wanted, p) : NULL;
        if (paths[p]) MQ_TRY(mq_h5_shape(err, a->file, paths[p], &shape, &has));
        if (!has) {
            a->missing++;
            MQ_TRY(show_difference(err, a, wanted, p, NULL));
            if (stored && stored->var_count != wanted->param_count && a->missing + a->wrong <= SHOWN)
                MQ_TRY(mq_buf_printf(err, &a->shown, " (its layer has %zu variables for %zu)",
                                     stored->var_count, wanted->param_count));
        } else if (!mq_same_shape(&shape, param)) {
            a->wrong++;
            a->turned += is_turned(&shape, param);
            MQ_TRY(show_difference(err, a, wanted, p, &shape));
        }
    }
cleanup:
    return status;
}

/* Layers with variables that nobody asked for: told about only where others are missing. */
static mq_status count_extra(mq_err *err, attempt *a) {
    mq_status status = MQ_OK;
    for (size_t i = 0; i < a->model->count; i++) {
        const mq_stored_layer *stored = &a->model->layers[i];
        bool used = false;
        for (size_t k = 0; k < a->expected->count && !used; k++) used = a->found[k] == stored;
        if (used || !stored->var_count) continue;
        a->extra++;
        MQ_TRY(show(err, a, stored->name ? stored->name : stored->kind, NULL));
    }
cleanup:
    return status;
}

/* Holds one model of the file against all expected layers. Other layers, such as a head, do no harm. */
static mq_status try_model(mq_err *err, attempt *a) {
    mq_status status = MQ_OK;
    const char **paths = a->paths;
    MQ_TRY(mq_calloc(err, a->expected->count, sizeof(mq_stored_layer *), "matching", &a->found));
    MQ_TRY(find_layers(err, a));
    for (size_t i = 0; i < a->expected->count; i++) {
        const mq_layer_shape *wanted = &a->expected->layers[i];
        MQ_TRY(compare_layer(err, a, wanted, a->found[i], paths));
        paths += wanted->param_count;
    }
    if (a->missing + a->wrong) MQ_TRY(count_extra(err, a));
cleanup:
    free(a->found);
    a->found = NULL;
    return status;
}

/* The sentence about the model that came nearest. */
static mq_status refuse(mq_err *err, const char *what, const attempt *best, size_t params) {
    const size_t seen = best->missing + best->wrong + best->extra;
    if (best->missing + best->wrong == 0)
        return mq_fail(
            err, MQ_BAD_DATA,
            "%s: holds more than one layer that may be %s of %s; marque cannot know which is meant", what,
            best->unclear, best->expected->network);
    if (best->turned && best->turned == best->wrong && best->missing == 0)
        return mq_fail(err, MQ_BAD_DATA,
                       "%s: %zu of its kernels are stored with the channels first, as Keras 1 did for "
                       "dim_ordering 'th'; load it in Keras with channels_last and save it again",
                       what, best->turned);
    return mq_fail(err, MQ_BAD_DATA,
                   "%s: not the weights of %s: of %zu tensors %zu are missing, %zu have another shape, and "
                   "%zu other layers are there: %s%s",
                   what, best->expected->network, params, best->missing, best->wrong, best->extra,
                   best->shown.data ? (const char *)best->shown.data : "", seen > SHOWN ? ", ..." : "");
}

/* Two models of one file may be the same one seen twice. */
static bool same_paths(const char **a, const char **b, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(a[i], b[i]) != 0) return false;
    return true;
}

mq_status mq_contents_match(mq_err *err, mq_h5 *file, const mq_expected *expected,
                            const mq_contents *contents, const char ***paths) {
    mq_status status = MQ_OK;
    size_t params = 0, fitting = 0;
    const char **found = NULL, **trial = NULL;
    attempt best = {.missing = SIZE_MAX / 4, .shown = mq_buf_init(SENTENCE_LIMIT)}, a = best;
    for (size_t i = 0; i < expected->count; i++) params += expected->layers[i].param_count;
    MQ_TRY(mq_calloc(err, params, sizeof *found, "matching", &found));
    MQ_TRY(mq_calloc(err, params, sizeof *trial, "matching", &trial));
    for (size_t m = 0; m < contents->count; m++) {
        a = (attempt){.file = file, .expected = expected, .model = &contents->models[m], .paths = trial};
        a.shown = mq_buf_init(SENTENCE_LIMIT);
        MQ_TRY(try_model(err, &a));
        /* the first that fits is kept; a second one makes the file ambiguous */
        const bool fits = a.missing + a.wrong == 0 && !a.unclear;
        if (fits && fitting == 0) memcpy(found, trial, params * sizeof *found);
        if (fits) fitting += fitting == 0 || !same_paths(found, trial, params);
        if (a.missing + a.wrong < best.missing + best.wrong) {
            mq_buf_free(&best.shown);
            best = a;
        } else {
            mq_buf_free(&a.shown);
        }
        a.shown = mq_buf_init(SENTENCE_LIMIT);
    }
    MQ_REQUIRE(contents->count, err, MQ_BAD_DATA, "%s: holds no Keras model", contents->what);
    if (fitting == 0) MQ_TRY(refuse(err, contents->what, &best, params));
    MQ_REQUIRE(fitting == 1, err, MQ_BAD_DATA,
               "%s: holds %zu models with the shape of %s; marque cannot know which is meant", contents->what,
               fitting, expected->network);
    *paths = found;
    found = NULL;
cleanup:
    mq_buf_free(&best.shown);
    mq_buf_free(&a.shown);
    free(found);
    free(trial);
    return status;
}
