/* augment_policy.c: the words of a policy become entries, and entries words.
 * Called by the command line. Owns the policy. Invariant: the text of a policy
 * reads back to the same policy, whatever defaults a later version has. */
#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "data/augment_parts.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

enum { POLICY_LIMIT = 1 << 16, WORD = 96 };

static const struct {
    const char *name, *policy;
} presets[] = {
    {"none", ""},
    {"reference", "hflip"},
    {"fine-grained", "hflip,rrc=0.6,zoom=0.1,rotate=7,perspective=0.1@0.3,brightness=0.2,contrast=0.2,"
                     "saturation=0.2,blur=1@0.1"},
    {"strong", "hflip,rrc=0.35,perspective=0.2@0.3,trivialaugment,hue=0.03,grey@0.05,blur=1.5@0.1,"
               "noise=0.03@0.1,jpeg=50@0.2,erase=0.2@0.25"},
};

enum { PRESETS = sizeof presets / sizeof *presets };

bool mq_augment_preset(size_t index, const char **name, const char **policy) {
    if (index >= PRESETS) return false;
    *name = presets[index].name;
    *policy = presets[index].policy;
    return true;
}

/* PRESETS when there is none. */
static size_t find_preset(const char *name) {
    size_t i = 0;
    while (i < PRESETS && strcmp(presets[i].name, name) != 0) i++;
    return i;
}

static mq_status unknown(mq_err *err, const char *word) {
    const char *names[MQ_ROWS + PRESETS + 1] = {NULL};
    for (size_t i = 0; i < PRESETS; i++) names[i] = presets[i].name;
    for (size_t i = 0; i < MQ_ROWS; i++) names[PRESETS + i] = mq_rows[i].entry.name;
    char safe[WORD];
    mq_text_safe(word, safe, sizeof safe);
    const char *nearest = mq_text_nearest(word, names);
    if (nearest)
        return mq_fail(err, MQ_USAGE, "\"%s\" is no augmentation, preset or file; did you mean %s?", safe,
                       nearest);
    return mq_fail(err, MQ_USAGE,
                   "\"%s\" is no augmentation, preset or file; presets are none, reference, fine-grained and "
                   "strong, and docs/AUGMENTATION.md lists the augmentations",
                   safe);
}

/* The number that is all of text, from least to most. */
static mq_status parse_number(mq_err *err, const char *name, const char *what, const char *text,
                              const double range[2], double *value) {
    char *end = NULL, safe[WORD];
    *value = strtod(text, &end);
    if (end == text || *end || !(*value >= range[0] && *value <= range[1]))
        return mq_fail(err, MQ_USAGE, "%s: the %s is a number from %g to %g, not \"%s\"", name, what,
                       range[0], range[1], mq_text_safe(text, safe, sizeof safe));
    *value = mq_text_nine_digits(*value);
    return MQ_OK;
}

/* "NAME[=ARGUMENT[:SECOND]][@PROBABILITY]"; word is cut up. */
static mq_status parse_entry(mq_err *err, char *word, mq_augment *a) {
    mq_status status = MQ_OK;
    char *probability = mq_text_cut(word, '@'), *argument = mq_text_cut(word, '='),
         *second = argument ? mq_text_cut(argument, ':') : NULL;
    const size_t index = mq_augment_find(word);
    if (index == SIZE_MAX) return unknown(err, word);
    const mq_row *row = &mq_rows[index];
    const mq_augment_entry *e = &row->entry;
    mq_entry_of entry = {true, e->standard, row->second, e->probability};
    MQ_REQUIRE(!argument || e->meaning, err, MQ_USAGE, "%s takes no argument, only a probability: %s@%g",
               e->name, e->name, e->probability);
    MQ_REQUIRE(!second || row->second_most > 0, err, MQ_USAGE, "%s takes one argument: %s=%g", e->name,
               e->name, e->standard);
    if (argument)
        MQ_TRY(parse_number(err, e->name, "argument", argument, (double[2]){e->least, e->most},
                            &entry.argument));
    if (second)
        MQ_TRY(parse_number(err, e->name, "second argument", second,
                            (double[2]){row->second_least, row->second_most}, &entry.second));
    if (probability)
        MQ_TRY(parse_number(err, e->name, "probability", probability, (double[2]){0, 1}, &entry.probability));
    if (index == MQ_POSTERIZE || index == MQ_JPEG || index == MQ_FILL) entry.argument = round(entry.argument);
    entry.second = round(entry.second);
    entry.on = entry.probability > 0 && !(e->meaning && entry.argument == row->nothing);
    a->entries[index] = entry;
cleanup:
    return status;
}

static mq_status parse_list(mq_err *err, char *text, bool presets_allowed, mq_augment *a);

/* A preset stands first, as what follows would be lost behind it. */
static mq_status parse_preset(mq_err *err, size_t index, bool allowed, mq_augment *a) {
    mq_status status = MQ_OK;
    char *copy = NULL;
    MQ_REQUIRE(allowed, err, MQ_USAGE, "the preset %s must stand first in a policy, and alone of its kind",
               presets[index].name);
    MQ_TRY(mq_strdup(err, presets[index].policy, &copy));
    MQ_TRY(parse_list(err, copy, false, a));
cleanup:
    free(copy);
    return status;
}

/* Entries between commas and line ends; text is cut up. */
static mq_status parse_list(mq_err *err, char *text, bool presets_allowed, mq_augment *a) {
    mq_status status = MQ_OK;
    char *place = NULL;
    for (char *word = strtok_r(text, ",\n", &place); word; word = strtok_r(NULL, ",\n", &place)) {
        while (isspace((unsigned char)*word)) word++;
        size_t length = strlen(word);
        while (length && isspace((unsigned char)word[length - 1])) word[--length] = 0;
        if (!length) continue;
        const size_t preset = find_preset(word);
        MQ_TRY(preset < PRESETS ? parse_preset(err, preset, presets_allowed, a) : parse_entry(err, word, a));
        presets_allowed = false;
    }
cleanup:
    return status;
}

/* Comments of a file, from '#' to the end of the line, become blanks. */
static void blank_comments(char *text) {
    for (char *at = strchr(text, '#'); at; at = strchr(at, '#')) {
        const size_t length = strcspn(at, "\n");
        memset(at, ' ', length);
    }
}

static mq_status check_pairs(mq_err *err, const mq_augment *a) {
    mq_status status = MQ_OK;
    const mq_entry_of *e = a->entries;
    MQ_REQUIRE(!e[MQ_CROP].on || !e[MQ_RRC].on, err, MQ_USAGE,
               "crop and rrc exclude each other: each chooses the window; leave one out, or say crop=1");
    MQ_REQUIRE(!e[MQ_MIXUP].on || !e[MQ_CUTMIX].on || e[MQ_MIXUP].probability == e[MQ_CUTMIX].probability,
               err, MQ_USAGE,
               "mixup and cutmix share the batches that are mixed, so they need the same probability");
cleanup:
    return status;
}

static mq_status write_text(mq_err *err, mq_augment *a) {
    mq_status status = MQ_OK;
    mq_buf out = mq_buf_init(POLICY_LIMIT);
    for (size_t i = 0; i < MQ_ROWS; i++) {
        const mq_entry_of *e = &a->entries[i];
        if (!e->on) continue;
        MQ_TRY(mq_buf_printf(err, &out, "%s%s", out.size ? "," : "", mq_rows[i].entry.name));
        if (mq_rows[i].entry.meaning) MQ_TRY(mq_buf_printf(err, &out, "=%.9g", e->argument));
        if (mq_rows[i].second_most > 0) MQ_TRY(mq_buf_printf(err, &out, ":%.9g", e->second));
        MQ_TRY(mq_buf_printf(err, &out, "@%.9g", e->probability));
    }
    if (!out.size) MQ_TRY(mq_buf_add_text(err, &out, "none"));
    a->text = (char *)out.data;
    out.data = NULL;
cleanup:
    mq_buf_free(&out);
    return status;
}

mq_status mq_augment_parse(mq_err *err, const char *text, mq_augment **augment) {
    mq_status status = MQ_OK;
    mq_err wrong = {0};
    mq_augment *a = NULL;
    mq_buf words = mq_buf_init(POLICY_LIMIT);
    const bool file = mq_augment_find(text) == SIZE_MAX && find_preset(text) == PRESETS &&
                      mq_file_exists(text);
    MQ_TRY(mq_calloc(err, 1, sizeof *a, "an augmentation", &a));
    if (file) {
        MQ_TRY(mq_file_read(err, text, &words));
        MQ_REQUIRE(words.size && !memchr(words.data, 0, words.size), err, MQ_USAGE, "%s: no policy but %s",
                   text, words.size ? "bytes" : "an empty file");
        blank_comments((char *)words.data);
    } else {
        MQ_TRY(mq_buf_add_text(err, &words, text));
    }
    if (words.data) status = parse_list(&wrong, (char *)words.data, true, a);
    if (status == MQ_OK) status = check_pairs(&wrong, a);
    MQ_REQUIRE(status == MQ_OK, err, status, "%s%s%s", file ? text : "", file ? ": " : "", wrong.text);
    MQ_TRY(write_text(err, a));
    *augment = a;
    a = NULL;
cleanup:
    mq_buf_free(&words);
    mq_augment_free(&a);
    return status;
}

void mq_augment_free(mq_augment **augment) {
    if (!*augment) return;
    free((*augment)->text);
    free(*augment);
    *augment = NULL;
}

const char *mq_augment_text(const mq_augment *a) {
    return a->text;
}

bool mq_augment_cacheable(const mq_augment *a) {
    for (size_t i = 0; i < MQ_ROWS; i++)
        if (a->entries[i].on && i != MQ_HFLIP && i != MQ_FILL) return false;
    return true;
}

mq_mix_rule mq_augment_mix(const mq_augment *a) {
    const mq_entry_of *mixup = &a->entries[MQ_MIXUP], *cutmix = &a->entries[MQ_CUTMIX];
    return (mq_mix_rule){.mixup = mixup->on ? mixup->argument : 0,
                         .cutmix = cutmix->on ? cutmix->argument : 0,
                         .probability = mixup->on    ? mixup->probability
                                        : cutmix->on ? cutmix->probability
                                                     : 0};
}
