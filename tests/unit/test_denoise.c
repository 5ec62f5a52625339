/* test_denoise.c: the median filter against nine numbers sorted, and its place in the recipe. */
#include "unit.h"

#include "base/mem.h"
#include "base/rng.h"
#include "data/denoise.h"
#include "data/prepare.h"

#include <string.h>

enum { SEED = 5 };

static void fill_noise(uint8_t *rgb, size_t count) {
    for (size_t i = 0; i < count; i++) rgb[i] = (uint8_t)mq_rng_u32(SEED, MQ_RNG_TEST, 0, i);
}

static int by_value(const void *a, const void *b) {
    return *(const uint8_t *)a - *(const uint8_t *)b;
}

static size_t inside(ptrdiff_t at, size_t side) {
    return at < 0 ? 0 : (size_t)at >= side ? side - 1 : (size_t)at;
}

/* The median at x, y of channel c, the edges going on. */
static uint8_t sorted_median(const uint8_t *rgb, size_t width, size_t height, size_t x, size_t y, size_t c) {
    uint8_t nine[9];
    for (ptrdiff_t i = 0; i < 9; i++) {
        const size_t row = inside((ptrdiff_t)y + i / 3 - 1, height),
                     column = inside((ptrdiff_t)x + i % 3 - 1, width);
        nine[i] = rgb[(row * width + column) * 3 + c];
    }
    qsort(nine, 9, 1, by_value);
    return nine[4];
}

static void test_equals_sorting(void **state) {
    (void)state;
    static const uint32_t shapes[][2] = {{1, 1}, {1, 7}, {7, 1}, {2, 2}, {5, 4}, {33, 17}};
    mq_err err = {0};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        const size_t width = shapes[s][0], height = shapes[s][1], count = width * height * 3;
        uint8_t before[33 * 17 * 3], after[33 * 17 * 3];
        fill_noise(before, count);
        memcpy(after, before, count);
        assert_ok(err, mq_denoise_median(&err, shapes[s][0], shapes[s][1], after));
        for (size_t i = 0; i < count; i++)
            assert_int_equal(after[i],
                             sorted_median(before, width, height, i / 3 % width, i / 3 / width, i % 3));
    }
}

/* A recipe that asks for it gives the filtered pixels, one that does not gives them as they are. */
static void test_in_the_recipe(void **state) {
    (void)state;
    enum { SIDE = 16 };
    mq_err err = {0};
    uint8_t rgb[SIDE * SIDE * 3], filtered[sizeof rgb];
    float plain[sizeof rgb], denoised[sizeof rgb];
    fill_noise(rgb, sizeof rgb);
    memcpy(filtered, rgb, sizeof rgb);
    assert_ok(err, mq_denoise_median(&err, SIDE, SIDE, filtered));
    mq_recipe recipe = mq_recipe_default(SIDE, MQ_RANGE_UNIT);
    const mq_pixels noisy = {.rgb = rgb, .width = SIDE, .height = SIDE};
    const mq_pixels clear = {.rgb = filtered, .width = SIDE, .height = SIDE};
    assert_ok(err, mq_prepare_pixels(&err, &recipe, &clear, false, plain));
    recipe.denoise = MQ_DENOISE_MEDIAN;
    assert_ok(err, mq_prepare_pixels(&err, &recipe, &noisy, false, denoised));
    assert_memory_equal(plain, denoised, sizeof plain);
    recipe.denoise = MQ_DENOISE_NONE;
    assert_ok(err, mq_prepare_pixels(&err, &recipe, &noisy, false, plain));
    assert_memory_not_equal(plain, denoised, sizeof plain);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_sorting),
        cmocka_unit_test(test_in_the_recipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
