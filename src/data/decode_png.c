/* decode_png.c: PNG through libpng, the one file that knows it. Called through
 * the table in picture.c. The library leaves by longjmp: every call that may
 * do so runs inside guarded(), and everything it needs lives in png_reader.
 * Invariant: libpng skips every chunk that is not pixels, palette or
 * transparency, so that compressed text and profiles cannot take memory. */
#include "base/mem.h"
#include "data/decode.h"
#include "data/exif.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <png.h>

enum {
    SIGNATURE = 8,      /* bytes of the file's signature */
    CHUNK = 12,         /* bytes of a chunk's length, type and checksum */
    EXIF_MAX = 1 << 20, /* bytes; the first directory stands at the beginning */
};

typedef struct {
    png_structp png;
    png_infop info;
    jmp_buf jump;
    const mq_encoded *in;
    size_t offset;  /* bytes read so far */
    uint8_t *bytes; /* where the rows go: channels x width x height */
    uint8_t **rows; /* height pointers into bytes, for interlaced pictures */
    uint32_t width, height;
    size_t channels;
    size_t rows_read; /* of all passes together */
    bool salvage;     /* the end may be missing */
    bool cut;         /* it is */
    char text[128];   /* why it failed */
} png_reader;

/* The way out of the library: keeps its sentence and jumps to guarded(). */
static void leave(png_structp png, const char *text) {
    png_reader *reader = png_get_error_ptr(png);
    snprintf(reader->text, sizeof reader->text, "%s", text);
    longjmp(reader->jump, 1);
}

static void say_nothing(png_structp png, const char *text) {
    (void)png;
    (void)text;
}

/* The library asks for exact counts, so too few bytes mean a cut file. */
static void take_bytes(png_structp png, uint8_t *out, size_t count) {
    png_reader *reader = png_get_io_ptr(png);
    reader->cut = count > reader->in->size - reader->offset;
    if (reader->cut) png_error(png, "it is cut short");
    memcpy(out, reader->in->bytes + reader->offset, count);
    reader->offset += count;
}

/* Runs step; false when the library left by longjmp. */
static bool guarded(png_reader *reader, void (*step)(png_reader *reader)) {
    if (setjmp(reader->jump)) return false;
    step(reader);
    return true;
}

static void read_header(png_reader *reader) {
    png_set_user_limits(reader->png, MQ_SIDE_MAX, MQ_SIDE_MAX);
    png_set_chunk_malloc_max(reader->png, 0); /* nothing large is kept, so large chunks are no harm */
    png_set_keep_unknown_chunks(reader->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_read_fn(reader->png, reader, take_bytes);
    png_read_info(reader->png, reader->info);
    reader->width = png_get_image_width(reader->png, reader->info);
    reader->height = png_get_image_height(reader->png, reader->info);
}

static void count_row(png_structp png, png_uint_32 row, int pass) {
    png_reader *reader = png_get_io_ptr(png);
    (void)row, (void)pass;
    reader->rows_read++;
}

/* Asks for 8-bit RGB, or RGBA where there is alpha or a transparent colour. 16 bits keep the high byte. */
static void ask_format(png_reader *reader) {
    png_set_expand(reader->png);
    png_set_strip_16(reader->png);
    png_set_gray_to_rgb(reader->png);
    (void)png_set_interlace_handling(reader->png);
    png_read_update_info(reader->png, reader->info);
    reader->channels = png_get_channels(reader->png, reader->info);
    if (!reader->salvage) return;
    png_set_read_status_fn(reader->png, count_row);
    png_set_compression_buffer_size(reader->png, 1); /* up to the very last byte */
}

/* The end is read too: all checksums are then right, and a file without its last chunk counts as cut. */
static void read_rows(png_reader *reader) {
    png_read_image(reader->png, reader->rows);
    png_read_end(reader->png, NULL);
}

static mq_status say_failure(mq_err *err, const png_reader *reader) {
    return mq_fail(err, MQ_BAD_DATA, "%s: damaged PNG (%s); replace or convert it", reader->in->name,
                   reader->text);
}

/* Reads up to the first pixels and checks the size. reader must be closed in any case. */
static mq_status open_png(mq_err *err, const mq_encoded *in, png_reader *reader) {
    *reader = (png_reader){.in = in};
    reader->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, reader, leave, say_nothing);
    reader->info = reader->png ? png_create_info_struct(reader->png) : NULL;
    if (!reader->info) return mq_fail(err, MQ_NO_MEMORY, "%s: no memory to decode this PNG", in->name);
    if (!guarded(reader, read_header)) return say_failure(err, reader);
    return mq_picture_check(err, in->name, reader->width, reader->height);
}

static void close_png(png_reader *reader) {
    png_destroy_read_struct(&reader->png, &reader->info, NULL);
    free(reader->rows);
}

static uint32_t read_u32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The checksum of PNG chunks (PNG 1.2, annex D), bit by bit: it is only taken of small chunks. */
static uint32_t checksum(const uint8_t *bytes, size_t size) {
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

/* Looks through the chunks for EXIF (whose checksum must be right) and for the mark of an animation. */
static void walk_chunks(const mq_encoded *in, mq_picture_info *info) {
    for (size_t at = SIGNATURE; in->size - at >= CHUNK;) {
        const uint8_t *chunk = in->bytes + at;
        const size_t length = read_u32(chunk);
        if (length > in->size - at - CHUNK) return;
        if (memcmp(chunk + 4, "acTL", 4) == 0) info->animated = true;
        if (memcmp(chunk + 4, "eXIf", 4) == 0 && length <= EXIF_MAX &&
            checksum(chunk + 4, length + 4) == read_u32(chunk + 8 + length)) {
            info->orientation = mq_exif_orientation(chunk + 8, length);
            return;
        }
        at += length + CHUNK;
    }
}

static bool png_knows(const uint8_t *bytes, size_t size) {
    return size >= SIGNATURE && memcmp(bytes, "\x89PNG\r\n\x1a\n", SIGNATURE) == 0;
}

static const char *colour_name(int type) {
    switch (type) {
    case PNG_COLOR_TYPE_GRAY:
        return "grey";
    case PNG_COLOR_TYPE_GRAY_ALPHA:
        return "grey+alpha";
    case PNG_COLOR_TYPE_PALETTE:
        return "palette";
    case PNG_COLOR_TYPE_RGB_ALPHA:
        return "RGBA";
    default:
        return "RGB";
    }
}

static mq_status png_probe(mq_err *err, const mq_encoded *in, mq_picture_info *info) {
    mq_status status = MQ_OK;
    png_reader reader;
    MQ_TRY(open_png(err, in, &reader));
    info->width = reader.width;
    info->height = reader.height;
    info->colour = colour_name(png_get_color_type(reader.png, reader.info));
    walk_chunks(in, info);
cleanup:
    close_png(&reader);
    return status;
}

static mq_status decode_as(mq_err *err, const mq_encoded *in, const uint8_t background[3], bool salvage,
                           mq_pixels *pixels) {
    mq_status status = MQ_OK;
    png_reader reader;
    uint8_t *bytes = NULL;
    MQ_TRY(open_png(err, in, &reader));
    reader.salvage = salvage;
    if (!guarded(&reader, ask_format)) MQ_TRY(say_failure(err, &reader));
    MQ_REQUIRE(reader.channels == 3 || reader.channels == 4, err, MQ_INTERNAL,
               "%s: libpng made %zu channels of this PNG", in->name, reader.channels);
    MQ_TRY(mq_picture_memory(err, in->name, reader.width, reader.height, reader.channels, &bytes));
    MQ_TRY(mq_calloc(err, reader.height, sizeof *reader.rows, "the rows of a picture", &reader.rows));
    for (size_t y = 0; y < reader.height; y++) reader.rows[y] = bytes + y * reader.width * reader.channels;
    if (salvage) memset(bytes, 0, (size_t)reader.width * reader.height * reader.channels);
    const bool whole = guarded(&reader, read_rows);
    if (!whole && !(salvage && reader.cut && reader.rows_read)) MQ_TRY(say_failure(err, &reader));
    MQ_REQUIRE(whole != salvage, err, MQ_BAD_DATA, "%s: this PNG is whole; nothing is salvaged of it",
               in->name);
    if (reader.channels == 4) mq_rgba_over(bytes, (size_t)reader.width * reader.height, background, bytes);
    *pixels = (mq_pixels){bytes, reader.width, reader.height};
    bytes = NULL;
cleanup:
    free(bytes);
    close_png(&reader);
    return status;
}

static mq_status png_decode(mq_err *err, const mq_encoded *in, const uint8_t background[3],
                            mq_pixels *pixels) {
    return decode_as(err, in, background, false, pixels);
}

static mq_status png_salvage(mq_err *err, const mq_encoded *in, const uint8_t background[3],
                             mq_picture_info *info, mq_pixels *pixels) {
    mq_status status = MQ_OK;
    MQ_TRY(png_probe(err, in, info));
    MQ_TRY(decode_as(err, in, background, true, pixels));
cleanup:
    return status;
}

const mq_decoder mq_decoder_png = {"png", png_knows, png_probe, png_decode, NULL, png_salvage};
