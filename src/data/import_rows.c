/* import_rows.c: what readers of annotations say of rows. Called by import_cars.c
 * and import_csv.c. Owns nothing. Invariant: all rows are read before any is
 * complained of, so that the counts are whole. */
#include "base/mem.h"
#include "base/text.h"
#include "data/import_parts.h"

#include <string.h>

enum { ROWS_SHOWN = 3 };

mq_status mq_wrong_row(mq_err *err, mq_wrong_rows *rows, size_t number, const char *file) {
    char safe[256];
    if (rows->count++ >= ROWS_SHOWN) return MQ_OK;
    const char *between = rows->count > 1 ? ", " : "", *name = mq_text_safe(file, safe, sizeof safe);
    if (!number) return mq_buf_printf(err, &rows->shown, "%s%s", between, name);
    return mq_buf_printf(err, &rows->shown, "%s%s %zu (%s)", between, rows->unit, number, name);
}

const char *mq_wrong_more(const mq_wrong_rows *rows) {
    return rows->count > ROWS_SHOWN ? ", ..." : "";
}

/* One error must do where several options are needed. */
static mq_status say_missing(mq_err *err, const mq_import_job *job, const char *path, size_t all,
                             const mq_wrong_rows *missing) {
    mq_status status = MQ_OK;
    bool cut = false;
    MQ_TRY(mq_import_are_cut(err, job, &cut));
    return mq_fail(err, MQ_NO_INPUT, "%s: %zu of %zu rows %s no picture below %s: %s%s; %s", path,
                   missing->count, all, missing->count == 1 ? "has" : "have",
                   job->list || job->plan->list ? job->root : job->plan->source, (char *)missing->shown.data,
                   mq_wrong_more(missing),
                   cut ? "the others are already cut to their boxes: import them with --allow-missing "
                         "--boxes ignore"
                       : "--allow-missing imports the others");
cleanup:
    return status;
}

mq_status mq_import_judge_rows(mq_err *err, const mq_import_job *job, const char *path, size_t all,
                               const mq_wrong_rows *missing, const mq_wrong_rows *inverted) {
    mq_status status = MQ_OK;
    MQ_REQUIRE(!inverted->count, err, MQ_BAD_DATA,
               "%s: %zu %s x2 < x1 or y2 < y1: %s%s; correct that, or take --boxes ignore", path,
               inverted->count, inverted->count == 1 ? "box has" : "boxes have", (char *)inverted->shown.data,
               mq_wrong_more(inverted));
    if (missing->count && !job->plan->allow_missing) return say_missing(err, job, path, all, missing);
    job->report->missing += missing->count;
cleanup:
    return status;
}

mq_status mq_import_check_twice(mq_err *err, const mq_import_job *job, const char *path) {
    char safe[256];
    for (size_t i = 1; i < job->manifest.count; i++) {
        const mq_entry *a = &job->manifest.entries[i - 1], *b = &job->manifest.entries[i];
        if (strcmp(a->name, b->name) == 0)
            return mq_fail(err, MQ_BAD_DATA, "%s: %ss %zu and %zu are both about %s", path, job->unit,
                           a->row < b->row ? a->row : b->row, a->row < b->row ? b->row : a->row,
                           mq_text_safe(a->name, safe, sizeof safe));
    }
    return MQ_OK;
}

/* Where an absolute path goes on below the root, be that spelled as it is or as it was given. */
static const char *below(const mq_import_job *job, const char *path) {
    const char *const roots[] = {job->root, job->given};
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
        const size_t length = !roots[i] || strcmp(roots[i], "/") == 0 ? 0 : strlen(roots[i]);
        if (roots[i] && strncmp(path, roots[i], length) == 0 && path[length] == '/') return path + length + 1;
    }
    return NULL;
}

mq_status mq_import_spelled(mq_err *err, const mq_import_job *job, const char *text, char **tidy,
                            const char **name) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_strdup(err, text, tidy));
    mq_path_tidy(*tidy);
    *name = below(job, *tidy);
    if (!*name) *name = *tidy;
cleanup:
    return status;
}

bool mq_import_is_inside(const char *file) {
    if (file[0] == '/') return false;
    for (const char *p = file; *p; p += strcspn(p, "/"), p += *p == '/')
        if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || !p[2])) return false;
    return true;
}

mq_status mq_import_split_of(mq_err *err, const char *path, size_t line, const char *text, mq_split *split) {
    char safe[64];
    for (*split = MQ_TRAIN; *split < MQ_SPLITS; (*split)++)
        if (strcmp(text, mq_split_name(*split)) == 0) return MQ_OK;
    if (strcmp(text, "valid") == 0 || strcmp(text, "validation") == 0) {
        *split = MQ_VAL;
        return MQ_OK;
    }
    return mq_fail(err, MQ_BAD_DATA, "%s:%zu: \"%s\" is not train, val or test", path, line,
                   mq_text_safe(text, safe, sizeof safe));
}
