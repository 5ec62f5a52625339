/* test_outer.c: gradients of weights in the instruction set that ONEDNN_MAX_CPU_ISA leaves, and of tensors in
 * blocks of channels, against sums of doubles: windows of all kinds, odd sizes, gaps between pictures, and
 * any number of parts, multiplied filter by filter. */
#include "unit/unit.h"

#include "base/rng.h"
#include "net/outer_blocks.h"
#include "net/program.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GAP = 5 }; /* numbers between two pictures, all NaN */

typedef struct {
    size_t n, side, c, filters, kernel, stride;
    bool same;
} shape;

/* How channels lie. */
typedef enum { LAST, BLOCKS } order;

/* Channels that lie together. */
static size_t block_of(order o, size_t channels, mq_dtype dtype) {
    return o == LAST ? channels : channels % MQ_BLOCK ? 1 : mq_outer_blocks_size(mq_outer_blocks_of(dtype));
}

/* Where number c of a pixel lies. */
static size_t place(size_t block, size_t pixels, size_t pixel, size_t c) {
    return (c / block * pixels + pixel) * block + c % block;
}

/* Numbers of a picture of so many pixels and channels. */
static size_t numbers_of(order o, size_t pixels, size_t channels, mq_dtype dtype) {
    const size_t block = block_of(o, channels, dtype);
    return pixels * ((channels + block - 1) / block * block);
}

static mq_window window_of(const shape *s) {
    const mq_node node = {.kernel = s->kernel, .stride = s->stride, .same = s->same};
    mq_window w = mq_window_over((mq_shape){s->side, s->side, s->c}, &node);
    w.n = s->n;
    return w;
}

static float draw(uint64_t i, mq_dtype dtype) {
    const float x = mq_rng_unit(11, MQ_RNG_TEST, 0, i) * 2.0f - 1.0f;
    return dtype == MQ_BF16 ? (float)((int)(x * 128)) / 128 : x; /* eight bits: exact in bf16 */
}

static void put(uint8_t *p, size_t i, float x, mq_dtype dtype) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (dtype == MQ_BF16)
        ((uint16_t *)(void *)p)[i] = (uint16_t)(bits >> 16);
    else
        ((float *)(void *)p)[i] = x;
}

/* n pictures of numbers each, NaN between them. */
static uint8_t *pictures(size_t n, size_t numbers, uint64_t seed, mq_dtype dtype) {
    uint8_t *p = malloc(n * (numbers + GAP) * mq_dtype_size(dtype));
    assert_non_null(p);
    for (size_t i = 0; i < n * (numbers + GAP); i++) {
        const size_t at = i % (numbers + GAP), picture = i / (numbers + GAP);
        put(p, i, at < numbers ? draw(seed + picture * numbers + at, dtype) : NAN, dtype);
    }
    return p;
}

/* What filter f is multiplied by: exactly. */
static float scale_of(order o, size_t f) {
    return o == LAST ? 1 : f % 3 ? 2 : -0.5f;
}

/* One number of the sum, and the sum of its terms' sizes. */
static double wanted(const shape *s, order o, size_t at_sum, mq_dtype dtype, double *size) {
    const mq_window own = window_of(s), *const w = &own;
    const size_t row = at_sum / s->filters, f = at_sum % s->filters, pixels = w->out_h * w->out_w;
    const size_t tap = row / s->c, c = row % s->c, ky = tap / s->kernel, kx = tap % s->kernel;
    const size_t in = block_of(o, s->c, dtype), out = block_of(o, s->filters, dtype);
    const size_t source = numbers_of(o, w->h * w->w, s->c, dtype),
                 gradient = numbers_of(o, pixels, s->filters, dtype);
    double sum = 0;
    *size = 0;
    for (size_t i = 0; i < s->n * pixels; i++) {
        const size_t picture = i / pixels, at = i % pixels;
        const size_t y = at / w->out_w * s->stride + ky - w->top,
                     x = at % w->out_w * s->stride + kx - w->left;
        if (y >= w->h || x >= w->w) continue;
        const size_t seen = place(in, w->h * w->w, y * w->w + x, c);
        const size_t made = place(out, pixels, at, f);
        const double a = (double)draw(picture * source + seen, dtype);
        const double g = (double)draw(1000000 + picture * gradient + made, dtype);
        sum += a * g;
        *size += fabs(a * g);
    }
    *size *= fabs((double)scale_of(o, f));
    return sum * (double)scale_of(o, f);
}

static size_t scratch_of(const shape *s, order o, mq_dtype dtype, size_t parts) {
    const mq_window w = window_of(s);
    return o == LAST ? mq_outer_scratch(&w, s->filters, parts)
                     : mq_outer_blocks_scratch(mq_outer_blocks_of(dtype), &w, s->filters, parts);
}

static float *run(const shape *s, order o, mq_dtype dtype, const uint8_t *source, const uint8_t *gradient,
                  size_t parts) {
    const mq_window w = window_of(s);
    const size_t room = scratch_of(s, o, dtype, parts);
    const size_t count = s->kernel * s->kernel * s->c * s->filters, bytes = mq_dtype_size(dtype);
    float *sum = malloc((count + 1) * sizeof *sum), *scale = malloc((s->filters + 16) * sizeof *scale);
    void *scratch = aligned_alloc(64, (room + 64) / 64 * 64);
    assert_non_null(sum);
    assert_non_null(scratch);
    assert_non_null(scale);
    for (size_t f = 0; f < s->filters + 16; f++) scale[f] = f < s->filters ? scale_of(o, f) : NAN;
    for (size_t i = 0; i <= count; i++) sum[i] = NAN; /* whatever was there is no part of it */
    for (size_t part = 0; part < parts; part++) {
        memset(scratch, 0xFF, room);
        const mq_outer outer = {
            .window = w,
            .filters = s->filters,
            .source = source,
            .gradient = gradient,
            .source_bytes = (numbers_of(o, w.h * w.w, w.c, dtype) + GAP) * bytes,
            .gradient_bytes = (numbers_of(o, w.out_h * w.out_w, s->filters, dtype) + GAP) * bytes,
            .sum = sum,
            .scale = o == LAST ? NULL : scale,
            .scratch = scratch};
        if (o == LAST)
            mq_outer_of(dtype)(&outer, part, parts);
        else
            mq_outer_blocks_run(mq_outer_blocks_of(dtype), &outer, part, parts);
    }
    assert_true(isnan(sum[count])); /* nothing behind the end */
    free(scratch), free(scale);
    return sum;
}

static void check(const shape *s, order o, mq_dtype dtype) {
    const mq_window w = window_of(s);
    const size_t rows = s->kernel * s->kernel * s->c, count = rows * s->filters;
    uint8_t *source = pictures(s->n, numbers_of(o, w.h * w.w, w.c, dtype), 0, dtype);
    uint8_t *gradient = pictures(s->n, numbers_of(o, w.out_h * w.out_w, s->filters, dtype), 1000000, dtype);
    const size_t most = o == LAST ? mq_outer_parts(&w) : mq_outer_blocks_parts(mq_outer_blocks_of(dtype), &w);
    float *sum = run(s, o, dtype, source, gradient, 1);
    for (size_t i = 0; i < count; i++) {
        double size;
        const double want = wanted(s, o, i, dtype, &size);
        if (!(fabs((double)sum[i] - want) <= 1e-6 * size + 1e-30))
            fail_msg("number %zu: %g instead of %g", i, (double)sum[i], want);
    }
    for (size_t parts = 2; parts <= most && parts < 6; parts++) {
        float *cut = run(s, o, dtype, source, gradient, parts);
        assert_memory_equal(cut, sum, count * sizeof *sum);
        free(cut);
    }
    free(sum), free(source), free(gradient);
}

static const shape shapes[] = {
    {3, 5, 64, 96, 1, 1, false},  /* whole tiles */
    {2, 15, 24, 48, 1, 1, false}, /* more pixels than a panel is deep */
    {1, 3, 16, 17, 1, 1, false},  /* an odd pixel, a column beyond a vector */
    {3, 7, 13, 100, 1, 1, false}, /* rows and columns that fill no tile */
    {2, 1, 1, 1, 1, 1, false},    {1, 1, 8, 1, 1, 1, true},
    {2, 9, 16, 24, 1, 2, true}, /* every second pixel */
    {2, 11, 3, 32, 3, 2, false},  {2, 6, 8, 16, 3, 1, true},
    {1, 8, 5, 7, 3, 2, true},     {1, 20, 32, 64, 3, 1, false},
};

static void test_f32(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) check(&shapes[i], LAST, MQ_F32);
}

static void test_bf16(void **state) {
    (void)state;
    if (mq_dtype_auto() != MQ_BF16) skip();
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) check(&shapes[i], LAST, MQ_BF16);
}

/* Tensors in blocks: one to four blocks of filters, pixels for several stretches, windows at the edges, three
 * pictures of which two make a stretch. */
static const shape block_shapes[] = {
    {3, 5, 64, 96, 1, 1, false},  {2, 29, 24, 8, 1, 1, false},   {1, 3, 16, 16, 1, 1, false},
    {3, 7, 8, 104, 1, 1, false},  {2, 1, 8, 8, 1, 1, true},      {2, 9, 16, 24, 1, 2, true},
    {2, 11, 3, 32, 3, 2, false},  {2, 6, 8, 16, 3, 1, true},     {1, 8, 5, 8, 3, 2, true},
    {1, 20, 32, 64, 3, 1, false}, {1, 40, 16, 8, 1, 2, true},    {1, 3, 1, 8, 1, 1, false},
    {3, 10, 16, 32, 1, 1, false}, {3, 21, 8, 8, 1, 2, true},     {2, 6, 16, 24, 3, 1, true},
    {1, 9, 32, 104, 3, 2, false}, {2, 29, 40, 200, 1, 1, false}, {1, 29, 3, 8, 3, 1, true},
    {1, 59, 16, 8, 3, 2, true},   {3, 19, 16, 32, 1, 1, false},
};

static void check_blocks(mq_dtype dtype) {
    const mq_outer_blocks *blocks = mq_outer_blocks_of(dtype);
    size_t checked = 0;
    if (!blocks) skip();
    for (size_t i = 0; i < sizeof block_shapes / sizeof *block_shapes; i++) {
        const mq_window w = window_of(&block_shapes[i]);
        if (!mq_outer_blocks_suits(blocks, &w)) continue;
        check(&block_shapes[i], BLOCKS, dtype);
        checked++;
    }
    assert_true(checked > 4);
}

static void test_blocks(void **state) {
    (void)state;
    check_blocks(MQ_F32);
}

static void test_blocks_bf16(void **state) {
    (void)state;
    check_blocks(MQ_BF16);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_f32), cmocka_unit_test(test_bf16),
                                       cmocka_unit_test(test_blocks), cmocka_unit_test(test_blocks_bf16)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
