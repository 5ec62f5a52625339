/* test_pointwise.c: 1x1 convolutions and their gradients by data against sums of doubles: channels and pixels
 * that fill no tile, sources longer than a share, strides, every ending, and any cut into items. */
#include "unit/unit.h"

#include "base/rng.h"
#include "net/pointwise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    size_t side, c, filters, stride;
    bool back, bias, sum, relu;
} shape;

static const shape shapes[] = {
    {1, 8, 8, 1, false, false, false, false},    {5, 8, 16, 1, false, true, false, false},
    {9, 40, 24, 1, false, false, false, true},   {9, 16, 32, 1, false, true, true, true},
    {7, 600, 24, 1, false, true, true, true},    {9, 8, 16, 2, false, true, true, false},
    {10, 304, 56, 2, false, false, false, true}, {5, 8, 16, 1, true, false, false, false},
    {9, 24, 40, 1, true, false, false, false},   {9, 32, 16, 2, true, false, false, false},
    {10, 24, 304, 2, true, false, false, false}, {4, 40, 600, 1, true, false, false, false},
};

static float draw(uint32_t what, size_t i) {
    return mq_rng_unit(7, MQ_RNG_TEST, what, i) * 2.0f - 1.0f;
}

enum { SOURCE, WEIGHTS, BIAS, OLD };

static float *drawn(uint32_t what, size_t count) {
    float *p = malloc((count ? count : 1) * sizeof *p);
    assert_non_null(p);
    for (size_t i = 0; i < count; i++) p[i] = draw(what, i);
    return p;
}

/* Tensors of so many pixels and channels in blocks: where number c of a pixel lies. */
static size_t place(size_t pixels, size_t pixel, size_t c) {
    return (c / MQ_BLOCK * pixels + pixel) * MQ_BLOCK + c % MQ_BLOCK;
}

/* Weights drawn as [c, filters], in panels. */
static float *panels(const shape *s) {
    const size_t inner = s->back ? s->filters : s->c, outer = s->back ? s->c : s->filters;
    const size_t count = (outer + MQ_BLOCK - 1) / MQ_BLOCK * inner * MQ_BLOCK;
    float *p = calloc(count, sizeof *p);
    assert_non_null(p);
    for (size_t i = 0; i < inner; i++)
        for (size_t o = 0; o < outer; o++)
            p[(o / MQ_BLOCK * inner + i) * MQ_BLOCK + o % MQ_BLOCK] = draw(
                WEIGHTS, s->back ? o * s->filters + i : i * s->filters + o);
    return p;
}

/* Number o of the pixel at (y, x) of the result; *size: the sum of its terms' sizes. */
static double wanted(const shape *s, const mq_pointwise *p, size_t y, size_t x, size_t o, double *size) {
    const size_t inner = s->back ? s->filters : s->c, t = s->stride;
    const size_t width = s->back ? p->window.w : p->window.out_w, large = p->window.h * p->window.w,
                 small = p->window.out_h * p->window.out_w;
    const size_t at = place(s->back ? large : small, y * width + x, o);
    double sum = s->sum ? (double)draw(OLD, at) : 0;
    *size = fabs(sum);
    if (s->back && (y % t || x % t)) return 0;
    const size_t pixel = s->back ? y / t * p->window.out_w + x / t : y * t * p->window.w + x * t;
    for (size_t i = 0; i < inner; i++) {
        const double w = (double)draw(WEIGHTS, s->back ? o * s->filters + i : i * s->filters + o);
        const double term = w * (double)draw(SOURCE, place(s->back ? small : large, pixel, i));
        sum += term;
        *size += fabs(term);
    }
    if (s->bias) sum += (double)draw(BIAS, o);
    return s->relu && sum < 0 ? 0 : sum;
}

static void check(const shape *s, size_t cut) {
    const size_t small = (s->side + s->stride - 1) / s->stride, side = s->back ? s->side : small;
    const size_t outer = s->back ? s->c : s->filters, count = side * side * outer;
    float *source = drawn(SOURCE, s->back ? small * small * s->filters : s->side * s->side * s->c);
    float *bias = drawn(BIAS, s->filters), *result = drawn(OLD, count + 1), *weights = panels(s);
    const mq_pointwise p = {.window = {1, s->side, s->side, s->c, small, small, 1, s->stride, 0, 0, 0, 0},
                            .filters = s->filters,
                            .back = s->back,
                            .source = source,
                            .weights = weights,
                            .bias = s->bias ? bias : NULL,
                            .sum = s->sum,
                            .relu = s->relu,
                            .result = result};
    const size_t items = mq_pointwise_items(&p);
    mq_pointwise_clear(&p);
    for (size_t i = 0; i < items; i += cut) mq_pointwise_run(&p, i, i + cut < items ? i + cut : items);
    for (size_t i = 0; i < count; i++) {
        double size;
        const double want = wanted(s, &p, i / outer / side, i / outer % side, i % outer, &size);
        const double got = (double)result[place(side * side, i / outer, i % outer)];
        assert_true(fabs(got - want) <= 1e-6 * size + 1e-7);
    }
    assert_true(result[count] == draw(OLD, count)); /* nothing is written behind the end */
    free(source);
    free(bias);
    free(result);
    free(weights);
}

static bool can_run(void) {
#ifdef __x86_64__
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return true;
#endif
}

static void test_shapes(void **state) {
    (void)state;
    if (!can_run()) skip();
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t cut = 1; cut < 100; cut += 33) check(&shapes[i], cut);
}

/* What is not a number stays one, whatever follows. */
static void test_nan(void **state) {
    (void)state;
    if (!can_run()) skip();
    const float source[MQ_BLOCK] = {NAN};
    float weights[MQ_BLOCK * MQ_BLOCK] = {1}, result[MQ_BLOCK] = {0};
    const mq_pointwise p = {.window = {1, 1, 1, MQ_BLOCK, 1, 1, 1, 1, 0, 0, 0, 0},
                            .filters = MQ_BLOCK,
                            .source = source,
                            .weights = weights,
                            .relu = true,
                            .result = result};
    mq_pointwise_run(&p, 0, mq_pointwise_items(&p));
    assert_true(isnan(result[0]));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shapes), cmocka_unit_test(test_nan)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
