/* import_write.c: turns the placed pictures into the files of a data set.
 * Called by import.c last. Owns the workers' records. Invariant: dataset.json
 * is written when everything it names is on disk. */
#include "base/mem.h"
#include "base/names.h"
#include "base/pipeline.h"
#include "base/text.h"
#include "data/example.h"
#include "data/exchange.h"
#include "data/import_parts.h"
#include "data/shards.h"
#include "data/tfrecord.h"

#include <math.h>
#include <string.h>

enum {
    SLOTS_EACH = 4,
    LIST_LIMIT = 1 << 24, /* of a piece of a list and the row that fills it */
    LIST_PIECE = 1 << 16,
    RECORD_EXTRA = 512 /* bytes of a record beside its picture */
};

/* One split being written. */
typedef struct {
    const mq_import_job *job;
    const mq_entry **order; /* its pictures in the order of their keys */
    size_t count;
    mq_buf *files;   /* one for each worker */
    mq_buf *records; /* one for each slot */
} writing;

static mq_bytes bytes_of(const char *text) {
    return (mq_bytes){(const uint8_t *)text, strlen(text)};
}

/* The sealed frame of one picture. */
static mq_status make_record(mq_err *err, void *ctx, size_t item, size_t slot, size_t worker) {
    mq_status status = MQ_OK;
    const writing *w = ctx;
    const mq_entry *e = w->order[item];
    mq_buf *file = &w->files[worker], *record = &w->records[slot];
    mq_stored stored = {0};
    MQ_TRY(mq_import_load(err, w->job, e, file, &stored));
    mq_example example = {.width = stored.width,
                          .height = stored.height,
                          .channels = stored.channels,
                          .label = (int64_t)e->class + 1,
                          .colorspace = bytes_of(stored.colour),
                          .format = bytes_of(stored.format),
                          .filename = bytes_of(e->name),
                          .encoded = {file->data, file->size},
                          .text = bytes_of(w->job->manifest.classes[e->class]),
                          .has_box = stored.has_box};
    const int32_t sides[4] = {stored.box.x1, stored.box.y1, stored.box.x2, stored.box.y2};
    const double scale[2] = {stored.width, stored.height};
    /* A float holds any pixel of a side up to 8 million exactly enough to come back by rounding. */
    for (int i = 0; i < 4 && stored.has_box; i++) {
        example.box[i] = (float)(sides[i] / scale[i % 2]);
        MQ_REQUIRE((int32_t)lround((double)example.box[i] * scale[i % 2]) == sides[i], err, MQ_BAD_DATA,
                   "%s: too large for a box to be stored exactly", e->name);
    }
    MQ_TRY(mq_example_frame(err, &example, record));
cleanup:
    return status;
}

static int compare_keys(const void *a, const void *b) {
    const mq_entry *x = *(const mq_entry *const *)a, *y = *(const mq_entry *const *)b;
    const int by_key = memcmp(x->key, y->key, MQ_SHA256_SIZE);
    return by_key ? by_key : strcmp(x->name, y->name);
}

/* Records in the order of keys: shuffled, the same everywhere, and of no meaning to a reader. */
static mq_status order_split(mq_err *err, mq_split split, writing *w) {
    mq_status status = MQ_OK;
    const mq_manifest *m = &w->job->manifest;
    MQ_TRY(mq_calloc(err, m->count, sizeof *w->order, "pictures", &w->order));
    for (size_t i = 0; i < m->count; i++)
        if (!m->entries[i].reason && m->entries[i].split == split) w->order[w->count++] = &m->entries[i];
    if (w->count) qsort(w->order, w->count, sizeof *w->order, compare_keys);
cleanup:
    return status;
}

/* Workers read and frame, the owner writes in order: no more than the slots are in memory. */
static mq_status write_records(mq_err *err, writing *w, mq_shards *shards, size_t *done, size_t total) {
    mq_status status = MQ_OK;
    const mq_import_plan *plan = w->job->plan;
    const size_t slots = SLOTS_EACH * plan->workers;
    mq_pipeline *pipeline = NULL;
    const mq_pipeline_plan pipes = {sizeof pipes, w->count, slots, plan->workers, make_record, w};
    MQ_TRY(mq_calloc(err, plan->workers, sizeof *w->files, "workers", &w->files));
    MQ_TRY(mq_calloc(err, slots, sizeof *w->records, "records", &w->records));
    for (size_t i = 0; i < plan->workers; i++) w->files[i] = mq_buf_init(MQ_TFRECORD_MAX);
    for (size_t i = 0; i < slots; i++) w->records[i] = mq_buf_init((size_t)MQ_TFRECORD_MAX + 64);
    MQ_TRY(mq_pipeline_start(err, &pipes, &pipeline));
    for (size_t i = 0; i < w->count; i++) {
        size_t slot;
        MQ_TRY(mq_import_go_on(err, w->job));
        MQ_TRY(mq_pipeline_next(err, pipeline, &slot));
        MQ_TRY(mq_shards_add(err, shards, &w->records[slot], w->order[i]->class, w->order[i]->digest));
        mq_pipeline_release(pipeline, 1);
        if (plan->progress) plan->progress(plan->user, "pictures written", ++*done, total);
    }
cleanup:
    mq_pipeline_free(&pipeline);
    for (size_t i = 0; w->files && i < plan->workers; i++) mq_buf_free(&w->files[i]);
    for (size_t i = 0; w->records && i < slots; i++) mq_buf_free(&w->records[i]);
    free(w->files);
    free(w->records);
    return status;
}

/* Shards and index of one split, described in *part (the caller's). */
static mq_status write_split(mq_err *err, mq_import_job *job, const char *folder, mq_split split,
                             size_t *done, mq_json **part) {
    mq_status status = MQ_OK;
    writing w = {.job = job};
    size_t *sizes = NULL;
    mq_shards *shards = NULL;
    MQ_TRY(order_split(err, split, &w));
    MQ_TRY(mq_calloc(err, w.count, sizeof *sizes, "pictures", &sizes));
    for (size_t i = 0; i < w.count; i++) sizes[i] = mq_import_stored_bytes(job, w.order[i]) + RECORD_EXTRA;
    const mq_shards_plan plan = {folder, split, sizes, w.count, job->plan->shard_mb};
    MQ_TRY(mq_shards_open(err, &plan, &shards));
    MQ_TRY(write_records(err, &w, shards, done, job->report->pictures));
    MQ_TRY(mq_shards_commit(err, shards, part));
    job->report->shards += mq_shards_count(shards);
    job->report->bytes += mq_shards_bytes(shards);
cleanup:
    mq_shards_free(&shards);
    free(sizes);
    free(w.order);
    return status;
}

void mq_import_estimate(const mq_import_job *job, size_t *shards, uint64_t *bytes) {
    const mq_manifest *m = &job->manifest;
    uint64_t size[MQ_SPLITS] = {0};
    *shards = 0;
    *bytes = 0;
    for (size_t i = 0; i < m->count; i++)
        if (!m->entries[i].reason)
            size[m->entries[i].split] += mq_import_stored_bytes(job, &m->entries[i]) + RECORD_EXTRA;
    for (mq_split split = MQ_TRAIN; split < MQ_SPLITS; split++) {
        *shards += mq_shards_needed(size[split], job->report->count[split], job->plan->shard_mb);
        *bytes += size[split];
    }
}

/* A row of split.csv: sizes and box are those of the source's picture, also where it is stored cut. */
static mq_status add_split_row(mq_err *err, const mq_import_job *job, const mq_entry *e, mq_buf *text) {
    mq_status status = MQ_OK;
    char hex[MQ_HEX_SIZE];
    mq_hex(e->digest, MQ_SHA256_SIZE, hex);
    MQ_TRY(mq_csv_field(err, text, e->name));
    MQ_TRY(mq_buf_add(err, text, ",", 1));
    MQ_TRY(mq_csv_field(err, text, job->manifest.classes[e->class]));
    MQ_TRY(mq_buf_printf(err, text, ",%s,%s,%u,%u,", mq_split_name(e->split), hex, e->width, e->height));
    if (e->has_box)
        MQ_TRY(mq_buf_printf(err, text, "%d,%d,%d,%d", e->box.x1, e->box.y1, e->box.x2, e->box.y2));
    else
        MQ_TRY(mq_buf_add_text(err, text, ",,,"));
    if (e->fold)
        MQ_TRY(mq_buf_printf(err, text, ",%u", e->fold));
    else if (job->plan->folds)
        MQ_TRY(mq_buf_add_text(err, text, ","));
    MQ_TRY(mq_buf_add_text(err, text, "\n"));
cleanup:
    return status;
}

static mq_status add_left_out(mq_err *err, const mq_entry *e, mq_buf *text) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_csv_field(err, text, e->name));
    MQ_TRY(mq_buf_add(err, text, ",", 1));
    MQ_TRY(mq_csv_field(err, text, e->reason));
    MQ_TRY(mq_buf_add(err, text, "\n", 1));
cleanup:
    return status;
}

/* split.csv (of those taken) or quarantine.csv, in the order of the source, with names as they are. */
static mq_status write_list(mq_err *err, const mq_import_job *job, const char *folder, bool taken) {
    mq_status status = MQ_OK;
    mq_buf text = mq_buf_init(LIST_LIMIT);
    mq_writer *writer = NULL;
    char *path = NULL;
    MQ_TRY(mq_path_join(err, folder, taken ? "split.csv" : "quarantine.csv", &path));
    MQ_TRY(mq_writer_open(err, path, &writer));
    MQ_TRY(mq_buf_printf(err, &text, "%s%s\n",
                         taken ? "file,class,split,sha256,width,height,x1,y1,x2,y2" : "file,reason",
                         taken && job->plan->folds ? ",fold" : ""));
    for (size_t i = 0; i < job->manifest.count; i++) {
        const mq_entry *e = &job->manifest.entries[i];
        if (!e->reason != taken) continue;
        MQ_TRY(taken ? add_split_row(err, job, e, &text) : add_left_out(err, e, &text));
        if (text.size < LIST_PIECE) continue;
        MQ_TRY(mq_writer_add(err, writer, text.data, text.size));
        mq_buf_clear(&text);
    }
    MQ_TRY(mq_writer_add(err, writer, text.data, text.size));
    MQ_TRY(mq_writer_commit(err, &writer));
cleanup:
    mq_writer_abort(&writer);
    mq_buf_free(&text);
    free(path);
    return status;
}

/* Names, and pictures in train, val and test; in the order of class numbers. */
static mq_status pack_classes(mq_err *err, const mq_import_job *job, mq_json **names, mq_json **counts) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_json_pack(err, names, "[]"));
    MQ_TRY(mq_json_pack(err, counts, "[]"));
    for (size_t i = 0; i < job->report->class_count; i++) {
        const mq_import_class *class = &job->report->classes[i];
        mq_json *name = NULL, *row = NULL;
        MQ_TRY(mq_name_to_json(err, class->name, &name));
        MQ_TRY(mq_json_append(err, *names, name));
        MQ_TRY(mq_json_pack(err, &row, "[I,I,I]", (long long)class->count[MQ_TRAIN],
                            (long long)class->count[MQ_VAL], (long long)class->count[MQ_TEST]));
        MQ_TRY(mq_json_append(err, *counts, row));
    }
cleanup:
    return status;
}

/* What happened is said without paths or times: the same pictures give the same bytes. */
static mq_status pack_source(mq_err *err, const mq_import_job *job, mq_json **source) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_json_pack(err, source, "{s:s,s:s,s:I,s:I}", "kind", job->kind, "classes",
                        job->report->class_rule, "left_out", (long long)job->report->left_out, "missing",
                        (long long)job->report->missing));
    if (job->report->as_png)
        MQ_TRY(mq_json_set(err, *source, "stored_as_png", mq_json_number((double)job->report->as_png)));
    if (job->report->as_jpeg)
        MQ_TRY(mq_json_set(err, *source, "stored_as_jpeg", mq_json_number((double)job->report->as_jpeg)));
    if (job->plan->follow != MQ_FOLLOW_INSIDE)
        MQ_TRY(mq_json_set(err, *source, "follow",
                           mq_json_text(job->plan->follow == MQ_FOLLOW_ALL ? "all" : "none")));
    if (job->report->truncated_count) {
        mq_json *names = NULL;
        MQ_TRY(mq_json_pack(err, &names, "[]"));
        MQ_TRY(mq_json_set(err, *source, "truncated", names)); /* which takes it over */
        for (size_t i = 0; i < job->report->truncated_count; i++) {
            mq_json *name = NULL;
            MQ_TRY(mq_name_to_json(err, job->report->truncated[i], &name));
            MQ_TRY(mq_json_append(err, names, name));
        }
    }
    if (job->archive[0]) MQ_TRY(mq_json_set(err, *source, "archive_sha256", mq_json_text(job->archive)));
    if (job->annotations[0])
        MQ_TRY(mq_json_set(err, *source, "annotations_sha256", mq_json_text(job->annotations)));
cleanup:
    return status;
}

static mq_status set_number(mq_err *err, mq_json *object, const char *key, uint32_t number) {
    mq_json *value = NULL;
    mq_status status = mq_json_pack(err, &value, "I", (long long)number);
    if (status == MQ_OK) status = mq_json_set(err, object, key, value);
    return status;
}

/* How pictures were placed; TRAIN_given and so on say that the source did it. */
static mq_status pack_rule(mq_err *err, const mq_import_job *job, mq_json **rule) {
    mq_status status = MQ_OK;
    const mq_import_plan *plan = job->plan;
    MQ_TRY(mq_json_pack(err, rule, "{s:s,s:I,s:f,s:f}", "rule", "stratified by digest", "seed",
                        (long long)plan->seed, "test", plan->test, "val", plan->val));
    if (plan->folds) MQ_TRY(set_number(err, *rule, "folds", plan->folds));
    if (plan->group_by) {
        mq_json *pattern = NULL;
        MQ_TRY(mq_name_to_json(err, plan->group_by, &pattern)); /* any bytes: it is read back */
        MQ_TRY(mq_json_set(err, *rule, "group_by", pattern));
    }
    for (mq_split split = MQ_TRAIN; split < MQ_SPLITS; split++) {
        mq_json *given = NULL;
        if (!job->manifest.sets_split[split]) continue;
        MQ_TRY(mq_json_pack(err, &given, "b", 1));
        char key[32];
        snprintf(key, sizeof key, "%s_given", mq_split_name(split));
        MQ_TRY(mq_json_set(err, *rule, key, given));
    }
cleanup:
    return status;
}

/* What readers need comes first, how it came about last. */
static mq_status write_json(mq_err *err, const mq_import_job *job, const char *folder, mq_json **splits) {
    mq_status status = MQ_OK;
    const mq_import_plan *plan = job->plan;
    mq_json *json = NULL, *names = NULL, *counts = NULL, *source = NULL, *rule = NULL;
    char *path = NULL;
    const bool cut = plan->store == MQ_STORE_CROP;
    MQ_TRY(pack_classes(err, job, &names, &counts));
    MQ_TRY(pack_source(err, job, &source));
    MQ_TRY(pack_rule(err, job, &rule));
    MQ_TRY(mq_json_pack(err, &json, "{s:s,s:i,s:I,s:O,s:O,s:O,s:O,s:b,s:f,s:s,s:I,s:O}", "format",
                        "marque.dataset", "version", 1, "pictures", (long long)job->report->pictures,
                        "classes", names, "counts", counts, "splits", *splits, "split", rule, "boxes",
                        job->report->boxes > 0 && !cut, "margin", plan->margin, "store",
                        cut ? "crop" : "original", "max_side", (long long)plan->max_side, "source", source));
    if (plan->presize) MQ_TRY(set_number(err, json, "presize", plan->presize));
    if (plan->boxes == MQ_BOXES_IGNORE) MQ_TRY(mq_json_set(err, json, "boxes_taken", mq_json_text("ignore")));
    if (plan->decode) MQ_TRY(mq_json_set(err, json, "decode", mq_json_text("scaled")));
    if (plan->truncated) MQ_TRY(mq_json_set(err, json, "truncated", mq_json_text("accept")));
    MQ_TRY(mq_path_join(err, folder, "dataset.json", &path));
    MQ_TRY(mq_json_save(err, json, path));
cleanup:
    mq_json_free(&json);
    mq_json_free(&names);
    mq_json_free(&counts);
    mq_json_free(&source);
    mq_json_free(&rule);
    free(path);
    return status;
}

mq_status mq_import_write(mq_err *err, mq_import_job *job, const char *folder) {
    mq_status status = MQ_OK;
    mq_json *splits = NULL;
    size_t done = 0;
    uint64_t wanted = 0;
    for (size_t i = 0; i < job->manifest.count; i++)
        wanted += job->manifest.entries[i].reason ? 0 : job->manifest.entries[i].size;
    job->report->shards = 0;
    job->report->bytes = 0;
    /* Pictures that are converted have no size before they are written. */
    const bool known = job->plan->store == MQ_STORE_ORIGINAL && !job->plan->max_side && !job->plan->presize;
    if (known) MQ_TRY(mq_exchange_room(err, job->plan->output, folder, wanted));
    MQ_TRY(mq_json_pack(err, &splits, "{}"));
    for (mq_split split = MQ_TRAIN; split < MQ_SPLITS; split++) {
        mq_json *part = NULL;
        MQ_TRY(write_split(err, job, folder, split, &done, &part));
        MQ_TRY(mq_json_set(err, splits, mq_split_name(split), part));
    }
    MQ_TRY(write_list(err, job, folder, true));
    MQ_TRY(write_list(err, job, folder, false));
    MQ_TRY(write_json(err, job, folder, &splits));
cleanup:
    mq_json_free(&splits);
    return status;
}
