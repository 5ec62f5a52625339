/* test_resize.c: resizing against Pillow's digests and against the formulas written down plainly. */
#include "unit/listing.h"
#include "unit/pixels.h"

#include "data/resize.h"

#include <math.h>

static void check_resized(char *row) {
    char name[64], hex[MQ_HEX_SIZE];
    unsigned width, height;
    assert_int_equal(sscanf(row, "%63[^,],%u,%u,%64s", name, &width, &height, hex), 4);
    mq_err err = {0};
    mq_pixels pixels = golden_pixels(name), small = noise(width, height, 1);
    assert_ok(err, mq_resize_pillow(&err, mq_view_of(&pixels), width, height, small.rgb));
    assert_picture(name, &small, width, height, hex);
    mq_pixels_free(&pixels);
    mq_pixels_free(&small);
}

static void test_resized(void **state) {
    (void)state;
    assert_true(each_row(GOLDEN "resized.csv", check_resized) >= 15);
}

/* Pillow's antialiased bilinear at one place of one line of values, step apart, in double. */
static double triangle(const double *line, size_t step, uint32_t in, uint32_t out, uint32_t place) {
    const double scale = (double)in / out, reach = scale < 1 ? 1 : scale, centre = (place + 0.5) * scale;
    double sum = 0, total = 0;
    for (uint32_t i = 0; i < in; i++) {
        const double distance = fabs((i + 0.5 - centre) / reach);
        if (distance >= 1) continue;
        sum += (1 - distance) * line[i * step];
        total += 1 - distance;
    }
    return sum / total;
}

/* Each of the two passes rounds by at most a half, and the second averages what the first rounded. */
static void check_pillow(uint32_t width, uint32_t height, uint32_t to_width, uint32_t to_height) {
    mq_err err = {0};
    mq_pixels in = noise(width, height, width * 31 + to_height), out = noise(to_width, to_height, 1);
    assert_ok(err, mq_resize_pillow(&err, mq_view_of(&in), to_width, to_height, out.rgb));
    double *line = NULL, *rows = NULL;
    assert_ok(err, mq_calloc(&err, width, sizeof *line, "a line", &line));
    assert_ok(err, mq_calloc(&err, (size_t)height * to_width, sizeof *rows, "rows", &rows));
    for (size_t c = 0; c < 3; c++) {
        for (size_t y = 0; y < height; y++) {
            for (size_t x = 0; x < width; x++) line[x] = in.rgb[(y * width + x) * 3 + c];
            for (uint32_t x = 0; x < to_width; x++)
                rows[y * to_width + x] = triangle(line, 1, width, to_width, x);
        }
        for (uint32_t y = 0; y < to_height; y++)
            for (uint32_t x = 0; x < to_width; x++) {
                const double wanted = triangle(rows + x, to_width, height, to_height, y);
                if (fabs(wanted - out.rgb[((size_t)y * to_width + x) * 3 + c]) > 1.01)
                    fail_msg("%u x %u to %u x %u: (%u, %u)", width, height, to_width, to_height, x, y);
            }
    }
    free(line);
    free(rows);
    mq_pixels_free(&in);
    mq_pixels_free(&out);
}

static void test_pillow_formula(void **state) {
    (void)state;
    check_pillow(1, 1, 5, 7);
    check_pillow(1, 2000, 30, 30);
    check_pillow(2000, 1, 30, 30);
    check_pillow(53, 31, 20, 44);
    check_pillow(53, 31, 53, 10);
    check_pillow(53, 31, 10, 31);
    check_pillow(7, 300, 99, 3);
    check_pillow(3, 2, 1, 1);
}

static void test_flat_stays_flat(void **state) {
    (void)state;
    static const uint32_t SIZES[][2] = {{1, 1}, {1, 10000}, {10000, 1}, {299, 299}, {300, 298}, {1000, 7}};
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
        mq_err err = {0};
        mq_pixels in = noise(SIZES[i][0], SIZES[i][1], 1), out = noise(299, 299, 2);
        memset(in.rgb, 255, (size_t)in.width * in.height * 3);
        assert_ok(err, mq_resize_pillow(&err, mq_view_of(&in), 299, 299, out.rgb));
        for (size_t k = 0; k < 299 * 299 * 3; k++) assert_int_equal(out.rgb[k], 255);
        mq_pixels_free(&in);
        mq_pixels_free(&out);
    }
}

/* A view is resized as if it had been cut out first: what lies around it never shows. */
static void test_view_is_a_cut(void **state) {
    (void)state;
    mq_err err = {0};
    mq_pixels in = noise(60, 50, 3), a = noise(20, 70, 4), b = noise(20, 70, 5);
    const mq_view view = mq_view_cut(mq_view_of(&in), (mq_box){7, 9, 48, 41});
    mq_pixels cut = copied(view);
    assert_ok(err, mq_resize_pillow(&err, view, 20, 70, a.rgb));
    assert_ok(err, mq_resize_pillow(&err, mq_view_of(&cut), 20, 70, b.rgb));
    assert_same_pixels(&a, &b);
    float x[20 * 70 * 3], y[20 * 70 * 3];
    assert_ok(err, mq_resize_tensorflow(&err, view, 20, 70, x));
    assert_ok(err, mq_resize_tensorflow(&err, mq_view_of(&cut), 20, 70, y));
    assert_memory_equal(x, y, sizeof x);
    mq_pixels same = noise(41, 32, 6);
    assert_ok(err, mq_resize_pillow(&err, view, 41, 32, same.rgb));
    assert_same_pixels(&same, &cut);
    mq_pixels_free(&in);
    mq_pixels_free(&a);
    mq_pixels_free(&b);
    mq_pixels_free(&cut);
    mq_pixels_free(&same);
}

static double clamped(const mq_pixels *in, double x, double y, size_t c) {
    const double column = fmin(fmax(x, 0), in->width - 1.0), row = fmin(fmax(y, 0), in->height - 1.0);
    return in->rgb[((size_t)row * in->width + (size_t)column) * 3 + c];
}

/* Between the four nearest pixel centres, in double; 1e-4 of a grey level is TensorFlow's single precision.
 */
static void test_tensorflow_formula(void **state) {
    (void)state;
    static const uint32_t SIZES[][4] = {{5, 4, 7, 3}, {40, 30, 13, 31}, {1, 1, 3, 2}, {300, 2, 7, 9}};
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
        const uint32_t w = SIZES[i][2], h = SIZES[i][3];
        mq_err err = {0};
        mq_pixels in = noise(SIZES[i][0], SIZES[i][1], (uint32_t)i);
        const double tolerance = 255 * 2e-7 * (in.width + in.height);
        float *out = NULL;
        assert_ok(err, mq_calloc(&err, (size_t)w * h * 3, sizeof *out, "floats", &out));
        assert_ok(err, mq_resize_tensorflow(&err, mq_view_of(&in), w, h, out));
        for (size_t k = 0; k < (size_t)w * h * 3; k++) {
            const size_t c = k % 3, column = k / 3 % w, row = k / 3 / w;
            const double x = ((double)column + 0.5) * in.width / w - 0.5;
            const double y = ((double)row + 0.5) * in.height / h - 0.5;
            const double dx = x - floor(x), dy = y - floor(y), x0 = floor(x), y0 = floor(y);
            const double top = clamped(&in, x0, y0, c) * (1 - dx) + clamped(&in, x0 + 1, y0, c) * dx;
            const double low = clamped(&in, x0, y0 + 1, c) * (1 - dx) + clamped(&in, x0 + 1, y0 + 1, c) * dx;
            assert_true(fabs(top * (1 - dy) + low * dy - (double)out[k]) < tolerance);
        }
        free(out);
        mq_pixels_free(&in);
    }
    /* By hand: 0 and 255 to four places, not rounded. */
    mq_err err = {0};
    uint8_t two[6] = {0, 0, 0, 255, 255, 255};
    const mq_pixels in = {two, 2, 1};
    float four[12];
    assert_ok(err, mq_resize_tensorflow(&err, mq_view_of(&in), 4, 1, four));
    assert_true(four[0] == 0 && four[3] == 63.75f && four[6] == 191.25f && four[9] == 255);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resized),
        cmocka_unit_test(test_pillow_formula),
        cmocka_unit_test(test_flat_stays_flat),
        cmocka_unit_test(test_view_is_a_cut),
        cmocka_unit_test(test_tensorflow_formula),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
