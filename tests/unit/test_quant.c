/* test_quant.c: layers in 8 bits: what calibration makes of a small network, and the programs that run it. */
#include "unit/nets.h"

#include "base/par.h"
#include "net/calibrate.h"
#include "net/program.h"
#include "net/quant.h"
#include "unit/temporary.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SIDE = 75, PICTURES = 6, NUMBERS = SIDE * SIDE * 3, FEATURES = 512 };
static const char *layer_name = "block5_sepconv2";

enum { LAYERS = 39 };

/* What the tests share, as it takes seconds. */
static struct {
    mq_bundle *weights, *bytes; /* a network, and the same with all layers in 8 bits */
    float *pictures;
    double errors[LAYERS];
} shared;

static mq_status note(mq_err *err, void *user, const mq_calibrated *layer, size_t index, size_t count) {
    (void)err;
    double *errors = user;
    assert_int_equal(count, LAYERS);
    errors[index] = layer->error;
    return MQ_OK;
}

/* Puts tensors of the calibration into a file beside the others, and reads it. */
static mq_bundle *join(const mq_bundle *weights, const mq_calibration *calibration, const char *path) {
    mq_err err = {0};
    mq_bundle *joined = NULL;
    const mq_tensor *made = NULL;
    const size_t made_count = mq_calibration_tensors(calibration, &made);
    mq_tensor *all = calloc(mq_bundle_count(weights) + made_count, sizeof *all);
    size_t n = 0;
    assert_non_null(all);
    for (size_t i = 0; i < mq_bundle_count(weights); i++) {
        size_t k = 0;
        while (k < made_count && strcmp(made[k].name, mq_bundle_at(weights, i)->name) != 0) k++;
        if (k == made_count) all[n++] = *mq_bundle_at(weights, i);
    }
    memcpy(all + n, made, made_count * sizeof *made);
    assert_ok(err, mq_bundle_write(&err, path, all, n + made_count, NULL, 0));
    assert_ok(err, mq_bundle_open(&err, path, &joined));
    free(all);
    return joined;
}

/* The shared network with those layers in 8 bits that lose no more; errors of all. */
static mq_bundle *quantise(double most, double *errors, const char *path) {
    mq_err err = {0};
    mq_calibration *calibration = NULL;
    const mq_calibration_plan plan = {.size = sizeof plan,
                                      .arch = &quarter_arch,
                                      .weights = shared.weights,
                                      .prefix = "",
                                      .imgsz = SIDE,
                                      .pictures = PICTURES,
                                      .seed = 1};
    assert_ok(err, mq_calibration_create(&err, &plan, &calibration));
    for (size_t i = 0; i < PICTURES; i++)
        assert_ok(err, mq_calibration_add(&err, calibration, shared.pictures + i * NUMBERS));
    assert_ok(err, mq_calibration_fit(&err, calibration, most, note, errors));
    mq_bundle *joined = join(shared.weights, calibration, path);
    mq_calibration_free(&calibration);
    return joined;
}

static void refuse(const mq_bundle *weights, mq_dtype dtype, mq_status code, const char *words) {
    mq_err err = {0};
    mq_program *program = NULL;
    mq_program_plan plan = program_plan(&quarter_arch, weights, SIDE, 1);
    plan.dtype = dtype;
    assert_int_equal(mq_program_create(&err, &plan, &program), code);
    if (!strstr(err.text, words)) fail_msg("%s, not: %s", err.text, words);
}

/* Features of the pictures, the caller's. */
static float *features(const mq_bundle *weights, mq_dtype dtype, size_t batch, const float *pictures) {
    mq_err err = {0};
    mq_program *program = NULL;
    mq_program_plan plan = program_plan(&quarter_arch, weights, SIDE, batch);
    plan.dtype = dtype;
    float *out = malloc(PICTURES * FEATURES * sizeof *out);
    assert_non_null(out);
    assert_ok(err, mq_program_create(&err, &plan, &program));
    assert_ok(err, mq_program_run(&err, program, pictures, PICTURES, out));
    mq_program_free(&program);
    return out;
}

/* |a - b| / |b| */
static double apart(const float *a, const float *b) {
    double error = 0.0, norm = 0.0;
    for (size_t i = 0; i < PICTURES * FEATURES; i++) {
        error += pow((double)a[i] - (double)b[i], 2);
        norm += pow((double)b[i], 2);
    }
    return sqrt(error / norm);
}

/* The whole network in 8 bits stays near f32; without the numbers of the calibration it would not. */
static void test_network(void **state) {
    (void)state;
    const mq_bundle *weights = shared.weights, *bytes = shared.bytes;
    const float *pictures = shared.pictures;
    float *exact = features(weights, MQ_F32, 2, pictures), *widened = features(bytes, MQ_F32, 2, pictures);
    float *plain = features(weights, MQ_I8, 2, pictures);
    for (size_t i = 0; i < LAYERS; i++) assert_true(shared.errors[i] > 0 && shared.errors[i] < 2e-3);
    assert_true(apart(widened, exact) < 0.04);
    assert_true(apart(plain, exact) < (mq_dtype_auto() == MQ_BF16 ? 0.03 : 1e-5));
    if (mq_dnn_has_int8()) {
        float *eight = features(bytes, MQ_I8, 2, pictures), *one = features(bytes, MQ_I8, 1, pictures);
        float *many = features(bytes, MQ_I8, 32, pictures);
        assert_true(apart(eight, exact) < 0.06);
        assert_true(apart(widened, exact) < apart(eight, exact));
        assert_memory_equal(eight, one, PICTURES * FEATURES * sizeof *one); /* the batch does not matter */
        assert_memory_equal(many, one, PICTURES * FEATURES * sizeof *one);
        free(eight), free(one), free(many);
    } else {
        refuse(bytes, MQ_I8, MQ_UNAVAILABLE, "has no avx2; use --dtype f32");
    }
    free(exact), free(widened), free(plain);
}

/* A layer that would lose more stays in numbers. */
static void test_kept(void **state) {
    (void)state;
    const mq_bundle *all = shared.bytes;
    double least = shared.errors[0], errors[LAYERS];
    for (size_t i = 1; i < LAYERS; i++) least = fmin(least, shared.errors[i]);
    mq_bundle *one = quantise(least, errors, "quant-one.safetensors");
    size_t layers[2] = {0};
    for (size_t i = 0; i < mq_bundle_count(all); i++) layers[0] += mq_bundle_at(all, i)->dtype == MQ_I8;
    for (size_t i = 0; i < mq_bundle_count(one); i++) layers[1] += mq_bundle_at(one, i)->dtype == MQ_I8;
    assert_int_equal(layers[0], LAYERS);
    assert_int_equal(layers[1], 1);
    mq_bundle_free(&one);
    remove("quant-one.safetensors");
}

/* The network with a change to one tensor of an 8-bit layer must be refused, with the words. */
static void refuse_changed(const mq_bundle *weights, const char *tensor, const mq_tensor *instead,
                           const char *words) {
    mq_err err = {0};
    mq_bundle *changed = NULL;
    char name[96];
    snprintf(name, sizeof name, "%s/%s", layer_name, tensor);
    mq_tensor *all = calloc(mq_bundle_count(weights), sizeof *all);
    size_t n = 0;
    for (size_t i = 0; i < mq_bundle_count(weights); i++) {
        all[n] = *mq_bundle_at(weights, i);
        if (strcmp(all[n].name, name) != 0) {
            n++;
        } else if (instead) {
            all[n] = *instead;
            all[n++].name = name;
        }
    }
    assert_ok(err, mq_bundle_write(&err, "quant-bad.safetensors", all, n, NULL, 0));
    assert_ok(err, mq_bundle_open(&err, "quant-bad.safetensors", &changed));
    refuse(changed, MQ_F32, MQ_BAD_DATA, words);
    mq_bundle_free(&changed);
    free(all);
    remove("quant-bad.safetensors");
}

static void test_refusals(void **state) {
    (void)state;
    const mq_bundle *bytes = shared.bytes;
    char name[96];
    snprintf(name, sizeof name, "%s/input_scale", layer_name);
    const mq_tensor *scale = mq_bundle_find(bytes, name);
    float *numbers = malloc(scale->bytes);
    mq_tensor bad = *scale;
    bad.data = numbers;
    memcpy(numbers, scale->data, scale->bytes);
    refuse_changed(bytes, "input_scale", NULL, "block5_sepconv2 needs 182 numbers in input_scale");
    numbers[3] = 0;
    refuse_changed(bytes, "input_scale", &bad, "input_scale of the 8-bit layer block5_sepconv2 holds 0");
    numbers[3] = NAN;
    refuse_changed(bytes, "input_scale", &bad, "holds nan");
    for (size_t i = 0; i < bad.shape[0]; i++) numbers[i] = 128;
    numbers[9] = 256;
    refuse_changed(bytes, "input_zero", &bad, "input_zero of the 8-bit layer block5_sepconv2 holds 256");
    numbers[9] = 0.5f;
    refuse_changed(bytes, "input_zero", &bad, "holds 0.5");
    bad.shape[0]--;
    bad.bytes -= sizeof *numbers;
    refuse_changed(bytes, "pointwise_bias", &bad, "needs 182 numbers in pointwise_bias");
    mq_tensor kernel = {.dtype = MQ_I8, .rank = 4, .shape = {1, 1, 2, 2}, .data = numbers, .bytes = 4};
    refuse_changed(bytes, "pointwise_kernel", &kernel,
                   "pointwise_kernel is int8 [1,1,2,2] instead of f32 [1,1,182,182]");
    layer_name = "block1_conv1"; /* over pictures */
    kernel = (mq_tensor){
        .dtype = MQ_I8, .rank = 4, .shape = {3, 3, 3, 8}, .data = numbers, .bytes = 3 * 3 * 3 * 8};
    refuse_changed(bytes, "kernel", &kernel, "the layer block1_conv1 cannot be in 8 bits");
    layer_name = "block1_conv2";
    refuse_changed(bytes, "kernel_scale", NULL, "block1_conv2 needs 16 numbers in kernel_scale");
    free(numbers);
}

/* Which layers can be in 8 bits, and where the kernel of those lies. */
static void test_windows(void **state) {
    (void)state;
    static const struct {
        mq_node node;
        size_t channels, kernel; /* kernel 0: it cannot */
    } cases[] = {
        {{.op = MQ_OP_CONV, .filters = 4, .kernel = 3, .stride = 1}, 8, 3},
        {{.op = MQ_OP_CONV, .filters = 4, .kernel = 3, .stride = 1}, 3, 0}, /* pictures */
        {{.op = MQ_OP_CONV, .filters = 4, .kernel = 3, .stride = 1, .same = true}, 8, 0},
        {{.op = MQ_OP_CONV, .filters = 4, .kernel = 2, .stride = 1, .same = true}, 8, 0}, /* pads behind */
        {{.op = MQ_OP_CONV, .filters = 4, .kernel = 1, .stride = 2, .same = true}, 8, 1},
        {{.op = MQ_OP_SEPCONV, .filters = 4, .kernel = 3, .stride = 1, .same = true}, 3, 1},
        {{.op = MQ_OP_RELU}, 8, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mq_err err = {0};
        mq_graph *graph = NULL;
        mq_window window;
        size_t at;
        const mq_node in = {.op = MQ_OP_INPUT, .name = "in", .block = "", .shape = {7, 7, cases[i].channels}};
        mq_node node = cases[i].node;
        node.name = "layer", node.block = "", node.input_count = 1;
        assert_ok(err, mq_graph_create(&err, &graph));
        assert_ok(err, mq_graph_add(&err, graph, &in, &at));
        assert_ok(err, mq_graph_add(&err, graph, &node, &at));
        const bool can = mq_quant_window(graph, mq_graph_node(graph, at), &window);
        if (can != (cases[i].kernel > 0)) fail_msg("layer %zu", i);
        if (can) assert_int_equal(window.kernel, cases[i].kernel);
        mq_graph_free(&graph);
    }
}

static int make_shared(void **state) {
    (void)state;
    shared.weights = seeded(&quarter_arch, SIDE);
    shared.pictures = draws(3, PICTURES * NUMBERS);
    shared.bytes = quantise(1.0, shared.errors, "quant.safetensors");
    return 0;
}

static int drop_shared(void **state) {
    (void)state;
    free(shared.pictures);
    mq_bundle_free(&shared.bytes);
    mq_bundle_free(&shared.weights);
    return remove("quant.safetensors");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_network),
        cmocka_unit_test(test_kept),
        cmocka_unit_test(test_refusals),
    };
    char folder[PLACE]; /* for the files; what a failed test leaves is in nobody's way */
    if (!temporary_folder(folder) || chdir(folder) != 0) return 1;
    const int failed = cmocka_run_group_tests(tests, make_shared, drop_shared);
    rmdir(folder);
    return failed;
}
