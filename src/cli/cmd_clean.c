/* cmd_clean.c: `marque clean`: a list of doubtful pictures and labels, and a data set with the list applied.
 */
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/common.h"
#include "curate/clean.h"

#include <math.h>
#include <string.h>

typedef struct {
    const char *model, *output, *apply;
    int dtype;
    bool json;
    int64_t imgsz, folds, seed, threads, workers;
    double least;
} clean_options;

#define AT(member) .offset = offsetof(clean_options, member)

static const mq_option params[] = {
    {.name = "output",
     .letter = 'o',
     .kind = MQ_OPTION_TEXT,
     .value = "PATH",
     AT(output),
     .help = "list to write, DATA-edits.csv unless given; with --apply the data set, DATA-clean.mq"},
    {.name = "apply",
     .kind = MQ_OPTION_TEXT,
     .value = "CSV",
     AT(apply),
     .help = "make a data set from DATA and this list; DATA stays as it is"},
    {.name = "least",
     .kind = MQ_OPTION_REAL,
     .value = "F",
     .standard = "0.1",
     .min = 0,
     .max = 1,
     AT(least),
     .help = "list a label from this chance of being wrong on"},
    {.name = "folds",
     .kind = MQ_OPTION_INT,
     .value = "N",
     .standard = "5",
     .min = 2,
     .max = 100,
     AT(folds),
     .help = "parts, each answered by what was learned from the others"},
    {.name = "seed",
     .kind = MQ_OPTION_INT,
     .value = "N",
     .standard = "123",
     .min = 0,
     .max = 9e15,
     AT(seed),
     .help = "of the folds"},
    {.name = "model",
     .kind = MQ_OPTION_TEXT,
     .value = "NAME|MODEL",
     .standard = "xception",
     AT(model),
     .help = "network that looks at the pictures: one by name, or that of a model trained before"},
    MQ_OPTION_IMGSZ(clean_options),
    MQ_OPTION_JSON(clean_options),
    MQ_OPTION_DTYPE(clean_options, MQ_DTYPE_AUTO),
    MQ_OPTION_THREADS(clean_options),
    MQ_OPTION_WORKERS(clean_options),
    {.name = NULL},
};

static void tell_features(void *user, mq_split split, size_t done, size_t total, double seconds,
                          double waited) {
    (void)user;
    char left[32];
    mq_duration(seconds / (double)done * (double)(total - done), left);
    mq_progress("features of %s [%zu/%zu %zu%%] %.1f img/s data %.0f%% eta %s", mq_split_name(split), done,
                total, 100 * done / total, (double)done / seconds, 100 * waited / fmax(seconds, 1e-9), left);
}

static void tell_fold(void *user, size_t done, size_t total) {
    (void)user;
    mq_progress("labels [%zu/%zu]", done, total);
}

static void tell_written(void *user, size_t done, size_t total) {
    (void)user;
    mq_progress("pictures written [%zu/%zu %zu%%]", done, total, 100 * done / total);
}

/* cars.mq -> cars-edits.csv, beside it; the caller's. */
static mq_status name_output(mq_err *err, const char *data, const char *end, char **path) {
    size_t stem = strlen(data);
    while (stem > 1 && data[stem - 1] == '/') stem--;
    if (stem > 3 && strncmp(data + stem - 3, ".mq", 3) == 0) stem -= 3;
    return mq_format(err, path, "%.*s%s", (int)stem, data, end);
}

static void tell_scan(void *user, const char *what, size_t done, size_t total, double seconds) {
    (void)user, (void)seconds;
    mq_progress("%s [%zu/%zu %zu%%]", what, done, total, 100 * done / total);
}

/* What can be seen of the pictures, and what the network says of each. */
static mq_status look(mq_err *err, const clean_options *o, const mq_dataset *dataset, size_t workers,
                      mq_scan *scan, mq_vectors *vectors) {
    mq_status status = MQ_OK;
    const mq_arch *arch = NULL;
    mq_bundle *weights = NULL;
    mq_viewer *viewer = NULL;
    mq_dtype dtype = MQ_F32;
    MQ_TRY(mq_find_network(err, o->model, &arch, &weights));
    MQ_TRY(mq_check_imgsz(err, arch, o->imgsz));
    MQ_TRY(mq_choose_dtype(err, o->dtype, &dtype));
    MQ_TRY(mq_open_weights(err, arch, &weights));
    mq_recipe recipe = mq_recipe_default((uint32_t)o->imgsz, arch->range);
    mq_dataset_recipe(dataset, &recipe);
    const mq_viewer_plan view = {sizeof view, arch, weights, &recipe, dtype, workers};
    MQ_TRY(mq_viewer_open(err, &view, &viewer));
    const mq_vectors_plan plan = {.size = sizeof plan,
                                  .dataset = dataset,
                                  .viewer = viewer,
                                  .splits = {true, true, true},
                                  .stop = mq_stop_wanted,
                                  .progress = tell_features};
    const mq_scan_plan looks = {.size = sizeof looks,
                                .dataset = dataset,
                                .recipe = &recipe,
                                .viewer = viewer,
                                .workers = workers,
                                .stop = mq_stop_wanted,
                                .progress = tell_scan};
    MQ_TRY(mq_vectors_read(err, &plan, vectors));
    MQ_TRY(mq_scan_run(err, &looks, scan));
cleanup:
    mq_viewer_free(&viewer);
    mq_bundle_free(&weights);
    return status;
}

static mq_status print_found(mq_err *err, const clean_options *o, const char *data, const char *path,
                             const mq_clean_report *r) {
    mq_status status = MQ_OK;
    mq_json *json = NULL;
    if (o->json) {
        MQ_TRY(mq_json_pack(
            err, &json, "{s:s, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:I}", "schema",
            "marque.clean.v1", "data", mq_json_text(data), "list", mq_json_text(path), "pictures",
            (long long)r->pictures, "copies", (long long)r->copies, "copies_in_classes",
            (long long)r->conflicts, "flawed", (long long)r->flawed, "labels", (long long)r->doubtful,
            "labels_unfounded", (long long)r->unfounded, "confident_joint", (long long)r->confident,
            "label_noise", mq_json_number(r->rate), "drop", (long long)r->actions[MQ_DROP], "relabel",
            (long long)r->actions[MQ_RELABEL], "keep", (long long)r->actions[MQ_KEEP]));
        return mq_print_json(err, &json);
    }
    printf(
        "%zu pictures: %zu copies, %zu copies in several classes, %zu that show little, %zu doubtful labels",
        r->pictures, r->copies, r->conflicts, r->flawed, r->doubtful);
    if (isnan(r->rate))
        printf(" (too few pictures, or right answers, to say how many are wrong)\n");
    else
        printf(" (some %.1f %% of all seem wrong, or fewer)\n", 100 * r->rate);
    if (r->unfounded)
        printf("%zu %s only to be looked at (keep): there are too few pictures, or too few right answers, to "
               "change labels by\n",
               r->unfounded, r->unfounded == 1 ? "doubtful label is" : "doubtful labels are");
    if (r->small)
        printf("%zu %s too few pictures for labels to be judged\n", r->small,
               r->small == 1 ? "class has" : "classes have");
    printf("%s: %zu rows, proposed: drop %zu, relabel %zu, keep %zu\n", path, r->count, r->actions[MQ_DROP],
           r->actions[MQ_RELABEL], r->actions[MQ_KEEP]);
    printf("next: look through the list, change its actions, then: marque clean %s --apply %s\n",
           mq_text_word(data, &(mq_word){0}), mq_text_word(path, &(mq_word){0}));
cleanup:
    mq_json_free(&json);
    return status;
}

static mq_status find(mq_err *err, const clean_options *o, const mq_dataset *dataset, size_t workers) {
    mq_status status = MQ_OK;
    char *path = NULL;
    mq_vectors vectors = {0};
    mq_scan scan = {0};
    mq_clean_report report = {0};
    const char *data = mq_dataset_folder(dataset);
    if (o->output)
        MQ_TRY(mq_strdup(err, o->output, &path));
    else
        MQ_TRY(name_output(err, data, "-edits.csv", &path));
    MQ_TRY(mq_edits_check(err, path)); /* before minutes of work */
    MQ_TRY(look(err, o, dataset, workers, &scan, &vectors));
    const mq_clean_plan plan = {.size = sizeof plan,
                                .dataset = dataset,
                                .scan = &scan,
                                .vectors = &vectors,
                                .folds = (size_t)o->folds,
                                .seed = (uint64_t)o->seed,
                                .least = o->least,
                                .stop = mq_stop_wanted,
                                .progress = tell_fold};
    MQ_TRY(mq_clean_find(err, &plan, &report));
    MQ_TRY(mq_edits_write(err, path, report.edits, report.count));
    MQ_TRY(print_found(err, o, data, path, &report));
cleanup:
    mq_vectors_free(&vectors);
    mq_scan_free(&scan);
    mq_clean_report_free(&report);
    free(path);
    return status;
}

static mq_status apply(mq_err *err, const clean_options *o, const mq_dataset *dataset) {
    mq_status status = MQ_OK;
    char *path = NULL;
    mq_edit_list list = {0};
    mq_json *json = NULL;
    const char *data = mq_dataset_folder(dataset);
    if (o->output)
        MQ_TRY(mq_strdup(err, o->output, &path));
    else
        MQ_TRY(name_output(err, data, "-clean.mq", &path));
    MQ_TRY(mq_edits_read(err, o->apply, dataset, mq_stop_wanted, &list));
    const mq_rewrite_plan plan = {.size = sizeof plan,
                                  .dataset = dataset,
                                  .output = path,
                                  .changes = list.changes,
                                  .count = list.count,
                                  .list_digest = list.digest,
                                  .stop = mq_stop_wanted,
                                  .progress = tell_written};
    MQ_TRY(mq_rewrite(err, &plan));
    size_t dropped = 0;
    for (size_t i = 0; i < list.count; i++) dropped += list.changes[i].drop;
    if (o->json) {
        MQ_TRY(mq_json_pack(err, &json, "{s:s, s:o, s:o, s:I, s:I, s:I}", "schema", "marque.cleaned.v1",
                            "data", mq_json_text(data), "cleaned", mq_json_text(path), "dropped",
                            (long long)dropped, "relabelled", (long long)(list.count - dropped), "kept",
                            (long long)list.kept));
        MQ_TRY(mq_print_json(err, &json));
        goto cleanup;
    }
    printf("%s: %zu pictures dropped, %zu relabelled, %zu rows kept as they were\nnext: marque train %s\n",
           path, dropped, list.count - dropped, list.kept, mq_text_word(path, &(mq_word){0}));
cleanup:
    mq_json_free(&json);
    mq_edits_free(&list);
    free(path);
    return status;
}

static mq_status run(mq_err *err, const mq_call *call) {
    mq_status status = MQ_OK;
    const clean_options *o = call->options;
    mq_dataset *dataset = NULL;
    const size_t workers = mq_choose_threads(o->threads, o->workers);
    if (o->apply) MQ_TRY(mq_options_only(err, params, o, "apply|output|json|threads|jobs", "--apply"));
    MQ_TRY(mq_dataset_open(err, call->args[0], &dataset));
    if (o->apply)
        MQ_TRY(apply(err, o, dataset));
    else
        MQ_TRY(find(err, o, dataset, workers));
cleanup:
    mq_dataset_free(&dataset);
    return status;
}

const mq_command mq_cmd_clean = {
    .name = "clean",
    .usage = "DATA [options]   |   marque clean DATA --apply CSV [-o CLEAN]",
    .summary = "list copies and wrong labels of a data set, and make one without them",
    .params = params,
    .options_size = sizeof(clean_options),
    .args_min = 1,
    .args_max = 1,
    .examples = "  marque clean cars.mq\n"
                "  marque clean cars.mq --apply cars-edits.csv\n"
                "  marque clean cars.mq --least 0.5 -o sure.csv\n",
    .run = run,
};
