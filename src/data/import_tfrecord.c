/* import_tfrecord.c: shards of tf.train.Example in the shapes of TensorFlow
 * (image/encoded, image/class/label, image/object/bbox/...) and of TensorFlow
 * Datasets (image, label, objects/bbox). Called by import.c through its row. Owns
 * a record while it reads it. Invariant: an entry points at its
 * picture's bytes inside a record whose checksums held. */
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "data/example.h"
#include "data/import_labels.h"
#include "data/import_settings.h"
#include "data/import_shards.h"
#include "data/picture.h"
#include "data/tfrecord.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Features we know, in the order of NAMES. */
enum {
    ENCODED,
    IMAGE,
    CLASS_LABEL,
    CLASS_TEXT,
    LABEL,
    FILENAME,
    FILE_NAME,
    XMIN,
    YMIN,
    XMAX,
    YMAX,
    OBJECT_LABEL,
    OBJECT_TEXT,
    BBOX,
    OBJECTS_BBOX,
    OBJECTS_LABEL,
    FEATURES
};
#define WHOLE SIZE_MAX /* the picture, not one of its objects */
enum { OBJECTS_MAX = 100000 /* of one picture */ };

static const char *const NAMES[FEATURES] = {"image/encoded",
                                            "image",
                                            "image/class/label",
                                            "image/class/text",
                                            "label",
                                            "image/filename",
                                            "file_name",
                                            "image/object/bbox/xmin",
                                            "image/object/bbox/ymin",
                                            "image/object/bbox/xmax",
                                            "image/object/bbox/ymax",
                                            "image/object/class/label",
                                            "image/object/class/text",
                                            "bbox",
                                            "objects/bbox",
                                            "objects/label"};
/* Files that may name labels, the first that is there. */
static const char *const LABEL_FILES[] = {"label.labels.txt", "objects-label.labels.txt", "labels.txt"};

/* How far a feature has been read: objects ask for one value after the other. */
typedef struct {
    mq_values values;
    size_t next; /* the number of the value that comes next */
    bool begun;
} cursor;

/* The record in work. */
typedef struct {
    const char *what;  /* for messages */
    const char *shard; /* its file */
    size_t number;     /* in it, from 0 */
    mq_feature features[FEATURES];
    cursor cursors[FEATURES];
    mq_bytes picture;
    uint64_t place; /* of the picture's bytes in the shard */
    char *name;     /* of the picture; owned */
} record;

typedef struct {
    mq_import_job *job;
    mq_labels *labels;
    mq_split split; /* of the shard in work */
    mq_wrong_rows inverted;
    size_t records;
    bool from_one; /* labels are of TensorFlow's shape */
} reading;

/* The values of a list of floats or integers, at most max; their number, or SIZE_MAX when it is no such list.
 */
static size_t floats_of(const mq_feature *f, float *out, size_t max) {
    mq_values values = mq_values_of(f);
    uint64_t bits = 0;
    mq_bytes bytes;
    size_t count = 0;
    if (f->kind == 0) return 0;
    while (count < max && mq_values_next(&values, &bits, &bytes))
        memcpy(&out[count++], &(uint32_t){(uint32_t)bits}, 4);
    return f->kind == MQ_FLOAT_LIST && values.sound ? count : SIZE_MAX;
}

/* Value number index of a feature: as bytes or as a number. Goes on from the last one that was asked for. */
static bool value_at(record *rec, int feature, size_t index, uint64_t *bits, mq_bytes *bytes) {
    cursor *c = &rec->cursors[feature];
    if (!rec->features[feature].kind) return false;
    if (!c->begun || index < c->next)
        *c = (cursor){.values = mq_values_of(&rec->features[feature]), .begun = true};
    for (; c->next <= index; c->next++)
        if (!mq_values_next(&c->values, bits, bytes)) return false;
    return true;
}

/* Bytes as text in *text (the caller's); NULL when they are none. */
static mq_status text_at(mq_err *err, record *rec, int feature, size_t index, char **text) {
    uint64_t bits;
    mq_bytes bytes;
    if (rec->features[feature].kind != MQ_BYTES_LIST || !value_at(rec, feature, index, &bits, &bytes) ||
        !bytes.size || memchr(bytes.data, 0, bytes.size))
        return MQ_OK;
    return mq_format(err, text, "%.*s", (int)bytes.size, (const char *)bytes.data);
}

/* The label of the picture, or of its object number index, as the class of object; *why says why it has none;
 * NULL: it has one. Where an object has no label of its own, the picture's is its. */
static mq_status find_label(mq_err *err, reading *r, record *rec, size_t index, const char **why,
                            uint32_t *place) {
    mq_status status = MQ_OK;
    static const struct {
        int number, text;
        bool one, of_object;
    } ways[] = {{OBJECT_LABEL, OBJECT_TEXT, true, true},
                {OBJECTS_LABEL, FEATURES, false, true},
                {CLASS_LABEL, CLASS_TEXT, true, false},
                {LABEL, LABEL, false, false}};
    char *text = NULL;
    *why = "has no label";
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        mq_label label = {0};
        uint64_t bits = 0;
        mq_bytes bytes;
        const size_t at = ways[i].of_object ? index : 0;
        const int number = ways[i].number;
        if (at == WHOLE) continue;
        label.has_id = rec->features[number].kind == MQ_INT_LIST && value_at(rec, number, at, &bits, &bytes);
        label.id = (int64_t)bits;
        if (ways[i].text < FEATURES) MQ_TRY(text_at(err, rec, ways[i].text, at, &text));
        label.text = text;
        if (!label.has_id && !text) continue;
        r->from_one |= ways[i].one;
        if (label.has_id && label.id < 0) break; /* -1 is TensorFlow Datasets' word for none */
        *why = !ways[i].of_object && value_at(rec, number, 1, &bits, &bytes) ? "has several labels" : NULL;
        if (!*why) MQ_TRY(mq_labels_add(err, r->labels, rec->what, &label, place));
        break;
    }
cleanup:
    free(text);
    return status;
}

/* Boxes in shares of the sides, as xmin, ymin, xmax, ymax; *shares is the caller's. */
static mq_status read_boxes(mq_err *err, const record *rec, float **shares, size_t *count) {
    mq_status status = MQ_OK;
    static const int sides[4] = {XMIN, YMIN, XMAX, YMAX}, swapped[4] = {1, 0, 3, 2};
    const mq_feature *flat = &rec->features[rec->features[OBJECTS_BBOX].kind ? OBJECTS_BBOX : BBOX];
    const mq_feature *longest = rec->features[XMIN].kind ? &rec->features[XMIN] : flat;
    const size_t max = longest->list.size / 4 < OBJECTS_MAX ? longest->list.size / 4 : OBJECTS_MAX;
    float *values = NULL;
    MQ_TRY(mq_calloc(err, max + 1, 5 * sizeof(float), "boxes", shares));
    values = *shares + 4 * (max + 1);
    for (size_t s = 0; s < 4 && rec->features[XMIN].kind; s++) {
        const size_t n = floats_of(&rec->features[sides[s]], values, max + 1);
        if (s == 0) *count = n;
        MQ_REQUIRE(n == *count && n <= max, err, MQ_BAD_DATA, "%s: not as many of %s as of %s", rec->what,
                   NAMES[sides[s]], NAMES[XMIN]);
        for (size_t i = 0; i < n; i++) (*shares)[4 * i + s] = values[i];
    }
    if (!rec->features[XMIN].kind && flat->kind == MQ_FLOAT_LIST) {
        const size_t n = floats_of(flat, values, max + 1);
        MQ_REQUIRE(n != SIZE_MAX && n % 4 == 0, err, MQ_BAD_DATA, "%s: its boxes are not four numbers each",
                   rec->what);
        *count = n / 4;
        for (size_t i = 0; i < n; i++) (*shares)[i - i % 4 + (size_t)swapped[i % 4]] = values[i];
    }
cleanup:
    return status;
}

/* Whether all objects of the picture have one label. */
static bool are_alike(const record *rec) {
    const int number = rec->features[OBJECT_LABEL].kind ? OBJECT_LABEL : OBJECTS_LABEL;
    mq_values values = mq_values_of(&rec->features[number]);
    uint64_t bits, first = 0;
    mq_bytes bytes;
    for (size_t i = 0; mq_values_next(&values, &bits, &bytes); i++) {
        if (i == 0) first = bits;
        if (bits != first) return false;
    }
    return values.sound;
}

/* An object, or the picture, with the label of its object number index (WHOLE: its own). */
static mq_status add_object(mq_err *err, reading *r, record *rec, mq_object *o, size_t index) {
    mq_status status = MQ_OK;
    mq_entry *entry = NULL;
    const char *why = NULL;
    MQ_TRY(find_label(err, r, rec, index, &why, &o->class));
    MQ_TRY(mq_import_add_object(err, r->job, o, &r->inverted, &entry));
    if (why) MQ_TRY(mq_manifest_leave_out(err, entry, "%s", why));
    if (index != WHOLE && !o->has_box && !are_alike(rec))
        MQ_TRY(mq_manifest_leave_out(err, entry, "shows objects of several classes"));
cleanup:
    return status;
}

/* All that a record holds: each object, or else the picture. */
static mq_status take_record(mq_err *err, reading *r, record *rec) {
    mq_status status = MQ_OK;
    mq_err ignored = {0};
    mq_picture_info info;
    float *shares = NULL;
    size_t count = 0;
    mq_object o = {.file = rec->name,
                   .holder = rec->shard,
                   .offset = rec->place,
                   .length = rec->picture.size,
                   .split = r->split,
                   .row = rec->number};
    const bool own = rec->features[CLASS_LABEL].kind || rec->features[CLASS_TEXT].kind ||
                     rec->features[LABEL].kind;
    if (r->job->plan->boxes == MQ_BOXES_CROP) MQ_TRY(read_boxes(err, rec, &shares, &count));
    if (!count) MQ_TRY(add_object(err, r, rec, &o, own ? WHOLE : 0));
    if (count && mq_picture_probe(&ignored, rec->what, rec->picture.data, rec->picture.size, &info) != MQ_OK)
        info.width = info.height = 1; /* mq_import_check will leave it out */
    o.has_box = true;
    o.alone = count == 1;
    for (size_t i = 0; i < count; i++) {
        MQ_TRY(mq_import_go_on(err, r->job));
        o.number = i + 1;
        for (size_t s = 0; s < 4; s++)
            o.box[s] = (double)shares[4 * i + s] * (s % 2 ? info.height : info.width);
        MQ_TRY(add_object(err, r, rec, &o, i));
    }
cleanup:
    free(shares);
    return status;
}

/* Reads a record's features and takes what it holds; at is where its data begin in the shard. */
static mq_status read_record(mq_err *err, reading *r, record *rec, mq_bytes data, uint64_t at) {
    mq_status status = MQ_OK;
    uint64_t bits;
    MQ_TRY(mq_example_find(err, rec->what, data, NAMES, FEATURES, rec->features));
    const int picture = rec->features[ENCODED].kind ? ENCODED : IMAGE;
    MQ_REQUIRE(
        rec->features[picture].kind == MQ_BYTES_LIST && value_at(rec, picture, 0, &bits, &rec->picture), err,
        MQ_BAD_DATA, "%s: holds no picture: neither image/encoded nor image is there as bytes", rec->what);
    rec->place = at + (uint64_t)(rec->picture.data - data.data);
    MQ_TRY(text_at(err, rec, FILENAME, 0, &rec->name));
    if (!rec->name) MQ_TRY(text_at(err, rec, FILE_NAME, 0, &rec->name));
    if (!rec->name) MQ_TRY(mq_format(err, &rec->name, "%s:%zu", rec->shard, rec->number));
    MQ_TRY(take_record(err, r, rec));
cleanup:
    free(rec->name);
    rec->name = NULL;
    return status;
}

static mq_status read_shard(mq_err *err, reading *r, const mq_shard_list *list, const char *shard,
                            uint64_t *done) {
    mq_status status = MQ_OK;
    mq_tfrecord *reader = NULL;
    char *path = NULL, *what = NULL;
    const mq_import_plan *plan = r->job->plan;
    mq_bytes data = {0};
    MQ_TRY(mq_shard_open(err, r->job, shard, &reader, &path));
    for (size_t number = 0;; number++) {
        const uint64_t at = mq_tfrecord_offset(reader);
        mq_err wrong = {0};
        MQ_TRY(mq_import_go_on(err, r->job));
        status = mq_tfrecord_next(&wrong, reader, &data.data, &data.size);
        MQ_REQUIRE(status == MQ_OK, err, status, "%s", wrong.text);
        if (!data.data) break;
        free(what);
        what = NULL;
        MQ_TRY(mq_format(err, &what, "%s: record %zu at byte %" PRIu64, path, number, at));
        record rec = {.what = what, .shard = shard, .number = number};
        MQ_TRY(read_record(err, r, &rec, data, at + MQ_TFRECORD_HEADER));
        r->records++;
        if (plan->progress)
            plan->progress(plan->user, "MB of records read",
                           (size_t)((*done + mq_tfrecord_offset(reader)) / 1000000),
                           (size_t)(list->bytes / 1000000));
    }
    *done += mq_tfrecord_offset(reader);
cleanup:
    mq_tfrecord_free(&reader);
    free(path);
    free(what);
    return status;
}

/* Where the number of an object begins in an entry's name, "#17"; else its end. */
static size_t base_length(const char *name) {
    const char *mark = strrchr(name, '#');
    return mark && mark[1] && !mark[1 + strspn(mark + 1, "0123456789")] ? (size_t)(mark - name)
                                                                        : strlen(name);
}

/* Pictures of one name get their place behind it: 1.png in the folder of each class, say. */
static mq_status part_namesakes(mq_err *err, mq_manifest *m) {
    mq_status status = MQ_OK;
    bool *twice = NULL;
    char *name = NULL;
    MQ_TRY(mq_calloc(err, m->count, sizeof *twice, "names", &twice));
    mq_manifest_sort(m);
    for (size_t i = 1; i < m->count; i++)
        if (strcmp(m->entries[i - 1].name, m->entries[i].name) == 0) twice[i - 1] = twice[i] = true;
    for (size_t i = 0; i < m->count; i++) {
        mq_entry *e = &m->entries[i];
        if (!twice[i]) continue;
        const int base = (int)base_length(e->name);
        MQ_TRY(mq_format(err, &name, "%.*s@%s:%zu%s", base, e->name, e->file, e->row, e->name + base));
        free(e->name);
        e->name = name;
        name = NULL;
    }
cleanup:
    free(twice);
    free(name);
    return status;
}

/* Where boxes are, for dataset.json: its digest has to change with them. */
static mq_status digest_boxes(mq_err *err, mq_import_job *job) {
    mq_digest *digest = NULL;
    bool boxes = false;
    for (size_t i = 0; i < job->manifest.count; i++) boxes |= job->manifest.entries[i].has_box;
    if (!boxes) return MQ_OK;
    const mq_status status = mq_digest_begin(err, MQ_SHA256, &digest);
    if (status != MQ_OK) return status;
    for (size_t i = 0; i < job->manifest.count; i++) {
        const mq_entry *e = &job->manifest.entries[i];
        char line[64];
        const int length = snprintf(line, sizeof line, "%d,%d,%d,%d\n", e->box.x1, e->box.y1, e->box.x2,
                                    e->box.y2);
        mq_digest_add(digest, e->name, strlen(e->name) + 1);
        mq_digest_add(digest, line, (size_t)length);
    }
    mq_digest_end(&digest, job->annotations);
    return MQ_OK;
}

static bool probe(const mq_import_job *job) {
    mq_err ignored = {0};
    mq_shard_list list = {0};
    const bool found = mq_shard_list_find(&ignored, job, &list) == MQ_OK && list.count;
    mq_shard_list_free(&list);
    return found;
}

static mq_status name_classes(mq_err *err, const reading *r) {
    mq_status status = MQ_OK;
    char *names = NULL;
    for (size_t i = 0; !names && i < sizeof LABEL_FILES / sizeof *LABEL_FILES; i++) {
        MQ_TRY(mq_path_join(err, r->job->root, LABEL_FILES[i], &names));
        if (mq_file_exists(names)) break;
        free(names);
        names = NULL;
    }
    MQ_TRY(mq_labels_end(err, r->labels, r->job, names, r->from_one));
cleanup:
    free(names);
    return status;
}

/* Of a data set of marque the records tell the part, but not the fold. */
static mq_status warn_folds(mq_err *err, const mq_import_job *job) {
    mq_status status = MQ_OK;
    mq_err ignored = {0};
    mq_import_settings made = {0};
    char *path = NULL, again[48];
    MQ_TRY(mq_path_join(err, job->root, "dataset.json", &path));
    if (mq_import_settings_load(&ignored, path, &made) != MQ_OK || !made.folds) goto cleanup;
    snprintf(again, sizeof again, "--folds %u draws new ones", made.folds);
    mq_warn("%s: the %u folds that it was imported with are not kept; %s", job->plan->source, made.folds,
            job->plan->folds ? "others are drawn" : again);
cleanup:
    mq_import_settings_free(&made);
    free(path);
    return status;
}

static mq_status read_tfrecord(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    mq_shard_list list = {0};
    uint64_t done = 0;
    reading r = {.job = job, .inverted = {.unit = "record", .shown = mq_buf_init(MQ_WRONG_SHOWN)}};
    mq_wrong_rows missing = {.unit = "record"};
    MQ_TRY(mq_labels_new(err, &r.labels));
    MQ_TRY(mq_shard_list_find(err, job, &list));
    if (!job->list && !job->plan->allow_missing) MQ_TRY(mq_shard_list_check(err, job, &list));
    const bool splits = mq_shard_list_splits(&list);
    for (size_t i = 0; i < list.count; i++) {
        r.split = MQ_SPLITS;
        if (splits && mq_import_split_in(list.names[i], &r.split)) job->manifest.sets_split[r.split] = true;
        MQ_TRY(read_shard(err, &r, &list, list.names[i], &done));
    }
    MQ_TRY(mq_import_judge_rows(err, job, job->plan->source, r.records, &missing, &r.inverted));
    MQ_TRY(name_classes(err, &r));
    MQ_TRY(part_namesakes(err, &job->manifest));
    mq_manifest_sort(&job->manifest);
    MQ_TRY(digest_boxes(err, job));
    MQ_TRY(warn_folds(err, job));
    job->report->class_rule = "class = label of the record";
cleanup:
    mq_buf_free(&r.inverted.shown);
    mq_labels_free(&r.labels);
    mq_shard_list_free(&list);
    return status;
}

const mq_import_source mq_import_tfrecord = {"tfrecord", "record", probe, read_tfrecord, false};
