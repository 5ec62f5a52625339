/* test_rows.c: the arithmetic between convolutions in the instruction set that ONEDNN_MAX_CPU_ISA leaves, at
 * odd sizes: rounding to bf16, sums, and gradients. */
#include "unit/unit.h"

#include "base/rng.h"
#include "net/rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHANNELS_MAX = 24, PIXELS = 70 };

/* The second fills vectors, and every kind of work has a loop of its own for that. */
static const size_t widths[] = {21, 8, 16, CHANNELS_MAX}; /* 8, 16: a block */

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
    float *p = calloc(CHANNELS_MAX, sizeof *p);
    assert_non_null(p);
    for (size_t i = 0; i < CHANNELS_MAX; i++) p[i] = draw(seed + i);
    return p;
}

/* What a test works on: a pixel's numbers of three tensors, and those of a channel. */
typedef struct {
    mq_dtype dtype;
    size_t width, count;
    void *a, *b, *old, *out;
    float *scale, *shift, *scale_b, *shift_b, *mean;
} field;

static field field_of(mq_dtype dtype, size_t width) {
    const size_t count = PIXELS * width;
    return (field){.dtype = dtype,
                   .width = width,
                   .count = count,
                   .a = tensor(1, count, dtype),
                   .b = tensor(5000, count, dtype),
                   .old = tensor(10000, count, dtype),
                   .out = calloc(count, sizeof(float)),
                   .scale = channels(100),
                   .shift = channels(200),
                   .scale_b = channels(300),
                   .shift_b = channels(400),
                   .mean = channels(500)};
}

static void free_field(field *f) {
    void *const all[] = {f->a, f->b, f->old, f->out, f->scale, f->shift, f->scale_b, f->shift_b, f->mean};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static float stored(const field *f, float x) {
    return f->dtype == MQ_BF16 ? rounded(x) : x;
}

/* Calls check for each format and width, with all combinations of four flags. */
static void for_all(void (*check)(const field *f, const bool flags[4])) {
    for (size_t i = 0; i < sizeof widths / sizeof *widths * 2 * 16; i++) {
        field f = field_of(i & 16 ? MQ_BF16 : MQ_F32, widths[i >> 5]);
        check(&f, (const bool[4]){i & 1, i & 2, i & 4, i & 8});
        free_field(&f);
    }
}

/* flags: scaled, two, the second scaled, relu */
static void check_apply(const field *f, const bool flags[4]) {
    const mq_rows_kernels *k = mq_rows_kernels_of(f->dtype);
    k->apply(&(mq_rows){.pixels = PIXELS,
                        .channels = f->width,
                        .out = f->out,
                        .a = f->a,
                        .b = flags[1] ? f->b : NULL,
                        .scale = flags[0] ? f->scale : NULL,
                        .shift = f->shift,
                        .scale_b = flags[2] ? f->scale_b : NULL,
                        .shift_b = f->shift_b,
                        .relu = flags[3]});
    for (size_t i = 0; i < f->count; i++) {
        const size_t c = i % f->width;
        float want = get(f->a, i, f->dtype), b = get(f->b, i, f->dtype);
        if (flags[0]) want = want * f->scale[c] + f->shift[c];
        if (flags[2]) b = b * f->scale_b[c] + f->shift_b[c];
        if (flags[1]) want += b;
        if (flags[3]) want = want < 0 ? 0 : want;
        assert_true(get(f->out, i, f->dtype) == stored(f, want));
    }
}

/* flags: on the batch's statistics; the rest does not matter */
static void check_norm_back(const field *f, const bool flags[4]) {
    const mq_rows_kernels *k = mq_rows_kernels_of(f->dtype);
    k->norm_back(&(mq_rows){.pixels = PIXELS,
                            .channels = f->width,
                            .out = f->out,
                            .a = f->a,
                            .b = f->b,
                            .scale = f->scale,
                            .mean = f->mean,
                            .mean_grad = flags[0] ? f->shift : NULL,
                            .factor = f->shift_b});
    for (size_t i = 0; i < f->count; i++) {
        const size_t c = i % f->width;
        float want = get(f->a, i, f->dtype);
        if (flags[0]) want = (want - f->shift[c]) - (get(f->b, i, f->dtype) - f->mean[c]) * f->shift_b[c];
        assert_true(get(f->out, i, f->dtype) == stored(f, want * f->scale[c]));
    }
}

static void near(double got, double want) {
    assert_true(fabs(got - want) <= 1e-5 * (1 + fabs(want)));
}

/* flags: relu, its input scaled, something to add to, sums */
static void check_grad(const field *f, const bool flags[4]) {
    const mq_rows_kernels *k = mq_rows_kernels_of(f->dtype);
    double sums[2 * CHANNELS_MAX] = {0}, want[2 * CHANNELS_MAX] = {0};
    k->grad(&(mq_rows){.pixels = PIXELS,
                       .channels = f->width,
                       .out = f->out,
                       .a = f->a,
                       .b = f->b,
                       .old = flags[2] ? f->old : NULL,
                       .scale_b = flags[1] ? f->scale_b : NULL,
                       .shift_b = f->shift_b,
                       .mean = f->mean,
                       .relu = flags[0],
                       .sums = flags[3] ? sums : NULL});
    for (size_t i = 0; i < f->count; i++) {
        const size_t c = i % f->width;
        const float b = get(f->b, i, f->dtype), y = flags[1] ? b * f->scale_b[c] + f->shift_b[c] : b;
        float g = flags[0] && y <= 0 ? 0 : get(f->a, i, f->dtype);
        if (flags[2]) g += get(f->old, i, f->dtype);
        assert_true(get(f->out, i, f->dtype) == stored(f, g));
        want[c] += (double)stored(f, g);
        want[f->width + c] += (double)stored(f, g) * (double)(b - f->mean[c]);
    }
    for (size_t i = 0; i < 2 * f->width && flags[3]; i++) near(sums[i], want[i]);
}

static void check_stats(const field *f, const bool flags[4]) {
    (void)flags;
    double sums[2 * CHANNELS_MAX], want[2 * CHANNELS_MAX] = {0};
    mq_rows_kernels_of(f->dtype)->stats(
        &(mq_rows){.pixels = PIXELS, .channels = f->width, .a = f->a, .mean = f->mean, .sums = sums});
    for (size_t i = 0; i < f->count; i++) {
        const double d = (double)get(f->a, i, f->dtype) - (double)f->mean[i % f->width];
        want[i % f->width] += d;
        want[f->width + i % f->width] += d * d;
    }
    for (size_t i = 0; i < 2 * f->width; i++) near(sums[i], want[i]);
}

static void test_maps(void **state) {
    (void)state;
    for_all(check_apply);
    for_all(check_norm_back);
    for_all(check_grad);
    for_all(check_stats);
}

/* Halfway numbers go to the even neighbour, large ones to infinity, those without leading one to zero; NaNs
 * become quiet and keep their upper bits. The same in a vector and beside one. */
static void test_rounding(void **state) {
    (void)state;
    static const struct {
        uint32_t from;
        uint16_t to;
    } cases[] = {{0x3F808000, 0x3F80}, {0x3F818000, 0x3F82}, {0xBF808000, 0xBF80}, {0x3F808001, 0x3F81},
                 {0x7F7FFFFF, 0x7F80}, {0xFF800000, 0xFF80}, {0x00000000, 0x0000}, {0x80000000, 0x8000},
                 {0x007FFFFF, 0x0000}, {0x807FFFFF, 0x8000}, {0x00800000, 0x0080}, {0x7F800001, 0x7FC0},
                 {0xFFA50000, 0xFFE5}, {0x7FC00000, 0x7FC0}, {0x3F800000, 0x3F80}, {0x3A83126F, 0x3A83}};
    enum { N = sizeof cases / sizeof *cases };
    const mq_rows_kernels *k = mq_rows_kernels_of(MQ_BF16);
    float gradient[N];
    uint16_t out[N];
    for (size_t i = 0; i < N; i++) memcpy(&gradient[i], &cases[i].from, sizeof *gradient);
    for (size_t width = 1; width <= N; width++) {
        memset(out, 0xAA, sizeof out);
        k->mean_back(&(mq_rows){.pixels = 1, .channels = width, .out = out}, gradient);
        for (size_t i = 0; i < N; i++) assert_int_equal(out[i], i < width ? cases[i].to : 0xAAAA);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_maps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
