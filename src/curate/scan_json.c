/* scan_json.c: the scan as JSON. Called by `marque scan`. Owns the values until
 * they are written, of one picture at a time. Invariant: numbers and names are those
 * of the scan; what was not measured is null. */
#include "curate/scan_json.h"
#include "base/mem.h"
#include "base/names.h"
#include "data/manifest.h"

#include <math.h>
#include <stdlib.h>

enum { RECORD_MAX = 1 << 30 };

static mq_status set(mq_err *err, mq_json *object, const char *key, double value) {
    return mq_json_set(err, object, key, mq_json_number(value));
}

/* For who takes it over. */
static mq_json *take(mq_json **json) {
    mq_json *taken = *json;
    *json = NULL;
    return taken;
}

/* The picture by name, part and class. */
static mq_status picture_json(mq_err *err, const mq_scan *scan, uint32_t picture, mq_buf *record,
                              mq_json **json) {
    mq_status status = MQ_OK;
    mq_sample sample;
    mq_json *name = NULL, *class = NULL;
    size_t index;
    const mq_split split = mq_picture_place(scan->dataset, picture, &index);
    mq_scan_sample(scan, picture, record, &sample);
    MQ_TRY(mq_name_to_json(err, sample.name, &name));
    MQ_TRY(mq_name_to_json(err, mq_dataset_class(scan->dataset, sample.label), &class));
    MQ_TRY(mq_json_pack(err, json, "{s:O, s:s, s:I, s:O}", "file", name, "split", mq_split_name(split),
                        "index", (long long)index, "class", class));
cleanup:
    mq_json_free(&name);
    mq_json_free(&class);
    return status;
}

/* A picture with its flaws and all its measures. */
static mq_status flawed_json(mq_err *err, const mq_scan *scan, uint32_t picture, mq_buf *record,
                             mq_json **json) {
    mq_status status = MQ_OK;
    const mq_scan_row *row = &scan->rows[picture];
    mq_json *reasons = NULL, *one = NULL;
    MQ_TRY(picture_json(err, scan, picture, record, &one));
    MQ_TRY(mq_json_pack(err, &reasons, "[]"));
    for (unsigned flaw = 0; flaw < MQ_FLAWS; flaw++)
        if (row->flaws >> flaw & 1)
            MQ_TRY(mq_json_append(err, reasons, mq_json_text(mq_flaw_name((mq_flaw)flaw)->word)));
    MQ_TRY(mq_json_set(err, one, "reasons", reasons));
    reasons = NULL;
    MQ_TRY(set(err, one, "width", row->width));
    MQ_TRY(set(err, one, "height", row->height));
    for (size_t i = 0; i < MQ_MEASURES; i++)
        MQ_TRY(set(err, one, mq_measure_name((mq_measure_kind)i), (double)row->measures[i]));
    *json = one;
    one = NULL;
cleanup:
    mq_json_free(&reasons);
    mq_json_free(&one);
    return status;
}

static mq_status stream_flawed(mq_err *err, const mq_scan *scan, mq_json_stream *out) {
    mq_status status = MQ_OK;
    mq_buf record = mq_buf_init(RECORD_MAX);
    mq_json *one = NULL;
    size_t problem = 0;
    MQ_TRY(mq_json_stream_open(err, out, "flagged", '['));
    for (size_t i = 0; i < scan->pictures; i++) {
        if (!scan->rows[i].flaws) continue;
        MQ_TRY(flawed_json(err, scan, (uint32_t)i, &record, &one));
        if (problem < scan->problem_count && scan->problems[problem].picture == i)
            MQ_TRY(mq_json_set(err, one, "error", mq_json_text(scan->problems[problem++].text)));
        MQ_TRY(mq_json_stream_add(err, out, NULL, take(&one)));
    }
    MQ_TRY(mq_json_stream_close(err, out));
cleanup:
    mq_json_free(&one);
    mq_buf_free(&record);
    return status;
}

/* A group may be as large as the data set. */
static mq_status stream_group(mq_err *err, const mq_scan *scan, const mq_duplicate_group *g, mq_buf *record,
                              mq_json_stream *out) {
    mq_status status = MQ_OK;
    mq_json *head = NULL;
    MQ_TRY(mq_json_pack(err, &head, "{s:s, s:b, s:b, s:b, s:b, s:i, s:o}", "kind",
                        g->exact ? "exact" : "near", "leak", g->leak, "conflict", g->conflict, "confirmed",
                        g->confirmed, "mirrored", g->mirrored, "distance", (int)g->distance, "cosine",
                        mq_json_number((double)g->cosine)));
    MQ_TRY(mq_json_stream_open(err, out, NULL, '{'));
    MQ_TRY(mq_json_stream_merge(err, out, take(&head)));
    MQ_TRY(mq_json_stream_open(err, out, "pictures", '['));
    for (size_t i = 0; i < g->count; i++) {
        mq_json *one = NULL;
        MQ_TRY(picture_json(err, scan, g->pictures[i], record, &one));
        MQ_TRY(mq_json_stream_add(err, out, NULL, one));
    }
    MQ_TRY(mq_json_stream_close(err, out));
    MQ_TRY(mq_json_stream_close(err, out));
cleanup:
    mq_json_free(&head);
    return status;
}

static mq_status stream_groups(mq_err *err, const mq_scan *scan, mq_json_stream *out) {
    mq_status status = MQ_OK;
    mq_buf record = mq_buf_init(RECORD_MAX);
    MQ_TRY(mq_json_stream_open(err, out, "groups", '['));
    for (size_t i = 0; i < scan->duplicates.count; i++)
        MQ_TRY(stream_group(err, scan, &scan->duplicates.groups[i], &record, out));
    MQ_TRY(mq_json_stream_close(err, out));
cleanup:
    mq_buf_free(&record);
    return status;
}

static mq_status tallies_json(mq_err *err, const mq_tallies *tallies, mq_json **json) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_json_pack(err, json, "[]"));
    for (size_t i = 0; i < tallies->count; i++) {
        mq_json *one = NULL;
        MQ_TRY(mq_json_pack(err, &one, "{s:o, s:I}", "name", mq_json_text(tallies->items[i].name), "pictures",
                            (long long)tallies->items[i].count));
        MQ_TRY(mq_json_append(err, *json, one));
    }
cleanup:
    return status;
}

static mq_status classes_json(mq_err *err, const mq_scan *scan, mq_json **json) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_json_pack(err, json, "[]"));
    for (size_t c = 0; c < mq_dataset_classes(scan->dataset); c++) {
        const size_t *count = scan->balance + c * MQ_SPLITS;
        mq_json *name = NULL, *one = NULL;
        MQ_TRY(mq_name_to_json(err, mq_dataset_class(scan->dataset, c), &name));
        MQ_TRY(mq_json_pack(err, &one, "{s:o, s:I, s:I, s:I}", "name", name, "train",
                            (long long)count[MQ_TRAIN], "val", (long long)count[MQ_VAL], "test",
                            (long long)count[MQ_TEST]));
        MQ_TRY(mq_json_append(err, *json, one));
    }
cleanup:
    return status;
}

/* Smallest, 5 %, middle, 95 %, largest. */
static mq_status sizes_json(mq_err *err, const mq_scan_sizes *sizes, mq_json **json) {
    const uint32_t *w = sizes->width, *h = sizes->height;
    return mq_json_pack(err, json, "{s:I, s:[I,I,I,I,I], s:[I,I,I,I,I]}", "count", (long long)sizes->count,
                        "width", (long long)w[0], (long long)w[1], (long long)w[2], (long long)w[3],
                        (long long)w[4], "height", (long long)h[0], (long long)h[1], (long long)h[2],
                        (long long)h[3], (long long)h[4]);
}

/* For each flaw how many pictures have it, and from where on it counts. */
static mq_status flaws_json(mq_err *err, const mq_scan *scan, mq_json **json) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_json_pack(err, json, "{}"));
    for (unsigned flaw = 0; flaw < MQ_FLAWS; flaw++) {
        const mq_flaw_text *text = mq_flaw_name((mq_flaw)flaw);
        mq_json *one = NULL;
        MQ_TRY(mq_json_pack(err, &one, "{s:I}", "pictures", (long long)scan->flaws[flaw]));
        MQ_TRY(mq_json_set(err, *json, text->word, one));
        if (text->measure == MQ_MEASURES) continue;
        MQ_TRY(mq_json_set(err, one, "measure", mq_json_text(mq_measure_name(text->measure))));
        MQ_TRY(set(err, one, "below", (double)scan->limits.below[flaw]));
        MQ_TRY(set(err, one, "above", (double)scan->limits.above[flaw]));
    }
cleanup:
    return status;
}

typedef mq_status (*part_fn)(mq_err *err, const mq_scan *scan, mq_json **json);

static mq_status sizes_of_pictures(mq_err *err, const mq_scan *scan, mq_json **json) {
    return sizes_json(err, &scan->sizes, json);
}

static mq_status sizes_of_boxes(mq_err *err, const mq_scan *scan, mq_json **json) {
    return sizes_json(err, &scan->boxes, json);
}

static mq_status formats_json(mq_err *err, const mq_scan *scan, mq_json **json) {
    return tallies_json(err, &scan->formats, json);
}

static mq_status colours_json(mq_err *err, const mq_scan *scan, mq_json **json) {
    return tallies_json(err, &scan->colours, json);
}

static mq_status orientations_json(mq_err *err, const mq_scan *scan, mq_json **json) {
    return tallies_json(err, &scan->orientations, json);
}

static mq_status left_out_json(mq_err *err, const mq_scan *scan, mq_json **json) {
    return tallies_json(err, &scan->left_out, json);
}

/* Behind the lists of pictures. */
static const struct {
    const char *key;
    part_fn make;
} PARTS[] = {
    {"classes", classes_json},   {"sizes", sizes_of_pictures}, {"boxes", sizes_of_boxes},
    {"formats", formats_json},   {"colours", colours_json},    {"orientations", orientations_json},
    {"left_out", left_out_json},
};

static mq_status head_json(mq_err *err, const mq_scan *scan, mq_json **json) {
    const mq_duplicates *d = &scan->duplicates;
    return mq_json_pack(
        err, json, "{s:s, s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:I, s:I, s:b, s:I, s:I, s:I, s:I}",
        "schema", "marque.scan.v1", "data", mq_json_text(mq_dataset_folder(scan->dataset)), "data_sha256",
        mq_dataset_digest(scan->dataset), "pictures", (long long)scan->pictures, "flagged_pictures",
        (long long)scan->flagged, "flawed_pictures", (long long)scan->flawed, "leaks", (long long)scan->leaks,
        "conflicts", (long long)scan->conflicts, "copies", (long long)scan->copies, "confirmed",
        scan->confirmed, "candidates", (long long)d->candidates, "refused", (long long)d->refused, "complete",
        d->complete, "small_classes", (long long)scan->small, "largest_class", (long long)scan->largest,
        "smallest_class", (long long)scan->smallest, "left_out_pictures", (long long)scan->left_out_count);
}

mq_status mq_scan_to_json(mq_err *err, const mq_scan *scan, mq_json_sink sink, void *user) {
    mq_status status = MQ_OK;
    mq_json *part = NULL;
    mq_json_stream out = mq_json_stream_init(sink, user);
    MQ_TRY(mq_json_stream_open(err, &out, NULL, '{'));
    MQ_TRY(head_json(err, scan, &part));
    MQ_TRY(mq_json_stream_merge(err, &out, take(&part)));
    MQ_TRY(flaws_json(err, scan, &part));
    MQ_TRY(mq_json_stream_add(err, &out, "flaws", take(&part)));
    MQ_TRY(stream_flawed(err, scan, &out));
    MQ_TRY(stream_groups(err, scan, &out));
    for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS; i++) {
        MQ_TRY(PARTS[i].make(err, scan, &part));
        MQ_TRY(mq_json_stream_add(err, &out, PARTS[i].key, take(&part)));
    }
    MQ_TRY(mq_json_stream_close(err, &out));
cleanup:
    mq_json_free(&part);
    mq_json_stream_free(&out);
    return status;
}
