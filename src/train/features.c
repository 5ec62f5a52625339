/* features.c: the feature cache. Called by training. Owns one folder of the
 * cache while it is open. Invariant: every chunk below `done` has passed its
 * checksum, and a row reads back exactly as the trunk gave it. */
#include "train/features.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/mem.h"
#include "data/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 64, CHUNK_LARGE = 16, LARGE = 1 << 17, FOOTER = 4 };

struct mq_features {
    size_t count, width, views; /* views: 1, or 2 with mirror images */
    mq_dtype dtype;
    size_t row;      /* bytes of one view */
    size_t pictures; /* in a full chunk */
    size_t chunk;    /* bytes of a full chunk with its checksum */
    char *path;
    mq_lock *lock;
    int fd;
    uint8_t *block;        /* one chunk */
    float *input, *output; /* [batch, imgsz, imgsz, 3] mirrored; [batch, width] */
};

static size_t views_of(const mq_features_plan *plan) {
    return plan->flips ? 2 : 1;
}

/* Pictures in a full chunk: fewer of large tensors, since a chunk is kept in memory while it is filled. */
static size_t chunk_pictures(const mq_features_plan *plan) {
    return plan->width * mq_dtype_size(plan->dtype) >= LARGE ? CHUNK_LARGE : CHUNK;
}

uint64_t mq_features_bytes(const mq_features_plan *plan) {
    const uint64_t count = plan->count, chunk = chunk_pictures(plan);
    return count * views_of(plan) * plan->width * mq_dtype_size(plan->dtype) +
           (count + chunk - 1) / chunk * FOOTER;
}

mq_status mq_features_folder(mq_err *err, char **path) {
    mq_status status = MQ_OK;
    char *cache = NULL;
    MQ_TRY(mq_cache_folder(err, &cache));
    MQ_TRY(mq_path_join(err, cache, "features", path));
cleanup:
    free(cache);
    return status;
}

void mq_features_free(mq_features **features) {
    mq_features *f = *features;
    if (!f) return;
    if (f->fd >= 0) close(f->fd);
    mq_lock_free(&f->lock);
    free(f->path);
    free(f->block);
    free(f->input);
    free(f->output);
    free(f);
    *features = NULL;
}

/* Makes the cache's folder for plan; *folder is the caller's. */
static mq_status make_folder(mq_err *err, const mq_features_plan *plan, char **folder) {
    mq_status status = MQ_OK;
    mq_json *recipe = NULL;
    char *base = NULL, *recipe_text = NULL, *key = NULL, hex[MQ_HEX_SIZE], subset[MQ_HEX_SIZE] = "all";
    MQ_TRY(mq_recipe_to_json(err, plan->recipe, &recipe));
    MQ_TRY(mq_json_dump(err, recipe, 0, &recipe_text));
    if (plan->subset) MQ_TRY(mq_sha256_hex(err, plan->subset, plan->count * sizeof *plan->subset, subset));
    MQ_TRY(mq_format(err, &key, "1|%s|%s|%s|%s|%s|%s|%d", plan->weights_digest, recipe_text,
                     mq_program_key(plan->program), mq_dataset_digest(plan->dataset),
                     mq_split_name(plan->split), subset, plan->flips));
    MQ_TRY(mq_sha256_hex(err, key, strlen(key), hex));
    hex[16] = 0;
    MQ_TRY(mq_features_folder(err, &base));
    MQ_TRY(mq_path_join(err, base, hex, folder));
    MQ_TRY(mq_make_folder(err, *folder));
cleanup:
    mq_json_free(&recipe);
    free(base);
    free(recipe_text);
    free(key);
    return status;
}

/* Says in the folder, whose lock is held, whose it is. */
static mq_status write_meta(mq_err *err, const mq_features_plan *plan, const char *folder) {
    mq_status status = MQ_OK;
    mq_json *meta = NULL;
    char *path = NULL;
    mq_remove_temporaries(folder);
    MQ_TRY(mq_path_join(err, folder, "meta.json", &path));
    if (mq_file_exists(path)) goto cleanup;
    MQ_TRY(mq_json_pack(err, &meta, "{s:o, s:s, s:I, s:s}", "data",
                        mq_json_text(mq_dataset_folder(plan->dataset)), "split", mq_split_name(plan->split),
                        "bytes", (long long)mq_features_bytes(plan), "program",
                        mq_program_key(plan->program)));
    MQ_TRY(mq_json_save(err, meta, path));
cleanup:
    mq_json_free(&meta);
    free(path);
    return status;
}

static size_t pictures_in_chunk(const mq_features *f, size_t chunk) {
    const size_t left = f->count - chunk * f->pictures;
    return left < f->pictures ? left : f->pictures;
}

/* Pictures in whole, sound chunks at the start of the file; what follows them is cut off. */
static mq_status count_done(mq_err *err, mq_features *f, size_t *done) {
    mq_status status = MQ_OK;
    const off_t size = lseek(f->fd, 0, SEEK_END);
    MQ_REQUIRE(size >= 0, err, MQ_IO, "%s: %s", f->path, strerror(errno));
    *done = 0;
    for (size_t chunk = 0; *done < f->count; chunk++) {
        const size_t pictures = pictures_in_chunk(f, chunk), bytes = pictures * f->views * f->row;
        if (chunk * f->chunk + bytes + FOOTER > (uint64_t)size) break;
        MQ_TRY(mq_file_pread(err, f->fd, f->path, f->block, bytes + FOOTER, chunk * f->chunk));
        const uint32_t crc = mq_crc32c(f->block, bytes);
        if (memcmp(&crc, f->block + bytes, FOOTER) != 0) break;
        *done += pictures;
    }
    const uint64_t sound = (uint64_t)(*done / f->pictures) * f->chunk +
                           (*done % f->pictures ? *done % f->pictures * f->views * f->row + FOOTER : 0);
    if ((uint64_t)size > sound)
        MQ_REQUIRE(ftruncate(f->fd, (off_t)sound) == 0, err, MQ_IO, "%s: %s", f->path, strerror(errno));
cleanup:
    return status;
}

/* bf16 rows were rounded by the trunk already: their upper halves are exact. */
static void pack_row(const mq_features *f, const float *row, uint8_t *out) {
    if (f->dtype == MQ_F32) {
        memcpy(out, row, f->row);
        return;
    }
    for (size_t i = 0; i < f->width; i++) memcpy(out + 2 * i, (const uint8_t *)&row[i] + 2, 2);
}

static void mirror(float *out, const float *in, size_t pictures, size_t side) {
    for (size_t line = 0; line < pictures * side; line++)
        for (size_t x = 0; x < side; x++)
            memcpy(out + (line * side + x) * 3, in + (line * side + side - 1 - x) * 3, 3 * sizeof *out);
}

/* Runs the trunk over count pictures and puts their rows into the block behind the first `filled` pictures.
 */
static mq_status add_rows(mq_err *err, mq_features *f, const mq_features_plan *plan, const float *pixels,
                          size_t count, size_t filled) {
    mq_status status = MQ_OK;
    for (size_t view = 0; view < f->views; view++) {
        if (view) mirror(f->input, pixels, count, plan->recipe->imgsz);
        MQ_TRY(mq_program_run(err, plan->program, view ? f->input : pixels, count, f->output));
        for (size_t i = 0; i < count; i++)
            pack_row(f, f->output + i * f->width, f->block + ((filled + i) * f->views + view) * f->row);
    }
cleanup:
    return status;
}

static mq_status write_chunk(mq_err *err, mq_features *f, size_t chunk) {
    const size_t bytes = pictures_in_chunk(f, chunk) * f->views * f->row;
    const uint32_t crc = mq_crc32c(f->block, bytes);
    memcpy(f->block + bytes, &crc, FOOTER);
    for (size_t done = 0; done < bytes + FOOTER;) {
        const ssize_t n = pwrite(f->fd, f->block + done, bytes + FOOTER - done,
                                 (off_t)(chunk * f->chunk + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return mq_fail(err, MQ_IO, "%s: cannot be written: %s; free some space or set XDG_CACHE_HOME",
                           f->path, strerror(errno));
        done += (size_t)n;
    }
    return MQ_OK;
}

/* Computes pictures `done` to the end. done is a multiple of a chunk, and a chunk of the batch. */
static mq_status fill(mq_err *err, mq_features *f, const mq_features_plan *plan, size_t done) {
    mq_status status = MQ_OK;
    mq_loader *loader = NULL;
    uint32_t *order = NULL;
    const size_t side = plan->recipe->imgsz, pixels_size = plan->batch * side * side * 3;
    const double start = mq_seconds();
    const size_t first = done;
    MQ_TRY(
        mq_alloc_aligned(err, pixels_size, f->views > 1 ? sizeof(float) : 0, "mirrored pictures", &f->input));
    MQ_TRY(mq_alloc_aligned(err, plan->batch * f->width, sizeof(float), "features", &f->output));
    MQ_TRY(mq_calloc(err, f->count - done, sizeof *order, "the order of pictures", &order));
    for (size_t i = done; i < f->count; i++) order[i - done] = plan->subset ? plan->subset[i] : (uint32_t)i;
    const mq_loader_plan load = {.size = sizeof load,
                                 .dataset = plan->dataset,
                                 .split = plan->split,
                                 .recipe = plan->recipe,
                                 .order = order,
                                 .count = f->count - done,
                                 .batch = plan->batch,
                                 .workers = plan->workers};
    MQ_TRY(mq_loader_open(err, &load, &loader));
    while (done < f->count) {
        const float *pixels = NULL;
        size_t count = 0;
        MQ_TRY(mq_loader_next(err, loader, &pixels, &count));
        MQ_TRY(add_rows(err, f, plan, pixels, count, done % f->pictures));
        done += count;
        if (done % f->pictures == 0 || done == f->count)
            MQ_TRY(write_chunk(err, f, (done - 1) / f->pictures));
        if (plan->progress)
            plan->progress(plan->user, done, done - first, mq_seconds() - start, mq_loader_waited(loader));
        MQ_REQUIRE(!plan->stop || !plan->stop(plan->user) || done == f->count, err, MQ_INTERRUPTED,
                   "stopped; the features of %zu of %zu pictures are kept", done / f->pictures * f->pictures,
                   f->count);
    }
    MQ_REQUIRE(fdatasync(f->fd) == 0, err, MQ_IO, "%s: cannot be written to disk: %s", f->path,
               strerror(errno));
cleanup:
    mq_loader_free(&loader);
    free(order);
    return status;
}

mq_status mq_features_open(mq_err *err, const mq_features_plan *plan, mq_features **features) {
    mq_status status = MQ_OK;
    mq_features *f = NULL;
    char *folder = NULL;
    size_t done = 0;
    MQ_REQUIRE(plan->size == sizeof *plan && plan->batch && chunk_pictures(plan) % plan->batch == 0, err,
               MQ_INTERNAL, "the feature cache needs a batch that divides %zu", chunk_pictures(plan));
    MQ_TRY(mq_calloc(err, 1, sizeof *f, "the feature cache", &f));
    f->fd = -1;
    f->count = plan->count;
    f->width = plan->width;
    f->views = views_of(plan);
    f->dtype = plan->dtype;
    f->row = f->width * mq_dtype_size(f->dtype);
    f->pictures = chunk_pictures(plan);
    f->chunk = f->pictures * f->views * f->row + FOOTER;
    MQ_TRY(mq_calloc(err, 1, f->chunk, "the feature cache", &f->block));
    MQ_TRY(make_folder(err, plan, &folder));
    MQ_TRY(mq_lock_folder(err, folder, &f->lock));
    MQ_TRY(write_meta(err, plan, folder));
    MQ_TRY(mq_path_join(err, folder, "features.bin", &f->path));
    f->fd = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    MQ_REQUIRE(f->fd >= 0, err, mq_status_of_errno(errno, MQ_CANNOT_CREATE), "%s: cannot be written: %s",
               f->path, strerror(errno));
    MQ_TRY(count_done(err, f, &done));
    if (done < f->count) MQ_TRY(fill(err, f, plan, done));
    mq_lock_free(&f->lock); /* complete files are only read */
    free(f->block);
    free(f->input);
    free(f->output);
    f->block = NULL, f->input = f->output = NULL;
    *features = f;
    f = NULL;
cleanup:
    free(folder);
    mq_features_free(&f);
    return status;
}

mq_status mq_features_read(mq_err *err, const mq_features *f, size_t index, bool flip, float *row) {
    mq_status status = MQ_OK;
    MQ_REQUIRE(index < f->count && (!flip || f->views == 2), err, MQ_INTERNAL, "%s: no row %zu", f->path,
               index);
    const uint64_t offset = (uint64_t)(index / f->pictures) * f->chunk +
                            ((index % f->pictures) * f->views + flip) * f->row;
    if (f->dtype == MQ_F32) {
        MQ_TRY(mq_file_pread(err, f->fd, f->path, row, f->row, offset));
        return status;
    }
    /* Read into the upper half of row, then spread from the front: number i moves from half i to word i. */
    uint8_t *halves = (uint8_t *)row + f->row;
    MQ_TRY(mq_file_pread(err, f->fd, f->path, halves, f->row, offset));
    for (size_t i = 0; i < f->width; i++) {
        uint16_t half;
        memcpy(&half, halves + 2 * i, sizeof half);
        const uint32_t bits = (uint32_t)half << 16;
        memcpy(&row[i], &bits, sizeof bits);
    }
cleanup:
    return status;
}
