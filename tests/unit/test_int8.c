/* test_int8.c: convolutions of bytes by AVX2 or AVX-512 against sums of whole numbers: windows and steps,
 * channels that fill no quad, filters that fill no vector or panel, weights of every size, sources at their
 * limits, work shared out in any way. The numbers must be the same to the last bit. */
#include "unit/unit.h"

#include "net/int8.h"
#include "net/int8_pack.h"

#include "base/mem.h"
#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

/* Weights: all of one number; drawn from -most to most; the same but for the first filter, whose are all 80.
 */
typedef enum { WEIGHTS_LEAST, WEIGHTS_MOST, WEIGHTS_TURNS, WEIGHTS_DRAWN, WEIGHTS_MIXED } weights_kind;

typedef struct {
    size_t out_h, out_w, c, filters, kernel, stride;
    weights_kind weights;
    int most;
    bool full, sum, relu; /* full: a source of 255 */
} conv_case;

typedef struct {
    mq_int8 conv;
    uint8_t *source;
    int8_t *weights;
    float *scales, *bias, *old;
    size_t results;
} data;

/* The next number from least to most; *draws counts them. */
static int drawn(uint64_t *draws, int least, int most) {
    return least + (int)(mq_rng_u32(1, MQ_RNG_TEST, 0, (*draws)++) % (uint32_t)(most - least + 1));
}

static int8_t weight_of(const conv_case *c, size_t i, uint64_t *draws) {
    switch (c->weights) {
    case WEIGHTS_LEAST:
        return -128;
    case WEIGHTS_MOST:
        return 127;
    case WEIGHTS_TURNS:
        return i / c->filters % 3 ? 127 : -128;
    case WEIGHTS_MIXED:
        return i % c->filters ? (int8_t)drawn(draws, -c->most, c->most) : 80;
    default:
        return (int8_t)drawn(draws, -c->most, c->most);
    }
}

/* Every array ends where it must, so that a sanitizer sees what is read or written behind it. */
static data make(const conv_case *c, uint64_t seed) {
    const size_t h = (c->out_h - 1) * c->stride + c->kernel, w = (c->out_w - 1) * c->stride + c->kernel;
    const size_t numbers = c->kernel * c->kernel * c->c * c->filters;
    data d = {.conv = {.window = {.n = 1,
                                  .h = h,
                                  .w = w,
                                  .c = c->c,
                                  .out_h = c->out_h,
                                  .out_w = c->out_w,
                                  .kernel = c->kernel,
                                  .stride = c->stride},
                       .filters = c->filters,
                       .sum = c->sum,
                       .relu = c->relu},
              .results = c->out_h * c->out_w * c->filters};
    uint64_t draws = seed << 32;
    d.source = malloc(h * w * c->c);
    d.weights = malloc(numbers);
    d.scales = malloc(c->filters * sizeof *d.scales);
    d.bias = malloc(c->filters * sizeof *d.bias);
    d.old = malloc(d.results * sizeof *d.old);
    assert_true(d.source && d.weights && d.scales && d.bias && d.old);
    for (size_t i = 0; i < h * w * c->c; i++) d.source[i] = c->full ? 255 : (uint8_t)drawn(&draws, 0, 255);
    for (size_t i = 0; i < numbers; i++) d.weights[i] = weight_of(c, i, &draws);
    for (size_t f = 0; f < c->filters; f++) {
        d.scales[f] = (float)drawn(&draws, 1, 1000) * 1e-5f;
        d.bias[f] = (float)drawn(&draws, -1000, 1000) * 1e-2f;
    }
    for (size_t i = 0; i < d.results; i++) d.old[i] = (float)drawn(&draws, -1000, 1000) * 1e-1f;
    return d;
}

static void drop(data *d) {
    free(d->source);
    free(d->weights);
    free(d->scales);
    free(d->bias);
    free(d->old);
}

/* Its weights packed, in memory that held something else; the caller's. */
static void *pack(const data *d) {
    mq_err err = {0};
    const size_t bytes = mq_int8_bytes(&d->conv);
    void *packed = NULL;
    assert_ok(err, mq_alloc_aligned(&err, 1, bytes, "a test", &packed));
    memset(packed, 0x5a, bytes);
    assert_ok(err, mq_int8_pack(&err, &d->conv, d->weights, packed));
    return packed;
}

/* One number by its definition. */
static float expected(const data *d, size_t y, size_t x, size_t filter) {
    const mq_window *w = &d->conv.window;
    int32_t sum = 0;
    for (size_t k = 0; k < w->kernel * w->kernel; k++)
        for (size_t c = 0; c < w->c; c++) {
            const size_t row = y * w->stride + k / w->kernel, column = x * w->stride + k % w->kernel;
            sum += d->source[(row * w->w + column) * w->c + c] *
                   d->weights[(k * w->c + c) * d->conv.filters + filter];
        }
    float result = fmaf((float)sum, d->scales[filter], d->bias[filter]);
    if (d->conv.sum) result += d->old[(y * w->out_w + x) * d->conv.filters + filter];
    return d->conv.relu && result < 0.0f ? 0.0f : result;
}

static void check(const conv_case *c, uint64_t seed, size_t cut) {
    data d = make(c, seed);
    const size_t items = mq_int8_items(&d.conv);
    void *packed = pack(&d);
    float *result = malloc(d.results * sizeof *result);
    assert_non_null(result);
    memcpy(result, d.old, d.results * sizeof *result);
    const mq_int8_tensors tensors = {d.source, packed, d.scales, d.bias, result};
    for (size_t i = 0; i < items; i += cut)
        mq_int8_run(&d.conv, &tensors, i, i + cut < items ? i + cut : items);
    for (size_t i = 0; i < d.results; i++) {
        const size_t filter = i % c->filters, pixel = i / c->filters;
        const float wanted = expected(&d, pixel / c->out_w, pixel % c->out_w, filter);
        if (result[i] != wanted)
            fail_msg("%zu x %zu, %zu channels, %zu filters, window %zu by %zu: number %zu is %g, not %g",
                     c->out_h, c->out_w, c->c, c->filters, c->kernel, c->stride, i, (double)result[i],
                     (double)wanted);
    }
    free(result);
    free(packed);
    drop(&d);
}

static void test_sizes(void **state) {
    (void)state;
    if (!mq_int8_available()) skip();
    static const size_t channels[] = {4, 5, 7, 8, 14, 23, 64}, filters[] = {1, 7, 8, 13, 24, 31, 32, 33, 72};
    uint64_t seed = 1;
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
        for (size_t k = 0; k < sizeof filters / sizeof *filters; k++, seed++) {
            const conv_case c = {.out_h = 1 + seed % 4,
                                 .out_w = 1 + seed % 5,
                                 .c = channels[i],
                                 .filters = filters[k],
                                 .kernel = 1 + seed % 3,
                                 .stride = 1 + seed % 2,
                                 .weights = WEIGHTS_DRAWN,
                                 .most = 127,
                                 .sum = seed % 3 == 0,
                                 .relu = seed % 4 < 2};
            check(&c, seed, 1 + seed % 3);
        }
}

/* Where 16 bits would overflow, and where they just do not. */
static void test_limits(void **state) {
    (void)state;
    if (!mq_int8_available()) skip();
    static const int most[] = {1, 31, 32, 33, 40, 63, 64, 65, 80, 127};
    conv_case c = {.out_h = 3, .out_w = 3, .c = 36, .filters = 40, .kernel = 1, .stride = 1, .full = true};
    for (c.weights = WEIGHTS_LEAST; c.weights < WEIGHTS_DRAWN; c.weights++) check(&c, 5, 1);
    for (size_t i = 0; i < sizeof most / sizeof *most; i++)
        for (uint64_t seed = 0; seed < 8; seed++) {
            c.weights = WEIGHTS_DRAWN;
            c.most = most[i];
            c.full = seed % 2;
            check(&c, 100 + seed, 2);
        }
}

/* Several chunks of the source. */
static void test_large(void **state) {
    (void)state;
    if (!mq_int8_available()) skip();
    const conv_case c = {.out_h = 19,
                         .out_w = 23,
                         .c = 364,
                         .filters = 72,
                         .kernel = 1,
                         .stride = 1,
                         .weights = WEIGHTS_DRAWN,
                         .most = 70,
                         .sum = true};
    for (size_t cut = 1; cut < 16; cut += 7) check(&c, 9, cut);
}

/* Small weights go two quads together, larger ones stay alone, those that fill 16 bits in pairs are widened.
 */
static void test_packing(void **state) {
    (void)state;
    if (!mq_int8_available()) skip();
    static const struct {
        weights_kind weights;
        int most;
        size_t together, narrow;
    } cases[] = {{WEIGHTS_DRAWN, 20, 16, 16}, {WEIGHTS_DRAWN, 64, 0, 16}, {WEIGHTS_MOST, 127, 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const conv_case c = {.out_h = 1,
                             .out_w = 1,
                             .c = 64,
                             .filters = 32,
                             .kernel = 1,
                             .stride = 1,
                             .weights = cases[i].weights,
                             .most = cases[i].most};
        data d = make(&c, 3);
        void *packed = pack(&d);
        const mq_int8_packing p = mq_int8_packing_of(&d.conv, packed);
        assert_int_equal(p.panels, 1);
        assert_int_equal(p.quads, 16);
        assert_int_equal(p.together[0], cases[i].together);
        assert_int_equal(p.narrow[0], cases[i].narrow);
        free(packed);
        drop(&d);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_packing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
