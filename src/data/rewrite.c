/* rewrite.c: a changed copy of a data set. Called by `marque clean`. Owns the names of what changes while it
 * writes. Invariant: a record that does not change is copied byte for byte, in its old order. */
#include "data/rewrite.h"
#include "base/csv.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "data/example.h"
#include "data/exchange.h"
#include "data/manifest.h"
#include "data/shards.h"
#include "data/tfrecord.h"

#include <string.h>

enum { LIST_LIMIT = 1 << 30, SHARD_MB = 110 /* as `marque import` unless told otherwise */ };

/* A change and whom it is about. */
typedef struct {
    const mq_rewrite_change *change;
    char *name; /* owned */
    uint32_t old;
    char hex[MQ_HEX_SIZE];
    bool met; /* in split.csv */
} changed_picture;

typedef struct {
    const mq_rewrite_plan *plan;
    changed_picture *changed;              /* [plan->count] sorted by split and index; owned */
    const changed_picture **of[MQ_SPLITS]; /* [count of split]; NULL: stays as it is; owned */
    size_t *counts;                        /* [classes, MQ_SPLITS] of the new data set; owned */
    size_t pictures, done, dropped;        /* of the new data set; written so far */
    mq_buf frame, record;
} rewriting;

static void close_rewriting(rewriting *w) {
    for (size_t i = 0; w->changed && i < w->plan->count; i++) free(w->changed[i].name);
    free(w->changed);
    for (mq_split split = MQ_TRAIN; split < MQ_SPLITS; split++) free(w->of[split]);
    free(w->counts);
    mq_buf_free(&w->frame);
    mq_buf_free(&w->record);
}

static int by_place(const void *a, const void *b) {
    const mq_rewrite_change *x = ((const changed_picture *)a)->change,
                            *y = ((const changed_picture *)b)->change;
    if (x->split != y->split) return x->split < y->split ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static mq_status go_on(mq_err *err, const mq_rewrite_plan *plan) {
    if (!plan->stop || !plan->stop(plan->user)) return MQ_OK;
    return mq_fail(err, MQ_INTERRUPTED, "stopped; nothing was written to %s", plan->output);
}

/* Who the changed pictures are, found by their places. */
static mq_status find_changed(mq_err *err, rewriting *w) {
    mq_status status = MQ_OK;
    const mq_rewrite_plan *plan = w->plan;
    MQ_TRY(mq_calloc(err, plan->count, sizeof *w->changed, "changes", &w->changed));
    for (size_t i = 0; i < plan->count; i++) w->changed[i].change = &plan->changes[i];
    if (plan->count) qsort(w->changed, plan->count, sizeof *w->changed, by_place);
    for (mq_split split = MQ_TRAIN; split < MQ_SPLITS; split++)
        MQ_TRY(mq_calloc(err, mq_dataset_count(plan->dataset, split), sizeof *w->of[split], "changes",
                         &w->of[split]));
    for (size_t i = 0; i < plan->count; i++) {
        changed_picture *c = &w->changed[i];
        mq_sample sample;
        uint8_t digest[MQ_SHA256_SIZE];
        MQ_TRY(go_on(err, plan));
        MQ_TRY(mq_dataset_read(err, plan->dataset, c->change->split, c->change->index, &w->record, &sample));
        MQ_TRY(mq_strdup(err, sample.name, &c->name));
        mq_dataset_sha256(plan->dataset, c->change->split, c->change->index, digest);
        mq_hex(digest, sizeof digest, c->hex);
        c->old = sample.label;
        MQ_REQUIRE(!w->of[c->change->split][c->change->index], err, MQ_INTERNAL, "%s: two changes", c->name);
        w->of[c->change->split][c->change->index] = c;
        w->dropped += c->change->drop;
    }
cleanup:
    return status;
}

static bool is_dropped(const changed_picture *c) {
    return c && c->change->drop;
}

static mq_status count_pictures(mq_err *err, rewriting *w) {
    mq_status status = MQ_OK;
    const mq_dataset *data = w->plan->dataset;
    size_t train = 0, filled = 0;
    MQ_TRY(mq_calloc(err, mq_dataset_classes(data) * MQ_SPLITS, sizeof *w->counts, "counts", &w->counts));
    for (mq_split split = MQ_TRAIN; split < MQ_SPLITS; split++)
        for (size_t i = 0; i < mq_dataset_count(data, split); i++) {
            const changed_picture *c = w->of[split][i];
            if (is_dropped(c)) continue;
            const uint32_t label = c ? c->change->label : mq_dataset_label(data, split, i);
            w->counts[label * MQ_SPLITS + split]++;
            w->pictures++;
            train += split == MQ_TRAIN;
        }
    MQ_REQUIRE(train || !mq_dataset_count(data, MQ_TRAIN), err, MQ_BAD_DATA,
               "%s: the edits leave no picture to train on", w->plan->output);
    for (size_t c = 0; c < mq_dataset_classes(data); c++) {
        const size_t *counts = &w->counts[c * MQ_SPLITS];
        filled += counts[MQ_TRAIN] + counts[MQ_VAL] + counts[MQ_TEST] > 0;
    }
    MQ_REQUIRE(filled > 1, err, MQ_BAD_DATA,
               "%s: the edits leave pictures of %zu class%s, and a classifier tells at least two apart",
               w->plan->output, filled, filled == 1 ? "" : "es");
cleanup:
    return status;
}

/* The frame of a picture with its new class. */
static mq_status relabel(mq_err *err, rewriting *w, const changed_picture *c) {
    mq_status status = MQ_OK;
    mq_example example = {0};
    const char *class = mq_dataset_class(w->plan->dataset, c->change->label);
    MQ_TRY(mq_example_decode(err, c->name, w->frame.data + MQ_TFRECORD_HEADER,
                             w->frame.size - MQ_TFRECORD_HEADER - MQ_TFRECORD_FOOTER, &example));
    example.label = (int64_t)c->change->label + 1;
    example.text = (mq_bytes){(const uint8_t *)class, strlen(class)};
    MQ_TRY(mq_example_frame(err, &example, &w->record));
cleanup:
    return status;
}

static mq_status write_record(mq_err *err, rewriting *w, mq_split split, size_t i, mq_shards *shards) {
    mq_status status = MQ_OK;
    const mq_rewrite_plan *plan = w->plan;
    const changed_picture *c = w->of[split][i];
    uint8_t digest[MQ_SHA256_SIZE];
    MQ_TRY(go_on(err, plan));
    MQ_TRY(mq_dataset_frame(err, plan->dataset, split, i, &w->frame));
    if (c) MQ_TRY(relabel(err, w, c));
    mq_dataset_sha256(plan->dataset, split, i, digest);
    MQ_TRY(mq_shards_add(err, shards, c ? &w->record : &w->frame,
                         c ? c->change->label : mq_dataset_label(plan->dataset, split, i), digest));
    if (plan->progress) plan->progress(plan->user, ++w->done, w->pictures);
cleanup:
    return status;
}

/* Shards and index of one split, described in *part (the caller's). */
static mq_status write_split(mq_err *err, rewriting *w, const char *folder, mq_split split, mq_json **part) {
    mq_status status = MQ_OK;
    const size_t all = mq_dataset_count(w->plan->dataset, split);
    mq_shards *shards = NULL;
    size_t *sizes = NULL, count = 0;
    MQ_TRY(mq_calloc(err, all, sizeof *sizes, "pictures", &sizes));
    for (size_t i = 0; i < all; i++)
        if (!is_dropped(w->of[split][i])) sizes[count++] = mq_dataset_bytes(w->plan->dataset, split, i);
    const mq_shards_plan plan = {folder, split, sizes, count, SHARD_MB};
    MQ_TRY(mq_shards_open(err, &plan, &shards));
    for (size_t i = 0; i < all; i++)
        if (!is_dropped(w->of[split][i])) MQ_TRY(write_record(err, w, split, i, shards));
    MQ_TRY(mq_shards_commit(err, shards, part));
cleanup:
    mq_shards_free(&shards);
    free(sizes);
    return status;
}

static int compare_pictures(const char *hex, const char *name, const changed_picture *other) {
    const int order = strcmp(hex, other->hex);
    return order ? order : strcmp(name, other->name);
}

static int by_picture(const void *a, const void *b) {
    const changed_picture *x = *(changed_picture *const *)a, *y = *(changed_picture *const *)b;
    return compare_pictures(x->hex, x->name, y);
}

/* A row of split.csv. */
typedef struct {
    const char *hex, *name; /* borrowed */
} placed_row;

static int row_to_picture(const void *row, const void *picture) {
    const placed_row *wanted = row;
    return compare_pictures(wanted->hex, wanted->name, *(changed_picture *const *)picture);
}

/* The changed pictures in the order by which find_row finds them; *list is the caller's. */
static mq_status sort_pictures(mq_err *err, const rewriting *w, changed_picture ***list) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_calloc(err, w->plan->count, sizeof **list, "changes", list));
    for (size_t i = 0; i < w->plan->count; i++) (*list)[i] = &w->changed[i];
    if (w->plan->count) qsort(*list, w->plan->count, sizeof **list, by_picture);
cleanup:
    return status;
}

/* The changed picture of a row of split.csv; NULL: it stays. */
static changed_picture *find_row(const rewriting *w, changed_picture *const *list, const placed_row *row) {
    changed_picture *const *found = w->plan->count
                                        ? bsearch(row, list, w->plan->count, sizeof *list, row_to_picture)
                                        : NULL;
    return found ? *found : NULL;
}

/* One row of split.csv as it was, but for the class. */
static mq_status copy_row(mq_err *err, const mq_csv *csv, int class_column, const char *class, mq_buf *text) {
    mq_status status = MQ_OK;
    for (int column = 0; column < (int)mq_csv_columns(csv); column++) {
        if (column) MQ_TRY(mq_buf_add(err, text, ",", 1));
        MQ_TRY(mq_csv_field(err, text, column == class_column && class ? class : mq_csv_get(csv, column)));
    }
    MQ_TRY(mq_buf_add(err, text, "\n", 1));
cleanup:
    return status;
}

/* split.csv without the dropped pictures, and with new classes. */
static mq_status write_places(mq_err *err, rewriting *w, const char *folder) {
    mq_status status = MQ_OK;
    const mq_dataset *data = w->plan->dataset;
    mq_csv *csv = NULL;
    mq_buf text = mq_buf_init(LIST_LIMIT);
    char *path = NULL;
    changed_picture **list = NULL;
    int file = 0, class = 0, digest = 0;
    MQ_TRY(mq_path_join(err, mq_dataset_folder(data), "split.csv", &path));
    MQ_TRY(mq_csv_open(err, path, &csv));
    MQ_TRY(mq_csv_need(err, csv, "file", &file));
    MQ_TRY(mq_csv_need(err, csv, "class", &class));
    MQ_TRY(mq_csv_need(err, csv, "sha256", &digest));
    for (int column = 0; column < (int)mq_csv_columns(csv); column++) {
        if (column) MQ_TRY(mq_buf_add(err, &text, ",", 1));
        MQ_TRY(mq_csv_field(err, &text, mq_csv_name(csv, column)));
    }
    MQ_TRY(mq_buf_add(err, &text, "\n", 1));
    MQ_TRY(sort_pictures(err, w, &list));
    for (bool more = true;;) {
        MQ_TRY(mq_csv_next(err, csv, &more));
        if (!more) break;
        changed_picture *c = find_row(w, list, &(placed_row){mq_csv_get(csv, digest), mq_csv_get(csv, file)});
        MQ_REQUIRE(!c || !c->met, err, MQ_BAD_DATA, "%s:%zu: a second row about one picture", path,
                   mq_csv_line(csv));
        if (c) c->met = true;
        if (is_dropped(c)) continue;
        MQ_TRY(copy_row(err, csv, class, c ? mq_dataset_class(data, c->change->label) : NULL, &text));
    }
    for (size_t i = 0; i < w->plan->count; i++)
        MQ_REQUIRE(w->changed[i].met, err, MQ_BAD_DATA, "%s: has no row about %s; import the pictures again",
                   path, w->changed[i].name);
    MQ_TRY(mq_file_write_in(err, folder, "split.csv", text.data, text.size));
cleanup:
    mq_csv_free(&csv);
    mq_buf_free(&text);
    free(list);
    free(path);
    return status;
}

/* quarantine.csv with the dropped pictures behind those that were left out before. */
static mq_status write_left_out(mq_err *err, const rewriting *w, const char *folder) {
    mq_status status = MQ_OK;
    mq_buf text = mq_buf_init(LIST_LIMIT);
    char *path = NULL;
    MQ_TRY(mq_path_join(err, mq_dataset_folder(w->plan->dataset), "quarantine.csv", &path));
    MQ_TRY(mq_file_read(err, path, &text));
    for (size_t i = 0; i < w->plan->count; i++) {
        if (!is_dropped(&w->changed[i])) continue;
        char *reason = NULL;
        status = mq_format(err, &reason, "dropped: %s", w->changed[i].change->reason);
        if (status == MQ_OK) status = mq_csv_field(err, &text, w->changed[i].name);
        if (status == MQ_OK) status = mq_buf_add(err, &text, ",", 1);
        if (status == MQ_OK) status = mq_csv_field(err, &text, reason);
        if (status == MQ_OK) status = mq_buf_add(err, &text, "\n", 1);
        free(reason);
        MQ_TRY(status);
    }
    MQ_TRY(mq_file_write_in(err, folder, "quarantine.csv", text.data, text.size));
cleanup:
    mq_buf_free(&text);
    free(path);
    return status;
}

/* {"picture", "split", "sha256", "class", "action"[, "to"]} */
static mq_status pack_change(mq_err *err, const rewriting *w, const changed_picture *c, mq_json **json) {
    mq_status status = MQ_OK;
    const mq_dataset *data = w->plan->dataset;
    mq_json *name = NULL, *class = NULL, *to = NULL;
    MQ_TRY(mq_name_to_json(err, c->name, &name));
    MQ_TRY(mq_name_to_json(err, mq_dataset_class(data, c->old), &class));
    MQ_TRY(mq_json_pack(err, json, "{s:O,s:s,s:s,s:O,s:s}", "picture", name, "split",
                        mq_split_name(c->change->split), "sha256", c->hex, "class", class, "action",
                        is_dropped(c) ? "drop" : "relabel"));
    if (!is_dropped(c)) {
        MQ_TRY(mq_name_to_json(err, mq_dataset_class(data, c->change->label), &to));
        MQ_TRY(mq_json_set(err, *json, "to", to));
    }
cleanup:
    mq_json_free(&name);
    mq_json_free(&class);
    return status;
}

/* All that was ever applied: what the data set was made by before, then these changes. */
static mq_status pack_cleaned(mq_err *err, const rewriting *w, mq_json *before, mq_json **cleaned) {
    mq_status status = MQ_OK;
    mq_json *edits = NULL, *list = NULL;
    MQ_TRY(mq_json_pack(err, cleaned, "[]"));
    for (size_t i = 0; i < mq_json_size(before); i++) {
        mq_json *old = NULL;
        MQ_TRY(mq_json_pack(err, &old, "O", mq_json_at(before, i)));
        MQ_TRY(mq_json_append(err, *cleaned, old));
    }
    MQ_TRY(mq_json_pack(err, &edits, "[]"));
    for (size_t i = 0; i < w->plan->count; i++) {
        mq_json *edit = NULL;
        MQ_TRY(pack_change(err, w, &w->changed[i], &edit));
        MQ_TRY(mq_json_append(err, edits, edit));
    }
    MQ_TRY(mq_json_pack(err, &list, "{s:s,s:s,s:I,s:I,s:O}", "data_sha256",
                        mq_dataset_digest(w->plan->dataset), "list_sha256", w->plan->list_digest, "dropped",
                        (long long)w->dropped, "relabelled", (long long)(w->plan->count - w->dropped),
                        "edits", edits));
    MQ_TRY(mq_json_append(err, *cleaned, list));
cleanup:
    mq_json_free(&edits);
    return status;
}

static mq_status pack_counts(mq_err *err, const rewriting *w, mq_json **counts) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_json_pack(err, counts, "[]"));
    for (size_t i = 0; i < mq_dataset_classes(w->plan->dataset); i++) {
        const size_t *n = w->counts + i * MQ_SPLITS;
        mq_json *row = NULL;
        MQ_TRY(mq_json_pack(err, &row, "[I,I,I]", (long long)n[MQ_TRAIN], (long long)n[MQ_VAL],
                            (long long)n[MQ_TEST]));
        MQ_TRY(mq_json_append(err, *counts, row));
    }
cleanup:
    return status;
}

/* dataset.json as it was, but for what the changes change. */
static mq_status write_json(mq_err *err, const rewriting *w, const char *folder, mq_json *splits) {
    mq_status status = MQ_OK;
    mq_json *json = NULL, *counts = NULL, *cleaned = NULL, *pictures = NULL, *shared = NULL;
    char *old = NULL, *new = NULL;
    MQ_TRY(mq_path_join(err, mq_dataset_folder(w->plan->dataset), "dataset.json", &old));
    MQ_TRY(mq_json_load(err, old, &json));
    MQ_TRY(mq_json_pack(err, &pictures, "I", (long long)w->pictures));
    MQ_TRY(mq_json_set(err, json, "pictures", pictures));
    MQ_TRY(pack_counts(err, w, &counts));
    MQ_TRY(mq_json_pack(err, &shared, "O", counts));
    MQ_TRY(mq_json_set(err, json, "counts", shared));
    MQ_TRY(mq_json_pack(err, &shared, "O", splits));
    MQ_TRY(mq_json_set(err, json, "splits", shared));
    MQ_TRY(pack_cleaned(err, w, mq_json_get(json, "cleaned"), &cleaned));
    MQ_TRY(mq_json_pack(err, &shared, "O", cleaned));
    MQ_TRY(mq_json_set(err, json, "cleaned", shared));
    MQ_TRY(mq_path_join(err, folder, "dataset.json", &new));
    MQ_TRY(mq_json_save(err, json, new));
cleanup:
    mq_json_free(&json);
    mq_json_free(&counts);
    mq_json_free(&cleaned);
    free(old);
    free(new);
    return status;
}

static mq_status write_all(mq_err *err, rewriting *w, const char *folder) {
    mq_status status = MQ_OK;
    mq_json *splits = NULL;
    uint64_t wanted = 0;
    for (mq_split split = MQ_TRAIN; split < MQ_SPLITS; split++)
        for (size_t i = 0; i < mq_dataset_count(w->plan->dataset, split); i++)
            wanted += mq_dataset_bytes(w->plan->dataset, split, i);
    MQ_TRY(mq_exchange_room(err, w->plan->output, folder, wanted));
    MQ_TRY(mq_json_pack(err, &splits, "{}"));
    for (mq_split split = MQ_TRAIN; split < MQ_SPLITS; split++) {
        mq_json *part = NULL;
        MQ_TRY(write_split(err, w, folder, split, &part));
        MQ_TRY(mq_json_set(err, splits, mq_split_name(split), part));
    }
    MQ_TRY(write_places(err, w, folder));
    MQ_TRY(write_left_out(err, w, folder));
    MQ_TRY(write_json(err, w, folder, splits));
cleanup:
    mq_json_free(&splits);
    return status;
}

mq_status mq_rewrite(mq_err *err, const mq_rewrite_plan *plan) {
    mq_status status = MQ_OK;
    mq_exchange *exchange = NULL;
    const mq_exchange_plan output = {plan->output, false, false, "choose another output folder"};
    const char *folder = NULL;
    rewriting w = {.plan = plan,
                   .frame = mq_buf_init((size_t)MQ_TFRECORD_MAX + 64),
                   .record = mq_buf_init((size_t)MQ_TFRECORD_MAX + 4096)};
    MQ_REQUIRE(plan->size == sizeof *plan, err, MQ_INTERNAL, "a rewrite plan of %zu bytes", plan->size);
    MQ_TRY(mq_exchange_check(err, &output)); /* before any work, and before anything is removed there */
    MQ_TRY(find_changed(err, &w));
    MQ_TRY(count_pictures(err, &w));
    MQ_TRY(mq_exchange_open(err, &output, &exchange));
    MQ_TRY(mq_exchange_begin(err, exchange, &folder));
    MQ_TRY(write_all(err, &w, folder));
    MQ_TRY(mq_exchange_commit(err, exchange));
cleanup:
    mq_exchange_free(&exchange);
    close_rewriting(&w);
    return status;
}
