/* cmd_predict.c: `marque predict`, answers for pictures. Text for people, JSON
 * Lines or CSV for programs, always in the order of the input. */
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "cli/common.h"
#include "infer/predict.h"
#include "train/metrics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BATCH = 16, DEPTH_MAX = 32, OUTPUT_LIMIT = 1 << 30, PATH_MAX_BYTES = 4096, SIDE_MAX = 1 << 24 };

typedef struct {
    bool recursive, json, csv;
    int64_t topk, threads, workers;
    const char *box, *output;
    int dtype;
} predict_options;

static const mq_option params[] = {
    {.name = "recursive",
     .letter = 'r',
     .kind = MQ_OPTION_FLAG,
     .offset = offsetof(predict_options, recursive),
     .help = "take folders, with all pictures below them"},
    {.name = "topk",
     .kind = MQ_OPTION_INT,
     .value = "K",
     .standard = "5",
     .min = 1,
     .max = 1000,
     .offset = offsetof(predict_options, topk),
     .help = "answers for each picture"},
    {.name = "box",
     .kind = MQ_OPTION_TEXT,
     .value = "x1,y1,x2,y2",
     .offset = offsetof(predict_options, box),
     .help = "where the thing stands in the picture, in pixels; what reaches beyond its edges is cut off"},
    MQ_OPTION_JSON(predict_options),
    {.name = "csv", .kind = MQ_OPTION_FLAG, .offset = offsetof(predict_options, csv), .help = "print CSV"},
    {.name = "output",
     .letter = 'o',
     .kind = MQ_OPTION_TEXT,
     .value = "FILE",
     .offset = offsetof(predict_options, output),
     .help = "write there instead of standard output, which is -"},
    MQ_OPTION_DTYPE(predict_options, MQ_DTYPE_AUTO_MODEL),
    MQ_OPTION_THREADS(predict_options),
    MQ_OPTION_WORKERS(predict_options),
    {.name = NULL},
};

/* Adds every regular file below folder, sorted, but for what an import passes over, too; links to folders are
 * not followed. */
static mq_status add_folder(mq_err *err, mq_names *list, const char *folder, int depth) {
    mq_status status = MQ_OK;
    mq_names names = {0};
    char *path = NULL;
    MQ_TRY(mq_names_in(err, folder, &names));
    for (size_t i = 0; i < names.count; i++) {
        if (mq_name_is_litter(names.items[i])) continue;
        struct stat st;
        free(path);
        path = NULL;
        MQ_TRY(mq_path_join(err, folder, names.items[i], &path));
        if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
            if (depth < DEPTH_MAX) MQ_TRY(add_folder(err, list, path, depth + 1));
        } else if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
            MQ_TRY(mq_names_add(err, list, path));
        }
    }
cleanup:
    mq_names_free(&names);
    free(path);
    return status;
}

static mq_status collect(mq_err *err, const mq_call *call, bool recursive, mq_names *list) {
    mq_status status = MQ_OK;
    for (size_t i = 1; i < call->arg_count; i++) {
        const char *path = call->args[i];
        if (strcmp(path, "-") != 0 && mq_folder_exists(path)) {
            MQ_REQUIRE(recursive, err, MQ_USAGE, "%s: a folder; add -r to take all pictures below it", path);
            MQ_TRY(add_folder(err, list, path, 0));
        } else {
            MQ_TRY(mq_names_add(err, list, path));
        }
    }
    MQ_REQUIRE(list->count, err, MQ_NO_INPUT, "%s: no pictures below it", call->args[1]);
cleanup:
    return status;
}

typedef struct {
    const predict_options *options;
    const mq_model *model;
    const mq_box *box;
    mq_writer *file; /* NULL: standard output */
    mq_buf line;
    size_t *best; /* [topk] */
    size_t topk;
} printer;

static mq_status emit(mq_err *err, printer *out) {
    if (out->file) return mq_writer_add(err, out->file, out->line.data, out->line.size);
    if (fwrite(out->line.data, 1, out->line.size, stdout) == out->line.size) return MQ_OK;
    return mq_fail(err, MQ_IO, "the output cannot be written: %s", strerror(errno));
}

static mq_status json_line(mq_err *err, printer *out, const mq_prediction *one) {
    mq_status status = MQ_OK;
    mq_json *list = NULL, *box = NULL, *line = NULL;
    char *text = NULL;
    MQ_TRY(mq_json_pack(err, &list, "[]"));
    for (size_t i = 0; one->p && i < out->topk; i++) {
        mq_json *answer = NULL;
        MQ_TRY(mq_json_pack(err, &answer, "{s:i, s:o, s:f}", "class", (int)out->best[i], "name",
                            mq_json_text(mq_model_class(out->model, out->best[i])), "confidence",
                            (double)one->p[out->best[i]]));
        MQ_TRY(mq_json_append(err, list, answer));
    }
    if (out->box)
        MQ_TRY(mq_json_pack(err, &box, "[i,i,i,i]", out->box->x1, out->box->y1, out->box->x2, out->box->y2));
    MQ_TRY(mq_json_pack(err, &line, "{s:o, s:O, s:n, s:O?, s:o?}", "file", mq_json_text(one->path),
                        "predictions", list, "unknown", "box", box, "error", mq_json_text(one->problem)));
    MQ_TRY(mq_json_dump(err, line, 0, &text));
    MQ_TRY(mq_buf_printf(err, &out->line, "%s\n", text));
cleanup:
    mq_json_free(&list);
    mq_json_free(&box);
    mq_json_free(&line);
    free(text);
    return status;
}

static mq_status csv_lines(mq_err *err, printer *out, const mq_prediction *one) {
    mq_status status = MQ_OK;
    for (size_t i = 0; i < (one->p ? out->topk : 1); i++) {
        MQ_TRY(mq_csv_field(err, &out->line, one->path));
        if (one->p) {
            MQ_TRY(mq_buf_printf(err, &out->line, ",%zu,%zu,", i + 1, out->best[i]));
            MQ_TRY(mq_csv_field(err, &out->line, mq_model_class(out->model, out->best[i])));
            MQ_TRY(mq_buf_printf(err, &out->line, ",%.6f,\n", (double)one->p[out->best[i]]));
        } else {
            MQ_TRY(mq_buf_add_text(err, &out->line, ",,,,,"));
            MQ_TRY(mq_csv_field(err, &out->line, one->problem));
            MQ_TRY(mq_buf_add_text(err, &out->line, "\n"));
        }
    }
cleanup:
    return status;
}

static mq_status text_lines(mq_err *err, printer *out, const mq_prediction *one) {
    mq_status status = MQ_OK;
    char safe[PATH_MAX_BYTES];
    if (!one->p) {
        fprintf(stderr, "%s\n", mq_text_safe(one->problem, safe, sizeof safe));
        return MQ_OK;
    }
    MQ_TRY(mq_buf_printf(err, &out->line, "%s\n", mq_text_safe(one->path, safe, sizeof safe)));
    for (size_t i = 0; i < out->topk; i++) {
        mq_text_safe(mq_model_class(out->model, out->best[i]), safe, sizeof safe);
        MQ_TRY(mq_buf_printf(err, &out->line, "  %5.1f %%  %s\n", 100 * (double)one->p[out->best[i]], safe));
    }
cleanup:
    return status;
}

static mq_status print_one(mq_err *err, void *user, const mq_prediction *one) {
    mq_status status = MQ_OK;
    printer *out = user;
    mq_buf_clear(&out->line);
    if (one->p) mq_top_k(one->p, mq_model_classes(out->model), out->topk, out->best);
    if (out->options->json) {
        MQ_TRY(json_line(err, out, one));
    } else if (out->options->csv) {
        MQ_TRY(csv_lines(err, out, one));
    } else {
        MQ_TRY(text_lines(err, out, one));
    }
    MQ_TRY(emit(err, out));
cleanup:
    return status;
}

static mq_status parse_box(mq_err *err, const char *text, mq_box *box) {
    int32_t *const sides[] = {&box->x1, &box->y1, &box->x2, &box->y2};
    const char *at = text;
    bool good = true;
    for (size_t i = 0; good && i < 4; i++) {
        char *end;
        const long side = strtol(at, &end, 10);
        good = end != at && labs(side) <= SIDE_MAX && *end == (i < 3 ? ',' : 0);
        *sides[i] = good ? (int32_t)side : 0;
        at = end + 1;
    }
    if (good && box->x2 > box->x1 && box->y2 > box->y1) return MQ_OK;
    return mq_fail(err, MQ_USAGE, "--box takes x1,y1,x2,y2 in pixels with x2 > x1 and y2 > y1, not \"%.60s\"",
                   text);
}

/* Opens the file for the answers, which must be none of those that are read. */
static mq_status open_output(mq_err *err, const char *output, const char *model, const mq_names *paths,
                             mq_writer **file) {
    mq_status status = MQ_OK;
    MQ_REQUIRE(!mq_same_file(output, model), err, MQ_USAGE,
               "%s: is the model itself; name another file by --output", output);
    for (size_t i = 0; i < paths->count; i++)
        MQ_REQUIRE(!mq_same_file(output, paths->items[i]), err, MQ_USAGE,
                   "%s: is one of the pictures; name another file by --output", output);
    MQ_TRY(mq_writer_open(err, output, file));
cleanup:
    return status;
}

static mq_status run(mq_err *err, const mq_call *call) {
    mq_status status = MQ_OK;
    const predict_options *o = call->options;
    mq_names paths = {0};
    mq_model *model = NULL;
    char *file = NULL;
    mq_box box;
    size_t bad = 0;
    printer out = {.options = o, .line = mq_buf_init(OUTPUT_LIMIT)};
    mq_model_plan plan = {.size = sizeof plan};
    MQ_REQUIRE(!(o->json && o->csv), err, MQ_USAGE, "--json and --csv exclude each other");
    MQ_TRY(mq_choose_dtype(err, o->dtype, &plan.dtype));
    plan.own = o->dtype == 0;
    const size_t workers = mq_choose_threads(o->threads, o->workers);
    if (o->box) MQ_TRY(parse_box(err, o->box, &box));
    MQ_TRY(collect(err, call, o->recursive, &paths));
    MQ_TRY(mq_model_find(err, call->args[0], &file));
    plan.path = file;
    plan.batch = paths.count < BATCH ? paths.count : BATCH;
    MQ_TRY(mq_model_open(err, &plan, &model));
    out.model = model;
    out.box = o->box ? &box : NULL;
    out.topk = (size_t)o->topk < mq_model_classes(model) ? (size_t)o->topk : mq_model_classes(model);
    MQ_TRY(mq_calloc(err, out.topk, sizeof *out.best, "answers", &out.best));
    if (o->output && strcmp(o->output, "-") != 0)
        MQ_TRY(open_output(err, o->output, file, &paths, &out.file));
    if (o->csv) {
        MQ_TRY(mq_buf_add_text(err, &out.line, "file,rank,class,name,confidence,error\n"));
        MQ_TRY(emit(err, &out));
    }
    if (mq_model_on_boxes(model) && !o->box)
        mq_note(
            "note: this model was trained on pictures cut to boxes; whole pictures may do worse (see --box)");
    const mq_predict_plan predict = {.size = sizeof predict,
                                     .model = model,
                                     .paths = (const char *const *)paths.items,
                                     .count = paths.count,
                                     .box = out.box,
                                     .batch = plan.batch,
                                     .workers = workers < paths.count ? workers : paths.count,
                                     .stop = mq_stop_wanted,
                                     .each = print_one,
                                     .user = &out};
    MQ_TRY(mq_predict_files(err, &predict, &bad));
    if (out.file) MQ_TRY(mq_writer_commit(err, &out.file));
    MQ_REQUIRE(!bad, err, MQ_BAD_DATA, "%zu of %zu pictures could not be read", bad, paths.count);
cleanup:
    mq_writer_abort(&out.file);
    mq_buf_free(&out.line);
    free(out.best);
    mq_model_free(&model);
    free(file);
    mq_names_free(&paths);
    return status;
}

const mq_command mq_cmd_predict = {
    .name = "predict",
    .usage = "MODEL PATH... [options]",
    .summary = "say what pictures show",
    .params = params,
    .options_size = sizeof(predict_options),
    .args_min = 2,
    .args_max = SIZE_MAX,
    .examples = "  marque predict runs/cars-xception photo.jpg\n"
                "  marque predict model.safetensors -r pictures --csv -o answers.csv\n"
                "  marque predict cars-xception --json - <photo.jpg\n",
    .run = run,
};
