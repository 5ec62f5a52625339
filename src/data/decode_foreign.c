/* decode_foreign.c: pictures of foreign formats (TIFF, BMP, GIF, HEIC, AVIF),
 * decoded by the process marque-pictures, one for each picture. Called through
 * the table in picture.c. Owns nothing. Invariant: nothing the process says is
 * believed before its numbers fit together; whatever becomes of it, only this
 * picture fails. */
#include "base/child.h"
#include "base/foreign_picture.h"
#include "base/mem.h"
#include "data/decode.h"

#include <string.h>

/* What stands in place of the file's name in the child's sentences. */
#define NAME "picture"

static const char *const FORMATS[MQ_FOREIGN_FORMATS] = {
    [MQ_TIFF] = "tiff", [MQ_BMP] = "bmp", [MQ_GIF] = "gif", [MQ_HEIC] = "heic", [MQ_AVIF] = "avif"};

static bool begins(const uint8_t *bytes, size_t size, size_t at, const char *with, size_t length) {
    return size >= at + length && memcmp(bytes + at, with, length) == 0;
}

/* "BM" alone begins many a text; a header of a known size follows it. */
static bool is_bmp(const uint8_t *bytes, size_t size) {
    return size >= 26 && begins(bytes, size, 0, "BM", 2) &&
           (bytes[14] == 12 || (bytes[14] >= 40 && bytes[14] <= 124)) && bytes[15] == 0 && bytes[16] == 0 &&
           bytes[17] == 0;
}

static bool foreign_knows(const uint8_t *bytes, size_t size) {
    static const char brands[][5] = {"heic", "heix", "hevc", "hevx", "heim",
                                     "heis", "mif1", "msf1", "avif", "avis"};
    if (begins(bytes, size, 4, "ftyp", 4))
        for (size_t i = 0; i < sizeof brands / sizeof *brands; i++)
            if (begins(bytes, size, 8, brands[i], 4)) return true;
    return begins(bytes, size, 0, "II*\0", 4) || begins(bytes, size, 0, "MM\0*", 4) ||
           begins(bytes, size, 0, "II+\0", 4) || begins(bytes, size, 0, "MM\0+", 4) ||
           begins(bytes, size, 0, "GIF8", 4) || is_bmp(bytes, size);
}

/* Runs the process; what it says of the picture is the picture's fault, but that it cannot be started is not.
 */
static mq_status run(mq_err *err, const mq_encoded *in, const char *what, mq_buf *out) {
    mq_err why = {0};
    const mq_child_plan plan = {.size = sizeof plan,
                                .program = "marque-pictures",
                                .role = "decoder",
                                .kind = NAME,
                                .purpose = "to read TIFF, BMP, GIF, HEIC and AVIF",
                                .file = NAME,
                                .args = {what, NAME},
                                .input = in->bytes,
                                .input_size = in->size};
    if (mq_child_run(&why, &plan, out) == MQ_OK) return MQ_OK;
    const bool named = strncmp(why.text, NAME ": ", sizeof NAME + 1) == 0;
    return mq_fail(err, named && why.code != MQ_INTERNAL ? MQ_BAD_DATA : why.code, "%s: %s", in->name,
                   why.text + (named ? sizeof NAME + 1 : 0));
}

/* The head of a stream of which has_pixels says whether pixels follow. */
static mq_status check_head(mq_err *err, const mq_encoded *in, const mq_buf *stream, bool has_pixels,
                            mq_foreign_head *head) {
    mq_status status = MQ_OK;
    MQ_REQUIRE(stream->size >= sizeof *head, err, MQ_BAD_DATA, "%s: its decoder said too little", in->name);
    memcpy(head, stream->data, sizeof *head);
    MQ_TRY(mq_picture_check(err, in->name, head->width, head->height));
    const size_t pixels = (size_t)head->width * head->height * head->channels;
    MQ_REQUIRE(head->format < MQ_FOREIGN_FORMATS && (head->channels == 3 || head->channels == 4) &&
                   head->more <= 1 && stream->size - sizeof *head == (has_pixels ? pixels : 0),
               err, MQ_BAD_DATA, "%s: its decoder's numbers do not fit together", in->name);
cleanup:
    return status;
}

static mq_status foreign_probe(mq_err *err, const mq_encoded *in, mq_picture_info *info) {
    mq_status status = MQ_OK;
    mq_buf stream = mq_buf_init(sizeof(mq_foreign_head));
    mq_foreign_head head;
    MQ_TRY(run(err, in, "head", &stream));
    MQ_TRY(check_head(err, in, &stream, false, &head));
    info->format = FORMATS[head.format];
    info->width = head.width;
    info->height = head.height;
    info->colour = head.channels == 4 ? "RGBA" : "RGB";
    info->animated = head.more;
    /* what was packed with loss already is not kept at ten times its size for a loss nobody sees */
    info->becomes = head.format == MQ_HEIC || head.format == MQ_AVIF ? "jpeg" : "png";
cleanup:
    mq_buf_free(&stream);
    return status;
}

static mq_status foreign_decode(mq_err *err, const mq_encoded *in, const uint8_t background[3],
                                mq_pixels *pixels) {
    mq_status status = MQ_OK;
    mq_buf stream = mq_buf_init(sizeof(mq_foreign_head) + (size_t)MQ_PIXELS_MAX * 4);
    mq_foreign_head head;
    MQ_TRY(run(err, in, "pixels", &stream));
    MQ_TRY(check_head(err, in, &stream, true, &head));
    const uint8_t *given = stream.data + sizeof head;
    const size_t count = (size_t)head.width * head.height;
    MQ_TRY(mq_picture_memory(err, in->name, head.width, head.height, 3, &pixels->rgb));
    pixels->width = head.width;
    pixels->height = head.height;
    if (head.channels == 4)
        mq_rgba_over(given, count, background, pixels->rgb);
    else
        memcpy(pixels->rgb, given, count * 3);
cleanup:
    mq_buf_free(&stream);
    return status;
}

const mq_decoder mq_decoder_foreign = {"foreign", foreign_knows, foreign_probe, foreign_decode, NULL, NULL};
