/* import_told.c: what `marque import` says of an import, for people and as JSON.
 * Called by cmd_import.c. Owns nothing. Invariant: names of pictures and classes
 * are any bytes, and reach a terminal through mq_text_safe alone. */
#include "cli/import_told.h"
#include "base/json.h"
#include "base/log.h"
#include "base/names.h"
#include "base/text.h"
#include "cli/cli.h"
#include "data/encode.h"
#include "data/manifest.h"

#include <string.h>

enum {
    REASONS_SHOWN = 3,
    SMALL_SHOWN = 10,
    NAME_MAX_SHOWN = 120,
    WARNED_SHOWN = 48, /* bytes of a name in a warning */
    POINTS = 3         /* hundredths of all pictures; a part that is nearer to its share has it */
};

static size_t total(const mq_import_class *class) {
    return class->count[MQ_TRAIN] + class->count[MQ_VAL] + class->count[MQ_TEST];
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
static void print_left_out(const mq_import_options *o, const mq_import_report *r) {
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

/* What keeps together, and what the source tears. */
static void print_together(const mq_import_options *o, const mq_import_report *r) {
    const char *why = o->update ? ", as the source or the set before has it" : ", as the source has it";
    const mq_split_found *placed = &r->placed;
    char after[128];
    if (r->originals < r->pictures)
        print_count("they are boxes of ", r->originals, "picture", "pictures",
                    placed->copies ? "\n" : "; the boxes of a picture share a split\n");
    if (placed->groups)
        print_count("", placed->groups, "group", "groups",
                    placed->torn ? "\n" : "; the pictures of a group share a split\n");
    if (o->group_by && !placed->matched) mq_warn("--group-by %s matches no picture", o->group_by);
    if (r->twins)
        print_count("", r->twins, "picture is a copy of another", "pictures are copies of others",
                    placed->copies ? "\n" : "; copies share a split\n");
    if (placed->near)
        print_count("", placed->near, "picture looks nearly like another", "pictures look nearly like others",
                    placed->apart ? "\n" : "; such copies share a split\n");
    if (placed->crowded)
        print_count(
            "", placed->crowded, "picture looks", "pictures look",
            " nearly like more than 15 others and may lie in another split than they; marque scan tells "
            "of copies\n");
    snprintf(after, sizeof after, " in another split than others of their picture%s", why);
    if (placed->copies && !r->twins) warn_count(placed->copies, "box lies", "boxes lie", after);
    snprintf(after, sizeof after, " copies in another split%s", why);
    if (placed->copies && r->twins) warn_count(placed->copies, "picture has", "pictures have", after);
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
static void print_cut(const mq_import_options *o, const mq_import_report *r) {
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

void mq_import_print(const mq_import_options *o, const mq_import_report *r) {
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
        if (r->moved) print_count("", r->moved, "changes it, ", "change it, ", "");
        if (r->gone) print_count("", r->gone, "is gone, ", "are gone, ", "");
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
               r->shards == 1 ? "shard" : "shards", (double)r->bytes / 1e6,
               mq_text_word(o->output, &(mq_word){0}), o->folds ? " --fold 1" : "");
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

mq_status mq_import_print_json(mq_err *err, const mq_import_options *o, const mq_import_report *r) {
    mq_status status = MQ_OK;
    mq_json *json = NULL, *classes = NULL, *reasons = NULL, *truncated = NULL;
    MQ_TRY(pack_classes(err, r, &classes));
    MQ_TRY(pack_reasons(err, r, &reasons));
    MQ_TRY(pack_truncated(err, r, &truncated));
    MQ_TRY(mq_json_pack(
        err, &json,
        "{s:s,s:o,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:"
        "I,s:"
        "I,s:I,s:I,s:I,s:O,s:O,s:"
        "O}",
        "schema", "marque.import.v1", "data", mq_json_text(o->output), "dry_run", o->dry_run, "pictures",
        (long long)r->pictures, "train", (long long)r->count[MQ_TRAIN], "val", (long long)r->count[MQ_VAL],
        "test", (long long)r->count[MQ_TEST], "left_out", (long long)r->left_out, "missing",
        (long long)r->missing, "unlisted", (long long)r->unlisted, "kept", (long long)r->kept, "changed_part",
        (long long)r->moved, "new", (long long)r->fresh, "gone", (long long)r->gone, "passed_over",
        (long long)r->litter, "originals", (long long)r->originals, "small_classes", (long long)r->small,
        "untrained_classes", (long long)r->untrained, "groups", (long long)r->placed.groups, "empty_classes",
        (long long)r->empty, "copies", (long long)r->twins, "near_copies", (long long)r->placed.near, "boxes",
        (long long)r->boxes, "boxes_turned", (long long)r->turned, "stored_as_png", (long long)r->as_png,
        "stored_as_jpeg", (long long)r->as_jpeg, "animated", (long long)r->animated, "shards",
        (long long)r->shards, "bytes", (long long)r->bytes, "classes", classes, "reasons", reasons,
        "truncated", truncated));
    MQ_TRY(mq_print_json(err, &json));
cleanup:
    mq_json_free(&json);
    mq_json_free(&classes);
    mq_json_free(&reasons);
    mq_json_free(&truncated);
    return status;
}
