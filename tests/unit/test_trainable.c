/* test_trainable.c: forward and backward passes against loops in double, which are checked by differences
 * themselves; short batches, frozen parts, both kinds of batch statistics, odd sizes. Runs in whatever
 * instruction set ONEDNN_MAX_CPU_ISA leaves. */
#include "unit/nets.h"

#include "base/par.h"
#include "base/rng.h"
#include "net/program.h"
#include "net/seeded.h"
#include "net/trainable.h"
#include "unit/ref_train.h"

#include <stdio.h>

enum { BATCH = 5 };

typedef struct {
    mq_err *err;
    mq_graph *graph;
    const char *block;
    size_t last;
    bool full; /* filters are rounded up to whole blocks of MQ_BLOCK */
} small;

static size_t put(small *s, mq_node node, const char *name, size_t input) {
    node.name = name;
    node.block = s->block;
    if (s->full) node.filters = (node.filters + MQ_BLOCK - 1) / MQ_BLOCK * MQ_BLOCK;
    node.inputs[0] = input;
    node.input_count = node.op == MQ_OP_INPUT ? 0 : node.op == MQ_OP_ADD ? 2 : 1;
    if (node.op == MQ_OP_BATCH_NORM) node.epsilon = 1e-3;
    if (mq_graph_add(s->err, s->graph, &node, &s->last) != MQ_OK) fail_msg("%s", s->err->text);
    return s->last;
}

static small begin(mq_err *err, uint32_t side, size_t channels, bool full) {
    small s = {.err = err, .block = "block1", .full = full};
    if (mq_graph_create(err, &s.graph) != MQ_OK) fail_msg("%s", err->text);
    put(&s, (mq_node){.op = MQ_OP_INPUT, .shape = {side, side, channels}}, "in", 0);
    return s;
}

static const mq_node bn = {.op = MQ_OP_BATCH_NORM}, act = {.op = MQ_OP_RELU},
                     mean = {.op = MQ_OP_GLOBAL_AVG_POOL};

static mq_node conv(size_t filters, size_t kernel, size_t stride, bool same) {
    return (mq_node){.op = MQ_OP_CONV, .filters = filters, .kernel = kernel, .stride = stride, .same = same};
}

static mq_node sepconv(size_t filters) {
    return (mq_node){.op = MQ_OP_SEPCONV, .filters = filters, .kernel = 3, .stride = 1, .same = true};
}

/* Convolutions of every kind in a row, odd channels, a block without batch norm. */
static mq_status row_of(mq_err *err, uint32_t side, bool full, mq_graph **graph) {
    small s = begin(err, side, 5, full);
    put(&s, conv(7, 3, 2, false), "a", s.last);
    put(&s, bn, "a_bn", s.last);
    put(&s, act, "a_act", s.last);
    s.block = "block2";
    put(&s, sepconv(19), "b", s.last);
    put(&s, bn, "b_bn", s.last);
    s.block = "block3";
    put(&s, conv(11, 3, 1, true), "c", s.last);
    put(&s, act, "c_act", s.last);
    put(&s, conv(13, 1, 2, true), "d", s.last);
    put(&s, bn, "d_bn", s.last);
    put(&s, act, "d_act", s.last);
    put(&s, mean, "pool", s.last);
    *graph = s.graph;
    return MQ_OK;
}

/* Xception's two kinds of blocks: one that shrinks around a pool, one that adds to its input. */
static mq_status blocks_of(mq_err *err, uint32_t side, bool full, mq_graph **graph) {
    small s = begin(err, side, 3, full);
    put(&s, conv(8, 3, 2, false), "a", s.last);
    put(&s, bn, "a_bn", s.last);
    const size_t trunk = put(&s, act, "a_act", s.last);
    s.block = "block2";
    put(&s, conv(17, 1, 2, true), "r", trunk);
    const size_t branch = put(&s, bn, "r_bn", s.last);
    put(&s, sepconv(12), "b", trunk);
    put(&s, bn, "b_bn", s.last);
    put(&s, act, "b_act", s.last);
    put(&s, sepconv(17), "c", s.last);
    put(&s, bn, "c_bn", s.last);
    put(&s, (mq_node){.op = MQ_OP_MAX_POOL, .kernel = 3, .stride = 2, .same = true}, "p", s.last);
    const size_t sum = put(&s, (mq_node){.op = MQ_OP_ADD, .inputs = {0, branch}}, "add", s.last);
    s.block = "block3";
    put(&s, act, "d_act", sum);
    put(&s, sepconv(17), "d", s.last);
    put(&s, bn, "d_bn", s.last);
    put(&s, act, "e_act", s.last);
    put(&s, sepconv(17), "e", s.last);
    put(&s, bn, "e_bn", s.last);
    put(&s, (mq_node){.op = MQ_OP_ADD, .inputs = {0, sum}}, "add_1", s.last);
    s.block = "block4";
    put(&s, sepconv(9), "f", s.last);
    put(&s, bn, "f_bn", s.last);
    put(&s, act, "f_act", s.last);
    put(&s, mean, "pool", s.last);
    *graph = s.graph;
    return MQ_OK;
}

/* What no network here does yet but a graph may: ReLU after a sum, a map of a map, tensors read by several.
 */
static mq_status knots_of(mq_err *err, uint32_t side, bool full, mq_graph **graph) {
    small s = begin(err, side, 4, full);
    put(&s, conv(9, 3, 1, true), "a", s.last);
    put(&s, bn, "a_bn", s.last);
    const size_t trunk = put(&s, act, "a_act", s.last);
    s.block = "block2";
    const size_t raw = put(&s, conv(9, 3, 1, true), "b", trunk);
    const size_t b = put(&s, bn, "b_bn", s.last);
    put(&s, (mq_node){.op = MQ_OP_ADD, .inputs = {0, trunk}}, "sum", b);
    const size_t once = put(&s, act, "sum_act", s.last);
    put(&s, (mq_node){.op = MQ_OP_ADD, .inputs = {0, trunk}}, "twice", once);
    put(&s, act, "twice_act", s.last);
    put(&s, act, "again_act", s.last);
    put(&s, (mq_node){.op = MQ_OP_ADD, .inputs = {0, raw}}, "raw_too", s.last);
    s.block = "block3";
    put(&s, (mq_node){.op = MQ_OP_MAX_POOL, .kernel = 2, .stride = 2}, "p", s.last);
    put(&s, bn, "p_bn", s.last);
    put(&s, bn, "q_bn", s.last);
    put(&s, sepconv(13), "c", s.last);
    put(&s, mean, "pool", s.last);
    *graph = s.graph;
    return MQ_OK;
}

/* Each as it is, and with filters that fill blocks, whose tensors may lie otherwise in memory. */
#define NETWORK(name, count, full_count)                                                                     \
    static mq_status name(mq_err *err, uint32_t side, mq_graph **graph) {                                    \
        return name##_of(err, side, false, graph);                                                           \
    }                                                                                                        \
    static mq_status full_##name(mq_err *err, uint32_t side, mq_graph **graph) {                             \
        return name##_of(err, side, true, graph);                                                            \
    }                                                                                                        \
    static const mq_arch name##_arch = {#name, .imgsz_min = 1, .features = count, .build = name},            \
                         full_##name##_arch = {"full_" #name, .imgsz_min = 1, .features = full_count,        \
                                               .build = full_##name};
NETWORK(row, 13, 16)
NETWORK(blocks, 9, 16)
NETWORK(knots, 13, 16)

/* Relative norm of the difference. */
static double distance(const float *a, const double *b, size_t count) {
    double off = 0, all = 0;
    for (size_t i = 0; i < count; i++) {
        off += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        all += b[i] * b[i];
    }
    return sqrt(off / (all > 0 ? all : 1));
}

typedef struct {
    const mq_arch *arch;
    uint32_t side;
    size_t n;
    const char *first, *last;
    bool batch;
    mq_dtype dtype;
    double tolerance, grad_tolerance;
} pass;

/* Node and parameter of a tensor's name in the reference. */
static double *ref_grad(const ref_net *r, const mq_trainable_tensor *t) {
    const mq_node *node = mq_graph_find(r->graph, t->layer);
    const size_t i = mq_graph_index(r->graph, node);
    for (size_t k = 0; k < mq_node_param_count(node); k++)
        if (strcmp(mq_node_param(r->graph, node, k).name, t->param) == 0) return r->grad[i][k];
    return NULL;
}

static void check_grads(const pass *p, const mq_trainable *t, const ref_net *r) {
    mq_trainable_tensor tensor;
    size_t params = 0;
    double off_all = 0, all = 0;
    for (size_t i = 0; mq_trainable_tensor_at(t, false, i, &tensor); i++) {
        const char *block = mq_graph_find(r->graph, tensor.layer)->block;
        if (p->last) assert_true(strcmp(block, p->first) == 0 || strcmp(block, p->last) == 0);
        params += tensor.count;
        const double *want = ref_grad(r, &tensor);
        double size = 0;
        for (size_t k = 0; k < tensor.count; k++) size += want[k] * want[k];
        if (size < 1e-20) continue; /* what batch statistics cancel exactly: only rounding is left of it */
        const double off = distance(mq_trainable_grads(t) + tensor.at, want, tensor.count);
        off_all += off * off * size;
        all += size;
        if (!(off <= p->grad_tolerance) && p->dtype == MQ_F32)
            fail_msg("%s %s: gradient of %s/%s is %.2e from the loops", p->arch->name,
                     mq_dtype_name(p->dtype), tensor.layer, tensor.param, off);
    }
    if (!(sqrt(off_all / all) <= p->grad_tolerance))
        fail_msg("%s %s: the gradient is %.2e from the loops", p->arch->name, mq_dtype_name(p->dtype),
                 sqrt(off_all / all));
    assert_int_equal(params, mq_trainable_count(t));
}

/* The moving statistics after one pass: 0.99 of the old, 0.01 of the batch's. */
static void check_moving(const pass *p, const mq_trainable *t, const ref_net *r) {
    mq_trainable_tensor tensor;
    size_t count = 0;
    for (size_t i = 0; mq_trainable_tensor_at(t, true, i, &tensor); i++) {
        const size_t node = mq_graph_index(r->graph, mq_graph_find(r->graph, tensor.layer));
        const bool mean_wanted = strcmp(tensor.param, "moving_mean") == 0;
        const double *old = r->param[node][mean_wanted ? 2 : 3],
                     *own = mean_wanted ? r->mean[node] : r->variance[node];
        double *want = malloc(tensor.count * sizeof *want);
        for (size_t k = 0; k < tensor.count; k++) want[k] = 0.99 * old[k] + 0.01 * own[k];
        const double off = distance(mq_trainable_moving(t) + tensor.at, want, tensor.count);
        if (!(off <= p->tolerance))
            fail_msg("%s: %s/%s is %.2e off", p->arch->name, tensor.layer, tensor.param, off);
        free(want);
        count += tensor.count;
    }
    assert_true(p->batch == (count > 0));
}

/* The reference with batch statistics only where the plan thaws: frozen norms keep theirs. So a part that is
 * frozen is tested with stored statistics throughout. */
static void run(const pass *p) {
    mq_err err = {0};
    mq_graph *graph = NULL;
    mq_bundle *weights = NULL;
    mq_trainable *t = NULL;
    ref_net r;
    assert_ok(err, p->arch->build(&err, p->side, &graph));
    assert_ok(err, mq_seeded_weights(&err, graph, NETS_SEED, &weights));
    const mq_trainable_plan plan = {.size = sizeof plan,
                                    .arch = p->arch,
                                    .weights = weights,
                                    .prefix = "",
                                    .imgsz = p->side,
                                    .batch = p->n > BATCH ? p->n : BATCH,
                                    .dtype = p->dtype,
                                    .first = p->first,
                                    .last = p->last,
                                    .batch_statistics = p->batch};
    assert_ok(err, mq_trainable_create(&err, &plan, &t));
    ref_open(&r, graph, weights, p->n, p->batch);
    const mq_shape in = mq_trainable_input(t);
    const size_t from = mq_graph_index(graph, mq_graph_find(graph, mq_trainable_boundary(t)));
    const size_t inputs = p->n * in.h * in.w * in.c, outputs = p->n * p->arch->features;
    float *x = draws(1, inputs), *gradient = draws(2, outputs), *features = calloc(outputs, sizeof *features);
    for (size_t i = 0; i < inputs; i++) r.x[from][i] = (double)x[i];
    for (size_t i = 0; i < outputs; i++) r.g[r.nodes - 1][i] = (double)gradient[i];
    ref_forward(&r, from);
    ref_backward(&r);
    pass_slices(t, x, gradient, p->n, features, p->arch->features);
    const double off = distance(features, r.x[r.nodes - 1], outputs);
    if (!(off <= p->tolerance)) fail_msg("%s: features are %.2e from the loops", p->arch->name, off);
    check_grads(p, t, &r);
    check_moving(p, t, &r);
    ref_close(&r);
    mq_trainable_free(&t);
    mq_bundle_free(&weights);
    mq_graph_free(&graph);
    free(x);
    free(gradient);
    free(features);
}

/* ---- the loops themselves ---- */

/* The loss is the sum of features times fixed numbers. */
static double loss_of(ref_net *r, const float *gradient) {
    double loss = 0;
    ref_forward(r, 0);
    for (size_t i = 0; i < r->n * ref_size(r, r->nodes - 1); i++)
        loss += r->x[r->nodes - 1][i] * (double)gradient[i];
    return loss;
}

static void check_differences(const mq_arch *arch, bool batch) {
    mq_err err = {0};
    mq_graph *graph = NULL;
    mq_bundle *weights = NULL;
    ref_net r;
    assert_ok(err, arch->build(&err, 9, &graph));
    assert_ok(err, mq_seeded_weights(&err, graph, NETS_SEED, &weights));
    ref_open(&r, graph, weights, 2, batch);
    float *x = draws(1, 2 * ref_size(&r, 0)), *gradient = draws(2, 2 * arch->features);
    for (size_t i = 0; i < 2 * ref_size(&r, 0); i++) r.x[0][i] = (double)x[i];
    for (size_t i = 0; i < 2 * arch->features; i++) r.g[r.nodes - 1][i] = (double)gradient[i];
    ref_forward(&r, 0);
    ref_backward(&r);
    for (size_t i = 0; i < r.nodes; i++)
        for (size_t k = 0; k < mq_node_param_count(mq_graph_node(graph, i)); k++) {
            if (mq_graph_node(graph, i)->op == MQ_OP_BATCH_NORM && k >= 2) continue;
            const double step = 1e-6, kept = r.param[i][k][0];
            r.param[i][k][0] = kept + step;
            const double above = loss_of(&r, gradient);
            r.param[i][k][0] = kept - step;
            const double below = loss_of(&r, gradient);
            r.param[i][k][0] = kept;
            const double want = (above - below) / (2 * step), have = r.grad[i][k][0];
            if (!(fabs(want - have) <= 1e-5 * (fabs(want) + 1e-2)))
                fail_msg("%s: the loops' gradient of %s is %.8g, differences say %.8g", arch->name,
                         mq_graph_node(graph, i)->name, have, want);
        }
    ref_close(&r);
    mq_bundle_free(&weights);
    mq_graph_free(&graph);
    free(x);
    free(gradient);
}

static void test_loops(void **state) {
    (void)state;
    const mq_arch *const all[] = {&row_arch, &blocks_arch, &knots_arch};
    for (size_t i = 0; i < 3; i++) {
        check_differences(all[i], true);
        check_differences(all[i], false);
    }
}

/* ---- trainables ---- */

static void test_small(void **state) {
    (void)state;
    const mq_arch *const all[] = {&row_arch,      &blocks_arch,      &knots_arch,
                                  &full_row_arch, &full_blocks_arch, &full_knots_arch};
    for (size_t i = 0; i < 6; i++)
        for (uint32_t side = 9; side <= 20; side += 11)
            for (size_t n = 1; n <= BATCH; n += 2)
                for (int batch = 0; batch < 2;
                     batch++) /* of two batch norms in a row one cancels the other's scale */
                    run(&(pass){all[i], side, n, NULL, NULL, batch, MQ_F32, 1e-5,
                                batch && i % 3 == 2 ? 1e-3 : 1e-5});
}

static void test_parts(void **state) {
    (void)state;
    run(&(pass){&blocks_arch, 17, 11, NULL, NULL, true, MQ_F32, 1e-5, 1e-5});
    run(&(pass){&blocks_arch, 17, 5, "block2", NULL, true, MQ_F32, 1e-5, 1e-5});
    run(&(pass){&blocks_arch, 17, 5, "block3", NULL, true, MQ_F32, 1e-5, 1e-5});
    run(&(pass){&blocks_arch, 17, 4, "block4", NULL, true, MQ_F32, 1e-5, 1e-5});
    run(&(pass){&full_blocks_arch, 17, 5, "block3", NULL, true, MQ_F32, 1e-5, 1e-5});
    run(&(pass){&full_blocks_arch, 17, 11, NULL, NULL, false, MQ_F32, 1e-5, 1e-5});
    run(&(pass){&full_blocks_arch, 17, 5, "block1", "block2", false, MQ_F32, 1e-5, 1e-5});
    run(&(pass){&blocks_arch, 17, 4, "block3", "block3", false, MQ_F32, 1e-5, 1e-5});
    run(&(pass){&blocks_arch, 17, 5, "block1", "block2", false, MQ_F32, 1e-5, 1e-5});
    run(&(pass){&row_arch, 17, 5, "block2", "block2", false, MQ_F32, 1e-5, 1e-5});
}

static void test_xception(void **state) {
    (void)state;
    run(&(pass){&quarter_arch, 71, 4, NULL, NULL, true, MQ_F32, 1e-5, 1e-3});
    run(&(pass){&quarter_arch, 71, 2, "block5", "block5", false, MQ_F32, 1e-5, 1e-4});
    run(&(pass){&quarter_arch, 71, 3, "block13", NULL, true, MQ_F32, 1e-5, 1e-4});
}

static mq_trainable *open_blocks(const mq_bundle *weights, mq_dtype dtype, bool batch) {
    mq_err err = {0};
    mq_trainable *t = NULL;
    const mq_trainable_plan plan = {.size = sizeof plan,
                                    .arch = &blocks_arch,
                                    .weights = weights,
                                    .prefix = "",
                                    .imgsz = 20,
                                    .batch = 19,
                                    .dtype = dtype,
                                    .first = "block2",
                                    .batch_statistics = batch};
    assert_ok(err, mq_trainable_create(&err, &plan, &t));
    return t;
}

static size_t moving_count(const mq_trainable *t) {
    mq_trainable_tensor tensor;
    size_t count = 0;
    for (size_t i = 0; mq_trainable_tensor_at(t, true, i, &tensor); i++) count += tensor.count;
    return count;
}

/* Full and short batches: the same bytes with one thread and with five. */
static void check_threads(mq_dtype dtype, bool batch) {
    enum { N = 19 };
    mq_err err = {0};
    mq_bundle *weights = seeded(&blocks_arch, 20);
    mq_trainable *t[2];
    float *features[2];
    for (int i = 0; i < 2; i++) {
        mq_par_set_threads(i ? 5 : 1);
        t[i] = open_blocks(weights, dtype, batch);
        const mq_shape s = mq_trainable_input(t[i]);
        float *x = draws(1, N * s.h * s.w * s.c), *gradient = draws(2, N * 9);
        features[i] = calloc(N * 9, sizeof(float));
        for (int step = 0; step < 2; step++) {
            pass_slices(t[i], x, gradient, step ? N : N - 4, features[i], 9);
            for (size_t k = 0; k < mq_trainable_count(t[i]); k++)
                mq_trainable_params(t[i])[k] -= 1e-3f * mq_trainable_grads(t[i])[k];
            assert_ok(err, mq_trainable_changed(&err, t[i]));
        }
        free(x);
        free(gradient);
    }
    mq_par_set_threads(0);
    assert_memory_equal(features[0], features[1], N * 9 * sizeof(float));
    assert_memory_equal(mq_trainable_params(t[0]), mq_trainable_params(t[1]),
                        mq_trainable_count(t[0]) * sizeof(float));
    assert_memory_equal(mq_trainable_moving(t[0]), mq_trainable_moving(t[1]),
                        moving_count(t[0]) * sizeof(float));
    for (int i = 0; i < 2; i++) {
        mq_trainable_free(&t[i]);
        free(features[i]);
    }
    mq_bundle_free(&weights);
}

/* Slices give what single pictures add up to. */
static void check_slices(mq_trainable *t, size_t width) {
    enum { N = 19 };
    const mq_shape s = mq_trainable_input(t);
    const size_t count = mq_trainable_count(t), in = s.h * s.w * s.c;
    float *x = draws(1, N * in), *gradient = draws(2, N * width);
    float *each = calloc(N * width, sizeof *each), *features = calloc(N * width, sizeof *features);
    double *sums = calloc(count, sizeof *sums), off = 0, all = 0;
    for (size_t i = 0; i < N; i++) {
        pass_slices(t, x + i * in, gradient + i * width, 1, each + i * width, width);
        for (size_t k = 0; k < count; k++) sums[k] += (double)mq_trainable_grads(t)[k];
    }
    pass_slices(t, x, gradient, N, features, width);
    assert_memory_equal(each, features, N * width * sizeof *features);
    for (size_t k = 0; k < count; k++) {
        off += pow((double)mq_trainable_grads(t)[k] - sums[k], 2);
        all += pow(sums[k], 2);
    }
    assert_true(all > 0 && sqrt(off / all) < 1e-6);
    free(x), free(gradient), free(each), free(features), free(sums);
}

/* With stored statistics the passes take slices; with those of the batch it stays whole. */
static void test_slices(void **state) {
    (void)state;
    enum { SLICE = 8 };
    mq_err err = {0};
    mq_bundle *weights = seeded(&blocks_arch, 20), *quarter = seeded(&quarter_arch, 75);
    mq_trainable *t = open_blocks(weights, MQ_F32, false), *whole = open_blocks(weights, MQ_F32, true),
                 *wide = NULL;
    const mq_shape s = mq_trainable_input(t);
    float *x = draws(1, (SLICE + 1) * s.h * s.w * s.c), features[(SLICE + 1) * 9];
    assert_int_equal(mq_trainable_rows(t), SLICE);
    assert_int_equal(mq_trainable_rows(whole), 19);
    assert_int_equal(mq_trainable_forward(&err, t, x, SLICE + 1, features), MQ_INTERNAL);
    check_slices(t, 9);
    const mq_trainable_plan plan = {.size = sizeof plan, /* its gradients are larger than its tensors */
                                    .arch = &quarter_arch,
                                    .weights = quarter,
                                    .prefix = "",
                                    .imgsz = 75,
                                    .batch = 19,
                                    .dtype = MQ_F32,
                                    .first = "block13"};
    err = (mq_err){0};
    assert_ok(err, mq_trainable_create(&err, &plan, &wide));
    check_slices(wide, 512);
    mq_trainable_free(&t), mq_trainable_free(&whole), mq_trainable_free(&wide);
    mq_bundle_free(&weights), mq_bundle_free(&quarter);
    free(x);
}

/* Parameters changed in place count as those a trainable is made with. */
static void test_changed(void **state) {
    (void)state;
    mq_err err = {0};
    mq_bundle *weights = seeded(&blocks_arch, 20);
    mq_trainable *t = open_blocks(weights, MQ_F32, false), *other = NULL;
    const mq_shape s = mq_trainable_input(t);
    float *x = draws(1, s.h * s.w * s.c), features[3][9];
    mq_trainable_tensor tensor;
    assert_ok(err, mq_trainable_forward(&err, t, x, 1, features[0]));
    for (size_t i = 0; mq_trainable_tensor_at(t, false, i, &tensor); i++) {
        char name[64];
        snprintf(name, sizeof name, "%s/%s", tensor.layer, tensor.param);
        float *own = mq_trainable_params(t) + tensor.at, *file = mq_bundle_data(weights, name);
        for (size_t k = 0; k < tensor.count; k++) own[k] = file[k] = own[k] * 1.25f;
    }
    assert_ok(err, mq_trainable_changed(&err, t));
    assert_ok(err, mq_trainable_forward(&err, t, x, 1, features[1]));
    other = open_blocks(weights, MQ_F32, false);
    assert_ok(err, mq_trainable_forward(&err, other, x, 1, features[2]));
    assert_memory_equal(features[1], features[2], sizeof features[1]);
    assert_true(memcmp(features[0], features[1], sizeof features[0]) != 0);
    mq_trainable_free(&t);
    mq_trainable_free(&other);
    mq_bundle_free(&weights);
    free(x);
}

static void test_threads(void **state) {
    (void)state;
    check_threads(MQ_F32, true);
    check_threads(MQ_F32, false);
    if (mq_dtype_auto() == MQ_BF16) check_threads(MQ_BF16, true);
}

/* The first layer whose numbers are broken, on the way there and back. */
static void test_bad_layer(void **state) {
    (void)state;
    mq_err err = {0};
    mq_bundle *weights = seeded(&blocks_arch, 20);
    mq_trainable *t = open_blocks(weights, MQ_F32, true);
    const mq_shape s = mq_trainable_input(t);
    float *x = draws(1, 2 * s.h * s.w * s.c), *gradient = draws(2, 2 * 9), features[2 * 9];
    assert_ok(err, mq_trainable_forward(&err, t, x, 2, features));
    assert_ok(err, mq_trainable_backward(&err, t, gradient, false));
    assert_null(mq_trainable_bad_layer(t));
    mq_trainable_tensor variance;
    assert_true(mq_trainable_tensor_at(t, true, 1, &variance)); /* of use alone: no forward pass meets it */
    float *const moving = mq_trainable_moving(t) + variance.at, kept = *moving;
    assert_true(mq_trainable_statistics_finite(t));
    *moving = INFINITY;
    assert_false(mq_trainable_statistics_finite(t));
    assert_string_equal(mq_trainable_bad_layer(t), variance.layer);
    *moving = kept;
    for (size_t i = 0; i < 2 * 9; i++) gradient[i] = INFINITY; /* some of it passes the ReLU */
    assert_ok(err, mq_trainable_backward(&err, t, gradient, false));
    assert_string_equal(mq_trainable_bad_layer(t), "f_bn"); /* the first one on the way back */
    x[5] = NAN;
    assert_ok(err, mq_trainable_forward(&err, t, x, 2, features));
    const char *layer = mq_trainable_bad_layer(t);
    assert_true(strcmp(layer, "r_bn") == 0 ||
                strcmp(layer, "b_bn") == 0); /* the first ones on the way there */
    mq_trainable_tensor tensor;
    for (size_t i = 0; mq_trainable_tensor_at(t, false, i, &tensor); i++)
        if (strcmp(tensor.layer, "c") == 0) mq_trainable_params(t)[tensor.at] = NAN;
    assert_string_equal(mq_trainable_bad_layer(t), "c");
    mq_trainable_free(&t);
    mq_bundle_free(&weights);
    free(x);
    free(gradient);
}

static void test_description(void **state) {
    (void)state;
    mq_err err = {0};
    mq_bundle *weights = seeded(&blocks_arch, 20);
    mq_trainable *t = open_blocks(weights, MQ_F32, true);
    mq_buf text = mq_buf_init(1 << 20);
    assert_ok(err, mq_trainable_describe(&err, t, &text));
    assert_non_null(strstr((const char *)text.data, "training from a_act on"));
    assert_non_null(strstr((const char *)text.data, "batch 19, "));
    assert_non_null(strstr((const char *)text.data, "by weights"));
    mq_buf_free(&text);
    mq_trainable_free(&t);
    mq_bundle_free(&weights);
}

static void test_refusals(void **state) {
    (void)state;
    mq_err err = {0}, other = {0};
    mq_bundle *weights = seeded(&blocks_arch, 20);
    mq_trainable *t = NULL;
    mq_trainable_plan plan = {.size = sizeof plan,
                              .arch = &blocks_arch,
                              .weights = weights,
                              .prefix = "",
                              .imgsz = 20,
                              .batch = 2,
                              .first = "block9"};
    assert_int_equal(mq_trainable_create(&err, &plan, &t), MQ_USAGE);
    assert_non_null(strstr(err.text, "block1 to block4"));
    plan.first = "block2";
    plan.prefix = "nowhere/";
    assert_int_equal(mq_trainable_create(&other, &plan, &t), MQ_BAD_DATA);
    mq_bundle_free(&weights);
}

static void test_bf16(void **state) {
    (void)state;
    if (mq_dtype_auto() != MQ_BF16) skip();
    run(&(pass){&blocks_arch, 20, 5, NULL, NULL, true, MQ_BF16, 2e-2, 2e-1});
    run(&(pass){&blocks_arch, 20, 5, NULL, NULL, false, MQ_BF16, 2e-2, 2e-1});
    run(&(pass){&row_arch, 20, 3, NULL, NULL, true, MQ_BF16, 2e-2, 2e-1});
    for (int batch = 0; batch < 2; batch++) { /* 3 x 3 pixels at the end: an odd number */
        run(&(pass){&full_blocks_arch, 13, 5, NULL, NULL, batch, MQ_BF16, 2e-2, 2e-1});
        run(&(pass){&full_blocks_arch, 20, 3, NULL, NULL, batch, MQ_BF16, 2e-2, 2e-1});
    }
}

int main(void) {
    mq_par_set_threads(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loops),       cmocka_unit_test(test_small),    cmocka_unit_test(test_parts),
        cmocka_unit_test(test_xception),    cmocka_unit_test(test_bf16),     cmocka_unit_test(test_threads),
        cmocka_unit_test(test_slices),      cmocka_unit_test(test_changed),  cmocka_unit_test(test_bad_layer),
        cmocka_unit_test(test_description), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
