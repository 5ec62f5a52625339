/* run.c: run folders. Called by training. Invariant: a folder is never
 * overwritten by another run, and results.csv has one row for each epoch. */
#include "train/run.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RUNS_MAX = 100000, RESULTS_LIMIT = 64 << 20 };

static const char HEADER[] = "epoch,stage,time,train/loss,train/top1,val/loss,metrics/accuracy_top1,"
                             "metrics/accuracy_top5,metrics/auc,metrics/mae,lr,img_s,data_pct\n";

struct mq_run {
    char *folder;
    mq_lock *lock;
};

void mq_run_free(mq_run **run) {
    if (!*run) return;
    mq_lock_free(&(*run)->lock);
    free((*run)->folder);
    free(*run);
    *run = NULL;
}

const char *mq_run_folder(const mq_run *run) {
    return run->folder;
}

mq_status mq_run_path(mq_err *err, const mq_run *run, const char *name, char **path) {
    return mq_path_join(err, run->folder, name, path);
}

/* Makes runs/STEM, or runs/STEM-2 and so on, whichever is free first. */
static mq_status make_numbered(mq_err *err, const char *stem, char **folder) {
    mq_status status = MQ_OK;
    char *path = NULL;
    MQ_TRY(mq_make_folder(err, "runs"));
    for (int n = 1; n < RUNS_MAX; n++) {
        free(path);
        path = NULL;
        if (n == 1) {
            MQ_TRY(mq_format(err, &path, "runs/%s", stem));
        } else {
            MQ_TRY(mq_format(err, &path, "runs/%s-%d", stem, n));
        }
        if (mkdir(path, 0777) == 0) {
            *folder = path;
            return MQ_OK;
        }
        MQ_REQUIRE(errno == EEXIST, err, mq_status_of_errno(errno, MQ_CANNOT_CREATE),
                   "%s: cannot be made: %s", path, strerror(errno));
    }
    MQ_REQUIRE(false, err, MQ_CANNOT_CREATE, "runs/%s: all of %d numbered folders exist", stem, RUNS_MAX);
cleanup:
    free(path);
    return status;
}

/* Whether a folder holds nothing but the count names; one that ends in "-" stands for all that begin so. */
static bool holds_only(const char *folder, const char *const *names, size_t count) {
    mq_err ignored = {0};
    mq_names found = {0};
    bool only = mq_names_in(&ignored, folder, &found) == MQ_OK;
    for (size_t k = 0; only && k < found.count; k++) {
        only = false;
        for (size_t i = 0; i < count; i++) {
            const size_t length = strlen(names[i]);
            only = only || strncmp(found.items[k], names[i], length + (names[i][length - 1] != '-')) == 0;
        }
    }
    mq_names_free(&found);
    return only;
}

static bool has(const char *folder, const char *name, bool (*exists)(const char *path)) {
    mq_err ignored = {0};
    char *path = NULL;
    const bool there = mq_path_join(&ignored, folder, name, &path) == MQ_OK && exists(path);
    free(path);
    return there;
}

static bool is_filled(const char *path) {
    return mq_folder_exists(path) && !holds_only(path, NULL, 0);
}

/* Whether folder is empty, or holds nothing but what mq_run_create and mq_run_describe make before
 * config.json, which makes a run: then its process was killed at once, and the same command may begin it
 * again. The lock comes first and no file into the folders; else somebody has kept a model here. */
static bool never_began(const char *folder) {
    static const char *const ours[] = {".lock",      "weights",         "checkpoints",
                                       "labels.txt", "labels.txt.tmp-", "config.json.tmp-"};
    if (holds_only(folder, NULL, 0)) return true;
    return holds_only(folder, ours, sizeof ours / sizeof *ours) && has(folder, ".lock", mq_file_exists) &&
           !has(folder, "weights", is_filled) && !has(folder, "checkpoints", is_filled);
}

/* Makes the folders of a run, also of one that was copied without its empty ones, and removes what a killed
 * process left in them. The run's lock is held. */
static mq_status make_parts(mq_err *err, const mq_run *run) {
    static const char *const parts[] = {"", "weights", "checkpoints"};
    mq_status status = MQ_OK;
    char *path = NULL;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        free(path);
        path = NULL;
        MQ_TRY(mq_run_path(err, run, parts[i], &path));
        MQ_TRY(mq_make_folder(err, path));
        mq_remove_temporaries(path);
    }
cleanup:
    free(path);
    return status;
}

mq_status mq_run_check(mq_err *err, const char *folder, const char *name) {
    mq_status status = MQ_OK;
    if (folder && access(folder, F_OK) == 0 && !never_began(folder)) {
        MQ_REQUIRE(has(folder, "config.json", mq_file_exists), err, MQ_CANNOT_CREATE,
                   "%s: exists already and is no run; choose another folder", folder);
        MQ_REQUIRE(false, err, MQ_CANNOT_CREATE,
                   "%s: exists already; choose another folder, or go on with it by --resume %s", folder,
                   mq_text_word(folder, &(mq_word){0}));
    }
    MQ_REQUIRE(!name || (*name && !strchr(name, '/') && name[0] != '.'), err, MQ_USAGE,
               "--name %s: a name without slashes, please; -o DIR takes a path", name);
cleanup:
    return status;
}

mq_status mq_run_create(mq_err *err, const char *folder, const char *name, const char *data,
                        const char *model, mq_run **run) {
    mq_status status = MQ_OK;
    mq_run *r = NULL;
    char *stem = NULL;
    MQ_TRY(mq_run_check(err, folder, name));
    MQ_TRY(mq_calloc(err, 1, sizeof *r, "a run", &r));
    if (folder) {
        MQ_TRY(mq_make_folder(err, folder));
        MQ_TRY(mq_strdup(err, folder, &r->folder));
    } else {
        size_t length;
        const char *base = mq_path_stem(data, &length);
        if (name) {
            MQ_TRY(mq_strdup(err, name, &stem));
        } else {
            MQ_TRY(mq_format(err, &stem, "%.*s-%s", (int)length, base, model));
        }
        MQ_TRY(make_numbered(err, stem, &r->folder));
    }
    MQ_TRY(mq_lock_folder(err, r->folder, &r->lock));
    MQ_TRY(make_parts(err, r));
    *run = r;
    r = NULL;
cleanup:
    mq_run_free(&r);
    free(stem);
    return status;
}

mq_status mq_run_open(mq_err *err, const char *folder, mq_run **run) {
    mq_status status = MQ_OK;
    mq_run *r = NULL;
    char *config = NULL;
    MQ_REQUIRE(mq_folder_exists(folder), err, MQ_NO_INPUT, "%s: no such run folder", folder);
    MQ_TRY(mq_path_join(err, folder, "config.json", &config));
    MQ_REQUIRE(mq_file_exists(config), err, MQ_NO_INPUT, "%s: not a run folder (it has no config.json)",
               folder);
    MQ_TRY(mq_calloc(err, 1, sizeof *r, "a run", &r));
    MQ_TRY(mq_strdup(err, folder, &r->folder));
    MQ_TRY(mq_lock_folder(err, folder, &r->lock));
    MQ_TRY(make_parts(err, r));
    *run = r;
    r = NULL;
cleanup:
    mq_run_free(&r);
    free(config);
    return status;
}

/* Whether a name stands in labels.txt as it is: a line of UTF-8 that nobody takes for JSON. */
static bool is_line(const char *name, const mq_json *json) {
    for (const char *p = name; *p; p++)
        if ((unsigned char)*p < 0x20) return false;
    return mq_json_string(json) && name[0] != '"' && name[0] != '{';
}

/* A class's line of labels.txt; JSON as in dataset.json keeps apart what would look alike. */
static mq_status add_label(mq_err *err, mq_buf *labels, const char *name) {
    mq_status status = MQ_OK;
    mq_json *json = NULL;
    char *text = NULL;
    MQ_TRY(mq_name_to_json(err, name, &json));
    if (!is_line(name, json)) MQ_TRY(mq_json_dump(err, json, 0, &text));
    MQ_TRY(mq_buf_printf(err, labels, "%s\n", text ? text : name));
cleanup:
    free(text);
    mq_json_free(&json);
    return status;
}

mq_status mq_run_describe(mq_err *err, mq_run *run, const mq_json *config, const mq_dataset *dataset) {
    mq_status status = MQ_OK;
    char *path = NULL;
    mq_buf labels = mq_buf_init(RESULTS_LIMIT);
    MQ_TRY(mq_run_path(err, run, "labels.txt", &path));
    for (size_t i = 0; i < mq_dataset_classes(dataset); i++)
        MQ_TRY(add_label(err, &labels, mq_dataset_class(dataset, i)));
    MQ_TRY(mq_file_write(err, path, labels.data, labels.size));
    free(path);
    path = NULL;
    MQ_TRY(mq_run_path(err, run, "config.json", &path));
    MQ_TRY(mq_json_save(err, config, path));
cleanup:
    free(path);
    mq_buf_free(&labels);
    return status;
}

static mq_status add_number(mq_err *err, mq_buf *line, double value) {
    return isfinite(value) ? mq_buf_printf(err, line, ",%.7g", value) : mq_buf_add(err, line, ",", 1);
}

/* The header, and from the rows of an older text those of the epochs before `epoch`. */
static mq_status keep_rows(mq_err *err, const mq_buf *old, uint32_t epoch, mq_buf *text) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_buf_add_text(err, text, HEADER));
    if (!old->size) goto cleanup;
    const char *rows = (const char *)old->data;
    const size_t start = strcspn(rows, "\n") + 1;
    size_t at = start;
    while (at < old->size && strtoul(rows + at, NULL, 10) < epoch) at += strcspn(rows + at, "\n") + 1;
    if (at > old->size) at = old->size;
    if (at > start) MQ_TRY(mq_buf_add(err, text, rows + start, at - start));
cleanup:
    return status;
}

mq_status mq_run_add(mq_err *err, mq_run *run, const mq_run_row *row) {
    mq_status status = MQ_OK;
    char *path = NULL;
    mq_buf old = mq_buf_init(RESULTS_LIMIT), text = mq_buf_init(RESULTS_LIMIT);
    const double numbers[] = {row->seconds,  row->train_loss, row->train_top1, row->val_loss,
                              row->val_top1, row->val_top5,   row->val_auc,    row->val_mae,
                              row->lr,       row->img_s,      row->data_pct};
    MQ_TRY(mq_run_path(err, run, "results.csv", &path));
    if (mq_file_exists(path)) MQ_TRY(mq_file_read(err, path, &old));
    MQ_TRY(keep_rows(err, &old, row->epoch, &text));
    MQ_TRY(mq_buf_printf(err, &text, "%u,%s", row->epoch, row->stage));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) MQ_TRY(add_number(err, &text, numbers[i]));
    MQ_TRY(mq_buf_add(err, &text, "\n", 1));
    MQ_TRY(mq_file_write(err, path, text.data, text.size));
cleanup:
    free(path);
    mq_buf_free(&old);
    mq_buf_free(&text);
    return status;
}
