/* features.c: the feature cache. Called by training and by whatever compares
 * pictures. Owns the file, which is locked against removal while it is open, and its folder's lock while it
 * writes. Invariant: a view has a
 * place only if its chunk has passed its checksum, and its row reads back exactly as the trunk gave it. */
#include "infer/features.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/mem.h"
#include "data/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of a chunk: u32 views; u32 for each of them, twice the picture's place, plus 1 for its mirror image; their
 * rows; u32 CRC-32C of all that. */
enum { CHUNK = 64, CHUNK_LARGE = 16, LARGE = 1 << 17, WORD = 4 };
static const char FILE_NAME[] = "features.bin";

struct mq_features {
    mq_features_plan plan; /* what it borrows is the caller's */
    size_t row;            /* bytes of a view */
    size_t most;           /* views in a chunk */
    char *folder, *path;
    int fd;
    uint64_t end;   /* of the last sound chunk */
    size_t views;   /* of all pictures of the split, two each */
    uint64_t *at;   /* [views] where a view's row lies; 0: nowhere */
    uint8_t *block; /* one chunk */
    float *output;  /* [batch, width] while views are computed */
};

static size_t views_of(const mq_features_plan *plan) {
    return plan->flips ? 2 : 1;
}

/* Views in a full chunk: fewer of large tensors, since a chunk is kept in memory while it is filled. */
static size_t most_of(const mq_features_plan *plan) {
    return plan->width * mq_dtype_size(plan->dtype) >= LARGE ? CHUNK_LARGE : CHUNK;
}

static size_t chunk_bytes(size_t views, size_t row) {
    return WORD + views * (WORD + row) + WORD;
}

uint64_t mq_features_bytes(const mq_features_plan *plan) {
    const uint64_t views = (uint64_t)plan->count * views_of(plan), most = most_of(plan);
    const uint64_t row = plan->width * mq_dtype_size(plan->dtype);
    return views * (WORD + row) + mq_ceil_div(views, most) * 2 * WORD;
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
    free(f->folder);
    free(f->path);
    free(f->at);
    free(f->block);
    free(f->output);
    free(f);
    *features = NULL;
}

/* The cache's folder for plan; *folder is the caller's. */
static mq_status folder_of(mq_err *err, const mq_features_plan *plan, char **folder) {
    mq_status status = MQ_OK;
    mq_json *recipe = NULL;
    char *base = NULL, *recipe_text = NULL, *key = NULL, hex[MQ_HEX_SIZE];
    MQ_TRY(mq_recipe_to_json(err, plan->recipe, &recipe));
    MQ_TRY(mq_json_dump(err, recipe, 0, &recipe_text));
    MQ_TRY(mq_format(err, &key, "2|%s|%s|%s|%s|%s|all", plan->weights_hash, recipe_text,
                     mq_program_key(plan->program), mq_dataset_digest(plan->dataset),
                     mq_split_name(plan->split)));
    MQ_TRY(mq_sha256_hex(err, key, strlen(key), hex));
    hex[16] = 0;
    MQ_TRY(mq_features_folder(err, &base));
    MQ_TRY(mq_path_join(err, base, hex, folder));
cleanup:
    mq_json_free(&recipe);
    free(base);
    free(recipe_text);
    free(key);
    return status;
}

/* Bytes of the whole cache as meta.json at path says; 0 where it cannot be read. */
static uint64_t told_bytes(const char *path) {
    mq_json *meta = NULL;
    mq_err unreadable = {0};
    const bool read = mq_json_load(&unreadable, path, &meta) == MQ_OK && mq_json_is_object(meta);
    const double bytes = read ? mq_json_real(mq_json_get(meta, "bytes")) : 0;
    mq_json_free(&meta);
    return bytes > 0 ? (uint64_t)bytes : 0;
}

/* Says in the folder, whose lock is held, whose it is. Commands without mirror images share it with those
 * that have them, so that the most bytes any of them will fill stand there. */
static mq_status write_meta(mq_err *err, const mq_features_plan *plan, const char *folder) {
    mq_status status = MQ_OK;
    mq_json *meta = NULL;
    char *path = NULL;
    mq_features_plan whole = *plan;
    mq_remove_temporaries(folder);
    MQ_TRY(mq_path_join(err, folder, "meta.json", &path));
    whole.count = mq_dataset_count(plan->dataset, plan->split); /* subsets share the file */
    if (told_bytes(path) >= mq_features_bytes(&whole)) goto cleanup;
    MQ_TRY(mq_json_pack(err, &meta, "{s:o, s:s, s:I, s:s}", "data",
                        mq_json_text(mq_dataset_folder(plan->dataset)), "split", mq_split_name(plan->split),
                        "bytes", (long long)mq_features_bytes(&whole), "program",
                        mq_program_key(plan->program)));
    MQ_TRY(mq_json_save(err, meta, path));
cleanup:
    mq_json_free(&meta);
    free(path);
    return status;
}

/* Reads the chunk at f->end if there is a whole, sound one: its views get their places, and f->end moves on.
 */
static mq_status take_chunk(mq_err *err, mq_features *f, uint64_t size, bool *found) {
    mq_status status = MQ_OK;
    uint32_t views, crc;
    *found = false;
    if (f->end + WORD > size) return MQ_OK;
    MQ_TRY(mq_file_pread(err, f->fd, f->path, &views, WORD, f->end));
    const size_t bytes = views <= f->most ? chunk_bytes(views, f->row) : 0;
    if (!views || !bytes || f->end + bytes > size) return MQ_OK;
    MQ_TRY(mq_file_pread(err, f->fd, f->path, f->block, bytes, f->end));
    memcpy(&crc, f->block + bytes - WORD, WORD);
    if (crc != mq_crc32c(f->block, bytes - WORD)) return MQ_OK;
    for (size_t i = 0; i < views; i++) {
        uint32_t view;
        memcpy(&view, f->block + WORD + i * WORD, WORD);
        if (view < f->views) f->at[view] = f->end + WORD + views * WORD + i * f->row;
    }
    f->end += bytes;
    *found = true;
cleanup:
    return status;
}

/* Finds what was added behind f->end; *size is the file's. */
static mq_status take_chunks(mq_err *err, mq_features *f, uint64_t *size) {
    mq_status status = MQ_OK;
    const off_t end = lseek(f->fd, 0, SEEK_END);
    MQ_REQUIRE(end >= 0, err, MQ_IO, "%s: %s", f->path, strerror(errno));
    *size = (uint64_t)end;
    for (bool found = true; found;) MQ_TRY(take_chunk(err, f, *size, &found));
cleanup:
    return status;
}

/* bf16 rows were rounded by the trunk already: their upper halves are exact. */
static void pack_row(const mq_features *f, const float *row, uint8_t *out) {
    if (f->plan.dtype == MQ_F32) {
        memcpy(out, row, f->row);
        return;
    }
    for (size_t i = 0; i < f->plan.width; i++) memcpy(out + 2 * i, (const uint8_t *)&row[i] + 2, 2);
}

/* Writes the block's first views as a chunk. */
static mq_status write_chunk(mq_err *err, mq_features *f, const uint32_t *views, size_t count) {
    const size_t bytes = chunk_bytes(count, f->row);
    const uint32_t number = (uint32_t)count;
    memcpy(f->block, &number, WORD);
    memcpy(f->block + WORD, views, count * WORD);
    if (count < f->most)
        memmove(f->block + WORD + count * WORD, f->block + WORD + f->most * WORD, count * f->row);
    const uint32_t crc = mq_crc32c(f->block, bytes - WORD);
    memcpy(f->block + bytes - WORD, &crc, WORD);
    for (size_t done = 0; done < bytes;) {
        const ssize_t n = pwrite(f->fd, f->block + done, bytes - done, (off_t)(f->end + done));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return mq_fail(err, MQ_IO, "%s: cannot be written: %s; free some space or set XDG_CACHE_HOME",
                           f->path, strerror(errno));
        done += (size_t)n;
    }
    for (size_t i = 0; i < count; i++) f->at[views[i]] = f->end + WORD + count * WORD + i * f->row;
    f->end += bytes;
    return MQ_OK;
}

/* Pictures for views that are to be computed; all but views is owned. */
typedef struct {
    const uint32_t *views; /* [count] */
    size_t count;
    uint32_t *pictures;
    uint8_t *flips;
    mq_loader *loader;
} view_source;

static mq_status open_source(mq_err *err, const mq_features_plan *plan, view_source *s) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_calloc(err, s->count, sizeof *s->pictures, "the order of pictures", &s->pictures));
    MQ_TRY(mq_calloc(err, s->count, sizeof *s->flips, "the order of pictures", &s->flips));
    for (size_t i = 0; i < s->count; i++) {
        s->pictures[i] = s->views[i] / 2;
        s->flips[i] = s->views[i] % 2;
    }
    const mq_loader_plan load = {.size = sizeof load,
                                 .dataset = plan->dataset,
                                 .split = plan->split,
                                 .recipe = plan->recipe,
                                 .order = s->pictures,
                                 .flips = s->flips,
                                 .count = s->count,
                                 .batch = plan->batch,
                                 .workers = plan->workers,
                                 .ahead = plan->ahead,
                                 .skipped = plan->skipped};
    MQ_TRY(mq_loader_open(err, &load, &s->loader));
cleanup:
    return status;
}

/* Takes the source's next batch, runs the trunk over it and puts the rows into the block, behind the first
 * *filled ones, and their views into kept. Skipped pictures have none. */
static mq_status add_batch(mq_err *err, mq_features *f, const view_source *s, uint32_t *kept,
                           size_t *filled) {
    mq_status status = MQ_OK;
    uint8_t *rows = f->block + WORD + f->most * WORD;
    const float *pixels = NULL;
    size_t n = 0;
    MQ_TRY(mq_loader_next(err, s->loader, &pixels, &n));
    if (n) MQ_TRY(mq_program_run(err, f->plan.program, pixels, n, f->output));
    for (size_t i = 0; i < n; i++, ++*filled) {
        pack_row(f, f->output + i * f->plan.width, rows + *filled * f->row);
        kept[*filled] = s->views[mq_loader_places(s->loader)[i]];
    }
cleanup:
    return status;
}

/* Computes views, chunk by chunk; the batch divides a chunk, which is full when no whole batch has room. */
static mq_status fill(mq_err *err, mq_features *f, const uint32_t *views, size_t count) {
    mq_status status = MQ_OK;
    const mq_features_plan *plan = &f->plan;
    view_source source = {.views = views, .count = count};
    const double start = mq_seconds();
    uint32_t kept[CHUNK];
    bool stop = false;
    MQ_TRY(open_source(err, plan, &source));
    MQ_TRY(mq_alloc_aligned(err, plan->batch * plan->width, sizeof *f->output, "features", &f->output));
    for (size_t done = 0, filled = 0; done < count;) {
        MQ_TRY(add_batch(err, f, &source, kept, &filled));
        done = mq_loader_taken(source.loader);
        stop = done < count && plan->stop && plan->stop(plan->user);
        if (filled && (filled + plan->batch > f->most || done == count || stop)) {
            MQ_TRY(write_chunk(err, f, kept, filled));
            filled = 0;
        }
        if (plan->progress)
            plan->progress(plan->user, done, count, mq_seconds() - start, mq_loader_waited(source.loader));
        MQ_REQUIRE(!stop, err, MQ_INTERRUPTED, "stopped; the features of %zu of %zu pictures are kept", done,
                   count);
    }
    MQ_REQUIRE(fdatasync(f->fd) == 0, err, MQ_IO, "%s: cannot be written to disk: %s", f->path,
               strerror(errno));
cleanup:
    mq_loader_free(&source.loader);
    free(source.pictures);
    free(source.flips);
    free(f->output);
    f->output = NULL;
    return status;
}

/* The number of a view in the file: subsets share what they have in common. */
static uint32_t view_of(const mq_features *f, size_t place, bool flip) {
    return 2 * (f->plan.subset ? f->plan.subset[place] : (uint32_t)place) + flip;
}

/* What has no place yet of the views a caller wants, each once, into views [count]; returns how many. */
static size_t find_missing(const mq_features *f, const uint32_t *order, const uint8_t *flips, size_t count,
                           uint32_t *views) {
    size_t missing = 0;
    for (size_t i = 0; i < count; i++) {
        const uint32_t view = view_of(f, order ? order[i] : i, flips && flips[i]);
        if (f->at[view]) continue;
        views[missing++] = view;
        f->at[view] = UINT64_MAX; /* listed; no place, and none behind this function */
    }
    for (size_t i = 0; i < missing; i++) f->at[views[i]] = 0;
    return missing;
}

mq_status mq_features_need(mq_err *err, mq_features *f, const uint32_t *order, const uint8_t *flips,
                           size_t count) {
    mq_status status = MQ_OK;
    mq_lock *lock = NULL;
    uint32_t *views = NULL;
    uint64_t size = 0;
    MQ_TRY(mq_calloc(err, count, sizeof *views, "a list of pictures", &views));
    if (!find_missing(f, order, flips, count, views)) goto cleanup;
    MQ_TRY(mq_lock_wait(err, f->folder, f->plan.stop, f->plan.user, &lock));
    MQ_TRY(take_chunks(err, f, &size)); /* of another run, meanwhile */
    const size_t missing = find_missing(f, order, flips, count, views);
    if (size > f->end)
        MQ_REQUIRE(ftruncate(f->fd, (off_t)f->end) == 0, err, MQ_IO, "%s: %s", f->path, strerror(errno));
    if (missing) MQ_TRY(fill(err, f, views, missing));
cleanup:
    mq_lock_free(&lock);
    free(views);
    return status;
}

/* The folder, which *lock then holds, and the file in it. */
static mq_status open_file(mq_err *err, mq_features *f, mq_lock **lock) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_make_folder(err, f->folder));
    MQ_TRY(mq_path_join(err, f->folder, FILE_NAME, &f->path));
    MQ_TRY(mq_lock_wait(err, f->folder, f->plan.stop, f->plan.user, lock));
    MQ_TRY(write_meta(err, &f->plan, f->folder));
    f->fd = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    MQ_REQUIRE(f->fd >= 0, err, mq_status_of_errno(errno, MQ_CANNOT_CREATE), "%s: cannot be written: %s",
               f->path, strerror(errno));
    MQ_REQUIRE(flock(f->fd, LOCK_SH) == 0, err, MQ_IO, "%s: cannot be locked: %s", f->path, strerror(errno));
cleanup:
    return status;
}

mq_status mq_features_open(mq_err *err, const mq_features_plan *plan, mq_features **features) {
    mq_status status = MQ_OK;
    mq_err why = {0};
    mq_features *f = NULL;
    mq_lock *lock = NULL;
    uint64_t size = 0;
    MQ_REQUIRE(plan->size == sizeof *plan && plan->batch && most_of(plan) % plan->batch == 0 &&
                   mq_dataset_count(plan->dataset, plan->split) <= UINT32_MAX / 2,
               err, MQ_INTERNAL, "the feature cache needs a batch that divides %zu", most_of(plan));
    MQ_TRY(mq_calloc(err, 1, sizeof *f, "the feature cache", &f));
    f->fd = -1;
    f->plan = *plan;
    f->row = plan->width * mq_dtype_size(plan->dtype);
    f->most = most_of(plan);
    f->views = 2 * mq_dataset_count(plan->dataset, plan->split);
    MQ_TRY(mq_calloc(err, f->views, sizeof *f->at, "the feature cache", &f->at));
    MQ_TRY(mq_calloc(err, chunk_bytes(f->most, f->row), 1, "the feature cache", &f->block));
    MQ_TRY(folder_of(err, plan, &f->folder));
    const mq_status opened = open_file(&why, f, &lock);
    MQ_REQUIRE(opened == MQ_OK, err, opened, "%s%s", why.text,
               opened == MQ_CANNOT_CREATE
                   ? "; XDG_CACHE_HOME names another place, and marque train --cache off does without"
                   : "");
    MQ_TRY(take_chunks(err, f, &size));
    *features = f;
    f = NULL;
cleanup:
    mq_lock_free(&lock);
    mq_features_free(&f);
    return status;
}

uint64_t mq_features_size(const char *folder) {
    char path[4096];
    struct stat st;
    const int n = snprintf(path, sizeof path, "%s/%s", folder, FILE_NAME);
    return n > 0 && (size_t)n < sizeof path && stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

mq_status mq_features_held(mq_err *err, const mq_features_plan *plan, uint64_t *bytes) {
    mq_status status = MQ_OK;
    char *folder = NULL;
    MQ_TRY(folder_of(err, plan, &folder));
    *bytes = mq_features_size(folder);
cleanup:
    free(folder);
    return status;
}

mq_status mq_features_remove(mq_err *err, const char *folder, bool *busy) {
    mq_status status = MQ_OK;
    mq_lock *lock = NULL;
    char *path = NULL;
    int fd = -1;
    MQ_TRY(mq_path_join(err, folder, FILE_NAME, &path));
    MQ_TRY(mq_lock_try(err, folder, busy, &lock));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    *busy = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0;
    MQ_REQUIRE(!*busy, err, MQ_CANNOT_CREATE, "%s: a run reads from it; wait for it", folder);
    MQ_TRY(mq_remove_folder(err, folder));
cleanup:
    if (fd >= 0) close(fd);
    mq_lock_free(&lock);
    free(path);
    return status;
}

bool mq_features_has(const mq_features *f, size_t index, bool flip) {
    return index < f->plan.count && f->at[view_of(f, index, flip)] != 0;
}

mq_status mq_features_read(mq_err *err, const mq_features *f, size_t index, bool flip, float *row) {
    mq_status status = MQ_OK;
    const uint64_t at = index < f->plan.count ? f->at[view_of(f, index, flip)] : 0;
    MQ_REQUIRE(at, err, MQ_INTERNAL, "%s: no row %zu", f->path, index);
    if (f->plan.dtype == MQ_F32) {
        MQ_TRY(mq_file_pread(err, f->fd, f->path, row, f->row, at));
        return status;
    }
    /* Read into the upper half of row, then spread from the front: number i moves from half i to word i. */
    uint8_t *halves = (uint8_t *)row + f->row;
    MQ_TRY(mq_file_pread(err, f->fd, f->path, halves, f->row, at));
    for (size_t i = 0; i < f->plan.width; i++) {
        uint16_t half;
        memcpy(&half, halves + 2 * i, sizeof half);
        const uint32_t bits = (uint32_t)half << 16;
        memcpy(&row[i], &bits, sizeof bits);
    }
cleanup:
    return status;
}
