/* test_thin.c: pictures thinned by a stride and spread again, byte by byte: sides that the stride does not
 * divide, pixels of every size that has a loop of its own and others, rows shared out in any way. */
#include "unit/unit.h"

#include "net/thin.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *filled(size_t bytes, unsigned seed) {
    uint8_t *p = malloc(bytes);
    assert_non_null(p);
    for (size_t i = 0; i < bytes; i++) p[i] = (uint8_t)((i * 7 + i / 251 + seed) % 255 + 1); /* never zero */
    return p;
}

/* Where byte b of a pixel lies. */
static size_t at(size_t h, size_t w, size_t pixel, const size_t place[4]) {
    return ((place[0] * h + place[1]) * w + place[2]) * pixel + place[3];
}

static void check(const mq_thin *t, size_t cut) {
    const size_t large_bytes = t->planes * t->h * t->w * t->pixel,
                 small_bytes = t->planes * t->out_h * t->out_w * t->pixel, rows = mq_thin_rows(t);
    uint8_t *large = filled(large_bytes, 1), *small = filled(small_bytes + 1, 2),
            *spread = filled(large_bytes + 1, 3);
    const uint8_t behind_small = small[small_bytes], behind_large = spread[large_bytes];
    assert_true(mq_thin_bytes(t) >= small_bytes && mq_thin_bytes(t) < small_bytes + 64);
    for (size_t i = 0; i < rows; i += cut) mq_thin_take(t, i, i + cut < rows ? i + cut : rows, large, small);
    for (size_t i = 0; i < rows; i += cut)
        mq_thin_spread(t, i, i + cut < rows ? i + cut : rows, small, spread);
    for (size_t p = 0; p < t->planes; p++)
        for (size_t y = 0; y < t->h; y++)
            for (size_t x = 0; x < t->w; x++)
                for (size_t b = 0; b < t->pixel; b++) {
                    const bool seen = y % t->stride == 0 && x % t->stride == 0;
                    const size_t here = at(t->h, t->w, t->pixel, (const size_t[4]){p, y, x, b});
                    assert_int_equal(spread[here], seen ? large[here] : 0);
                    if (!seen) continue;
                    const size_t place[] = {p, y / t->stride, x / t->stride, b};
                    assert_int_equal(small[at(t->out_h, t->out_w, t->pixel, place)], large[here]);
                }
    assert_int_equal(small[small_bytes], behind_small); /* nothing is written behind the ends */
    assert_int_equal(spread[large_bytes], behind_large);
    free(large);
    free(small);
    free(spread);
}

static void test_sizes(void **state) {
    (void)state;
    static const size_t pixels[] = {1, 2, 4, 12, 32, 64, 66};
    for (size_t h = 1; h < 12; h += 2)
        for (size_t w = 1; w < 9; w++)
            for (size_t stride = 2; stride < 4; stride++)
                for (size_t i = 0; i < sizeof pixels / sizeof *pixels; i++) {
                    const size_t out_h = (h - 1) / stride + 1, out_w = (w - 1) / stride + 1;
                    const mq_thin t = {1 + i % 3, h, w, pixels[i], stride, out_h, out_w};
                    for (size_t cut = 1; cut <= 9; cut += 4) check(&t, cut);
                }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sizes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
