/* test_scaled.c: pictures decoded at 1/2, 1/4 and 1/8: which scale is taken, where boxes lie then, and how
 * far the network's input is from the exact one. */
#include "unit/pixels.h"
#include "unit/policy.h"

#include "data/encode.h"
#include "data/prepare.h"
#include "data/region.h"
#include "data/resize.h"

#include <math.h>

enum { SIDE = 24, FLOATS = SIDE * SIDE * 3, WIDTH = 803, HEIGHT = 601 };

static void test_eighths(void **state) {
    (void)state;
    static const struct {
        uint32_t sides[2], target[2], halves, wanted;
    } CASES[] = {
        {{4000, 3000}, {299, 299}, 4, 2}, {{4784, 4784}, {299, 299}, 4, 1}, {{4783, 9999}, {299, 299}, 4, 2},
        {{9999, 4783}, {299, 299}, 4, 2}, {{2392, 2392}, {299, 299}, 4, 2}, {{2391, 2392}, {299, 299}, 4, 4},
        {{1196, 1196}, {299, 299}, 4, 4}, {{1196, 1195}, {299, 299}, 4, 8}, {{1195, 1196}, {299, 299}, 4, 8},
        {{299, 299}, {299, 299}, 4, 8},   {{1196, 600}, {299, 150}, 4, 4},  {{1196, 599}, {299, 150}, 4, 8},
        {{897, 897}, {299, 299}, 3, 4},   {{896, 897}, {299, 299}, 3, 8},   {{65535, 65535}, {1, 1}, 4, 1},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++)
        assert_int_equal(mq_region_eighths(CASES[i].sides, CASES[i].target, CASES[i].halves),
                         CASES[i].wanted);
}

static void assert_box(mq_box box, int32_t x1, int32_t y1, int32_t x2, int32_t y2) {
    assert_true(box.x1 == x1 && box.y1 == y1 && box.x2 == x2 && box.y2 == y2);
}

/* A picture of 41 x 30 pixels at a quarter: 11 x 8 decoded ones, of which a box touches some. */
static void test_cut_and_turned(void **state) {
    (void)state;
    mq_err err = {0};
    mq_pixels small = noise(11, 8, 1), turned = {0};
    const mq_view view = mq_view_of(&small);
    const mq_region whole = mq_region_of(view, 41, 30, 2);
    assert_int_equal(mq_region_width(&whole), 41);
    assert_int_equal(mq_region_height(&whole), 30);
    mq_region cut = mq_region_cut(whole, (mq_box){5, 9, 41, 12});
    assert_ptr_equal(cut.view.rgb, view.rgb + 2 * view.stride + 3); /* 5 / 4 and 9 / 4, rounded down */
    assert_int_equal(cut.view.width, 10);
    assert_int_equal(cut.view.height, 1);
    assert_box(cut.part, 2, 2, 74, 8);
    assert_int_equal(mq_region_width(&cut), 36);
    cut = mq_region_cut(cut, (mq_box){1, 1, 3, 2}); /* counts from the corner */
    assert_box(cut.part, 4, 4, 8, 6);
    assert_int_equal(cut.view.width, 1);

    cut = mq_region_cut(whole, (mq_box){5, 9, 41, 12});
    assert_ok(err, mq_region_orient(&err, &cut, 6, &turned)); /* a quarter to the right */
    assert_int_equal(cut.view.width, 1);
    assert_int_equal(cut.view.height, 10);
    assert_box(cut.part, 0, 2, 6, 74);
    assert_int_equal(mq_region_height(&cut), 36);
    mq_pixels_free(&small);
    mq_pixels_free(&turned);
}

/* Of a ramp, whose pixel x is x grey levels, every place of a shrunk part is the level at its middle. */
static void test_parts_are_where_they_say(void **state) {
    (void)state;
    mq_err err = {0};
    mq_pixels ramp = noise(256, 256, 1), out = noise(8, 8, 2);
    for (size_t i = 0; i < (size_t)256 * 256; i++) {
        ramp.rgb[i * 3] = (uint8_t)(i % 256);
        ramp.rgb[i * 3 + 1] = (uint8_t)(i / 256);
    }
    const mq_box part = {20 * 8 + 4, 32 * 8, 148 * 8 + 4, 160 * 8}; /* 20.5 to 148.5, 32 to 160 */
    assert_ok(err, mq_resize_pillow_part(&err, mq_view_of(&ramp), part, 8, 8, out.rgb));
    for (size_t i = 0; i < 64; i++) {
        assert_int_equal(out.rgb[i * 3], 28 + 16 * (i % 8));
        assert_in_range(out.rgb[i * 3 + 1], 39 + 16 * (i / 8), 40 + 16 * (i / 8)); /* 39.5 */
    }
    /* As many pixels as there are, but not these. */
    mq_pixels same = noise(256, 256, 3);
    assert_ok(err, mq_resize_pillow_part(&err, mq_view_of(&ramp), (mq_box){4, 0, 256 * 8 - 4, 256 * 8}, 256,
                                         256, same.rgb));
    assert_memory_not_equal(same.rgb, ramp.rgb, (size_t)256 * 256 * 3);
    mq_pixels_free(&ramp);
    mq_pixels_free(&out);
    mq_pixels_free(&same);
}

/* Waves of 280 to 400 pixels in three colours: half a decoded pixel out of place, even at 1/8, shows as many
 * grey levels. exif is 1..8 in a block behind the JPEG's first marker. */
static mq_buf waves(uint32_t width, uint32_t height, uint8_t exif) {
    mq_err err = {0};
    mq_pixels pixels = noise(width, height, 1);
    for (size_t i = 0; i < (size_t)width * height; i++) {
        const double x = (double)(i % width), y = (double)(i / width);
        pixels.rgb[i * 3] = (uint8_t)(127.5 + 110 * sin(x / 45) + 0.02 * x);
        pixels.rgb[i * 3 + 1] = (uint8_t)(127.5 + 110 * sin(y / 52));
        pixels.rgb[i * 3 + 2] = (uint8_t)(127.5 + 110 * sin((x + 0.3 * y) / 64));
    }
    uint8_t app1[] = {0xff, 0xe1, 0, 34, 'E', 'x', 'i', 'f', 0, 0, 'M', 'M',  0, 42, 0, 0, 0, 8,
                      0,    1,    1, 18, 0,   3,   0,   0,   0, 1, 0,   exif, 0, 0,  0, 0, 0, 0};
    mq_buf plain = mq_buf_init(1 << 22), file = mq_buf_init(1 << 22);
    assert_ok(err, mq_jpeg_encode(&err, mq_view_of(&pixels), (mq_jpeg_style){95, true}, &plain));
    assert_ok(err, mq_buf_add(&err, &file, plain.data, 2));
    assert_ok(err, mq_buf_add(&err, &file, app1, sizeof app1));
    assert_ok(err, mq_buf_add(&err, &file, plain.data + 2, plain.size - 2));
    mq_buf_free(&plain);
    mq_pixels_free(&pixels);
    return file;
}

static mq_recipe recipe_of(mq_decode decode) {
    mq_recipe recipe = mq_recipe_default(SIDE, MQ_RANGE_UNIT);
    recipe.decode = decode;
    return recipe;
}

typedef struct {
    double mean, most; /* grey levels */
} distance;

/* Between what exact and scaled decoding make of a picture; recipe is that of either. */
static distance far(mq_recipe recipe, const mq_buf *file, const mq_box *box, const mq_variant *variant) {
    mq_err err = {0};
    float exact[FLOATS], scaled[FLOATS];
    distance d = {0};
    const mq_encoded in = {"waves.jpg", file->data, file->size};
    recipe.decode = MQ_DECODE_EXACT;
    assert_ok(err, mq_prepare(&err, &recipe, &in, box, variant, exact));
    recipe.decode = MQ_DECODE_SCALED;
    assert_ok(err, mq_prepare(&err, &recipe, &in, box, variant, scaled));
    for (size_t i = 0; i < FLOATS; i++) {
        const double off = 255 * fabs((double)exact[i] - (double)scaled[i]);
        d.mean += off / FLOATS;
        d.most = off > d.most ? off : d.most;
    }
    return d;
}

/* Near, and yet not the same bytes: it was decoded smaller. */
static void assert_near(distance d) {
    assert_true(d.mean > 0.01 && d.mean < 0.6);
    assert_true(d.most < 4.5);
}

static void assert_equal(distance d) {
    assert_true(d.most == 0);
}

/* Every shape, orientation and box: 803 x 601 pixels are 12.5 times the square's at least, most boxes 4 to 8.
 */
static void test_near_the_exact_input(void **state) {
    (void)state;
    static const mq_box BOXES[] = {
        {0, 0, WIDTH, HEIGHT}, {101, 53, 411, 333}, {403, 199, 803, 601}, {7, 3, 800, 108}};
    for (uint8_t exif = 1; exif <= 8; exif++) {
        mq_buf file = waves(WIDTH, HEIGHT, exif);
        for (int fit = 0; fit < 3; fit++) {
            mq_recipe recipe = recipe_of(MQ_DECODE_SCALED);
            recipe.fit = (mq_fit)fit;
            recipe.margin = 0.03;
            assert_near(far(recipe, &file, NULL, NULL));
            for (size_t i = 0; i < sizeof BOXES / sizeof *BOXES; i++)
                assert_near(far(recipe, &file, &BOXES[i], NULL));
        }
        mq_buf_free(&file);
    }
}

/* Where less than twice the square's pixels would remain, at an edge of either side; where the format cannot.
 */
static void test_exact_where_it_is_small(void **state) {
    (void)state;
    mq_err err = {0};
    mq_buf file = waves(WIDTH, HEIGHT, 6);
    mq_recipe recipe = recipe_of(MQ_DECODE_SCALED);
    static const mq_box SMALL[] = {{100, 50, 195, 400}, {100, 50, 700, 145}, {3, 3, 4, 4}},
                        LARGE = {100, 50, 196, 146};
    for (size_t i = 0; i < sizeof SMALL / sizeof *SMALL; i++)
        assert_equal(far(recipe, &file, &SMALL[i], NULL));
    assert_near(far(recipe, &file, &LARGE, NULL));
    recipe.fit = MQ_FIT_CROP; /* of which the shorter side matters */
    assert_equal(far(recipe, &file, &SMALL[1], NULL));
    mq_buf_free(&file);

    file = golden("rgb-420.jpg");
    assert_equal(far(recipe, &file, NULL, NULL));
    mq_pixels pixels = noise(400, 300, 4);
    assert_ok(err, mq_png_encode(&err, mq_view_of(&pixels), &file));
    assert_equal(far(recipe, &file, NULL, NULL));
    mq_pixels_free(&pixels);
    mq_buf_free(&file);
}

/* The window that augmentation draws decides, not the picture: small ones are exact. */
static void test_windows(void **state) {
    (void)state;
    mq_buf file = waves(241, 180, 8);
    mq_augment *augment = policy("rrc=0.01");
    size_t near = 0, equal = 0;
    for (uint32_t sample = 0; sample < 60; sample++) {
        const mq_variant variant = {.augment = augment, .draw = {.seed = 5, .sample = sample}};
        const distance d = far(recipe_of(MQ_DECODE_SCALED), &file, NULL, &variant);
        assert_true(d.most < 4.5);
        *(d.most > 0 ? &near : &equal) += 1;
    }
    assert_true(near > 9 && equal > 4);
    mq_augment_free(&augment);
    mq_buf_free(&file);
}

/* Decoded sizes are rounded up, and other scales are not to be had. */
static void test_decoded_sizes(void **state) {
    (void)state;
    mq_buf file = waves(33, 17, 1);
    const mq_encoded in = {"waves.jpg", file.data, file.size};
    static const uint32_t WANTED[9][2] = {[1] = {5, 3}, [2] = {9, 5}, [4] = {17, 9}, [8] = {33, 17}};
    for (uint32_t eighths = 0; eighths < 9; eighths++) {
        mq_err err = {0};
        mq_pixels pixels = {0};
        const mq_status status = mq_picture_decode_smaller(&err, &in, BACKGROUND, eighths, &pixels);
        assert_int_equal(status, WANTED[eighths][0] ? MQ_OK : MQ_INTERNAL);
        assert_int_equal(pixels.width, WANTED[eighths][0]);
        assert_int_equal(pixels.height, WANTED[eighths][1]);
        mq_pixels_free(&pixels);
    }
    mq_buf_free(&file);
}

/* A cut JPEG is refused at every scale. */
static void test_damage(void **state) {
    (void)state;
    mq_buf file = waves(WIDTH, HEIGHT, 1);
    const mq_recipe recipe = recipe_of(MQ_DECODE_SCALED);
    float out[FLOATS];
    for (size_t size = file.size / 2; size < file.size; size += file.size / 7) {
        mq_err err = {0};
        assert_int_equal(
            mq_prepare(&err, &recipe, &(mq_encoded){"cut.jpg", file.data, size}, NULL, NULL, out),
            MQ_BAD_DATA);
        assert_non_null(strstr(err.text, "cut short"));
    }
    mq_buf_free(&file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_eighths),
        cmocka_unit_test(test_cut_and_turned),
        cmocka_unit_test(test_parts_are_where_they_say),
        cmocka_unit_test(test_near_the_exact_input),
        cmocka_unit_test(test_exact_where_it_is_small),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_decoded_sizes),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
