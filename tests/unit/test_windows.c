/* test_windows.c: pools and the gradient of depthwise weights in the instruction set that ONEDNN_MAX_CPU_ISA
 * leaves: equal pixels, edges, odd widths, windows of all kinds. */
#include "unit/unit.h"

#include "base/rng.h"
#include "net/windows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 9 };

/* Exact in bf16. */
static float draw(uint64_t i) {
    return (float)((int)(mq_rng_unit(5, MQ_RNG_TEST, 0, i) * 256) - 128) / 128;
}

static void *tensor(uint64_t seed, size_t count, mq_dtype dtype) {
    void *p = calloc(count, sizeof(float));
    assert_non_null(p);
    for (size_t i = 0; i < count; i++) {
        const float x = draw(seed + i);
        uint32_t bits;
        memcpy(&bits, &x, sizeof bits);
        if (dtype == MQ_BF16)
            ((uint16_t *)p)[i] = (uint16_t)(bits >> 16);
        else
            ((float *)p)[i] = x;
    }
    return p;
}

/* A picture of one number: the first pixel of each window wins and gets its gradient. */
static void check_equal_pixels(size_t channels) {
    const mq_window_kernels *k = mq_window_kernels_of(MQ_F32);
    const mq_window w = {.h = 4, .w = 4, .c = channels, .out_h = 2, .out_w = 2, .kernel = 3, .stride = 2};
    float in[4 * 4 * 16], out[2 * 2 * 16], gradient[2 * 2 * 16], back[4 * 4 * 16];
    uint8_t places[2 * 2 * 16];
    for (size_t i = 0; i < 4 * 4 * channels; i++) in[i] = -7;
    for (size_t i = 0; i < 2 * 2 * channels; i++) gradient[i] = (float)(i + 1);
    k->max_pool(&w, in, out, places);
    k->max_pool_back(&w, gradient, places, back);
    for (size_t i = 0; i < 4 * 4 * channels; i++) {
        const size_t y = i / channels / 4, x = i / channels % 4, c = i % channels;
        assert_true(back[i] ==
                    (y % 2 == 0 && x % 2 == 0 ? gradient[(y / 2 * 2 + x / 2) * channels + c] : 0.0f));
    }
    for (size_t i = 0; i < 2 * 2 * channels; i++) assert_true(out[i] == -7 && places[i] == 0);
}

static void test_equal_pixels(void **state) {
    (void)state;
    check_equal_pixels(9);
    check_equal_pixels(16);
}

static double wanted(const mq_window *w, size_t ky, size_t kx, size_t c) {
    double sum = 0;
    for (size_t i = 0; i < w->out_h * w->out_w; i++) {
        const size_t y = i / w->out_w * w->stride + ky - w->top, x = i % w->out_w * w->stride + kx - w->left;
        if (y < w->h && x < w->w)
            sum += (double)draw((y * w->w + x) * w->c + c) * (double)draw(100000 + i * w->c + c);
    }
    return sum;
}

static void check_depthwise(mq_dtype dtype, const mq_window *w) {
    const size_t count = w->kernel * w->kernel * w->c;
    void *a = tensor(0, w->h * w->w * w->c, dtype), *g = tensor(100000, w->out_h * w->out_w * w->c, dtype);
    float *weights = malloc((count + 1) * sizeof *weights);
    for (size_t i = 0; i <= count; i++) weights[i] = NAN; /* whatever was there is no part of it */
    mq_window_kernels_of(dtype)->depthwise_back(w, a, g, weights);
    for (size_t i = 0; i < count; i++) {
        const size_t tap = i / w->c;
        const double want = wanted(w, tap / w->kernel, tap % w->kernel, i % w->c);
        if (!(fabs((double)weights[i] - want) <= 1e-5))
            fail_msg("kernel %zu stride %zu, number %zu: %g instead of %g", w->kernel, w->stride, i,
                     (double)weights[i], want);
    }
    assert_true(isnan(weights[count]));
    free(a), free(g), free(weights);
}

static void test_depthwise(void **state) {
    (void)state;
    for (int i = 0; i < 2 * 2 * 2 * 2 * 4; i++) {
        const size_t kernels[] = {1, 2, 3, 5};
        const mq_node node = {.kernel = kernels[i >> 4], .stride = i & 1 ? 2 : 1, .same = i & 2};
        const mq_window w = mq_window_over((mq_shape){SIDE, SIDE, i & 4 ? 21 : 24}, &node);
        check_depthwise(i & 8 ? MQ_BF16 : MQ_F32, &w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_pixels),
        cmocka_unit_test(test_depthwise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
