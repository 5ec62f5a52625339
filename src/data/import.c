/* import.c: the way from labelled pictures to a data set. Called by the
 * command line. Owns the output folder's lock while it works. Invariant: new
 * files are made in OUTPUT/.import.tmp and moved when all are there;
 * dataset.json goes first and comes last, so that half a move is seen. */
#include "data/import.h"
#include "base/csv.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "data/import_parts.h"
#include "data/shards.h"
#include "data/split.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char TEMPORARY[] = ".import.tmp", UNPACKED[] = ".unpack.tmp", DATASET[] = "dataset.json";

/* The first source whose probe says true reads. */
static const mq_import_source *const SOURCES[] = {&mq_import_list,     &mq_import_csv,  &mq_import_cars,
                                                  &mq_import_tfrecord, &mq_import_coco, &mq_import_voc,
                                                  &mq_import_folder};

mq_status mq_import_go_on(mq_err *err, const mq_import_job *job) {
    if (!job->plan->stop || !job->plan->stop(job->plan->user)) return MQ_OK;
    return mq_fail(err, MQ_INTERRUPTED, "stopped; nothing was written to %s", job->plan->output);
}

mq_status mq_import_class_of(mq_err *err, mq_import_job *job, const char *name, uint32_t *class) {
    mq_status status = MQ_OK;
    bool found = false;
    MQ_TRY(mq_manifest_find_class(err, &job->manifest, name, class, &found));
    if (!found) MQ_TRY(mq_manifest_add_class(err, &job->manifest, name, class));
cleanup:
    return status;
}

/* What no source could make right. */
static mq_status check_plan(mq_err *err, const mq_import_plan *plan) {
    mq_status status = MQ_OK;
    MQ_REQUIRE(plan->size == sizeof *plan && plan->source && plan->output && plan->workers && plan->shard_mb,
               err, MQ_INTERNAL, "an import needs source, output, workers and a shard size");
    MQ_REQUIRE(plan->test >= 0 && plan->test < 1 && plan->val >= 0 && plan->val < 1, err, MQ_USAGE,
               "--test and --val are shares from 0 to below 1, such as 0.3");
    MQ_REQUIRE(plan->margin >= 0 && plan->margin <= 10, err, MQ_USAGE,
               "--margin is a share of the box, from 0 to 10, such as 0.1");
cleanup:
    return status;
}

/* What a folder holds for us: nothing, a data set, what an import that was cut off left, or other files. */
typedef enum { FOLDER_EMPTY, FOLDER_DATASET, FOLDER_CUT_OFF, FOLDER_OTHER } folder_state;

/* A lock or an unpacked archive alone is nothing: they stay behind when a process is killed. */
static mq_status look_at_output(mq_err *err, const char *path, folder_state *state) {
    bool dataset = false, temporary = false, other = false;
    DIR *dir = opendir(path);
    *state = FOLDER_EMPTY;
    if (!dir && errno == ENOENT) return MQ_OK;
    if (!dir)
        return mq_fail(err, MQ_CANNOT_CREATE, "%s: cannot be used as output folder: %s", path,
                       strerror(errno));
    for (const struct dirent *e; (e = readdir(dir));) {
        const char *name = e->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, ".lock") == 0) continue;
        if (strcmp(name, UNPACKED) == 0) continue;
        dataset |= strcmp(name, DATASET) == 0;
        temporary |= strcmp(name, TEMPORARY) == 0;
        other = true;
    }
    closedir(dir);
    *state = dataset ? FOLDER_DATASET : temporary ? FOLDER_CUT_OFF : other ? FOLDER_OTHER : FOLDER_EMPTY;
    return MQ_OK;
}

/* Refuses an output that is something else, before any work. */
static mq_status check_output(mq_err *err, const mq_import_plan *plan) {
    mq_status status = MQ_OK;
    folder_state state = FOLDER_EMPTY;
    MQ_TRY(look_at_output(err, plan->output, &state));
    MQ_REQUIRE(state != FOLDER_OTHER, err, MQ_CANNOT_CREATE,
               "%s: not empty and not a data set of marque; choose another output folder", plan->output);
    MQ_REQUIRE(state != FOLDER_DATASET || plan->update, err, MQ_CANNOT_CREATE,
               "%s: is a data set already; --update adds new pictures to it, or choose another output folder",
               plan->output);
    MQ_REQUIRE(state == FOLDER_DATASET || state == FOLDER_CUT_OFF || !plan->update, err, MQ_NO_INPUT,
               "%s: no data set there to update; import without --update", plan->output);
cleanup:
    return status;
}

/* --update: the classes of the data set come first, so that they keep their numbers and a model trained on
 * them still fits. */
static mq_status load_classes(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    mq_dataset *old = NULL;
    uint32_t class = 0;
    MQ_TRY(mq_dataset_open(err, job->plan->output, &old));
    for (size_t i = 0; i < mq_dataset_classes(old); i++)
        MQ_TRY(mq_manifest_add_class(err, &job->manifest, mq_dataset_class(old, i), &class));
    job->first_classes = job->manifest.class_count;
cleanup:
    mq_dataset_free(&old);
    return status;
}

/* A row of a CSV that places a picture. */
typedef struct {
    const char *key; /* borrowed from the CSV */
    mq_split split;
    bool used;
} placed_row;

static int compare_rows(const void *a, const void *b) {
    return strcmp(((const placed_row *)a)->key, ((const placed_row *)b)->key);
}

/* Borrowed from rows; NULL when there is none. */
static placed_row *find_row(placed_row *rows, size_t count, const char *key) {
    const placed_row wanted = {.key = key};
    return count ? bsearch(&wanted, rows, count, sizeof *rows, compare_rows) : NULL;
}

/* Reads all rows of a CSV: column key_name and "split", sorted by key. *csv keeps the text. */
static mq_status read_placed(mq_err *err, const char *path, const char *key_name, mq_csv **csv,
                             placed_row **rows, size_t *count) {
    mq_status status = MQ_OK;
    size_t capacity = 0;
    int key = 0, split = 0;
    bool more = false;
    MQ_TRY(mq_csv_open(err, path, csv));
    MQ_TRY(mq_csv_need(err, *csv, key_name, &key));
    MQ_TRY(mq_csv_need(err, *csv, "split", &split));
    for (;;) {
        MQ_TRY(mq_csv_next(err, *csv, &more));
        if (!more) break;
        MQ_TRY(mq_grow(err, rows, &capacity, *count + 1, sizeof **rows));
        placed_row *row = &(*rows)[*count];
        *row = (placed_row){.key = mq_csv_get(*csv, key)};
        MQ_TRY(mq_import_split_of(err, path, mq_csv_line(*csv), mq_csv_get(*csv, split), &row->split));
        ++*count;
    }
    if (*count) qsort(*rows, *count, sizeof **rows, compare_rows);
cleanup:
    return status;
}

/* --split-file: what it names is placed; a row without picture is an error, for it would be silently lost. */
static mq_status apply_split_file(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    const char *path = job->plan->split_file;
    mq_csv *csv = NULL;
    placed_row *rows = NULL;
    size_t count = 0, used = 0;
    char safe[128];
    MQ_TRY(read_placed(err, path, "path", &csv, &rows, &count));
    for (size_t i = 1; i < count; i++)
        MQ_REQUIRE(strcmp(rows[i - 1].key, rows[i].key) != 0, err, MQ_BAD_DATA, "%s: two rows are about %s",
                   path, mq_text_safe(rows[i].key, safe, sizeof safe));
    for (size_t i = 0; i < job->manifest.count; i++) {
        mq_entry *entry = &job->manifest.entries[i];
        placed_row *row = find_row(rows, count, entry->name);
        if (!row && entry->file) row = find_row(rows, count, entry->file); /* all boxes of a picture */
        if (!row) continue;
        used += !row->used;
        row->used = true;
        entry->split = row->split;
        job->manifest.sets_split[row->split] = true;
    }
    MQ_REQUIRE(used == count, err, MQ_BAD_DATA,
               "%s: %zu of its %zu rows name no picture of the source; a path is written as below %s", path,
               count - used, count, job->plan->source);
cleanup:
    free(rows);
    mq_csv_free(&csv);
    return status;
}

/* --update: pictures that the data set has stay where they are. Content goes before name: a picture that was
 * renamed must not move from test to train. */
static mq_status keep_splits(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    char *path = NULL, hex[MQ_HEX_SIZE];
    mq_csv *by_content = NULL, *by_name = NULL;
    placed_row *contents = NULL, *names = NULL;
    size_t content_count = 0, name_count = 0;
    MQ_TRY(mq_path_join(err, job->plan->output, "split.csv", &path));
    MQ_TRY(read_placed(err, path, "sha256", &by_content, &contents, &content_count));
    MQ_TRY(read_placed(err, path, "file", &by_name, &names, &name_count));
    for (size_t i = 0; i < job->manifest.count; i++) {
        mq_entry *entry = &job->manifest.entries[i];
        if (entry->reason) continue;
        mq_hex(entry->digest, MQ_SHA256_SIZE, hex);
        const placed_row *row = find_row(contents, content_count, hex);
        if (!row) row = find_row(names, name_count, entry->name);
        if (!row || entry->split != MQ_SPLITS) continue;
        entry->split = row->split;
        entry->kept = true;
    }
cleanup:
    free(contents);
    free(names);
    mq_csv_free(&by_content);
    mq_csv_free(&by_name);
    free(path);
    return status;
}

/* A classifier needs pictures of two classes at least. */
static mq_status check_content(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    mq_manifest *m = &job->manifest;
    size_t taken = 0, filled = 0, dropped = 0;
    bool *has = NULL;
    char safe[128];
    MQ_TRY(mq_calloc(err, m->class_count, sizeof *has, "classes", &has));
    for (size_t i = 0; i < m->count; i++) {
        if (m->entries[i].reason) continue;
        taken++;
        has[m->entries[i].class] = true;
    }
    for (size_t i = 0; i < m->class_count; i++) filled += has[i];
    const bool folders = strcmp(job->kind, "folder") == 0;
    const char *left = m->count ? m->entries[0].reason : NULL;
    MQ_REQUIRE(taken, err, MQ_NO_INPUT, "%s: no pictures in %s (%zu %s left out%s%s)", job->plan->source,
               folders ? "class folders" : "what it lists", m->count,
               m->count == 1 ? "file was" : "files were", left ? "; the first: " : "",
               left ? mq_text_safe(left, safe, sizeof safe) : "");
    MQ_REQUIRE(filled >= 2, err, MQ_BAD_DATA,
               "%s: all %zu pictures are of one class; a classifier needs two%s", job->plan->source, taken,
               folders ? ", each in a folder of its own" : "");
    MQ_TRY(mq_manifest_drop_classes(err, m, job->first_classes, &dropped));
    if (dropped)
        mq_warn("%zu %s no picture that can be used; left out", dropped,
                dropped == 1 ? "class has" : "classes have");
cleanup:
    free(has);
    return status;
}

/* Real paths of the source: links are judged by them. A list's pictures lie beside or below it, unless the
 * plan says where. */
static mq_status find_root(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    const mq_import_plan *plan = job->plan;
    const char *source = plan->list ? "." : job->unpacked ? job->unpacked : plan->source;
    char *real = realpath(source, NULL);
    MQ_REQUIRE(real, err, MQ_NO_INPUT, "%s: %s", source, strerror(errno));
    const bool folder = !plan->list && mq_folder_exists(real);
    MQ_REQUIRE(!folder || !plan->root, err, MQ_USAGE,
               "--root is for lists, and %s is a folder; its classes begin in it", source);
    if (!folder && !plan->list) {
        const char *slash = strrchr(real, '/');
        MQ_TRY(mq_format(err, &job->root, "%.*s", slash > real ? (int)(slash - real) : 1, real));
        job->list = real;
    } else {
        job->root = real;
    }
    real = NULL;
    if (plan->root) {
        real = realpath(plan->root, NULL);
        MQ_REQUIRE(real && mq_folder_exists(real), err, MQ_NO_INPUT, "%s: no such folder", plan->root);
        free(job->root);
        job->root = real;
        real = NULL;
    }
cleanup:
    free(real);
    return status;
}

/* Lists the pictures. */
static mq_status read_source(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    MQ_TRY(find_root(err, job));
    for (size_t i = 0; i < sizeof SOURCES / sizeof *SOURCES; i++) {
        if (!SOURCES[i]->probe(job)) continue;
        job->kind = SOURCES[i]->kind;
        return SOURCES[i]->read(err, job);
    }
    return mq_fail(err, MQ_NO_INPUT,
                   "%s: neither a folder of pictures nor a list of them (.csv, .tsv, .json, .tfrecord)",
                   job->plan->source);
cleanup:
    return status;
}

/* Everything up to the writing. */
static mq_status prepare(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    const mq_import_plan *plan = job->plan;
    const mq_split_rule rule = {plan->test, plan->val, plan->seed, plan->group_by};
    if (plan->update) MQ_TRY(load_classes(err, job));
    MQ_TRY(read_source(err, job));
    if (plan->split_file) MQ_TRY(apply_split_file(err, job));
    MQ_TRY(mq_import_check(err, job));
    MQ_TRY(mq_import_count_reasons(err, job));
    MQ_TRY(check_content(err, job));
    MQ_TRY(mq_manifest_check_classes(err, &job->manifest));
    MQ_TRY(mq_import_check_boxes(err, job));
    /* A box would have to be shrunk with its picture, and would no longer be the annotated one. */
    MQ_REQUIRE(!plan->max_side || !job->report->boxes || plan->store == MQ_STORE_CROP, err, MQ_USAGE,
               "--max-side with boxes needs --store crop or --boxes ignore");
    if (plan->update) MQ_TRY(keep_splits(err, job));
    MQ_TRY(mq_split_place(err, &rule, &job->manifest, &job->report->shared));
    MQ_TRY(mq_import_count_pictures(err, job));
cleanup:
    return status;
}

/* Removes what an earlier data set left, dataset.json first. */
static mq_status remove_old(mq_err *err, const char *folder) {
    mq_status status = MQ_OK;
    char *path = NULL;
    DIR *dir = NULL;
    MQ_TRY(mq_path_join(err, folder, DATASET, &path));
    MQ_REQUIRE(unlink(path) == 0 || errno == ENOENT, err, MQ_IO, "%s: %s", path, strerror(errno));
    dir = opendir(folder);
    MQ_REQUIRE(dir, err, MQ_IO, "%s: %s", folder, strerror(errno));
    for (const struct dirent *e; (e = readdir(dir));) {
        if (!mq_shard_is_ours(e->d_name)) continue;
        free(path);
        path = NULL;
        MQ_TRY(mq_path_join(err, folder, e->d_name, &path));
        MQ_REQUIRE(unlink(path) == 0, err, MQ_IO, "%s: %s", path, strerror(errno));
    }
cleanup:
    if (dir) closedir(dir);
    free(path);
    return status;
}

/* One file of the new data set to its place; both folders are on one file system. */
static mq_status move(mq_err *err, const char *from, const char *to, const char *name) {
    mq_status status = MQ_OK;
    char *old = NULL, *new = NULL;
    MQ_TRY(mq_path_join(err, from, name, &old));
    MQ_TRY(mq_path_join(err, to, name, &new));
    MQ_REQUIRE(rename(old, new) == 0, err, MQ_IO, "%s: cannot be written: %s", new, strerror(errno));
cleanup:
    free(old);
    free(new);
    return status;
}

/* Moves all files of folder from into folder to, dataset.json last. */
static mq_status move_all(mq_err *err, const char *from, const char *to) {
    mq_status status = MQ_OK;
    mq_buf json = mq_buf_init((size_t)1 << 30);
    char *old = NULL, *new = NULL;
    DIR *dir = opendir(from);
    MQ_REQUIRE(dir, err, MQ_IO, "%s: %s", from, strerror(errno));
    for (const struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.' && strcmp(e->d_name, DATASET) != 0) MQ_TRY(move(err, from, to, e->d_name));
    /* Written anew rather than renamed: that also brings the folder, and so all moves before, to disk. */
    MQ_TRY(mq_path_join(err, from, DATASET, &old));
    MQ_TRY(mq_path_join(err, to, DATASET, &new));
    MQ_TRY(mq_file_read(err, old, &json));
    MQ_TRY(mq_file_write(err, new, json.data, json.size));
cleanup:
    if (dir) closedir(dir);
    mq_buf_free(&json);
    free(old);
    free(new);
    return status;
}

/* An import that was killed during the exchange has all its files, here or there: the exchange is ended, so
 * that an update never loses the splits it began with. */
static mq_status end_exchange(mq_err *err, const char *output) {
    mq_status status = MQ_OK;
    folder_state state = FOLDER_EMPTY;
    char *temporary = NULL, *whole = NULL;
    MQ_TRY(look_at_output(err, output, &state));
    MQ_TRY(mq_path_join(err, output, TEMPORARY, &temporary));
    MQ_TRY(mq_path_join(err, temporary, DATASET, &whole));
    if (state != FOLDER_CUT_OFF || !mq_file_exists(whole)) goto cleanup;
    MQ_TRY(move_all(err, temporary, output));
    MQ_TRY(mq_remove_folder(err, temporary));
    mq_note("%s: an import that was cut off at its very end is now complete", output);
cleanup:
    free(temporary);
    free(whole);
    return status;
}

/* Writes beside what is there, then exchanges. */
static mq_status replace_output(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    char *temporary = NULL;
    mq_err ignored = {0};
    MQ_TRY(mq_path_join(err, job->plan->output, TEMPORARY, &temporary));
    MQ_TRY(mq_remove_folder(err, temporary)); /* of an import that was killed */
    MQ_TRY(mq_make_folder(err, temporary));
    MQ_TRY(mq_import_write(err, job, temporary));
    MQ_TRY(mq_import_go_on(err, job));
    MQ_TRY(remove_old(err, job->plan->output));
    MQ_TRY(move_all(err, temporary, job->plan->output));
cleanup:
    if (temporary && mq_remove_folder(&ignored, temporary) != MQ_OK) mq_warn("%s", ignored.text);
    free(temporary);
    return status;
}

/* Takes away what an archive was unpacked to, by this import or by one that was killed. */
static mq_status remove_unpacked(mq_err *err, const char *output) {
    mq_status status = MQ_OK;
    char *folder = NULL;
    MQ_TRY(mq_path_join(err, output, UNPACKED, &folder));
    MQ_TRY(mq_remove_folder(err, folder));
cleanup:
    free(folder);
    return status;
}

static mq_status unpack(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    char *folder = NULL;
    MQ_TRY(mq_path_join(err, job->plan->output, UNPACKED, &folder));
    MQ_TRY(mq_import_unpack(err, job, folder));
cleanup:
    free(folder);
    return status;
}

/* Takes back the folder that this import made and did not fill. */
static void remove_empty(const char *folder) {
    mq_err ignored = {0};
    char *lock = NULL;
    if (mq_path_join(&ignored, folder, ".lock", &lock) == MQ_OK) unlink(lock);
    free(lock);
    rmdir(folder);
}

mq_status mq_import(mq_err *err, const mq_import_plan *plan, mq_import_report *report) {
    mq_status status = MQ_OK;
    mq_import_job job = {.plan = plan, .report = report};
    mq_lock *lock = NULL;
    bool made = false, archive = false;
    mq_err ignored = {0};
    *report = (mq_import_report){0};
    MQ_TRY(check_plan(err, plan));
    MQ_REQUIRE(plan->list || mq_folder_exists(plan->source) || mq_file_exists(plan->source), err, MQ_NO_INPUT,
               "%s: no such folder or list", plan->source);
    MQ_TRY(check_output(err, plan));
    archive = !plan->list && mq_import_is_archive(plan->source);
    if (!plan->dry_run || archive) {
        made = !mq_folder_exists(plan->output);
        MQ_TRY(mq_make_folder(err, plan->output));
        MQ_TRY(mq_lock_folder(err, plan->output, &lock));
        MQ_TRY(remove_unpacked(err, plan->output));
    }
    if (!plan->dry_run) {
        MQ_TRY(end_exchange(err, plan->output));
        MQ_TRY(check_output(err, plan)); /* what there is now, and while nobody else writes */
    }
    if (stat(plan->output, &job.output) != 0) job.output.st_ino = 0;
    if (archive) MQ_TRY(unpack(err, &job));
    MQ_TRY(prepare(err, &job));
    if (!plan->dry_run) MQ_TRY(replace_output(err, &job));
cleanup:
    if (lock && archive && remove_unpacked(&ignored, plan->output) != MQ_OK) mq_warn("%s", ignored.text);
    if (made && (status != MQ_OK || plan->dry_run)) remove_empty(plan->output);
    mq_lock_free(&lock);
    mq_manifest_free(&job.manifest);
    free(job.root);
    free(job.list);
    free(job.unpacked);
    return status;
}
