/* config.c: the options of `marque train` and their way into and out of config
 * files. Called by cmd_train.c. Invariant: what mq_config_make writes,
 * mq_config_apply reads back to the same options. */
#include "cli/config.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/common.h"
#include "data/folds.h"

#include <string.h>

enum { TEXT_LIMIT = 1 << 16, WORD = 64 };

#define TEXT(flag, member, shown, about)                                                                     \
    {                                                                                                        \
        .name = flag, .kind = MQ_OPTION_TEXT, .value = shown, .offset = offsetof(mq_train_options, member),  \
        .help = about                                                                                        \
    }

const mq_option mq_train_options_table[] = {
    {.name = "model",
     .kind = MQ_OPTION_TEXT,
     .value = "NAME|MODEL",
     .standard = "xception",
     .offset = offsetof(mq_train_options, model),
     .help = "the network (marque pull --list), or a model or run whose layers training begins with"},
    TEXT("preset", preset, "reference", "a known recipe: the published experiment"),
    TEXT("stages", stages, "LIST",
         "what is trained, as in head:20@1e-3,block13+:5@1e-4; a stage is head, BLOCK+ or all"),
    {.name = "bn",
     .kind = MQ_OPTION_CHOICE,
     .value = "auto|stored|train",
     .standard = "auto",
     .offset = offsetof(mq_train_options, bn),
     .help =
         "batch norms of thawed layers: on the batch's statistics (train) or the stored ones; auto: train"},
    TEXT("epochs", epochs, "LIST", "epochs for each stage, or for the last"),
    TEXT("lr", lr, "LIST", "learning rate for each stage, or for the last"),
    MQ_OPTION_BATCH(mq_train_options),
    MQ_OPTION_IMGSZ(mq_train_options),
    {.name = "filter",
     .kind = MQ_OPTION_CHOICE,
     .value = "pillow|tensorflow",
     .standard = "pillow",
     .offset = offsetof(mq_train_options, filter),
     .help = "bilinear resize: antialiased as Pillow's, or plain as tf.image.resize"},
    {.name = "fit",
     .kind = MQ_OPTION_CHOICE,
     .value = "stretch|crop|pad",
     .standard = "stretch",
     .offset = offsetof(mq_train_options, fit),
     .help = "how a picture that is not square fills the network's input"},
    {.name = "denoise",
     .kind = MQ_OPTION_CHOICE,
     .value = "none|median",
     .standard = "none",
     .offset = offsetof(mq_train_options, denoise),
     .help = "filter for noisy pictures, in training and in use: the median of 3 x 3 pixels"},
    {.name = "optimizer",
     .kind = MQ_OPTION_CHOICE,
     .value = "adam",
     .standard = "adam",
     .offset = offsetof(mq_train_options, optimizer),
     .help = "how weights follow gradients"},
    {.name = "head",
     .kind = MQ_OPTION_CHOICE,
     .value = "1024|linear",
     .standard = "1024",
     .offset = offsetof(mq_train_options, head),
     .help = "classifier: one hidden layer of 1024, or linear on standardised features"},
    {.name = "monitor",
     .kind = MQ_OPTION_CHOICE,
     .value = "top1|loss",
     .standard = "top1",
     .offset = offsetof(mq_train_options, monitor),
     .help = "what makes weights/best the best on the validation part"},
    {.name = "checkpoint-every",
     .kind = MQ_OPTION_REAL,
     .value = "S",
     .standard = "600",
     .min = 0,
     .max = 1e9,
     .offset = offsetof(mq_train_options, checkpoint_every),
     .help = "seconds between checkpoints"},
    {.name = "keep",
     .kind = MQ_OPTION_INT,
     .value = "N",
     .standard = "5",
     .min = 1,
     .max = 1000,
     .offset = offsetof(mq_train_options, keep),
     .help = "checkpoints kept"},
    {.name = "summary-steps",
     .kind = MQ_OPTION_INT,
     .value = "N",
     .standard = "10",
     .min = 0,
     .max = 1e9,
     .offset = offsetof(mq_train_options, summary_steps),
     .help = "steps between records for TensorBoard and log.jsonl; 0: none"},
    {.name = "fold",
     .kind = MQ_OPTION_INT,
     .value = "N",
     .standard = "0",
     .max = MQ_FOLDS_MAX,
     .offset = offsetof(mq_train_options, fold),
     .help = "validate on this fold and train on the others (import --folds); 0: the validation part"},
    {.name = "fraction",
     .kind = MQ_OPTION_REAL,
     .value = "F",
     .standard = "1.0",
     .min = 1e-6,
     .max = 1,
     .offset = offsetof(mq_train_options, fraction),
     .help = "share of each class's training pictures to use"},
    {.name = "sampling",
     .kind = MQ_OPTION_CHOICE,
     .value = "shuffle|balanced",
     .standard = "shuffle",
     .offset = offsetof(mq_train_options, sampling),
     .help = "an epoch shows each picture once, or each class equally often"},
    MQ_OPTION_SHUFFLE_BUFFER(
        mq_train_options, "shuffle N pictures at a time, for slow disks and sets larger than memory; 0: all "
                          "at once"),
    {.name = "max-bad",
     .kind = MQ_OPTION_REAL,
     .value = "SHARE",
     .standard = "0.01",
     .min = 0,
     .max = 1,
     .offset = offsetof(mq_train_options, max_bad),
     .help =
         "go on without unreadable pictures, up to this share of those in use; 0: the first ends the run"},
    {.name = "class-weights",
     .kind = MQ_OPTION_TEXT,
     .value = "none|balanced|FILE.csv",
     .standard = "none",
     .offset = offsetof(mq_train_options, class_weights),
     .help =
         "how much a class counts in the loss: alike, the rarer the more, or by the columns class,weight"},
    {.name = "label-smoothing",
     .kind = MQ_OPTION_REAL,
     .value = "F",
     .standard = "0",
     .min = 0,
     .max = 0.99, /* by 1 labels say nothing */
     .offset = offsetof(mq_train_options, smoothing),
     .help = "share of each label that is spread over all classes in training, as 0.1"},
    {.name = "augment",
     .kind = MQ_OPTION_TEXT,
     .value = "POLICY|FILE",
     .standard = "reference",
     .offset = offsetof(mq_train_options, augment),
     .help = "changes of training pictures: none, reference (flips), fine-grained, strong, or words"},
    {.name = "cache",
     .kind = MQ_OPTION_CHOICE,
     .value = "auto|off",
     .standard = "auto",
     .offset = offsetof(mq_train_options, cache),
     .help = "keep what the frozen part says of each picture on disk"},
    {.name = "seed",
     .kind = MQ_OPTION_INT,
     .value = "N",
     .standard = "123",
     .offset = offsetof(mq_train_options, seed),
     .help = "of every random draw"},
    TEXT("name", name, "NAME", "the run's folder is runs/NAME, or runs/NAME-2 and so on where that exists"),
    {.name = "output",
     .letter = 'o',
     .kind = MQ_OPTION_TEXT,
     .value = "DIR",
     .offset = offsetof(mq_train_options, output),
     .help = "the run's folder itself"},
    TEXT("config", config, "FILE", "read settings from JSON; flags come before it"),
    TEXT("resume", resume, "RUN", "go on with an interrupted or finished run"),
    {.name = "allow-inexact",
     .kind = MQ_OPTION_FLAG,
     .offset = offsetof(mq_train_options, allow_inexact),
     .help = "resume with other threads, processor, library or marque, though numbers will differ"},
    {.name = "plan",
     .kind = MQ_OPTION_FLAG,
     .offset = offsetof(mq_train_options, plan),
     .help = "print the plan and stop"},
    MQ_OPTION_DTYPE(mq_train_options, MQ_DTYPE_AUTO),
    MQ_OPTION_THREADS(mq_train_options),
    MQ_OPTION_WORKERS(mq_train_options),
    {.name = NULL},
};

/* One element of "stages". */
typedef struct {
    const char *where;
    size_t index;
    const char *thaw, *bn; /* borrowed; NULL: not said */
    const mq_json *epochs, *lr;
} stage_reader;

static mq_status read_stage_member(mq_err *err, void *user, const char *key, mq_json *value) {
    mq_status status = MQ_OK;
    stage_reader *r = user;
    const char *text = mq_json_string(value), *wanted = NULL;
    char safe[WORD];
    long long whole;
    if (strcmp(key, "epochs") == 0) {
        r->epochs = value;
        if (!mq_json_is_whole(value, &whole)) wanted = "a whole number";
    } else if (strcmp(key, "lr") == 0) {
        r->lr = value;
        if (!mq_json_is_number(value)) wanted = "a number";
    } else {
        if (strcmp(key, "thaw") == 0)
            r->thaw = text;
        else if (strcmp(key, "bn") == 0)
            r->bn = text;
        else
            MQ_REQUIRE(
                strcmp(key, "name") == 0, err, MQ_USAGE,
                "%s: stages[%zu]: \"%s\" is no member of a stage; there are name, thaw, epochs, lr and bn",
                r->where, r->index, mq_text_safe(key, safe, sizeof safe));
        if (!text) wanted = "text in quotes";
    }
    MQ_REQUIRE(!wanted, err, MQ_USAGE, "%s: stages[%zu]: \"%s\" must be %s", r->where, r->index, key, wanted);
cleanup:
    return status;
}

/* {"name":..., "thaw":"none", "epochs":20, "lr":1e-3} as "head:20@0.001". */
static mq_status stage_from_json(mq_err *err, const char *where, size_t index, mq_json *json, mq_buf *out) {
    mq_status status = MQ_OK;
    stage_reader r = {.where = where, .index = index, .thaw = "none"};
    long long epochs = 0;
    MQ_REQUIRE(mq_json_is_object(json), err, MQ_USAGE, "%s: stages[%zu] is not a JSON object", where, index);
    MQ_TRY(mq_json_each(err, json, read_stage_member, &r));
    MQ_REQUIRE(mq_json_is_whole(r.epochs, &epochs) && r.lr, err, MQ_USAGE, "%s: stages[%zu] lacks \"%s\"",
               where, index, r.epochs ? "lr" : "epochs");
    const char *stage = strcmp(r.thaw, "none") == 0 ? "head" : r.thaw;
    if (strcmp(stage, "head") == 0) r.bn = NULL; /* which has none to choose */
    MQ_TRY(mq_buf_printf(err, out, "%s%s:%lld@%.9g%s%s", index ? "," : "", stage, epochs, mq_json_real(r.lr),
                         r.bn ? "/" : "", r.bn ? r.bn : ""));
cleanup:
    return status;
}

static mq_status stages_from_json(mq_err *err, const char *where, const mq_json *list, char **text) {
    mq_status status = MQ_OK;
    mq_buf out = mq_buf_init(TEXT_LIMIT);
    for (size_t i = 0; i < mq_json_size(list); i++)
        MQ_TRY(stage_from_json(err, where, i, mq_json_at(list, i), &out));
    MQ_REQUIRE(out.size, err, MQ_USAGE, "%s: \"stages\" is not a list of stages", where);
    free(*text);
    *text = (char *)out.data;
    out.data = NULL;
cleanup:
    mq_buf_free(&out);
    return status;
}

typedef struct {
    const char *where;
    mq_train_options *options;
    const char **data;
    char **stages_text;
} config_reader;

static mq_status apply_member(mq_err *err, void *user, const char *key, mq_json *value) {
    const config_reader *r = user;
    char prefix[WORD + 256], *text = NULL;
    snprintf(prefix, sizeof prefix, "%.200s: ", r->where);
    if (strcmp(key, "version") == 0) {
        if (mq_json_is_number(value) && mq_json_real(value) == 1) return MQ_OK;
        return mq_fail(err, MQ_USAGE, "%s: a config of another version; this marque reads version 1",
                       r->where);
    }
    if (strcmp(key, MQ_CONFIG_DATA_DIGEST) == 0) return MQ_OK; /* a run's own, for a resume */
    if (strcmp(key, "stages") == 0 && !mq_json_string(value)) {
        const mq_status status = stages_from_json(err, r->where, value, r->stages_text);
        r->options->stages = *r->stages_text;
        return status;
    }
    if (strcmp(key, "resume") == 0 || strcmp(key, "config") == 0)
        return mq_fail(err, MQ_USAGE, "%s: \"%s\" belongs on the command line, not into a config", r->where,
                       key);
    if (strcmp(key, "data") == 0) {
        *r->data = mq_json_string(value);
        return *r->data ? MQ_OK : mq_fail(err, MQ_USAGE, "%s: \"%s\" must be text in quotes", r->where, key);
    }
    if (mq_json_string(value))
        return mq_options_set(err, mq_train_options_table, r->options, prefix, key, mq_json_string(value));
    /* Numbers and booleans are set by their JSON text, which does not outlive this call. */
    for (const mq_option *p = mq_train_options_table; p->name; p++)
        if (p->kind == MQ_OPTION_TEXT && strcmp(p->name, key) == 0)
            return mq_fail(err, MQ_USAGE, "%s: \"%s\" must be text in quotes", r->where, key);
    mq_status status = mq_json_dump(err, value, 0, &text);
    if (status == MQ_OK) status = mq_options_set(err, mq_train_options_table, r->options, prefix, key, text);
    free(text);
    return status;
}

mq_status mq_config_apply(mq_err *err, const char *where, mq_json *json, mq_train_options *options,
                          const char **data, char **stages_text) {
    config_reader reader = {where, options, data, stages_text};
    if (!mq_json_is_object(json)) return mq_fail(err, MQ_USAGE, "%s: not a JSON object", where);
    return mq_json_each(err, json, apply_member, &reader);
}

/* The word of a choice, as text in word. */
static const char *choice(const char *name, int index, char word[WORD]) {
    const mq_option *p = mq_train_options_table;
    while (strcmp(p->name, name) != 0) p++;
    const char *words = p->value;
    for (; index > 0; index--) words += strcspn(words, "|") + 1;
    snprintf(word, WORD, "%.*s", (int)strcspn(words, "|"), words);
    return word;
}

mq_status mq_config_make(mq_err *err, const mq_train_options *o, const char *data, const mq_stage *stages,
                         size_t stage_count, mq_json **json) {
    mq_status status = MQ_OK;
    mq_json *list = NULL;
    char words[8][WORD];
    MQ_TRY(mq_json_pack(err, &list, "[]"));
    for (size_t i = 0; i < stage_count; i++) {
        const bool head = mq_stage_is_head(&stages[i]);
        mq_json *stage = NULL;
        MQ_TRY(mq_json_pack(err, &stage, "{s:s, s:s, s:i, s:f, s:s}", "name", stages[i].thaw, "thaw",
                            head ? "none" : stages[i].thaw, "epochs", (int)stages[i].epochs, "lr",
                            stages[i].lr, "bn", stages[i].batch_statistics ? "train" : "stored"));
        MQ_TRY(mq_json_append(err, list, stage));
    }
    MQ_TRY(mq_json_pack(
        err, json,
        "{s:i, s:o, s:s, s:I, s:I, s:I, s:s, s:s, s:s, s:O, s:f, s:s, s:s, s:s, s:s, s:I, s:I, s:f, s:I, "
        "s:I, s:s, s:o, s:f, s:s, s:I, s:I}",
        "version", 1, "data", mq_json_text(data), "model", o->model, "imgsz", (long long)o->imgsz, "batch",
        (long long)o->batch, "seed", (long long)o->seed, "optimizer",
        choice("optimizer", o->optimizer, words[0]), "head", choice("head", o->head, words[1]), "monitor",
        choice("monitor", o->monitor, words[2]), "stages", list, "fraction", o->fraction, "cache",
        choice("cache", o->cache, words[3]), "dtype", choice("dtype", o->dtype, words[4]), "filter",
        choice("filter", o->filter, words[5]), "fit", choice("fit", o->fit, words[6]), "threads",
        (long long)o->threads, "jobs", (long long)o->workers, "checkpoint-every", o->checkpoint_every, "keep",
        (long long)o->keep, "summary-steps", (long long)o->summary_steps, "sampling",
        choice("sampling", o->sampling, words[7]), "class-weights", mq_json_text(o->class_weights),
        "label-smoothing", o->smoothing, "augment", o->augment, "fold", (long long)o->fold, "shuffle-buffer",
        (long long)o->shuffle_buffer));
    MQ_TRY(mq_json_set(err, *json, "denoise", mq_json_text(choice("denoise", o->denoise, words[0]))));
    MQ_TRY(mq_json_set(err, *json, "max-bad", mq_json_number(o->max_bad)));
cleanup:
    mq_json_free(&list);
    return status;
}

/* Compares the members of keys, NULL behind the last; one that an older config lacks is passed over. */
static mq_status compare_members(mq_err *err, const char *where, const char *const *keys, const mq_json *then,
                                 const mq_json *now) {
    mq_status status = MQ_OK;
    char *was = NULL, *is = NULL;
    for (; *keys; keys++) {
        const mq_json *old = mq_json_get(then, *keys), *new = mq_json_get(now, *keys);
        if (!old || !new) continue;
        MQ_TRY(mq_json_dump(err, old, 0, &was));
        MQ_TRY(mq_json_dump(err, new, 0, &is));
        MQ_REQUIRE(strcmp(was, is) == 0, err, MQ_BAD_DATA,
                   "%s: made with other settings: %s was %.60s and would be %.60s; leave the option out, or "
                   "begin another run",
                   where, *keys, was, is);
        free(was);
        free(is);
        was = is = NULL;
    }
cleanup:
    free(was);
    free(is);
    return status;
}

mq_status mq_config_compare(mq_err *err, const char *where, const mq_json *then, const mq_json *now) {
    static const char *const settings[] = {
        "model",           "imgsz",   "batch",   "seed",     "optimizer", "head",           "monitor",
        "filter",          "fit",     "denoise", "fraction", "sampling",  "shuffle-buffer", "class-weights",
        "label-smoothing", "augment", "fold",    NULL};
    static const char *const of_stage[] = {"thaw", "lr", "bn", "epochs", NULL}, *const of_last[] = {
                                                                                    "thaw", "lr", "bn", NULL};
    mq_status status = MQ_OK;
    const mq_json *old = mq_json_get(then, "stages"), *new = mq_json_get(now, "stages");
    const size_t count = mq_json_size(old);
    MQ_TRY(compare_members(err, where, settings, then, now));
    MQ_REQUIRE(count == mq_json_size(new), err, MQ_BAD_DATA,
               "%s: made with other settings: it has %zu stages and would have %zu; leave --stages out, or "
               "begin another run",
               where, count, mq_json_size(new));
    for (size_t i = 0; i < count; i++)
        MQ_TRY(compare_members(err, where, i + 1 < count ? of_stage : of_last, mq_json_at(old, i),
                               mq_json_at(new, i)));
cleanup:
    return status;
}
