/* reader.c: finds the reader of a foreign picture by its first bytes, and what
 * all readers share. Called by main.c. Owns nothing. Invariant: no memory for
 * pixels is taken before the size was checked here. */
#include "pictures/reader.h"
#include "base/mem.h"

/* A new format is a file and a row here. */
static const mq_reader *const READERS[] = {&mq_reader_tiff, &mq_reader_bmp, &mq_reader_gif, &mq_reader_heif};

mq_status mq_check_size(mq_err *err, const mq_source *in, uint64_t width, uint64_t height) {
    mq_status status = MQ_OK;
    MQ_REQUIRE(width && height, err, MQ_BAD_DATA, "%s: the picture is %ju x %ju pixels, so it has none",
               in->name, (uintmax_t)width, (uintmax_t)height);
    MQ_REQUIRE(
        width <= MQ_SIDE_MAX && height <= MQ_SIDE_MAX && width * height <= MQ_PIXELS_MAX, err, MQ_BAD_DATA,
        "%s: the picture is %ju x %ju pixels; more than %d in all or %d on a side are refused, make it "
        "smaller",
        in->name, (uintmax_t)width, (uintmax_t)height, MQ_PIXELS_MAX, MQ_SIDE_MAX);
cleanup:
    return status;
}

mq_status mq_take_memory(mq_err *err, const mq_source *in, const mq_foreign_head *head, uint8_t **pixels) {
    const mq_status status = mq_check_size(err, in, head->width, head->height);
    if (status != MQ_OK) return status;
    return mq_calloc(err, (size_t)head->width * head->height, head->channels, "the pixels of a picture",
                     pixels);
}

void mq_divide_alpha(uint8_t *rgba, size_t count) {
    for (size_t i = 0; i < count; i++, rgba += 4) {
        const uint32_t alpha = rgba[3];
        for (int c = 0; alpha && alpha < 255 && c < 3; c++) {
            const uint32_t value = (rgba[c] * 255u + alpha / 2) / alpha;
            rgba[c] = (uint8_t)(value > 255 ? 255 : value);
        }
    }
}

mq_status mq_reader_read(mq_err *err, const mq_source *in, mq_foreign_head *head, uint8_t **pixels) {
    for (size_t i = 0; i < sizeof READERS / sizeof *READERS; i++)
        if (READERS[i]->knows(in->bytes, in->size)) return READERS[i]->read(err, in, head, pixels);
    return mq_fail(err, MQ_BAD_DATA, "%s: no picture of a known kind", in->name);
}
