/* import.c: the way from labelled pictures to a data set. Called by the
 * command line. Owns the list of pictures while it works. Invariant: a picture
 * is decoded, or left out with a reason, before any file is written. */
#include "data/import.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "data/import_parts.h"
#include "data/import_settings.h"
#include "data/split.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

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
    MQ_REQUIRE(!plan->presize || (!plan->max_side && plan->store == MQ_STORE_ORIGINAL), err, MQ_USAGE,
               "--presize already cuts and shrinks; leave --store crop and --max-side out");
    MQ_REQUIRE(!plan->presize || !plan->decode, err, MQ_USAGE,
               "--presize stores pictures ready to use, exactly; leave --decode scaled out");
    MQ_REQUIRE(plan->folds != 1 && plan->folds <= MQ_FOLDS_MAX, err, MQ_USAGE,
               "--folds: from 2 to %d parts, or 0 for none", MQ_FOLDS_MAX);
    MQ_REQUIRE(!plan->folds || plan->val == 0, err, MQ_USAGE,
               "--folds and --val: each fold is the validation part of a run; leave --val out");
cleanup:
    return status;
}

/* --update: the classes of the data set come first, so that they keep their numbers and a model trained on
 * them still fits. How it was imported holds on, too. */
static mq_status load_old(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    mq_dataset *old = NULL;
    mq_import_settings settings = {0};
    char *path = NULL;
    uint32_t class = 0;
    MQ_TRY(mq_dataset_open(err, job->plan->output, &old));
    MQ_REQUIRE(
        !mq_dataset_cleaned(old), err, MQ_USAGE,
        "%s: was made by marque clean, whose edits an update would undo; update the data set it was made "
        "from, and apply the list to that once more",
        job->plan->output);
    MQ_TRY(mq_path_join(err, job->plan->output, "dataset.json", &path));
    MQ_TRY(mq_import_settings_load(err, path, &settings));
    MQ_TRY(mq_import_settings_check(err, &settings, job->plan));
    for (size_t i = 0; i < mq_dataset_classes(old); i++)
        MQ_TRY(mq_manifest_add_class(err, &job->manifest, mq_dataset_class(old, i), &class));
    job->first_classes = job->manifest.class_count;
cleanup:
    mq_import_settings_free(&settings);
    mq_dataset_free(&old);
    free(path);
    return status;
}

/* Only the class with pictures; one that is called as a part of a set is likely to hold the classes. */
static mq_status check_only(mq_err *err, const mq_import_job *job, const char *class) {
    mq_status status = MQ_OK;
    mq_split split;
    char safe[128];
    MQ_REQUIRE(!mq_import_split_folder(class, strlen(class), &split), err, MQ_BAD_DATA,
               "%s: all pictures lie in %s, which is taken for a class as there are no parts beside it; "
               "import %s/%s",
               job->plan->source, mq_text_safe(class, safe, sizeof safe), job->plan->source, safe);
cleanup:
    return status;
}

/* A classifier needs pictures of two classes at least. */
static mq_status check_content(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    mq_manifest *m = &job->manifest;
    size_t taken = 0, filled = 0, last = 0;
    bool *has = NULL;
    char safe[128], empty[128] = "";
    MQ_TRY(mq_calloc(err, m->class_count, sizeof *has, "classes", &has));
    for (size_t i = 0; i < m->count; i++) {
        if (m->entries[i].reason) continue;
        taken++;
        has[m->entries[i].class] = true;
    }
    for (size_t i = 0; i < m->class_count; i++) {
        filled += has[i];
        last = has[i] ? i : last;
        if (!has[i] && i >= job->first_classes && !*empty) mq_text_safe(m->classes[i], empty, sizeof empty);
    }
    const bool folders = strcmp(job->kind, "folder") == 0;
    const char *left = m->count ? m->entries[0].reason : NULL;
    MQ_REQUIRE(taken, err, MQ_NO_INPUT, "%s: no pictures in %s (%zu %s left out%s%s)", job->plan->source,
               folders ? "class folders" : "what it lists", m->count,
               m->count == 1 ? "file was" : "files were", left ? "; the first: " : "",
               left ? mq_text_safe(left, safe, sizeof safe) : "");
    if (filled == 1 && folders) MQ_TRY(check_only(err, job, m->classes[last]));
    MQ_REQUIRE(filled >= 2, err, MQ_BAD_DATA, "%s: %s; a classifier needs two classes%s", job->plan->source,
               taken == 1 ? "has but one picture" : "all pictures are of one class",
               folders ? ", each in a folder of its own" : "");
    MQ_TRY(mq_manifest_drop_classes(err, m, job->first_classes, &job->dropped_classes));
    if (job->dropped_classes)
        mq_warn("%zu %s no picture that can be used; left out%s: %s", job->dropped_classes,
                job->dropped_classes == 1 ? "class has" : "classes have",
                job->dropped_classes == 1 ? "" : "; the first", empty);
cleanup:
    free(has);
    return status;
}

/* Keeps the root's path as it was given, which absolute paths may begin with where a link is on it. */
static mq_status keep_given(mq_err *err, mq_import_job *job, const char *given) {
    mq_status status = MQ_OK;
    char *here = NULL, *real = NULL;
    MQ_REQUIRE(here = realpath(".", NULL), err, MQ_NO_INPUT, ".: %s", strerror(errno));
    MQ_TRY(given[0] == '/' ? mq_strdup(err, given, &job->given)
                           : mq_path_join(err, here, given, &job->given));
    mq_path_tidy(job->given);
    real = realpath(job->given, NULL);
    if (real && strcmp(real, job->root) == 0) goto cleanup;
    free(job->given); /* ".." behind a link: the path means another folder */
    job->given = NULL;
cleanup:
    free(here);
    free(real);
    return status;
}

/* Real paths of the source: links are judged by them. A list's pictures lie beside or below it, unless the
 * plan says where. */
static mq_status find_root(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    const mq_import_plan *plan = job->plan;
    const char *source = plan->list ? "." : job->unpacked ? job->unpacked : plan->source;
    char *real = realpath(source, NULL), *folder = NULL;
    MQ_REQUIRE(real, err, MQ_NO_INPUT, "%s: %s", source, strerror(errno));
    const bool is_folder = !plan->list && mq_folder_exists(real);
    MQ_REQUIRE(!is_folder || !plan->root, err, MQ_USAGE,
               "--root is for lists, and %s is a folder; its classes begin in it", source);
    if (!is_folder && !plan->list) {
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
    const char *slash = plan->list ? NULL : strrchr(source, '/');
    MQ_TRY(mq_format(err, &folder, "%.*s", slash ? (int)(slash - source + 1) : 1, slash ? source : "."));
    MQ_TRY(keep_given(err, job, plan->root ? plan->root : folder));
cleanup:
    free(folder);
    free(real);
    return status;
}

/* Lists the pictures. */
static mq_status read_source(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    MQ_TRY(find_root(err, job));
    for (size_t i = 0; i < sizeof SOURCES / sizeof *SOURCES; i++) {
        if (!SOURCES[i]->probe(job)) continue;
        MQ_REQUIRE(!job->plan->meta || SOURCES[i] == &mq_import_cars, err, MQ_USAGE,
                   "--meta is for Stanford Cars, and %s is something else; leave it out", job->plan->source);
        job->kind = SOURCES[i]->kind;
        job->unit = SOURCES[i]->unit;
        MQ_TRY(SOURCES[i]->read(err, job));
        MQ_REQUIRE(!job->plan->leaf || strcmp(job->report->class_rule, MQ_RULE_LEAF) == 0, err, MQ_USAGE,
                   "--class-level leaf is for classes that are folders, and in %s %s; leave it out",
                   job->plan->source, job->report->class_rule);
        return SOURCES[i]->names_files ? mq_import_count_unlisted(err, job) : MQ_OK;
    }
    return mq_fail(err, MQ_NO_INPUT,
                   "%s: neither a folder of pictures nor a list of them (.csv, .tsv, .json, .tfrecord)",
                   job->plan->source);
cleanup:
    return status;
}

/* Name of the first picture that is taken, and there is one; borrowed. */
static const char *first_taken(const mq_manifest *manifest) {
    size_t i = 0;
    while (manifest->entries[i].reason) i++;
    return manifest->entries[i].name;
}

/* Each fold is the validation part of a run. */
static mq_status check_folds(mq_err *err, const mq_import_job *job) {
    mq_status status = MQ_OK;
    size_t count[MQ_FOLDS_MAX + 1] = {0};
    for (size_t i = 0; i < job->manifest.count; i++)
        if (!job->manifest.entries[i].reason) count[job->manifest.entries[i].fold]++;
    for (uint32_t fold = 1; fold <= job->plan->folds; fold++)
        MQ_REQUIRE(count[fold], err, MQ_USAGE,
                   "--folds %u: the %zu training pictures do not fill so many folds, copies and groups being "
                   "kept together; take fewer",
                   job->plan->folds, job->report->count[MQ_TRAIN]);
cleanup:
    return status;
}

/* Everything up to the writing. */
static mq_status prepare(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    char safe[128];
    const mq_import_plan *plan = job->plan;
    const mq_split_rule rule = {plan->test, plan->val, plan->seed, plan->folds, plan->group_by};
    if (plan->update) MQ_TRY(load_old(err, job));
    MQ_TRY(read_source(err, job));
    MQ_TRY(mq_manifest_check_alike(err, &job->manifest, plan->source, job->first_classes));
    if (plan->split_file) MQ_TRY(mq_import_split_file(err, job));
    MQ_REQUIRE(!plan->folds || !job->manifest.sets_split[MQ_VAL], err, MQ_USAGE,
               "--folds: %s names a validation part of its own; import it without --folds", plan->source);
    MQ_TRY(mq_import_check(err, job));
    MQ_TRY(mq_import_check_stored(err, job));
    MQ_TRY(mq_import_check_boxes(err, job));
    MQ_TRY(mq_import_count_reasons(err, job));
    MQ_TRY(check_content(err, job));
    /* A box would have to be shrunk with its picture, and would no longer be the annotated one. */
    MQ_REQUIRE(!plan->max_side || !job->report->boxes || plan->store == MQ_STORE_CROP, err, MQ_USAGE,
               "--max-side with boxes needs --store crop or --boxes ignore");
    if (plan->update) MQ_TRY(mq_import_keep_splits(err, job));
    MQ_TRY(mq_split_place(err, &rule, &job->manifest, &job->report->placed));
    /* An update goes on where the pictures of a pattern are gone. */
    MQ_REQUIRE(plan->update || !plan->group_by || job->report->placed.matched, err, MQ_USAGE,
               "--group-by %s matches no picture; it is tried on paths below %s, such as %s", plan->group_by,
               plan->source, mq_text_safe(first_taken(&job->manifest), safe, sizeof safe));
    MQ_TRY(mq_import_count_pictures(err, job));
    if (!plan->update) MQ_TRY(check_folds(err, job));
cleanup:
    return status;
}

static mq_exchange_plan output_of(const mq_import_plan *plan) {
    return (mq_exchange_plan){
        plan->output, plan->update, plan->dry_run,
        "--update takes its source again, with more in it; else choose another output folder"};
}

mq_status mq_import_scratch(mq_err *err, mq_import_job *job, const char **folder) {
    mq_status status = MQ_OK;
    const mq_exchange_plan output = output_of(job->plan);
    if (!job->exchange) MQ_TRY(mq_exchange_open(err, &output, &job->exchange));
    *folder = mq_exchange_scratch(job->exchange);
    MQ_TRY(mq_make_folder(err, *folder));
cleanup:
    return status;
}

/* Writes beside what is there, then exchanges. */
static mq_status replace_output(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    const char *folder = NULL;
    MQ_TRY(mq_exchange_begin(err, job->exchange, &folder));
    MQ_TRY(mq_import_write(err, job, folder));
    MQ_TRY(mq_import_go_on(err, job));
    MQ_TRY(mq_exchange_commit(err, job->exchange));
cleanup:
    return status;
}

mq_status mq_import(mq_err *err, const mq_import_plan *plan, mq_import_report *report) {
    mq_status status = MQ_OK;
    mq_import_job job = {.plan = plan, .report = report};
    const bool archive = !plan->list && mq_import_is_archive(plan->source);
    const mq_exchange_plan output = output_of(plan);
    const char *scratch = NULL;
    char *there = NULL;
    *report = (mq_import_report){0};
    MQ_TRY(check_plan(err, plan));
    MQ_REQUIRE(plan->list || mq_folder_exists(plan->source) || mq_file_exists(plan->source), err, MQ_NO_INPUT,
               "%s: no such folder or list", plan->source);
    MQ_TRY(mq_exchange_check(err, &output)); /* before any work */
    if (plan->dry_run && !plan->update) MQ_TRY(mq_exchange_description(err, plan->output, &there));
    report->taken = there;
    if (!plan->dry_run) MQ_TRY(mq_exchange_open(err, &output, &job.exchange));
    if (archive) MQ_TRY(mq_import_scratch(err, &job, &scratch));
    if (stat(plan->output, &job.output) != 0) job.output.st_ino = 0;
    if (archive) MQ_TRY(mq_import_unpack(err, &job, scratch));
    MQ_TRY(prepare(err, &job));
    if (!plan->dry_run) MQ_TRY(replace_output(err, &job));
cleanup:
    mq_exchange_free(&job.exchange);
    mq_manifest_free(&job.manifest);
    free(job.root);
    free(job.given);
    free(job.list);
    free(job.unpacked);
    free(job.inflated);
    free(there);
    return status;
}
