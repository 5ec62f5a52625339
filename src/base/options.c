/* options.c: the reading of option tables. Called by the command line for flags
 * and config files. Invariant: options holds only values that its table allows. */
#include "base/options.h"
#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_MAX = 128, HELP_COLUMN = 28 };

static const mq_option *find(const mq_option *params, const char *name, size_t length) {
    for (const mq_option *p = params; p->name; p++) {
        if (strlen(p->name) == length && memcmp(p->name, name, length) == 0) return p;
        if (p->alias && strlen(p->alias) == length && memcmp(p->alias, name, length) == 0) return p;
    }
    return NULL;
}

static const mq_option *find_letter(const mq_option *params, char letter) {
    for (const mq_option *p = params; p->name; p++)
        if (p->letter == letter) return p;
    return NULL;
}

static mq_status unknown(mq_err *err, const mq_option *params, const char *where, const char *name) {
    const char *names[NAMES_MAX];
    size_t count = 0;
    for (const mq_option *p = params; p->name && count < NAMES_MAX - 1; p++) names[count++] = p->name;
    names[count] = NULL;
    char safe[64];
    mq_text_safe(name, safe, sizeof safe);
    const char *nearest = mq_text_nearest(name, names);
    if (nearest)
        return mq_fail(err, MQ_USAGE, "%s%s is not an option here; did you mean %s%s?", where, safe, where,
                       nearest);
    return mq_fail(err, MQ_USAGE, "%s%s is not an option here; --help lists them", where, safe);
}

static mq_status wrong(mq_err *err, const mq_option *p, const char *where, const char *text,
                       const char *wanted) {
    char safe[64];
    return mq_fail(err, MQ_USAGE, "%s%s takes %s, not \"%s\"", where, p->name, wanted,
                   mq_text_safe(text, safe, sizeof safe));
}

static mq_status outside(mq_err *err, const mq_option *p, const char *where, const char *text) {
    char wanted[96];
    snprintf(wanted, sizeof wanted, "a number from %.9g to %.9g", p->min, p->max);
    return wrong(err, p, where, text, wanted);
}

static bool in_range(const mq_option *p, double value) {
    return (p->min == 0 && p->max == 0) || (value >= p->min && value <= p->max);
}

/* The index of text among the words "a|b|c", or -1. */
static int word_index(const char *words, const char *text) {
    const size_t length = strlen(text);
    for (int i = 0;; i++) {
        const size_t n = strcspn(words, "|");
        if (n == length && memcmp(words, text, n) == 0) return i;
        if (!words[n]) return -1;
        words += n + 1;
    }
}

static mq_status set(mq_err *err, const mq_option *p, void *options, const char *where, const char *text) {
    char *member = (char *)options + p->offset, *end = NULL;
    errno = 0;
    switch (p->kind) {
    case MQ_OPTION_FLAG: {
        const int value = word_index("false|true", text);
        if (value < 0) return wrong(err, p, where, text, "true or false");
        *(bool *)(void *)member = value;
        return MQ_OK;
    }
    case MQ_OPTION_INT: {
        const long long value = strtoll(text, &end, 10);
        if (end == text || *end || errno) return wrong(err, p, where, text, "a whole number");
        if (!in_range(p, (double)value)) return outside(err, p, where, text);
        *(int64_t *)(void *)member = value;
        return MQ_OK;
    }
    case MQ_OPTION_REAL: {
        const double value = strtod(text, &end);
        if (end == text || *end || !isfinite(value)) return wrong(err, p, where, text, "a number");
        if (!in_range(p, value)) return outside(err, p, where, text);
        *(double *)(void *)member = mq_text_nine_digits(value);
        return MQ_OK;
    }
    case MQ_OPTION_TEXT: /* an empty one is a shell's variable that was never set */
        if (!*text) return mq_fail(err, MQ_USAGE, "%s%s must not be empty", where, p->name);
        *(const char **)(void *)member = text;
        return MQ_OK;
    case MQ_OPTION_CHOICE: {
        const int value = word_index(p->value, text);
        if (value < 0) return wrong(err, p, where, text, p->value);
        *(int *)(void *)member = value;
        return MQ_OK;
    }
    }
    return mq_fail(err, MQ_INTERNAL, "option %s has no kind", p->name);
}

mq_status mq_options_defaults(mq_err *err, const mq_option *params, void *options) {
    mq_status status = MQ_OK;
    for (const mq_option *p = params; p->name && status == MQ_OK; p++)
        if (p->standard) status = set(err, p, options, "the default of ", p->standard);
    return status;
}

mq_status mq_options_set(mq_err *err, const mq_option *params, void *options, const char *where,
                         const char *name, const char *text) {
    const mq_option *p = find(params, name, strlen(name));
    return p ? set(err, p, options, where, text) : unknown(err, params, where, name);
}

/* Takes one option at argv[*i], with its value from behind '=' or from the next word, which moves *i. */
static mq_status take_option(mq_err *err, const mq_option *params, void *options, const mq_words *words,
                             size_t *i) {
    const char *word = words->argv[*i], *text = NULL;
    const mq_option *p;
    const char *where = "--";
    if (word[1] == '-') {
        const size_t length = strcspn(word + 2, "=");
        p = find(params, word + 2, length);
        if (!p) {
            char name[64];
            snprintf(name, sizeof name, "%.*s", (int)(length < 63 ? length : 63), word + 2);
            return unknown(err, params, "--", name);
        }
        if (word[2 + length]) text = word + 2 + length + 1;
    } else {
        p = find_letter(params, word[1]);
        if (!p) return mq_fail(err, MQ_USAGE, "-%c is not an option here; --help lists them", word[1] & 0x7f);
        if (word[2]) text = word + 2;
    }
    if (p->kind == MQ_OPTION_FLAG) return set(err, p, options, where, text ? text : "true");
    if (!text && *i + 1 < words->count) text = words->argv[++*i];
    if (!text) return mq_fail(err, MQ_USAGE, "--%s needs a value: --%s %s", p->name, p->name, p->value);
    return set(err, p, options, where, text);
}

mq_status mq_options_parse(mq_err *err, const mq_option *params, void *options, mq_words *words) {
    words->arg_count = 0;
    bool only_args = false;
    for (size_t i = 0; i < words->count; i++) {
        const char *word = words->argv[i];
        if (only_args || word[0] != '-' || !word[1]) {
            words->args[words->arg_count++] = word;
        } else if (strcmp(word, "--") == 0) {
            only_args = true;
        } else {
            const mq_status status = take_option(err, params, options, words, &i);
            if (status != MQ_OK) return status;
        }
    }
    return MQ_OK;
}

/* A member of any kind; the first is as large as any, so that {0} clears all of it. */
typedef union {
    int64_t whole;
    bool flag;
    double real;
    const char *text;
    int choice;
} any_value;

/* The member that stands at a place of its own alignment only. */
static any_value value_at(const mq_option *p, const void *member) {
    static const size_t sizes[] = {[MQ_OPTION_FLAG] = sizeof(bool),
                                   [MQ_OPTION_INT] = sizeof(int64_t),
                                   [MQ_OPTION_REAL] = sizeof(double),
                                   [MQ_OPTION_TEXT] = sizeof(char *),
                                   [MQ_OPTION_CHOICE] = sizeof(int)};
    any_value value = {0};
    memcpy(&value, member, sizes[p->kind]);
    return value;
}

static bool is_standard(const mq_option *p, const void *member, const any_value *standard) {
    const any_value value = value_at(p, member);
    if (p->kind == MQ_OPTION_TEXT && value.text && standard->text)
        return strcmp(value.text, standard->text) == 0;
    return memcmp(&value, standard, sizeof value) == 0;
}

mq_status mq_options_only(mq_err *err, const mq_option *params, const void *options, const char *words,
                          const char *use) {
    mq_status status = MQ_OK;
    for (const mq_option *p = params; p->name; p++) {
        any_value standard = {0};
        mq_option alone[2] = {*p};
        alone[0].offset = 0;
        MQ_TRY(mq_options_defaults(err, alone, &standard));
        MQ_REQUIRE(word_index(words, p->name) >= 0 ||
                       is_standard(p, (const char *)options + p->offset, &standard),
                   err, MQ_USAGE, "--%s means nothing for %s", p->name, use);
    }
cleanup:
    return status;
}

mq_status mq_options_help(mq_err *err, const mq_option *params, mq_buf *out) {
    mq_status status = MQ_OK;
    for (const mq_option *p = params; p->name; p++) {
        char left[128];
        int n = snprintf(left, sizeof left, "  ");
        if (p->letter) n += snprintf(left + n, sizeof left - (size_t)n, "-%c, ", p->letter);
        n += snprintf(left + n, sizeof left - (size_t)n, "--%s", p->name);
        if (p->kind != MQ_OPTION_FLAG) n += snprintf(left + n, sizeof left - (size_t)n, " %s", p->value);
        MQ_TRY(mq_buf_printf(err, out, "%-*s", HELP_COLUMN, left));
        if (n >= HELP_COLUMN) MQ_TRY(mq_buf_printf(err, out, "\n%*s", HELP_COLUMN, ""));
        MQ_TRY(mq_buf_printf(err, out, "%s", p->help));
        if (p->standard && p->kind != MQ_OPTION_FLAG) MQ_TRY(mq_buf_printf(err, out, " [%s]", p->standard));
        if (p->alias) MQ_TRY(mq_buf_printf(err, out, "; or --%s", p->alias));
        MQ_TRY(mq_buf_add_text(err, out, "\n"));
    }
cleanup:
    return status;
}
