/* test_windows.c: pools in the instruction set that ONEDNN_MAX_CPU_ISA leaves: equal pixels, edges, odd
 * widths. */
#include "unit/unit.h"

#include "net/windows.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_pixels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
