/* test_graph.c: shapes, names and parameters of the networks, the errors of impossible ones, and the
 * placement of buffers. */
#include "unit/unit.h"

#include "base/rng.h"
#include "net/arch.h"
#include "net/op.h"
#include "net/plan.h"

#include <string.h>

static mq_shape shape_of(const mq_graph *graph, const char *name) {
    const mq_node *node = mq_graph_find(graph, name);
    assert_non_null(node);
    return node->shape;
}

static void assert_shape(mq_shape s, size_t h, size_t w, size_t c) {
    assert_int_equal(s.h, h);
    assert_int_equal(s.w, w);
    assert_int_equal(s.c, c);
}

/* What keras.applications.Xception(include_top=False).summary() says. */
static void test_xception(void **state) {
    (void)state;
    mq_err err = {0};
    mq_graph *graph = NULL;
    const mq_arch *arch = mq_arch_find("xception");
    assert_non_null(arch);
    assert_ptr_equal(mq_arch_at(0), arch);
    assert_null(mq_arch_at(1));
    assert_null(mq_arch_find("exception"));
    assert_ok(err, arch->build(&err, 299, &graph));
    assert_int_equal(mq_graph_param_total(graph), 20861480);
    assert_shape(shape_of(graph, "block1_conv1"), 149, 149, 32);
    assert_shape(shape_of(graph, "block1_conv2_act"), 147, 147, 64);
    assert_shape(shape_of(graph, "block2_pool"), 74, 74, 128);
    assert_shape(shape_of(graph, "batch_normalization_1"), 37, 37, 256);
    assert_shape(shape_of(graph, "add_2"), 19, 19, 728);
    assert_shape(shape_of(graph, "add_10"), 19, 19, 728);
    assert_shape(shape_of(graph, "conv2d_3"), 10, 10, 1024);
    assert_shape(shape_of(graph, "block14_sepconv2_act"), 10, 10, 2048);
    assert_shape(mq_graph_node(graph, mq_graph_size(graph) - 1)->shape, 1, 1, arch->features);
    assert_null(mq_graph_find(graph, "block2_sepconv1_act")); /* Keras has none either */
    assert_null(mq_graph_find(graph, "add_12"));
    assert_string_equal(mq_graph_find(graph, "conv2d_3")->block, "block13");
    mq_graph_free(&graph);
    assert_ok(err, arch->build(&err, 71, &graph));
    assert_shape(shape_of(graph, "block13_pool"), 3, 3, 1024);
    mq_graph_free(&graph);
}

static void test_parameters(void **state) {
    (void)state;
    mq_err err = {0};
    mq_graph *graph = NULL;
    assert_ok(err, mq_arch_find("xception")->build(&err, 128, &graph));
    const mq_node *node = mq_graph_find(graph, "block4_sepconv1");
    assert_string_equal(mq_node_class(node), "SeparableConv2D");
    assert_int_equal(mq_node_param_count(node), 2);
    const mq_param_shape depth = mq_node_param(graph, node, 0), point = mq_node_param(graph, node, 1);
    assert_string_equal(depth.name, "depthwise_kernel");
    assert_memory_equal(depth.shape, ((size_t[4]){3, 3, 256, 1}), sizeof depth.shape);
    assert_string_equal(point.name, "pointwise_kernel");
    assert_memory_equal(point.shape, ((size_t[4]){1, 1, 256, 728}), sizeof point.shape);
    node = mq_graph_find(graph, "batch_normalization_2");
    assert_string_equal(mq_node_class(node), "BatchNormalization");
    assert_int_equal(mq_node_param_count(node), 4);
    assert_string_equal(mq_node_param(graph, node, 3).name, "moving_variance");
    assert_int_equal(mq_node_param(graph, node, 3).shape[0], 728);
    assert_true(node->epsilon == 1e-3);
    mq_graph_free(&graph);
}

/* TensorFlow's table for "same": the odd pixel goes behind; and "valid". */
static void test_windows(void **state) {
    (void)state;
    const struct {
        size_t in, kernel, stride;
        bool same;
        mq_extent want;
    } cases[] = {
        {299, 3, 2, false, {149, 0, 0}}, {147, 3, 2, true, {74, 1, 1}}, {74, 3, 2, true, {37, 0, 1}},
        {19, 1, 2, true, {10, 0, 0}},    {5, 3, 1, true, {5, 1, 1}},    {1, 3, 2, true, {1, 1, 1}},
        {2, 3, 2, false, {0, 0, 0}},     {7, 5, 3, true, {3, 2, 2}},    {8, 4, 3, true, {3, 1, 1}},
        {4, 2, 0, true, {0, 0, 0}},      {6, 1, 4, true, {2, 0, 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const mq_extent e = mq_window_extent(cases[i].in, cases[i].kernel, cases[i].stride, cases[i].same);
        assert_int_equal(e.out, cases[i].want.out);
        assert_int_equal(e.before, cases[i].want.before);
        assert_int_equal(e.behind, cases[i].want.behind);
    }
}

static void test_impossible(void **state) {
    (void)state;
    mq_err err = {0};
    mq_graph *graph = NULL;
    size_t in, conv, again;
    assert_ok(err, mq_graph_create(&err, &graph));
    assert_ok(err, mq_graph_add(&err, graph,
                                &(mq_node){.op = MQ_OP_INPUT, .name = "in", .block = "b", .shape = {9, 9, 3}},
                                &in));
    mq_node node = {.op = MQ_OP_CONV,
                    .name = "c",
                    .block = "b",
                    .input_count = 1,
                    .filters = 4,
                    .kernel = 11,
                    .stride = 1};
    assert_int_equal(mq_graph_add(&err, graph, &node, &conv), MQ_USAGE);
    assert_non_null(strstr(err.text, "layer c: a window of 11 pixels"));
    err = (mq_err){0};
    node.kernel = 3;
    assert_ok(err, mq_graph_add(&err, graph, &node, &conv));
    assert_int_equal(mq_graph_add(&err, graph, &node, &again), MQ_INTERNAL); /* the name is taken */
    err = (mq_err){0};
    const mq_node sum = {.op = MQ_OP_ADD, .name = "s", .block = "b", .inputs = {in, conv}, .input_count = 2};
    assert_int_equal(mq_graph_add(&err, graph, &sum, &again), MQ_USAGE);
    assert_non_null(strstr(err.text, "9 x 9 x 3 and 7 x 7 x 4 cannot be added"));
    err = (mq_err){0};
    assert_int_equal(mq_arch_find("xception")->build(&err, 4, &(mq_graph *){NULL}), MQ_USAGE);
    mq_graph_free(&graph);
}

/* Random lifetimes: none that meet in time meet in memory, and the block is not much larger than it must be.
 */
static void test_plan(void **state) {
    (void)state;
    enum { COUNT = 200, STEPS = 100 };
    mq_err err = {0};
    mq_lifetime items[COUNT];
    size_t total = 0, needed = 0;
    for (size_t i = 0; i < COUNT; i++) {
        const uint32_t r = mq_rng_u32(5, MQ_RNG_TEST, 0, i);
        items[i] = (mq_lifetime){.bytes = r % 5000, .first = r / 5000 % STEPS};
        items[i].last = items[i].first + r / 500000 % 10;
    }
    assert_ok(err, mq_plan_memory(&err, items, COUNT, &total));
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(items[i].offset % 64, 0);
        assert_true(items[i].offset + items[i].bytes <= total);
        for (size_t k = 0; k < i; k++) {
            const mq_lifetime *a = &items[i], *b = &items[k];
            if (a->last < b->first || b->last < a->first || !a->bytes || !b->bytes) continue;
            assert_true(a->offset + a->bytes <= b->offset || b->offset + b->bytes <= a->offset);
        }
    }
    for (size_t step = 0; step < STEPS; step++) {
        size_t alive = 0;
        for (size_t i = 0; i < COUNT; i++)
            if (items[i].first <= step && step <= items[i].last) alive += items[i].bytes;
        needed = alive > needed ? alive : needed;
    }
    assert_true(total >= needed);
    assert_true(total < needed * 5 / 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_xception),   cmocka_unit_test(test_parameters), cmocka_unit_test(test_windows),
        cmocka_unit_test(test_impossible), cmocka_unit_test(test_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
