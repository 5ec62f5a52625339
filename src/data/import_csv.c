/* import_csv.c: a list of pictures, one a row, in a file of comma- or tab-separated
 * values (base/csv.h). Called by import.c through its row. Owns the list while it
 * reads, a row at a time beside its text. Invariant: no picture outside the list's
 * folder is ever opened. */
#include "base/csv.h"
#include "base/mem.h"
#include "base/text.h"
#include "data/import_parts.h"

#include <math.h>
#include <string.h>

enum { SIDES = 4, NAMES_MAX = 6, SIDE_LIMIT = 1 << 30 };

/* Names a column may have, the first being the one that is told; NULL ends them. */
typedef struct {
    const char *names[NAMES_MAX];
} alias;
static const alias PATH = {{"path", "file", "filename", "image", "image_path"}};
static const alias LABEL = {{"label", "class", "class_name", "category"}};
static const alias SPLIT = {{"split", "set", "subset"}};
static const alias GROUP = {{"group"}};
/* x2 and y2 lie behind the box's last pixel. */
static const alias BOX[SIDES] = {{{"x1", "xmin", "bbox_x1"}},
                                 {{"y1", "ymin", "bbox_y1"}},
                                 {{"x2", "xmax", "bbox_x2"}},
                                 {{"y2", "ymax", "bbox_y2"}}};

/* Columns of the list; MQ_CSV_NONE: it has none of the kind. */
typedef struct {
    int path, label, split, group, box[SIDES];
} columns;

/* One row, its texts borrowed from the list and the reader. */
typedef struct {
    const char *path, *label, *group;
    size_t line;
    mq_split split; /* MQ_SPLITS: none */
    bool has_box;
    double box[SIDES];
} row;

typedef struct {
    mq_import_job *job;
    mq_csv *csv;
    columns columns;
    char *path;  /* of the row in work; owned */
    size_t rows; /* read so far */
    mq_wrong_rows missing, inverted;
} csv_list;

static bool probe(const mq_import_job *job) {
    return job->list && (mq_text_ends_alike(job->list, ".csv") || mq_text_ends_alike(job->list, ".tsv"));
}

static int find_column(const mq_csv *csv, const alias *words) {
    for (size_t i = 0; i < NAMES_MAX && words->names[i]; i++) {
        const int column = mq_csv_column(csv, words->names[i]);
        if (column != MQ_CSV_NONE) return column;
    }
    return MQ_CSV_NONE;
}

/* The error names the first of the aliases. */
static mq_status need_column(mq_err *err, const mq_csv *csv, const alias *words, int *column) {
    *column = find_column(csv, words);
    return *column == MQ_CSV_NONE ? mq_csv_need(err, csv, words->names[0], column) : MQ_OK;
}

static mq_status find_columns(mq_err *err, csv_list *l) {
    mq_status status = MQ_OK;
    size_t sides = 0;
    MQ_TRY(need_column(err, l->csv, &PATH, &l->columns.path));
    MQ_TRY(need_column(err, l->csv, &LABEL, &l->columns.label));
    l->columns.split = find_column(l->csv, &SPLIT);
    l->columns.group = find_column(l->csv, &GROUP);
    for (size_t i = 0; i < SIDES; i++) {
        l->columns.box[i] = find_column(l->csv, &BOX[i]);
        sides += l->columns.box[i] != MQ_CSV_NONE;
    }
    for (size_t i = 0; i < SIDES && sides; i++) /* some of a box is none */
        MQ_TRY(need_column(err, l->csv, &BOX[i], &l->columns.box[i]));
cleanup:
    return status;
}

static const char *field(const csv_list *l, int column) {
    return column == MQ_CSV_NONE ? "" : mq_csv_get(l->csv, column);
}

/* A side in pixels, which may come as 12.0. */
static bool side_of(const char *text, double *side) {
    char *end = NULL;
    *side = strtod(text, &end);
    return end != text && !*end && fabs(*side) < SIDE_LIMIT;
}

/* The box of the row in work; four empty fields are none. */
static mq_status read_box(mq_err *err, const csv_list *l, row *r) {
    mq_status status = MQ_OK;
    size_t empty = 0, good = 0;
    char safe[256];
    if (l->columns.box[0] == MQ_CSV_NONE) return MQ_OK;
    for (size_t i = 0; i < SIDES; i++) {
        const char *text = field(l, l->columns.box[i]);
        empty += !*text;
        good += side_of(text, &r->box[i]);
    }
    if (empty == SIDES) return MQ_OK;
    MQ_REQUIRE(good == SIDES, err, MQ_BAD_DATA, "%s:%zu: the box of %s is not four numbers",
               l->job->plan->source, r->line, mq_text_safe(r->path, safe, sizeof safe));
    r->has_box = true;
cleanup:
    return status;
}

static mq_status read_row(mq_err *err, csv_list *l, row *r) {
    mq_status status = MQ_OK;
    const char *source = l->job->plan->source;
    char safe[256];
    *r = (row){.label = field(l, l->columns.label),
               .group = field(l, l->columns.group),
               .line = mq_csv_line(l->csv),
               .split = MQ_SPLITS};
    free(l->path);
    l->path = NULL;
    MQ_TRY(mq_import_spelled(err, l->job, field(l, l->columns.path), &l->path, &r->path));
    MQ_REQUIRE(*r->path, err, MQ_BAD_DATA, "%s:%zu: names no picture", source, r->line);
    MQ_REQUIRE(*r->label, err, MQ_BAD_DATA, "%s:%zu: %s has no label", source, r->line,
               mq_text_safe(r->path, safe, sizeof safe));
    MQ_REQUIRE(mq_import_is_inside(r->path), err, MQ_BAD_DATA,
               "%s:%zu: %s lies outside the list's folder; write paths as below %s", source, r->line,
               mq_text_safe(r->path, safe, sizeof safe), l->job->root);
    const char *split = field(l, l->columns.split);
    if (*split) MQ_TRY(mq_import_split_of(err, source, r->line, split, &r->split));
    MQ_TRY(read_box(err, l, r));
cleanup:
    return status;
}

static mq_status take_row(mq_err *err, csv_list *l, const row *r) {
    mq_status status = MQ_OK;
    mq_import_job *job = l->job;
    mq_entry *entry = NULL;
    char *path = NULL;
    uint32_t class = 0;
    MQ_TRY(mq_import_class_of(err, job, r->label, &class));
    MQ_TRY(mq_path_join(err, job->root, r->path, &path));
    if (!mq_file_exists(path)) {
        MQ_TRY(mq_wrong_row(err, &l->missing, r->line, r->path));
        goto cleanup;
    }
    const mq_object o = {.file = r->path,
                         .alone = true, /* until all rows are read */
                         .class = class,
                         .split = r->split,
                         .row = r->line,
                         .has_box = r->has_box,
                         .box = {r->box[0], r->box[1], r->box[2], r->box[3]}};
    MQ_TRY(mq_import_add_object(err, job, &o, &l->inverted, &entry));
    if (r->split != MQ_SPLITS) job->manifest.sets_split[r->split] = true;
    if (*r->group) MQ_TRY(mq_strdup(err, r->group, &entry->group));
cleanup:
    free(path);
    return status;
}

static int compare_boxes(const void *a, const void *b) {
    const mq_box *x = &((const mq_entry *)a)->box, *y = &((const mq_entry *)b)->box;
    if (x->x1 != y->x1) return x->x1 < y->x1 ? -1 : 1;
    if (x->y1 != y->y1) return x->y1 < y->y1 ? -1 : 1;
    if (x->x2 != y->x2) return x->x2 < y->x2 ? -1 : 1;
    return x->y2 == y->y2 ? 0 : x->y2 < y->y2 ? -1 : 1;
}

/* Rows about one picture are its objects when each has a box of its own: they get numbers in the order of
 * their boxes, which does not depend on that of rows. */
static mq_status number_boxes(mq_err *err, mq_manifest *m, mq_entry *entries, size_t count) {
    mq_status status = MQ_OK;
    const char *file = NULL;
    bool differ = count > 1;
    for (size_t i = 0; i < count; i++) differ = differ && entries[i].has_box;
    if (differ) qsort(entries, count, sizeof *entries, compare_boxes);
    for (size_t i = 1; i < count; i++) differ = differ && compare_boxes(&entries[i - 1], &entries[i]) != 0;
    if (!differ) return MQ_OK;
    MQ_TRY(mq_manifest_file(err, m, entries->name, &file));
    for (size_t i = 0; i < count; i++) {
        free(entries[i].name);
        entries[i].name = NULL;
        entries[i].file = file;
        MQ_TRY(mq_format(err, &entries[i].name, "%s#%zu", file, i + 1));
    }
cleanup:
    return status;
}

static mq_status number_all(mq_err *err, mq_manifest *m) {
    mq_status status = MQ_OK;
    mq_manifest_sort(m);
    for (size_t begin = 0, end; begin < m->count; begin = end) {
        for (end = begin + 1; end < m->count && strcmp(m->entries[begin].name, m->entries[end].name) == 0;)
            end++;
        MQ_TRY(number_boxes(err, m, &m->entries[begin], end - begin));
    }
    mq_manifest_sort(m);
cleanup:
    return status;
}

static mq_status take_rows(mq_err *err, csv_list *l) {
    mq_status status = MQ_OK;
    bool more = true;
    row r;
    for (;; l->rows++) {
        MQ_TRY(mq_import_go_on(err, l->job));
        MQ_TRY(mq_csv_next(err, l->csv, &more));
        if (!more) break;
        MQ_TRY(read_row(err, l, &r));
        MQ_TRY(take_row(err, l, &r));
    }
cleanup:
    return status;
}

bool mq_import_is_csv(const mq_csv *csv) {
    return find_column(csv, &PATH) != MQ_CSV_NONE && find_column(csv, &LABEL) != MQ_CSV_NONE;
}

mq_status mq_import_take_csv(mq_err *err, mq_import_job *job, mq_csv *csv) {
    mq_status status = MQ_OK;
    const char *source = job->plan->source;
    const mq_wrong_rows none = {.unit = "line", .shown = mq_buf_init(MQ_WRONG_SHOWN)};
    csv_list l = {.job = job, .csv = csv, .missing = none, .inverted = none};
    MQ_TRY(find_columns(err, &l));
    MQ_TRY(take_rows(err, &l));
    MQ_TRY(mq_import_judge_rows(err, job, source, l.rows, &l.missing, &l.inverted));
    /* By the bytes of their labels, so that the order of rows does not matter. */
    MQ_TRY(mq_manifest_sort_classes(err, &job->manifest, job->first_classes));
    MQ_TRY(number_all(err, &job->manifest));
    /* Rows of boxes that are not taken are about their pictures; without boxes two are one too many. */
    if (job->plan->boxes == MQ_BOXES_IGNORE && l.columns.box[0] != MQ_CSV_NONE)
        MQ_TRY(mq_import_end_objects(err, job));
    else
        MQ_TRY(mq_import_check_twice(err, job, source));
    job->report->class_rule = "class = label of the row";
cleanup:
    free(l.path);
    mq_buf_free(&l.missing.shown);
    mq_buf_free(&l.inverted.shown);
    return status;
}

static mq_status read_csv(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    mq_csv *csv = NULL;
    MQ_TRY(mq_csv_open(err, job->list, &csv));
    MQ_TRY(mq_digest_file(err, MQ_SHA256, job->list, job->annotations));
    MQ_TRY(mq_import_take_csv(err, job, csv));
cleanup:
    mq_csv_free(&csv);
    return status;
}

const mq_import_source mq_import_csv = {"csv", "line", probe, read_csv, true};
