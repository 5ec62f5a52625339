/* test_program.c: inference programs against loops in double, against Keras' golden figures, and against
 * themselves in other batches. Runs in whatever instruction set ONEDNN_MAX_CPU_ISA leaves. */
#include "unit/nets.h"

#include "base/par.h"
#include "base/rng.h"
#include "golden/xception.h"
#include "net/program.h"
#include "net/seeded.h"
#include "net/strips.h"
#include "net/zoo.h"
#include "unit/ref_ops.h"

#include <stdio.h>
#include <string.h>

static bool has_bf16(void) {
    return mq_dtype_auto() == MQ_BF16;
}

static mq_status whole(mq_err *err, uint32_t side, mq_graph **graph) {
    return mq_xception_build(err, side, 1, graph);
}

static const mq_arch whole_arch = {.name = "whole", .imgsz_min = 71, .features = 2048, .build = whole};

/* ---- each operation against plain loops ---- */

typedef struct {
    mq_err *err;
    mq_graph *graph;
    size_t last;
} small;

static void put(small *s, mq_node node, const char *name) {
    node.name = name;
    node.block = "block1";
    if (node.op != MQ_OP_ADD) node.inputs[0] = s->last;
    node.input_count = node.op == MQ_OP_INPUT ? 0 : node.op == MQ_OP_ADD ? 2 : 1;
    if (node.op == MQ_OP_BATCH_NORM) node.epsilon = 1e-3;
    if (mq_graph_add(s->err, s->graph, &node, &s->last) != MQ_OK) fail_msg("%s", s->err->text);
}

static small begin(mq_err *err, uint32_t side) {
    small s = {.err = err};
    if (mq_graph_create(err, &s.graph) != MQ_OK) fail_msg("%s", err->text);
    put(&s, (mq_node){.op = MQ_OP_INPUT, .shape = {side, side, 5}}, "in");
    return s;
}

/* Convolutions without batch norm, "same" by steps of 2, 5x5, odd channels; the result is not pooled. */
static mq_status bare(mq_err *err, uint32_t side, mq_graph **graph) {
    small s = begin(err, side);
    put(&s, (mq_node){.op = MQ_OP_CONV, .filters = 7, .kernel = 3, .stride = 2, .same = true}, "a");
    put(&s, (mq_node){.op = MQ_OP_SEPCONV, .filters = 19, .kernel = 5, .stride = 1, .same = true}, "b");
    put(&s, (mq_node){.op = MQ_OP_RELU}, "c");
    put(&s, (mq_node){.op = MQ_OP_SEPCONV, .filters = 18, .kernel = 3, .stride = 2, .same = true}, "d");
    *graph = s.graph;
    return MQ_OK;
}

/* A residual block of the other kind: the sum, then the ReLU; the trunk is read again later. */
static mq_status residual(mq_err *err, uint32_t side, mq_graph **graph) {
    small s = begin(err, side);
    put(&s, (mq_node){.op = MQ_OP_CONV, .filters = 33, .kernel = 3, .stride = 1}, "a");
    put(&s, (mq_node){.op = MQ_OP_BATCH_NORM}, "a_bn");
    put(&s, (mq_node){.op = MQ_OP_RELU}, "a_act");
    const size_t trunk = s.last;
    put(&s, (mq_node){.op = MQ_OP_CONV, .filters = 33, .kernel = 1, .stride = 1}, "b");
    put(&s, (mq_node){.op = MQ_OP_BATCH_NORM}, "b_bn");
    put(&s, (mq_node){.op = MQ_OP_ADD, .inputs = {s.last, trunk}}, "sum");
    put(&s, (mq_node){.op = MQ_OP_RELU}, "sum_act");
    const size_t once = s.last;
    put(&s, (mq_node){.op = MQ_OP_ADD, .inputs = {once, trunk}},
        "twice"); /* no convolution can do this one */
    put(&s, (mq_node){.op = MQ_OP_RELU}, "twice_act");
    put(&s, (mq_node){.op = MQ_OP_GLOBAL_AVG_POOL}, "pool");
    *graph = s.graph;
    return MQ_OK;
}

/* Pools of both paddings over negative numbers, and a sum that ends in a pool. */
static mq_status pools(mq_err *err, uint32_t side, mq_graph **graph) {
    small s = begin(err, side);
    put(&s, (mq_node){.op = MQ_OP_SEPCONV, .filters = 21, .kernel = 3, .stride = 1, .same = true}, "a");
    put(&s, (mq_node){.op = MQ_OP_BATCH_NORM}, "a_bn");
    const size_t trunk = s.last;
    put(&s, (mq_node){.op = MQ_OP_MAX_POOL, .kernel = 3, .stride = 2, .same = true}, "p");
    const size_t pooled = s.last;
    s.last = trunk;
    put(&s, (mq_node){.op = MQ_OP_CONV, .filters = 21, .kernel = 1, .stride = 2, .same = true}, "r");
    put(&s, (mq_node){.op = MQ_OP_BATCH_NORM}, "r_bn");
    put(&s, (mq_node){.op = MQ_OP_ADD, .inputs = {pooled, s.last}}, "sum");
    put(&s, (mq_node){.op = MQ_OP_MAX_POOL, .kernel = 2, .stride = 1}, "q");
    *graph = s.graph;
    return MQ_OK;
}

/* Sums of a convolution, or a separable one, and what that itself reads. */
static mq_status shortcut(mq_err *err, uint32_t side, mq_graph **graph) {
    small s = begin(err, side);
    put(&s, (mq_node){.op = MQ_OP_CONV, .filters = 32, .kernel = 1, .stride = 1}, "a");
    const mq_op_id ops[] = {MQ_OP_CONV, MQ_OP_CONV, MQ_OP_SEPCONV};
    const char *const names[][3] = {{"b", "b_bn", "b_sum"}, {"c", "c_bn", "c_sum"}, {"d", "d_bn", "d_sum"}};
    for (size_t i = 0; i < 3; i++) {
        const size_t before = s.last;
        put(&s, (mq_node){.op = ops[i], .filters = 32, .kernel = i ? 3 : 1, .stride = 1, .same = true},
            names[i][0]);
        put(&s, (mq_node){.op = MQ_OP_BATCH_NORM}, names[i][1]);
        put(&s, (mq_node){.op = MQ_OP_ADD, .inputs = {s.last, before}}, names[i][2]);
    }
    *graph = s.graph;
    return MQ_OK;
}

/* Separable convolutions so large, of pictures three times as large as the others', that they are done in
 * strips where they can be; the first one's ReLU is read by it alone. */
static mq_status large(mq_err *err, uint32_t side, mq_graph **graph) {
    small s = begin(err, side);
    put(&s, (mq_node){.op = MQ_OP_CONV, .filters = 64, .kernel = 1, .stride = 1}, "a");
    put(&s, (mq_node){.op = MQ_OP_RELU}, "a_act");
    put(&s, (mq_node){.op = MQ_OP_SEPCONV, .filters = 48, .kernel = 3, .stride = 1, .same = true}, "b");
    put(&s, (mq_node){.op = MQ_OP_BATCH_NORM}, "b_bn");
    put(&s, (mq_node){.op = MQ_OP_RELU}, "b_act");
    put(&s, (mq_node){.op = MQ_OP_SEPCONV, .filters = 19, .kernel = 3, .stride = 1, .same = true}, "c");
    *graph = s.graph;
    return MQ_OK;
}

static void test_loops(void **state) {
    (void)state;
    const mq_arch archs[] = {{.name = "bare", .build = bare},
                             {.name = "residual", .build = residual},
                             {.name = "pools", .build = pools},
                             {.name = "shortcut", .build = shortcut},
                             {.name = "large", .build = large}};
    const uint32_t sides[] = {5, 8, 13};
    bool seen[MQ_OPS] = {false};
    for (size_t i = 0; i < 15; i++) {
        mq_err err = {0};
        mq_graph *graph = NULL;
        mq_bundle *weights = NULL;
        mq_program *program = NULL;
        const uint32_t side = sides[i % 3] * (i < 12 ? 1 : 3);
        float *x = draws(0, side * side * 5);
        assert_ok(err, archs[i / 3].build(&err, side, &graph));
        assert_ok(err, mq_seeded_weights(&err, graph, i, &weights));
        double *want = ref_graph(graph, weights, x);
        for (size_t k = 0; k < mq_graph_size(graph); k++) seen[mq_graph_node(graph, k)->op] = true;
        for (mq_dtype dtype = MQ_F32; dtype <= (has_bf16() ? MQ_BF16 : MQ_F32); dtype++) {
            mq_program_plan plan = program_plan(&archs[i / 3], weights, side, 1);
            plan.dtype = dtype;
            assert_ok(err, mq_program_create(&err, &plan, &program));
            const mq_shape s = mq_program_output(program);
            float *y = malloc(s.h * s.w * s.c * sizeof *y);
            assert_ok(err, mq_program_run(&err, program, x, 1, y));
            const double error = relative(y, want, s.h * s.w * s.c);
            if (!(error <= (dtype == MQ_F32 ? 1e-5 : 2e-2)))
                fail_msg("%s, %u pixels, %s: %g", archs[i / 3].name, side, mq_dtype_name(dtype), error);
            free(y);
            mq_program_free(&program);
        }
        free(want);
        free(x);
        mq_bundle_free(&weights);
        mq_graph_free(&graph);
    }
    for (size_t op = 0; op < MQ_OPS; op++) assert_true(seen[op]); /* an operation without a case */
}

/* ---- Keras ---- */

/* Relative distance from 16 random projections: their mean square is the square of the norm. */
static double golden_error(const golden_row *row, const double *want, const float *y, size_t count) {
    double sums[GOLDEN_PROJECTIONS] = {0}, error = 0.0;
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = mq_rng_u32(GOLDEN_SEED, MQ_RNG_TEST, 1, i);
        for (size_t j = 0; j < GOLDEN_PROJECTIONS; j++)
            sums[j] += bits >> j & 1 ? (double)y[i] : -(double)y[i];
    }
    for (size_t j = 0; j < GOLDEN_PROJECTIONS; j++) error += (sums[j] - want[j]) * (sums[j] - want[j]);
    return sqrt(error / GOLDEN_PROJECTIONS) / row->norm;
}

static double run_row(const golden_row *row, const mq_bundle *weights, mq_dtype dtype) {
    mq_err err = {0};
    mq_program *program = NULL;
    mq_program_plan plan = program_plan(row->divisor == 4 ? &quarter_arch : &whole_arch, weights, row->side,
                                        row->pictures);
    plan.dtype = dtype;
    plan.output = row->node;
    assert_ok(err, mq_program_create(&err, &plan, &program));
    const mq_shape s = mq_program_output(program);
    const size_t count = row->pictures * s.h * s.w * s.c;
    float *x = draws(0, row->pictures * row->side * row->side * 3), *y = malloc(count * sizeof *y);
    assert_ok(err, mq_program_run(&err, program, x, row->pictures, y));
    const double error = golden_error(row, dtype == MQ_F32 ? row->f32 : row->f64, y, count);
    mq_program_free(&program);
    free(x);
    free(y);
    return error;
}

/* f32 within 1e-4 of Keras f32; bf16 no farther from float64 than 1.5 times mixed_bfloat16. */
static void test_keras(void **state) {
    (void)state;
    mq_bundle *quarter_weights = seeded(&quarter_arch, 75), *whole_weights = seeded(&whole_arch, 75);
    for (size_t i = 0; i < sizeof golden_rows / sizeof *golden_rows; i++) {
        const golden_row *row = &golden_rows[i];
        const mq_bundle *weights = row->divisor == 4 ? quarter_weights : whole_weights;
        const double f32 = run_row(row, weights, MQ_F32);
        if (!(f32 < 1e-4))
            fail_msg("%u pixels, 1/%zu, %s: f32 is off by %g", row->side, row->divisor, row->node, f32);
        if (!has_bf16()) continue;
        const double bf16 = run_row(row, weights, MQ_BF16);
        if (!(bf16 < 1.5 * row->mixed_error) || bf16 < 1e-4)
            fail_msg("%u pixels, 1/%zu, %s: bf16 is off by %g, Keras by %g", row->side, row->divisor,
                     row->node, bf16, row->mixed_error);
    }
    mq_bundle_free(&quarter_weights);
    mq_bundle_free(&whole_weights);
}

/* ---- the same picture, whatever runs with it ---- */

enum { SIDE = 72, MANY = 32, FEATURES = 512, PICTURE = SIDE * SIDE * 3 };

static void check_places(const mq_bundle *weights, mq_dtype dtype) {
    mq_err err = {0};
    mq_program *program = NULL;
    mq_program_plan plan = program_plan(&quarter_arch, weights, SIDE, 16);
    plan.dtype = dtype;
    float *x = draws(0, MANY * PICTURE), *mixed = malloc(MANY * PICTURE * sizeof *mixed);
    float *want = malloc(MANY * FEATURES * sizeof *want), *y = malloc(MANY * FEATURES * sizeof *y);
    assert_ok(err, mq_program_create(&err, &plan, &program));
    assert_ok(err, mq_program_run(&err, program, x, MANY, want));
    assert_memory_not_equal(want, want + FEATURES, FEATURES * sizeof *want);
    for (size_t i = 0; i < MANY; i++) { /* alone */
        assert_ok(err, mq_program_run(&err, program, x + i * PICTURE, 1, y));
        assert_memory_equal(y, want + i * FEATURES, FEATURES * sizeof *y);
    }
    for (uint32_t shuffle = 0; shuffle < 4; shuffle++) { /* in other company */
        uint32_t order[MANY];
        const size_t count = shuffle % 2 ? 7 : MANY;
        mq_rng_permutation(9, MQ_RNG_TEST, shuffle, order, MANY);
        for (size_t i = 0; i < count; i++)
            memcpy(mixed + i * PICTURE, x + order[i] * PICTURE, PICTURE * sizeof *x);
        assert_ok(err, mq_program_run(&err, program, mixed, count, y));
        for (size_t i = 0; i < count; i++)
            assert_memory_equal(y + i * FEATURES, want + order[i] * FEATURES, FEATURES * sizeof *y);
    }
    mq_program_free(&program);
    for (int other = 0; other < 9; other++) { /* in programs for other batches and threads */
        plan.batch = (size_t)(1 + other / 3);
        mq_par_set_threads(1 + other % 3);
        assert_ok(err, mq_program_create(&err, &plan, &program));
        /* Whether a thread leaves its picture is up to the system. */
        for (int again = 0; again < 8; again++) {
            memset(y, 0xff, 7 * FEATURES * sizeof *y); /* NaN, so that none stays from the run before */
            assert_ok(err, mq_program_run(&err, program, x, 7, y));
            assert_memory_equal(y, want, 7 * FEATURES * sizeof *y);
        }
        mq_program_free(&program);
    }
    mq_par_set_threads(0);
    free(x), free(mixed), free(want), free(y);
}

/* The real widths, one picture, by one thread and by several: in a program for one, left over in one for
 * more, and in one whose threads have groups of pictures. */
static void check_one_picture(const mq_bundle *weights, mq_dtype dtype) {
    enum { NUMBERS = 2048 };
    static const size_t batches[] = {1, 5, 64};
    mq_err err = {0};
    mq_program_plan plan = program_plan(&whole_arch, weights, 107, 1);
    plan.dtype = dtype;
    float *x = draws(0, 107 * 107 * 3), *y = malloc(12 * NUMBERS * sizeof *y);
    for (int i = 0; i < 12; i++) {
        mq_program *program = NULL;
        plan.batch = batches[i / 4];
        mq_par_set_threads(1 + i % 4);
        assert_ok(err, mq_program_create(&err, &plan, &program));
        assert_ok(err, mq_program_run(&err, program, x, 1, y + i * NUMBERS));
        assert_memory_equal(y, y + i * NUMBERS, NUMBERS * sizeof *y);
        mq_program_free(&program);
    }
    mq_par_set_threads(0);
    free(x), free(y);
}

static void test_one_picture(void **state) {
    (void)state;
    mq_bundle *weights = seeded(&whole_arch, 75);
    check_one_picture(weights, MQ_F32);
    if (has_bf16()) check_one_picture(weights, MQ_BF16);
    mq_bundle_free(&weights);
}

static void test_places(void **state) {
    (void)state;
    mq_bundle *weights = seeded(&quarter_arch, 75);
    check_places(weights, MQ_F32);
    if (has_bf16()) check_places(weights, MQ_BF16);
    mq_bundle_free(&weights);
}

/* A program's key tells all that its numbers depend on: what an older marque made must not pass for its own.
 */
static void test_key(void **state) {
    (void)state;
    mq_err err = {0};
    mq_bundle *weights = seeded(&quarter_arch, 75);
    mq_program *program = NULL;
    const mq_program_plan plan = program_plan(&quarter_arch, weights, 75, 1);
    char wanted[MQ_NUMBERS_SIZE];
    snprintf(wanted, sizeof wanted, "f32 engine %d onednn %s %s", (int)MQ_ENGINE, mq_dnn_version(),
             mq_dnn_isa());
    assert_ok(err, mq_program_create(&err, &plan, &program));
    assert_string_equal(mq_program_key(program), wanted);
    mq_program_free(&program);
    mq_bundle_free(&weights);
}

/* Rows of strips: those that fit, that divide the height, and that are worth a product. */
static void test_strips(void **state) {
    (void)state;
    static const struct {
        mq_dtype dtype;
        mq_shape made;
        size_t kernel, rows;
    } cases[] = {
        {MQ_F32, {147, 147, 64}, 32 << 10, 3},
        {MQ_BF16, {147, 147, 64}, 16 << 10, 3},
        {MQ_U8, {147, 147, 64}, 8 << 10, 7},
        {MQ_F32, {147, 147, 128}, 64 << 10, 1},
        {MQ_F32, {255, 255, 256}, 256 << 10, 1},      /* a row is larger than a strip */
        {MQ_F32, {147, 147, 64}, (512 << 10) + 4, 0}, /* the kernel is too large */
        {MQ_U8, {37, 37, 64}, 8 << 10, 0},            /* all is one strip */
        {MQ_F32, {37, 37, 256}, 256 << 10, 0},        /* few pixels: 37 is a prime */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const size_t rows = mq_strip_rows(cases[i].dtype, cases[i].made, cases[i].kernel);
        if (rows != cases[i].rows) fail_msg("case %zu: %zu rows", i, rows);
    }
}

/* ---- what cannot be ---- */

static void expect(mq_program_plan plan, mq_status code, const char *text) {
    mq_err err = {0};
    mq_program *program = NULL;
    assert_int_equal(mq_program_create(&err, &plan, &program), code);
    assert_null(program);
    if (!strstr(err.text, text)) fail_msg("%s", err.text);
}

static void test_refusals(void **state) {
    (void)state;
    mq_bundle *weights = seeded(&quarter_arch, 75);
    mq_program_plan plan = program_plan(&whole_arch, weights, 75, 4);
    expect(plan, MQ_BAD_DATA, "block1_conv1/kernel is f32 [3,3,3,8] instead of f32 [3,3,3,32]");
    plan.arch = &quarter_arch;
    plan.prefix = "trunk/";
    expect(plan, MQ_BAD_DATA, "block1_conv1/kernel is missing");
    plan.prefix = "";
    plan.imgsz = 70;
    expect(plan, MQ_USAGE, "from 71 pixels up, not 70");
    plan.imgsz = 75;
    plan.output = "block15";
    expect(plan, MQ_USAGE, "no layer called block15");
    plan.output = NULL;
    plan.batch = 0;
    expect(plan, MQ_USAGE, "a batch of no pictures");
    plan.batch = 4;
    plan.dtype = MQ_U8;
    expect(plan, MQ_USAGE, "not in u8");
    plan.dtype = MQ_BF16;
    if (!has_bf16()) expect(plan, MQ_UNAVAILABLE, "has no avx512_bf16; use --dtype f32");
    mq_bundle_free(&weights);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loops),       cmocka_unit_test(test_keras), cmocka_unit_test(test_places),
        cmocka_unit_test(test_one_picture), cmocka_unit_test(test_key),   cmocka_unit_test(test_strips),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
