/* import_labels.c: from labels to classes. Called by import_tfrecord.c. Owns the
 * labels seen. Invariant: which classes there are, and in which order, does not
 * depend on the order of pictures. */
#include "data/import_labels.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NAMES_LIMIT = 64 << 20, KEY = 32 };

/* A label seen. */
typedef struct {
    bool has_id;
    int64_t id;
    char *text;      /* NULL: none; owned */
    uint32_t place;  /* where it was before they were sorted */
    bool text_twice; /* another number has the same text */
} seen_label;

typedef struct {
    int64_t id;
    const char *name; /* borrowed from the file's text */
    bool twice;       /* another line has the same name */
} named_line;

/* A file of names, its lines sorted by their numbers; owned. */
typedef struct {
    const char *path; /* NULL: there is none; borrowed */
    mq_buf text;
    named_line *lines;
    size_t count;
} name_file;

struct mq_labels {
    mq_manifest
        keys; /* finds a label's place: its classes are called "17", or "=text" where there is no number */
    seen_label *seen;
    size_t count, capacity;
};

mq_status mq_labels_new(mq_err *err, mq_labels **labels) {
    return mq_calloc(err, 1, sizeof **labels, "labels", labels);
}

void mq_labels_free(mq_labels **labels) {
    mq_labels *l = *labels;
    if (!l) return;
    for (size_t i = 0; i < l->count; i++) free(l->seen[i].text);
    free(l->seen);
    mq_manifest_free(&l->keys);
    free(l);
    *labels = NULL;
}

mq_status mq_labels_add(mq_err *err, mq_labels *l, const char *what, const mq_label *label, uint32_t *place) {
    mq_status status = MQ_OK;
    char number[KEY], *key = number, *owned = NULL, old[128], new[128];
    bool found = false;
    snprintf(number, sizeof number, "%" PRId64, label->id);
    if (!label->has_id) {
        MQ_TRY(mq_format(err, &owned, "=%s", label->text));
        key = owned;
    }
    MQ_TRY(mq_manifest_find_class(err, &l->keys, key, place, &found));
    if (found) {
        const char *text = l->seen[*place].text;
        const bool same = !text || !label->text ? text == label->text : strcmp(text, label->text) == 0;
        MQ_REQUIRE(same, err, MQ_BAD_DATA, "%s: calls label %s \"%s\", an earlier record \"%s\"", what,
                   number, label->text ? mq_text_safe(label->text, new, sizeof new) : "",
                   text ? mq_text_safe(text, old, sizeof old) : "");
        goto cleanup;
    }
    MQ_TRY(mq_grow(err, &l->seen, &l->capacity, l->count + 1, sizeof *l->seen));
    seen_label *s = &l->seen[l->count];
    *s = (seen_label){.has_id = label->has_id, .id = label->id, .place = (uint32_t)l->count};
    if (label->text) MQ_TRY(mq_strdup(err, label->text, &s->text));
    l->count++;
    MQ_TRY(mq_manifest_add_class(err, &l->keys, key, place));
cleanup:
    free(owned);
    return status;
}

/* By number, those without one behind them by their text. */
static int compare_seen(const void *a, const void *b) {
    const seen_label *x = a, *y = b;
    if (x->has_id != y->has_id) return x->has_id ? -1 : 1;
    if (x->has_id) return x->id < y->id ? -1 : x->id > y->id;
    return strcmp(x->text, y->text);
}

static int compare_texts(const void *a, const void *b) {
    const seen_label *x = *(seen_label *const *)a, *y = *(seen_label *const *)b;
    if (!x->text || !y->text) return (x->text != NULL) - (y->text != NULL);
    return strcmp(x->text, y->text);
}

/* Two kinds may have one name: ImageNet's cranes. */
static mq_status find_twice(mq_err *err, mq_labels *l) {
    mq_status status = MQ_OK;
    seen_label **order = NULL;
    MQ_TRY(mq_calloc(err, l->count, sizeof *order, "labels", &order));
    for (size_t i = 0; i < l->count; i++) order[i] = &l->seen[i];
    qsort(order, l->count, sizeof *order, compare_texts);
    for (size_t i = 1; i < l->count; i++)
        if (order[i]->text && compare_texts(&order[i - 1], &order[i]) == 0)
            order[i - 1]->text_twice = order[i]->text_twice = true;
cleanup:
    free(order);
    return status;
}

static int compare_lines(const void *a, const void *b) {
    const int64_t x = ((const named_line *)a)->id, y = ((const named_line *)b)->id;
    return x < y ? -1 : x > y;
}

static int compare_line_names(const void *a, const void *b) {
    return strcmp(((const named_line *)a)->name, ((const named_line *)b)->name);
}

/* Marks names that stand twice, and leaves the lines sorted by their numbers, of which each stands once. */
static mq_status sort_lines(mq_err *err, const name_file *f) {
    mq_status status = MQ_OK;
    named_line *const lines = f->lines;
    qsort(lines, f->count, sizeof *lines, compare_line_names);
    for (size_t i = 1; i < f->count; i++)
        if (strcmp(lines[i - 1].name, lines[i].name) == 0) lines[i - 1].twice = lines[i].twice = true;
    qsort(lines, f->count, sizeof *lines, compare_lines);
    for (size_t i = 1; i < f->count; i++)
        MQ_REQUIRE(lines[i - 1].id != lines[i].id, err, MQ_BAD_DATA,
                   "%s: two lines are of the number %" PRId64, f->path, lines[i].id);
cleanup:
    return status;
}

/* The number that the first line stands for. */
static int64_t first_number(const mq_labels *l, const char *path, size_t lines, bool from_one) {
    const int64_t lowest = l->seen[0].id, highest = l->seen[l->count - 1].id;
    if (lowest == 0) return 0;
    if (highest == (int64_t)lines) return 1;
    mq_warn("%s: the labels are %" PRId64 " to %" PRId64
            " and there are %zu lines, so the first may be that of "
            "0 or 1; it is taken for %d (lines may begin with their number: \"17:name\")",
            path, lowest, highest, lines, from_one);
    return from_one;
}

static mq_status read_lines(mq_err *err, const mq_labels *l, name_file *f, bool from_one) {
    mq_status status = MQ_OK;
    size_t capacity = 0, numbered = 0;
    MQ_TRY(mq_file_read(err, f->path, &f->text));
    MQ_REQUIRE(f->text.size && !memchr(f->text.data, 0, f->text.size), err, MQ_BAD_DATA, "%s: %s", f->path,
               f->text.size ? "holds NUL bytes" : "is empty");
    for (char *p = (char *)f->text.data + mq_text_mark(f->text.data, f->text.size); *p;) {
        char *line = p, *end = NULL;
        p += strcspn(p, "\n");
        if (*p) *p++ = 0;
        line[strcspn(line, "\r")] = 0;
        if (!*line) continue;
        MQ_TRY(mq_grow(err, &f->lines, &capacity, f->count + 1, sizeof *f->lines));
        named_line *n = &f->lines[f->count++];
        *n = (named_line){.id = strtoll(line, &end, 10), .name = line};
        if (end == line || *end != ':' || !end[1]) continue;
        n->name = end + 1;
        numbered++;
    }
    MQ_REQUIRE(f->count && (numbered == 0 || numbered == f->count), err, MQ_BAD_DATA,
               "%s: %zu of its %zu lines begin with a number and a colon; all or none must", f->path,
               numbered, f->count);
    const int64_t first = numbered ? 0 : first_number(l, f->path, f->count, from_one);
    for (size_t i = 0; i < f->count && !numbered; i++) f->lines[i].id = first + (int64_t)i;
    MQ_TRY(sort_lines(err, f));
cleanup:
    return status;
}

/* What a label's class is called; *name is the caller's. */
static mq_status name_label(mq_err *err, const seen_label *s, const name_file *f, char **name) {
    const named_line wanted = {.id = s->id};
    if (s->text && s->text_twice && s->has_id)
        return mq_format(err, name, "%s (%" PRId64 ")", s->text, s->id);
    if (s->text) return mq_strdup(err, s->text, name);
    if (!f->path) return mq_format(err, name, "%" PRId64, s->id);
    const named_line *line = bsearch(&wanted, f->lines, f->count, sizeof *f->lines, compare_lines);
    if (line && line->twice) return mq_format(err, name, "%s (%" PRId64 ")", line->name, s->id);
    if (line) return mq_strdup(err, line->name, name);
    return mq_fail(err, MQ_BAD_DATA, "%s: has no line for label %" PRId64, f->path, s->id);
}

mq_status mq_labels_end(mq_err *err, mq_labels *l, mq_import_job *job, const char *names, bool from_one) {
    mq_status status = MQ_OK;
    uint32_t *class_of = NULL;
    name_file f = {.text = mq_buf_init(NAMES_LIMIT)};
    char *name = NULL;
    if (!l->count) return MQ_OK;
    MQ_TRY(find_twice(err, l));
    qsort(l->seen, l->count, sizeof *l->seen, compare_seen);
    if (!l->seen[0].text && l->seen[0].has_id) f.path = names; /* what records say themselves counts */
    if (f.path) MQ_TRY(read_lines(err, l, &f, from_one));
    MQ_TRY(mq_calloc(err, l->count, sizeof *class_of, "labels", &class_of));
    for (size_t i = 0; i < l->count; i++) {
        free(name);
        name = NULL;
        MQ_TRY(name_label(err, &l->seen[i], &f, &name));
        MQ_TRY(mq_import_class_of(err, job, name, &class_of[l->seen[i].place]));
    }
    for (size_t i = 0; i < job->manifest.count; i++) {
        mq_entry *entry = &job->manifest.entries[i];
        if (!entry->reason) entry->class = class_of[entry->class];
    }
cleanup:
    free(name);
    free(class_of);
    free(f.lines);
    mq_buf_free(&f.text);
    return status;
}
