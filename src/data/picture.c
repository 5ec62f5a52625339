/* picture.c: finds the decoder of a picture by its first bytes, and what all
 * decoders share. Called by the importer, the loader and predict. Invariant:
 * no memory for pixels is taken before the header's size was checked here. */
#include "data/picture.h"
#include "base/mem.h"
#include "base/text.h"
#include "data/decode.h"

#include <string.h>
#include <strings.h>

/* A new format is a file decode_*.c and a row here. */
static const mq_decoder *const DECODERS[] = {&mq_decoder_jpeg, &mq_decoder_png, &mq_decoder_webp,
#ifdef MARQUE_FOREIGN_PICTURES
                                             &mq_decoder_foreign
#endif
};

#ifdef MARQUE_FOREIGN_PICTURES
#define UNREAD "of this kind is not supported" /* the decoder has not known it for its own */
#else
#define UNREAD "is not supported by this build"
#endif

/* Formats people do have, so that the message can say what to do. */
#define BYTES(text) text, sizeof text - 1
static const struct {
    size_t offset;
    const char *bytes;
    size_t length;
    const char *says;
} FOREIGN[] = {
    {0, BYTES("GIF8"), "GIF " UNREAD "; convert it to PNG"},
    {0, BYTES("II*\0"), "TIFF " UNREAD "; convert it to PNG or JPEG"},
    {0, BYTES("MM\0*"), "TIFF " UNREAD "; convert it to PNG or JPEG"},
    {0, BYTES("BM"), "BMP " UNREAD "; convert it to PNG"},
    {4, BYTES("ftypavi"), "AVIF " UNREAD "; convert it to JPEG"},
    {4, BYTES("ftyphei"), "HEIC " UNREAD "; convert it to JPEG"},
    {4, BYTES("ftyphev"), "HEIC " UNREAD "; convert it to JPEG"},
    {4, BYTES("ftypmif1"), "HEIC " UNREAD "; convert it to JPEG"},
    {4, BYTES("ftypmsf1"), "HEIC " UNREAD "; convert it to JPEG"},
    {4, BYTES("ftyp"), "looks like a film, not a picture"},
    {4, BYTES("jP  "), "JPEG 2000 is not supported; convert it to JPEG"},
    {4, BYTES("JXL "), "JPEG XL is not supported; convert it to JPEG"},
    {0, BYTES("\xff\x0a"), "JPEG XL is not supported; convert it to JPEG"},
    {0, BYTES("8BPS"), "looks like a Photoshop file; export it as JPEG or PNG"},
    {0, BYTES("%PDF"), "looks like a PDF, not a picture"},
    {0, BYTES("PK\x03\x04"), "looks like a zip archive, not a picture; unpack it first"},
    {0, BYTES("\x1f\x8b"), "looks like a gzip archive, not a picture; unpack it first"},
};

/* Beginnings of text, after blanks and in any case. */
static const struct {
    const char *word, *says;
} TEXTS[] = {
    {"<!doctype html", "looks like HTML, not a picture (a web page saved instead of the picture it shows?)"},
    {"<html", "looks like HTML, not a picture (a web page saved instead of the picture it shows?)"},
    {"<head", "looks like HTML, not a picture (a web page saved instead of the picture it shows?)"},
    {"<svg", "SVG is not supported; convert it to PNG"},
    {"<?xml", "looks like XML or SVG, not a picture; convert it to PNG"},
};

/* Whether the first bytes could be written by hand: no control characters but line ends and tabs, and nothing
 * that UTF-8 never holds. */
static bool is_text(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size && i < 512; i++)
        if ((bytes[i] < ' ' && (bytes[i] < '\t' || bytes[i] > '\r')) || bytes[i] == 127 || bytes[i] > 0xf4)
            return false;
    return true;
}

/* Web servers answer with pages where a picture is gone, so HTML is the most common non-picture. */
static const char *describe_text(const uint8_t *bytes, size_t size) {
    size_t start = mq_text_mark(bytes, size);
    while (start < size && (bytes[start] == ' ' || (bytes[start] >= '\t' && bytes[start] <= '\r'))) start++;
    for (size_t i = 0; i < sizeof TEXTS / sizeof *TEXTS; i++) {
        const size_t length = strlen(TEXTS[i].word);
        if (size - start >= length && strncasecmp((const char *)bytes + start, TEXTS[i].word, length) == 0)
            return TEXTS[i].says;
    }
    return "looks like text, not a picture";
}

/* What the bytes look like, as the second half of a sentence. Static. */
static const char *describe(const uint8_t *bytes, size_t size) {
    const bool text = is_text(bytes, size);
    if (size == 0) return "is empty";
    for (size_t i = 0; i < sizeof FOREIGN / sizeof *FOREIGN; i++) /* two letters begin many a text */
        if (size >= FOREIGN[i].offset + FOREIGN[i].length && (FOREIGN[i].length > 2 || !text) &&
            memcmp(bytes + FOREIGN[i].offset, FOREIGN[i].bytes, FOREIGN[i].length) == 0)
            return FOREIGN[i].says;
    return text ? describe_text(bytes, size)
                : "is no picture of a known kind (JPEG, PNG, WebP, TIFF, BMP, GIF, HEIC or AVIF)";
}

/* By content alone: names and endings of files say nothing. */
static mq_status find_decoder(mq_err *err, const mq_encoded *in, const mq_decoder **decoder) {
    for (size_t i = 0; i < sizeof DECODERS / sizeof *DECODERS; i++)
        if (DECODERS[i]->knows(in->bytes, in->size)) {
            *decoder = DECODERS[i];
            return MQ_OK;
        }
    return mq_fail(err, MQ_BAD_DATA, "%s: %s", in->name, describe(in->bytes, in->size));
}

/* What is known of a picture before its header is read. */
static mq_picture_info info_of(const mq_decoder *decoder) {
    return (mq_picture_info){
        .format = decoder->format, .orientation = 1, .scales = decoder->decode_smaller != NULL};
}

mq_status mq_picture_probe(mq_err *err, const char *name, const uint8_t *bytes, size_t size,
                           mq_picture_info *info) {
    const mq_encoded in = {name, bytes, size};
    const mq_decoder *decoder = NULL;
    const mq_status status = find_decoder(err, &in, &decoder);
    if (status != MQ_OK) return status;
    *info = info_of(decoder);
    return decoder->probe(err, &in, info);
}

mq_status mq_picture_decode(mq_err *err, const char *name, const uint8_t *bytes, size_t size,
                            const uint8_t background[3], mq_pixels *pixels) {
    return mq_picture_decode_smaller(err, &(mq_encoded){name, bytes, size}, background, 8, pixels);
}

mq_status mq_picture_decode_smaller(mq_err *err, const mq_encoded *in, const uint8_t background[3],
                                    uint32_t eighths, mq_pixels *pixels) {
    mq_status status = MQ_OK;
    const mq_decoder *decoder = NULL;
    *pixels = (mq_pixels){0};
    MQ_TRY(find_decoder(err, in, &decoder));
    if (eighths == 8) return decoder->decode(err, in, background, pixels);
    MQ_REQUIRE(decoder->decode_smaller && (eighths == 1 || eighths == 2 || eighths == 4), err, MQ_INTERNAL,
               "%s: cannot be decoded at %u eighths of its size", in->name, eighths);
    MQ_TRY(decoder->decode_smaller(err, in, eighths, pixels));
cleanup:
    return status;
}

mq_status mq_picture_salvage(mq_err *err, const mq_encoded *in, const uint8_t background[3],
                             mq_picture_info *info, mq_pixels *pixels) {
    mq_status status = MQ_OK;
    const mq_decoder *decoder = NULL;
    *pixels = (mq_pixels){0};
    MQ_TRY(find_decoder(err, in, &decoder));
    MQ_REQUIRE(decoder->salvage, err, MQ_BAD_DATA, "%s: nothing is taken of a cut picture of this kind",
               in->name);
    *info = info_of(decoder);
    MQ_TRY(decoder->salvage(err, in, background, info, pixels));
cleanup:
    return status;
}

mq_status mq_picture_check(mq_err *err, const char *name, uint64_t width, uint64_t height) {
    if (width == 0 || height == 0)
        return mq_fail(err, MQ_BAD_DATA, "%s: the picture is %ju x %ju pixels, so it has none", name,
                       (uintmax_t)width, (uintmax_t)height);
    /* Sides are at most 32 bits in every format, so the product fits. */
    if (width > MQ_SIDE_MAX || height > MQ_SIDE_MAX || width * height > MQ_PIXELS_MAX)
        return mq_fail(
            err, MQ_BAD_DATA,
            "%s: the picture is %ju x %ju pixels; more than %d in all or %d on a side are refused, "
            "make it smaller",
            name, (uintmax_t)width, (uintmax_t)height, MQ_PIXELS_MAX, MQ_SIDE_MAX);
    return MQ_OK;
}

mq_status mq_picture_memory(mq_err *err, const char *name, uint32_t width, uint32_t height, size_t channels,
                            uint8_t **memory) {
    const mq_status status = mq_picture_check(err, name, width, height);
    if (status != MQ_OK) return status;
    return mq_alloc_aligned(err, (size_t)width * height, channels, "the pixels of a picture", memory);
}

void mq_rgba_over(const uint8_t *rgba, size_t count, const uint8_t background[3], uint8_t *rgb) {
    for (size_t i = 0; i < count; i++, rgba += 4, rgb += 3) {
        const uint32_t alpha = rgba[3];
        uint8_t mixed[3]; /* the pixel is read whole before its place is written */
        for (int c = 0; c < 3; c++) {
            const uint32_t x = rgba[c] * alpha + background[c] * (255 - alpha) + 128;
            mixed[c] = (uint8_t)((128 * x + x / 2) >> 15);
        }
        memcpy(rgb, mixed, 3);
    }
}

void mq_pixels_free(mq_pixels *pixels) {
    free(pixels->rgb);
    *pixels = (mq_pixels){0};
}
