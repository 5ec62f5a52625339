/* heif.c: HEIC and AVIF through libheif, the one file that knows it. Called
 * through the table in reader.c. Owns the library's objects. Invariant: the size
 * is checked before anything is decoded; the primary picture is the picture,
 * turned and cut as its file says. */
#include "pictures/reader.h"

#include <string.h>

#include <libheif/heif.h>

/* What has to be given back, in any case. */
typedef struct {
    struct heif_context *context;
    struct heif_image_handle *handle;
    struct heif_image *image;
} opened;

/* Brands of still pictures and of rows of them (ISO/IEC 23008-12, B.4; AV1 Image File Format). */
static bool knows(const uint8_t *bytes, size_t size) {
    static const char brands[][5] = {"heic", "heix", "hevc", "hevx", "heim",
                                     "heis", "mif1", "msf1", "avif", "avis"};
    if (size < 12 || memcmp(bytes + 4, "ftyp", 4) != 0) return false;
    for (size_t i = 0; i < sizeof brands / sizeof *brands; i++)
        if (memcmp(bytes + 8, brands[i], 4) == 0) return true;
    return false;
}

/* mif1 and msf1 leave open which of the two it is; then one of the other brands says it. */
static mq_foreign_format format_of(const mq_source *in) {
    const uint8_t *b = in->bytes;
    const size_t box = (size_t)b[0] << 24 | (size_t)b[1] << 16 | (size_t)b[2] << 8 | b[3];
    const size_t end = box < in->size ? box : in->size;
    for (size_t at = 8; at + 4 <= end; at += 4)
        if (memcmp(b + at, "avif", 4) == 0 || memcmp(b + at, "avis", 4) == 0) return MQ_AVIF;
    return MQ_HEIC;
}

static mq_status say_failure(mq_err *err, const mq_source *in, struct heif_error why) {
    return mq_fail(err, MQ_BAD_DATA, "%s: damaged or unusual %s (%.120s); convert it to JPEG", in->name,
                   format_of(in) == MQ_AVIF ? "AVIF" : "HEIC", why.message);
}

static mq_status decode(mq_err *err, const mq_source *in, opened *o, const mq_foreign_head *head,
                        uint8_t **pixels) {
    mq_status status = MQ_OK;
    int stride = 0;
    const size_t row = (size_t)head->width * head->channels;
    const struct heif_error failed = heif_decode_image(
        o->handle, &o->image, heif_colorspace_RGB,
        head->channels == 4 ? heif_chroma_interleaved_RGBA : heif_chroma_interleaved_RGB, NULL);
    if (failed.code) MQ_TRY(say_failure(err, in, failed));
    const uint8_t *plane = heif_image_get_plane_readonly(o->image, heif_channel_interleaved, &stride);
    MQ_REQUIRE(plane && stride > 0 && (size_t)stride >= row &&
                   heif_image_get_width(o->image, heif_channel_interleaved) == (int)head->width &&
                   heif_image_get_height(o->image, heif_channel_interleaved) == (int)head->height,
               err, MQ_BAD_DATA, "%s: its pixels are of another size than it says; convert it to JPEG",
               in->name);
    MQ_TRY(mq_take_memory(err, in, head, pixels));
    for (size_t y = 0; y < head->height; y++) memcpy(*pixels + y * row, plane + y * (size_t)stride, row);
    if (head->channels == 4 && heif_image_handle_is_premultiplied_alpha(o->handle))
        mq_divide_alpha(*pixels, (size_t)head->width * head->height);
cleanup:
    return status;
}

static mq_status read_heif(mq_err *err, const mq_source *in, mq_foreign_head *head, uint8_t **pixels) {
    mq_status status = MQ_OK;
    opened o = {.context = heif_context_alloc()};
    MQ_REQUIRE(o.context, err, MQ_NO_MEMORY, "%s: no memory to decode it", in->name);
    heif_context_set_max_decoding_threads(o.context, 0); /* marque decodes several pictures at a time */
    struct heif_error failed = heif_context_read_from_memory_without_copy(o.context, in->bytes, in->size,
                                                                          NULL);
    if (!failed.code) failed = heif_context_get_primary_image_handle(o.context, &o.handle);
    if (failed.code) MQ_TRY(say_failure(err, in, failed));
    const int width = heif_image_handle_get_width(o.handle), height = heif_image_handle_get_height(o.handle);
    MQ_TRY(mq_check_size(err, in, width > 0 ? (uint64_t)width : 0, height > 0 ? (uint64_t)height : 0));
    *head = (mq_foreign_head){format_of(in), (uint32_t)width, (uint32_t)height,
                              heif_image_handle_has_alpha_channel(o.handle) ? 4 : 3,
                              heif_context_get_number_of_top_level_images(o.context) > 1};
    if (pixels) MQ_TRY(decode(err, in, &o, head, pixels));
cleanup:
    heif_image_release(o.image);
    heif_image_handle_release(o.handle);
    heif_context_free(o.context);
    return status;
}

const mq_reader mq_reader_heif = {knows, read_heif};
