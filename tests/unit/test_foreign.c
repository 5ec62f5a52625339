/* test_foreign.c: Keras' files through marque-convert, and files that must be refused
 * (tests/data/weights/make_weights.py). */
#include "unit/children.h"
#include "unit/listing.h"
#include "unit/refuse.h"
#include "unit/temporary.h"

#include "base/child.h"
#include "base/file.h"
#include "base/mem.h"
#include "net/weights.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DATA "tests/data/weights/"

static size_t put(mq_graph *graph, mq_node node, const char *name, size_t input) {
    mq_err err = {0};
    size_t index = 0;
    node.name = name;
    node.block = "";
    node.inputs[0] = input;
    if (!node.input_count) node.input_count = 1;
    assert_ok(err, mq_graph_add(&err, graph, &node, &index));
    return index;
}

/* The generator's network. Its second branch is built after the first, so that the list must be put in order.
 */
static mq_graph *tiny(void) {
    mq_err err = {0};
    mq_graph *g = NULL;
    const mq_node bn = {.op = MQ_OP_BATCH_NORM, .epsilon = 1e-3};
    const mq_node pool = {.op = MQ_OP_MAX_POOL, .kernel = 3, .stride = 2, .same = true};
    mq_node around = {.op = MQ_OP_CONV, .filters = 4, .kernel = 1, .stride = 2, .same = true};
    mq_node sep = {.op = MQ_OP_SEPCONV, .filters = 4, .kernel = 3, .stride = 1, .same = true};
    mq_node add = {.op = MQ_OP_ADD, .input_count = 2};
    mq_node input = {.op = MQ_OP_INPUT, .name = "input", .block = "", .shape = {8, 8, 2}};
    size_t x = 0, side;
    assert_ok(err, mq_graph_create(&err, &g));
    assert_ok(err, mq_graph_add(&err, g, &input, &x));
    x = put(g, (mq_node){.op = MQ_OP_CONV, .filters = 3, .kernel = 3, .stride = 1}, "block1_conv1", x);
    x = put(g, bn, "block1_conv1_bn", x);
    side = put(g, bn, "batch_normalization", put(g, around, "conv2d", x));
    x = put(g, bn, "block2_sepconv1_bn", put(g, sep, "block2_sepconv1", x));
    x = put(g, bn, "block2_sepconv2_bn", put(g, sep, "block2_sepconv2", x));
    add.inputs[1] = side;
    x = put(g, add, "add", put(g, pool, "block2_pool", x));
    around.filters = sep.filters = 5;
    side = put(g, bn, "batch_normalization_1", put(g, around, "conv2d_1", x));
    x = put(g, bn, "block3_sepconv1_bn", put(g, sep, "block3_sepconv1", x));
    add.inputs[1] = side;
    put(g, add, "add_1", put(g, pool, "block3_pool", x));
    return g;
}

/* The order of Keras' model.layers, as the generator numbers them. */
static const char *const keras_order[] = {
    "block1_conv1",    "block1_conv1_bn",    "block2_sepconv1", "block2_sepconv1_bn",
    "block2_sepconv2", "block2_sepconv2_bn", "conv2d",          "batch_normalization",
    "block3_sepconv1", "block3_sepconv1_bn", "conv2d_1",        "batch_normalization_1",
};
enum { LAYERS = sizeof keras_order / sizeof *keras_order };

static mq_foreign_list tiny_list(mq_graph *graph) {
    mq_err err = {0};
    mq_foreign_list list;
    assert_ok(err, mq_weights_list(&err, "tiny", graph, &list));
    return list;
}

static void test_order(void **state) {
    (void)state;
    mq_graph *graph = tiny();
    mq_foreign_list list = tiny_list(graph);
    for (size_t i = 0; i < LAYERS; i++) {
        if (i < list.count && strcmp(list.layers[i].layer, keras_order[i]) == 0) continue;
        fail_msg("layer %zu is %s, not %s", i, i < list.count ? list.layers[i].layer : "missing",
                 keras_order[i]);
    }
    assert_int_equal(list.count, LAYERS);
    assert_string_equal(list.layers[2].class_name, "SeparableConv2D");
    assert_string_equal(list.layers[2].params[1].name, "pointwise_kernel");
    free(list.layers);
    mq_graph_free(&graph);
}

/* Every number of a good file is the one that the generator gave this place. */
static void check_good(const char *path, double tolerance) {
    mq_err err = {0};
    mq_graph *graph = tiny();
    mq_foreign_list list = tiny_list(graph);
    mq_bundle *bundle = NULL;
    size_t numbers = 0;
    assert_ok(err, mq_foreign_read(&err, path, &list, &bundle));
    for (size_t i = 0; i < list.count; i++) {
        for (size_t p = 0; p < list.layers[i].param_count; p++) {
            char name[128];
            snprintf(name, sizeof name, "%s/%s", list.layers[i].layer, list.layers[i].params[p].name);
            const mq_tensor *tensor = mq_bundle_find(bundle, name);
            assert_non_null(tensor);
            const float *values = tensor->data;
            for (size_t k = 0; k < tensor->bytes / sizeof *values; k++, numbers++) {
                const double wanted = (double)i + (double)p / 8 + (double)k / 4096;
                if (fabs((double)values[k] - wanted) <= tolerance) continue;
                fail_msg("%s: %s[%zu] is %g, not %g", path, name, k, (double)values[k], wanted);
            }
        }
    }
    assert_int_equal(numbers * sizeof(float), mq_foreign_bytes(&list));
    assert_true(numbers > 300);
    assert_non_null(mq_bundle_meta(bundle, "format"));
    mq_bundle_free(&bundle);
    free(list.layers);
    mq_graph_free(&graph);
}

static void test_good_files(void **state) {
    (void)state;
    static const char *const files[] = {
        "tiny.keras", "tiny.weights.h5", "unnamed.weights.h5", "tf212.weights.h5",          "legacy.h5",
        "keras1.h5",  "nested.keras",    "nested_legacy.h5",   "nested_unnamed.weights.h5",
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[128];
        snprintf(path, sizeof path, DATA "%s", files[i]);
        check_good(path, 0);
    }
    check_good(DATA "half.h5", 1.0 / 128);
}

static mq_foreign_layer mini_layer = {"block1_conv1", "Conv2D", 1, {{"kernel", 4, {1, 1, 2, 3}}}};
static const mq_foreign_list mini = {"mini", &mini_layer, 1};

static void test_mini(void **state) {
    (void)state;
    static const char *const files[] = {DATA "good_mini.h5", DATA "good_mini.keras"};
    for (size_t i = 0; i < 2; i++) {
        mq_err err = {0};
        mq_bundle *bundle = NULL;
        assert_ok(err, mq_foreign_read(&err, files[i], &mini, &bundle));
        assert_int_equal(mq_bundle_count(bundle), 1);
        assert_true(((const float *)mq_bundle_at(bundle, 0)->data)[5] == 5.0F / 4096);
        mq_bundle_free(&bundle);
    }
}

/* A row of bad.txt: the file and words of the sentence. */
static void check_bad(char *row) {
    const char *const words = other_words(row);
    char path[256];
    snprintf(path, sizeof path, DATA "%s", row);
    refuse(path, &mini, MQ_BAD_DATA, words);
}

static void test_bad_files(void **state) {
    (void)state;
    assert_true(each_row(DATA "bad.txt", check_bad) >= 35);
}

static void test_no_file(void **state) {
    (void)state;
    refuse(DATA "nothing.h5", &mini, MQ_NO_INPUT, "no such regular file");
    refuse("tests", &mini, MQ_NO_INPUT, "no such regular file");
}

/* Weights of another network: the first eight differences, and all their counts. */
static void test_other_network(void **state) {
    (void)state;
    mq_graph *graph = tiny();
    mq_foreign_list list = tiny_list(graph);
    refuse(
        DATA "good_mini.h5", &list, MQ_BAD_DATA,
        "not the weights of tiny: of 33 tensors 32 are missing, 1 have another shape, and 0 other layers are "
        "there: block1_conv1/kernel [1,1,2,3] for [3,3,2,3], block1_conv1_bn/gamma, ");
    list.layers[6].params[0].shape[3] = 6;
    refuse(DATA "tiny.keras", &list, MQ_BAD_DATA, "conv2d/kernel [1,1,3,4] for [1,1,3,6]");
    list.layers[6].params[0].shape[3] = 4;
    list.layers[5].layer = "block9_bn";
    refuse(
        DATA "legacy.h5", &list, MQ_BAD_DATA,
        "4 are missing, 0 have another shape, and 1 other layers are there: block9_bn/gamma, block9_bn/beta, "
        "block9_bn/moving_mean, block9_bn/moving_variance, block2_sepconv2_bn");
    free(list.layers);
    mq_graph_free(&graph);
}

/* A cut or changed file never harms more than the child. */
static void test_damage(void **state) {
    (void)state;
    char path[PLACE];
    mq_err err = {0};
    mq_buf file = mq_buf_init(1 << 16);
    assert_true(temporary_file(path));
    assert_ok(err, mq_file_read(&err, DATA "good_mini.h5", &file));
    for (size_t i = 0; i < file.size; i += 61) {
        mq_err damage = {0};
        mq_bundle *bundle = NULL;
        file.data[i] ^= 0x41;
        assert_ok(err, mq_file_write(&err, path, file.data, file.size));
        const mq_status status = mq_foreign_read(&damage, path, &mini, &bundle);
        if (status != MQ_OK && status != MQ_BAD_DATA && status != MQ_NO_MEMORY)
            fail_msg("byte %zu: %d: %s", i, (int)status, damage.text);
        assert_int_equal(status == MQ_OK, bundle != NULL);
        mq_bundle_free(&bundle);
        file.data[i] ^= 0x41;
    }
    mq_buf_free(&file);
    unlink(path);
}

static int link_converter(void **state) {
    (void)state;
    return link_child("marque-convert");
}

static int take_converter(void **state) {
    (void)state;
    return take_child("marque-convert");
}

/* Children that a file has taken over may do what they like: it ends in a sentence. */
static void test_mad_children(void **state) {
    static const struct {
        const char *script, *words;
        mq_status code;
    } cases[] = {
        {"kill -SEGV $$", "not a readable weights file (the converter stopped: Segmentation fault)",
         MQ_BAD_DATA},
        {"exit 3", "(the converter stopped: without a word)", MQ_BAD_DATA},
        {"echo fine >&2; exit 0", "bytes are no .safetensors file", MQ_BAD_DATA},
        {"cat /dev/zero", "gave more than was asked for", MQ_BAD_DATA},
        {"cat /dev/zero >&2", "gave more than was asked for", MQ_BAD_DATA},
        {"printf '\\2\\0\\0\\0\\0\\0\\0\\0{}'", "block1_conv1/kernel is missing or has another shape",
         MQ_BAD_DATA},
        {"echo 'good_mini.h5: \033[31m' >&2; exit 71", "good_mini.h5: ?[31m", MQ_NO_MEMORY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mq_err err = {0};
        mq_bundle *bundle = NULL;
        char path[CHILD_PATH], script[256];
        child_path("marque-convert", path);
        const int n = snprintf(script, sizeof script, "#!/bin/sh\n%s\n", cases[i].script);
        unlink(path);
        assert_ok(err, mq_file_write(&err, path, script, (size_t)n));
        assert_int_equal(chmod(path, 0755), 0);
        const mq_status status = mq_foreign_read(&err, DATA "good_mini.h5", &mini, &bundle);
        assert_int_equal(link_converter(state), 0);
        assert_null(bundle);
        if (status != cases[i].code || !strstr(err.text, cases[i].words))
            fail_msg("%s: got %d: %s", cases[i].script, (int)status, err.text);
    }
}

static void test_no_converter(void **state) {
    mq_err err = {0};
    mq_bundle *bundle = NULL;
    char path[CHILD_PATH];
    child_path("marque-convert", path);
    unlink(path);
    const mq_status status = mq_foreign_read(&err, DATA "good_mini.h5", &mini, &bundle);
    assert_int_equal(link_converter(state), 0);
    assert_int_equal(status, MQ_UNAVAILABLE);
    assert_non_null(strstr(err.text, "marque-convert is missing"));
}

/* Installed, the converter lies in libexec as seen from the program's folder. */
static void test_installed_converter(void **state) {
    mq_err err = {0};
    char beside[CHILD_PATH], folder[4200], path[4300], *found = NULL;
    child_path("marque-convert", beside);
    snprintf(folder, sizeof folder, "%.*s/" MARQUE_LIBEXEC, (int)(strrchr(beside, '/') - beside), beside);
    snprintf(path, sizeof path, "%s/marque-convert", folder);
    assert_ok(err, mq_make_folder(&err, folder));
    unlink(path);
    assert_int_equal(symlink("../../marque-convert", path), 0);
    unlink(beside);
    const mq_status status = mq_child_find(&err, "marque-convert", "to test", &found);
    unlink(path);
    assert_int_equal(link_converter(state), 0);
    if (status != MQ_OK) fail_msg("%s", err.text);
    assert_string_equal(found, path);
    free(found);
}

static void test_check(void **state) {
    (void)state;
    mq_bundle *bundle = NULL;
    mq_err err = {0}, fewer = {0}, other = {0};
    assert_ok(err, mq_foreign_read(&err, DATA "good_mini.h5", &mini, &bundle));
    assert_ok(err, mq_foreign_check(&err, &mini, bundle));
    assert_int_equal(mq_foreign_check(&fewer, &(mq_foreign_list){"none", NULL, 0}, bundle), MQ_BAD_DATA);
    mini_layer.params[0].shape[0] = 2;
    assert_int_equal(mq_foreign_check(&other, &mini, bundle), MQ_BAD_DATA);
    mini_layer.params[0].shape[0] = 1;
    mq_bundle_free(&bundle);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),        cmocka_unit_test(test_good_files),
        cmocka_unit_test(test_mini),         cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_no_file),      cmocka_unit_test(test_other_network),
        cmocka_unit_test(test_damage),       cmocka_unit_test(test_mad_children),
        cmocka_unit_test(test_no_converter), cmocka_unit_test(test_installed_converter),
        cmocka_unit_test(test_check),
    };
    return cmocka_run_group_tests(tests, take_converter, NULL);
}
