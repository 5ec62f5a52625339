/* test_frame.c: raw frames of every format, stride and direction, against the same pixels as a picture, and
 * frames that would reach beyond their data. */
#include "unit/pixels.h"

#include "data/frame.h"
#include "data/prepare.h"

enum { W = 7, H = 5, SIDE = 24, FLOATS = SIDE * SIDE * 3 };

static const struct {
    mq_pixel_format format;
    size_t channels;
    int order[4]; /* what stands at each place: 0 red, 1 green, 2 blue, 3 alpha */
} FORMATS[] = {
    {MQ_PIXELS_RGB, 3, {0, 1, 2}},     {MQ_PIXELS_BGR, 3, {2, 1, 0}},  {MQ_PIXELS_RGBA, 4, {0, 1, 2, 3}},
    {MQ_PIXELS_BGRA, 4, {2, 1, 0, 3}}, {MQ_PIXELS_GRAY, 1, {0, 0, 0}},
};
enum { FORMAT_COUNT = sizeof FORMATS / sizeof *FORMATS };

/* The bytes of a frame, of exactly the size that it needs: a sanitizer sees what is read beyond. */
static uint8_t *lay_out(const mq_pixels *pixels, size_t format, size_t gap, bool upwards, size_t *size) {
    const size_t channels = FORMATS[format].channels, row = pixels->width * channels;
    *size = gap * (pixels->height - 1) + row;
    uint8_t *bytes = malloc(*size);
    assert_non_null(bytes);
    memset(bytes, 0xEE, *size);
    for (size_t y = 0; y < pixels->height; y++)
        for (size_t x = 0; x < pixels->width; x++)
            for (size_t c = 0; c < channels; c++) {
                const int what = FORMATS[format].order[c];
                const size_t line = upwards ? pixels->height - 1 - y : y;
                bytes[line * gap + x * channels + c] =
                    what == 3 ? 255 : pixels->rgb[(y * pixels->width + x) * 3 + (size_t)what];
            }
    return bytes;
}

static mq_image frame_of(const mq_pixels *pixels, size_t format, const uint8_t *bytes, size_t size,
                         ptrdiff_t stride) {
    return (mq_image){.size = sizeof(mq_image),
                      .data = bytes,
                      .data_size = size,
                      .format = FORMATS[format].format,
                      .width = pixels->width,
                      .height = pixels->height,
                      .stride = stride};
}

static void test_formats(void **state) {
    (void)state;
    for (size_t format = 0; format < FORMAT_COUNT; format++)
        for (size_t pad = 0; pad < 8; pad += 7)
            for (int upwards = 0; upwards < 2; upwards++) {
                mq_err err = {0};
                mq_pixels pixels = noise(W, H, (uint32_t)format), got = {0};
                if (FORMATS[format].channels == 1)
                    for (size_t i = 0; i < W * H * 3; i++) pixels.rgb[i] = pixels.rgb[i / 3 * 3];
                const size_t gap = W * FORMATS[format].channels + pad;
                size_t size;
                uint8_t *bytes = lay_out(&pixels, format, gap, upwards, &size);
                ptrdiff_t stride = upwards ? -(ptrdiff_t)gap : (ptrdiff_t)gap;
                if (!upwards && !pad) stride = 0;
                const mq_image frame = frame_of(&pixels, format, bytes, size, stride);
                assert_ok(err, mq_frame_pixels(&err, "frame", &frame, BACKGROUND, &got));
                assert_same_pixels(&got, &pixels);
                mq_pixels_free(&got);
                mq_pixels_free(&pixels);
                free(bytes);
            }
}

/* As Pillow's alpha_composite over (200, 100, 50). */
static void test_alpha(void **state) {
    (void)state;
    static const uint8_t BGRA[] = {1, 2, 3, 0, 30, 20, 10, 255, 10, 10, 10, 128};
    static const uint8_t WANTED[] = {200, 100, 50, 10, 20, 30, 105, 55, 30};
    mq_err err = {0};
    mq_pixels got = {0};
    const mq_image frame = {.size = sizeof frame,
                            .data = BGRA,
                            .data_size = sizeof BGRA,
                            .format = MQ_PIXELS_BGRA,
                            .width = 3,
                            .height = 1};
    assert_ok(err, mq_frame_pixels(&err, "frame", &frame, BACKGROUND, &got));
    assert_memory_equal(got.rgb, WANTED, sizeof WANTED);
    mq_pixels_free(&got);
}

static void refused(const mq_image *frame, mq_status code, const char *words) {
    mq_err err = {0};
    mq_pixels got = {0};
    assert_int_equal(mq_frame_pixels(&err, "image 3", frame, BACKGROUND, &got), code);
    assert_non_null(strstr(err.text, words));
    assert_non_null(strstr(err.text, "image 3"));
    assert_null(got.rgb);
}

static void test_impossible(void **state) {
    (void)state;
    uint8_t bytes[W * H * 3];
    const mq_image good = {.size = sizeof good,
                           .data = bytes,
                           .data_size = sizeof bytes,
                           .format = MQ_PIXELS_RGB,
                           .width = W,
                           .height = H};
    mq_image bad = good;
    bad.data_size--;
    refused(&bad, MQ_USAGE, "does not fit in its 104 bytes");
    bad = good;
    bad.stride = W * 3 + 1;
    refused(&bad, MQ_USAGE, "does not fit");
    bad.stride = W * 3 - 1;
    refused(&bad, MQ_USAGE, "stride of 20 bytes is less than a row of 21");
    bad.stride = -(W * 3 - 1);
    refused(&bad, MQ_USAGE, "stride of -20 bytes");
    bad.stride = PTRDIFF_MIN;
    refused(&bad, MQ_USAGE, "does not fit");
    bad.stride = PTRDIFF_MAX;
    refused(&bad, MQ_USAGE, "does not fit");
    bad = good;
    bad.height = 0;
    refused(&bad, MQ_USAGE, "7 x 0 pixels");
    bad.height = UINT32_MAX;
    refused(&bad, MQ_USAGE, "are refused");
    bad = good;
    bad.format = MQ_PIXELS_ENCODED;
    refused(&bad, MQ_USAGE, "no format of raw frames");
    bad.format = (mq_pixel_format)99;
    refused(&bad, MQ_USAGE, "99 is no format of raw frames");
    bad.format = (mq_pixel_format)-1;
    refused(&bad, MQ_USAGE, "-1 is no format of raw frames");
}

/* The recipe makes of a frame what it makes of a file with the same pixels, cut to a box or whole. */
static void test_same_as_file(void **state) {
    (void)state;
    static const mq_box BOXES[] = {{5, 6, 25, 26}, {-9, 30, 20, 99}};
    mq_err err = {0};
    mq_recipe recipe = mq_recipe_default(SIDE, MQ_RANGE_TF);
    memcpy(recipe.background, BACKGROUND, sizeof BACKGROUND);
    recipe.margin = 0.1;
    mq_buf file = golden("rgb-420.jpg");
    mq_pixels pixels = golden_pixels("rgb-420.jpg");
    size_t size;
    const size_t gap = pixels.width * 3 + 5;
    uint8_t *bytes = lay_out(&pixels, 1, gap, false, &size);
    for (size_t i = 0; i < 3; i++) {
        float wanted[FLOATS], of_frame[FLOATS], of_file[FLOATS];
        mq_image frame = frame_of(&pixels, 1, bytes, size, (ptrdiff_t)gap);
        frame.box = i < 2 ? &BOXES[i] : NULL;
        const mq_image encoded = {
            .size = sizeof encoded, .data = file.data, .data_size = file.size, .box = frame.box};
        assert_ok(err, mq_prepare(&err, &recipe, &(mq_encoded){"file", file.data, file.size}, frame.box, NULL,
                                  wanted));
        assert_ok(err, mq_prepare_image(&err, &recipe, "frame", &frame, of_frame));
        assert_ok(err, mq_prepare_image(&err, &recipe, "file", &encoded, of_file));
        assert_memory_equal(of_frame, wanted, sizeof wanted);
        assert_memory_equal(of_file, wanted, sizeof wanted);
    }
    mq_image nothing = frame_of(&pixels, 1, NULL, size, 0);
    float out[FLOATS];
    assert_int_equal(mq_prepare_image(&err, &recipe, "frame", &nothing, out), MQ_USAGE);
    free(bytes);
    mq_buf_free(&file);
    mq_pixels_free(&pixels);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_alpha),
        cmocka_unit_test(test_impossible),
        cmocka_unit_test(test_same_as_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
