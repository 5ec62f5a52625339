/* dataset.c: an opened data set. Called by the loader, eval and inspect. Owns
 * classes, indexes and the list of shards. Invariant: after opening, every row
 * of an index points to a record inside a shard of the right size. */
#include "data/dataset.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "data/example.h"
#include "data/manifest.h"
#include "data/shards.h"
#include "data/tfrecord.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CLASSES_MAX = 1 << 24,
    FRAME = MQ_TFRECORD_HEADER + MQ_TFRECORD_FOOTER,
    GAP = 256 << 10,   /* bytes that a disk reads in less time than it takes to go elsewhere */
    PIECE = 512 << 10, /* bytes told of in a call: Linux leaves away what a device does not read at once */
};

typedef struct {
    char *path;
    uint64_t bytes;
} shard_file;

typedef struct {
    mq_index index;
    shard_file *shards; /* owned */
    size_t shard_count;
} dataset_part;

struct mq_dataset {
    char *folder;
    char digest[MQ_HEX_SIZE];
    char **classes;
    size_t class_count;
    dataset_part parts[MQ_SPLITS];
    bool boxes;
    double margin;
    mq_decode decode;
    uint32_t presize; /* side its pictures were stored for; 0: as they came */
    mq_json *cleaned; /* NULL: none */
};

const char *mq_split_name(mq_split split) {
    static const char *const names[] = {"train", "val", "test"};
    return names[split];
}

/* Why there is no dataset.json: the folder is something else, and what to do. */
static mq_status no_dataset(mq_err *err, const char *folder) {
    char *cut = NULL, trimmed[512], made[sizeof trimmed + 4];
    mq_status status = mq_path_join(err, folder, ".import.tmp", &cut);
    if (status != MQ_OK) return status;
    const bool interrupted = mq_folder_exists(cut);
    free(cut);
    if (!mq_folder_exists(folder)) return mq_fail(err, MQ_NO_INPUT, "%s: no such data set", folder);
    if (interrupted)
        return mq_fail(err, MQ_BAD_DATA, "%s: its import was cut off; import the pictures again", folder);
    snprintf(trimmed, sizeof trimmed, "%s", folder);
    for (size_t n = strlen(trimmed); n > 1 && trimmed[n - 1] == '/'; n--) trimmed[n - 1] = 0;
    snprintf(made, sizeof made, "%s.mq", trimmed);
    return mq_fail(err, MQ_USAGE,
                   "%s: a folder, but not a data set of marque; make one with: marque import %s -o %s",
                   folder, mq_text_word(trimmed, &(mq_word){0}), mq_text_word(made, &(mq_word){0}));
}

/* The names in the order of their numbers. */
static mq_status read_classes(mq_err *err, const char *path, const mq_json *json, mq_dataset *d) {
    mq_status status = MQ_OK;
    const mq_json *list = mq_json_get(json, "classes");
    const size_t count = mq_json_size(list);
    MQ_REQUIRE(count && count <= CLASSES_MAX, err, MQ_BAD_DATA, "%s: no classes", path);
    MQ_TRY(mq_calloc(err, count, sizeof *d->classes, "classes", &d->classes));
    for (; d->class_count < count; d->class_count++)
        MQ_TRY(mq_name_from_json(err, path, mq_json_at(list, d->class_count), &d->classes[d->class_count]));
    const mq_manifest names = {.classes = d->classes, .class_count = count};
    MQ_TRY(mq_manifest_check_classes(err, &names));
cleanup:
    return status;
}

/* A shard as dataset.json names it: its size must be what was written. */
static mq_status open_shard(mq_err *err, const mq_dataset *d, mq_split split, mq_json *item, size_t i) {
    mq_status status = MQ_OK;
    const dataset_part *part = &d->parts[split];
    shard_file *shard = &part->shards[i];
    char name[MQ_SHARD_NAME];
    const char *stated = mq_json_string(mq_json_get(item, "file"));
    const long long bytes = mq_json_int(mq_json_get(item, "bytes"));
    struct stat st;
    mq_shard_name(split, i, part->shard_count, name);
    MQ_REQUIRE(stated && strcmp(stated, name) == 0 && bytes > 0, err, MQ_BAD_DATA,
               "%s/dataset.json: shard %zu of %s is not described properly", d->folder, i,
               mq_split_name(split));
    MQ_TRY(mq_path_join(err, d->folder, name, &shard->path));
    shard->bytes = (uint64_t)bytes;
    MQ_REQUIRE(stat(shard->path, &st) == 0, err, MQ_BAD_DATA, "%s: %s; import the pictures again",
               shard->path, strerror(errno));
    MQ_REQUIRE(S_ISREG(st.st_mode) && (uint64_t)st.st_size == shard->bytes, err, MQ_BAD_DATA,
               "%s: %lld bytes where %lld were written; import the pictures again", shard->path,
               (long long)st.st_size, bytes);
cleanup:
    return status;
}

/* So that reading needs no further check than that of the record itself. */
static mq_status check_rows(mq_err *err, const mq_dataset *d, mq_split split, const char *path) {
    const dataset_part *part = &d->parts[split];
    for (size_t i = 0; i < part->index.count; i++) {
        const mq_index_row row = mq_index_get(&part->index, i);
        const bool sound = row.shard < part->shard_count && row.label < d->class_count &&
                           row.length <= MQ_TFRECORD_MAX && row.offset <= part->shards[row.shard].bytes &&
                           row.length + FRAME <= part->shards[row.shard].bytes - row.offset;
        if (!sound)
            return mq_fail(err, MQ_BAD_DATA,
                           "%s: row %zu points outside the shards; import the pictures again", path, i);
    }
    return MQ_OK;
}

/* Index and shards of one split; a split without pictures has an index of no rows. */
static mq_status open_part(mq_err *err, const char *json_path, mq_json *json, mq_dataset *d, mq_split split) {
    mq_status status = MQ_OK;
    dataset_part *part = &d->parts[split];
    char name[MQ_SHARD_NAME], *path = NULL;
    mq_json *description = mq_json_get(mq_json_get(json, "splits"), mq_split_name(split));
    mq_json *shards = mq_json_get(description, "shards");
    const char *digest = mq_json_string(mq_json_get(description, "index_sha256"));
    const long long pictures = mq_json_int(mq_json_get(description, "pictures"));
    MQ_REQUIRE(description && shards && digest && mq_json_size(shards) <= MQ_SHARDS_MAX, err, MQ_BAD_DATA,
               "%s: the split %s is not described properly", json_path, mq_split_name(split));
    snprintf(name, sizeof name, "%s.idx", mq_split_name(split));
    MQ_TRY(mq_path_join(err, d->folder, name, &path));
    MQ_TRY(mq_index_read(err, path, digest, &part->index));
    part->shard_count = mq_json_size(shards);
    MQ_REQUIRE(part->index.shards == part->shard_count && (long long)part->index.count == pictures, err,
               MQ_BAD_DATA, "%s: not of this data set; import the pictures again", path);
    MQ_TRY(mq_calloc(err, part->shard_count, sizeof *part->shards, "shards", &part->shards));
    for (size_t i = 0; i < part->shard_count; i++)
        MQ_TRY(open_shard(err, d, split, mq_json_at(shards, i), i));
    MQ_TRY(check_rows(err, d, split, path));
cleanup:
    free(path);
    return status;
}

/* The digest is taken of the very bytes that are parsed. */
static mq_status open_json(mq_err *err, const char *path, mq_dataset *d) {
    mq_status status = MQ_OK;
    mq_buf text = mq_buf_init(MQ_JSON_MAX);
    mq_json *json = NULL;
    const char *format = NULL;
    int version = 0, boxes = 0;
    MQ_TRY(mq_file_read(err, path, &text));
    MQ_TRY(mq_sha256_hex(err, text.data, text.size, d->digest));
    MQ_TRY(mq_json_parse(err, path, text.data, text.size, &json));
    MQ_TRY(mq_json_unpack(err, path, json, "{s:s,s:i,s:b,s:F}", "format", &format, "version", &version,
                          "boxes", &boxes, "margin", &d->margin));
    MQ_REQUIRE(strcmp(format, "marque.dataset") == 0, err, MQ_BAD_DATA, "%s: not a data set of marque", path);
    MQ_REQUIRE(version == 1, err, MQ_BAD_DATA, "%s: version %d, of another marque; import the pictures again",
               path, version);
    MQ_REQUIRE(d->margin >= 0 && d->margin <= 10, err, MQ_BAD_DATA, "%s: a margin of %g makes no sense", path,
               d->margin);
    d->boxes = boxes;
    const mq_json *presize = mq_json_get(json, "presize");
    MQ_REQUIRE(!presize || (mq_json_int(presize) > 0 && mq_json_int(presize) <= MQ_PRESIZE_MAX), err,
               MQ_BAD_DATA, "%s: pictures stored for no size from 1 to %d", path, MQ_PRESIZE_MAX);
    d->presize = presize ? (uint32_t)mq_json_int(presize) : 0;
    const char *decode = mq_json_string(mq_json_get(json, "decode"));
    MQ_REQUIRE(!decode || strcmp(decode, "scaled") == 0, err, MQ_BAD_DATA,
               "%s: pictures are decoded \"%.40s\", which this version of marque does not know", path,
               decode);
    d->decode = decode ? MQ_DECODE_SCALED : MQ_DECODE_EXACT;
    if (mq_json_size(mq_json_get(json, "cleaned")))
        MQ_TRY(mq_json_unpack(err, path, json, "{s:O}", "cleaned", &d->cleaned));
    MQ_TRY(read_classes(err, path, json, d));
    for (mq_split split = MQ_TRAIN; split < MQ_SPLITS; split++) MQ_TRY(open_part(err, path, json, d, split));
cleanup:
    mq_json_free(&json);
    mq_buf_free(&text);
    return status;
}

mq_status mq_dataset_open(mq_err *err, const char *folder, mq_dataset **dataset) {
    mq_status status = MQ_OK;
    char *path = NULL;
    mq_dataset *d = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *d, "a data set", &d));
    MQ_TRY(mq_strdup(err, folder, &d->folder));
    MQ_TRY(mq_path_join(err, folder, "dataset.json", &path));
    if (!mq_file_exists(path)) MQ_TRY(no_dataset(err, folder));
    MQ_TRY(open_json(err, path, d));
    *dataset = d;
    d = NULL;
cleanup:
    mq_dataset_free(&d);
    free(path);
    return status;
}

void mq_dataset_free(mq_dataset **dataset) {
    mq_dataset *d = *dataset;
    if (!d) return;
    for (size_t i = 0; i < MQ_SPLITS; i++) {
        for (size_t k = 0; d->parts[i].shards && k < d->parts[i].shard_count; k++)
            free(d->parts[i].shards[k].path);
        free(d->parts[i].shards);
        mq_index_free(&d->parts[i].index);
    }
    for (size_t i = 0; i < d->class_count; i++) free(d->classes[i]);
    free(d->classes);
    mq_json_free(&d->cleaned);
    free(d->folder);
    free(d);
    *dataset = NULL;
}

const char *mq_dataset_folder(const mq_dataset *dataset) {
    return dataset->folder;
}

size_t mq_dataset_classes(const mq_dataset *dataset) {
    return dataset->class_count;
}

const char *mq_dataset_class(const mq_dataset *dataset, size_t index) {
    return dataset->classes[index];
}

size_t mq_dataset_count(const mq_dataset *dataset, mq_split split) {
    return dataset->parts[split].index.count;
}

uint32_t mq_dataset_label(const mq_dataset *dataset, mq_split split, size_t index) {
    return mq_index_get(&dataset->parts[split].index, index).label;
}

void mq_dataset_sha256(const mq_dataset *dataset, mq_split split, size_t index,
                       uint8_t digest[MQ_SHA256_SIZE]) {
    const mq_index_row row = mq_index_get(&dataset->parts[split].index, index);
    memcpy(digest, row.digest, sizeof row.digest);
}

const char *mq_dataset_shard(const mq_dataset *dataset, mq_split split, size_t index, size_t *number) {
    const dataset_part *part = &dataset->parts[split];
    const uint32_t shard = mq_index_get(&part->index, index).shard;
    size_t low = 0, high = index; /* a shard's rows follow one another: its first one lies between */
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (mq_index_get(&part->index, middle).shard < shard)
            low = middle + 1;
        else
            high = middle;
    }
    *number = index - low;
    return part->shards[shard].path;
}

size_t mq_dataset_bytes(const mq_dataset *dataset, mq_split split, size_t index) {
    return (size_t)mq_index_get(&dataset->parts[split].index, index).length + FRAME;
}

const mq_json *mq_dataset_cleaned(const mq_dataset *dataset) {
    return dataset->cleaned;
}

mq_status mq_dataset_check_recipe(mq_err *err, const mq_dataset *d, const mq_recipe *recipe) {
    if (recipe->decode == MQ_DECODE_SCALED && recipe->filter != MQ_FILTER_PILLOW)
        return mq_fail(err, MQ_USAGE,
                       "%s was imported with --decode scaled, which goes with --filter pillow alone",
                       d->folder);
    if (!d->presize || (d->presize == recipe->imgsz && recipe->fit == MQ_FIT_STRETCH &&
                        recipe->filter == MQ_FILTER_PILLOW && recipe->decode == MQ_DECODE_EXACT))
        return MQ_OK;
    return mq_fail(
        err, MQ_USAGE,
        "%s holds pictures made for %u pixels by --presize: use --imgsz %u, with the standard --fit, "
        "--filter and --decode, or import the pictures anew",
        d->folder, d->presize, d->presize);
}

bool mq_dataset_has_boxes(const mq_dataset *dataset) {
    return dataset->boxes;
}

const char *mq_dataset_digest(const mq_dataset *dataset) {
    return dataset->digest;
}

uint32_t mq_dataset_presize(const mq_dataset *dataset) {
    return dataset->presize;
}

void mq_dataset_recipe(const mq_dataset *dataset, mq_recipe *recipe) {
    recipe->crop = dataset->boxes;
    recipe->margin = dataset->boxes ? dataset->margin : 0;
    recipe->decode = dataset->decode;
}

/* A shard is opened for each record: that costs microseconds beside decoding, needs no limit on open files
 * and no lock between threads. */
static mq_status read_frame(mq_err *err, const char *path, const mq_index_row *row, mq_buf *record) {
    mq_status status = MQ_OK;
    const size_t size = (size_t)row->length + FRAME;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    MQ_REQUIRE(fd >= 0, err, mq_status_of_errno(errno, MQ_NO_INPUT), "%s: %s", path, strerror(errno));
    mq_buf_clear(record);
    MQ_TRY(mq_buf_reserve(err, record, size));
    MQ_TRY(mq_file_pread(err, fd, path, record->data, size, row->offset));
    record->size = size;
cleanup:
    if (fd >= 0) close(fd);
    return status;
}

/* The box in pixels; what the importer wrote comes back exactly. */
static bool box_in_pixels(const mq_example *e, mq_box *box) {
    const double side[2] = {(double)e->width, (double)e->height};
    double value[4];
    for (int i = 0; i < 4; i++) {
        value[i] = round((double)e->box[i] * side[i % 2]);
        if (!(value[i] >= 0 && value[i] <= side[i % 2] && value[i] <= INT32_MAX)) return false;
    }
    *box = (mq_box){(int32_t)value[0], (int32_t)value[1], (int32_t)value[2], (int32_t)value[3]};
    return box->x1 < box->x2 && box->y1 < box->y2;
}

mq_status mq_dataset_frame(mq_err *err, const mq_dataset *dataset, mq_split split, size_t index,
                           mq_buf *frame) {
    mq_status status = MQ_OK;
    const dataset_part *part = &dataset->parts[split];
    MQ_REQUIRE(index < part->index.count, err, MQ_INTERNAL, "%s: no picture %zu in %s", dataset->folder,
               index, mq_split_name(split));
    size_t number;
    const mq_index_row row = mq_index_get(&part->index, index);
    const char *path = mq_dataset_shard(dataset, split, index, &number);
    MQ_TRY(read_frame(err, path, &row, frame));
    MQ_TRY(mq_tfrecord_check(err, path, number, row.offset, frame->data, frame->size));
cleanup:
    return status;
}

mq_status mq_dataset_read(mq_err *err, const mq_dataset *dataset, mq_split split, size_t index,
                          mq_buf *record, mq_sample *sample) {
    mq_status status = MQ_OK;
    const dataset_part *part = &dataset->parts[split];
    char *what = NULL;
    mq_example example = {0};
    MQ_TRY(mq_dataset_frame(err, dataset, split, index, record));
    size_t number;
    const mq_index_row row = mq_index_get(&part->index, index);
    const char *path = mq_dataset_shard(dataset, split, index, &number);
    MQ_TRY(
        mq_format(err, &what, "%s: record %zu at byte %llu", path, number, (unsigned long long)row.offset));
    MQ_TRY(mq_example_decode(err, what, record->data + MQ_TFRECORD_HEADER, (size_t)row.length, &example));
    MQ_REQUIRE(example.encoded.size && example.label == (int64_t)row.label + 1, err, MQ_BAD_DATA,
               "%s has no picture or another class than the index says; import the pictures again", what);
    *sample = (mq_sample){.label = row.label, .size = example.encoded.size, .has_box = example.has_box};
    MQ_REQUIRE(!example.has_box || box_in_pixels(&example, &sample->box), err, MQ_BAD_DATA,
               "%s has a box outside its picture; import the pictures again", what);
    /* The name needs an end: it is copied behind the record, whose memory may move. */
    const size_t name = (size_t)(example.filename.data ? example.filename.data - record->data : 0);
    const size_t encoded = (size_t)(example.encoded.data - record->data), end = record->size;
    MQ_TRY(mq_buf_reserve(err, record, example.filename.size + 1));
    MQ_TRY(mq_buf_add(err, record, record->data + name, example.filename.size));
    sample->bytes = record->data + encoded;
    sample->name = (const char *)record->data + end;
cleanup:
    free(what);
    return status;
}

/* Of a stretch of a shard. */
static void expect_stretch(const dataset_part *part, const mq_index_row *stretch) {
    if (!stretch->length) return;
    const int fd = open(part->shards[stretch->shard].path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return; /* whoever reads it tells of that */
    for (uint64_t done = 0; done < stretch->length; done += PIECE) {
        const uint64_t left = stretch->length - done, bytes = left < PIECE ? left : PIECE;
        posix_fadvise(fd, (off_t)(stretch->offset + done), (off_t)bytes, POSIX_FADV_WILLNEED);
    }
    close(fd);
}

static int compare_indexes(const void *a, const void *b) {
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

mq_status mq_dataset_expect(mq_err *err, const mq_dataset *dataset, mq_split split, const uint32_t *indexes,
                            size_t count) {
    mq_status status = MQ_OK;
    const dataset_part *part = &dataset->parts[split];
    uint32_t *sorted = NULL;
    mq_index_row stretch = {.length = 0};
    MQ_TRY(mq_calloc(err, count, sizeof *sorted, "the order of pictures", &sorted));
    if (count) memcpy(sorted, indexes, count * sizeof *sorted);
    if (count) qsort(sorted, count, sizeof *sorted, compare_indexes);
    for (size_t i = 0; i < count; i++) {
        const mq_index_row row = mq_index_get(&part->index, sorted[i]);
        const uint64_t end = stretch.offset + stretch.length;
        if (row.shard != stretch.shard || row.offset < end || row.offset - end > GAP) {
            expect_stretch(part, &stretch);
            stretch = row;
        }
        stretch.length = row.offset + row.length + FRAME - stretch.offset;
    }
    expect_stretch(part, &stretch);
cleanup:
    free(sorted);
    return status;
}

void mq_dataset_forget(const mq_dataset *dataset, mq_split split) {
    const dataset_part *part = &dataset->parts[split];
    for (size_t i = 0; i < part->shard_count; i++) {
        const int fd = open(part->shards[i].path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) continue;
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED); /* up to the end */
        close(fd);
    }
}
