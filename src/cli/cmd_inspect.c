/* cmd_inspect.c: `marque inspect`: what a model, a weights file, a run or a data set holds, and what a batch
 * of a data set looks like. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/common.h"
#include "cli/run_told.h"
#include "data/sheet.h"
#include "infer/model.h"
#include "train/sampling.h"

#include <string.h>

enum { SHAPE_TEXT = 128, RECORD_LIMIT = 300 << 20 };

typedef struct {
    bool json;
    int64_t batch, seed, epoch, imgsz;
    const char *augment, *output;
} inspect_options;

static const mq_option params[] = {
    {.name = "json",
     .kind = MQ_OPTION_FLAG,
     .offset = offsetof(inspect_options, json),
     .help = "print JSON for programs"},
    {.name = "batch",
     .alias = "batch-size",
     .letter = 'b',
     .kind = MQ_OPTION_INT,
     .value = "N",
     .standard = "0",
     .min = 0,
     .max = 4096,
     .offset = offsetof(inspect_options, batch),
     .help = "of DATA: draw the first N pictures of an epoch as training sees them; needs -o"},
    {.name = "augment",
     .kind = MQ_OPTION_TEXT,
     .value = "POLICY|FILE",
     .standard = "reference",
     .offset = offsetof(inspect_options, augment),
     .help = "how they change (marque train --augment); of a policy for each stage the first"},
    {.name = "seed",
     .kind = MQ_OPTION_INT,
     .value = "N",
     .standard = "123",
     .offset = offsetof(inspect_options, seed),
     .help = "of their draws"},
    {.name = "epoch",
     .kind = MQ_OPTION_INT,
     .value = "N",
     .standard = "1",
     .min = 1,
     .max = 1e9,
     .offset = offsetof(inspect_options, epoch),
     .help = "which, counted over all stages"},
    MQ_OPTION_IMGSZ(inspect_options),
    {.name = "output",
     .letter = 'o',
     .kind = MQ_OPTION_TEXT,
     .value = "FILE",
     .offset = offsetof(inspect_options, output),
     .help = "the picture of the batch, .jpg or .png"},
    {.name = NULL},
};

static const char *shape_text(const mq_tensor *t, char out[SHAPE_TEXT]) {
    size_t used = 0;
    out[0] = 0;
    for (size_t i = 0; i < t->rank && used < SHAPE_TEXT; i++)
        used += (size_t)snprintf(out + used, SHAPE_TEXT - used, "%s%zu", i ? "x" : "", t->shape[i]);
    return out;
}

static mq_status meta_json(mq_err *err, const mq_bundle *bundle, mq_json **json) {
    static const char *const keys[] = {
        "marque.model",
        "marque.weights",
        "marque.version",
        "arch",
        "head",
        "licence",
        "weights",
        "weights.source",
        "source",
        "source.sha256",
        "source.verified",
        "source.format",
        "source.keras_version",
        "data",
        "boxes",
        "metrics",
        "recipe",
        "classes",
    };
    mq_status status = MQ_OK;
    MQ_TRY(mq_json_pack(err, json, "{}"));
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *value = mq_bundle_meta(bundle, keys[i]);
        if (value) MQ_TRY(mq_json_set(err, *json, keys[i], mq_json_text(value)));
    }
cleanup:
    return status;
}

static mq_status tensors_json(mq_err *err, const mq_bundle *bundle, mq_json **json) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_json_pack(err, json, "[]"));
    for (size_t i = 0; i < mq_bundle_count(bundle); i++) {
        const mq_tensor *t = mq_bundle_at(bundle, i);
        mq_json *one = NULL;
        char shape[SHAPE_TEXT];
        MQ_TRY(mq_json_pack(err, &one, "{s:o, s:s, s:s}", "name", mq_json_text(t->name), "dtype",
                            mq_dtype_name(t->dtype), "shape", shape_text(t, shape)));
        MQ_TRY(mq_json_append(err, *json, one));
    }
cleanup:
    return status;
}

static mq_status print_member(mq_err *err, void *user, const char *key, mq_json *value) {
    (void)err, (void)user;
    char safe[4096];
    printf("%-20s %s\n", key, mq_text_safe(mq_json_string(value), safe, sizeof safe));
    return MQ_OK;
}

/* A model's file; run: the folder of the run that it stands for, or NULL. */
static mq_status inspect_bundle(mq_err *err, const char *path, const char *run, bool as_json) {
    mq_status status = MQ_OK;
    mq_bundle *bundle = NULL;
    mq_json *meta = NULL, *tensors = NULL, *told = NULL, *all = NULL;
    if (run) MQ_TRY(mq_run_told(err, run, &told));
    MQ_TRY(mq_bundle_open(err, path, &bundle));
    MQ_TRY(meta_json(err, bundle, &meta));
    if (as_json) {
        MQ_TRY(tensors_json(err, bundle, &tensors));
        MQ_TRY(mq_json_pack(err, &all, "{s:o, s:s, s:O, s:O, s:O?}", "file", mq_json_text(path), "sha256",
                            mq_bundle_digest(bundle), "metadata", meta, "tensors", tensors, "run", told));
        MQ_TRY(mq_print_json(err, &all));
    } else {
        uint64_t numbers = 0;
        char count[32];
        for (size_t i = 0; i < mq_bundle_count(bundle); i++) {
            const mq_tensor *t = mq_bundle_at(bundle, i);
            char shape[SHAPE_TEXT], name[256];
            printf("%-56s %-5s %s\n", mq_text_safe(t->name, name, sizeof name), mq_dtype_name(t->dtype),
                   shape_text(t, shape));
            numbers += t->bytes / mq_dtype_size(t->dtype);
        }
        printf("%zu tensors, %s numbers, SHA-256 %s\n", mq_bundle_count(bundle),
               mq_text_count(numbers, count), mq_bundle_digest(bundle));
        MQ_TRY(mq_json_each(err, meta, print_member, NULL));
        if (told) mq_run_print(told);
    }
cleanup:
    mq_json_free(&meta);
    mq_json_free(&tensors);
    mq_json_free(&told);
    mq_json_free(&all);
    mq_bundle_free(&bundle);
    return status;
}

/* Pictures of each class in each part: counts [classes, MQ_SPLITS], the caller's. */
static mq_status count_classes(mq_err *err, const mq_dataset *data, size_t **counts) {
    const mq_status status = mq_calloc(err, mq_dataset_classes(data) * MQ_SPLITS, sizeof **counts, "counts",
                                       counts);
    for (mq_split split = MQ_TRAIN; status == MQ_OK && split < MQ_SPLITS; split++)
        for (size_t i = 0; i < mq_dataset_count(data, split); i++)
            (*counts)[mq_dataset_label(data, split, i) * MQ_SPLITS + split]++;
    return status;
}

/* Reads every record, so that a damaged shard is found here and not in a run. */
static mq_status check_records(mq_err *err, const mq_dataset *data) {
    mq_status status = MQ_OK;
    mq_buf record = mq_buf_init(RECORD_LIMIT);
    for (mq_split split = MQ_TRAIN; split < MQ_SPLITS; split++)
        for (size_t i = 0; i < mq_dataset_count(data, split); i++) {
            mq_sample sample;
            MQ_REQUIRE(!mq_stop_wanted(NULL), err, MQ_INTERRUPTED, "stopped before every record was read");
            MQ_TRY(mq_dataset_read(err, data, split, i, &record, &sample));
            mq_progress("checking %s %zu/%zu", mq_split_name(split), i + 1, mq_dataset_count(data, split));
        }
cleanup:
    mq_buf_free(&record);
    return status;
}

/* What lists of edits have made of the data set: dropped, relabelled and SHA-256 of each. */
static mq_status cleaned_json(mq_err *err, const mq_dataset *data, mq_json **json) {
    mq_status status = MQ_OK;
    const mq_json *lists = mq_dataset_cleaned(data);
    MQ_TRY(mq_json_pack(err, json, "[]"));
    for (size_t i = 0; i < mq_json_size(lists); i++) {
        const mq_json *list = mq_json_at(lists, i);
        const char *digest = mq_json_string(mq_json_get(list, "list_sha256"));
        mq_json *one = NULL;
        MQ_TRY(mq_json_pack(
            err, &one, "{s:I, s:I, s:s}", "dropped", mq_json_int(mq_json_get(list, "dropped")), "relabelled",
            mq_json_int(mq_json_get(list, "relabelled")), "list_sha256", digest ? digest : ""));
        MQ_TRY(mq_json_append(err, *json, one));
    }
cleanup:
    return status;
}

static void print_cleaned(const mq_json *lists) {
    char safe[80];
    for (size_t i = 0; i < mq_json_size(lists); i++) {
        const mq_json *list = mq_json_at(lists, i);
        const char *digest = mq_json_string(mq_json_get(list, "list_sha256"));
        printf("cleaned: %lld dropped, %lld relabelled by the list of SHA-256 %s\n",
               mq_json_int(mq_json_get(list, "dropped")), mq_json_int(mq_json_get(list, "relabelled")),
               mq_text_safe(digest ? digest : "?", safe, sizeof safe));
    }
}

/* What training makes of its pictures where nobody says otherwise. */
static mq_recipe recipe_of(const mq_dataset *data, uint32_t imgsz) {
    const uint32_t presize = mq_dataset_presize(data);
    mq_recipe recipe = mq_recipe_default(presize ? presize : imgsz, MQ_RANGE_TF);
    mq_dataset_recipe(data, &recipe);
    return recipe;
}

static void print_recipe(const mq_dataset *data, const mq_recipe *recipe) {
    const uint32_t presize = mq_dataset_presize(data);
    if (recipe->crop)
        printf("seen: the box and %g %% of its sides around it; augmentation never loses the box\n",
               100 * recipe->margin);
    else
        puts("seen: the whole picture");
    puts(recipe->decode == MQ_DECODE_SCALED
             ? "decoded: scaled, JPEGs far larger than needed at 1/2, 1/4 or 1/8 of their sides"
             : "decoded: exactly");
    if (presize)
        printf("stored: for --imgsz %u, --fit stretch and --filter pillow alone (--presize)\n", presize);
    else
        puts("stored: as they came, for every --imgsz, --fit and --filter (standard: stretch, pillow)");
}

static mq_status data_json(mq_err *err, const mq_dataset *data, const mq_recipe *recipe,
                           const size_t *counts) {
    mq_status status = MQ_OK;
    mq_json *list = NULL, *cleaned = NULL, *recipe_json = NULL, *all = NULL;
    MQ_TRY(cleaned_json(err, data, &cleaned));
    MQ_TRY(mq_recipe_to_json(err, recipe, &recipe_json));
    MQ_TRY(mq_json_pack(err, &list, "[]"));
    for (size_t c = 0; c < mq_dataset_classes(data); c++) {
        const size_t *n = counts + c * MQ_SPLITS;
        mq_json *one = NULL;
        MQ_TRY(mq_json_pack(err, &one, "{s:i, s:o, s:i, s:i, s:i}", "class", (int)c, "name",
                            mq_json_text(mq_dataset_class(data, c)), "train", (int)n[MQ_TRAIN], "val",
                            (int)n[MQ_VAL], "test", (int)n[MQ_TEST]));
        MQ_TRY(mq_json_append(err, list, one));
    }
    MQ_TRY(mq_json_pack(
        err, &all, "{s:o, s:s, s:i, s:i, s:i, s:b, s:s, s:i, s:O, s:O, s:O}", "data",
        mq_json_text(mq_dataset_folder(data)), "sha256", mq_dataset_digest(data), "train",
        (int)mq_dataset_count(data, MQ_TRAIN), "val", (int)mq_dataset_count(data, MQ_VAL), "test",
        (int)mq_dataset_count(data, MQ_TEST), "boxes", (int)mq_dataset_has_boxes(data), "decode",
        recipe->decode == MQ_DECODE_SCALED ? "scaled" : "exact", "presize", (int)mq_dataset_presize(data),
        "recipe", recipe_json, "cleaned", cleaned, "classes", list));
    MQ_TRY(mq_print_json(err, &all));
cleanup:
    mq_json_free(&list);
    mq_json_free(&cleaned);
    mq_json_free(&recipe_json);
    mq_json_free(&all);
    return status;
}

static mq_status inspect_data(mq_err *err, const char *path, const inspect_options *o) {
    mq_status status = MQ_OK;
    mq_dataset *data = NULL;
    size_t *counts = NULL;
    char safe[256];
    MQ_TRY(mq_dataset_open(err, path, &data));
    MQ_TRY(check_records(err, data));
    MQ_TRY(count_classes(err, data, &counts));
    const mq_recipe recipe = recipe_of(data, (uint32_t)o->imgsz);
    if (o->json) {
        MQ_TRY(data_json(err, data, &recipe, counts));
        goto cleanup;
    }
    mq_progress_keep("every record is sound");
    printf("class  train    val   test  name\n");
    for (size_t c = 0; c < mq_dataset_classes(data); c++) {
        const size_t *n = counts + c * MQ_SPLITS;
        printf("%5zu %6zu %6zu %6zu  %s\n", c, n[MQ_TRAIN], n[MQ_VAL], n[MQ_TEST],
               mq_text_safe(mq_dataset_class(data, c), safe, sizeof safe));
    }
    printf("total %6zu %6zu %6zu  %zu classes, boxes %s, SHA-256 %s\n", mq_dataset_count(data, MQ_TRAIN),
           mq_dataset_count(data, MQ_VAL), mq_dataset_count(data, MQ_TEST), mq_dataset_classes(data),
           mq_dataset_has_boxes(data) ? "yes" : "no", mq_dataset_digest(data));
    print_recipe(data, &recipe);
    print_cleaned(mq_dataset_cleaned(data));
cleanup:
    free(counts);
    mq_dataset_free(&data);
    return status;
}

/* All training pictures in the order of an epoch, as training draws it; [count] each, freed by its owner. */
typedef struct {
    size_t count;
    mq_epoch epoch; /* places are pictures: the subset is all of them */
} shown_epoch;

static void free_epoch(shown_epoch *e) {
    free(e->epoch.order);
    free(e->epoch.times);
    free(e->epoch.flips);
}

static mq_status draw_epoch(mq_err *err, const inspect_options *o, const mq_dataset *data,
                            const mq_augment *augment, shown_epoch *e) {
    mq_status status = MQ_OK;
    mq_sampling *sampling = NULL;
    e->count = mq_dataset_count(data, MQ_TRAIN);
    MQ_TRY(mq_calloc(err, e->count, sizeof *e->epoch.order, "the order of pictures", &e->epoch.order));
    MQ_TRY(mq_calloc(err, e->count, sizeof *e->epoch.times, "the order of pictures", &e->epoch.times));
    MQ_TRY(mq_calloc(err, e->count, sizeof *e->epoch.flips, "the flips of pictures", &e->epoch.flips));
    MQ_TRY(mq_sampling_create(err, &(mq_sampling_plan){.dataset = data, .count = e->count}, &sampling));
    mq_sampling_epoch(sampling, augment, (uint64_t)o->seed, (uint32_t)(o->epoch - 1), &e->epoch);
cleanup:
    mq_sampling_free(&sampling);
    return status;
}

static mq_status draw_batch(mq_err *err, const char *path, const inspect_options *o) {
    mq_status status = MQ_OK;
    mq_dataset *data = NULL;
    mq_augment *augment = NULL;
    shown_epoch shown = {0};
    char *policy = NULL;
    const size_t first = strcspn(o->augment, ";"); /* of the policies for each stage */
    mq_recipe recipe = mq_recipe_default((uint32_t)o->imgsz, MQ_RANGE_TF);
    MQ_REQUIRE(o->output, err, MQ_USAGE, "--batch needs a picture to write to: -o sheet.jpg");
    MQ_TRY(mq_sheet_check(err, o->output));
    MQ_TRY(mq_format(err, &policy, "%.*s", (int)first, o->augment));
    MQ_TRY(mq_augment_parse(err, policy, &augment));
    MQ_TRY(mq_dataset_open(err, path, &data));
    mq_dataset_recipe(data, &recipe);
    MQ_TRY(draw_epoch(err, o, data, augment, &shown));
    const mq_loader_plan plan = {.size = sizeof plan,
                                 .dataset = data,
                                 .split = MQ_TRAIN,
                                 .recipe = &recipe,
                                 .order = shown.epoch.order,
                                 .flips = shown.epoch.flips,
                                 .times = shown.epoch.times,
                                 .count = shown.count,
                                 .batch = (size_t)o->batch,
                                 .workers = mq_choose_threads(0, 0),
                                 .augment = augment,
                                 .seed = (uint64_t)o->seed,
                                 .epoch = (uint32_t)(o->epoch - 1)};
    MQ_TRY(mq_sheet_write(err, &plan, o->output));
    printf("%s: %zu pictures of epoch %lld, %s%s\n", o->output,
           plan.batch < shown.count ? plan.batch : shown.count, (long long)o->epoch, mq_augment_text(augment),
           o->augment[first] ? " (of the first stage; --augment with one policy shows another's)" : "");
cleanup:
    free_epoch(&shown);
    mq_dataset_free(&data);
    mq_augment_free(&augment);
    free(policy);
    return status;
}

static mq_status run(mq_err *err, const mq_call *call) {
    mq_status status = MQ_OK;
    const inspect_options *o = call->options;
    const char *path = call->args[0];
    char *config = NULL, *model = NULL, *folder = NULL;
    MQ_REQUIRE(o->batch || !o->output, err, MQ_USAGE, "-o is for a picture of a batch: --batch N -o %.200s",
               o->output);
    MQ_REQUIRE(!o->batch || !o->json, err, MQ_USAGE, "--batch makes a picture; leave out --json");
    if (o->batch) return draw_batch(err, path, o);
    MQ_TRY(mq_options_only(err, params, o, "json|imgsz", "anything but --batch"));
    MQ_TRY(mq_path_join(err, path, "config.json", &config));
    if (mq_folder_exists(path) && !mq_file_exists(config)) {
        MQ_TRY(inspect_data(err, path, o));
    } else {
        MQ_TRY(mq_model_find(err, path, &model));
        if (!mq_file_exists(path)) MQ_TRY(mq_run_find(err, path, &folder));
        MQ_TRY(inspect_bundle(err, model, folder, o->json));
    }
cleanup:
    free(config);
    free(folder);
    free(model);
    return status;
}

const mq_command mq_cmd_inspect = {
    .name = "inspect",
    .usage = "FILE|RUN|DATA [--json]   |   marque inspect DATA --batch N -o FILE.jpg [--augment POLICY]",
    .summary = "show what a model, a run or a data set holds, and check a data set",
    .params = params,
    .options_size = sizeof(inspect_options),
    .args_min = 1,
    .args_max = 1,
    .examples = "  marque inspect cars.mq\n  marque inspect runs/cars-xception\n  marque inspect "
                "model.safetensors --json\n"
                "  marque inspect cars.mq --batch 32 --augment strong -o sheet.jpg\n",
    .run = run,
};
