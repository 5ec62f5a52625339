/* test_strassen.c: 1x1 convolutions by seven eighths of the products, against sums of doubles: pixels and
 * blocks of channels that halves and tiles do not fill, weights in either order; as kernels of dnn.h, forward
 * and by data; and what is left to others. */
#include "unit/unit.h"

#include "base/mem.h"
#include "base/rng.h"
#include "net/dnn.h"
#include "net/keras_order.h"
#include "net/program.h"
#include "net/strassen.h"

#include <stdlib.h>
#include <string.h>

enum { GAP = 5, LEAST = 256, HEIGHT = 8 };

/* Numbers in [-1, 1), or all NaN, and NaN behind the end. */
static float *numbers(size_t count, uint32_t stream) {
    const size_t bytes = (count + GAP) * sizeof(float);
    float *x = aligned_alloc(64, (bytes + 63) / 64 * 64);
    assert_non_null(x);
    for (size_t i = 0; i < count + GAP; i++)
        x[i] = stream && i < count ? 2 * mq_rng_unit(5, MQ_RNG_TEST, stream, i) - 1 : NAN;
    return x;
}

static bool runs_here(void) {
    return mq_strassen_suits(&(mq_strassen){LEAST, LEAST, LEAST});
}

/* Where vectors have eight numbers, as its blocks do. */
static bool is_chosen_here(void) {
    return strncmp(mq_dnn_isa(), "avx2", 4) == 0;
}

/* Tensors of a convolution with weights [read][written]. */
typedef struct {
    mq_strassen s;
    float *read, *weights, *written;
} sample;

static sample sample_of(size_t pixels, size_t read, size_t written) {
    return (sample){{pixels, read, written},
                    numbers(pixels * read, 1),
                    numbers(read * written, 2),
                    numbers(pixels * written, 0)};
}

static void free_sample(sample *x) {
    free(x->read), free(x->weights), free(x->written);
}

static size_t place(const mq_strassen *s, size_t pixel, size_t channel) {
    return (channel / MQ_BLOCK * s->pixels + pixel) * MQ_BLOCK + channel % MQ_BLOCK;
}

/* Of numbers below 1 in size: a sum's error does not grow with its own terms alone, but with all that were
 * added to it and taken away again. */
static void assert_products(const sample *x, const float *written) {
    const mq_strassen *s = &x->s;
    for (size_t pixel = 0; pixel < s->pixels; pixel++)
        for (size_t w = 0; w < s->written; w++) {
            double sum = 0;
            for (size_t r = 0; r < s->read; r++)
                sum += (double)x->read[place(s, pixel, r)] * (double)x->weights[r * s->written + w];
            const double got = (double)written[place(s, pixel, w)];
            if (!(fabs(got - sum) <= 3e-7 * (double)s->read))
                fail_msg("%zu pixels, %zu to %zu channels: pixel %zu, channel %zu: %g instead of %g",
                         s->pixels, s->read, s->written, pixel, w, got, sum);
        }
    assert_true(isnan(written[s->pixels * s->written]));
}

/* What lies in memory before it is written makes no difference. */
static float *laid_out(const sample *x, bool exchanged) {
    const size_t read = x->s.read, written = x->s.written, bytes = mq_strassen_weights(&x->s);
    float *turned = numbers(read * written, 0), *laid = numbers(bytes / sizeof(float), 0);
    for (size_t i = 0; i < read * written; i++) turned[i % written * read + i / written] = x->weights[i];
    if (exchanged)
        mq_strassen_lay_out(&x->s, turned, 1, read, laid);
    else
        mq_strassen_lay_out(&x->s, x->weights, written, 1, laid);
    for (size_t i = 0; i < bytes / sizeof(float); i++) assert_true(!isnan(laid[i]));
    assert_true(isnan(laid[bytes / sizeof(float)]));
    free(turned);
    return laid;
}

static void run(sample *x, bool exchanged) {
    const size_t room = mq_strassen_scratch(&x->s) / sizeof(float);
    float *laid = laid_out(x, exchanged), *scratch = numbers(room, 0);
    assert_true(mq_strassen_suits(&x->s));
    mq_strassen_run(&x->s, x->read, laid, x->written, scratch);
    assert_true(isnan(scratch[room]));
    free(laid), free(scratch);
}

/* Pixels: even, odd, tiles of 4 and of 3, chunks that are full and not. Blocks read: even and odd. Blocks
 * written: groups of 3 and of 2, even and odd. */
static void test_products(void **state) {
    (void)state;
    static const size_t shapes[][3] = {{64, 32, 32},  {81, 33, 35}, {97, 34, 33},
                                       {200, 32, 36}, {67, 35, 34}, {100, 37, 39}};
    if (!runs_here()) skip();
    for (size_t i = 0; i < 2 * sizeof shapes / sizeof *shapes; i++) {
        const size_t *shape = shapes[i / 2];
        sample x = sample_of(shape[0], shape[1] * MQ_BLOCK, shape[2] * MQ_BLOCK);
        run(&x, i & 1);
        assert_products(&x, x.written);
        free_sample(&x);
    }
}

static mq_kernel *kernel_of(const mq_conv_plan *plan, const mq_dnn *dnn) {
    mq_err err = {0};
    mq_kernel *kernel = NULL;
    assert_ok(err, mq_kernel_conv(&err, dnn, plan, &kernel));
    return kernel;
}

static mq_conv_plan plan_of(const mq_strassen *s, mq_pass pass, size_t stride) {
    const size_t h = HEIGHT, w = s->pixels / h, c = pass == MQ_FORWARD ? s->read : s->written;
    return (mq_conv_plan){.pass = pass,
                          .window = {.n = 1,
                                     .h = (h - 1) * stride + 1,
                                     .w = (w - 1) * stride + 1,
                                     .c = c,
                                     .kernel = 1,
                                     .stride = stride,
                                     .out_h = h,
                                     .out_w = w},
                          .filters = pass == MQ_FORWARD ? s->written : s->read,
                          .fewer = true,
                          .dtype = MQ_F32};
}

static mq_layout *blocks(size_t h, size_t w, size_t c, size_t block) {
    mq_err err = {0};
    mq_layout *layout = NULL;
    assert_ok(err, mq_layout_blocks(&err, MQ_F32, (const size_t[]){1, h, w, c}, block, &layout));
    return layout;
}

static void bind(mq_call *call, mq_slot slot, const void *memory) {
    mq_err err = {0};
    assert_ok(err, mq_call_bind(&err, call, slot, memory));
}

/* Runs the kernel on weights as Keras keeps them; the picture of `large` has a stride's pixels. */
static void run_kernel(const mq_dnn *dnn, const mq_conv_plan *plan, const sample *x, const float *large) {
    mq_err err = {0};
    mq_call *call = NULL;
    mq_kernel *kernel = kernel_of(plan, dnn);
    const bool back = plan->pass == MQ_BACKWARD_DATA;
    const size_t c = plan->window.c, filters = plan->filters;
    const mq_param_shape param = {.rank = 4, .shape = {1, 1, c, filters}};
    float *laid = numbers(mq_layout_bytes(mq_kernel_layout(kernel, MQ_SLOT_WEIGHTS)) / sizeof(float), 0),
          *scratch = numbers(mq_layout_bytes(mq_kernel_layout(kernel, MQ_SLOT_SCRATCH)) / sizeof(float), 0),
          *keras = numbers(c * filters, 0);
    for (size_t i = 0; i < c * filters; i++) keras[i] = x->weights[back ? i % filters * c + i / filters : i];
    assert_string_equal(mq_kernel_name(kernel), "strassen");
    assert_ok(err, mq_keras_lay_out(&err, dnn,
                                    &(mq_keras_weights){.param = &param, .values = keras, .dtype = MQ_F32},
                                    kernel, laid));
    assert_ok(err, mq_call_create(&err, dnn, kernel, &call));
    bind(call, back ? MQ_SLOT_DST : MQ_SLOT_SRC, large ? large : x->read);
    bind(call, back ? MQ_SLOT_SRC : MQ_SLOT_DST, x->written);
    bind(call, MQ_SLOT_WEIGHTS, laid);
    bind(call, MQ_SLOT_SCRATCH, scratch);
    assert_ok(err, mq_call_run(&err, dnn, call));
    mq_call_free(&call);
    mq_kernel_free(&kernel);
    free(laid), free(scratch), free(keras);
}

/* Each number of a picture's blocks to every stride'th pixel of a large one, all else NaN. */
static float *spread(const sample *x, const mq_window *w) {
    float *large = numbers(w->h * w->w * w->c, 0);
    for (size_t i = 0; i < x->s.pixels * w->c; i++) {
        const size_t pixel = i / MQ_BLOCK % x->s.pixels, block = i / MQ_BLOCK / x->s.pixels,
                     at = block * w->h * w->w + pixel / w->out_w * w->stride * w->w +
                          pixel % w->out_w * w->stride;
        large[at * MQ_BLOCK + i % MQ_BLOCK] = x->read[i];
    }
    return large;
}

static void test_kernels(void **state) {
    (void)state;
    if (!is_chosen_here()) skip();
    mq_err err = {0};
    mq_dnn *dnn = NULL;
    assert_ok(err, mq_dnn_create(&err, &dnn));
    for (size_t i = 0; i < 3; i++) {
        const mq_pass pass = i == 1 ? MQ_BACKWARD_DATA : MQ_FORWARD;
        sample x = sample_of(HEIGHT * 9, LEAST, LEAST + MQ_BLOCK);
        mq_conv_plan plan = plan_of(&x.s, pass, i == 2 ? 2 : 1);
        const mq_window *w = &plan.window;
        mq_layout *src = blocks(w->h, w->w, w->c, MQ_BLOCK),
                  *dst = blocks(w->out_h, w->out_w, plan.filters, MQ_BLOCK);
        float *large = i == 2 ? spread(&x, w) : NULL;
        plan.src = src, plan.dst = dst;
        run_kernel(dnn, &plan, &x, large);
        assert_products(&x, x.written);
        mq_layout_free(&src);
        mq_layout_free(&dst);
        free(large);
        free_sample(&x);
    }
    mq_dnn_free(&dnn);
}

/* Whether a plan whose tensors lie in blocks of that many channels is done by it. */
static bool is_taken(mq_conv_plan plan, size_t block) {
    mq_err err = {0};
    mq_dnn *dnn = NULL;
    const mq_window *w = &plan.window;
    mq_layout *src = blocks(w->h, w->w, w->c, block ? block : w->c),
              *dst = blocks(w->out_h, w->out_w, plan.filters, block ? block : plan.filters);
    assert_ok(err, mq_dnn_create(&err, &dnn));
    plan.src = src, plan.dst = dst;
    mq_kernel *kernel = kernel_of(&plan, dnn);
    const bool is = strcmp(mq_kernel_name(kernel), "strassen") == 0;
    assert_true(is == (mq_kernel_strassen(kernel) != NULL));
    mq_kernel_free(&kernel);
    mq_dnn_free(&dnn);
    mq_layout_free(&src);
    mq_layout_free(&dst);
    return is;
}

/* Left to others: what has not asked for it, what is added to the result, channels last, few channels or
 * pixels, larger windows. */
static void test_left_alone(void **state) {
    (void)state;
    if (!is_chosen_here()) skip();
    const mq_strassen s = {LEAST, LEAST, LEAST};
    const mq_conv_plan plan = plan_of(&s, MQ_FORWARD, 1);
    assert_true(is_taken(plan, MQ_BLOCK));
    assert_false(is_taken(plan, 0));
    mq_conv_plan other = plan;
    other.fewer = false;
    assert_false(is_taken(other, MQ_BLOCK));
    other = plan, other.bias = true;
    assert_false(is_taken(other, MQ_BLOCK));
    other = plan, other.relu = true;
    assert_false(is_taken(other, MQ_BLOCK));
    other = plan, other.sum = true;
    assert_false(is_taken(other, MQ_BLOCK));
    other = plan, other.filters -= MQ_BLOCK;
    assert_false(is_taken(other, MQ_BLOCK));
    other = plan, other.window.c -= MQ_BLOCK;
    assert_false(is_taken(other, MQ_BLOCK));
    other = plan, other.window.w = other.window.out_w = 63 / HEIGHT;
    assert_false(is_taken(other, MQ_BLOCK));
    other = plan, other.window.kernel = 3;
    other.window.top = other.window.left = other.window.bottom = other.window.right = 1;
    assert_false(is_taken(other, MQ_BLOCK));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_products), cmocka_unit_test(test_kernels),
                                       cmocka_unit_test(test_left_alone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
