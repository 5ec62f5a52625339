/* test_depthwise.c: depthwise convolutions for use, in the instruction set that ONEDNN_MAX_CPU_ISA leaves:
 * the plain loop against sums in double, and what the processor does against the plain loop. */
#include "unit/unit.h"

#include "base/rng.h"
#include "net/depthwise.h"
#include "net/program.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MARK = 77 };

/* Exact in bf16. */
static float draw(uint64_t i) {
    return (float)((int)(mq_rng_unit(7, MQ_RNG_TEST, 0, i) * 256) - 128) / 64;
}

typedef struct {
    mq_window window;
    mq_dtype dtype;
    bool relu, bytes;
} example;

/* One more number than the result has, which must stay as it is. */
typedef struct {
    void *source, *out;
    float *weights, *zero;
    size_t count, size;
} memory;

static memory make(const example *e) {
    const mq_window *w = &e->window;
    const size_t in = w->h * w->w * w->c, weights = w->kernel * w->kernel * w->c;
    memory m = {.count = w->out_h * w->out_w * w->c, .size = e->bytes ? 1 : mq_dtype_size(e->dtype)};
    m.source = malloc(in * mq_dtype_size(e->dtype));
    m.out = malloc((m.count + 1) * m.size);
    m.weights = malloc(weights * sizeof *m.weights);
    m.zero = malloc(w->c * sizeof *m.zero);
    memset(m.out, MARK, (m.count + 1) * m.size);
    for (size_t i = 0; i < in; i++) {
        const float x = draw(i);
        if (e->dtype == MQ_BF16)
            memcpy((uint16_t *)m.source + i, (const uint8_t *)&x + 2, 2);
        else
            ((float *)m.source)[i] = x;
    }
    for (size_t i = 0; i < weights; i++) m.weights[i] = draw(500000 + i) * (e->bytes ? 16 : 1);
    for (size_t i = 0; i < w->c; i++) m.zero[i] = (float)(i * 7 % 256);
    return m;
}

static void drop(memory *m) {
    free(m->source), free(m->out), free(m->weights), free(m->zero);
}

/* In two parts, the second of which begins behind the rows of the first. */
static void run(const example *e, const memory *m, mq_depthwise_fn fn, size_t cut) {
    mq_depthwise d = {.window = e->window,
                      .a = m->source,
                      .out = m->out,
                      .weights = m->weights,
                      .zero = e->bytes ? m->zero : NULL,
                      .relu = e->relu};
    fn(&d, 0, cut);
    d.out = (uint8_t *)m->out + cut * e->window.out_w * e->window.c * m->size;
    fn(&d, cut, e->window.out_h);
}

static double number_at(const example *e, const memory *m, size_t i) {
    float value = 0;
    if (e->bytes) return ((const uint8_t *)m->out)[i];
    if (e->dtype == MQ_F32) return (double)((const float *)m->out)[i];
    memcpy((uint8_t *)&value + 2, (const uint16_t *)m->out + i, 2);
    return (double)value;
}

static double exact(const example *e, const memory *m, size_t i) {
    const mq_window *w = &e->window;
    const size_t c = i % w->c, x = i / w->c % w->out_w, y = i / w->c / w->out_w;
    double sum = e->bytes ? (double)m->zero[c] : 0;
    for (size_t k = 0; k < w->kernel * w->kernel; k++) {
        const size_t row = y * w->stride + k / w->kernel - w->top,
                     column = x * w->stride + k % w->kernel - w->left;
        if (row >= w->h || column >= w->w) continue;
        const double a = (double)draw((row * w->w + column) * w->c + c);
        sum += (e->relu && a < 0 ? 0 : a) * (double)m->weights[k * w->c + c];
    }
    return e->bytes ? fmin(fmax(sum, 0), 255) : sum;
}

/* Half a unit of the last place, and where f32 sums may end on the other side of it. */
static void check(const example *e, mq_depthwise_fn fn, const char *name) {
    memory m = make(e);
    run(e, &m, fn, e->window.out_h / 3);
    for (size_t i = 0; i < m.count; i++) {
        const double want = exact(e, &m, i), got = number_at(e, &m, i);
        const double step = e->bytes ? 0.5 : e->dtype == MQ_BF16 ? fabs(want) / 256 : 0;
        if (!(fabs(got - want) <= step + 1e-3 / 16))
            fail_msg("%s, %zux%zux%zu kernel %zu stride %zu, %s%s%s, number %zu: %g instead of %g", name,
                     e->window.h, e->window.w, e->window.c, e->window.kernel, e->window.stride,
                     mq_dtype_name(e->dtype), e->bytes ? " to bytes" : "", e->relu ? ", relu" : "", i, got,
                     want);
    }
    for (size_t k = 0; k < m.size; k++) assert_int_equal(((uint8_t *)m.out)[m.count * m.size + k], MARK);
    drop(&m);
}

static void check_both(const example *e) {
    check(e, mq_depthwise_plain(e->dtype), "plain");
    check(e, mq_depthwise_of(e->dtype, &e->window), "the processor's");
}

/* The window of Xception at every width up to three tiles, whole and odd vectors of channels. */
static void test_widths(void **state) {
    (void)state;
    const size_t channels[] = {5, 16, 19, 40};
    for (size_t width = 1; width <= 26; width++)
        for (int i = 0; i < 4 * 2 * 2 * 2; i++) {
            const mq_node node = {.kernel = 3, .stride = 1, .same = true};
            example e = {.window = mq_window_over((mq_shape){4, width, channels[i >> 3]}, &node),
                         .dtype = i & 1 ? MQ_BF16 : MQ_F32,
                         .relu = i & 2,
                         .bytes = i & 4};
            check_both(&e);
        }
}

static void test_windows(void **state) {
    (void)state;
    const size_t kernels[] = {1, 2, 3, 5};
    for (int i = 0; i < 4 * 2 * 2 * 2 * 2; i++) {
        const mq_node node = {.kernel = kernels[i >> 4], .stride = i & 1 ? 2 : 1, .same = i & 2};
        example e = {.window = mq_window_over((mq_shape){9, 11, 33}, &node),
                     .dtype = i & 4 ? MQ_BF16 : MQ_F32,
                     .relu = true,
                     .bytes = i & 8};
        check_both(&e);
    }
}

/* What has no number stays without, also behind a ReLU; as a byte it is nothing. */
static void test_nan(void **state) {
    (void)state;
    const mq_node node = {.kernel = 3, .stride = 1, .same = true};
    for (size_t i = 0; i < 2; i++) {
        const example e = {
            .window = mq_window_over((mq_shape){3, 3, 16}, &node), .dtype = MQ_F32, .relu = i == 1};
        memory m = make(&e);
        ((float *)m.source)[0] = NAN;
        run(&e, &m, mq_depthwise_of(e.dtype, &e.window), 0);
        assert_true(isnan(((float *)m.out)[0]));
        assert_true(isfinite(((float *)m.out)[1]));
        drop(&m);
    }
}

/* What is too large for a byte, however large, is 255. */
static void test_large(void **state) {
    (void)state;
    const mq_node node = {.kernel = 3, .stride = 1, .same = true};
    const example e = {
        .window = mq_window_over((mq_shape){3, 3, 16}, &node), .dtype = MQ_F32, .relu = true, .bytes = true};
    memory m = make(&e);
    for (size_t k = 0; k < 9 * 16; k++) m.weights[k] = 1;
    const float large[] = {3e9f, 1e30f, INFINITY};
    memcpy(m.source, large, sizeof large);
    run(&e, &m, mq_depthwise_of(e.dtype, &e.window), 0);
    for (size_t i = 0; i < 3; i++) assert_int_equal(((uint8_t *)m.out)[i], 255);
    drop(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_widths),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_nan),
        cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
