/* test_winograd.c: 3 x 3 convolutions by a quarter of the products, in the instruction set that
 * ONEDNN_MAX_CPU_ISA leaves, against sums of doubles: forward, by data and by weights, sides that tiles do
 * not fill, padding, channels in blocks and last, any number of parts; and as kernels of dnn.h. */
#include "unit/unit.h"

#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "net/dnn.h"
#include "net/keras_order.h"
#include "net/winograd.h"

#include <stdlib.h>
#include <string.h>

enum { TAPS = 9, GAP = 5 };

/* A tensor of one picture. */
typedef struct {
    float *x;
    size_t h, w, c, lanes; /* channels that lie together */
} tensor;

static size_t size_of(const tensor *t) {
    return t->h * t->w * t->c;
}

static float *at(const tensor *t, size_t y, size_t x, size_t c) {
    return t->x + ((c / t->lanes * t->h + y) * t->w + x) * t->lanes + c % t->lanes;
}

/* Numbers in [-1, 1), or all NaN, and NaN behind the end. */
static float *numbers(size_t count, uint32_t stream) {
    float *x = malloc((count + GAP) * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < count + GAP; i++)
        x[i] = stream && i < count ? 2 * mq_rng_unit(5, MQ_RNG_TEST, stream, i) - 1 : NAN;
    return x;
}

static tensor tensor_of(size_t h, size_t w, size_t c, bool last, uint32_t stream) {
    return (tensor){numbers(h * w * c, stream), h, w, c, last ? c : mq_winograd_lanes()};
}

/* in lanes: channels of the source and of the result. */
typedef struct {
    size_t h, w, c, filters;
    size_t top, left, bottom, right;
} shape;

static const shape shapes[] = {
    {47, 47, 1, 2, 0, 0, 0, 0}, {48, 49, 2, 2, 1, 1, 1, 1}, {44, 61, 2, 4, 0, 1, 1, 0},
    {50, 43, 4, 2, 1, 0, 0, 2}, {46, 58, 3, 2, 2, 2, 0, 1},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static mq_window window_of(const shape *s, bool back) {
    const size_t lanes = mq_winograd_lanes();
    return (mq_window){.n = 1,
                       .h = s->h,
                       .w = s->w,
                       .c = (back ? s->filters : s->c) * lanes,
                       .out_h = s->h + s->top + s->bottom - 2,
                       .out_w = s->w + s->left + s->right - 2,
                       .kernel = 3,
                       .stride = 1,
                       .top = s->top,
                       .left = s->left,
                       .bottom = s->bottom,
                       .right = s->right};
}

/* Calls visit for each pixel of the result and pixel of the source that its window sees by a tap. */
typedef void (*pair_fn)(void *user, size_t tap, const size_t source[2], const size_t result[2]);
static void each_pair(const mq_window *w, pair_fn visit, void *user) {
    for (size_t y = 0; y < w->out_h; y++)
        for (size_t x = 0; x < w->out_w; x++)
            for (size_t tap = 0; tap < TAPS; tap++) {
                const size_t sy = y + tap / 3 - w->top, sx = x + tap % 3 - w->left; /* may wrap */
                if (sy < w->h && sx < w->w)
                    visit(user, tap, (const size_t[]){sy, sx}, (const size_t[]){y, x});
            }
}

/* All three products in double, and the sizes of their terms. */
typedef struct {
    const tensor *source, *result; /* what is read, or a gradient */
    const float *weights;          /* [tap][c][filters] */
    double *sum, *size;            /* [h][w][channels], or as the weights */
    enum { FORWARD, BY_DATA, BY_WEIGHTS } what;
} reference;

static void add(reference *r, size_t i, double a, double b) {
    r->sum[i] += a * b;
    r->size[i] += fabs(a * b);
}

static void add_pair(void *user, size_t tap, const size_t s[2], const size_t o[2]) {
    reference *const r = user;
    const size_t in = r->source->c, filters = r->result->c;
    for (size_t c = 0; c < in; c++)
        for (size_t f = 0; f < filters; f++) {
            const size_t weight = (tap * in + c) * filters + f;
            if (r->what == FORWARD)
                add(r, (o[0] * r->result->w + o[1]) * filters + f, (double)*at(r->source, s[0], s[1], c),
                    (double)r->weights[weight]);
            else if (r->what == BY_DATA)
                add(r, (s[0] * r->source->w + s[1]) * in + c, (double)*at(r->result, o[0], o[1], f),
                    (double)r->weights[weight]);
            else
                add(r, weight, (double)*at(r->source, s[0], s[1], c), (double)*at(r->result, o[0], o[1], f));
        }
}

static double largest(const double *x, size_t count) {
    double most = 0;
    for (size_t i = 0; i < count; i++) most = fmax(most, x[i]);
    return most;
}

static void find(reference *r, const mq_window *w, size_t count) {
    r->sum = calloc(count, sizeof *r->sum);
    r->size = calloc(count, sizeof *r->size);
    assert_non_null(r->sum);
    assert_non_null(r->size);
    each_pair(w, add_pair, r);
}

/* size: of the terms of this number, or of one with as many as any; errors of a tile's pixels are shared. */
static void assert_near(double got, double want, double size) {
    if (!(fabs(got - want) <= 6e-7 * size + 1e-30)) fail_msg("%g instead of %g", got, want);
}

/* The weights as winograd.h wants them for the way back: filters and inputs exchanged. */
static float *exchanged(const float *weights, size_t c, size_t filters) {
    float *x = numbers(TAPS * c * filters, 0);
    for (size_t i = 0; i < TAPS * c * filters; i++) {
        const size_t tap = i / (c * filters), in = i / filters % c, f = i % filters;
        x[(tap * filters + f) * c + in] = weights[i];
    }
    return x;
}

static void run(const mq_winograd *w, const tensor *read, const float *bias, const float *weights,
                tensor *written) {
    const size_t room = mq_winograd_scratch(w);
    void *scratch = aligned_alloc(64, (room + 63) / 64 * 64);
    assert_non_null(scratch);
    memset(scratch, 0xFF, room);
    for (size_t c = 0; c < read->c; c += 3)
        mq_winograd_weigh(w, c, c + 3 < read->c ? c + 3 : read->c, weights, scratch);
    for (size_t part = w->parts; part-- > 0;) mq_winograd_run(w, part, read->x, bias, written->x, scratch);
    free(scratch);
    assert_true(isnan(written->x[size_of(written)]));
}

static void check(const shape *s, bool back, bool last) {
    const mq_window window = window_of(s, back);
    const size_t lanes = mq_winograd_lanes(), c = window.c, filters = (back ? s->c : s->filters) * lanes;
    mq_winograd w = {window, filters, back, last, false, 1};
    tensor source = tensor_of(s->h, s->w, c, last, back ? 0 : 1),
           result = tensor_of(window.out_h, window.out_w, filters, last, back ? 2 : 0);
    float *weights = numbers(TAPS * c * filters, 3), *turned = exchanged(weights, c, filters),
          *bias = numbers(filters, 4);
    tensor *const read = back ? &result : &source, *const written = back ? &source : &result;
    reference r = {&source, &result, weights, NULL, NULL, back ? BY_DATA : FORWARD};
    assert_true(mq_winograd_suits(&w));
    find(&r, &window, size_of(written));
    const double size = largest(r.size, size_of(written));
    run(&w, read, NULL, back ? turned : weights, written);
    for (size_t i = 0; i < size_of(written); i++)
        assert_near(
            (double)*at(written, i / written->c / written->w, i / written->c % written->w, i % written->c),
            r.sum[i], size);
    tensor again = tensor_of(written->h, written->w, written->c, last, 0);
    for (w.parts = 2; w.parts < 8; w.parts += 3) {
        run(&w, read, NULL, back ? turned : weights, &again);
        assert_memory_equal(again.x, written->x, size_of(written) * sizeof *again.x);
    }
    w.relu = true;
    if (!back) {
        run(&w, read, bias, weights, &again);
        for (size_t i = 0; i < size_of(written); i++) {
            const size_t f = i % filters, y = i / filters / written->w, x = i / filters % written->w;
            const float sum = *at(written, y, x, f) + bias[f];
            assert_true(*at(&again, y, x, f) == (sum > 0 ? sum : 0));
        }
    }
    free(source.x), free(result.x), free(again.x), free(weights), free(turned), free(bias);
    free(r.sum), free(r.size);
}

static void test_passes(void **state) {
    (void)state;
    if (!mq_winograd_lanes()) skip();
    for (size_t i = 0; i < 4 * SHAPES; i++) check(&shapes[i / 4], i & 1, i & 2);
}

/* One picture, multiplied filter by filter, then two, whose parts are added, then two that are added to what
 * was there. */
static void test_outer(void **state) {
    (void)state;
    if (!mq_winograd_lanes()) skip();
    for (size_t i = 0; i < SHAPES; i++) {
        const mq_window window = window_of(&shapes[i], false);
        const size_t filters = shapes[i].filters * mq_winograd_lanes(), count = TAPS * window.c * filters;
        if (!mq_winograd_outer_suits(&window, filters)) continue;
        tensor source = tensor_of(window.h, window.w, window.c, false, 5),
               result = tensor_of(window.out_h, window.out_w, filters, false, 6);
        float *sum = numbers(count, 0), *first = numbers(count, 0), *scale = numbers(filters, 7);
        void *scratch = aligned_alloc(64, (mq_winograd_outer_scratch(&window, filters) + 63) / 64 * 64);
        reference r = {&source, &result, NULL, NULL, NULL, BY_WEIGHTS};
        mq_outer outer = {.window = window,
                          .filters = filters,
                          .source = (const uint8_t *)source.x,
                          .gradient = (const uint8_t *)result.x,
                          .sum = sum,
                          .scale = scale,
                          .scratch = scratch};
        find(&r, &window, count);
        mq_winograd_outer(&outer);
        for (size_t k = 0; k < count; k++)
            assert_near((double)sum[k], r.sum[k] * (double)scale[k % filters], r.size[k]);
        outer.window.n = 2; /* the same picture twice */
        outer.scale = NULL;
        mq_winograd_outer(&outer);
        for (size_t k = 0; k < count; k++) assert_near((double)sum[k], 2 * r.sum[k], 2 * r.size[k]);
        memcpy(first, sum, count * sizeof *sum);
        outer.add = true;
        mq_winograd_outer(&outer);
        for (size_t k = 0; k < count; k++) assert_near((double)sum[k], 2 * (double)first[k], 4 * r.size[k]);
        assert_true(isnan(sum[count]));
        free(source.x), free(result.x), free(sum), free(first), free(scale), free(scratch);
        free(r.sum), free(r.size);
    }
}

/* Runs the plan's kernel on the weights as Keras keeps them, and other tensors in their places. */
static void run_kernel(const mq_conv_plan *plan, const float *weights, float *const places[MQ_SLOTS]) {
    mq_err err = {0};
    mq_dnn *dnn = NULL;
    mq_kernel *kernel = NULL;
    mq_call *call = NULL;
    const mq_param_shape param = {.rank = 4, .shape = {3, 3, plan->window.c, plan->filters}};
    assert_ok(err, mq_dnn_create(&err, &dnn));
    assert_ok(err, mq_kernel_conv(&err, dnn, plan, &kernel));
    assert_string_equal(mq_kernel_name(kernel), "winograd");
    const mq_layout *laid = mq_kernel_layout(kernel, MQ_SLOT_WEIGHTS);
    float *own = numbers(mq_layout_bytes(laid) / sizeof *own, 0);
    void *scratch = aligned_alloc(64,
                                  mq_layout_bytes(mq_kernel_layout(kernel, MQ_SLOT_SCRATCH)) / 64 * 64 + 64);
    const mq_keras_weights keras = {.param = &param, .values = weights, .dtype = MQ_F32};
    assert_ok(err, mq_keras_lay_out(&err, dnn, &keras, kernel, own));
    assert_ok(err, mq_call_create(&err, dnn, kernel, &call));
    for (mq_slot slot = 0; slot < MQ_SLOTS; slot++) {
        const void *place = slot == MQ_SLOT_WEIGHTS ? own : slot == MQ_SLOT_SCRATCH ? scratch : places[slot];
        if (mq_kernel_layout(kernel, slot)) assert_ok(err, mq_call_bind(&err, call, slot, place));
    }
    assert_ok(err, mq_call_run(&err, dnn, call));
    mq_call_free(&call);
    mq_kernel_free(&kernel);
    mq_dnn_free(&dnn);
    free(own), free(scratch);
}

/* The same bytes by one thread and by several as by winograd.h itself. */
static void test_kernels(void **state) {
    (void)state;
    if (!mq_winograd_lanes()) skip();
    const int threads = mq_par_threads();
    for (size_t i = 0; i < 8; i++) {
        const bool back = i & 1, last = i & 2;
        mq_err err = {0};
        const mq_window window = window_of(&shapes[1], back);
        const size_t lanes = mq_winograd_lanes(), filters = 2 * lanes, c = window.c;
        const mq_winograd w = {window, filters, back, last, !back, 1};
        tensor source = tensor_of(window.h, window.w, c, last, back ? 0 : 1),
               result = tensor_of(window.out_h, window.out_w, filters, last, back ? 2 : 0);
        float *weights = numbers(TAPS * c * filters, 3), *turned = exchanged(weights, c, filters),
              *bias = numbers(filters, 4);
        tensor *const read = back ? &result : &source, *const written = back ? &source : &result,
                      want = tensor_of(written->h, written->w, written->c, last, 0);
        run(&w, read, back ? NULL : bias, back ? turned : weights, &want);
        mq_layout *from = NULL, *to = NULL;
        const size_t in[] = {1, window.h, window.w, c}, out[] = {1, window.out_h, window.out_w, filters};
        assert_ok(err, mq_layout_blocks(&err, MQ_F32, in, last ? c : lanes, &from));
        assert_ok(err, mq_layout_blocks(&err, MQ_F32, out, last ? filters : lanes, &to));
        const mq_conv_plan plan = {.pass = back ? MQ_BACKWARD_DATA : MQ_FORWARD,
                                   .window = window,
                                   .filters = filters,
                                   .bias = !back,
                                   .relu = !back,
                                   .dtype = MQ_F32,
                                   .src = from,
                                   .dst = to};
        mq_par_set_threads(i & 4 ? 3 : 1);
        run_kernel(&plan, weights,
                   (float *const[MQ_SLOTS]){
                       [MQ_SLOT_SRC] = source.x, [MQ_SLOT_BIAS] = bias, [MQ_SLOT_DST] = result.x});
        mq_par_set_threads(threads);
        assert_memory_equal(written->x, want.x, size_of(written) * sizeof *want.x);
        mq_layout_free(&from);
        mq_layout_free(&to);
        free(source.x), free(result.x), free(want.x), free(weights), free(turned), free(bias);
    }
}

static bool is_winograd(const mq_conv_plan *plan) {
    mq_err err = {0};
    mq_dnn *dnn = NULL;
    mq_kernel *kernel = NULL;
    assert_ok(err, mq_dnn_create(&err, &dnn));
    assert_ok(err, mq_kernel_conv(&err, dnn, plan, &kernel));
    const bool is = strcmp(mq_kernel_name(kernel), "winograd") == 0;
    mq_kernel_free(&kernel);
    mq_dnn_free(&dnn);
    return is;
}

/* Sums, and a result that lies otherwise than the source, are oneDNN's. */
static void test_plans(void **state) {
    (void)state;
    if (!mq_winograd_lanes()) skip();
    mq_err err = {0};
    const mq_window w = window_of(&shapes[1], false);
    const size_t lanes = mq_winograd_lanes(), filters = 2 * lanes;
    mq_layout *from = NULL, *to = NULL;
    assert_ok(err, mq_layout_blocks(&err, MQ_F32, (const size_t[]){1, w.h, w.w, w.c}, lanes, &from));
    assert_ok(err, mq_layout_nhwc(&err, MQ_F32, (const size_t[]){1, w.out_h, w.out_w, filters}, &to));
    mq_conv_plan plan = {.window = w, .filters = filters, .dtype = MQ_F32};
    assert_true(is_winograd(&plan));
    plan.sum = true;
    assert_false(is_winograd(&plan));
    plan.sum = false, plan.src = from;
    assert_true(is_winograd(&plan));
    plan.dst = to;
    assert_false(is_winograd(&plan));
    mq_layout_free(&from);
    mq_layout_free(&to);
}

/* What it leaves to others: strides, other windows, few tiles, channels that fill no vectors. */
static void test_suits(void **state) {
    (void)state;
    if (!mq_winograd_lanes()) skip();
    const mq_window window = window_of(&shapes[0], false);
    const size_t lanes = mq_winograd_lanes();
    mq_winograd w = {window, 2 * lanes, false, false, false, 1};
    assert_true(mq_winograd_suits(&w));
    w.window.stride = 2;
    assert_false(mq_winograd_suits(&w));
    w.window = window, w.window.kernel = 5;
    assert_false(mq_winograd_suits(&w));
    w.window = window, w.window.out_h = w.window.out_w = 24;
    assert_false(mq_winograd_suits(&w));
    w.window = window, w.filters = 3 * lanes;
    assert_false(mq_winograd_suits(&w));
    w.back = true, w.window.c = 2 * lanes;
    assert_true(mq_winograd_suits(&w));
    w.window.c = 2 * lanes - 4;
    assert_false(mq_winograd_suits(&w));
    assert_false(mq_winograd_outer_suits(&window, 3 * lanes));
    assert_true(mq_winograd_outer_suits(&window, 2 * lanes));
    w.window = window, w.window.c = 16 * lanes; /* more weights than pixels are worth */
    assert_false(mq_winograd_outer_suits(&w.window, 16 * lanes));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_passes), cmocka_unit_test(test_outer),
                                       cmocka_unit_test(test_kernels), cmocka_unit_test(test_plans),
                                       cmocka_unit_test(test_suits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
