/* test_bench.c: what a network's work is, counted by hand beside what kernels say, and what is measured of
 * it. */
#include "unit/nets.h"

#include "base/par.h"
#include "net/peak.h"
#include "net/program.h"
#include "net/seeded.h"
#include "train/bench.h"

#include <math.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SIDE = 75, LARGE = 187, BATCH = 10 };

/* Multiplies and adds of a layer's products over one picture. */
static double flops_of(const mq_graph *graph, const mq_node *node) {
    const double pixels = (double)(node->shape.h * node->shape.w),
                 area = (double)(node->kernel * node->kernel);
    const double from = node->input_count ? (double)mq_graph_node(graph, node->inputs[0])->shape.c : 0;
    if (node->op == MQ_OP_CONV) return 2 * pixels * area * from * (double)node->filters;
    if (node->op == MQ_OP_SEPCONV) return 2 * pixels * (area * from + from * (double)node->filters);
    return 0;
}

/* Of the convolution, or the depthwise half, that gives the boundary a gradient: nobody needs it. */
static double lowest_of(const mq_graph *graph, const mq_node *node, size_t boundary) {
    size_t input = node->input_count ? node->inputs[0] : SIZE_MAX;
    if (input == SIZE_MAX || flops_of(graph, node) == 0) return 0;
    const mq_node *before = mq_graph_node(graph, input);
    if (before->op == MQ_OP_RELU) input = before->inputs[0];
    if (input != boundary) return 0;
    mq_node half = *node;
    half.filters = 0;
    return flops_of(graph, node->op == MQ_OP_CONV ? node : &half);
}

/* Of all layers behind the boundary of first, and the sum of lowest_of. */
static double count_flops(const mq_arch *arch, const char *first, double *lowest) {
    mq_err err = {0};
    mq_graph *graph;
    size_t boundary = 0;
    double sum = 0;
    assert_ok(err, arch->build(&err, arch->imgsz ? arch->imgsz : SIDE, &graph));
    if (first) assert_ok(err, mq_graph_boundary(&err, graph, first, &boundary));
    *lowest = 0;
    for (size_t i = boundary + 1; i < mq_graph_size(graph); i++) {
        const mq_node *node = mq_graph_node(graph, i);
        sum += flops_of(graph, node);
        *lowest += lowest_of(graph, node, boundary);
    }
    mq_graph_free(&graph);
    return sum;
}

static void run(const mq_bench_plan *plan, mq_bench *bench) {
    mq_err err = {0};
    mq_graph *graph;
    mq_bundle *weights;
    mq_bench_plan whole = *plan;
    assert_ok(err, plan->arch->build(&err, plan->imgsz, &graph));
    assert_ok(err, mq_seeded_weights(&err, graph, NETS_SEED, &weights));
    whole.weights = &weights;
    assert_ok(err, mq_bench_run(&err, &whole, bench));
    mq_graph_free(&graph);
    mq_bundle_free(&weights);
}

static void near(double got, double want, double share) {
    if (!(fabs(got - want) <= share * want)) fail_msg("%g instead of %g", got, want);
}

static void check_measures(const mq_bench_plan *plan, const mq_bench *b) {
    double flops = 0;
    size_t again = 0;
    const double pictures = (double)b->layer_pictures;
    for (size_t i = 0; i < b->layer_count; i++) {
        assert_true(b->layers[i].seconds >= 0 && b->layers[i].work.bytes > 0 && strlen(b->layers[i].layer));
        if (!b->layers[i].again) flops += b->layers[i].work.flops / pictures;
        again += b->layers[i].again;
    }
    near(flops, b->picture.flops, 1e-9);
    assert_true((plan->train && !plan->first) == (again > 0)); /* only the lowest layers are computed again */
    for (size_t i = 1; i < MQ_BENCH_STEPS; i++) assert_true(b->seconds[i] >= b->seconds[i - 1]);
    assert_true(b->seconds[0] > 0 && b->memory > 0);
    near(b->img_s, (double)plan->batch / b->seconds[MQ_BENCH_STEPS / 2], 1e-9);
    assert_true(b->peak_flops > 1e7 && b->bandwidth > 1e7);
}

static const mq_bench_plan quarter_plan = {
    .size = sizeof quarter_plan, .arch = &quarter_arch, .prefix = "", .imgsz = SIDE, .batch = BATCH};

/* On pictures of either size: large ones go through the first blocks in strips. */
static void test_inference(void **state) {
    (void)state;
    for (uint32_t side = SIDE; side <= LARGE; side += LARGE - SIDE) {
        mq_arch arch = quarter_arch;
        mq_bench_plan plan = quarter_plan;
        mq_bench bench;
        double lowest;
        arch.imgsz = plan.imgsz = side;
        plan.arch = &arch;
        run(&plan, &bench);
        check_measures(&plan, &bench);
        near(bench.picture.flops, count_flops(&arch, NULL, &lowest), 1e-9);
        near(bench.limit_img_s, bench.peak_flops / bench.picture.flops, 1e-9);
        mq_bench_free(&bench);
    }
}

/* A depthwise half with a window that no kernel of our own has. */
static mq_status wide(mq_err *err, uint32_t side, mq_graph **graph) {
    static const mq_node nodes[] = {
        {.op = MQ_OP_INPUT, .name = "in"},
        {.op = MQ_OP_CONV, .name = "a", .filters = 32, .kernel = 3, .stride = 2},
        {.op = MQ_OP_SEPCONV, .name = "b", .filters = 48, .kernel = 5, .stride = 1, .same = true},
        {.op = MQ_OP_GLOBAL_AVG_POOL, .name = "pool"},
    };
    mq_status status = mq_graph_create(err, graph);
    for (size_t i = 0, at = 0; i < sizeof nodes / sizeof *nodes && status == MQ_OK; i++) {
        mq_node node = nodes[i];
        node.block = "block1";
        node.inputs[0] = at;
        node.input_count = i > 0;
        if (!i) node.shape = (mq_shape){side, side, 3};
        status = mq_graph_add(err, *graph, &node, &at);
    }
    return status;
}

static void test_wide(void **state) {
    (void)state;
    const mq_arch arch = {.name = "wide", .imgsz = SIDE, .imgsz_min = SIDE, .features = 48, .build = wide};
    mq_bench_plan plan = quarter_plan;
    mq_bench bench;
    double lowest;
    plan.arch = &arch;
    run(&plan, &bench);
    near(bench.picture.flops, count_flops(&arch, NULL, &lowest), 1e-9);
    mq_bench_free(&bench);
}

/* While there is a tick the time of the test goes on by it at each look, and by nothing else. */
static long tick; /* nanoseconds */

int clock_gettime(clockid_t clock, struct timespec *t) {
    static long now;
    if (!tick) return (int)syscall(SYS_clock_gettime, clock, t);
    now += tick;
    *t = (struct timespec){.tv_sec = now / 1000000000, .tv_nsec = now % 1000000000};
    return 0;
}

/* How many ticks layers took, if all took as many. */
static void count_ticks(void *user, const mq_measure *measure) {
    long *ticks = user;
    const long found = lround(measure->seconds * 1e9 / (double)tick);
    *ticks = !*ticks || *ticks == found ? found : -1;
}

/* Layers take the time of all threads that work on one picture. */
static void test_threads(void **state) {
    (void)state;
    mq_err err = {0};
    mq_bundle *weights = seeded(&quarter_arch, SIDE);
    mq_par_set_threads(2);
    for (size_t batch = 1; batch <= 2; batch++) {
        mq_program *program;
        long ticks = 0;
        const mq_program_plan plan = program_plan(&quarter_arch, weights, SIDE, batch);
        assert_ok(err, mq_program_create(&err, &plan, &program));
        tick = 1000000;
        assert_ok(err, mq_program_profile(&err, program, 2, count_ticks, &ticks));
        tick = 0;
        assert_int_equal(ticks, batch == 1 ? 2 : 1);
        mq_program_free(&program);
    }
    mq_par_set_threads(0);
    mq_bundle_free(&weights);
}

/* Layers by their time in ticks, and their products. */
typedef struct {
    size_t whole, eighth;
    double flops;
} layer_count;

static void count_layers(void *user, const mq_measure *measure) {
    layer_count *count = user;
    const double ticks = measure->seconds * 1e9 / (double)tick;
    count->whole += fabs(ticks - 1.0) < 1e-9;
    count->eighth += fabs(8.0 * ticks - 1.0) < 1e-9;
    count->flops += measure->work.flops;
}

/* Where a thread has a group of pictures, each has its place, and a layer that is done for all of them at
 * once counts a picture's share. */
static void test_groups(void **state) {
    (void)state;
    mq_err err = {0};
    mq_bundle *weights = seeded(&quarter_arch, SIDE);
    layer_count one = {0}, many = {0};
    size_t memory[2];
    mq_par_set_threads(2);
    for (size_t batch = 2; batch <= 32; batch += 30) {
        mq_program *program;
        const mq_program_plan plan = program_plan(&quarter_arch, weights, SIDE, batch);
        assert_ok(err, mq_program_create(&err, &plan, &program));
        memory[batch > 2] = mq_program_memory(program);
        tick = 1000000;
        assert_ok(err, mq_program_profile(&err, program, 1, count_layers, batch == 2 ? &one : &many));
        tick = 0;
        mq_program_free(&program);
    }
    mq_par_set_threads(0);
    mq_bundle_free(&weights);
    assert_true(memory[1] > memory[0]);
    assert_int_equal(one.eighth, 0);
    assert_int_equal(many.whole + many.eighth, one.whole);
    assert_true((many.eighth > 20) == (mq_dnn_simd() == MQ_SIMD_AVX512));
    near(many.flops, one.flops, 1e-9);
}

static void check_training(const char *first, bool statistics) {
    mq_bench bench;
    double lowest;
    mq_bench_plan plan = quarter_plan;
    plan.train = true;
    plan.first = first;
    plan.batch_statistics = statistics;
    const double forward = count_flops(&quarter_arch, first, &lowest);
    run(&plan, &bench);
    check_measures(&plan, &bench);
    near(bench.picture.flops, 3 * forward - lowest, 1e-9);
    const double arithmetic = bench.peak_flops / bench.picture.flops;
    if (statistics)
        assert_true(bench.limit_img_s < arithmetic && bench.limit_img_s > 0);
    else
        near(bench.limit_img_s, arithmetic, 1e-9);
    mq_bench_free(&bench);
}

static void test_training(void **state) {
    (void)state;
    check_training(NULL, true);
    check_training("block13", false);
}

/* 8.36 G multiply-adds, as F. Chollet's network is known by (Xception, 2017). */
static void test_xception(void **state) {
    (void)state;
    double lowest;
    near(count_flops(mq_arch_find("xception"), NULL, &lowest) / 2, 8.36e9, 0.005);
}

static bool always(void *user) {
    (void)user;
    return true;
}

static void test_refusals(void **state) {
    (void)state;
    mq_err err = {0};
    mq_bench bench;
    mq_graph *graph;
    mq_bundle *weights;
    mq_bench_plan plan = quarter_plan;
    assert_ok(err, plan.arch->build(&err, SIDE, &graph));
    assert_ok(err, mq_seeded_weights(&err, graph, NETS_SEED, &weights));
    plan.weights = &weights;
    plan.stop = always;
    assert_int_equal(mq_bench_run(&err, &plan, &bench), MQ_INTERRUPTED);
    err = (mq_err){0};
    assert_null(weights); /* the network had them already */
    assert_ok(err, mq_seeded_weights(&err, graph, NETS_SEED, &weights));
    plan.train = true;
    plan.first = "block99";
    assert_int_equal(mq_bench_run(&err, &plan, &bench), MQ_USAGE);
    assert_non_null(strstr(err.text, "no block called block99"));
    mq_graph_free(&graph);
    mq_bundle_free(&weights);
}

/* A dot product of bytes does four times as many products as one of f32; without it five instructions do
 * eight times as many. The machine may be busy at times, so the best of many turns counts. */
static void test_peak(void **state) {
    (void)state;
    mq_err err = {0};
    const double least = mq_dnn_has_vnni() ? 3 : 1.3;
    double best[2] = {0}; /* of f32, of 8 bits */
#if !defined __OPTIMIZE__ || defined __SANITIZE_ADDRESS__
    skip(); /* the loops are not what they are */
#endif
    if (!mq_dnn_has_int8()) skip();
    for (int turn = 0; turn < 12 && (turn < 6 || best[1] < least * best[0]); turn++) {
        double now = 0;
        assert_ok(err, mq_peak_flops(&err, turn % 2 ? MQ_I8 : MQ_F32, &now));
        best[turn % 2] = fmax(best[turn % 2], now);
    }
    if (best[1] < least * best[0])
        fail_msg("%.0f GFLOP/s in 8 bits, %.0f in f32", best[1] / 1e9, best[0] / 1e9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inference), cmocka_unit_test(test_training), cmocka_unit_test(test_xception),
        cmocka_unit_test(test_refusals),  cmocka_unit_test(test_peak),     cmocka_unit_test(test_threads),
        cmocka_unit_test(test_groups),    cmocka_unit_test(test_wide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
