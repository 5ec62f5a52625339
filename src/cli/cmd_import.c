/* cmd_import.c: `marque import`, labelled pictures become a data set. Owns the
 * report while it prints it. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/import_told.h"
#include "data/exchange.h"
#include "data/import_settings.h"

#include <string.h>

#define AT(member) .offset = offsetof(mq_import_options, member)

static const mq_option params[] = {
    {.name = "output",
     .letter = 'o',
     .kind = MQ_OPTION_TEXT,
     .value = "DATA",
     AT(output),
     .help = "folder to make"},
    {.name = "root",
     .kind = MQ_OPTION_TEXT,
     .value = "DIR",
     AT(root),
     .help = "folder that the paths of a list begin at, and classes of plain paths lie in"},
    {.name = "val",
     .kind = MQ_OPTION_REAL,
     .value = "F",
     .standard = "0.1",
     .max = 0.99,
     AT(val),
     .help = "share for validation of what is not test, 0 for none"},
    {.name = "test",
     .kind = MQ_OPTION_REAL,
     .value = "F",
     .standard = "0.3",
     .max = 0.99,
     AT(test),
     .help = "share for test, in each class"},
    {.name = "folds",
     .kind = MQ_OPTION_INT,
     .value = "N",
     .standard = "0",
     .max = MQ_FOLDS_MAX,
     AT(folds),
     .help = "instead of --val: parts of the training pictures, each the validation part of a run (train "
             "--fold)"},
    {.name = "split-file",
     .kind = MQ_OPTION_TEXT,
     .value = "CSV",
     AT(split_file),
     .help = "a CSV file with columns path and split"},
    {.name = "group-by",
     .kind = MQ_OPTION_TEXT,
     .value = "REGEX",
     AT(group_by),
     .help = "pictures whose paths match with the same first group stay together"},
    {.name = "class-level",
     .kind = MQ_OPTION_CHOICE,
     .value = "1|leaf",
     .standard = "1",
     AT(class_level),
     .help = "class = top folder, or the folder a picture lies in"},
    {.name = "follow",
     .kind = MQ_OPTION_CHOICE,
     .value = "none|inside|all",
     .standard = "inside",
     AT(follow),
     .help = "symbolic links to follow: none, those that stay in SRC, all"},
    {.name = "annotations",
     .kind = MQ_OPTION_TEXT,
     .value = "FILE",
     AT(annotations),
     .help = "annotations (.mat of Stanford Cars, .json of COCO) that lie elsewhere than their pictures"},
    {.name = "meta",
     .kind = MQ_OPTION_TEXT,
     .value = "FILE.mat",
     AT(meta),
     .help = "the file with class_names"},
    {.name = "boxes",
     .kind = MQ_OPTION_CHOICE,
     .value = "crop|ignore",
     .standard = "crop",
     AT(boxes),
     .help = "keep boxes to cut pictures by, or not"},
    {.name = "margin",
     .kind = MQ_OPTION_REAL,
     .value = "F",
     .standard = "0",
     .max = 10,
     AT(margin),
     .help = "added around boxes, as a share of their sides"},
    {.name = "store",
     .kind = MQ_OPTION_CHOICE,
     .value = "original|crop",
     .standard = "original",
     AT(store),
     .help = "the pictures' own bytes, or PNG cut to the boxes"},
    {.name = "max-side",
     .kind = MQ_OPTION_INT,
     .value = "N",
     .standard = "0",
     .max = 65535,
     AT(max_side),
     .help = "shrink larger pictures to this many pixels, as PNG; 0: never"},
    {.name = "presize",
     .kind = MQ_OPTION_INT,
     .value = "N",
     .standard = "0",
     .max = MQ_PRESIZE_MAX,
     AT(presize),
     .help = "store, as PNG, just what a network of N pixels takes (train --imgsz N); 0: not"},
    {.name = "decode",
     .kind = MQ_OPTION_CHOICE,
     .value = "exact|scaled",
     .standard = "exact",
     AT(decode),
     .help = "scaled: JPEGs far larger than a network takes are read at 1/2, 1/4 or 1/8: faster, not exact"},
    {.name = "truncated",
     .kind = MQ_OPTION_CHOICE,
     .value = "reject|accept",
     .standard = "reject",
     AT(truncated),
     .help = "JPEG, PNG and WebP that are cut short: leave them out, or store what is left of them as PNG"},
    {.name = "allow-missing",
     .kind = MQ_OPTION_FLAG,
     AT(allow_missing),
     .help = "pass over annotations without picture and shards that are not there"},
    {.name = "seed",
     .kind = MQ_OPTION_INT,
     .value = "N",
     .standard = "123",
     .max = 9e15,
     AT(seed),
     .help = "of the split"},
    {.name = "shard-mb",
     .kind = MQ_OPTION_INT,
     .value = "N",
     .standard = "110",
     .min = 1,
     .max = 100000,
     AT(shard_mb),
     .help = "size of a shard"},
    {.name = "update",
     .kind = MQ_OPTION_FLAG,
     AT(update),
     .help = "DATA exists: take its SRC again, with more in it, as it was made; known pictures keep their "
             "splits"},
    {.name = "dry-run", .kind = MQ_OPTION_FLAG, AT(dry_run), .help = "report, write nothing"},
    {.name = "json", .kind = MQ_OPTION_FLAG, AT(json), .help = "print the report as JSON"},
    {.name = "jobs",
     .alias = "workers",
     .letter = 'j',
     .kind = MQ_OPTION_INT,
     .value = "N",
     .standard = "0",
     .max = 256,
     AT(jobs),
     .help = "pictures decoded at a time; 0: as many as there are cores"},
    {.name = NULL},
};

enum { LIST_LIMIT = 1 << 30 };

/* Called from the importer for every picture; mq_progress itself is sparing. */
static void show_progress(void *user, const char *what, size_t done, size_t all) {
    char a[32], b[32];
    (void)user;
    if (all)
        mq_progress("%s / %s %s", mq_text_count(done, a), mq_text_count(all, b), what);
    else
        mq_progress("%s %s", mq_text_count(done, a), what);
}

/* The command line over what stands in o. */
static mq_status parse_over(mq_err *err, const mq_call *call, mq_import_options *o) {
    mq_status status = MQ_OK;
    mq_words words = {call->argv, call->argc, NULL, 0};
    MQ_TRY(mq_calloc(err, call->argc, sizeof *words.args, "arguments", &words.args));
    MQ_TRY(mq_options_parse(err, params, o, &words));
cleanup:
    free(words.args);
    return status;
}

/* With folds there is no validation part, unless somebody asks for one, which is refused. */
static mq_status drop_val(mq_err *err, const mq_call *call, mq_import_options *o) {
    mq_status status = MQ_OK;
    mq_import_options given = {0};
    MQ_TRY(parse_over(err, call, &given));
    o->val = given.val;
cleanup:
    return status;
}

/* --update: what DATA was made with stands in the place of the defaults, and the command line over it. *made
 * is the caller's, o borrows from it. A folder without data set is the importer's to refuse. */
static mq_status recall(mq_err *err, const mq_call *call, mq_import_settings *made, mq_import_options *o) {
    mq_status status = MQ_OK;
    char *path = NULL;
    MQ_TRY(mq_exchange_description(err, o->output, &path));
    if (!path) goto cleanup;
    MQ_TRY(mq_import_settings_load(err, path, made));
    *o = (mq_import_options){0};
    MQ_TRY(mq_options_defaults(err, params, o));
    o->group_by = made->group_by;
    o->class_level = made->leaf;
    o->follow = (int)made->follow;
    o->boxes = (int)made->boxes;
    o->store = (int)made->store;
    o->decode = (int)made->decode;
    o->truncated = (int)made->truncated;
    o->margin = made->margin;
    o->test = made->test;
    if (!made->folds) o->val = made->val;
    o->folds = made->folds;
    o->presize = made->presize;
    o->max_side = made->max_side;
    o->seed = (int64_t)made->seed;
    MQ_TRY(parse_over(err, call, o));
cleanup:
    free(path);
    return status;
}

static mq_status run(mq_err *err, const mq_call *call) {
    mq_status status = MQ_OK;
    mq_import_options options = *(const mq_import_options *)call->options;
    const mq_import_options *o = &options;
    mq_import_settings made = {0};
    mq_import_report report = {0};
    mq_buf list = mq_buf_init(LIST_LIMIT);
    const bool from_stdin = strcmp(call->args[0], "-") == 0;
    MQ_REQUIRE(o->output && o->output[0], err, MQ_USAGE,
               "where to? marque import %s -o DATA names the folder to make",
               mq_text_word(call->args[0], &(mq_word){0}));
    if (o->update) MQ_TRY(recall(err, call, &made, &options));
    if (o->folds) MQ_TRY(drop_val(err, call, &options));
    if (from_stdin) MQ_TRY(mq_stdin_read(err, &list, mq_stop_wanted, NULL));
    const mq_import_plan plan = {
        .size = sizeof plan,
        .source = from_stdin ? "standard input" : call->args[0],
        .list = from_stdin ? (const char *)list.data : NULL,
        .list_size = list.size,
        .root = o->root,
        .output = o->output,
        .split_file = o->split_file,
        .group_by = o->group_by,
        .annotations = o->annotations,
        .meta = o->meta,
        .follow = (mq_follow)o->follow,
        .leaf = o->class_level == 1,
        .boxes = (mq_boxes)o->boxes,
        .margin = o->margin,
        .store = (mq_store)o->store,
        .decode = (mq_decode)o->decode,
        .truncated = (mq_truncated)o->truncated,
        .presize = (uint32_t)o->presize,
        .max_side = (uint32_t)o->max_side,
        .test = o->test,
        .val = o->val,
        .folds = (uint32_t)o->folds,
        .seed = (uint64_t)o->seed,
        .shard_mb = (uint32_t)o->shard_mb,
        .allow_missing = o->allow_missing,
        .update = o->update,
        .dry_run = o->dry_run,
        .workers = (size_t)(o->jobs ? o->jobs : mq_cpu_count()),
        .stop = mq_stop_wanted,
        .progress = show_progress,
    };
    MQ_TRY(mq_import(err, &plan, &report));
    if (o->json)
        MQ_TRY(mq_import_print_json(err, o, &report));
    else
        mq_import_print(o, &report);
cleanup:
    mq_import_report_free(&report);
    mq_import_settings_free(&made);
    mq_buf_free(&list);
    return status;
}

const mq_command mq_cmd_import = {
    .name = "import",
    .usage = "SRC -o DATA [options]",
    .summary = "make a data set of labelled pictures",
    .params = params,
    .options_size = sizeof(mq_import_options),
    .args_min = 1,
    .args_max = 1,
    .examples = "  marque import pictures -o pictures.mq\n"
                "  marque import pictures/labels.csv -o pictures.mq\n"
                "  find pictures -name '*.jpg' | marque import - -o pictures.mq\n"
                "  marque import coco/annotations/instances_val2017.json -o coco.mq --store crop\n"
                "  marque import VOCdevkit/VOC2012 -o voc.mq\n"
                "  marque import tensorflow_datasets/cars196/2.1.0 -o cars.mq\n"
                "  marque import pictures.zip -o pictures.mq\n"
                "  marque import stanford-cars -o cars.mq --val 0\n"
                "  marque import pictures -o pictures.mq --truncated accept\n"
                "  marque import pictures -o pictures.mq --update\n",
    .run = run,
};
