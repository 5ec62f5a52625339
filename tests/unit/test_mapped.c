/* test_mapped.c: batch norm, ReLU and depthwise convolution in one pass, and back, against sums in double, in
 * the instruction set that ONEDNN_MAX_CPU_ISA leaves: odd sizes, edges, and whatever may be left out. */
#include "unit/unit.h"

#include "base/rng.h"
#include "net/mapped.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Seeds of what is drawn. */
enum { SOURCE = 0, SCALE = 100000, SHIFT = 200000, WEIGHTS = 300000, GRADIENT = 400000, OLD = 500000 };

/* Exact in bf16. */
static double draw(size_t i) {
    return (double)((int)(mq_rng_unit(11, MQ_RNG_TEST, 0, i) * 256) - 128) / 64;
}

typedef struct {
    size_t h, w, c;
    mq_dtype dtype;
    bool scaled, relu, old, sums, weights, below;
} example;

static float *floats(size_t seed, size_t count) {
    float *p = malloc((count + 16) * sizeof *p);
    assert_non_null(p);
    for (size_t i = 0; i < count + 16; i++) p[i] = (float)draw(seed + i);
    return p;
}

/* One number more than it needs, which must stay as it is. */
static void *tensor(const example *e, size_t seed) {
    const size_t count = e->h * e->w * e->c + 1;
    float *p = floats(seed, count);
    if (e->dtype == MQ_BF16)
        for (size_t i = 0; i < count; i++) memmove((uint16_t *)(void *)p + i, (uint16_t *)(p + i) + 1, 2);
    return p;
}

static double number_at(const example *e, const void *p, size_t i) {
    float value = 0;
    if (e->dtype == MQ_F32) return (double)((const float *)p)[i];
    memcpy((uint8_t *)&value + 2, (const uint16_t *)p + i, 2);
    return (double)value;
}

static double norm_at(const example *e, size_t i) {
    return e->scaled ? draw(SOURCE + i) * draw(SCALE + i % e->c) + draw(SHIFT + i % e->c) : draw(SOURCE + i);
}

static double map_at(const example *e, size_t i) {
    const double x = norm_at(e, i);
    return e->relu && x < 0 ? 0 : x;
}

/* Calls visit for each place k of the window around pixel (y, x) that lies in the picture. */
#define AROUND(e, y, x, k, row, column)                                                                      \
    for (size_t k = 0, row, column; row = (y) + k / 3 - 1, column = (x) + k % 3 - 1, k < 9; k++)             \
        if (row < (e)->h && column < (e)->w)

static double forward_at(const example *e, size_t i) {
    double sum = 0;
    AROUND(e, i / e->c / e->w, i / e->c % e->w, k, row, column)
    sum += map_at(e, (row * e->w + column) * e->c + i % e->c) * draw(WEIGHTS + k * e->c + i % e->c);
    return sum;
}

static double below_at(const example *e, size_t i) {
    double sum = 0;
    AROUND(e, i / e->c / e->w, i / e->c % e->w, k, row, column)
    sum += draw(GRADIENT + (row * e->w + column) * e->c + i % e->c) *
           draw(WEIGHTS + (8 - k) * e->c + i % e->c);
    if (e->relu && norm_at(e, i) <= 0) sum = 0;
    return sum + (e->old ? draw(OLD + i) : 0);
}

static double weight_at(const example *e, size_t i) {
    double sum = 0;
    for (size_t p = 0; p < e->h * e->w; p++) AROUND(e, p / e->w, p % e->w, k, row, column)
    if (k == i / e->c)
        sum += map_at(e, (row * e->w + column) * e->c + i % e->c) * draw(GRADIENT + p * e->c + i % e->c);
    return sum;
}

/* rounds: how many times the number went through the tensor's format. */
static void near(const example *e, const char *what, size_t i, double got, double want, double rounds) {
    const double step = e->dtype == MQ_BF16 ? rounds * (fabs(want) + 8) / 256 : 0;
    if (!(fabs(got - want) <= step + 1e-4 * (1 + fabs(want))))
        fail_msg("%s, %zux%zux%zu %s%s%s%s, number %zu: %g instead of %g", what, e->h, e->w, e->c,
                 mq_dtype_name(e->dtype), e->scaled ? ", scaled" : "", e->relu ? ", relu" : "",
                 e->old ? ", old" : "", i, got, want);
}

static void check_sums(const example *e, const void *out, const double *sums) {
    double want[2][64] = {{0}};
    for (size_t i = 0; i < e->h * e->w * e->c; i++) {
        const double g = number_at(e, out, i);
        want[0][i % e->c] += g;
        want[1][i % e->c] += g * (draw(SOURCE + i) - draw(SHIFT + i % e->c));
    }
    for (size_t i = 0; i < 2 * e->c; i++) near(e, "sums", i, sums[i], want[i / e->c][i % e->c], 0);
}

static void check(const example *e) {
    const mq_node node = {.kernel = 3, .stride = 1, .same = true};
    const mq_window window = mq_window_over((mq_shape){e->h, e->w, e->c}, &node);
    const size_t count = e->h * e->w * e->c;
    void *source = tensor(e, SOURCE), *gradient = tensor(e, GRADIENT), *old = tensor(e, OLD),
         *out = tensor(e, 7), *result = tensor(e, 9);
    float *scale = floats(SCALE, e->c), *shift = floats(SHIFT, e->c), *weights = floats(WEIGHTS, 9 * e->c),
          *back = floats(8, 9 * e->c), *scratch = malloc(mq_mapped_scratch());
    double sums[2 * 64];
    const double mark = number_at(e, out, count), mark_back = (double)back[9 * e->c],
                 mark_result = number_at(e, result, count);
    const mq_mapped m = {.window = window,
                         .source = source,
                         .scale = e->scaled ? scale : NULL,
                         .shift = e->scaled ? shift : NULL,
                         .relu = e->relu,
                         .weights = weights,
                         .apart = e->c,
                         .scratch = scratch};
    const mq_rows below = {.pixels = e->h * e->w,
                           .channels = e->c,
                           .out = out,
                           .old = e->old ? old : NULL,
                           .scale_b = m.scale,
                           .shift_b = m.shift,
                           .mean = shift,
                           .relu = e->relu,
                           .sums = e->sums ? sums : NULL};
    for (size_t i = 0; i < 2 * 64; i++) sums[i] = NAN; /* whatever was there is no part of them */
    mq_mapped_forward(mq_mapped_kernels_of(e->dtype), &m, out);
    for (size_t i = 0; i < count; i++) near(e, "forward", i, number_at(e, out, i), forward_at(e, i), 1);
    mq_mapped_backward(mq_mapped_kernels_of(e->dtype), &m,
                       &(mq_mapped_back){.gradient = gradient,
                                         .result = e->weights ? result : NULL,
                                         .weights = e->weights ? back : NULL,
                                         .below = e->below ? &below : NULL});
    for (size_t i = 0; e->below && i < count; i++)
        near(e, "below", i, number_at(e, out, i), below_at(e, i), 2);
    if (e->below && e->sums) check_sums(e, out, sums);
    for (size_t i = 0; e->weights && i < count; i++)
        near(e, "result", i, number_at(e, result, i), forward_at(e, i), 1);
    for (size_t i = 0; e->weights && i < 9 * e->c; i++)
        near(e, "by weights", i, (double)back[i], weight_at(e, i), 0);
    assert_true(number_at(e, out, count) == mark && (double)back[9 * e->c] == mark_back);
    assert_true(number_at(e, result, count) == mark_result);
    free(source), free(gradient), free(old), free(out), free(result), free(scratch);
    free(scale), free(shift), free(weights), free(back);
}

/* Every width up to three tiles, whole and odd vectors of channels. */
static void test_widths(void **state) {
    (void)state;
    const size_t channels[] = {5, 16, 19, 40};
    for (size_t width = 1; width <= 18; width++)
        for (int i = 0; i < 4 * 2; i++)
            check(&(example){.h = 4,
                             .w = width,
                             .c = channels[i >> 1],
                             .dtype = i & 1 ? MQ_BF16 : MQ_F32,
                             .scaled = true,
                             .relu = true,
                             .sums = true,
                             .weights = true,
                             .below = true});
}

/* Rows too long for one strip. */
static void test_strips(void **state) {
    (void)state;
    for (size_t width = 151; width <= 321; width += 85)
        for (int bf16 = 0; bf16 < 2; bf16++)
            check(&(example){.h = 3,
                             .w = width,
                             .c = 9,
                             .dtype = bf16 ? MQ_BF16 : MQ_F32,
                             .scaled = true,
                             .relu = true,
                             .sums = true,
                             .weights = true,
                             .below = true});
}

/* All that may be there or not; pictures of one row and of two. */
static void test_kinds(void **state) {
    (void)state;
    for (int i = 0; i < 1 << 8; i++)
        check(&(example){.h = i & 1 ? 1 : 2,
                         .w = 7,
                         .c = i & 2 ? 24 : 21,
                         .dtype = i & 4 ? MQ_BF16 : MQ_F32,
                         .scaled = i & 8,
                         .relu = i & 16,
                         .old = i & 32,
                         .sums = i & 32,
                         .weights = i & 64,
                         .below = i & 128});
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_widths), cmocka_unit_test(test_strips),
                                       cmocka_unit_test(test_kinds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
