/* frame.c: reads raw frames row by row. Called by prepare.c for the library's
 * callers. Owns nothing. Invariant: no byte is read before the last byte of the
 * last row is known to lie inside the caller's data. */
#include "data/frame.h"
#include "base/mem.h"
#include "data/decode.h"

/* Where red, green, blue and alpha stand in a pixel. */
typedef struct {
    size_t channels; /* 0: not a raw format */
    uint8_t place[4];
} frame_layout;

static const frame_layout LAYOUTS[] = {
    [MQ_PIXELS_ENCODED] = {0, {0}},       [MQ_PIXELS_RGB] = {3, {0, 1, 2}},
    [MQ_PIXELS_BGR] = {3, {2, 1, 0}},     [MQ_PIXELS_RGBA] = {4, {0, 1, 2, 3}},
    [MQ_PIXELS_BGRA] = {4, {2, 1, 0, 3}}, [MQ_PIXELS_GRAY] = {1, {0, 0, 0}},
};

/* Finds the bytes from a row to the next, whatever its direction. */
static mq_status check_rows(mq_err *err, const char *name, const mq_image *frame, size_t channels,
                            size_t *gap) {
    mq_status status = MQ_OK;
    const size_t row = frame->width * channels;
    size_t bytes = 0;
    *gap = frame->stride < 0 ? 0 - (size_t)frame->stride : (size_t)frame->stride;
    if (!*gap) *gap = row;
    MQ_REQUIRE(*gap >= row, err, MQ_USAGE, "%s: a stride of %td bytes is less than a row of %zu", name,
               frame->stride, row);
    MQ_REQUIRE(mq_mul(*gap, frame->height - 1, &bytes) && mq_add(bytes, row, &bytes) &&
                   bytes <= frame->data_size,
               err, MQ_USAGE, "%s: a frame of %u x %u pixels does not fit in its %zu bytes of data", name,
               frame->width, frame->height, frame->data_size);
cleanup:
    return status;
}

static void read_row(const uint8_t *in, const frame_layout *layout, size_t width, const uint8_t background[3],
                     uint8_t *rgb) {
    const uint8_t *place = layout->place;
    for (size_t x = 0; x < width; x++, in += layout->channels, rgb += 3) {
        const uint8_t pixel[4] = {in[place[0]], in[place[1]], in[place[2]], in[place[3]]};
        if (layout->channels == 4) {
            mq_rgba_over(pixel, 1, background, rgb);
        } else {
            for (size_t c = 0; c < 3; c++) rgb[c] = pixel[c];
        }
    }
}

mq_status mq_frame_pixels(mq_err *err, const char *name, const mq_image *frame, const uint8_t background[3],
                          mq_pixels *pixels) {
    mq_status status = MQ_OK;
    const size_t format = (size_t)frame->format;
    mq_err size = {0};
    size_t gap = 0;
    *pixels = (mq_pixels){NULL, frame->width, frame->height};
    MQ_REQUIRE(format < sizeof LAYOUTS / sizeof *LAYOUTS && LAYOUTS[format].channels, err, MQ_USAGE,
               "%s: %d is no format of raw frames", name, (int)frame->format);
    const frame_layout *layout = &LAYOUTS[format];
    if (mq_picture_check(&size, name, frame->width, frame->height) != MQ_OK)
        return mq_fail(err, MQ_USAGE, "%s", size.text); /* no file says so, but the caller */
    MQ_TRY(check_rows(err, name, frame, layout->channels, &gap));
    MQ_TRY(mq_picture_memory(err, name, frame->width, frame->height, 3, &pixels->rgb));
    const uint8_t *bytes = frame->data;
    for (size_t y = 0; y < frame->height; y++) {
        const size_t row = frame->stride < 0 ? frame->height - 1 - y : y;
        read_row(bytes + row * gap, layout, frame->width, background, pixels->rgb + y * frame->width * 3);
    }
cleanup:
    return status;
}
