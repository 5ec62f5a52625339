/* test_golden_training.c: gradients of the quarter-width Xception against Keras' golden figures in float64:
 * f32 at most three times as far as Keras f32, bf16 at most one and a half times as far as mixed_bfloat16. */
#include "unit/nets.h"

#include "base/par.h"
#include "base/rng.h"
#include "golden/training.h"
#include "net/program.h"
#include "net/seeded.h"
#include "net/trainable.h"

#include <math.h>
#include <string.h>

/* With these pictures no ReLU flips, so f32 is 1e-6 from float64 here as in Keras (a flip gives 1e-3). */
static const double FLOOR = 1e-4;

/* Layer and parameter of the tensor with this number in network order. */
static void find_tensor(const mq_graph *graph, size_t number, const char **layer, const char **param) {
    for (size_t i = 0; i < mq_graph_size(graph); i++) {
        const mq_node *node = mq_graph_node(graph, i);
        for (size_t k = 0; k < mq_node_param_count(node); k++)
            if (number-- == 0) {
                *layer = node->name;
                *param = mq_node_param(graph, node, k).name;
                return;
            }
    }
    fail_msg("no tensor of that number");
}

static const float *find_gradient(const mq_trainable *t, const char *layer, const char *param,
                                  size_t *count) {
    mq_trainable_tensor tensor;
    for (size_t i = 0; mq_trainable_tensor_at(t, false, i, &tensor); i++)
        if (strcmp(tensor.layer, layer) == 0 && strcmp(tensor.param, param) == 0) {
            *count = tensor.count;
            return mq_trainable_grads(t) + tensor.at;
        }
    fail_msg("no gradient of %s/%s", layer, param);
    return NULL;
}

/* Distance from 16 random projections: their mean square is the square of the norm. */
static double distance(const golden_gradient *row, const float *g, size_t count) {
    double sums[GOLDEN_PROJECTIONS] = {0}, error = 0;
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = mq_rng_u32(GOLDEN_SEED, MQ_RNG_TEST, 1, i);
        for (size_t j = 0; j < GOLDEN_PROJECTIONS; j++)
            sums[j] += bits >> j & 1 ? (double)g[i] : -(double)g[i];
    }
    for (size_t j = 0; j < GOLDEN_PROJECTIONS; j++)
        error += (sums[j] - row->f64[j]) * (sums[j] - row->f64[j]);
    return sqrt(error / GOLDEN_PROJECTIONS);
}

static void check_gradients(const golden_pass *p, const mq_trainable *t, const mq_graph *graph,
                            mq_dtype dtype) {
    double off = 0, all = 0;
    for (size_t i = 0; i < p->count; i++) {
        const golden_gradient *row = &p->rows[i];
        const char *layer = "", *param = "";
        size_t count = 0;
        find_tensor(graph, row->tensor, &layer, &param);
        const float *g = find_gradient(t, layer, param, &count);
        const double d = distance(row, g, count);
        off += d * d;
        all += row->norm * row->norm;
        if (dtype == MQ_F32 && !(d / row->norm <= 3 * row->f32_error + FLOOR))
            fail_msg("gradient of %s/%s: %.2e from Keras in float64, Keras f32 %.2e", layer, param,
                     d / row->norm, row->f32_error);
    }
    if (dtype == MQ_BF16 && !(sqrt(off / all) <= 1.5 * p->mixed_error))
        fail_msg("bf16: the gradient is %.2e from Keras in float64, mixed_bfloat16 %.2e", sqrt(off / all),
                 p->mixed_error);
}

/* The tensor below the thawed block, in f32; frees the pixels. */
static float *boundary(const golden_pass *p, const mq_bundle *weights, const mq_trainable *t, float *pixels) {
    mq_err err = {0};
    mq_program *program = NULL;
    const mq_shape s = mq_trainable_input(t);
    const mq_program_plan plan = {.size = sizeof plan,
                                  .arch = &quarter_arch,
                                  .weights = weights,
                                  .prefix = "",
                                  .imgsz = p->side,
                                  .batch = p->pictures,
                                  .dtype = MQ_F32,
                                  .output = mq_trainable_boundary(t)};
    float *x = malloc(p->pictures * s.h * s.w * s.c * sizeof *x);
    assert_non_null(x);
    assert_ok(err, mq_program_create(&err, &plan, &program));
    assert_ok(err, mq_program_run(&err, program, pixels, p->pictures, x));
    mq_program_free(&program);
    free(pixels);
    return x;
}

static void check_pass(const golden_pass *p, mq_dtype dtype) {
    mq_err err = {0};
    mq_graph *graph = NULL;
    mq_bundle *weights = NULL;
    mq_trainable *t = NULL;
    assert_ok(err, build_quarter(&err, p->side, &graph));
    assert_ok(err, mq_seeded_weights(&err, graph, GOLDEN_SEED, &weights));
    const mq_trainable_plan plan = {.size = sizeof plan,
                                    .arch = &quarter_arch,
                                    .weights = weights,
                                    .prefix = "",
                                    .imgsz = p->side,
                                    .batch = p->pictures,
                                    .dtype = dtype,
                                    .first = p->block,
                                    .last = p->block,
                                    .batch_statistics = p->batch};
    assert_ok(err, mq_trainable_create(&err, &plan, &t));
    float *x = draws(0, p->pictures * p->side * p->side * 3), *gradient = draws(2, p->pictures * 512);
    float *features = calloc(p->pictures * 512, sizeof *features);
    if (p->block) x = boundary(p, weights, t, x);
    pass_slices(t, x, gradient, p->pictures, features, 512);
    check_gradients(p, t, graph, dtype);
    mq_trainable_free(&t);
    mq_bundle_free(&weights);
    mq_graph_free(&graph);
    free(x);
    free(gradient);
    free(features);
}

static void test_f32(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof golden_passes / sizeof *golden_passes; i++)
        check_pass(&golden_passes[i], MQ_F32);
}

static void test_bf16(void **state) {
    (void)state;
    if (mq_dtype_auto() != MQ_BF16) skip();
    for (size_t i = 0; i < sizeof golden_passes / sizeof *golden_passes; i++)
        check_pass(&golden_passes[i], MQ_BF16);
}

int main(void) {
    mq_par_set_threads(0);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_f32), cmocka_unit_test(test_bf16)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
