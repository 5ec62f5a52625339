/* tiff.c: TIFF through libtiff, the one file that knows it. Called through the
 * table in main.c. Owns the open file. Invariant: the size is checked before
 * memory for pixels is taken; the first of several pages is the picture. */
#include "base/mem.h"
#include "pictures/reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <tiffio.h>

/* The library tells of errors through handlers of the process; the first one says why. */
static char why[160];

static void keep_first(const char *module, const char *format, va_list args) {
    (void)module;
    if (!why[0]) vsnprintf(why, sizeof why, format, args);
}

static bool knows(const uint8_t *bytes, size_t size) {
    return size >= 4 && (memcmp(bytes, "II*\0", 4) == 0 || memcmp(bytes, "MM\0*", 4) == 0 ||
                         memcmp(bytes, "II+\0", 4) == 0 || memcmp(bytes, "MM\0+", 4) == 0);
}

static mq_status say_failure(mq_err *err, const mq_source *in) {
    return mq_fail(err, MQ_BAD_DATA, "%s: damaged or unusual TIFF (%s); convert it to PNG or JPEG", in->name,
                   why[0] ? why : "it cannot be decoded");
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
static mq_status decode(mq_err *err, const mq_source *in, TIFF *tiff, uint16_t turn,
                        const mq_foreign_head *head, uint8_t **pixels) {
    mq_status status = MQ_OK;
    uint32_t *raster = NULL, width = 0, height = 0;
    const size_t count = (size_t)head->width * head->height;
    MQ_TRY(mq_take_memory(err, in, head, pixels));
    MQ_TRY(mq_calloc(err, count, sizeof *raster, "the pixels of a picture", &raster));
    (void)TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &width);
    (void)TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &height);
    TIFFSetField(tiff, TIFFTAG_ORIENTATION, ORIENTATION_TOPLEFT); /* as stored: we turn it ourselves */
    if (!TIFFReadRGBAImageOriented(tiff, width, height, raster, ORIENTATION_TOPLEFT, 1))
        MQ_TRY(say_failure(err, in));
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
    TIFF *tiff = NULL;
    char message[1024] = "";
    uint32_t width = 0, height = 0;
    uint16_t turn = ORIENTATION_TOPLEFT;
    TIFFSetErrorHandler(keep_first);
    TIFFSetWarningHandler(NULL);
    /* marque gives the bytes as a file in memory, which can be read again from its beginning */
    if (lseek(STDIN_FILENO, 0, SEEK_SET) == 0) tiff = TIFFFdOpen(STDIN_FILENO, "stdin", "rm");
    if (!tiff) MQ_TRY(say_failure(err, in));
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
    if (pixels) MQ_TRY(decode(err, in, tiff, turn, head, pixels));
cleanup:
    if (tiff) {
        if (status != MQ_OK || !pixels)
            TIFFCleanup(tiff);
        else
            TIFFClose(tiff);
    }
    return status;
}

const mq_reader mq_reader_tiff = {knows, read_tiff};
