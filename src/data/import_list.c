/* import_list.c: a list of pictures that came as text: paths, a line or a NUL
 * behind each, classes being folders; or a table as in a list file. Called by
 * import.c through its row. Owns the paths while it reads them. Invariant: what
 * classes there are does not depend on the order of lines. */
#include "base/mem.h"
#include "base/text.h"
#include "data/import_parts.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER_MAX = 1 << 16, LIST_MAX = 1 << 30 };

/* A picture named. */
typedef struct {
    char *path; /* absolute, without . and .. and doubled slashes; owned */
    size_t line;
} listed;

typedef struct {
    mq_import_job *job;
    listed *items; /* sorted by path, each once */
    size_t count, capacity, lines;
} path_list;

static bool probe(const mq_import_job *job) {
    return job->plan->list != NULL;
}

static mq_status add_path(mq_err *err, path_list *l, const char *text, size_t length) {
    mq_status status = MQ_OK;
    char *given = NULL, *tidy = NULL;
    const char *name = NULL;
    MQ_TRY(mq_format(err, &given, "%.*s", (int)length, text));
    MQ_TRY(mq_grow(err, &l->items, &l->capacity, l->count + 1, sizeof *l->items));
    listed *item = &l->items[l->count];
    *item = (listed){.line = l->lines};
    l->count++;
    MQ_TRY(mq_import_spelled(err, l->job, given, &tidy, &name));
    /* Without --root the root is yet to be found, and paths stay as they are told. */
    if (given[0] == '/' && (!l->job->plan->root || name == tidy))
        MQ_TRY(mq_strdup(err, given, &item->path));
    else
        MQ_TRY(mq_path_join(err, l->job->root, name, &item->path));
    mq_path_tidy(item->path);
cleanup:
    free(tidy);
    free(given);
    return status;
}

static int compare_items(const void *a, const void *b) {
    return strcmp(((const listed *)a)->path, ((const listed *)b)->path);
}

/* Cuts the text into paths, at NULs where there are any, else at ends of lines. */
static mq_status read_paths(mq_err *err, path_list *l) {
    mq_status status = MQ_OK;
    const char *at = l->job->plan->list, *end = at + l->job->plan->list_size;
    const char stop = memchr(at, 0, (size_t)(end - at)) ? 0 : '\n';
    size_t kept = 0;
    at += mq_text_mark(at, (size_t)(end - at));
    while (at < end) {
        const char *next = memchr(at, stop, (size_t)(end - at));
        size_t length = (size_t)((next ? next : end) - at);
        if (stop && length && at[length - 1] == '\r') length--;
        l->lines++;
        if (length) MQ_TRY(add_path(err, l, at, length));
        at = next ? next + 1 : end;
    }
    if (l->count) qsort(l->items, l->count, sizeof *l->items, compare_items);
    for (size_t i = 0; i < l->count; i++) {
        if (kept && strcmp(l->items[kept - 1].path, l->items[i].path) == 0)
            free(l->items[i].path);
        else
            l->items[kept++] = l->items[i];
    }
    l->count = kept;
cleanup:
    return status;
}

/* Folders and what is not there go; the list keeps what is. */
static mq_status drop_others(mq_err *err, path_list *l) {
    mq_status status = MQ_OK;
    size_t kept = 0;
    mq_wrong_rows missing = {.unit = "line", .shown = mq_buf_init(MQ_WRONG_SHOWN)}, none = {0};
    for (size_t i = 0; i < l->count; i++) {
        MQ_TRY(mq_import_go_on(err, l->job));
        listed *item = &l->items[i];
        const bool file = mq_file_exists(item->path);
        if (!file && !mq_folder_exists(item->path))
            MQ_TRY(mq_wrong_row(err, &missing, item->line, item->path));
        if (!file) continue;
        const listed other = l->items[kept];
        l->items[kept++] = *item;
        *item = other;
    }
    for (size_t i = kept; i < l->count; i++) free(l->items[i].path);
    l->count = kept;
    MQ_TRY(mq_import_judge_rows(err, l->job, l->job->plan->source, l->lines, &missing, &none));
cleanup:
    mq_buf_free(&missing.shown);
    return status;
}

/* The folder that all of the list have in common becomes the root, unless the plan says which it is. The
 * first and the last of sorted paths have the least in common. */
static mq_status find_common(mq_err *err, path_list *l) {
    mq_status status = MQ_OK;
    char safe[256];
    if (!l->count) return MQ_OK;
    const char *first = l->items[0].path, *last = l->items[l->count - 1].path;
    size_t common = 0;
    for (size_t i = 0; first[i] && first[i] == last[i]; i++)
        if (first[i] == '/') common = i;
    if (!l->job->plan->root) {
        free(l->job->root);
        l->job->root = NULL;
        MQ_TRY(mq_format(err, &l->job->root, "%.*s", common ? (int)common : 1, first));
    }
    const char *root = l->job->root;
    const size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);
    for (size_t i = 0; i < l->count; i++)
        MQ_REQUIRE(strncmp(l->items[i].path, root, length) == 0 && l->items[i].path[length] == '/', err,
                   MQ_BAD_DATA, "%s:%zu: %s lies outside --root, %s", l->job->plan->source, l->items[i].line,
                   mq_text_safe(l->items[i].path, safe, sizeof safe), root);
cleanup:
    return status;
}

/* The path below the root. */
static const char *below(const path_list *l, const listed *item) {
    const char *root = l->job->root;
    return item->path + (strcmp(root, "/") == 0 ? 0 : strlen(root)) + 1;
}

/* The top folders are splits where all of them are called so, as with a folder of pictures. */
static bool has_split_folders(const path_list *l) {
    bool there[MQ_SPLITS] = {false};
    for (size_t i = 0; i < l->count; i++) {
        const char *name = below(l, &l->items[i]);
        mq_split split = MQ_SPLITS;
        const size_t top = strcspn(name, "/"); /* a file may be called "train", too */
        if (!name[top]) continue;
        if (!mq_import_split_folder(name, top, &split)) return false;
        there[split] = true;
    }
    return there[MQ_TRAIN] && (there[MQ_VAL] || there[MQ_TEST]);
}

/* The class of a picture, the caller's: its top folder, below that of its split, or the folder it lies in;
 * NULL: it lies in none. */
static mq_status name_class(mq_err *err, const path_list *l, const char *name, char **class) {
    const char *last = strrchr(name, '/'), *begin = name;
    if (!last) return MQ_OK;
    if (l->job->plan->leaf)
        for (const char *p = name; p < last; p++) begin = *p == '/' ? p + 1 : begin;
    return mq_format(err, class, "%.*s", (int)strcspn(begin, "/"), begin);
}

static mq_status take_items(mq_err *err, path_list *l) {
    mq_status status = MQ_OK;
    const bool splits = has_split_folders(l);
    mq_manifest *m = &l->job->manifest;
    char *class_name = NULL;
    for (size_t i = 0; i < l->count; i++) {
        const char *name = below(l, &l->items[i]);
        mq_entry *entry = NULL;
        uint32_t class = 0;
        free(class_name);
        class_name = NULL;
        const char *slash = splits ? strchr(name, '/') : NULL;
        MQ_TRY(name_class(err, l, slash ? slash + 1 : name, &class_name));
        if (class_name) MQ_TRY(mq_import_class_of(err, l->job, class_name, &class));
        MQ_TRY(mq_manifest_add(err, m, name, class, &entry));
        entry->row = l->items[i].line;
        if (splits && mq_import_split_folder(name, strcspn(name, "/"), &entry->split))
            m->sets_split[entry->split] = true;
        if (!class_name) MQ_TRY(mq_manifest_leave_out(err, entry, "lies in no class folder"));
        /* Who lists a file has chosen it, wherever a link leads; only none at all is to be obeyed. */
        if (l->job->plan->follow == MQ_FOLLOW_NONE) MQ_TRY(mq_import_judge_link(err, l->job, entry));
    }
    l->job->report->class_rule = l->job->plan->leaf ? MQ_RULE_LEAF
                                 : splits           ? "class = folder below train, val and test"
                                                    : "class = top folder";
    if (l->job->plan->leaf) MQ_TRY(mq_import_check_leaves(err, l->job));
    MQ_TRY(mq_manifest_sort_classes(err, m, l->job->first_classes));
    mq_manifest_sort(m);
cleanup:
    free(class_name);
    return status;
}

static mq_status read_plain(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    path_list l = {.job = job};
    MQ_TRY(read_paths(err, &l));
    MQ_TRY(drop_others(err, &l));
    MQ_TRY(find_common(err, &l));
    MQ_TRY(take_items(err, &l));
cleanup:
    for (size_t i = 0; i < l.count; i++) free(l.items[i].path);
    free(l.items);
    return status;
}

/* Whether the first line names the columns of a table; *comma stands between them. */
static mq_status has_header(mq_err *err, const mq_import_plan *plan, char *comma, bool *header) {
    mq_status status = MQ_OK;
    mq_buf line = mq_buf_init(HEADER_MAX);
    mq_csv *csv = NULL;
    mq_err ignored = {0};
    const char *end = memchr(plan->list, '\n', plan->list_size);
    const size_t length = end ? (size_t)(end - plan->list) : plan->list_size;
    *header = false;
    if (!length || length > HEADER_MAX) return MQ_OK;
    *comma = memchr(plan->list, '\t', length) ? '\t' : ',';
    MQ_TRY(mq_buf_add(err, &line, plan->list, length));
    *header = mq_csv_parse(&ignored, plan->source, &line, *comma, &csv) == MQ_OK && mq_import_is_csv(csv);
cleanup:
    mq_csv_free(&csv);
    mq_buf_free(&line);
    return status;
}

static mq_status read_list(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    const mq_import_plan *plan = job->plan;
    mq_buf text = mq_buf_init(LIST_MAX);
    mq_csv *csv = NULL;
    char comma = ',';
    bool header = false;
    MQ_TRY(has_header(err, plan, &comma, &header));
    if (header) {
        MQ_TRY(mq_buf_add(err, &text, plan->list, plan->list_size));
        MQ_TRY(mq_sha256_hex(err, text.data, text.size, job->annotations));
        MQ_TRY(mq_csv_parse(err, plan->source, &text, comma, &csv));
        MQ_TRY(mq_import_take_csv(err, job, csv));
    } else {
        MQ_TRY(read_plain(err, job));
    }
cleanup:
    mq_csv_free(&csv);
    mq_buf_free(&text);
    return status;
}

const mq_import_source mq_import_list = {"list", "line", probe, read_list, false};
