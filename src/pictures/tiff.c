/* tiff.c: TIFF through libtiff, the one file that knows it. Called through the
 * table in reader.c. Owns the open file. Invariant: the size is checked before
 * memory for pixels is taken; the first of several pages is the picture. */
#include "base/mem.h"
#include "pictures/reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <tiffio.h>

/* The file as the library reads it. */
typedef struct {
    const mq_source *in;
    uint64_t at;   /* where the next byte is read; may lie behind the end */
    char why[160]; /* the first error, in words; "": none */
} cursor;

/* The library tells of errors through a handler of the process, to which it gives the file's cursor. */
static void keep_first(thandle_t file, const char *module, const char *format, va_list args) {
    cursor *c = file;
    (void)module;
    if (c && !c->why[0]) vsnprintf(c->why, sizeof c->why, format, args);
}

static tmsize_t take_bytes(thandle_t file, void *out, tmsize_t count) {
    cursor *c = file;
    const uint64_t left = c->at < c->in->size ? c->in->size - c->at : 0;
    const uint64_t n = count < 0 ? 0 : (uint64_t)count < left ? (uint64_t)count : left;
    if (n) memcpy(out, c->in->bytes + c->at, (size_t)n);
    c->at += n;
    return (tmsize_t)n;
}

static tmsize_t refuse_bytes(thandle_t file, void *bytes, tmsize_t count) {
    (void)file, (void)bytes, (void)count;
    return 0;
}

static toff_t go_to(thandle_t file, toff_t offset, int whence) {
    cursor *c = file;
    const uint64_t from = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? c->at : c->in->size;
    return c->at = from + offset;
}

static toff_t size_of(thandle_t file) {
    return ((const cursor *)file)->in->size;
}

static int let_go(thandle_t file) {
    (void)file;
    return 0;
}

static bool knows(const uint8_t *bytes, size_t size) {
    return size >= 4 && (memcmp(bytes, "II*\0", 4) == 0 || memcmp(bytes, "MM\0*", 4) == 0 ||
                         memcmp(bytes, "II+\0", 4) == 0 || memcmp(bytes, "MM\0+", 4) == 0);
}

static mq_status say_failure(mq_err *err, const cursor *c) {
    return mq_fail(err, MQ_BAD_DATA, "%s: damaged or unusual TIFF (%s); convert it to PNG or JPEG",
                   c->in->name, c->why[0] ? c->why : "it cannot be decoded");
}

/* Whether the page has transparency that counts: an extra channel which says that it is alpha. */
static bool has_alpha(TIFF *tiff) {
    uint16_t count = 0, *kinds = NULL;
    if (!TIFFGetField(tiff, TIFFTAG_EXTRASAMPLES, &count, &kinds)) return false;
    for (uint16_t i = 0; i < count; i++)
        if (kinds[i] == EXTRASAMPLE_ASSOCALPHA || kinds[i] == EXTRASAMPLE_UNASSALPHA) return true;
    return false;
}

/* Where in the picture as stored a pixel of the upright one lies: TIFF 6.0, Orientation. */
static size_t stored_at(const mq_foreign_head *head, uint16_t turn, size_t x, size_t y) {
    const bool swapped = turn >= ORIENTATION_LEFTTOP;
    const size_t w = swapped ? head->height : head->width, h = swapped ? head->width : head->height;
    size_t column = swapped ? y : x, row = swapped ? x : y;
    if (turn == ORIENTATION_TOPRIGHT || turn == ORIENTATION_BOTRIGHT || turn == ORIENTATION_RIGHTBOT ||
        turn == ORIENTATION_LEFTBOT)
        column = w - 1 - column;
    if (turn == ORIENTATION_BOTLEFT || turn == ORIENTATION_BOTRIGHT || turn == ORIENTATION_RIGHTTOP ||
        turn == ORIENTATION_RIGHTBOT)
        row = h - 1 - row;
    return row * w + column;
}

/* The library gives RGBA multiplied by alpha, whatever the file has. */
static mq_status decode(mq_err *err, TIFF *tiff, uint16_t turn, const mq_foreign_head *head,
                        uint8_t **pixels) {
    mq_status status = MQ_OK;
    uint32_t *raster = NULL, width = 0, height = 0;
    const cursor *c = TIFFClientdata(tiff);
    const size_t count = (size_t)head->width * head->height;
    MQ_TRY(mq_take_memory(err, c->in, head, pixels));
    MQ_TRY(mq_calloc(err, count, sizeof *raster, "the pixels of a picture", &raster));
    (void)TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &width);
    (void)TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &height);
    TIFFSetField(tiff, TIFFTAG_ORIENTATION, ORIENTATION_TOPLEFT); /* as stored: we turn it ourselves */
    if (!TIFFReadRGBAImageOriented(tiff, width, height, raster, ORIENTATION_TOPLEFT, 1))
        MQ_TRY(say_failure(err, c));
    uint8_t *out = *pixels;
    for (size_t y = 0; y < head->height; y++) {
        for (size_t x = 0; x < head->width; x++, out += head->channels) {
            const uint32_t pixel = raster[stored_at(head, turn, x, y)];
            out[0] = (uint8_t)TIFFGetR(pixel);
            out[1] = (uint8_t)TIFFGetG(pixel);
            out[2] = (uint8_t)TIFFGetB(pixel);
            if (head->channels == 4) out[3] = (uint8_t)TIFFGetA(pixel);
        }
    }
    if (head->channels == 4) mq_divide_alpha(*pixels, count);
cleanup:
    free(raster);
    return status;
}

static mq_status read_tiff(mq_err *err, const mq_source *in, mq_foreign_head *head, uint8_t **pixels) {
    mq_status status = MQ_OK;
    cursor c = {.in = in};
    char message[1024] = "";
    uint32_t width = 0, height = 0;
    uint16_t turn = ORIENTATION_TOPLEFT;
    TIFFSetErrorHandler(NULL);
    TIFFSetErrorHandlerExt(keep_first);
    TIFFSetWarningHandler(NULL);
    TIFF *tiff = TIFFClientOpen(in->name, "rm", &c, take_bytes, refuse_bytes, go_to, let_go, size_of, NULL,
                                NULL);
    if (!tiff) MQ_TRY(say_failure(err, &c));
    MQ_REQUIRE(TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &width) &&
                   TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &height),
               err, MQ_BAD_DATA, "%s: a TIFF without a size; convert it to PNG or JPEG", in->name);
    MQ_TRY(mq_check_size(err, in, width, height));
    MQ_REQUIRE(TIFFRGBAImageOK(tiff, message), err, MQ_BAD_DATA,
               "%s: an unusual TIFF (%.100s); convert it to PNG or JPEG", in->name, message);
    (void)TIFFGetField(tiff, TIFFTAG_ORIENTATION, &turn);
    const bool swapped = turn >= ORIENTATION_LEFTTOP && turn <= ORIENTATION_LEFTBOT;
    if (turn > ORIENTATION_LEFTBOT) turn = ORIENTATION_TOPLEFT;
    *head = (mq_foreign_head){MQ_TIFF, swapped ? height : width, swapped ? width : height,
                              has_alpha(tiff) ? 4 : 3, !TIFFLastDirectory(tiff)};
    if (pixels) MQ_TRY(decode(err, tiff, turn, head, pixels));
cleanup:
    if (tiff) TIFFClose(tiff);
    return status;
}

const mq_reader mq_reader_tiff = {knows, read_tiff};
