/* test_rows.c: the arithmetic between convolutions in the instruction set that ONEDNN_MAX_CPU_ISA leaves, at
 * odd sizes: rounding to bf16, equal pixels in pools, sums, and gradients in place. */
#include "unit/unit.h"

#include "base/rng.h"
#include "net/rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHANNELS = 21, PADDED = 24, PIXELS = 70 };

static float draw(uint64_t i) {
    return mq_rng_unit(3, MQ_RNG_TEST, 0, i) * 2.0f - 1.0f;
}

/* To the nearest bf16, ties to even, by way of doubles: eight bits of mantissa. */
static float rounded(float x) {
    int exponent;
    if (x == 0 || !isfinite(x)) return x;
    const double m = frexp((double)x, &exponent);
    return (float)ldexp(nearbyint(m * 256), exponent - 8);
}

static void put(void *p, size_t i, float x, mq_dtype dtype) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (dtype == MQ_BF16)
        ((uint16_t *)p)[i] = (uint16_t)(bits >> 16);
    else
        ((float *)p)[i] = x;
}

static float get(const void *p, size_t i, mq_dtype dtype) {
    if (dtype != MQ_BF16) return ((const float *)p)[i];
    const uint32_t bits = (uint32_t)((const uint16_t *)p)[i] << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void *tensor(uint64_t seed, size_t count, mq_dtype dtype) {
    void *p = calloc(count, sizeof(float));
    assert_non_null(p);
    for (size_t i = 0; i < count; i++)
        put(p, i, dtype == MQ_BF16 ? rounded(draw(seed + i)) : draw(seed + i), dtype);
    return p;
}

static float *channels(uint64_t seed) {
    float *p = calloc(PADDED, sizeof *p);
    for (size_t i = 0; i < CHANNELS; i++) p[i] = draw(seed + i);
    return p;
}

static void check_apply(mq_dtype dtype) {
    const mq_rows_kernels *k = mq_rows_kernels_of(dtype);
    const size_t count = PIXELS * CHANNELS;
    void *a = tensor(1, count, dtype), *b = tensor(5000, count, dtype), *out = calloc(count, sizeof(float));
    float *scale = channels(100), *shift = channels(200);
    k->apply(&(mq_rows){.pixels = PIXELS,
                        .channels = CHANNELS,
                        .out = out,
                        .a = a,
                        .b = b,
                        .scale = scale,
                        .shift = shift,
                        .relu = true});
    for (size_t i = 0; i < count; i++) {
        float want = get(a, i, dtype) * scale[i % CHANNELS] + shift[i % CHANNELS];
        want += get(b, i, dtype);
        want = want < 0 ? 0 : want;
        assert_true(get(out, i, dtype) == (dtype == MQ_BF16 ? rounded(want) : want));
    }
    free(a);
    free(b);
    free(out);
    free(scale);
    free(shift);
}

/* Halfway numbers go to the even neighbour, large ones to infinity, NaN stays NaN. */
static void test_rounding(void **state) {
    (void)state;
    static const float in[] = {1.00390625f, 1.01171875f, -1.00390625f, 3.4e38f, INFINITY,
                               1e-3f,       0.0f,        NAN,          1.0f};
    enum { N = sizeof in / sizeof *in };
    const mq_rows_kernels *k = mq_rows_kernels_of(MQ_BF16);
    float gradient[16] = {0};
    uint16_t out[16];
    memcpy(gradient, in, sizeof in);
    k->mean_back(&(mq_rows){.pixels = 1, .channels = N, .out = out}, gradient);
    assert_true(get(out, 0, MQ_BF16) == 1.0f && get(out, 1, MQ_BF16) == 1.015625f &&
                get(out, 2, MQ_BF16) == -1.0f);
    assert_true(isinf(get(out, 3, MQ_BF16)) && isinf(get(out, 4, MQ_BF16)) && get(out, 6, MQ_BF16) == 0);
    assert_true(isnan(get(out, 7, MQ_BF16)) && get(out, 8, MQ_BF16) == 1.0f);
}

static void test_apply(void **state) {
    (void)state;
    check_apply(MQ_F32);
    check_apply(MQ_BF16);
}

static void check_sums(mq_dtype dtype) {
    const mq_rows_kernels *k = mq_rows_kernels_of(dtype);
    const size_t count = PIXELS * CHANNELS;
    void *a = tensor(1, count, dtype), *x = tensor(5000, count, dtype), *out = calloc(count, sizeof(float));
    float *mean = channels(300);
    double sums[2 * CHANNELS], want[2 * CHANNELS] = {0}, grads[2 * CHANNELS], want_grads[2 * CHANNELS] = {0};
    k->stats(&(mq_rows){.pixels = PIXELS, .channels = CHANNELS, .a = a, .mean = mean, .sums = sums});
    k->grad(&(mq_rows){.pixels = PIXELS,
                       .channels = CHANNELS,
                       .out = out,
                       .a = a,
                       .b = x,
                       .mean = mean,
                       .relu = true,
                       .sums = grads});
    for (size_t i = 0; i < count; i++) {
        const size_t c = i % CHANNELS;
        const double d = (double)get(a, i, dtype) - (double)mean[c], v = (double)get(x, i, dtype);
        const double g = v > 0 ? (double)get(a, i, dtype) : 0;
        want[c] += d;
        want[CHANNELS + c] += d * d;
        want_grads[c] += g;
        want_grads[CHANNELS + c] += g * (v - (double)mean[c]);
        assert_true((double)get(out, i, dtype) == g);
    }
    for (size_t i = 0; i < 2 * CHANNELS; i++) {
        assert_true(fabs(sums[i] - want[i]) <= 1e-5 * (1 + fabs(want[i])));
        assert_true(fabs(grads[i] - want_grads[i]) <= 1e-5 * (1 + fabs(want_grads[i])));
    }
    free(a);
    free(x);
    free(out);
    free(mean);
}

static void test_sums(void **state) {
    (void)state;
    check_sums(MQ_F32);
    check_sums(MQ_BF16);
}

/* A picture of one number: the first pixel of each window wins and gets its gradient. */
static void test_equal_pixels(void **state) {
    (void)state;
    const mq_rows_kernels *k = mq_rows_kernels_of(MQ_F32);
    const mq_window w = {.h = 4, .w = 4, .c = 9, .out_h = 2, .out_w = 2, .kernel = 3, .stride = 2};
    float in[4 * 4 * 9], out[2 * 2 * 9], gradient[2 * 2 * 9], back[4 * 4 * 9];
    uint8_t places[2 * 2 * 9];
    for (size_t i = 0; i < 4 * 4 * 9; i++) in[i] = -7;
    for (size_t i = 0; i < 2 * 2 * 9; i++) gradient[i] = (float)(i + 1);
    k->max_pool(&w, in, out, places);
    k->max_pool_back(&w, gradient, places, back);
    for (size_t i = 0; i < 4 * 4 * 9; i++) {
        const size_t y = i / 9 / 4, x = i / 9 % 4, c = i % 9;
        assert_true(back[i] == (y % 2 == 0 && x % 2 == 0 ? gradient[(y / 2 * 2 + x / 2) * 9 + c] : 0.0f));
    }
    for (size_t i = 0; i < 2 * 2 * 9; i++) assert_true(out[i] == -7 && places[i] == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_apply),
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_equal_pixels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
