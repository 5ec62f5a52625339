/* scan.c: looks at every picture of a data set. Called by `marque scan`. Owns
 * the rows while they fill, and the workers' scratch memory. Invariant: the
 * result does not depend on the workers, and a bad picture ends nothing. */
#include "curate/scan.h"
#include "base/clock.h"
#include "base/csv.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/pipeline.h"
#include "data/picture.h"

#include <math.h>
#include <string.h>

enum {
    RECORD_MAX = 1 << 30, /* bytes of one record; the index says how many it really has */
    SLOTS_A_WORKER = 4,
};

/* What a worker finds of one picture; its place in the ring. */
typedef struct {
    mq_scan_row row;
    mq_phash hash;
    mq_picture_info info;
} found;

/* What each worker works in. */
typedef struct {
    mq_buf record;
    mq_look look;
} bench;

typedef struct {
    const mq_scan_plan *plan;
    mq_scan *scan;
    mq_phash *hashes; /* [pictures] */
    bool *passed;     /* [pictures] compared by their bytes alone */
    found *ring;
    bench *benches; /* [workers] */
} scanner;

/* The size of what the network sees: the box with its margin, as far as the picture goes. */
static void fill_sizes(const mq_recipe *recipe, const mq_sample *sample, const mq_picture_info *info,
                       mq_scan_row *row) {
    double width = row->width = info->width, height = row->height = info->height;
    if (sample->has_box) {
        row->box_width = (uint32_t)(sample->box.x2 - sample->box.x1);
        row->box_height = (uint32_t)(sample->box.y2 - sample->box.y1);
        if (recipe->crop) {
            width = fmin(width, row->box_width * (1 + 2 * recipe->margin));
            height = fmin(height, row->box_height * (1 + 2 * recipe->margin));
        }
    }
    row->measures[MQ_SIDE] = (float)fmin(width, height);
    row->measures[MQ_AREA] = (float)(width * height);
    row->measures[MQ_SHAPE] = (float)(fmax(width, height) / fmin(width, height));
}

static mq_status look_at(mq_err *err, void *context, size_t item, size_t slot, size_t worker) {
    mq_status status = MQ_OK;
    scanner *s = context;
    found *out = &s->ring[slot];
    bench *b = &s->benches[worker];
    mq_sample sample;
    size_t index;
    const mq_split split = mq_picture_place(s->plan->dataset, item, &index);
    *out = (found){0};
    for (size_t i = 0; i < MQ_MEASURES; i++) out->row.measures[i] = NAN;
    /* The record's own checksums tell damage. The index's digest cannot: it is that of the file as it came,
     * and the importer may have stored it converted, shrunk or cut, which no record says. */
    MQ_TRY(mq_dataset_read(err, s->plan->dataset, split, index, &b->record, &sample));
    MQ_TRY(mq_picture_probe(err, sample.name, sample.bytes, sample.size, &out->info));
    MQ_TRY(mq_look_at(err, s->plan->recipe, &sample, &b->look));
    mq_quality_measure(b->look.luma, out->row.measures);
    fill_sizes(s->plan->recipe, &sample, &out->info, &out->row);
    out->hash = mq_phash_of(b->look.luma, MQ_LOOK_SIDE);
cleanup:
    return status;
}

static mq_status count_one(mq_err *err, mq_tallies *tallies, const char *name) {
    mq_status status = MQ_OK;
    size_t i = 0;
    while (i < tallies->count && strcmp(tallies->items[i].name, name) != 0) i++;
    if (i == tallies->count) {
        MQ_TRY(mq_grow(err, &tallies->items, &tallies->capacity, i + 1, sizeof *tallies->items));
        tallies->items[i] = (mq_tally){0};
        MQ_TRY(mq_strdup(err, name, &tallies->items[i].name));
        tallies->count++;
    }
    tallies->items[i].count++;
cleanup:
    return status;
}

static mq_status add_problem(mq_err *err, mq_scan *scan, size_t picture, const char *text) {
    mq_status status = MQ_OK;
    const size_t count = scan->problem_count;
    MQ_TRY(mq_grow(err, &scan->problems, &scan->problem_capacity, count + 1, sizeof *scan->problems));
    scan->problems[count] = (mq_scan_problem){.picture = (uint32_t)picture};
    MQ_TRY(mq_strdup(err, text, &scan->problems[count].text));
    scan->problem_count++;
cleanup:
    return status;
}

/* Takes one picture over; a bad one becomes a finding. */
static mq_status take(mq_err *err, scanner *s, mq_pipeline *pipeline, size_t picture) {
    mq_status status = MQ_OK;
    mq_err own = {0};
    size_t slot;
    char orientation[16];
    mq_scan *scan = s->scan;
    const mq_status read = mq_pipeline_next(&own, pipeline, &slot);
    const found *f = &s->ring[slot];
    scan->rows[picture] = f->row;
    s->hashes[picture] = f->hash;
    if (read == MQ_BAD_DATA) {
        for (size_t i = 0; i < MQ_MEASURES; i++) scan->rows[picture].measures[i] = NAN;
        scan->rows[picture].flaws = 1u << MQ_FLAW_CORRUPT;
        MQ_TRY(add_problem(err, scan, picture, own.text));
    } else if (read != MQ_OK) {
        MQ_TRY(mq_fail(err, read, "%s", own.text));
    } else {
        snprintf(orientation, sizeof orientation, "%d", f->info.orientation);
        MQ_TRY(count_one(err, &scan->formats, f->info.format));
        MQ_TRY(count_one(err, &scan->colours, f->info.colour));
        MQ_TRY(count_one(err, &scan->orientations, orientation));
    }
cleanup:
    mq_pipeline_release(pipeline, 1);
    return status;
}

static mq_status look_at_all(mq_err *err, scanner *s) {
    mq_status status = MQ_OK;
    const mq_scan_plan *plan = s->plan;
    mq_pipeline *pipeline = NULL;
    const size_t slots = plan->workers * SLOTS_A_WORKER;
    const double start = mq_seconds();
    MQ_TRY(mq_calloc(err, slots, sizeof *s->ring, "pictures", &s->ring));
    MQ_TRY(mq_calloc(err, plan->workers, sizeof *s->benches, "pictures", &s->benches));
    for (size_t i = 0; i < plan->workers; i++) s->benches[i].record = mq_buf_init(RECORD_MAX);
    MQ_TRY(mq_pipeline_start(err,
                             &(mq_pipeline_plan){.size = sizeof(mq_pipeline_plan),
                                                 .items = s->scan->pictures,
                                                 .slots = slots,
                                                 .workers = plan->workers,
                                                 .work = look_at,
                                                 .ctx = s},
                             &pipeline));
    for (size_t i = 0; i < s->scan->pictures; i++) {
        MQ_REQUIRE(!plan->stop || !plan->stop(plan->user), err, MQ_INTERRUPTED,
                   "stopped after %zu of %zu pictures", i, s->scan->pictures);
        MQ_TRY(take(err, s, pipeline, i));
        if (plan->progress)
            plan->progress(plan->user, "pictures looked at", i + 1, s->scan->pictures, mq_seconds() - start);
    }
cleanup:
    mq_pipeline_free(&pipeline);
    for (size_t i = 0; s->benches && i < plan->workers; i++) mq_buf_free(&s->benches[i].record);
    free(s->benches);
    free(s->ring);
    return status;
}

/* The bounds of this data set, and what lies beyond them. */
static mq_status judge(mq_err *err, scanner *s) {
    mq_status status = MQ_OK;
    mq_scan *scan = s->scan;
    float *measures = NULL;
    MQ_TRY(mq_calloc(err, scan->pictures, sizeof scan->rows->measures, "measures", &measures));
    for (size_t i = 0; i < scan->pictures; i++)
        memcpy(measures + i * MQ_MEASURES, scan->rows[i].measures, sizeof scan->rows[i].measures);
    MQ_TRY(mq_limits_find(err, measures, scan->pictures, &scan->limits));
    for (size_t i = 0; i < scan->pictures; i++) {
        mq_scan_row *row = &scan->rows[i];
        row->flaws |= mq_quality_flaws(&scan->limits, row->measures);
        scan->flawed += row->flaws != 0;
        for (unsigned flaw = 0; flaw < MQ_FLAWS; flaw++) scan->flaws[flaw] += row->flaws >> flaw & 1;
        s->passed[i] = row->flaws & (1u << MQ_FLAW_CORRUPT | 1u << MQ_FLAW_EMPTY);
    }
cleanup:
    free(measures);
    return status;
}

static mq_status compare(mq_err *err, scanner *s) {
    mq_status status = MQ_OK;
    mq_scan *scan = s->scan;
    const mq_scan_plan *plan = s->plan;
    const mq_duplicates_plan find = {.size = sizeof find,
                                     .dataset = plan->dataset,
                                     .hashes = s->hashes,
                                     .passed = s->passed,
                                     .viewer = plan->viewer,
                                     .stop = plan->stop,
                                     .progress = plan->progress,
                                     .user = plan->user};
    MQ_TRY(mq_duplicates_find(err, &find, &scan->duplicates));
    scan->confirmed = plan->viewer;
    scan->flagged = scan->flawed;
    for (size_t i = 0; i < scan->duplicates.count; i++) {
        const mq_duplicate_group *g = &scan->duplicates.groups[i];
        scan->leaks += g->leak;
        scan->conflicts += g->conflict;
        scan->copies += !g->leak && !g->conflict;
        for (size_t k = 0; k < g->count; k++) scan->flagged += !scan->rows[g->pictures[k]].flaws;
    }
cleanup:
    return status;
}

static int by_value(const void *a, const void *b) {
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void quantiles_of(uint32_t *values, size_t count, uint32_t out[MQ_SCAN_QUANTILES]) {
    static const double shares[MQ_SCAN_QUANTILES] = {0, 0.05, 0.5, 0.95, 1};
    qsort(values, count, sizeof *values, by_value);
    for (size_t i = 0; i < MQ_SCAN_QUANTILES; i++) out[i] = values[(size_t)(shares[i] * (double)(count - 1))];
}

/* Sides of all pictures, or of all boxes. */
static mq_status measure_sizes(mq_err *err, const mq_scan *scan, bool boxes, mq_scan_sizes *sizes) {
    mq_status status = MQ_OK;
    uint32_t *values = NULL;
    MQ_TRY(mq_calloc(err, scan->pictures, sizeof *values, "sizes", &values));
    for (int height = 0; height < 2; height++) {
        sizes->count = 0;
        for (size_t i = 0; i < scan->pictures; i++) {
            const mq_scan_row *row = &scan->rows[i];
            const uint32_t value = boxes    ? height ? row->box_height : row->box_width
                                   : height ? row->height
                                            : row->width;
            if (value) values[sizes->count++] = value;
        }
        if (sizes->count) quantiles_of(values, sizes->count, height ? sizes->height : sizes->width);
    }
cleanup:
    free(values);
    return status;
}

static mq_status weigh_classes(mq_err *err, mq_scan *scan) {
    mq_status status = MQ_OK;
    const size_t classes = mq_dataset_classes(scan->dataset);
    MQ_TRY(mq_calloc(err, classes, MQ_SPLITS * sizeof *scan->balance, "classes", &scan->balance));
    for (mq_split split = MQ_TRAIN; split < MQ_SPLITS; split++)
        for (size_t i = 0; i < mq_dataset_count(scan->dataset, split); i++)
            scan->balance[mq_dataset_label(scan->dataset, split, i) * MQ_SPLITS + split]++;
    for (size_t c = 0; c < classes; c++) {
        const size_t *count = scan->balance + c * MQ_SPLITS, all = count[0] + count[1] + count[2];
        scan->small += all < MQ_SMALL_CLASS;
        if (c == 0 || all < scan->smallest) scan->smallest = all;
        if (all > scan->largest) scan->largest = all;
    }
cleanup:
    return status;
}

/* What the import left out; the reason is told without the picture's own numbers, so that like counts as
 * like.
 */
static mq_status read_quarantine(mq_err *err, mq_scan *scan) {
    mq_status status = MQ_OK;
    char *path = NULL;
    mq_csv *csv = NULL;
    int column;
    MQ_TRY(mq_path_join(err, mq_dataset_folder(scan->dataset), "quarantine.csv", &path));
    if (!mq_file_exists(path)) goto cleanup;
    MQ_TRY(mq_csv_open(err, path, &csv));
    MQ_TRY(mq_csv_need(err, csv, "reason", &column));
    for (bool more = true;;) {
        MQ_TRY(mq_csv_next(err, csv, &more));
        if (!more) break;
        MQ_TRY(count_one(err, &scan->left_out, mq_csv_get(csv, column)));
        scan->left_out_count++;
    }
cleanup:
    mq_csv_free(&csv);
    free(path);
    return status;
}

mq_status mq_scan_run(mq_err *err, const mq_scan_plan *plan, mq_scan *scan) {
    mq_status status = MQ_OK;
    scanner s = {.plan = plan, .scan = scan};
    *scan = (mq_scan){.dataset = plan->dataset};
    MQ_REQUIRE(plan->size == sizeof *plan && plan->workers, err, MQ_INTERNAL, "a scan needs workers");
    for (mq_split split = MQ_TRAIN; split < MQ_SPLITS; split++)
        scan->pictures += mq_dataset_count(plan->dataset, split);
    MQ_TRY(mq_calloc(err, scan->pictures, sizeof *scan->rows, "pictures", &scan->rows));
    MQ_TRY(mq_calloc(err, scan->pictures, sizeof *s.hashes, "pictures", &s.hashes));
    MQ_TRY(mq_calloc(err, scan->pictures, sizeof *s.passed, "pictures", &s.passed));
    MQ_TRY(look_at_all(err, &s));
    MQ_TRY(judge(err, &s));
    MQ_TRY(compare(err, &s));
    MQ_TRY(measure_sizes(err, scan, false, &scan->sizes));
    MQ_TRY(measure_sizes(err, scan, true, &scan->boxes));
    MQ_TRY(weigh_classes(err, scan));
    MQ_TRY(read_quarantine(err, scan));
cleanup:
    free(s.hashes);
    free(s.passed);
    if (status != MQ_OK) mq_scan_free(scan);
    return status;
}

static void free_tallies(mq_tallies *tallies) {
    for (size_t i = 0; i < tallies->count; i++) free(tallies->items[i].name);
    free(tallies->items);
}

const char *mq_scan_turn(const char *orientation) {
    static const char *const WORDS[] = {"not at all",
                                        "mirrored",
                                        "half a turn",
                                        "mirrored, half a turn",
                                        "mirrored, a quarter turn left",
                                        "a quarter turn right",
                                        "mirrored, a quarter turn right",
                                        "a quarter turn left"};
    return WORDS[(orientation[0] - '1') & 7];
}

void mq_scan_free(mq_scan *scan) {
    free_tallies(&scan->formats);
    free_tallies(&scan->colours);
    free_tallies(&scan->orientations);
    free_tallies(&scan->left_out);
    for (size_t i = 0; i < scan->problem_count; i++) free(scan->problems[i].text);
    free(scan->problems);
    mq_duplicates_free(&scan->duplicates);
    free(scan->balance);
    free(scan->rows);
    *scan = (mq_scan){0};
}

/* The picture's own name is in the record alone. */
static const char *name_of_record(const mq_dataset *dataset, mq_split split, size_t index, mq_buf *text) {
    mq_err none = {0};
    size_t number;
    const char *path = mq_dataset_shard(dataset, split, index, &number), *slash = strrchr(path, '/');
    mq_buf_clear(text);
    if (mq_buf_printf(&none, text, "%s record %zu", slash ? slash + 1 : path, number) != MQ_OK ||
        mq_buf_add(&none, text, "", 1) != MQ_OK)
        return "a damaged record"; /* no memory for more */
    return (const char *)text->data;
}

void mq_scan_sample(const mq_scan *scan, uint32_t picture, mq_buf *record, mq_sample *sample) {
    mq_err none = {0};
    size_t index;
    const mq_split split = mq_picture_place(scan->dataset, picture, &index);
    if (mq_dataset_read(&none, scan->dataset, split, index, record, sample) != MQ_OK)
        *sample = (mq_sample){.name = name_of_record(scan->dataset, split, index, record),
                              .label = mq_dataset_label(scan->dataset, split, index)};
}

size_t mq_scan_worst(const mq_scan *scan, mq_flaw flaw, uint32_t *pictures, size_t most) {
    size_t count = 0;
    for (size_t i = 0; i < scan->pictures && most; i++) {
        if (!(scan->rows[i].flaws >> flaw & 1)) continue;
        const float excess = mq_quality_excess(&scan->limits, flaw, scan->rows[i].measures);
        size_t at = count;
        while (at && excess > mq_quality_excess(&scan->limits, flaw, scan->rows[pictures[at - 1]].measures))
            at--;
        if (at == most) continue;
        if (count < most) count++;
        memmove(pictures + at + 1, pictures + at, (count - 1 - at) * sizeof *pictures);
        pictures[at] = (uint32_t)i;
    }
    return count;
}
