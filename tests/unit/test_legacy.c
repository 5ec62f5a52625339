/* test_legacy.c: Keras' legacy .h5 files of every age through marque-convert, files that must be refused, and
 * damaged ones (tests/data/legacy/make_legacy.py). */
#include "unit/children.h"
#include "unit/listing.h"
#include "unit/refuse.h"
#include "unit/temporary.h"

#include "base/file.h"
#include "net/foreign.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DATA "tests/data/legacy/"

#define NORM(name, n)                                                                                        \
    {                                                                                                        \
        name, "BatchNormalization", 4, {                                                                     \
            {"gamma", 1, {n}}, {"beta", 1, {n}}, {"moving_mean", 1, {n}}, {                                  \
                "moving_variance", 1, {                                                                      \
                    n                                                                                        \
                }                                                                                            \
            }                                                                                                \
        }                                                                                                    \
    }

/* The generator's network, in the order of Keras' model.layers. */
static mq_foreign_layer layers[] = {
    {"block1_conv1", "Conv2D", 1, {{"kernel", 4, {3, 3, 2, 3}}}},
    NORM("block1_conv1_bn", 3),
    {"block2_sepconv1",
     "SeparableConv2D",
     2,
     {{"depthwise_kernel", 4, {3, 3, 3, 1}}, {"pointwise_kernel", 4, {1, 1, 3, 4}}}},
    NORM("block2_sepconv1_bn", 4),
    {"conv2d", "Conv2D", 1, {{"kernel", 4, {1, 1, 3, 4}}}},
    NORM("batch_normalization", 4),
    {"conv2d_1", "Conv2D", 1, {{"kernel", 4, {1, 1, 4, 5}}}},
    NORM("batch_normalization_1", 5),
};
enum { LAYERS = sizeof layers / sizeof *layers, NUMBERS = 189 };
static const mq_foreign_list whole = {"legacy", layers, LAYERS};

/* Every number is the one that the generator gave this place; the number of them. */
static size_t check_layer(const char *path, const mq_bundle *bundle, size_t i) {
    size_t numbers = 0;
    for (size_t p = 0; p < layers[i].param_count; p++) {
        char name[128];
        snprintf(name, sizeof name, "%s/%s", layers[i].layer, layers[i].params[p].name);
        const mq_tensor *tensor = mq_bundle_find(bundle, name);
        assert_non_null(tensor);
        const float *values = tensor->data;
        for (size_t k = 0; k < tensor->bytes / sizeof *values; k++, numbers++) {
            const double wanted = (double)i + (double)p / 8 + (double)k / 4096;
            if (!(fabs((double)values[k] - wanted) <= 0))
                fail_msg("%s: %s[%zu] is %g, not %g", path, name, k, (double)values[k], wanted);
        }
    }
    return numbers;
}

static void check_good(char *row) {
    mq_err err = {0};
    char path[256];
    size_t numbers = 0;
    mq_bundle *bundle = NULL;
    snprintf(path, sizeof path, DATA "%s", row);
    if (mq_foreign_read(&err, path, &whole, &bundle) != MQ_OK) fail_msg("%s", err.text);
    for (size_t i = 0; i < LAYERS; i++) numbers += check_layer(path, bundle, i);
    assert_int_equal(numbers, NUMBERS);
    assert_string_equal(mq_bundle_meta(bundle, "format"), "keras legacy .h5");
    mq_bundle_free(&bundle);
}

static void test_good_files(void **state) {
    (void)state;
    assert_true(each_row(DATA "good.txt", check_good) >= 21);
}

/* Where the version is told, it is found: at the root of whole models of Keras 1, in the group of later ones.
 */
static void test_versions(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {DATA "keras1_whole.h5", "1.2.2"},
        {DATA "keras2_whole.h5", "2.2.4"},
        {DATA "keras3.h5", "3.15.1"},
        {DATA "keras1_nested.h5", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mq_err err = {0};
        mq_bundle *bundle = NULL;
        assert_ok(err, mq_foreign_read(&err, cases[i][0], &whole, &bundle));
        assert_string_equal(mq_bundle_meta(bundle, "keras_version"), cases[i][1]);
        mq_bundle_free(&bundle);
    }
}

/* A row of bad.txt: the file, how many of the layers are expected, words of the sentence. */
static void check_bad(char *row) {
    char *words = other_words(row), path[256];
    const mq_foreign_list some = {"legacy", layers, strtoul(words, &words, 10)};
    snprintf(path, sizeof path, DATA "%s", row);
    refuse(path, &some, MQ_BAD_DATA, words + 1);
}

static void test_bad_files(void **state) {
    (void)state;
    assert_true(each_row(DATA "bad.txt", check_bad) >= 27);
}

/* What became of a damaged file; the numbers may be others, but never their count. */
static void read_damaged(const char *path, const mq_buf *file, size_t size, const char *how, size_t at) {
    mq_err err = {0};
    mq_bundle *bundle = NULL;
    struct timespec start, end;
    assert_ok(err, mq_file_write(&err, path, file->data, size));
    clock_gettime(CLOCK_MONOTONIC, &start);
    const mq_status status = mq_foreign_read(&err, path, &whole, &bundle);
    clock_gettime(CLOCK_MONOTONIC, &end);
    /* a crash of the child is told as such, and would be a fault of its own */
    if ((status != MQ_OK && status != MQ_BAD_DATA && status != MQ_NO_INPUT) ||
        strstr(err.text, "converter stopped"))
        fail_msg("%s at byte %zu: %d: %s", how, at, (int)status, err.text);
    if (end.tv_sec - start.tv_sec > 20) fail_msg("%s at byte %zu takes for ever", how, at);
    assert_int_equal(status == MQ_OK, bundle != NULL);
    mq_bundle_free(&bundle);
}

/* A few hundred flipped, blanked and cut variants of a nested file, of one stored in all ways, and of one
 * with texts of any length. */
static void test_damage(void **state) {
    (void)state;
    static const char *const files[] = {DATA "tf2_scopes.h5", DATA "storage.h5", DATA "keras3.h5"};
    char path[PLACE];
    assert_true(temporary_file(path));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        mq_err err = {0};
        mq_buf file = mq_buf_init(1 << 16);
        assert_ok(err, mq_file_read(&err, files[i], &file));
        for (size_t at = i; at < file.size; at += 587) {
            const uint8_t kept = file.data[at];
            file.data[at] ^= (uint8_t)(1u << at % 8);
            read_damaged(path, &file, file.size, "a flipped bit", at);
            file.data[at] = at % 2 ? 0xFF : 0;
            read_damaged(path, &file, file.size, "a blank byte", at);
            file.data[at] = kept;
            if (at % 3 == 0) read_damaged(path, &file, at, "a cut", at);
        }
        mq_buf_free(&file);
    }
    unlink(path);
}

static int take_converter(void **state) {
    (void)state;
    return take_child("marque-convert");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_files),
        cmocka_unit_test(test_versions),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, take_converter, NULL);
}
