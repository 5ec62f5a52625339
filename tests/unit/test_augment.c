/* test_augment.c: policies and their words, and what draws promise. */
#include "unit/policy.h"

#include "base/digest.h"
#include "base/file.h"
#include "base/rng.h"
#include "unit/temporary.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DRAWS = 3000 };

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
    char path[PLACE];
    static const char GOOD[] = "# mild\nreference\n rotate=5 # to either side\n\nblur@0.2,noise\n";
    assert_true(temporary_file(path));
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
        const mq_draw draw = {123, i % 3, i, 0};
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
            mq_augment_draw(augment, &(mq_draw){9, 4, sample, 0}, &drawn);
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

/* What one entry draws does not depend on the others, but on seed, epoch, sample and how often it came. */
static void test_entries_are_apart(void **state) {
    (void)state;
    mq_augment *alone = policy("rotate=10"), *among = policy("strong,rotate=10");
    const size_t row = mq_augment_find("rotate");
    double last = 0;
    for (uint32_t sample = 0; sample < 50; sample++) {
        mq_drawn one, many;
        mq_augment_draw(alone, &(mq_draw){1, 2, sample, 0}, &one);
        mq_augment_draw(among, &(mq_draw){1, 2, sample, 0}, &many);
        bool found = false;
        for (size_t i = 0; i < many.count; i++)
            found |= many.changes[i].row == row && many.changes[i].v[0] == one.changes[0].v[0];
        assert_true(found);
        assert_true(one.changes[0].v[0] != last);
        last = one.changes[0].v[0];
        const mq_draw others[] = {
            {2, 2, sample, 0}, {1, 3, sample, 0}, {1, 2, sample, 1}, {1, 2, sample, 4096}};
        for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
            mq_drawn elsewhere;
            mq_augment_draw(alone, &others[i], &elsewhere);
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
        const bool drawn = mq_augment_window(augment, &(mq_draw){7, 0, i, 0}, &scene, &window);
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

/* The windows that tests/oracle/augment_draws.py found to be torchvision's, as text. */
static void test_digests_of_windows(void **state) {
    (void)state;
    static const mq_box OBJECT = {70, 60, 190, 140};
    static const struct {
        const char *policy;
        bool tight;
        const char *digest; /* its beginning */
    } CASES[] = {{"crop", false, "43e44bdfafbfd443"},
                 {"crop=0.7", true, "27e9b3378b866dec"},
                 {"rrc", false, "fbc967edc874aad9"},
                 {"rrc=0.5", true, "bec4f7a8851e9ee2"}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        mq_err err = {0};
        mq_augment *augment = policy(CASES[i].policy);
        mq_buf text = mq_buf_init(1 << 20);
        const mq_scene scene = {.width = 300,
                                .height = 200,
                                .seen = CASES[i].tight ? OBJECT : (mq_box){0, 0, 300, 200},
                                .object = CASES[i].tight ? &OBJECT : NULL,
                                .tight = CASES[i].tight};
        for (uint32_t sample = 0; sample < 1000; sample++) {
            mq_box w;
            assert_true(mq_augment_window(augment, &(mq_draw){5, 6, sample, 0}, &scene, &w));
            assert_ok(err, mq_buf_printf(&err, &text, "%d %d %d %d\n", w.x1, w.y1, w.x2, w.y2));
        }
        char hex[MQ_HEX_SIZE];
        assert_ok(err, mq_sha256_hex(&err, text.data, text.size, hex));
        if (strncmp(hex, CASES[i].digest, 16) != 0) fail_msg("%s: %.16s", CASES[i].policy, hex);
        mq_buf_free(&text);
        mq_augment_free(&augment);
    }
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
            mq_augment_draw(augment, &(mq_draw){5, 6, sample, 0}, &drawn);
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
        cmocka_unit_test(test_digests_of_windows),
        cmocka_unit_test(test_automatic),
        cmocka_unit_test(test_documentation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
