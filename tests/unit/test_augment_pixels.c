/* test_augment_pixels.c: what changes do to pixels, against loops in double and against digests that
 * tests/oracle/augment.py found equal to Pillow's and TensorFlow's; and their place in the recipe. */
#include "unit/pixels.h"
#include "unit/policy.h"

#include "data/encode.h"
#include "data/prepare.h"

#include <math.h>

enum { SIDE = 61, BYTES = SIDE * SIDE * 3 };

/* A smooth picture with an edge, so that sampling shows; the caller frees it. */
static mq_pixels waves(void) {
    mq_pixels pixels = noise(SIDE, SIDE, 7);
    for (size_t i = 0; i < BYTES; i++) {
        const size_t x = i / 3 % SIDE, y = i / 3 / SIDE, c = i % 3;
        const size_t level = (x * (3 + c) + y * (5 - c)) / 2 % 200 + (x > 30 ? 40 : 0);
        pixels.rgb[i] = (uint8_t)(level + pixels.rgb[i] % 8);
    }
    return pixels;
}

/* A place of a square of SIDE, mirrored beyond its edges, in double. */
static double sample_in_double(const uint8_t *rgb, double x, double y, size_t c) {
    const double left = floor(x - 0.5), top = floor(y - 0.5), fx = x - 0.5 - left, fy = y - 0.5 - top;
    double sum = 0;
    for (int k = 0; k < 4; k++) {
        long at[2] = {(long)left + k % 2, (long)top + k / 2};
        for (int axis = 0; axis < 2; axis++) {
            while (at[axis] < 0 || at[axis] >= SIDE)
                at[axis] = at[axis] < 0 ? -1 - at[axis] : 2 * SIDE - 1 - at[axis];
        }
        sum += (k % 2 ? fx : 1 - fx) * (k / 2 ? fy : 1 - fy) * rgb[(at[1] * SIDE + at[0]) * 3 + (long)c];
    }
    return sum;
}

/* Many changes of place are one pass: the loop follows each point back through all of them and samples once.
 */
static void test_one_pass(void **state) {
    (void)state;
    mq_err err = {0};
    const size_t vflip = mq_augment_find("vflip"), zoom = mq_augment_find("zoom"),
                 shear = mq_augment_find("shear");
    const size_t rotate = mq_augment_find("rotate"), shift = mq_augment_find("shift");
    mq_drawn drawn = {.count = 6,
                      .fill = -1,
                      .changes = {{vflip, {0}},
                                  {zoom, {1.3}},
                                  {shear, {0.2, -0.1, 0}},
                                  {rotate, {25}},
                                  {shift, {0.3, -0.21}},
                                  {shear, {0.3, 0, 1}}}};
    const double half = SIDE / 2.0, angle = 25 * acos(-1) / 180;
    mq_pixels before = waves(), after = waves();
    assert_ok(err, mq_augment_apply(&err, &drawn, SIDE, after.rgb));
    for (size_t i = 0; i < BYTES; i++) {
        double x = (double)(i / 3 % SIDE) + 0.5, y = (double)(i / 3 / SIDE) + 0.5;
        x += 0.3 * y; /* about the corner */
        x -= half + 0.3 * SIDE, y -= half - 0.21 * SIDE;
        const double turned = cos(angle) * x - sin(angle) * y;
        y = sin(angle) * x + cos(angle) * y, x = turned;
        y += -0.1 * x, x += 0.2 * y;
        x /= 1.3, y /= 1.3;
        y = -y;
        const double wanted = sample_in_double(before.rgb, x + half, y + half, i % 3);
        assert_true(fabs(wanted - after.rgb[i]) <= 1);
    }
    mq_pixels_free(&before);
    mq_pixels_free(&after);
}

/* Outside is the grey level that was asked for. */
static void test_fill(void **state) {
    (void)state;
    mq_err err = {0};
    mq_augment *augment = policy("shift=0.1,fill=200");
    mq_drawn drawn;
    mq_augment_draw(augment, &(mq_draw){0}, &drawn);
    assert_int_equal(drawn.fill, 200);
    drawn.changes[0].v[0] = 10.0 / SIDE, drawn.changes[0].v[1] = 0;
    mq_pixels before = waves(), after = waves();
    assert_ok(err, mq_augment_apply(&err, &drawn, SIDE, after.rgb));
    for (size_t y = 0; y < SIDE; y++) {
        for (size_t i = 0; i < 30; i++) assert_int_equal(after.rgb[y * SIDE * 3 + i], 200);
        assert_memory_equal(after.rgb + y * SIDE * 3 + 30, before.rgb + y * SIDE * 3, SIDE * 3 - 30);
    }
    mq_pixels_free(&before);
    mq_pixels_free(&after);
    mq_augment_free(&augment);
}

/* Noise has the deviation it says and no mean; erasing keeps to its rectangle. */
static void test_noise_and_erase(void **state) {
    (void)state;
    mq_err err = {0};
    mq_drawn drawn = {
        .draw = {3, 1, 4, 0}, .count = 1, .fill = -1, .changes = {{mq_augment_find("noise"), {12}}}};
    mq_pixels pixels = noise(SIDE, SIDE, 1);
    memset(pixels.rgb, 128, BYTES);
    assert_ok(err, mq_augment_apply(&err, &drawn, SIDE, pixels.rgb));
    double sum = 0, squares = 0, beyond = 0;
    for (size_t i = 0; i < BYTES; i++) {
        const double d = pixels.rgb[i] - 128.0;
        sum += d, squares += d * d, beyond += fabs(d) > 24;
    }
    assert_true(fabs(sum / BYTES) < 0.5);
    assert_true(fabs(sqrt(squares / BYTES) - 12) < 0.4);
    assert_true(fabs(beyond / BYTES - 0.041) < 0.01); /* more than 24.5 of 12: 4.1 % */
    drawn.changes[0] = (mq_change){mq_augment_find("erase"),
                                   {10.0 / SIDE, 20.0 / SIDE, 15.0 / SIDE, 30.0 / SIDE}};
    mq_pixels before = waves(), after = waves();
    assert_ok(err, mq_augment_apply(&err, &drawn, SIDE, after.rgb));
    size_t changed = 0;
    for (size_t i = 0; i < BYTES; i++) {
        const size_t x = i / 3 % SIDE, y = i / 3 / SIDE;
        const bool inside = x >= 10 && x < 25 && y >= 20 && y < 50;
        if (!inside) assert_int_equal(after.rgb[i], before.rgb[i]);
        changed += after.rgb[i] != before.rgb[i];
    }
    assert_true((double)changed > 15 * 30 * 3 * 0.98);
    mq_pixels_free(&pixels);
    mq_pixels_free(&before);
    mq_pixels_free(&after);
}

/* Every row that changes pixels, on one picture. */
static void test_digests_of_changes(void **state) {
    (void)state;
    static const struct {
        const char *name;
        double v[MQ_CHANGE_VALUES];
        const char *digest; /* its beginning */
    } CASES[] = {
        {"vflip", {0}, "8e2b56256ad44d68"},
        {"zoom", {1.2}, "9fa8219dfaa19962"},
        {"shear", {0.1, -0.2, 0}, "ded99d9853ca57cd"},
        {"rotate", {17}, "16a92476b0f71ddc"},
        {"shift", {0.1, -0.07}, "cccf1295b5b90849"},
        {"perspective", {0.1, 0.05, 0.02, 0.1, 0.08, 0.01, 0.03, 0.06}, "70bba2c32b1d688c"},
        {"brightness", {1.3}, "62c1c067d11804b0"},
        {"contrast", {0.6}, "58d3f4eb5b13695d"},
        {"saturation", {1.7}, "f1cd2c671d12061c"},
        {"hue", {0.1}, "3aff4e37b0e00d2b"},
        {"grey", {0}, "f4bcecfff481723c"},
        {"sharpness", {1.8}, "af35f1fb3fa740ef"},
        {"sharpness", {0.2}, "43f1d89c01b70907"},
        {"posterize", {3}, "1460965030118da4"},
        {"solarize", {100.5}, "e80d3fec6b3a70a0"},
        {"autocontrast", {0}, "b915e1aa8121b853"},
        {"equalize", {0}, "1cc047914f455fa2"},
        {"invert", {0}, "f8f54930667c5a3f"},
        {"blur", {1.5}, "9cf2a29d7fd7a496"},
        {"blur", {10}, "a97be4eb37a33639"},
        {"noise", {12}, "7db5cac793c019b5"},
        {"jpeg", {40}, "7ca1db65b3073f13"},
        {"erase", {0.1, 0.2, 0.3, 0.4}, "a6ccbbc55b76bf7b"},
    };
    bool seen[64] = {false};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        mq_err err = {0};
        mq_drawn drawn = {.draw = {1, 2, 3, 0}, .count = 1, .fill = 0};
        drawn.changes[0].row = mq_augment_find(CASES[i].name);
        memcpy(drawn.changes[0].v, CASES[i].v, sizeof CASES[i].v);
        seen[drawn.changes[0].row] = true;
        mq_pixels pixels = waves();
        assert_ok(err, mq_augment_apply(&err, &drawn, SIDE, pixels.rgb));
        char hex[MQ_HEX_SIZE];
        assert_ok(err, mq_sha256_hex(&err, pixels.rgb, BYTES, hex));
        if (strncmp(hex, CASES[i].digest, 16) != 0)
            fail_msg("%s %g: %.16s", CASES[i].name, CASES[i].v[0], hex);
        mq_pixels_free(&pixels);
    }
    static const char *const NOT[] = {"hflip",          "crop",        "rrc",   "fill",  "randaugment",
                                      "trivialaugment", "autoaugment", "mixup", "cutmix"};
    for (size_t i = 0; i < sizeof NOT / sizeof *NOT; i++) seen[mq_augment_find(NOT[i])] = true;
    mq_augment_entry entry;
    for (size_t i = 0; mq_augment_row(i, &entry); i++)
        if (!seen[i]) fail_msg("%s has no digest", entry.name);
}

/* What draws nothing gives the bytes of evaluation, whatever the recipe; what draws something does not. */
static void test_nothing_drawn(void **state) {
    (void)state;
    static const char *const POLICIES[] = {
        "none",
        "hflip@1",
        "rotate@0,blur@0,rrc@0",
        "rotate=0,zoom=0,brightness=0,hue=0,noise=0,erase=0,crop=1",
        "strong,rrc@0,perspective@0,trivialaugment@0,hue@0,grey@0,blur@0,noise@0,jpeg@0,erase@0",
        "vflip@1"};
    enum { LAST = sizeof POLICIES / sizeof *POLICIES - 1 };
    mq_buf file = golden("rgb-420.jpg");
    const mq_encoded in = {"rgb-420.jpg", file.data, file.size};
    const mq_box box = {5, 6, 25, 36};
    for (int i = 0; i < 2 * 3 * 2 * 3; i++) {
        mq_recipe recipe = mq_recipe_default(SIDE, (mq_range)(i % 3));
        recipe.fit = (mq_fit)(i / 3 % 3);
        recipe.filter = (mq_filter)(i / 9 % 2);
        recipe.crop = i / 18;
        static float plain[BYTES], changed[BYTES];
        for (size_t k = 0; k <= LAST; k++) {
            mq_err err = {0};
            mq_augment *augment = policy(POLICIES[k]);
            const mq_variant variant = {.flip = i % 2, .augment = augment, .draw = {1, 2, 3, 0}};
            const mq_variant flip = {.flip = i % 2};
            assert_ok(err, mq_prepare(&err, &recipe, &in, &box, i % 2 ? &flip : NULL, plain));
            assert_ok(err, mq_prepare(&err, &recipe, &in, &box, &variant, changed));
            if ((memcmp(plain, changed, sizeof plain) == 0) != (k < LAST))
                fail_msg("%s, recipe %d", POLICIES[k], i);
            mq_augment_free(&augment);
        }
    }
    mq_buf_free(&file);
}

/* A vertical flip of the finished square, padding included, and back to the bytes it was made of. */
static void test_whole_square(void **state) {
    (void)state;
    mq_augment *augment = policy("vflip@1");
    mq_buf file = golden("rgb-420.jpg");
    const mq_encoded in = {"rgb-420.jpg", file.data, file.size};
    for (int i = 0; i < 9; i++) {
        mq_err err = {0};
        static float plain[BYTES], turned[BYTES];
        static uint8_t upper[SIDE * 3], lower[SIDE * 3];
        mq_recipe recipe = mq_recipe_default(SIDE, (mq_range)(i % 3));
        recipe.fit = (mq_fit)(i / 3);
        recipe.background[1] = 7;
        assert_ok(err, mq_prepare(&err, &recipe, &in, NULL, NULL, plain));
        assert_ok(err, mq_prepare(&err, &recipe, &in, NULL, &(mq_variant){.augment = augment}, turned));
        for (size_t y = 0; y < SIDE; y++) {
            assert_memory_equal(turned + y * SIDE * 3, plain + (SIDE - 1 - y) * SIDE * 3,
                                SIDE * 3 * sizeof *plain);
            mq_unprepare(&recipe, turned + y * SIDE * 3, SIDE, upper);
            mq_unprepare(&recipe, plain + (SIDE - 1 - y) * SIDE * 3, SIDE, lower);
            assert_memory_equal(upper, lower, sizeof upper);
        }
        if (recipe.fit == MQ_FIT_PAD) {
            mq_unprepare(&recipe, plain, SIDE, upper);
            assert_memory_equal(upper, recipe.background, 3);
        }
    }
    mq_augment_free(&augment);
    mq_buf_free(&file);
}

/* A picture whose box has a mark in each corner shows them all, in every window and for every fit. */
static void test_object_is_seen(void **state) {
    (void)state;
    enum { WIDTH = 160, HEIGHT = 120, MARK = 8, DRAWN = 40 };
    static const mq_box BOX = {50, 30, 110, 100};
    mq_pixels pixels = noise(WIDTH, HEIGHT, 3);
    memset(pixels.rgb, 0, WIDTH * HEIGHT * 3);
    for (int y = 0; y < MARK; y++)
        for (int x = 0; x < MARK; x++) {
            uint8_t *corner = pixels.rgb + ((BOX.y1 + y) * WIDTH + BOX.x1 + x) * 3;
            corner[0] = 255;
            corner[(BOX.x2 - BOX.x1 - MARK) * 3 + 1] = 255;
            corner[(BOX.y2 - BOX.y1 - MARK) * WIDTH * 3 + 2] = 255;
            memset(corner + ((BOX.y2 - BOX.y1 - MARK) * WIDTH + BOX.x2 - BOX.x1 - MARK) * 3, 255, 3);
        }
    mq_err err = {0};
    mq_buf file = mq_buf_init(1 << 20);
    assert_ok(err, mq_png_encode(&err, mq_view_of(&pixels), &file));
    for (uint32_t i = 0; i < 3 * 2 * 2 * DRAWN; i++) {
        mq_augment *augment = policy(i / 12 % 2 ? "crop=0.5" : "rrc=0.2");
        mq_recipe recipe = mq_recipe_default(SIDE, MQ_RANGE_UNIT);
        recipe.fit = (mq_fit)(i % 3);
        recipe.crop = i / 3 % 2;
        recipe.margin = i / 6 % 2 ? 0.2 : 0;
        static float out[BYTES];
        float most[4] = {0};
        assert_ok(err, mq_prepare(&err, &recipe, &(mq_encoded){"marks.png", file.data, file.size}, &BOX,
                                  &(mq_variant){.augment = augment, .draw = {1, 0, i, 0}}, out));
        for (size_t k = 0; k < BYTES; k += 3) {
            const float r = out[k], g = out[k + 1], b = out[k + 2];
            if (fmaxf(g, b) < 0.3f) most[0] = fmaxf(most[0], r);
            if (fmaxf(r, b) < 0.3f) most[1] = fmaxf(most[1], g);
            if (fmaxf(r, g) < 0.3f) most[2] = fmaxf(most[2], b);
            if (recipe.fit != MQ_FIT_PAD || fminf(r, fminf(g, b)) < 1)
                most[3] = fmaxf(most[3], fminf(r, fminf(g, b)));
        }
        for (size_t k = 0; k < 4; k++)
            if (most[k] < 0.6f)
                fail_msg("draw %u: corner %zu of the object is not seen (%g)", i, k, (double)most[k]);
        mq_augment_free(&augment);
    }
    mq_buf_free(&file);
    mq_pixels_free(&pixels);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_pass),        cmocka_unit_test(test_fill),
        cmocka_unit_test(test_noise_and_erase), cmocka_unit_test(test_digests_of_changes),
        cmocka_unit_test(test_nothing_drawn),   cmocka_unit_test(test_whole_square),
        cmocka_unit_test(test_object_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
