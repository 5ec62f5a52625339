/* test_windows.c: pools in the instruction set that ONEDNN_MAX_CPU_ISA leaves: equal pixels, edges, odd
 * widths. */
#include "unit/unit.h"

#include "net/windows.h"

#include <math.h>

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

/* Numbers that are all different. */
static float draw(size_t i) {
    return (float)(i * 7919 % 4093) - 2000;
}

/* One number of a pool, and of its gradient for a gradient of i + 1 at number i: by the definition. */
static float largest_at(const mq_window *w, size_t i, size_t *chosen) {
    const size_t y = i / w->c / w->out_w * w->stride, x = i / w->c % w->out_w * w->stride;
    float best = -INFINITY;
    for (size_t k = 0; k < w->kernel * w->kernel; k++) {
        const size_t row = y + k / w->kernel - w->top, column = x + k % w->kernel - w->left; /* may wrap */
        const size_t at = (row * w->w + column) * w->c + i % w->c;
        if (row < w->h && column < w->w && draw(at) > best) best = draw(at), *chosen = at;
    }
    return best;
}

static void check_pool(const mq_window *w) {
    enum { MOST = 12 * 12 * 16 };
    const mq_window_kernels *k = mq_window_kernels_of(MQ_F32);
    const size_t numbers = w->h * w->w * w->c, results = w->out_h * w->out_w * w->c;
    float in[MOST], out[MOST], plain[MOST], gradient[MOST], back[MOST], want[MOST] = {0};
    uint8_t places[MOST];
    for (size_t i = 0; i < numbers; i++) in[i] = draw(i);
    for (size_t i = 0; i < results; i++) gradient[i] = (float)(i + 1);
    k->max_pool(w, in, out, places);
    k->max_pool(w, in, plain, NULL);
    k->max_pool_back(w, gradient, places, back);
    for (size_t i = 0; i < results; i++) {
        size_t chosen = 0;
        assert_true(out[i] == largest_at(w, i, &chosen) && plain[i] == out[i]);
        want[chosen] += gradient[i];
    }
    for (size_t i = 0; i < numbers; i++) assert_true(back[i] == want[i]);
}

/* Sides, strides and paddings; as many channels as a vector has, more and fewer. */
static void test_pools(void **state) {
    (void)state;
    const size_t channels[] = {8, 16, 5};
    for (int i = 0; i < 3 * 2 * 2 * 2 * 9; i++) {
        const mq_node node = {.kernel = i & 1 ? 2 : 3, .stride = i & 2 ? 1 : 2, .same = i & 4};
        const mq_shape in = {(size_t)(i >> 3) % 9 + 3, 11 - (size_t)(i >> 3) % 9 % 6, channels[(i >> 3) / 9]};
        const mq_window w = mq_window_over(in, &node);
        check_pool(&w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_pixels),
        cmocka_unit_test(test_pools),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
