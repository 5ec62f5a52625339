/* encode_png.c: writes PNG through libpng's simplified interface, which does
 * not leave by longjmp. Called by the importer with --store crop and
 * --max-side. Owns nothing. Invariant: the same pixels give the same bytes. */
#include "data/encode.h"

#include <png.h>

size_t mq_png_bound(uint32_t width, uint32_t height) {
    const png_image image = {
        .version = PNG_IMAGE_VERSION, .width = width, .height = height, .format = PNG_FORMAT_RGB};
    return PNG_IMAGE_PNG_SIZE_MAX(image);
}

mq_status mq_png_encode(mq_err *err, mq_view view, mq_buf *out) {
    mq_status status = MQ_OK;
    png_image image = {
        .version = PNG_IMAGE_VERSION, .width = view.width, .height = view.height, .format = PNG_FORMAT_RGB};
    png_alloc_size_t size = mq_png_bound(view.width, view.height);
    mq_buf_clear(out);
    MQ_TRY(mq_buf_reserve(err, out, size));
    MQ_REQUIRE(
        png_image_write_to_memory(&image, out->data, &size, 0, view.rgb, (png_int_32)view.stride, NULL), err,
        MQ_BAD_DATA, "a picture of %u x %u cannot be stored as PNG: %s", view.width, view.height,
        image.message);
    out->size = size;
    out->data[size] = 0;
cleanup:
    png_image_free(&image);
    return status;
}
