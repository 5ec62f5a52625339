/* decode_jpeg.c: JPEG through libjpeg-turbo, the one file that knows it.
 * Called through the table in picture.c. The library leaves by longjmp: every
 * call that may do so runs inside guarded(), and everything it needs lives in
 * jpeg_reader, never in a local variable. Invariant: damage is an error, not a
 * warning, so that half-grey pictures never reach a network unless somebody
 * asked to salvage what is cut short, and nothing else is wrong with it. */
#include "base/mem.h"
#include "data/decode.h"
#include "data/exif.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

enum {
    SCANS_MAX = 500,      /* real progressive pictures have about ten; each costs a pass over the picture */
    MEMORY_MAX_MB = 1536, /* coefficients of the largest picture we take, in CMYK */
    APP1_MAX = 0xffff,
    DHT = 0xc4, /* second bytes of markers */
    EOI = 0xd9,
    SOS = 0xda,
    DQT = 0xdb,
    DRI = 0xdd,
    APP0 = 0xe0,
    COM = 0xfe,
};

typedef struct {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr error;
    struct jpeg_progress_mgr progress;
    jmp_buf jump;
    const mq_encoded *in;
    uint8_t *rgb;     /* where the rows go */
    uint8_t *row;     /* one row of CMYK, or NULL */
    uint32_t eighths; /* of its sides, at which it is decoded */
    bool salvage;     /* the end may be missing */
    bool cut;         /* it is */
    bool lacks;       /* pixels are missing */
    bool empty;       /* all of them are, but for a part of the first row of blocks */
    mq_status failure;
    char text[JMSG_LENGTH_MAX + 64]; /* why it failed */
} jpeg_reader;

/* The way out of the library: keeps its sentence and jumps to guarded(). */
static void leave(j_common_ptr common) {
    jpeg_reader *reader = common->client_data;
    const int code = common->err->msg_code;
    reader->failure = code == JERR_OUT_OF_MEMORY ? MQ_NO_MEMORY : MQ_BAD_DATA;
    common->err->format_message(common, reader->text);
    if (code == JWRN_JPEG_EOF) strcpy(reader->text, "it is cut short");
    longjmp(reader->jump, 1);
}

/* Behind the end of a picture that is to be salvaged the library finds an end marker again and again, and in
 * place of codes zeros: it warns of that, the first time where pixels begin to be missing. */
static bool go_on_without(jpeg_reader *reader, int code) {
    const struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    if (!reader->salvage || (code != JWRN_JPEG_EOF && !reader->cut)) return false;
    reader->cut = true;
    if (code != JWRN_JPEG_EOF && !reader->lacks) {
        reader->lacks = true;
        reader->empty = jpeg->input_scan_number <= 1 && jpeg->input_iMCU_row == 0;
    }
    return true;
}

/* Level -1 is a warning, others are traces. Stray bytes between segments and odd application markers do no
 * harm to pixels and are common; all other warnings mean pixels were made up. */
static void hear(j_common_ptr common, int level) {
    if (level >= 0) return;
    const int code = common->err->msg_code;
    if (code == JWRN_EXTRANEOUS_DATA || code == JWRN_ADOBE_XFORM || code == JWRN_JFIF_MAJOR ||
        code == JWRN_BOGUS_ICC)
        return;
    if (!go_on_without(common->client_data, code)) leave(common);
}

/* The library would print its last warning. */
static void say_nothing(j_common_ptr common) {
    (void)common;
}

/* Called by the library now and then, at least once a scan. */
static void watch(j_common_ptr common) {
    jpeg_reader *reader = common->client_data;
    if (reader->jpeg.input_scan_number <= SCANS_MAX) return;
    reader->failure = MQ_BAD_DATA;
    snprintf(reader->text, sizeof reader->text, "more than %d scans", SCANS_MAX);
    longjmp(reader->jump, 1);
}

/* Runs step; false when the library left by longjmp. */
static bool guarded(jpeg_reader *reader, void (*step)(jpeg_reader *reader)) {
    if (setjmp(reader->jump)) return false;
    step(reader);
    return true;
}

static void read_header(jpeg_reader *reader) {
    jpeg_create_decompress(&reader->jpeg);
    reader->progress.progress_monitor = watch;
    reader->jpeg.progress = &reader->progress;
    reader->jpeg.mem->max_memory_to_use = (long)MEMORY_MAX_MB << 20;
    jpeg_mem_src(&reader->jpeg, reader->in->bytes, reader->in->size);
    jpeg_save_markers(&reader->jpeg, JPEG_APP0 + 1, APP1_MAX);
    (void)jpeg_read_header(&reader->jpeg, TRUE);
}

/* The library makes each block of 8 x 8 pixels that many pixels wide and high: the last block's rest counts
 * as a whole pixel. */
static void choose_size(jpeg_reader *reader) {
    reader->jpeg.scale_num = reader->eighths;
    reader->jpeg.scale_denom = 8;
    jpeg_calc_output_dimensions(&reader->jpeg);
}

/* Pillow takes every CMYK picture for inverted, as Adobe writes it, and so do we: c' = 255 - c is stored, and
 * R = k' - (255 - c') k' / 255, rounded as Pillow rounds. */
static void row_from_cmyk(const uint8_t *cmyk, size_t width, uint8_t *rgb) {
    for (size_t x = 0; x < width; x++, cmyk += 4, rgb += 3) {
        const uint32_t key = cmyk[3];
        for (int c = 0; c < 3; c++) {
            const uint32_t product = (255u - cmyk[c]) * key + 128;
            rgb[c] = (uint8_t)(key - (((product >> 8) + product) >> 8));
        }
    }
}

/* Rows go straight to their place; libjpeg repeats grey three times by itself. The end is read too, so that a
 * picture without its end marker counts as cut. */
static void read_rows(jpeg_reader *reader) {
    struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    jpeg->out_color_space = reader->row ? JCS_CMYK : JCS_RGB;
    (void)jpeg_start_decompress(jpeg);
    while (jpeg->output_scanline < jpeg->output_height) {
        uint8_t *out = reader->rgb + (size_t)jpeg->output_scanline * jpeg->output_width * 3;
        JSAMPROW row = reader->row ? reader->row : out;
        (void)jpeg_read_scanlines(jpeg, &row, 1);
        if (reader->row) row_from_cmyk(reader->row, jpeg->output_width, out);
    }
    (void)jpeg_finish_decompress(jpeg);
}

static mq_status say_failure(mq_err *err, const jpeg_reader *reader) {
    if (reader->failure == MQ_NO_MEMORY)
        return mq_fail(err, MQ_NO_MEMORY, "%s: no memory to decode this JPEG", reader->in->name);
    return mq_fail(err, MQ_BAD_DATA, "%s: damaged or unusual JPEG (%s); replace or convert it",
                   reader->in->name, reader->text);
}

/* Reads the header and refuses what we cannot decode. reader must be closed in any case. */
static mq_status open_jpeg(mq_err *err, const mq_encoded *in, jpeg_reader *reader) {
    *reader = (jpeg_reader){.in = in};
    reader->jpeg.err = jpeg_std_error(&reader->error);
    reader->jpeg.client_data = reader;
    reader->error.error_exit = leave;
    reader->error.emit_message = hear;
    reader->error.output_message = say_nothing;
    if (!guarded(reader, read_header)) return say_failure(err, reader);
    const struct jpeg_decompress_struct *jpeg = &reader->jpeg;
    if (jpeg->data_precision != 8)
        return mq_fail(err, MQ_BAD_DATA, "%s: a JPEG of %d bits a channel is not supported; convert it to 8",
                       in->name, jpeg->data_precision);
    if (jpeg->num_components != 1 && jpeg->num_components != 3 && jpeg->num_components != 4)
        return mq_fail(err, MQ_BAD_DATA, "%s: a JPEG of %d channels is not supported; convert it to RGB",
                       in->name, jpeg->num_components);
    return mq_picture_check(err, in->name, jpeg->image_width, jpeg->image_height);
}

/* jpeg_destroy is safe after every failure but that of creation, which leaves mem NULL; it knows that. */
static void close_jpeg(jpeg_reader *reader) {
    jpeg_destroy_decompress(&reader->jpeg);
    free(reader->row);
}

static bool jpeg_knows(const uint8_t *bytes, size_t size) {
    return size >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0;
}

static const char *colour_name(J_COLOR_SPACE space) {
    switch (space) {
    case JCS_GRAYSCALE:
        return "grey";
    case JCS_CMYK:
        return "CMYK";
    case JCS_YCCK:
        return "YCCK";
    default:
        return "RGB";
    }
}

static mq_status jpeg_probe(mq_err *err, const mq_encoded *in, mq_picture_info *info) {
    mq_status status = MQ_OK;
    jpeg_reader reader;
    MQ_TRY(open_jpeg(err, in, &reader));
    info->width = reader.jpeg.image_width;
    info->height = reader.jpeg.image_height;
    info->colour = colour_name(reader.jpeg.jpeg_color_space);
    for (jpeg_saved_marker_ptr m = reader.jpeg.marker_list; m; m = m->next)
        if (m->data_length >= 6 && memcmp(m->data, "Exif\0\0", 6) == 0) {
            info->orientation = mq_exif_orientation(m->data, m->data_length);
            break;
        }
cleanup:
    close_jpeg(&reader);
    return status;
}

static mq_status decode_as(mq_err *err, const mq_encoded *in, uint32_t eighths, bool salvage,
                           mq_pixels *pixels) {
    mq_status status = MQ_OK;
    jpeg_reader reader;
    mq_pixels made = {0};
    MQ_TRY(open_jpeg(err, in, &reader));
    reader.eighths = eighths;
    reader.salvage = salvage;
    if (!guarded(&reader, choose_size)) MQ_TRY(say_failure(err, &reader));
    made.width = reader.jpeg.output_width;
    made.height = reader.jpeg.output_height;
    MQ_TRY(mq_picture_memory(err, in->name, made.width, made.height, 3, &made.rgb));
    if (reader.jpeg.num_components == 4)
        MQ_TRY(mq_picture_memory(err, in->name, made.width, 1, 4, &reader.row));
    reader.rgb = made.rgb;
    if (!guarded(&reader, read_rows)) MQ_TRY(say_failure(err, &reader));
    MQ_REQUIRE(reader.cut == salvage && !reader.empty, err, MQ_BAD_DATA,
               "%s: this JPEG is %s; nothing is salvaged of it", in->name,
               reader.cut ? "cut short before its first row of pixels" : "whole");
    *pixels = made;
    made.rgb = NULL;
cleanup:
    free(made.rgb);
    close_jpeg(&reader);
    return status;
}

static mq_status decode_at(mq_err *err, const mq_encoded *in, uint32_t eighths, mq_pixels *pixels) {
    return decode_as(err, in, eighths, false, pixels);
}

static mq_status jpeg_decode(mq_err *err, const mq_encoded *in, const uint8_t background[3],
                             mq_pixels *pixels) {
    (void)background; /* JPEG has no alpha */
    return decode_at(err, in, 8, pixels);
}

/* Whether a segment with a length may begin so, between scans or before them. */
static bool begins_segment(const uint8_t *b) {
    return b[0] == 0xff &&
           (b[1] == DHT || (b[1] >= SOS && b[1] <= DQT) || b[1] == DRI || (b[1] >= APP0 && b[1] <= COM));
}

/* Where a cut file's last segment begins, if that is where it is cut: else the library would take what it
 * puts in place of the end for the segment's rest. */
static size_t end_of_segments(const uint8_t *b, size_t size) {
    size_t at = 2; /* behind the marker that begins the file */
    while (at + 2 <= size && !(b[at] == 0xff && b[at + 1] == EOI)) {
        if (!begins_segment(b + at)) {
            at++; /* codes, the header of a frame, stray bytes */
            continue;
        }
        if (at + 4 > size) return at;
        const size_t length = (size_t)b[at + 2] << 8 | b[at + 3];
        if (length > size - at - 2) return at;
        at += 2 + length;
    }
    return size;
}

static mq_status jpeg_salvage(mq_err *err, const mq_encoded *in, const uint8_t background[3],
                              mq_picture_info *info, mq_pixels *pixels) {
    mq_status status = MQ_OK;
    const mq_encoded whole = {in->name, in->bytes, end_of_segments(in->bytes, in->size)};
    (void)background;
    MQ_TRY(jpeg_probe(err, &whole, info));
    MQ_TRY(decode_as(err, &whole, 8, true, pixels));
cleanup:
    return status;
}

const mq_decoder mq_decoder_jpeg = {"jpeg", jpeg_knows, jpeg_probe, jpeg_decode, decode_at, jpeg_salvage};
