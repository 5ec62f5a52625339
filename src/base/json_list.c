/* json_list.c: finds the ends of JSON values without reading what lies in them;
 * json.c reads the elements that are asked for. Called by the importer. Owns
 * nothing. Invariant: no byte behind the text is looked at, and no nesting takes
 * stack. */
#include "base/json_list.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

/* Text (RFC 8259) being walked over. */
typedef struct {
    const char *at, *end;
} walk;

static void skip_blanks(walk *w) {
    while (w->at < w->end && (*w->at == ' ' || *w->at == '\n' || *w->at == '\r' || *w->at == '\t')) w->at++;
}

/* The next character that is no blank; 0 at the end. */
static char next(walk *w) {
    skip_blanks(w);
    return w->at < w->end ? *w->at : 0;
}

static bool take(walk *w, char c) {
    if (next(w) != c) return false;
    w->at++;
    return true;
}

/* From a quote to behind its partner. */
static bool skip_string(walk *w) {
    for (w->at++; w->at < w->end; w->at++) {
        if (*w->at == '"') {
            w->at++;
            return true;
        }
        if (*w->at == '\\') w->at++;
    }
    return false;
}

/* From a bracket to behind its partner. */
static bool skip_nested(walk *w) {
    size_t depth = 0;
    while (w->at < w->end) {
        const char c = *w->at;
        if (c == '"') {
            if (!skip_string(w)) return false;
            continue;
        }
        w->at++;
        if (c == '[' || c == '{') depth++;
        if ((c == ']' || c == '}') && --depth == 0) return true;
    }
    return false;
}

static bool skip_value(walk *w) {
    const char c = next(w);
    if (c == '"') return skip_string(w);
    if (c == '[' || c == '{') return skip_nested(w);
    const char *begin = w->at;
    while (w->at < w->end && !strchr(",]} \n\r\t", *w->at)) w->at++;
    return w->at > begin;
}

/* Goes to the value of key in an object; false with *sound when the object has none. */
static bool find_member(walk *w, const char *key, bool *sound) {
    const size_t length = strlen(key);
    *sound = false;
    w->at += mq_text_mark(w->at, (size_t)(w->end - w->at));
    if (!take(w, '{')) return false;
    for (bool first = true; !take(w, '}'); first = false) {
        if (!first && !take(w, ',')) return false;
        if (next(w) != '"') return false;
        const char *name = w->at + 1;
        if (!skip_string(w)) return false;
        const bool same = (size_t)(w->at - 1 - name) == length && memcmp(name, key, length) == 0;
        if (!take(w, ':')) return false;
        if (same) return *sound = true;
        if (!skip_value(w)) return false;
    }
    *sound = true;
    return false;
}

mq_status mq_json_list_each(mq_err *err, mq_json_list *list, mq_json_element visit, void *user) {
    mq_status status = MQ_OK;
    const char *what = list->what, *key = list->key;
    walk w = {list->text, list->text + list->size};
    mq_json *element = NULL;
    char place[400];
    bool sound = false;
    const bool found = find_member(&w, key, &sound);
    MQ_REQUIRE(found || sound, err, MQ_BAD_DATA, "%s: not a JSON object, or cut off", what);
    MQ_REQUIRE(found && take(&w, '['), err, MQ_BAD_DATA, "%s: holds no list called %s", what, key);
    for (size_t i = 0; !take(&w, ']'); i++) {
        MQ_REQUIRE(i == 0 || take(&w, ','), err, MQ_BAD_DATA,
                   "%s: %s is damaged or cut off behind element %zu", what, key, i);
        skip_blanks(&w);
        const char *begin = w.at;
        MQ_REQUIRE(skip_value(&w), err, MQ_BAD_DATA, "%s: %s is damaged or cut off in element %zu", what, key,
                   i + 1);
        snprintf(place, sizeof place, "%s: %s, element %zu", what, key, i + 1);
        MQ_TRY(mq_json_parse(err, place, begin, (size_t)(w.at - begin), &element));
        MQ_REQUIRE(mq_json_is_object(element), err, MQ_BAD_DATA, "%s: not an object", place);
        list->done = (size_t)(w.at - list->text);
        MQ_TRY(visit(err, user, i, element));
        mq_json_free(&element);
    }
cleanup:
    mq_json_free(&element);
    return status;
}
