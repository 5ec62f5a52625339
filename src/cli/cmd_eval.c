/* cmd_eval.c: `marque eval`, a model against one part of a data set. */
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/common.h"
#include "train/evaluate.h"
#include "train/parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 16 };

typedef struct {
    int split, dtype;
    const char *assert_top1, *output;
    bool json;
    int64_t threads, workers;
} eval_options;

static const mq_option params[] = {
    {.name = "split",
     .kind = MQ_OPTION_CHOICE,
     .value = "test|val|train",
     .standard = "test",
     .offset = offsetof(eval_options, split),
     .help = "the part of the data set"},
    {.name = "assert-top1",
     .kind = MQ_OPTION_TEXT,
     .value = "F",
     .offset = offsetof(eval_options, assert_top1),
     .help = "exit 1 where top-1 is below F (0 to 1)"},
    MQ_OPTION_JSON(eval_options),
    {.name = "output",
     .letter = 'o',
     .kind = MQ_OPTION_TEXT,
     .value = "DIR",
     .offset = offsetof(eval_options, output),
     .help = "folder for the result files instead of RUN/eval/SPLIT (SPLIT-NAME for another model file or "
             "data set)"},
    MQ_OPTION_DTYPE(eval_options, MQ_DTYPE_AUTO_MODEL),
    MQ_OPTION_THREADS(eval_options),
    MQ_OPTION_WORKERS(eval_options),
    {.name = NULL},
};

/* RUN/eval/SPLIT for RUN/weights/best.safetensors and the run's own data, with -NAME for any other
 * NAME.safetensors and -STEM for other data, which come in other; else other is NULL. *folder is the
 * caller's. */
static mq_status name_folder(mq_err *err, const char *run, const char *split, const char *file,
                             const char *other, char **folder) {
    static const char best[] = "best.safetensors";
    const char *slash = strrchr(file, '/'), *name = slash ? slash + 1 : file;
    const int named = strcmp(name, best) == 0 ? 0 : (int)strcspn(name, ".");
    size_t length = 0;
    const char *stem = other ? mq_path_stem(other, &length) : "";
    return mq_format(err, folder, "%s/eval/%s%s%.*s%s%.*s", run, split, named ? "-" : "", named, name,
                     length ? "-" : "", (int)length, stem);
}

static void tell(void *user, size_t done, size_t total, double seconds) {
    (void)user;
    char left[32];
    mq_duration(seconds / (double)done * (double)(total - done), left);
    mq_progress("eval [%zu/%zu %zu%%] %.1f img/s eta %s", done, total, 100 * done / total,
                (double)done / seconds, left);
}

static void print_number(const char *name, double value, const char *format) {
    printf("%-10s", name);
    if (isnan(value)) {
        puts("undefined");
    } else {
        printf(format, value);
        putchar('\n');
    }
}

static void print_scores(const mq_scores *s, const char *split, const char *folder, const char *model) {
    printf("%zu pictures of the %s part\n", s->pictures, split);
    printf("top-1     %.1f %%   (95 %%: %.1f to %.1f)\n", 100 * s->top1, 100 * s->top1_low,
           100 * s->top1_high);
    print_number("top-5", 100 * s->top5, "%.1f %%");
    print_number("loss", s->loss, "%.4f");
    print_number("AUC", s->auc, "%.4f");
    print_number("macro F1", s->f1, "%.4f");
    print_number("MAE", s->mae, "%.6f");
    if (folder) printf("files: %s\n", folder);
    printf("next: marque predict %s PICTURE\n", mq_text_word(model, &(mq_word){0}));
}

/* The data set that the model was trained on, as it was then: the one it is evaluated on, or that of its run,
 * which becomes *opened; NULL: neither. */
static const mq_dataset *find_trained_on(const mq_model *model, const char *run, const mq_dataset *dataset,
                                         mq_dataset **opened) {
    mq_err why = {0};
    char *data = NULL;
    const char *digest = mq_model_data_digest(model);
    const mq_dataset *found = strcmp(digest, mq_dataset_digest(dataset)) == 0 ? dataset : NULL;
    if (!found && run && mq_run_data(&why, run, &data) == MQ_OK &&
        mq_dataset_open(&why, data, opened) == MQ_OK && strcmp(digest, mq_dataset_digest(*opened)) == 0)
        found = *opened;
    if (!found && run)
        mq_warn("whether %s holds pictures that the model was trained on cannot be told: the data set of its "
                "run is not there any more, or has changed",
                mq_dataset_folder(dataset));
    free(data);
    return found;
}

/* The fold that a run was validated on stands for the validation part of its own data; else parts stay empty.
 */
static mq_status find_fold(mq_err *err, const char *run, const mq_dataset *dataset, mq_parts *parts) {
    mq_status status = MQ_OK;
    char *path = NULL;
    mq_json *config = NULL;
    MQ_TRY(mq_path_join(err, run, "config.json", &path));
    MQ_TRY(mq_json_load(err, path, &config));
    const long long fold = mq_json_int(mq_json_get(config, "fold"));
    if (fold > 0 && fold <= UINT32_MAX) MQ_TRY(mq_parts_make(err, dataset, 1, (uint32_t)fold, parts));
cleanup:
    mq_json_free(&config);
    free(path);
    return status;
}

static mq_status run(mq_err *err, const mq_call *call) {
    mq_status status = MQ_OK;
    const eval_options *o = call->options;
    static const mq_split splits[] = {MQ_TEST, MQ_VAL, MQ_TRAIN};
    char *file = NULL, *run_folder = NULL, *data = NULL, *folder = NULL;
    mq_model *model = NULL;
    mq_dataset *dataset = NULL, *opened = NULL;
    mq_json *json = NULL;
    mq_scores scores;
    mq_parts parts = {0};
    double wanted = -1;
    mq_model_plan open = {.size = sizeof open, .batch = BATCH, .digest = true};
    MQ_TRY(mq_parse_share(err, "--assert-top1", o->assert_top1, &wanted));
    MQ_TRY(mq_choose_dtype(err, o->dtype, &open.dtype));
    open.own = o->dtype == 0;
    const size_t workers = mq_choose_threads(o->threads, o->workers);
    MQ_TRY(mq_model_find(err, call->args[0], &file));
    MQ_TRY(mq_run_of(err, file, &run_folder));
    if (call->arg_count > 1) {
        MQ_TRY(mq_strdup(err, call->args[1], &data));
    } else {
        MQ_REQUIRE(run_folder, err, MQ_USAGE,
                   "%s: stands in no run folder, so name its DATA: marque eval %s DATA", file,
                   mq_text_word(file, &(mq_word){0}));
        MQ_TRY(mq_run_data(err, run_folder, &data));
    }
    MQ_TRY(mq_dataset_open(err, data, &dataset));
    open.path = file;
    MQ_TRY(mq_model_open(err, &open, &model));
    const bool own = strcmp(mq_model_data_digest(model), mq_dataset_digest(dataset)) == 0;
    MQ_REQUIRE(call->arg_count > 1 || own, err, MQ_BAD_DATA,
               "%s: has changed since the model was trained on it; to evaluate on it all the same, where its "
               "parts were not drawn anew and hold no pictures that it was trained on: marque eval %s %s",
               data, mq_text_word(call->args[0], &(mq_word){0}), mq_text_word(data, &(mq_word){0}));
    const char *split = mq_split_name(splits[o->split]);
    if (o->output) {
        MQ_TRY(mq_strdup(err, o->output, &folder));
    } else if (run_folder) {
        MQ_TRY(name_folder(err, run_folder, split, file, own ? NULL : data, &folder));
    }
    if (own && run_folder && splits[o->split] == MQ_VAL) MQ_TRY(find_fold(err, run_folder, dataset, &parts));
    const mq_evaluate_plan plan = {.size = sizeof plan,
                                   .model = model,
                                   .dataset = dataset,
                                   .split = parts.val ? parts.val_split : splits[o->split],
                                   .pictures = parts.val,
                                   .count = parts.val_count,
                                   .trained_on = find_trained_on(model, run_folder, dataset, &opened),
                                   .batch = BATCH,
                                   .workers = workers,
                                   .folder = folder,
                                   .model_name = file,
                                   .stop = mq_stop_wanted,
                                   .progress = tell};
    MQ_TRY(mq_evaluate(err, &plan, &scores, &json));
    if (o->json) {
        MQ_TRY(mq_print_json(err, &json));
    } else {
        mq_progress_keep("%s", file);
        print_scores(&scores, split, folder, call->args[0]);
    }
    MQ_REQUIRE(scores.top1 >= wanted, err, MQ_GATE_MISSED, "top-1 %.7g is below the %.7g asked for",
               scores.top1, wanted);
cleanup:
    mq_json_free(&json);
    mq_model_free(&model);
    mq_dataset_free(&dataset);
    mq_dataset_free(&opened);
    mq_parts_free(&parts);
    free(file);
    free(run_folder);
    free(data);
    free(folder);
    return status;
}

const mq_command mq_cmd_eval = {
    .name = "eval",
    .alias = "val",
    .usage = "MODEL [DATA] [options]",
    .summary = "measure a model on pictures it was not trained on",
    .params = params,
    .options_size = sizeof(eval_options),
    .args_min = 1,
    .args_max = 2,
    .examples = "  marque eval cars-xception\n"
                "  marque eval model.safetensors cars.mq --split val --json\n"
                "  marque eval cars-xception --assert-top1 0.90\n",
    .run = run,
};
