/* test_prepare.c: the recipe: ranges, boxes, margins, fits, EXIF and flips, each against its parts done by
 * hand. */
#include "unit/pixels.h"

#include "data/prepare.h"
#include "data/resize.h"

enum { SIDE = 24, FLOATS = SIDE * SIDE * 3 };

static mq_recipe recipe_of(mq_range range) {
    mq_recipe recipe = mq_recipe_default(SIDE, range);
    memcpy(recipe.background, BACKGROUND, sizeof BACKGROUND);
    return recipe;
}

/* The input that a view gives when it is all there is. */
static void prepare_cut(const mq_recipe *recipe, mq_view view, float *out) {
    mq_err err = {0};
    mq_pixels cut = copied(view);
    assert_ok(err, mq_prepare_pixels(&err, recipe, &cut, false, out));
    mq_pixels_free(&cut);
}

static mq_status prepare_golden(mq_err *err, const mq_recipe *recipe, const char *name, const mq_box *box,
                                float *out) {
    mq_buf file = golden(name);
    const mq_status status = mq_prepare(err, recipe, &(mq_encoded){name, file.data, file.size}, box, NULL,
                                        out);
    mq_buf_free(&file);
    return status;
}

static void test_ranges(void **state) {
    (void)state;
    mq_err err = {0};
    uint8_t rgb[3] = {255, 0, 128};
    const mq_pixels one = {rgb, 1, 1};
    static const float WANTED[3][3] = {
        [MQ_RANGE_TF] = {1.0f, -1.0f, 128.0f / 127.5f - 1.0f},
        [MQ_RANGE_UNIT] = {1.0f, 0.0f, 128.0f / 255.0f},
        [MQ_RANGE_CAFFE] = {128.0f - 103.939f, 0.0f - 116.779f, 255.0f - 123.68f},
    };
    for (int range = 0; range < 3; range++)
        for (int filter = 0; filter < 2; filter++) {
            mq_recipe recipe = recipe_of((mq_range)range);
            recipe.filter = (mq_filter)filter;
            float out[FLOATS];
            assert_ok(err, mq_prepare_pixels(&err, &recipe, &one, false, out));
            for (size_t i = 0; i < FLOATS; i++) assert_true(out[i] == WANTED[range][i % 3]);
        }
}

static void test_no_box_is_the_resize(void **state) {
    (void)state;
    mq_err err = {0};
    const mq_recipe recipe = recipe_of(MQ_RANGE_TF);
    mq_pixels pixels = golden_pixels("rgb-420.jpg"), small = noise(SIDE, SIDE, 1);
    float out[FLOATS];
    assert_ok(err, prepare_golden(&err, &recipe, "rgb-420.jpg", NULL, out));
    assert_ok(err, mq_resize_pillow(&err, mq_view_of(&pixels), SIDE, SIDE, small.rgb));
    for (size_t i = 0; i < FLOATS; i++) assert_true(out[i] == (float)small.rgb[i] / 127.5f - 1.0f);
    mq_pixels_free(&pixels);
    mq_pixels_free(&small);
}

/* Boxes of a 45 x 37 picture with their margin, and the rectangle that must be cut. */
static void test_boxes(void **state) {
    (void)state;
    static const struct {
        mq_box box;
        double margin;
        mq_box cut;
    } CASES[] = {
        {{5, 6, 25, 26}, 0, {5, 6, 25, 26}},     {{5, 6, 25, 26}, 0.1, {3, 4, 27, 28}},
        {{10, 10, 15, 30}, 0.1, {9, 8, 16, 32}}, /* 0.5 is rounded up */
        {{-9, 30, 20, 99}, 0, {0, 30, 20, 37}},  {{40, 1, 45, 5}, 1.0, {35, 0, 45, 9}},
        {{44, 36, 45, 37}, 0, {44, 36, 45, 37}}, {{0, 0, 45, 37}, 0.3, {0, 0, 45, 37}},
    };
    mq_pixels pixels = golden_pixels("rgb-420.jpg");
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        mq_err err = {0};
        mq_recipe recipe = recipe_of(MQ_RANGE_TF);
        recipe.margin = CASES[i].margin;
        float out[FLOATS], wanted[FLOATS], whole[FLOATS];
        assert_ok(err, prepare_golden(&err, &recipe, "rgb-420.jpg", &CASES[i].box, out));
        prepare_cut(&recipe, mq_view_cut(mq_view_of(&pixels), CASES[i].cut), wanted);
        assert_memory_equal(out, wanted, sizeof out);
        recipe.crop = false;
        assert_ok(err, prepare_golden(&err, &recipe, "rgb-420.jpg", &CASES[i].box, out));
        prepare_cut(&recipe, mq_view_of(&pixels), whole);
        assert_memory_equal(out, whole, sizeof out);
    }
    mq_pixels_free(&pixels);
}

static void test_impossible(void **state) {
    (void)state;
    static const mq_box OUTSIDE[] = {
        {45, 0, 60, 20}, {-9, 0, 0, 20}, {0, 37, 9, 50}, {9, 9, 9, 20}, {20, 9, 9, 20}};
    mq_recipe recipe = recipe_of(MQ_RANGE_TF);
    float out[FLOATS];
    for (size_t i = 0; i < sizeof OUTSIDE / sizeof *OUTSIDE; i++) {
        mq_err err = {0};
        assert_int_equal(prepare_golden(&err, &recipe, "rgb-420.jpg", &OUTSIDE[i], out), MQ_BAD_DATA);
        assert_non_null(strstr(err.text, "outside the picture of 45 x 37"));
    }
    mq_err err = {0};
    recipe.imgsz = 0;
    assert_int_equal(prepare_golden(&err, &recipe, "rgb-420.jpg", NULL, out), MQ_USAGE);
}

/* Turned picture and turned box, cut there, give what mq_prepare gives from the stored ones. */
static void test_exif(void **state) {
    (void)state;
    const mq_box box = {3, 8, 30, 20};
    for (int orientation = 1; orientation <= 8; orientation++) {
        mq_err err = {0};
        char name[32];
        snprintf(name, sizeof name, "exif-%d.jpg", orientation);
        mq_recipe recipe = recipe_of(MQ_RANGE_UNIT);
        float out[FLOATS], wanted[FLOATS];
        mq_pixels pixels = golden_pixels(name);
        recipe.apply_exif = false;
        assert_ok(err, prepare_golden(&err, &recipe, name, &box, out));
        prepare_cut(&recipe, mq_view_cut(mq_view_of(&pixels), box), wanted);
        assert_memory_equal(out, wanted, sizeof out);

        recipe.apply_exif = true;
        const mq_box turned = mq_box_orient(box, pixels.width, pixels.height, orientation);
        assert_ok(err, mq_pixels_orient(&err, &pixels, orientation));
        assert_ok(err, prepare_golden(&err, &recipe, name, &box, out));
        prepare_cut(&recipe, mq_view_cut(mq_view_of(&pixels), turned), wanted);
        assert_memory_equal(out, wanted, sizeof out);
        mq_pixels_free(&pixels);
    }
}

static void test_fit_crop(void **state) {
    (void)state;
    mq_pixels wide = noise(50, 31, 1);
    mq_recipe recipe = recipe_of(MQ_RANGE_TF);
    float wanted[FLOATS], out[FLOATS];
    prepare_cut(&recipe, mq_view_cut(mq_view_of(&wide), (mq_box){9, 0, 40, 31}), wanted);
    recipe.fit = MQ_FIT_CROP;
    prepare_cut(&recipe, mq_view_of(&wide), out);
    assert_memory_equal(out, wanted, sizeof out);
    mq_pixels_free(&wide);
}

/* 50 x 31 to 24 pixels: 15 rows (14.88) with 4 rows of background above and 5 below. */
static void test_fit_pad(void **state) {
    (void)state;
    mq_err err = {0};
    mq_pixels wide = noise(50, 31, 1), small = noise(24, 15, 2);
    mq_recipe recipe = recipe_of(MQ_RANGE_UNIT);
    recipe.fit = MQ_FIT_PAD;
    float out[FLOATS];
    prepare_cut(&recipe, mq_view_of(&wide), out);
    assert_ok(err, mq_resize_pillow(&err, mq_view_of(&wide), 24, 15, small.rgb));
    for (size_t i = 0; i < FLOATS; i++) {
        const size_t y = i / 3 / SIDE;
        const uint8_t byte = y < 4 || y >= 19 ? BACKGROUND[i % 3] : small.rgb[i - (size_t)4 * SIDE * 3];
        assert_true(out[i] == (float)byte / 255.0f);
    }
    mq_pixels_free(&wide);
    mq_pixels_free(&small);
    /* A line of 10000 pixels keeps one row. */
    mq_pixels line = noise(10000, 1, 3);
    memset(line.rgb, 7, (size_t)10000 * 3);
    prepare_cut(&recipe, mq_view_of(&line), out);
    for (size_t i = 0; i < FLOATS; i++) {
        const uint8_t byte = i / 3 / SIDE == 11 ? 7 : BACKGROUND[i % 3];
        assert_true(out[i] == (float)byte / 255.0f);
    }
    mq_pixels_free(&line);
}

static void test_flip_mirrors_the_input(void **state) {
    (void)state;
    mq_err err = {0};
    mq_pixels tall = noise(31, 50, 1);
    for (int fit = 0; fit < 3; fit++)
        for (int filter = 0; filter < 2; filter++)
            for (int range = 0; range < 3; range++) {
                mq_recipe recipe = recipe_of((mq_range)range);
                recipe.fit = (mq_fit)fit;
                recipe.filter = (mq_filter)filter;
                float plain[FLOATS], flipped[FLOATS];
                assert_ok(err, mq_prepare_pixels(&err, &recipe, &tall, false, plain));
                assert_ok(err, mq_prepare_pixels(&err, &recipe, &tall, true, flipped));
                for (size_t y = 0; y < SIDE; y++)
                    for (size_t x = 0; x < SIDE; x++)
                        assert_memory_equal(flipped + (y * SIDE + x) * 3,
                                            plain + (y * SIDE + SIDE - 1 - x) * 3, 3 * sizeof(float));
            }
    mq_pixels_free(&tall);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),  cmocka_unit_test(test_no_box_is_the_resize),
        cmocka_unit_test(test_boxes),   cmocka_unit_test(test_impossible),
        cmocka_unit_test(test_exif),    cmocka_unit_test(test_fit_crop),
        cmocka_unit_test(test_fit_pad), cmocka_unit_test(test_flip_mirrors_the_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
