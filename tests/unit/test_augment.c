/* test_augment.c: policies and their words, what draws promise, and what changes do to pixels: against loops
 * in double, and against digests that tests/oracle/augment.py found equal to Pillow's and TensorFlow's. */
#include "unit/pixels.h"

#include "base/rng.h"
#include "data/augment.h"
#include "data/encode.h"
#include "data/prepare.h"

#include <math.h>
#include <unistd.h>

enum { SIDE = 61, BYTES = SIDE * SIDE * 3, DRAWS = 3000 };

static mq_augment *policy(const char *text) {
    mq_err err = {0};
    mq_augment *augment = NULL;
    assert_ok(err, mq_augment_parse(&err, text, &augment));
    return augment;
}

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

static void test_words(void **state) {
    (void)state;
    static const struct {
        const char *policy, *text;
    } CASES[] = {
        {"none", "none"},
        {"", "none"},
        {"reference", "hflip@0.5"},
        {"hflip", "hflip@0.5"},
        {"blur=2,hflip@1", "hflip@1,blur=2@0.5"}, /* the order of the table */
        {"rotate=10, shift=0.1 ,brightness=0.2@0.5", "rotate=10@1,shift=0.1@1,brightness=0.2@0.5"},
        {"reference,erase@0.25", "hflip@0.5,erase=0.33@0.25"},
        {"rotate=5,rotate=7", "rotate=7@1"},
        {"reference,hflip@0", "none"},
        {"rotate=0,zoom=0,shear=0,shift=0,brightness=0,crop=1,posterize=8,solarize=256,fill=-1", "none"},
        {"randaugment", "randaugment=9:2@1"},
        {"randaugment=5:3@0.5", "randaugment=5:3@0.5"},
        {"mixup=0.4@0.5,cutmix@0.5", "mixup=0.4@0.5,cutmix=1@0.5"},
        {"jpeg=49.7", "jpeg=50@0.5"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        mq_augment *augment = policy(CASES[i].policy);
        assert_string_equal(mq_augment_text(augment), CASES[i].text);
        mq_augment *again = policy(mq_augment_text(augment));
        assert_string_equal(mq_augment_text(again), CASES[i].text);
        mq_augment_free(&augment);
        mq_augment_free(&again);
    }
    const char *name, *words;
    for (size_t i = 0; mq_augment_preset(i, &name, &words); i++) {
        mq_augment *preset = policy(name), *same = policy(words);
        assert_string_equal(mq_augment_text(preset), mq_augment_text(same));
        mq_augment_free(&preset);
        mq_augment_free(&same);
    }
}

static void test_wrong_words(void **state) {
    (void)state;
    static const struct {
        const char *policy, *sentence;
    } CASES[] = {
        {"rotat=5", "\"rotat\" is no augmentation, preset or file; did you mean rotate?"},
        {"hflip,fine-graned", "did you mean fine-grained?"},
        {"qqqqqqqq", "presets are none, reference, fine-grained and strong"},
        {"rotate=200", "rotate: the argument is a number from 0 to 180, not \"200\""},
        {"rotate=", "not \"\""},
        {"rotate=5x", "not \"5x\""},
        {"rotate=nan", "not \"nan\""},
        {"rotate@1.5", "rotate: the probability is a number from 0 to 1"},
        {"rotate@", "rotate: the probability"},
        {"grey=3", "grey takes no argument, only a probability: grey@0.1"},
        {"rotate=5:2", "rotate takes one argument: rotate=10"},
        {"randaugment=9:0", "randaugment: the second argument is a number from 1 to 8"},
        {"hflip,strong", "the preset strong must stand first"},
        {"strong,fine-grained", "the preset fine-grained must stand first"},
        {"crop,rrc", "crop and rrc exclude each other"},
        {"mixup@0.5,cutmix", "need the same probability"},
        {"brightness=1e999", "brightness: the argument"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        mq_err err = {0};
        mq_augment *augment = NULL;
        assert_int_equal(mq_augment_parse(&err, CASES[i].policy, &augment), MQ_USAGE);
        assert_null(augment);
        if (!strstr(err.text, CASES[i].sentence)) fail_msg("%s: %s", CASES[i].policy, err.text);
    }
}

static void test_file(void **state) {
    (void)state;
    mq_err err = {0};
    char path[] = "/tmp/marque-policy-XXXXXX";
    static const char GOOD[] = "# mild\nreference\n rotate=5 # to either side\n\nblur@0.2,noise\n";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_ok(err, mq_file_write(&err, path, GOOD, strlen(GOOD)));
    mq_augment *augment = policy(path);
    assert_string_equal(mq_augment_text(augment), "hflip@0.5,rotate=5@1,blur=1@0.2,noise=0.05@0.5");
    mq_augment_free(&augment);
    assert_ok(err, mq_file_write(&err, path, "hflip\nrotat=5\n", 14));
    assert_int_equal(mq_augment_parse(&err, path, &augment), MQ_USAGE);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, "did you mean rotate?"));
    static const char *const BAD[] = {"", "hf\0lip"};
    for (size_t i = 0; i < 2; i++) {
        mq_err wrong = {0};
        assert_ok(wrong, mq_file_write(&wrong, path, BAD[i], i ? 6 : 0));
        assert_int_equal(mq_augment_parse(&wrong, path, &augment), MQ_USAGE);
        assert_non_null(strstr(wrong.text, "no policy but"));
    }
    remove(path);
}

static void test_what_may_be_cached(void **state) {
    (void)state;
    static const struct {
        const char *policy;
        bool cacheable;
    } CASES[] = {{"none", true},           {"reference", true},    {"hflip@1", true},
                 {"hflip,rotate=0", true}, {"hflip,fill=0", true}, {"rotate@0", true},
                 {"vflip", false},         {"crop", false},        {"rrc", false},
                 {"erase", false},         {"mixup", false},       {"cutmix", false},
                 {"strong", false},        {"rotate", false},      {"fine-grained", false}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        mq_augment *augment = policy(CASES[i].policy);
        if (mq_augment_cacheable(augment) != CASES[i].cacheable) fail_msg("%s", CASES[i].policy);
        mq_augment_free(&augment);
    }
    mq_augment *mixed = policy("mixup=0.4@0.5,cutmix@0.5");
    const mq_mix_rule rule = mq_augment_mix(mixed);
    assert_true(rule.mixup == 0.4 && rule.cutmix == 1 && rule.probability == 0.5);
    mq_augment_free(&mixed);
    mq_augment *plain = policy("strong");
    assert_true(mq_augment_mix(plain).mixup == 0 && mq_augment_mix(plain).cutmix == 0);
    mq_augment_free(&plain);
}

/* Flips of the preset are those of runs before there were policies: the lowest bit. */
static void test_flips(void **state) {
    (void)state;
    mq_augment *reference = policy("reference"), *seldom = policy("hflip@0.2"), *always = policy("hflip@1");
    uint32_t flips = 0, few = 0;
    for (uint32_t i = 0; i < DRAWS; i++) {
        const mq_draw draw = {123, i % 3, i};
        const bool flip = mq_augment_flip(reference, &draw);
        assert_int_equal(flip, mq_rng_u32(123, MQ_RNG_FLIP, i % 3, i) & 1);
        assert_true(mq_augment_flip(always, &draw));
        assert_false(mq_augment_flip(NULL, &draw));
        flips += flip;
        few += mq_augment_flip(seldom, &draw);
    }
    assert_true(flips > DRAWS / 2 - 120 && flips < DRAWS / 2 + 120);
    assert_true(few > DRAWS / 5 - 90 && few < DRAWS / 5 + 90);
    mq_augment_free(&reference);
    mq_augment_free(&seldom);
    mq_augment_free(&always);
}

/* Drawn values stay in their range and fill it; probabilities hold. */
static void test_ranges(void **state) {
    (void)state;
    static const struct {
        const char *policy;
        double low, high;
    } CASES[] = {
        {"rotate=20", -20, 20},        {"shift=0.25@0.25", -0.25, 0.25},
        {"zoom=0.3", 0.7, 1.3},        {"shear=45@0.5", -1, 1},
        {"perspective=0.4@1", 0, 0.2}, {"brightness=0.4", 0.6, 1.4},
        {"contrast=1", 0, 2},          {"saturation=0.1", 0.9, 1.1},
        {"hue=0.5", -0.5, 0.5},        {"sharpness=0.5@1", 0.5, 1.5},
        {"blur=3@1", 0.1, 3},          {"noise=0.1@1", 0, 25.5},
        {"jpeg=40@1", 40, 100},        {"posterize=3@1", 3, 3},
        {"solarize=77@1", 77, 77},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        mq_augment *augment = policy(CASES[i].policy);
        const char *at = strchr(CASES[i].policy, '@');
        const double wanted = at ? strtod(at + 1, NULL) : 1, width = CASES[i].high - CASES[i].low;
        double least = INFINITY, most = -INFINITY, drawn_often = 0;
        for (uint32_t sample = 0; sample < DRAWS; sample++) {
            mq_drawn drawn;
            mq_augment_draw(augment, &(mq_draw){9, 4, sample}, &drawn);
            assert_true(drawn.count <= 1);
            if (!drawn.count) continue;
            drawn_often++;
            least = fmin(least, drawn.changes[0].v[0]);
            most = fmax(most, drawn.changes[0].v[0]);
        }
        if (!(least >= CASES[i].low && most <= CASES[i].high + 1e-12))
            fail_msg("%s leaves its range", CASES[i].policy);
        if (!(least <= CASES[i].low + width / 50 && most >= CASES[i].high - width / 50))
            fail_msg("%s does not fill its range", CASES[i].policy);
        assert_true(fabs(drawn_often / DRAWS - wanted) < 0.04);
        mq_augment_free(&augment);
    }
}

/* What one entry draws does not depend on the others, but on seed, epoch and sample. */
static void test_entries_are_apart(void **state) {
    (void)state;
    mq_augment *alone = policy("rotate=10"), *among = policy("strong,rotate=10");
    const size_t row = mq_augment_find("rotate");
    double last = 0;
    for (uint32_t sample = 0; sample < 50; sample++) {
        mq_drawn one, many;
        mq_augment_draw(alone, &(mq_draw){1, 2, sample}, &one);
        mq_augment_draw(among, &(mq_draw){1, 2, sample}, &many);
        bool found = false;
        for (size_t i = 0; i < many.count; i++)
            found |= many.changes[i].row == row && many.changes[i].v[0] == one.changes[0].v[0];
        assert_true(found);
        assert_true(one.changes[0].v[0] != last);
        last = one.changes[0].v[0];
        for (int other = 0; other < 2; other++) {
            mq_drawn elsewhere;
            mq_augment_draw(alone, &(mq_draw){other ? 2 : 1, other ? 2 : 3, sample}, &elsewhere);
            assert_true(elsewhere.changes[0].v[0] != one.changes[0].v[0]);
        }
    }
    mq_augment_free(&alone);
    mq_augment_free(&among);
}

/* Windows hold the object, lie inside the picture, and keep to area and shape where nothing hinders them. */
static void test_windows(void **state) {
    (void)state;
    static const char *const POLICIES[] = {"rrc=0.3", "crop=0.6", "rrc=0.01", "rrc@0.5"};
    for (uint32_t i = 0; i < 4 * DRAWS; i++) {
        mq_augment *augment = policy(POLICIES[i % 4]);
        const uint32_t a = mq_rng_u32(1, MQ_RNG_TEST, 0, i), b = mq_rng_u32(2, MQ_RNG_TEST, 0, i);
        mq_scene scene = {.width = 1 + a % 300, .height = 1 + (a >> 16) % 300};
        const int32_t w = (int32_t)scene.width, h = (int32_t)scene.height;
        mq_box object = {(int32_t)(b % scene.width), (int32_t)((b >> 16) % scene.height), w, h};
        object.x2 = object.x1 + 1 + (int32_t)(a >> 3) % (w - object.x1);
        object.y2 = object.y1 + 1 + (int32_t)(b >> 5) % (h - object.y1);
        scene.tight = i % 3 == 0;
        scene.object = i % 3 < 2 ? &object : NULL;
        scene.seen = scene.tight ? object : (mq_box){0, 0, w, h};
        mq_box window;
        const bool drawn = mq_augment_window(augment, &(mq_draw){7, 0, i}, &scene, &window);
        assert_true(drawn || i % 4 == 3);
        if (drawn) {
            assert_true(window.x1 >= 0 && window.y1 >= 0 && window.x2 <= w && window.y2 <= h);
            assert_true(window.x1 < window.x2 && window.y1 < window.y2);
            const double area = (double)(window.x2 - window.x1) * (window.y2 - window.y1);
            if (i % 4 == 0 && i % 3 == 2 && w > 30 && h > 30) assert_true(area > 0.2 * w * h);
            if (scene.object)
                assert_true(window.x1 <= object.x1 && window.y1 <= object.y1 && window.x2 >= object.x2 &&
                            window.y2 >= object.y2);
        }
        mq_augment_free(&augment);
    }
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
        .draw = {3, 1, 4}, .count = 1, .fill = -1, .changes = {{mq_augment_find("noise"), {12}}}};
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
    assert_true(changed > 15 * 30 * 3 * 0.98);
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
        mq_drawn drawn = {.draw = {1, 2, 3}, .count = 1, .fill = 0};
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
            const mq_variant variant = {.flip = i % 2, .augment = augment, .draw = {1, 2, 3}};
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
                                  &(mq_variant){.augment = augment, .draw = {1, 0, i}}, out));
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

/* The automatic policies: how many changes they draw, and all of them as text. */
static void test_automatic(void **state) {
    (void)state;
    static const struct {
        const char *policy;
        size_t most;
        const char *digest; /* its beginning */
    } CASES[] = {{"randaugment", 2, "abb763b5c4cc386a"},
                 {"randaugment=30:8", 8, "211ab5e5fe2af5a2"},
                 {"trivialaugment", 1, "97c4f8b61cdda352"},
                 {"autoaugment", 2, "519f8b061cc3cc25"}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        mq_err err = {0};
        mq_augment *augment = policy(CASES[i].policy);
        mq_buf text = mq_buf_init(1 << 20);
        size_t most = 0;
        for (uint32_t sample = 0; sample < 1000; sample++) {
            mq_drawn drawn;
            mq_augment_draw(augment, &(mq_draw){5, 6, sample}, &drawn);
            most = drawn.count > most ? drawn.count : most;
            for (size_t k = 0; k < drawn.count; k++) {
                mq_augment_entry entry;
                assert_true(mq_augment_row(drawn.changes[k].row, &entry));
                assert_ok(err,
                          mq_buf_printf(&err, &text, "%s %.6f %.6f %g\n", entry.name, drawn.changes[k].v[0],
                                        drawn.changes[k].v[1], drawn.changes[k].v[2]));
            }
        }
        char hex[MQ_HEX_SIZE];
        assert_ok(err, mq_sha256_hex(&err, text.data, text.size, hex));
        assert_int_equal(most, CASES[i].most);
        if (strncmp(hex, CASES[i].digest, 16) != 0) fail_msg("%s: %.16s", CASES[i].policy, hex);
        mq_buf_free(&text);
        mq_augment_free(&augment);
    }
}

/* The table of the documentation says what the table of the program says. */
static void test_documentation(void **state) {
    (void)state;
    mq_err err = {0};
    mq_buf page = mq_buf_init(1 << 20);
    mq_augment_entry e;
    assert_ok(err, mq_file_read(&err, "docs/AUGMENTATION.md", &page));
    for (size_t i = 0; mq_augment_row(i, &e); i++) {
        char line[512];
        if (e.meaning)
            snprintf(line, sizeof line, "| `%s` | %s | %g | %g to %g | %g | %s |", e.name, e.meaning,
                     e.standard, e.least, e.most, e.probability, e.source);
        else
            snprintf(line, sizeof line, "| `%s` |  |  |  | %g | %s |", e.name, e.probability, e.source);
        if (!strstr((const char *)page.data, line)) fail_msg("docs/AUGMENTATION.md lacks: %s", line);
    }
    const char *name, *words;
    for (size_t i = 0; mq_augment_preset(i, &name, &words); i++) {
        char line[512];
        snprintf(line, sizeof line, "| `%s` | `%s` |", name, *words ? words : "none");
        if (!strstr((const char *)page.data, line)) fail_msg("docs/AUGMENTATION.md lacks: %s", line);
    }
    mq_buf_free(&page);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_wrong_words),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_what_may_be_cached),
        cmocka_unit_test(test_flips),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_entries_are_apart),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_one_pass),
        cmocka_unit_test(test_fill),
        cmocka_unit_test(test_noise_and_erase),
        cmocka_unit_test(test_digests_of_changes),
        cmocka_unit_test(test_nothing_drawn),
        cmocka_unit_test(test_whole_square),
        cmocka_unit_test(test_object_is_seen),
        cmocka_unit_test(test_automatic),
        cmocka_unit_test(test_documentation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
