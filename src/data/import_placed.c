/* import_placed.c: pictures placed by rows of a CSV, a split file's or a data set's own of before. Called by
 * import.c. Owns the rows while it works. Invariant: a row that places no picture is told. */
#include "base/csv.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "data/import_parts.h"

#include <stdlib.h>
#include <string.h>

/* A row of a CSV that places a picture. */
typedef struct {
    const char *key, *content; /* content: of "sha256", NULL where there is none; borrowed from the CSV */
    char *tidy;                /* what the key is borrowed from where a user wrote it; else NULL; owned */
    size_t line;
    size_t renamed, lost; /* of its content: pictures whose names are new; names of which there is none now */
    mq_split split;
    uint32_t fold; /* 0: none */
    bool used;     /* there is a picture of its name */
} placed_row;

static int compare_keys(const void *a, const void *b) {
    return strcmp(((const placed_row *)a)->key, ((const placed_row *)b)->key);
}

static int compare_rows(const void *a, const void *b) {
    const int by_key = compare_keys(a, b);
    return by_key ? by_key : (int)((const placed_row *)a)->split - (int)((const placed_row *)b)->split;
}

/* Rows by one of their columns. */
typedef struct {
    const char *column;
    placed_row *rows; /* sorted by key, then by split; owned */
    size_t count, capacity;
} placed_rows;

static void sort_rows(placed_rows *list) {
    if (list->count) qsort(list->rows, list->count, sizeof *list->rows, compare_rows);
}

/* Reads all rows of a CSV, whose text *csv keeps: "split", where there is one "fold", and of each of the
 * lists its column. */
static mq_status read_placed(mq_err *err, const char *path, placed_rows *lists, size_t list_count,
                             mq_csv **csv) {
    mq_status status = MQ_OK;
    int split = 0;
    bool more = false;
    MQ_TRY(mq_csv_open(err, path, csv));
    for (size_t i = 0; i < list_count; i++) {
        int key = 0;
        MQ_TRY(mq_csv_need(err, *csv, lists[i].column, &key));
    }
    MQ_TRY(mq_csv_need(err, *csv, "split", &split));
    const int fold = mq_csv_column(*csv, "fold"), content = mq_csv_column(*csv, "sha256");
    for (;;) {
        MQ_TRY(mq_csv_next(err, *csv, &more));
        if (!more) break;
        placed_row row = {.line = mq_csv_line(*csv)};
        MQ_TRY(mq_import_split_of(err, path, mq_csv_line(*csv), mq_csv_get(*csv, split), &row.split));
        if (content != MQ_CSV_NONE) row.content = mq_csv_get(*csv, content);
        if (fold != MQ_CSV_NONE) row.fold = (uint32_t)strtoul(mq_csv_get(*csv, fold), NULL, 10);
        for (size_t i = 0; i < list_count; i++) {
            placed_rows *list = &lists[i];
            MQ_TRY(mq_grow(err, &list->rows, &list->capacity, list->count + 1, sizeof *list->rows));
            row.key = mq_csv_get(*csv, mq_csv_column(*csv, list->column));
            list->rows[list->count++] = row;
        }
    }
    for (size_t i = 0; i < list_count; i++) sort_rows(&lists[i]);
cleanup:
    return status;
}

/* A row of a key and, with compare_rows, a split; borrowed from the list; NULL when there is none. */
static placed_row *find_row(const placed_rows *list, const char *key, mq_split split,
                            int (*compare)(const void *, const void *)) {
    const placed_row wanted = {.key = key, .split = split};
    return list->count ? bsearch(&wanted, list->rows, list->count, sizeof *list->rows, compare) : NULL;
}

static placed_row *find_key(const placed_rows *list, const char *key) {
    return find_row(list, key, MQ_SPLITS, compare_keys);
}

/* The row that an entry is known by. Content goes before name: a picture that was renamed must not move from
 * test to train. Of several rows with its content one of the part the source names (validation may have been
 * drawn of what it trains on), else that of its name, else any. */
static const placed_row *find_known(const placed_rows *contents, const placed_rows *names,
                                    const mq_entry *entry) {
    char hex[MQ_HEX_SIZE];
    mq_hex(entry->digest, MQ_SHA256_SIZE, hex);
    const placed_row *by_name = find_key(names, entry->name), *row;
    if ((row = find_row(contents, hex, entry->split, compare_rows))) return row;
    if (entry->split == MQ_TRAIN && (row = find_row(contents, hex, MQ_VAL, compare_rows))) return row;
    if (by_name && strcmp(by_name->content, hex) == 0) return by_name;
    return (row = find_key(contents, hex)) ? row : by_name;
}

/* Paths as a user writes them become names of pictures; of two rows about one none can be believed. */
static mq_status tidy_rows(mq_err *err, const mq_import_job *job, placed_rows *list) {
    mq_status status = MQ_OK;
    char safe[256];
    for (size_t i = 0; i < list->count; i++) {
        placed_row *row = &list->rows[i];
        MQ_TRY(mq_import_spelled(err, job, row->key, &row->tidy, &row->key));
    }
    sort_rows(list);
    for (size_t i = 1; i < list->count; i++) {
        const placed_row *a = &list->rows[i - 1], *b = &list->rows[i];
        MQ_REQUIRE(compare_keys(a, b) != 0, err, MQ_BAD_DATA, "%s: lines %zu and %zu are both about %s",
                   job->plan->split_file, a->line < b->line ? a->line : b->line,
                   a->line < b->line ? b->line : a->line, mq_text_safe(a->key, safe, sizeof safe));
    }
cleanup:
    return status;
}

mq_status mq_import_split_file(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    const char *path = job->plan->split_file;
    mq_csv *csv = NULL;
    placed_rows list = {.column = "path"};
    mq_wrong_rows lost = {.unit = "line", .shown = mq_buf_init(MQ_WRONG_SHOWN)};
    MQ_TRY(read_placed(err, path, &list, 1, &csv));
    MQ_TRY(tidy_rows(err, job, &list));
    for (size_t i = 0; i < job->manifest.count; i++) {
        mq_entry *entry = &job->manifest.entries[i];
        placed_row *row = find_key(&list, entry->name);
        if (!row && entry->file) row = find_key(&list, entry->file); /* all boxes of a picture */
        if (!row) continue;
        row->used = true;
        entry->split = row->split;
        job->manifest.sets_split[row->split] = true;
    }
    for (size_t i = 0; i < list.count; i++)
        if (!list.rows[i].used) MQ_TRY(mq_wrong_row(err, &lost, list.rows[i].line, list.rows[i].key));
    MQ_REQUIRE(!lost.count, err, MQ_BAD_DATA,
               "%s: %zu of its %zu rows %s no picture of the source: %s%s; a path is written as below %s",
               path, lost.count, list.count, lost.count == 1 ? "names" : "name", (char *)lost.shown.data,
               mq_wrong_more(&lost), job->plan->source);
cleanup:
    mq_buf_free(&lost.shown);
    for (size_t i = 0; i < list.count; i++) free(list.rows[i].tidy);
    free(list.rows);
    mq_csv_free(&csv);
    return status;
}

/* The row that counts for all of an entry's content; NULL: there is none. */
static placed_row *find_content(const placed_rows *contents, const mq_entry *entry) {
    char hex[MQ_HEX_SIZE];
    mq_hex(entry->digest, MQ_SHA256_SIZE, hex);
    return find_key(contents, hex);
}

/* Notes which names of before are there, and of each content how many have gone and how many are new. */
static void note_found(const placed_rows *contents, const placed_rows *names, const mq_manifest *m) {
    placed_row *row;
    for (size_t i = 0; i < m->count; i++) {
        if (m->entries[i].reason) continue;
        if ((row = find_key(names, m->entries[i].name)))
            row->used = true;
        else if ((row = find_content(contents, &m->entries[i])))
            row->renamed++;
    }
    for (size_t i = 0; i < names->count; i++)
        if (!names->rows[i].used && (row = find_key(contents, names->rows[i].content))) row->lost++;
}

/* Whether an entry that lies in another part than its row was there before; else it is a copy that is new. */
static bool has_moved(const placed_rows *contents, const placed_rows *names, const mq_entry *entry) {
    if (find_key(names, entry->name)) return true;
    placed_row *row = find_content(contents, entry);
    if (!row || !row->lost) return false;
    row->lost--;
    return true;
}

/* Tells of the rows that no picture was found for; a new name of their content stands for one each. */
static mq_status tell_gone(mq_err *err, mq_import_job *job, const placed_rows *contents,
                           const placed_rows *names) {
    mq_status status = MQ_OK;
    mq_wrong_rows gone = {.shown = mq_buf_init(MQ_WRONG_SHOWN)};
    for (size_t i = 0; i < names->count; i++) {
        const placed_row *row = &names->rows[i];
        placed_row *content = row->used ? NULL : find_key(contents, row->content);
        if (content && content->renamed)
            content->renamed--;
        else if (!row->used)
            MQ_TRY(mq_wrong_row(err, &gone, 0, row->key));
    }
    job->report->gone = gone.count;
    if (gone.count)
        mq_warn("%zu %s of before %s not in %s, or left out, and %s the set: %s%s", gone.count,
                gone.count == 1 ? "picture" : "pictures", gone.count == 1 ? "is" : "are", job->plan->source,
                gone.count == 1 ? "leaves" : "leave", (char *)gone.shown.data, mq_wrong_more(&gone));
cleanup:
    mq_buf_free(&gone.shown);
    return status;
}

mq_status mq_import_keep_splits(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    mq_wrong_rows moved = {.shown = mq_buf_init(MQ_WRONG_SHOWN)};
    char *path = NULL;
    mq_csv *csv = NULL;
    placed_rows lists[] = {{.column = "sha256"}, {.column = "file"}};
    const placed_rows *contents = &lists[0], *names = &lists[1];
    MQ_TRY(mq_path_join(err, job->plan->output, "split.csv", &path));
    MQ_TRY(read_placed(err, path, lists, 2, &csv));
    for (size_t i = 0; i < names->count; i++)
        MQ_REQUIRE(names->rows[i].fold <= job->plan->folds, err, MQ_BAD_DATA,
                   "%s: names fold %u, and the data set has %u; import anew into another folder", path,
                   names->rows[i].fold, job->plan->folds);
    note_found(contents, names, &job->manifest);
    for (size_t i = 0; i < job->manifest.count; i++) {
        mq_entry *entry = &job->manifest.entries[i];
        if (entry->reason) continue;
        const placed_row *row = find_known(contents, names, entry);
        if (!row) continue;
        const bool open = entry->split == MQ_SPLITS;
        /* of what the source trains on, where it names no validation part */
        const bool drawn = entry->split == MQ_TRAIN && row->split == MQ_VAL &&
                           !job->manifest.sets_split[MQ_VAL];
        if (!open && !drawn && entry->split != row->split) {
            if (has_moved(contents, names, entry)) MQ_TRY(mq_wrong_row(err, &moved, 0, entry->name));
            continue;
        }
        entry->split = row->split;
        entry->fold = row->fold;
        entry->kept = open;
        entry->known = true;
    }
    job->report->moved = moved.count;
    if (moved.count)
        mq_warn("%zu %s, as the source has it: %s%s", moved.count,
                moved.count == 1 ? "picture changes its part" : "pictures change their parts",
                (char *)moved.shown.data, mq_wrong_more(&moved));
    MQ_TRY(tell_gone(err, job, contents, names));
cleanup:
    mq_buf_free(&moved.shown);
    free(lists[0].rows);
    free(lists[1].rows);
    mq_csv_free(&csv);
    free(path);
    return status;
}
