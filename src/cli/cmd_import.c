/* cmd_import.c: `marque import`, labelled pictures become a data set. Owns the
 * report while it prints it. */
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/text.h"
#include "cli/cli.h"
#include "data/encode.h"
#include "data/exchange.h"
#include "data/import.h"
#include "data/import_settings.h"
#include "data/manifest.h"

#include <string.h>

typedef struct {
    const char *output, *root, *split_file, *group_by, *annotations, *meta;
    double val, test, margin;
    int class_level, follow, boxes, store, decode,
        truncated; /* index of the word; but for class_level as their enums */
    int64_t folds, presize, max_side, seed, shard_mb, jobs;
    bool allow_missing, update, dry_run, json;
} import_options;

#define AT(member) .offset = offsetof(import_options, member)

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
     .help = "DATA exists: it goes on as it was made; known pictures keep their splits"},
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

enum {
    LIST_LIMIT = 1 << 30,
    REASONS_SHOWN = 3,
    SMALL_SHOWN = 10,
    NAME_MAX_SHOWN = 120,
    WARNED_SHOWN = 48, /* bytes of a name in a warning */
    POINTS = 3         /* hundredths of all pictures; a part that is nearer to its share has it */
};

static size_t total(const mq_import_class *class) {
    return class->count[MQ_TRAIN] + class->count[MQ_VAL] + class->count[MQ_TEST];
}

/* Called from the importer for every picture; mq_progress itself is sparing. */
static void show_progress(void *user, const char *what, size_t done, size_t all) {
    char a[32], b[32];
    (void)user;
    if (all)
        mq_progress("%s / %s %s", mq_text_count(done, a), mq_text_count(all, b), what);
    else
        mq_progress("%s %s", mq_text_count(done, a), what);
}

/* The table people check first. Names are any bytes: mq_text_safe. */
static void print_classes(const mq_import_report *r) {
    char number[32], name[NAME_MAX_SHOWN];
    printf("%8s %8s %8s  class\n", "train", "val", "test");
    for (size_t i = 0; i < r->class_count; i++) {
        for (mq_split split = MQ_TRAIN; split < MQ_SPLITS; split++)
            printf("%8s ", mq_text_count(r->classes[i].count[split], number));
        printf(" %s\n", mq_text_safe(r->classes[i].name, name, sizeof name));
    }
}

/* What a dry run has in place of a quarantine.csv: every reason with the first pictures. */
static void print_problems(const mq_import_report *r) {
    char number[32], text[200], name[NAME_MAX_SHOWN];
    if (!r->left_out) return;
    printf("%8s  would be left out\n", mq_text_count(r->left_out, number));
    for (size_t i = 0; i < r->reason_count; i++) {
        const mq_import_reason *reason = &r->reasons[i];
        printf("%8s  %s: ", mq_text_count(reason->count, number),
               mq_text_safe(reason->text, text, sizeof text));
        for (size_t k = 0; k < MQ_EXAMPLES && reason->examples[k]; k++)
            printf("%s%s", k ? ", " : "", mq_text_safe(reason->examples[k], name, sizeof name));
        printf("%s\n", reason->count > MQ_EXAMPLES ? ", ..." : "");
    }
}

/* One line: how many, where to read about each, and the most frequent reasons. */
static void print_left_out(const import_options *o, const mq_import_report *r) {
    char number[32], text[200];
    if (!r->left_out) return;
    printf("%s left out -> %s/quarantine.csv", mq_text_count(r->left_out, number), o->output);
    for (size_t i = 0; i < r->reason_count && i < REASONS_SHOWN; i++)
        printf("%s%s %s", i ? ", " : " (", mq_text_count(r->reasons[i].count, number),
               mq_text_safe(r->reasons[i].text, text, sizeof text));
    printf("%s)\n", r->reason_count > REASONS_SHOWN ? ", ..." : "");
}

/* "1 " and one, or "1 234 " and many; before is what precedes, after what follows. */
static void print_count(const char *before, size_t count, const char *one, const char *many,
                        const char *after) {
    char number[32];
    printf("%s%s %s%s", before, mq_text_count(count, number), count == 1 ? one : many, after);
}

/* Too few to learn from, or to measure by. */
static bool is_small(const mq_import_class *class) {
    return total(class) && total(class) < 5;
}

static bool is_untrained(const mq_import_class *class) {
    return total(class) && !class->count[MQ_TRAIN];
}

/* The same as a warning, which goes to stderr. */
static void warn_count(size_t count, const char *one, const char *many, const char *after) {
    char number[32];
    mq_warn("%s %s%s", mq_text_count(count, number), count == 1 ? one : many, after);
}

/* Warns of count classes, those that is says true of. */
static void warn_weak(const mq_import_report *r, size_t count, bool (*is)(const mq_import_class *),
                      const char *lack) {
    char name[WARNED_SHOWN], list[SMALL_SHOWN * (WARNED_SHOWN + 24)] = "";
    size_t used = 0, shown = 0;
    if (!count) return;
    for (size_t i = 0; i < r->class_count && shown < SMALL_SHOWN; i++) {
        if (!is(&r->classes[i])) continue;
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s %zu", shown++ ? ", " : "",
                                 mq_text_safe(r->classes[i].name, name, sizeof name), total(&r->classes[i]));
    }
    mq_warn("%zu %s %s: %s%s", count, count == 1 ? "class has" : "classes have", lack, list,
            count > shown ? ", ..." : "");
}

/* What keeps together, and what does not. */
static void print_together(const import_options *o, const mq_import_report *r) {
    const char *why = o->update ? ", as the source or the set before has it" : ", as the source has it";
    const mq_split_found *placed = &r->placed;
    char after[128];
    if (r->originals < r->pictures)
        print_count("they are boxes of ", r->originals, "picture", "pictures",
                    "; the boxes of a picture share a split\n");
    if (placed->groups)
        print_count("", placed->groups, "group", "groups", "; the pictures of a group share a split\n");
    if (o->group_by && !placed->matched) mq_warn("--group-by %s matches no picture", o->group_by);
    if (r->twins)
        print_count("", r->twins, "picture is a copy of another", "pictures are copies of others",
                    "; copies share a split\n");
    if (placed->near)
        print_count("", placed->near, "picture looks nearly like another", "pictures look nearly like others",
                    "; such copies share a split\n");
    snprintf(after, sizeof after, " copies in another split%s", why);
    if (placed->copies) warn_count(placed->copies, "picture has", "pictures have", after);
    snprintf(after, sizeof after, " of groups that lie in several splits%s", why);
    if (placed->torn) warn_count(placed->torn, "picture is", "pictures are", after);
    snprintf(after, sizeof after, " near copies in another split%s", why);
    if (placed->apart) warn_count(placed->apart, "picture has", "pictures have", after);
}

/* Parts that are far from their shares, as whole groups or very small classes leave no way to fill them. */
static void warn_missed(const mq_import_report *r) {
    char a[32], b[32];
    for (mq_split split = MQ_VAL; split <= MQ_TEST; split++) {
        const size_t have = r->count[split], wanted = r->placed.wanted[split];
        const size_t off = have > wanted ? have - wanted : wanted - have;
        if (!wanted || (have && off * 100 <= POINTS * r->pictures)) continue;
        mq_warn("%s has %s %s where its share comes to %s%s", mq_split_name(split),
                have ? mq_text_count(have, a) : "no", have == 1 ? "picture" : "pictures",
                mq_text_count(wanted, b),
                r->placed.groups ? ", for groups stay whole"
                : r->placed.near ? ", for near copies stay together"
                                 : "");
    }
}

/* A picture stored whole for each of its boxes may take many times the disk, and the time to decode. */
static void print_cut(const import_options *o, const mq_import_report *r) {
    if (o->store == MQ_STORE_CROP || r->originals == r->pictures || r->cut_bytes * 2 > r->bytes) return;
    printf("each box is stored with its whole picture, %.1f MB; --store crop would take about %.1f MB\n",
           (double)r->bytes / 1e6, (double)r->cut_bytes / 1e6);
}

/* --truncated accept: how many, and the first of them; dataset.json has them all. */
static void print_truncated(const mq_import_report *r) {
    char name[NAME_MAX_SHOWN];
    if (!r->truncated_count) return;
    print_count("warning: ", r->truncated_count, "picture is cut short, and what is left of it",
                "pictures are cut short, and what is left of them", " is stored as PNG");
    for (size_t i = 0; i < r->truncated_count && i < MQ_EXAMPLES; i++)
        printf("%s%s", i ? ", " : ": ", mq_text_safe(r->truncated[i], name, sizeof name));
    printf("%s\n", r->truncated_count > MQ_EXAMPLES ? ", ..." : "");
}

static void print_report(const import_options *o, const mq_import_report *r) {
    char a[32], b[32], c[32];
    print_classes(r);
    printf("%s %s, %s classes (%s)\n", mq_text_count(r->pictures, a),
           r->pictures == 1 ? "picture" : "pictures", mq_text_count(r->class_count, b), r->class_rule);
    if (o->dry_run)
        print_problems(r);
    else
        print_left_out(o, r);
    if (r->missing)
        print_count("", r->missing, "annotation row has", "annotation rows have", " no picture\n");
    if (r->unlisted)
        print_count("", r->unlisted, "picture lies", "pictures lie", " beside these without annotation\n");
    if (r->litter)
        print_count("", r->litter, "name was", "names were",
                    " passed over: hidden, or left by other systems (._x, Thumbs.db)\n");
    if (r->empty) print_count("", r->empty, "class has", "classes have", " no picture\n");
    if (o->update) {
        print_count("", r->kept, "picture keeps its split, ", "pictures keep their split, ", "");
        print_count("", r->fresh, "is new", "are new", "\n");
    }
    print_together(o, r);
    printf("train %s  val %s  test %s\n", mq_text_count(r->count[MQ_TRAIN], a),
           mq_text_count(r->count[MQ_VAL], b), mq_text_count(r->count[MQ_TEST], c));
    warn_missed(r);
    warn_weak(r, r->untrained, is_untrained, "no training picture");
    warn_weak(r, r->small, is_small, "fewer than 5 pictures");
    if (o->folds)
        printf("the training pictures lie in %s folds of about %s each\n", mq_text_count((size_t)o->folds, a),
               mq_text_count(r->count[MQ_TRAIN] / (size_t)o->folds, b));
    if (!r->count[MQ_VAL] && !o->folds) printf("no validation part: the last weights count as the best\n");
    if (o->store == MQ_STORE_CROP) printf("pictures with a box are stored cut, as PNG\n");
    if (r->as_png)
        print_count("", r->as_png, "picture is TIFF, BMP or GIF; it is",
                    "pictures are TIFF, BMP or GIF; they are", " stored as PNG\n");
    if (r->as_jpeg) {
        print_count("", r->as_jpeg, "picture is HEIC or AVIF; it is", "pictures are HEIC or AVIF; they are",
                    "");
        printf(" stored as JPEG of quality %d\n", MQ_JPEG_QUALITY);
    }
    if (r->animated)
        print_count("", r->animated, "picture is animated or has pages",
                    "pictures are animated or have pages", "; the first is taken\n");
    if (r->turned)
        print_count("", r->turned, "box was drawn on its picture as EXIF turns it, and is turned",
                    "boxes were drawn on their pictures as EXIF turns them, and are turned", " with it\n");
    print_truncated(r);
    print_cut(o, r);
    if (o->presize) printf("pictures are stored as --imgsz %lld takes them, as PNG\n", (long long)o->presize);
    if (o->dry_run)
        printf("nothing written (--dry-run); it would be %s, of %s %s, %.1f MB in all, about%s\n", o->output,
               mq_text_count(r->shards, a), r->shards == 1 ? "shard" : "shards", (double)r->bytes / 1e6,
               r->taken
                   ? "; a data set is there already: --update goes on with it, else choose another folder"
                   : "");
    else
        printf("%s %s, %.1f MB\nnext: marque train %s%s\n", mq_text_count(r->shards, a),
               r->shards == 1 ? "shard" : "shards", (double)r->bytes / 1e6, o->output,
               o->folds ? " --fold 1" : "");
}

/* Names as in dataset.json: text, or {"bytes": hex} where it is not UTF-8. */
static mq_status pack_classes(mq_err *err, const mq_import_report *r, mq_json **list) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_json_pack(err, list, "[]"));
    for (size_t i = 0; i < r->class_count; i++) {
        const size_t *count = r->classes[i].count;
        mq_json *item = NULL, *name = NULL;
        MQ_TRY(mq_name_to_json(err, r->classes[i].name, &name));
        MQ_TRY(mq_json_pack(err, &item, "{s:o,s:I,s:I,s:I}", "name", name, "train",
                            (long long)count[MQ_TRAIN], "val", (long long)count[MQ_VAL], "test",
                            (long long)count[MQ_TEST]));
        MQ_TRY(mq_json_append(err, *list, item));
    }
cleanup:
    return status;
}

static mq_status pack_reasons(mq_err *err, const mq_import_report *r, mq_json **list) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_json_pack(err, list, "[]"));
    for (size_t i = 0; i < r->reason_count; i++) {
        const mq_import_reason *reason = &r->reasons[i];
        mq_json *item = NULL, *examples = NULL, *name = NULL;
        MQ_TRY(mq_json_pack(err, &item, "{s:o,s:I,s:[]}", "reason", mq_json_text(reason->text), "pictures",
                            (long long)reason->count, "examples"));
        MQ_TRY(mq_json_append(err, *list, item));
        examples = mq_json_get(item, "examples");
        for (size_t k = 0; k < MQ_EXAMPLES && reason->examples[k]; k++) {
            MQ_TRY(mq_name_to_json(err, reason->examples[k], &name));
            MQ_TRY(mq_json_append(err, examples, name));
        }
    }
cleanup:
    return status;
}

static mq_status pack_truncated(mq_err *err, const mq_import_report *r, mq_json **list) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_json_pack(err, list, "[]"));
    for (size_t i = 0; i < r->truncated_count; i++) {
        mq_json *name = NULL;
        MQ_TRY(mq_name_to_json(err, r->truncated[i], &name));
        MQ_TRY(mq_json_append(err, *list, name));
    }
cleanup:
    return status;
}

static mq_status print_json(mq_err *err, const import_options *o, const mq_import_report *r) {
    mq_status status = MQ_OK;
    mq_json *json = NULL, *classes = NULL, *reasons = NULL, *truncated = NULL;
    MQ_TRY(pack_classes(err, r, &classes));
    MQ_TRY(pack_reasons(err, r, &reasons));
    MQ_TRY(pack_truncated(err, r, &truncated));
    MQ_TRY(mq_json_pack(
        err, &json,
        "{s:s,s:o,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:"
        "I,s:I,s:I,s:I,s:O,s:O,s:"
        "O}",
        "schema", "marque.import.v1", "data", mq_json_text(o->output), "dry_run", o->dry_run, "pictures",
        (long long)r->pictures, "train", (long long)r->count[MQ_TRAIN], "val", (long long)r->count[MQ_VAL],
        "test", (long long)r->count[MQ_TEST], "left_out", (long long)r->left_out, "missing",
        (long long)r->missing, "unlisted", (long long)r->unlisted, "passed_over", (long long)r->litter,
        "originals", (long long)r->originals, "small_classes", (long long)r->small, "untrained_classes",
        (long long)r->untrained, "groups", (long long)r->placed.groups, "empty_classes", (long long)r->empty,
        "copies", (long long)r->twins, "near_copies", (long long)r->placed.near, "boxes", (long long)r->boxes,
        "boxes_turned", (long long)r->turned, "stored_as_png", (long long)r->as_png, "stored_as_jpeg",
        (long long)r->as_jpeg, "animated", (long long)r->animated, "shards", (long long)r->shards, "bytes",
        (long long)r->bytes, "classes", classes, "reasons", reasons, "truncated", truncated));
    MQ_TRY(mq_print_json(err, &json));
cleanup:
    mq_json_free(&json);
    mq_json_free(&classes);
    mq_json_free(&reasons);
    mq_json_free(&truncated);
    return status;
}

/* --update: what DATA was made with stands in the place of the defaults, and the command line over it. *made
 * is the caller's, o borrows from it. A folder without data set is the importer's to refuse. */
static mq_status recall(mq_err *err, const mq_call *call, mq_import_settings *made, import_options *o) {
    mq_status status = MQ_OK;
    mq_words words = {call->argv, call->argc, NULL, 0};
    char *path = NULL;
    MQ_TRY(mq_exchange_description(err, o->output, &path));
    if (!path) goto cleanup;
    MQ_TRY(mq_import_settings_load(err, path, made));
    *o = (import_options){0};
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
    MQ_TRY(mq_calloc(err, call->argc, sizeof *words.args, "arguments", &words.args));
    MQ_TRY(mq_options_parse(err, params, o, &words));
cleanup:
    free(words.args);
    free(path);
    return status;
}

static mq_status run(mq_err *err, const mq_call *call) {
    mq_status status = MQ_OK;
    import_options options = *(const import_options *)call->options;
    const import_options *o = &options;
    mq_import_settings made = {0};
    mq_import_report report = {0};
    mq_buf list = mq_buf_init(LIST_LIMIT);
    const bool from_stdin = strcmp(call->args[0], "-") == 0;
    MQ_REQUIRE(o->output && o->output[0], err, MQ_USAGE,
               "where to? marque import %s -o DATA names the folder to make", call->args[0]);
    if (o->update) MQ_TRY(recall(err, call, &made, &options));
    if (from_stdin) MQ_TRY(mq_stdin_read(err, &list));
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
        .val = o->folds ? 0 : o->val,
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
        MQ_TRY(print_json(err, o, &report));
    else
        print_report(o, &report);
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
    .options_size = sizeof(import_options),
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
