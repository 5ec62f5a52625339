/* mix.c: mixup and cutmix. Called by the feed of training, on batches the loader
 * has made. Owns nothing. Invariant: what a batch draws depends on seed, epoch
 * and its place alone, by sums, products and square roots, which IEEE 754 makes
 * the same on every machine; so not on libm, workers or threads. */
#include "data/mix.h"
#include "base/par.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

/* Draws of one place of an epoch, by number. The first two are of the batch that begins there. */
enum { MIXED, WHICH, LEFT, TOP, SHARE, DRAWS = 1 << 16 };

/* One draw, in (0, 1), of 32 bits. */
static double draw(const mq_mix_place *place, size_t row, uint32_t number) {
    const uint64_t sample = (place->first + row) * DRAWS + number;
    return ((double)mq_rng_u32(place->seed, MQ_RNG_MIX, place->epoch, sample) + 0.5) * 0x1p-32;
}

/* ln of x > 0: x = m 2^e with m around 1, ln m = 2 artanh z = 2 (z + z^3 / 3 + ...), z = (m - 1) / (m + 1).
 */
static double natural_log(double x) {
    enum { TERMS = 12 }; /* |z| < 0.172: the next is below 2^-60 */
    int e;
    double m = frexp(x, &e), sum = 0;
    if (m < 0.70710678118654752) m *= 2, e--;
    const double z = (m - 1) / (m + 1);
    for (int k = TERMS; k-- > 0;) sum = sum * z * z + 1.0 / (2 * k + 1);
    return 2 * z * sum + e * 0.69314718055994531;
}

/* e^x = 2^k e^r with |r| < 0.35, by Taylor's series. */
static double power_of_e(double x) {
    enum { TERMS = 15, OUTSIDE = 1000 };
    if (x < -OUTSIDE) return 0;
    if (x > OUTSIDE) return INFINITY;
    const double k = floor(x / 0.69314718055994531 + 0.5), r = x - k * 0.69314718055994531;
    double sum = 1;
    for (int i = TERMS; i > 0; i--) sum = 1 + sum * r / i;
    return ldexp(sum, (int)k);
}

/* Below 1 by M. Joehnk (Metrika 8, 1964): u^(1/a) / (u^(1/a) + v^(1/a)) where that sum is at most 1, here by
 * logarithms; from 1 on by rejection from the uniform distribution: the density goes with (4 x (1 - x))^(a -
 * 1). Half of the tries are accepted at 1, a tenth at 100. */
double mq_mix_share(const mq_mix_place *place, size_t row, double alpha) {
    for (uint32_t number = SHARE; number + 1 < DRAWS; number += 2) {
        const double u = draw(place, row, number), v = draw(place, row, number + 1);
        if (alpha >= 1) {
            if (natural_log(v) <= (alpha - 1) * natural_log(4 * u * (1 - u))) return u;
        } else {
            const double a = natural_log(u) / alpha, b = natural_log(v) / alpha;
            if (power_of_e(a) + power_of_e(b) <= 1) return 1 / (1 + power_of_e(b - a));
        }
    }
    return 0.5; /* once in more than 10^1000 */
}

bool mq_mix_wanted(const mq_mix_rule *rule) {
    return rule->probability > 0 && (rule->mixup > 0 || rule->cutmix > 0);
}

/* Begin and end of the rectangle along one side of the picture. */
static void cut(uint32_t side, double part, double at, uint32_t *begin, uint32_t *end) {
    const int64_t length = (int64_t)(part * side), middle = (int64_t)(at * side), from = middle - length / 2;
    *begin = (uint32_t)(from < 0 ? 0 : from);
    *end = (uint32_t)(from + length > side ? side : from + length);
}

static void draw_rectangle(const mq_mix_place *place, size_t row, uint32_t side, mq_mix_row *out) {
    const double part = sqrt(1 - (double)out->share), all = (double)side * side;
    cut(side, part, draw(place, row, LEFT), &out->left, &out->right);
    cut(side, part, draw(place, row, TOP), &out->top, &out->bottom);
    const double area = (double)(out->right - out->left) * (double)(out->bottom - out->top);
    out->share = (float)((all - area) / all);
}

bool mq_mix_draw(const mq_mix_rule *rule, const mq_mix_place *place, uint32_t side, mq_mix_row *rows,
                 size_t n) {
    if (!mq_mix_wanted(rule) || n < 2 || draw(place, 0, MIXED) >= rule->probability) return false;
    const bool paste = rule->cutmix > 0 && (rule->mixup <= 0 || draw(place, 0, WHICH) < 0.5);
    for (size_t i = 0; i < n; i++) {
        rows[i] = (mq_mix_row){.partner = (uint32_t)(i ? i - 1 : n - 1)};
        rows[i].share = (float)mq_mix_share(place, i, paste ? rule->cutmix : rule->mixup);
        if (paste) draw_rectangle(place, i, side, &rows[i]);
    }
    return true;
}

typedef struct {
    float *out;
    const float *pixels;
    const mq_mix_row *rows;
    uint32_t side;
} mix_args;

static void mix_rows(void *ctx, size_t begin, size_t end) {
    const mix_args *a = ctx;
    const size_t line = (size_t)a->side * 3, item = line * a->side;
    for (size_t i = begin; i < end; i++) {
        const mq_mix_row *r = &a->rows[i];
        const float *one = a->pixels + i * item, *two = a->pixels + r->partner * item;
        float *out = a->out + i * item;
        if (r->left == r->right || r->top == r->bottom) {
            for (size_t k = 0; k < item; k++) out[k] = r->share * one[k] + (1 - r->share) * two[k];
            continue;
        }
        memcpy(out, one, item * sizeof *out);
        for (size_t y = r->top; y < r->bottom; y++) {
            const size_t at = y * line + (size_t)r->left * 3;
            memcpy(out + at, two + at, (size_t)(r->right - r->left) * 3 * sizeof *out);
        }
    }
}

void mq_mix_pixels(float *out, const float *pixels, const mq_mix_row *rows, size_t n, uint32_t side) {
    mq_parallel_for(n, mix_rows, &(mix_args){out, pixels, rows, side});
}
