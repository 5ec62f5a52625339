/* import_load.c: the bytes that are stored for a picture. Called by the
 * importer's workers. Owns nothing. Invariant: with the plan's defaults they
 * are the file's own, untouched. */
#include "base/mem.h"
#include "data/encode.h"
#include "data/import_parts.h"
#include "data/prepare.h"
#include "data/resize.h"
#include "data/tfrecord.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

static bool is_cut(const mq_import_job *job, const mq_entry *entry) {
    return job->plan->store == MQ_STORE_CROP && entry->has_box;
}

/* The box with its margin, cut at the picture's edges. */
static mq_box grow(const mq_entry *entry, double margin) {
    const int32_t w = (int32_t)entry->width, h = (int32_t)entry->height;
    const mq_box b = entry->box;
    const int32_t dx = (int32_t)llround(margin * (b.x2 - b.x1)),
                  dy = (int32_t)llround(margin * (b.y2 - b.y1));
    return (mq_box){b.x1 > dx ? b.x1 - dx : 0, b.y1 > dy ? b.y1 - dy : 0, b.x2 < w - dx ? b.x2 + dx : w,
                    b.y2 < h - dy ? b.y2 + dy : h};
}

/* Width and height after cutting and shrinking the longer side to max_side. */
static void stored_size(const mq_import_job *job, const mq_entry *entry, uint32_t *width, uint32_t *height) {
    const mq_box box = is_cut(job, entry) ? grow(entry, job->plan->margin)
                                          : (mq_box){0, 0, (int32_t)entry->width, (int32_t)entry->height};
    const double side = job->plan->max_side;
    if (job->plan->presize) {
        *width = *height = job->plan->presize;
        return;
    }
    *width = (uint32_t)(box.x2 - box.x1);
    *height = (uint32_t)(box.y2 - box.y1);
    const uint32_t longer = *width > *height ? *width : *height;
    if (side == 0 || longer <= side) return;
    *width = (uint32_t)fmax(1, round(*width * side / longer));
    *height = (uint32_t)fmax(1, round(*height * side / longer));
}

/* Whether the picture is stored as other bytes than it came. */
static bool is_converted(const mq_import_job *job, const mq_entry *entry) {
    uint32_t width, height;
    stored_size(job, entry, &width, &height);
    return job->plan->presize || entry->becomes || entry->truncated || is_cut(job, entry) ||
           width != entry->width || height != entry->height;
}

/* Where it is converted; else as PNG. */
static bool is_jpeg_then(const mq_entry *entry) {
    return entry->becomes && strcmp(entry->becomes, "jpeg") == 0;
}

mq_status mq_import_check_stored(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    const size_t most = MQ_TFRECORD_MAX - (1 << 20); /* room for the rest of a record */
    for (size_t i = 0; i < job->manifest.count; i++) {
        mq_entry *e = &job->manifest.entries[i];
        uint32_t width, height;
        if (e->reason || !is_converted(job, e)) continue;
        stored_size(job, e, &width, &height);
        if (e->truncated) width = e->width, height = e->height; /* it is made whole first */
        const bool png = e->truncated || !is_jpeg_then(e);
        const bool inside = width <= e->width && height <= e->height; /* else its box is refused */
        if (png && !job->plan->presize && inside && mq_png_bound(width, height) > most)
            MQ_TRY(mq_manifest_leave_out(
                err, e, "%u x %u pixels are too many to be stored as PNG; make it smaller, or a JPEG", width,
                height));
    }
cleanup:
    return status;
}

size_t mq_import_stored_bytes(const mq_import_job *job, const mq_entry *entry) {
    uint32_t width, height;
    if (!is_converted(job, entry)) return entry->size;
    stored_size(job, entry, &width, &height);
    return (size_t)width * height * 2; /* what photographs take as PNG, about */
}

/* What the network would get of the picture, as PNG. */
static mq_status presize(mq_err *err, const mq_import_job *job, const mq_entry *entry, mq_buf *file,
                         mq_stored *stored) {
    mq_status status = MQ_OK;
    const uint32_t side = job->plan->presize;
    mq_recipe recipe = mq_recipe_default(side, MQ_RANGE_TF);
    mq_pixels square = {.width = side, .height = side};
    recipe.crop = entry->has_box;
    recipe.margin = entry->has_box ? job->plan->margin : 0;
    MQ_TRY(mq_alloc_aligned(err, (size_t)side * side, 3, "a picture of one size", &square.rgb));
    MQ_TRY(mq_presize(err, &recipe, &(mq_encoded){entry->name, file->data, file->size},
                      entry->has_box ? &entry->box : NULL, square.rgb));
    MQ_TRY(mq_png_encode(err, mq_view_of(&square), file));
    *stored = (mq_stored){.width = side, .height = side, .channels = 3, .format = "png", .colour = "RGB"};
cleanup:
    mq_pixels_free(&square);
    return status;
}

static mq_status convert(mq_err *err, const mq_import_job *job, const mq_entry *entry, mq_buf *file,
                         mq_stored *stored) {
    mq_status status = MQ_OK;
    static const uint8_t white[3] = {255, 255, 255};
    mq_pixels whole = {0}, small = {0};
    mq_picture_info info;
    uint32_t width, height;
    stored_size(job, entry, &width, &height);
    MQ_TRY(mq_picture_probe(err, entry->name, file->data, file->size, &info));
    MQ_TRY(mq_picture_decode(err, entry->name, file->data, file->size, white, &whole));
    mq_view view = mq_view_of(&whole);
    if (is_cut(job, entry)) view = mq_view_cut(view, grow(entry, job->plan->margin));
    MQ_TRY(mq_alloc_aligned(err, (size_t)width * height, 3, "a smaller picture", &small.rgb));
    small.width = width;
    small.height = height;
    MQ_TRY(mq_resize_pillow(err, view, width, height, small.rgb)); /* copies where nothing shrinks */
    MQ_TRY(mq_pixels_orient(err, &small, info.orientation));
    const bool jpeg = is_jpeg_then(entry);
    if (jpeg)
        MQ_TRY(mq_jpeg_encode(err, mq_view_of(&small), (mq_jpeg_style){MQ_JPEG_QUALITY, true}, file));
    else
        MQ_TRY(mq_png_encode(err, mq_view_of(&small), file));
    *stored = (mq_stored){
        small.width, small.height, 3, jpeg ? "jpeg" : "png", "RGB", entry->has_box && !is_cut(job, entry),
        entry->box};
cleanup:
    mq_pixels_free(&whole);
    mq_pixels_free(&small);
    return status;
}

/* What is left of a picture that is cut short becomes a whole one, a PNG, and upright since that has no word
 * of its turn; *entry is then about that. So nobody who reads a data set has to do with half pictures. */
static mq_status mend(mq_err *err, mq_entry *entry, mq_buf *file) {
    mq_status status = MQ_OK;
    static const uint8_t white[3] = {255, 255, 255};
    mq_pixels pixels = {0};
    mq_picture_info info;
    MQ_TRY(
        mq_picture_salvage(err, &(mq_encoded){entry->name, file->data, file->size}, white, &info, &pixels));
    MQ_TRY(mq_pixels_orient(err, &pixels, info.orientation));
    MQ_TRY(mq_png_encode(err, mq_view_of(&pixels), file));
    if (entry->has_box) entry->box = mq_box_orient(entry->box, entry->width, entry->height, info.orientation);
    entry->width = pixels.width;
    entry->height = pixels.height;
    entry->format = "png";
    entry->colour = "RGB";
    entry->truncated = false;
cleanup:
    mq_pixels_free(&pixels);
    return status;
}

/* A part of a file. */
static mq_status read_part(mq_err *err, const char *path, const mq_entry *entry, mq_buf *file) {
    mq_status status = MQ_OK;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    MQ_REQUIRE(fd >= 0, err, MQ_NO_INPUT, "%s: %s", path, strerror(errno));
    MQ_TRY(mq_buf_reserve(err, file, entry->length));
    MQ_TRY(mq_file_pread(err, fd, path, file->data + file->size, entry->length, entry->offset));
    file->size += entry->length;
cleanup:
    if (fd >= 0) close(fd);
    return status;
}

/* The file that holds a picture; where it is a part of one that came compressed as a whole, of its unpacked
 * twin. */
static mq_status find_file(mq_err *err, const mq_import_job *job, const mq_entry *entry, char **path) {
    mq_status status = MQ_OK;
    if (job->inflated && entry->length) {
        MQ_TRY(mq_path_join(err, job->inflated, mq_entry_file(entry), path));
        if (mq_file_exists(*path)) return MQ_OK;
        free(*path);
        *path = NULL;
    }
    MQ_TRY(mq_path_join(err, job->root, mq_entry_file(entry), path));
cleanup:
    return status;
}

mq_status mq_import_read(mq_err *err, const mq_import_job *job, const mq_entry *entry, mq_buf *file,
                         char **path) {
    mq_status status = MQ_OK;
    MQ_TRY(find_file(err, job, entry, path));
    mq_buf_clear(file);
    if (entry->length)
        MQ_TRY(read_part(err, *path, entry, file));
    else
        MQ_TRY(mq_file_read(err, *path, file));
cleanup:
    return status;
}

static int64_t channels_of(const char *colour) {
    if (strcmp(colour, "grey") == 0) return 1;
    if (strcmp(colour, "grey+alpha") == 0) return 2;
    return strcmp(colour, "RGBA") == 0 || strcmp(colour, "CMYK") == 0 || strcmp(colour, "YCCK") == 0 ? 4 : 3;
}

mq_status mq_import_load(mq_err *err, const mq_import_job *job, const mq_entry *entry, mq_buf *file,
                         mq_stored *stored) {
    mq_status status = MQ_OK;
    char *path = NULL;
    uint8_t digest[MQ_SHA256_SIZE];
    mq_entry now = *entry; /* as it is to be stored; owns nothing */
    MQ_TRY(mq_import_read(err, job, entry, file, &path));
    MQ_TRY(mq_sha256(err, file->data ? file->data : (const uint8_t *)"", file->size, digest));
    MQ_REQUIRE(memcmp(digest, entry->digest, sizeof digest) == 0, err, MQ_BAD_DATA,
               "%s: changed while it was imported; import again", path);
    if (entry->truncated) MQ_TRY(mend(err, &now, file));
    *stored = (mq_stored){now.width,   now.height, channels_of(now.colour), now.format, now.colour,
                          now.has_box, now.box};
    if (is_converted(job, &now))
        MQ_TRY(job->plan->presize ? presize(err, job, &now, file, stored)
                                  : convert(err, job, &now, file, stored));
cleanup:
    free(path);
    return status;
}
