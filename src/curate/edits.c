/* edits.c: lists of edits written and read. Called by `marque clean`. Owns names while it reads. Invariant:
 * what mq_edits_read accepts can be applied. */
#include "curate/edits.h"
#include "base/csv.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

enum { LIST_LIMIT = 1 << 30, RECORD_LIMIT = 300 << 20, SHOWN = 128 };

static const char *const action_names[] = {"keep", "drop", "relabel", NULL};

const char *mq_action_name(mq_action action) {
    return action_names[action];
}

void mq_named_free(mq_named **named, size_t count) {
    for (size_t i = 0; *named && i < count; i++) free((*named)[i].name);
    free(*named);
    *named = NULL;
}

mq_status mq_named_read(mq_err *err, const mq_dataset *dataset, bool (*stop)(void *user), mq_named **named,
                        size_t *count) {
    mq_status status = MQ_OK;
    mq_buf record = mq_buf_init(RECORD_LIMIT);
    mq_named *list = NULL;
    size_t all = 0, at = 0;
    for (mq_split split = MQ_TRAIN; split < MQ_SPLITS; split++) all += mq_dataset_count(dataset, split);
    MQ_TRY(mq_calloc(err, all, sizeof *list, "pictures", &list));
    for (mq_split split = MQ_TRAIN; split < MQ_SPLITS; split++)
        for (size_t i = 0; i < mq_dataset_count(dataset, split); i++) {
            mq_sample sample;
            MQ_REQUIRE(!stop || !stop(NULL), err, MQ_INTERRUPTED, "stopped");
            MQ_TRY(mq_dataset_read(err, dataset, split, i, &record, &sample));
            list[at] = (mq_named){NULL, split, i, sample.label};
            MQ_TRY(mq_strdup(err, sample.name, &list[at].name));
            at++;
        }
    *named = list;
    *count = all;
    list = NULL;
cleanup:
    mq_named_free(&list, all);
    mq_buf_free(&record);
    return status;
}

mq_status mq_edits_check(mq_err *err, const char *path) {
    mq_status status = MQ_OK;
    char *folder = NULL;
    const char *slash = strrchr(path, '/');
    MQ_REQUIRE(!mq_file_exists(path), err, MQ_CANNOT_CREATE,
               "%s: is there already, perhaps with edits of yours; move it away or name another file by -o",
               path);
    MQ_REQUIRE(!mq_folder_exists(path), err, MQ_CANNOT_CREATE, "%s: is a folder; name a file by -o", path);
    MQ_TRY(mq_format(err, &folder, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : "."));
    MQ_REQUIRE(access(folder, W_OK | X_OK) == 0, err, MQ_CANNOT_CREATE, "%s: cannot be written: %s", path,
               strerror(errno));
cleanup:
    free(folder);
    return status;
}

mq_status mq_edits_write(mq_err *err, const char *path, const mq_edit *edits, size_t count) {
    mq_status status = MQ_OK;
    mq_buf text = mq_buf_init(LIST_LIMIT);
    MQ_TRY(mq_edits_check(err, path));
    MQ_TRY(mq_buf_add_text(err, &text, "picture,class,reason,score,copy_of,suggestion,action\n"));
    for (size_t i = 0; i < count; i++) {
        const mq_edit *e = &edits[i];
        MQ_TRY(mq_csv_field(err, &text, e->picture));
        MQ_TRY(mq_buf_add(err, &text, ",", 1));
        MQ_TRY(mq_csv_field(err, &text, e->class));
        /* Downwards, so that no score reads as if it had reached a bound that it is below. */
        MQ_TRY(mq_buf_printf(err, &text, ",%s,%.3f,", e->reason, floor(1000 * e->score + 1e-9) / 1000));
        MQ_TRY(mq_csv_field(err, &text, e->copy_of));
        MQ_TRY(mq_buf_add(err, &text, ",", 1));
        MQ_TRY(mq_csv_field(err, &text, e->suggestion));
        MQ_TRY(mq_buf_printf(err, &text, ",%s\n", mq_action_name(e->action)));
    }
    MQ_TRY(mq_file_write(err, path, text.data, text.size));
cleanup:
    mq_buf_free(&text);
    return status;
}

/* A list being read. */
typedef struct {
    const char *path;
    const mq_dataset *dataset;
    bool (*stop)(void *user);
    mq_csv *csv;
    mq_named *named; /* [named_count] by name; owned */
    size_t named_count;
    bool *met; /* [named_count] pictures that have a row; owned */
    int picture, class, reason, suggestion, action;
    mq_edit_list *list;
    size_t change_capacity, reason_capacity;
} reading;

static int by_name(const void *a, const void *b) {
    return strcmp(((const mq_named *)a)->name, ((const mq_named *)b)->name);
}

static mq_status open_list(mq_err *err, reading *r) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_digest_file(err, MQ_SHA256, r->path, r->list->digest));
    MQ_TRY(mq_csv_open(err, r->path, &r->csv));
    MQ_TRY(mq_csv_need(err, r->csv, "picture", &r->picture));
    MQ_TRY(mq_csv_need(err, r->csv, "class", &r->class));
    MQ_TRY(mq_csv_need(err, r->csv, "reason", &r->reason));
    MQ_TRY(mq_csv_need(err, r->csv, "suggestion", &r->suggestion));
    MQ_TRY(mq_csv_need(err, r->csv, "action", &r->action));
    MQ_TRY(mq_named_read(err, r->dataset, r->stop, &r->named, &r->named_count));
    if (r->named_count) qsort(r->named, r->named_count, sizeof *r->named, by_name);
    MQ_TRY(mq_calloc(err, r->named_count, sizeof *r->met, "pictures", &r->met));
cleanup:
    return status;
}

/* The picture of the row; *at is its place in r->named. */
static mq_status find_picture(mq_err *err, const reading *r, size_t *at) {
    mq_status status = MQ_OK;
    const size_t line = mq_csv_line(r->csv);
    char safe[SHOWN];
    mq_named wanted = {.name = (char *)mq_csv_get(r->csv, r->picture)};
    const mq_named *found = r->named_count
                                ? bsearch(&wanted, r->named, r->named_count, sizeof *r->named, by_name)
                                : NULL;
    mq_text_safe(wanted.name, safe, sizeof safe);
    MQ_REQUIRE(found, err, MQ_BAD_DATA, "%s:%zu: %s is no picture of %s", r->path, line, safe,
               mq_dataset_folder(r->dataset));
    *at = (size_t)(found - r->named);
    const bool twice = (*at && by_name(found - 1, found) == 0) ||
                       (*at + 1 < r->named_count && by_name(found + 1, found) == 0);
    MQ_REQUIRE(!twice, err, MQ_BAD_DATA, "%s:%zu: two pictures of %s are called %s, so nobody knows which",
               r->path, line, mq_dataset_folder(r->dataset), safe);
    MQ_REQUIRE(!r->met[*at], err, MQ_BAD_DATA, "%s:%zu: a second row about %s", r->path, line, safe);
    r->met[*at] = true;
cleanup:
    return status;
}

/* The class called by the row's column. */
static mq_status find_class(mq_err *err, const reading *r, int column, uint32_t *label) {
    char safe[SHOWN];
    const char *name = mq_csv_get(r->csv, column);
    for (size_t c = 0; c < mq_dataset_classes(r->dataset); c++) {
        if (strcmp(mq_dataset_class(r->dataset, c), name) != 0) continue;
        *label = (uint32_t)c;
        return MQ_OK;
    }
    return mq_fail(err, MQ_BAD_DATA, "%s:%zu: %s is no class of %s", r->path, mq_csv_line(r->csv),
                   mq_text_safe(name, safe, sizeof safe), mq_dataset_folder(r->dataset));
}

static mq_status find_action(mq_err *err, const reading *r, mq_action *action) {
    char safe[SHOWN];
    const char *name = mq_csv_get(r->csv, r->action);
    for (int i = 0; action_names[i]; i++) {
        if (strcmp(action_names[i], name) != 0) continue;
        *action = (mq_action)i;
        return MQ_OK;
    }
    return mq_fail(err, MQ_BAD_DATA, "%s:%zu: the action \"%s\" is none of keep, drop and relabel", r->path,
                   mq_csv_line(r->csv), mq_text_safe(name, safe, sizeof safe));
}

static mq_status add_change(mq_err *err, reading *r, const mq_rewrite_change *change) {
    mq_status status = MQ_OK;
    mq_edit_list *list = r->list;
    MQ_TRY(mq_grow(err, &list->changes, &r->change_capacity, list->count + 1, sizeof *list->changes));
    MQ_TRY(mq_grow(err, &list->reasons, &r->reason_capacity, list->count + 1, sizeof *list->reasons));
    MQ_TRY(mq_strdup(err, mq_csv_get(r->csv, r->reason), &list->reasons[list->reason_count]));
    list->changes[list->count] = *change;
    list->changes[list->count++].reason = list->reasons[list->reason_count++];
cleanup:
    return status;
}

static mq_status read_row(mq_err *err, reading *r) {
    mq_status status = MQ_OK;
    size_t at = 0;
    uint32_t stated = 0;
    mq_action action = MQ_KEEP;
    MQ_TRY(find_picture(err, r, &at));
    MQ_TRY(find_class(err, r, r->class, &stated));
    MQ_TRY(find_action(err, r, &action));
    const mq_named *picture = &r->named[at];
    MQ_REQUIRE(stated == picture->label, err, MQ_BAD_DATA,
               "%s:%zu: the picture is of another class in %s; make the list anew by: marque clean %s",
               r->path, mq_csv_line(r->csv), mq_dataset_folder(r->dataset),
               mq_text_word(mq_dataset_folder(r->dataset), &(mq_word){0}));
    mq_rewrite_change change = {.split = picture->split, .index = picture->index, .drop = action == MQ_DROP};
    MQ_REQUIRE(
        action != MQ_RELABEL || *mq_csv_get(r->csv, r->suggestion), err, MQ_BAD_DATA,
        "%s:%zu: relabel takes the class in the column suggestion, which is empty; write the right class "
        "there, or keep or drop",
        r->path, mq_csv_line(r->csv));
    if (action == MQ_RELABEL) MQ_TRY(find_class(err, r, r->suggestion, &change.label));
    if (action == MQ_KEEP || (action == MQ_RELABEL && change.label == picture->label))
        r->list->kept++;
    else
        MQ_TRY(add_change(err, r, &change));
cleanup:
    return status;
}

mq_status mq_edits_read(mq_err *err, const char *path, const mq_dataset *dataset, bool (*stop)(void *user),
                        mq_edit_list *list) {
    mq_status status = MQ_OK;
    reading r = {.path = path, .dataset = dataset, .stop = stop, .list = list};
    *list = (mq_edit_list){0};
    MQ_TRY(open_list(err, &r));
    for (bool more = true;;) {
        MQ_TRY(mq_csv_next(err, r.csv, &more));
        if (!more) break;
        MQ_TRY(read_row(err, &r));
    }
cleanup:
    mq_csv_free(&r.csv);
    mq_named_free(&r.named, r.named_count);
    free(r.met);
    return status;
}

void mq_edits_free(mq_edit_list *list) {
    for (size_t i = 0; i < list->reason_count; i++) free(list->reasons[i]);
    free(list->reasons);
    free(list->changes);
    *list = (mq_edit_list){0};
}
