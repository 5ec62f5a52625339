/* model.c: model files, written and opened. Called by training, eval and
 * predict. Invariant: what mq_model_open accepts has passed every check, so
 * that later calls cannot meet a wrong size. */
#include "infer/model.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/quant.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

enum { CLASSES_MAX = 1000000, NAME_SIZE = 256 };
static const char FORMAT[] = "1";

struct mq_model {
    mq_model_card card;
    mq_head *head;
    mq_head_work *work;
    mq_program *program;
    float *features; /* [batch, arch->features] */
    size_t batch;
    size_t trunk_params;
    mq_dtype dtype;
    char digest[MQ_HEX_SIZE];
    char *path;
};

mq_status mq_run_find(mq_err *err, const char *run, char **folder) {
    mq_status status = MQ_OK;
    char *path = NULL;
    if (mq_folder_exists(run)) return mq_strdup(err, run, folder);
    MQ_TRY(mq_path_join(err, "runs", run, &path));
    MQ_REQUIRE(*run && mq_folder_exists(path), err, MQ_NO_INPUT, "%s: no such run folder or run below runs/",
               run);
    *folder = path;
    path = NULL;
cleanup:
    free(path);
    return status;
}

/* Tells why a run's folder has no best model. */
static mq_status no_model(mq_err *err, const char *run) {
    mq_status status = MQ_OK;
    char *config = NULL;
    MQ_TRY(mq_path_join(err, run, "config.json", &config));
    MQ_REQUIRE(mq_file_exists(config), err, MQ_NO_INPUT,
               "%s: neither a run's folder (it has no config.json) nor a model's file; name one of the two",
               run);
    MQ_REQUIRE(false, err, MQ_NO_INPUT,
               "%s: has no model yet; a run is finished by: marque train --resume %s", run,
               mq_text_word(run, &(mq_word){0}));
cleanup:
    free(config);
    return status;
}

mq_status mq_model_find(mq_err *err, const char *model, char **path) {
    mq_status status = MQ_OK;
    mq_err none = {0};
    struct stat st;
    char *run = NULL, *file = NULL;
    MQ_REQUIRE(*model, err, MQ_NO_INPUT, "the name of a model is empty");
    if (mq_file_exists(model)) return mq_strdup(err, model, path);
    const int error = stat(model, &st) == 0 ? 0 : errno;
    MQ_REQUIRE(error || S_ISDIR(st.st_mode), err, MQ_NO_INPUT, "%s: is no regular file", model);
    MQ_REQUIRE(!error || error == ENOENT || error == ENOTDIR, err, MQ_NO_INPUT, "%s: %s", model,
               strerror(error));
    const mq_status found = mq_run_find(&none, model, &run);
    MQ_REQUIRE(found == MQ_OK, err, found, "%s: no such model file, run folder or run below runs/", model);
    MQ_TRY(mq_path_join(err, run, "weights/best.safetensors", &file));
    if (!mq_file_exists(file)) MQ_TRY(no_model(err, run));
    *path = file;
    file = NULL;
cleanup:
    free(run);
    free(file);
    return status;
}

void mq_model_free(mq_model **model) {
    mq_model *m = *model;
    if (!m) return;
    mq_program_free(&m->program);
    mq_head_work_free(&m->work);
    mq_head_free(&m->head);
    mq_model_card_free(&m->card);
    free(m->features);
    free(m->path);
    free(m);
    *model = NULL;
}

void mq_model_card_free(mq_model_card *card) {
    mq_names_free(&card->classes);
}

static mq_status read_classes(mq_err *err, const char *path, const char *text, mq_names *classes) {
    mq_status status = MQ_OK;
    mq_json *list = NULL;
    char *name = NULL;
    MQ_TRY(mq_json_parse(err, path, text, strlen(text), &list));
    const size_t count = mq_json_size(list);
    MQ_REQUIRE(count >= 1 && count <= CLASSES_MAX, err, MQ_BAD_DATA, "%s: %zu classes", path, count);
    for (size_t i = 0; i < count; i++) {
        free(name);
        name = NULL;
        MQ_TRY(mq_name_from_json(err, path, mq_json_at(list, i), &name));
        MQ_TRY(mq_names_add(err, classes, name));
    }
cleanup:
    mq_json_free(&list);
    free(name);
    return status;
}

mq_status mq_model_card_read(mq_err *err, const mq_bundle *bundle, mq_model_card *card) {
    mq_status status = MQ_OK;
    mq_json *recipe = NULL;
    mq_model_card c = {0};
    char safe[48];
    const char *path = mq_bundle_path(bundle), *format = mq_bundle_meta(bundle, "marque.model");
    const char *arch = mq_bundle_meta(bundle, "arch"), *classes = mq_bundle_meta(bundle, "classes");
    const char *recipe_text = mq_bundle_meta(bundle, "recipe"), *boxes = mq_bundle_meta(bundle, "boxes");
    const char *data = mq_bundle_meta(bundle, "data");
    MQ_REQUIRE(format && arch && classes && recipe_text, err, MQ_BAD_DATA,
               "%s: not a model that marque train wrote (its metadata are missing)", path);
    MQ_REQUIRE(strcmp(format, FORMAT) == 0, err, MQ_BAD_DATA,
               "%s: model format %s, this marque reads format %s", path,
               mq_text_safe(format, safe, sizeof safe), FORMAT);
    c.arch = mq_arch_find(arch);
    MQ_REQUIRE(c.arch, err, MQ_BAD_DATA, "%s: made for the network %s, which this marque does not know", path,
               mq_text_safe(arch, safe, sizeof safe));
    MQ_TRY(mq_json_parse(err, path, recipe_text, strlen(recipe_text), &recipe));
    MQ_TRY(mq_recipe_from_json(err, path, recipe, &c.recipe));
    MQ_REQUIRE(c.recipe.imgsz >= c.arch->imgsz_min, err, MQ_BAD_DATA, "%s: %u pixels are too few for %s",
               path, c.recipe.imgsz, arch);
    MQ_TRY(read_classes(err, path, classes, &c.classes));
    c.boxes = boxes && strcmp(boxes, "true") == 0;
    c.quantised = mq_quant_any(bundle);
    snprintf(c.data_digest, sizeof c.data_digest, "%s", data ? data : "");
    *card = c;
    c.classes = (mq_names){0};
cleanup:
    mq_model_card_free(&c);
    mq_json_free(&recipe);
    return status;
}

mq_status mq_model_open(mq_err *err, const mq_model_plan *plan, mq_model **model) {
    mq_status status = MQ_OK;
    mq_model *m = NULL;
    mq_bundle *bundle = NULL;
    MQ_REQUIRE(plan->size == sizeof *plan && plan->batch, err, MQ_INTERNAL, "a model needs a batch size");
    MQ_TRY(plan->digest ? mq_bundle_open(err, plan->path, &bundle)
                        : mq_bundle_open_lightly(err, plan->path, &bundle));
    MQ_TRY(mq_calloc(err, 1, sizeof *m, "a model", &m));
    m->batch = plan->batch;
    MQ_TRY(mq_strdup(err, plan->path, &m->path));
    MQ_TRY(mq_model_card_read(err, bundle, &m->card));
    const mq_arch *arch = m->card.arch;
    m->dtype = plan->own && m->card.quantised && mq_dnn_has_int8() ? MQ_I8 : plan->dtype;
    MQ_TRY(mq_head_load(err, bundle, arch->features, m->card.classes.count, &m->head));
    MQ_TRY(mq_head_work_create(err, m->head, plan->batch, &m->work));
    MQ_TRY(mq_alloc_aligned(err, plan->batch * arch->features, sizeof(float), "features", &m->features));
    const mq_program_plan program = {.size = sizeof program,
                                     .arch = arch,
                                     .weights = bundle,
                                     .prefix = MQ_TRUNK_PREFIX,
                                     .imgsz = m->card.recipe.imgsz,
                                     .batch = plan->batch,
                                     .dtype = m->dtype};
    MQ_TRY(mq_program_create(err, &program, &m->program));
    m->trunk_params = mq_program_params(m->program);
    if (plan->digest) snprintf(m->digest, sizeof m->digest, "%s", mq_bundle_digest(bundle));
    *model = m;
    m = NULL;
cleanup:
    mq_bundle_free(&bundle);
    mq_model_free(&m);
    return status;
}

const mq_arch *mq_model_arch(const mq_model *model) {
    return model->card.arch;
}

const mq_recipe *mq_model_recipe(const mq_model *model) {
    return &model->card.recipe;
}

size_t mq_model_classes(const mq_model *model) {
    return model->head->classes;
}

const char *mq_model_class(const mq_model *model, size_t index) {
    return model->card.classes.items[index];
}

const char *mq_model_digest(const mq_model *model) {
    return model->digest;
}

const char *mq_model_data_digest(const mq_model *model) {
    return model->card.data_digest;
}

bool mq_model_on_boxes(const mq_model *model) {
    return model->card.boxes;
}

mq_dtype mq_model_dtype(const mq_model *model) {
    return model->dtype;
}

size_t mq_model_params(const mq_model *model) {
    return model->trunk_params + model->head->count;
}

mq_status mq_model_run(mq_err *err, mq_model *m, const float *pixels, size_t count,
                       const mq_answers *answers) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_program_run(err, m->program, pixels, count, m->features));
    MQ_TRY(mq_head_forward(err, m->head, m->work, m->features, answers->labels, count));
    for (size_t i = 0; i < count; i++) /* one logit that is no number leaves a row without any */
        MQ_REQUIRE(isfinite(m->work->p[i * m->head->classes]), err, MQ_BAD_DATA,
                   "%s: its answers are no numbers; the file is damaged, or its training came apart",
                   m->path);
    memcpy(answers->p, m->work->p, count * m->head->classes * sizeof *answers->p);
    if (answers->loss) memcpy(answers->loss, m->work->loss, count * sizeof *answers->loss);
cleanup:
    return status;
}

/* The metadata texts of a model; the texts made here are collected in owned, to be freed. */
typedef struct {
    mq_meta pairs[16];
    size_t count;
    char *owned[4];
    size_t owned_count;
} meta_list;

static void add_meta(meta_list *list, const char *key, const char *value) {
    if (value) list->pairs[list->count++] = (mq_meta){key, value};
}

static mq_status add_json(mq_err *err, meta_list *list, const char *key, const mq_json *json) {
    char **text = &list->owned[list->owned_count];
    const mq_status status = mq_json_dump(err, json, 0, text);
    if (status != MQ_OK) return status;
    add_meta(list, key, list->owned[list->owned_count++]);
    return MQ_OK;
}

static mq_status make_meta(mq_err *err, const mq_model_parts *parts, meta_list *list) {
    mq_status status = MQ_OK;
    mq_json *classes = NULL, *recipe = NULL;
    MQ_TRY(mq_json_pack(err, &classes, "[]"));
    for (size_t i = 0; i < parts->head->classes; i++) {
        mq_json *name = NULL;
        MQ_TRY(mq_name_to_json(err, parts->classes[i], &name));
        MQ_TRY(mq_json_append(err, classes, name));
    }
    MQ_TRY(mq_recipe_to_json(err, parts->recipe, &recipe));
    add_meta(list, "marque.model", FORMAT);
    add_meta(list, MQ_BUNDLE_SEAL, "");
    add_meta(list, "marque.version", mq_version());
    add_meta(list, "arch", parts->arch->name);
    add_meta(list, "head", mq_head_name(parts->head->kind));
    const char *licence = mq_bundle_meta(parts->weights, "licence"),
               *source = mq_bundle_meta(parts->weights, "source");
    add_meta(list, "licence", licence ? licence : "unknown");
    add_meta(list, "weights", mq_bundle_digest(parts->weights));
    add_meta(list, "weights.source", source ? source : mq_bundle_meta(parts->weights, "weights.source"));
    add_meta(list, "data", parts->data_digest);
    add_meta(list, "boxes", parts->boxes ? "true" : "false");
    MQ_TRY(add_json(err, list, "classes", classes));
    MQ_TRY(add_json(err, list, "recipe", recipe));
    if (parts->metrics) MQ_TRY(add_json(err, list, "metrics", parts->metrics));
cleanup:
    mq_json_free(&classes);
    mq_json_free(&recipe);
    return status;
}

mq_status mq_model_write(mq_err *err, const char *path, const mq_model_parts *parts) {
    mq_status status = MQ_OK;
    const size_t trunk = mq_bundle_count(parts->weights);
    meta_list meta = {0};
    mq_tensor *tensors = NULL;
    char(*names)[NAME_SIZE] = NULL;
    MQ_REQUIRE(parts->size == sizeof *parts, err, MQ_INTERNAL, "parts of a model of %zu bytes", parts->size);
    MQ_TRY(mq_calloc(err, trunk + MQ_HEAD_TENSORS, sizeof *tensors, "a model", &tensors));
    MQ_TRY(mq_calloc(err, trunk, sizeof *names, "a model", &names));
    for (size_t i = 0; i < trunk; i++) {
        tensors[i] = *mq_bundle_at(parts->weights, i);
        snprintf(names[i], sizeof names[i], MQ_TRUNK_PREFIX "%s", tensors[i].name);
        tensors[i].name = names[i];
    }
    const size_t count = trunk + mq_head_tensors(parts->head, tensors + trunk);
    MQ_TRY(make_meta(err, parts, &meta));
    MQ_TRY(mq_bundle_write(err, path, tensors, count, meta.pairs, meta.count));
cleanup:
    for (size_t i = 0; i < meta.owned_count; i++) free(meta.owned[i]);
    free(names);
    free(tensors);
    return status;
}
