/* cmd_export.c: `marque export`, a trained model made ready for use elsewhere. */
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/common.h"
#include "infer/export.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SEED = 123 };

typedef struct {
    int dtype;
    const char *calib, *output;
    bool json;
    int64_t pictures, threads, workers;
} export_options;

static const mq_option params[] = {
    {.name = "dtype",
     .kind = MQ_OPTION_CHOICE,
     .value = "int8",
     .standard = "int8",
     .offset = offsetof(export_options, dtype),
     .help = "number format of the network's weights"},
    {.name = "calib",
     .kind = MQ_OPTION_TEXT,
     .value = "DATA",
     .offset = offsetof(export_options, calib),
     .help = "data set whose training pictures show what numbers occur; a run's own unless given"},
    {.name = "images",
     .kind = MQ_OPTION_INT,
     .value = "N",
     .standard = "300",
     .min = 1,
     .max = 100000,
     .offset = offsetof(export_options, pictures),
     .help = "pictures of it to look at"},
    {.name = "output",
     .letter = 'o',
     .kind = MQ_OPTION_TEXT,
     .value = "FILE",
     .offset = offsetof(export_options, output),
     .help = "file to write, beside the model and ending in -int8.safetensors unless given"},
    MQ_OPTION_JSON(export_options),
    MQ_OPTION_THREADS(export_options),
    MQ_OPTION_WORKERS(export_options),
    {.name = NULL},
};

static void tell_picture(void *user, size_t done, size_t total, double seconds) {
    (void)user;
    char left[32];
    mq_duration(seconds / (double)done * (double)(total - done), left);
    mq_progress("calibrate [%zu/%zu %zu%%] %.1f img/s eta %s", done, total, 100 * done / total,
                (double)done / seconds, left);
}

/* What is told at the end of the layers that stay as they are. */
typedef struct {
    mq_json *kept; /* owned: names */
    double worst;  /* error of those in 8 bits */
} layer_list;

static mq_status tell_layer(mq_err *err, void *user, const mq_calibrated *layer, size_t index, size_t count) {
    layer_list *list = user;
    mq_progress("fit [%zu/%zu] %s: error %.2e", index + 1, count, layer->layer, layer->error);
    if (layer->quantised) {
        if (layer->error > list->worst) list->worst = layer->error;
        return MQ_OK;
    }
    return mq_json_append(err, list->kept, mq_json_text(layer->layer));
}

/* MODEL.safetensors -> MODEL-int8.safetensors; the caller's. */
static mq_status name_output(mq_err *err, const char *model, char **path) {
    static const char end[] = ".safetensors";
    const size_t stem = strlen(model) - (mq_text_ends(model, end) ? sizeof end - 1 : 0);
    return mq_format(err, path, "%.*s-int8%s", (int)stem, model, end);
}

static long long bytes_of(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 ? (long long)st.st_size : 0;
}

/* before: bytes of the model when it was read. */
static mq_status print_result(mq_err *err, const export_options *o, const mq_export_plan *plan,
                              const mq_exported *exported, const layer_list *list, long long before) {
    mq_status status = MQ_OK;
    mq_json *json = NULL;
    if (o->json) {
        MQ_TRY(mq_json_pack(err, &json, "{s:s, s:o, s:o, s:I, s:i, s:i, s:i, s:O, s:f}", "schema",
                            "marque.export.v1", "model", mq_json_text(plan->from), "file",
                            mq_json_text(plan->to), "bytes", bytes_of(plan->to), "pictures",
                            (int)exported->pictures, "layers", (int)exported->layers, "quantised",
                            (int)exported->quantised, "kept", list->kept, "worst_error", list->worst));
        return mq_print_json(err, &json);
    }
    printf("%s  %.1f MB (%.1f MB before)\n", plan->to, (double)bytes_of(plan->to) / 1e6,
           (double)before / 1e6);
    printf("%zu of %zu convolutions in 8 bits, at most %.2f %% of a result lost; calibrated on %zu "
           "pictures\n",
           exported->quantised, exported->layers, 100 * list->worst, exported->pictures);
    for (size_t i = 0; i < mq_json_size(list->kept); i++)
        printf("  %s stays as it is\n", mq_json_string(mq_json_at(list->kept, i)));
    printf("next: marque eval %s\n", mq_text_word(plan->to, &(mq_word){0}));
cleanup:
    mq_json_free(&json);
    return status;
}

/* The data set to calibrate on; the caller's. */
static mq_status find_data(mq_err *err, const export_options *o, const char *model, char **data) {
    mq_status status = MQ_OK;
    char *run = NULL;
    if (o->calib) return mq_strdup(err, o->calib, data);
    MQ_TRY(mq_run_of(err, model, &run));
    MQ_REQUIRE(run, err, MQ_USAGE,
               "%s: stands in no run folder, so name a data set like its own: --calib DATA", model);
    MQ_TRY(mq_run_data(err, run, data));
cleanup:
    free(run);
    return status;
}

static mq_status run(mq_err *err, const mq_call *call) {
    mq_status status = MQ_OK;
    const export_options *o = call->options;
    char *model = NULL, *data = NULL, *output = NULL;
    mq_dataset *dataset = NULL;
    mq_exported exported;
    layer_list list = {0};
    const size_t workers = mq_choose_threads(o->threads, o->workers);
    MQ_TRY(mq_model_find(err, call->args[0], &model));
    MQ_TRY(find_data(err, o, model, &data));
    if (o->output)
        MQ_TRY(mq_strdup(err, o->output, &output));
    else
        MQ_TRY(name_output(err, model, &output));
    MQ_REQUIRE(!mq_same_file(model, output), err, MQ_USAGE,
               "%s: is the very model that is read; name another file by --output", output);
    const long long before = bytes_of(model);
    MQ_TRY(mq_json_pack(err, &list.kept, "[]"));
    MQ_TRY(mq_dataset_open(err, data, &dataset));
    const mq_export_plan plan = {.size = sizeof plan,
                                 .from = model,
                                 .to = output,
                                 .dataset = dataset,
                                 .pictures = (size_t)o->pictures,
                                 .seed = SEED,
                                 .workers = workers,
                                 .stop = mq_stop_wanted,
                                 .progress = tell_picture,
                                 .layer = tell_layer,
                                 .user = &list};
    MQ_TRY(mq_export_int8(err, &plan, &exported));
    if (!exported.own && !o->calib)
        mq_warn(
            "%s: has changed since the model was trained on it; calibrated on its training pictures of today",
            data);
    MQ_TRY(print_result(err, o, &plan, &exported, &list, before));
cleanup:
    mq_json_free(&list.kept);
    mq_dataset_free(&dataset);
    free(model);
    free(data);
    free(output);
    return status;
}

const mq_command mq_cmd_export = {
    .name = "export",
    .usage = "MODEL [options]",
    .summary = "make a trained model smaller and faster: its network in 8 bits",
    .params = params,
    .options_size = sizeof(export_options),
    .args_min = 1,
    .args_max = 1,
    .examples = "  marque export runs/cars-xception --dtype int8\n"
                "  marque export model.safetensors --dtype int8 --calib cars.mq -o small.safetensors\n"
                "  marque eval runs/cars-xception/weights/best-int8.safetensors\n",
    .run = run,
};
