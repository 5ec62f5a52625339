/* test_phash.c: fingerprints against a plain cosine transform, and the search for near ones against all
 * pairs. */
#include "unit/unit.h"

#include "base/rng.h"
#include "curate/look.h"
#include "data/phash.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 3000, NEAR = 12, BLOCK = MQ_LOOK_SIDE / 32 };

/* Soft blobs, so that no frequency lies at the median by chance. */
static void draw_look(uint32_t seed, uint8_t luma[MQ_LOOK_PIXELS]) {
    double a[6][4];
    for (uint32_t i = 0; i < 6; i++)
        for (uint32_t k = 0; k < 4; k++) a[i][k] = mq_rng_unit(seed, MQ_RNG_TEST, i, k);
    for (size_t y = 0; y < MQ_LOOK_SIDE; y++)
        for (size_t x = 0; x < MQ_LOOK_SIDE; x++) {
            double sum = 60;
            for (size_t i = 0; i < 6; i++) {
                const double dx = (double)x / MQ_LOOK_SIDE - a[i][0], dy = (double)y / MQ_LOOK_SIDE - a[i][1];
                sum += 120 * a[i][2] * exp(-(dx * dx + dy * dy) / (0.01 + 0.05 * a[i][3]));
            }
            luma[y * MQ_LOOK_SIDE + x] = (uint8_t)fmin(255, sum);
        }
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Zauner's fingerprint by its definition: means of 8 x 8 pixels, all sums of the transform, their median. */
static uint64_t plain_hash(const uint8_t luma[MQ_LOOK_PIXELS]) {
    const double pi = acos(-1);
    double small[32][32], f[64], sorted[64];
    for (size_t y = 0; y < 32; y++)
        for (size_t x = 0; x < 32; x++) {
            small[y][x] = 0;
            for (size_t i = 0; i < BLOCK * BLOCK; i++)
                small[y][x] += luma[(y * BLOCK + i / BLOCK) * MQ_LOOK_SIDE + x * BLOCK + i % BLOCK];
        }
    for (size_t v = 0; v < 8; v++)
        for (size_t u = 0; u < 8; u++) {
            double sum = 0;
            for (size_t y = 0; y < 32; y++)
                for (size_t x = 0; x < 32; x++)
                    sum += small[y][x] * cos(pi * (double)(v + 1) * ((double)y + 0.5) / 32) *
                           cos(pi * (double)(u + 1) * ((double)x + 0.5) / 32);
            f[v * 8 + u] = sum;
        }
    memcpy(sorted, f, sizeof f);
    qsort(sorted, 64, sizeof *sorted, by_value);
    const double median = (sorted[31] + sorted[32]) / 2;
    uint64_t hash = 0;
    for (size_t i = 0; i < 64; i++) hash |= (uint64_t)(f[i] > median) << i;
    return hash;
}

static void test_fingerprint(void **state) {
    (void)state;
    static uint8_t luma[MQ_LOOK_PIXELS], turned[MQ_LOOK_PIXELS];
    for (uint32_t seed = 0; seed < 8; seed++) {
        draw_look(seed, luma);
        for (size_t i = 0; i < MQ_LOOK_PIXELS; i++)
            turned[i] = luma[i - i % MQ_LOOK_SIDE + (MQ_LOOK_SIDE - 1 - i % MQ_LOOK_SIDE)];
        const mq_phash hash = mq_phash_of(luma, MQ_LOOK_SIDE), other = mq_phash_of(turned, MQ_LOOK_SIDE);
        /* Rounding may turn a frequency that lies at the median. */
        assert_true(mq_phash_distance(hash.upright, plain_hash(luma)) <= 2);
        assert_true(mq_phash_distance(hash.mirrored, plain_hash(turned)) <= 2);
        assert_true(mq_phash_distance(hash.mirrored, other.upright) <= 2);
    }
}

/* RGB of grey levels, each repeated `times` times in both directions. */
static mq_pixels pixels_of(const uint8_t *luma, uint32_t side, uint32_t times) {
    mq_pixels p = {malloc((size_t)side * side * times * times * 3), side * times, side * times};
    assert_non_null(p.rgb);
    for (uint32_t y = 0; y < p.height; y++)
        for (uint32_t x = 0; x < p.width; x++)
            memset(p.rgb + 3 * ((size_t)y * p.width + x), luma[(y / times) * side + x / times], 3);
    return p;
}

/* Decoded pixels have the fingerprint of the look, whichever way they lie and whatever their size. */
static void test_pixels(void **state) {
    (void)state;
    static uint8_t luma[MQ_LOOK_PIXELS];
    static const int back[9] = {0, 1, 2, 3, 4, 5, 8, 7, 6};
    mq_err err = {0};
    mq_phash hash, small;
    for (uint32_t seed = 0; seed < 8; seed++) {
        draw_look(seed, luma);
        const mq_phash wanted = mq_phash_of(luma, MQ_LOOK_SIDE);
        for (int orientation = 1; orientation <= 8; orientation++) {
            mq_pixels p = pixels_of(luma, MQ_LOOK_SIDE, 1);
            assert_ok(err, mq_pixels_orient(&err, &p, back[orientation]));
            assert_true(mq_phash_of_pixels(&p, orientation, &hash));
            assert_true(mq_phash_distance(hash.upright, wanted.upright) <= MQ_PHASH_ALONE);
            assert_true(mq_phash_distance(hash.mirrored, wanted.mirrored) <= MQ_PHASH_ALONE);
            mq_pixels_free(&p);
        }
        /* 20 pixels a side: cells cut through them, and are the same where each is repeated. */
        uint8_t little[400];
        for (size_t i = 0; i < 400; i++) little[i] = luma[i / 20 * 12 * MQ_LOOK_SIDE + i % 20 * 12];
        mq_pixels few = pixels_of(little, 20, 1), many = pixels_of(little, 20, 11);
        assert_true(mq_phash_of_pixels(&few, 1, &small) && mq_phash_of_pixels(&many, 1, &hash));
        assert_true(mq_phash_distance(small.upright, hash.upright) <= MQ_PHASH_ALONE);
        mq_pixels_free(&few);
        mq_pixels_free(&many);
    }
    memset(luma, 200, sizeof luma);
    luma[77] = 203;
    mq_pixels plain = pixels_of(luma, MQ_LOOK_SIDE, 1);
    assert_false(mq_phash_of_pixels(&plain, 1, &hash));
    mq_pixels_free(&plain);
}

static uint64_t random_bits(uint32_t i) {
    return (uint64_t)mq_rng_u32(7, MQ_RNG_TEST, 1, i) << 32 | mq_rng_u32(7, MQ_RNG_TEST, 2, i);
}

/* Every tenth is a near one of an earlier, by up to NEAR + 2 bits; every second of these of its mirror image.
 */
static void draw_hashes(mq_phash *hashes) {
    for (uint32_t i = 0; i < COUNT; i++) {
        hashes[i] = (mq_phash){random_bits(2 * i), random_bits(2 * i + 1)};
        if (i % 10 != 9) continue;
        const mq_phash *old = &hashes[mq_rng_u32(7, MQ_RNG_TEST, 3, i) % i];
        uint64_t bits = old->upright;
        for (uint32_t k = 0; k < i % (NEAR + 3); k++)
            bits ^= 1ull << mq_rng_u32(7, MQ_RNG_TEST, 4 + k, i) % 64;
        *(i % 20 == 9 ? &hashes[i].upright : &hashes[i].mirrored) = bits;
    }
}

static unsigned distance_of(const mq_phash *a, const mq_phash *b, bool mirrored) {
    const unsigned one = mq_phash_distance(a->upright, b->mirrored),
                   other = mq_phash_distance(b->upright, a->mirrored);
    if (!mirrored) return mq_phash_distance(a->upright, b->upright);
    return one < other ? one : other;
}

static void check_pairs(const mq_phash *hashes, unsigned distance, bool mirrors) {
    mq_err err = {0};
    mq_near_list list = {0};
    const mq_phash_plan plan = {.size = sizeof plan,
                                .hashes = hashes,
                                .count = COUNT,
                                .distance = distance,
                                .mirrors = mirrors,
                                .most = 1 << 20};
    assert_ok(err, mq_phash_pairs(&err, &plan, &list));
    assert_true(list.complete);
    size_t at = 0, found = 0;
    for (uint32_t a = 0; a < COUNT; a++)
        for (uint32_t b = a + 1; b < COUNT; b++)
            for (int m = 0; m <= (int)mirrors; m++) {
                const unsigned d = distance_of(&hashes[a], &hashes[b], m);
                if (d > distance) continue;
                found++;
                assert_true(at < list.count);
                assert_true(list.pairs[at].a == a && list.pairs[at].b == b &&
                            list.pairs[at].mirrored == (m == 1));
                assert_int_equal(list.pairs[at].distance, d);
                at++;
            }
    assert_int_equal(at, list.count);
    assert_true(found > 20);
    free(list.pairs);
}

static void test_pairs(void **state) {
    (void)state;
    static mq_phash hashes[COUNT];
    draw_hashes(hashes);
    check_pairs(hashes, 4, false);
    check_pairs(hashes, NEAR, false);
    check_pairs(hashes, NEAR, true);
}

static mq_near_list find(const mq_phash *hashes, size_t count, unsigned distance, size_t most) {
    mq_err err = {0};
    mq_near_list list = {0};
    const mq_phash_plan plan = {.size = sizeof plan,
                                .hashes = hashes,
                                .count = count,
                                .distance = distance,
                                .mirrors = true,
                                .most = most};
    assert_ok(err, mq_phash_pairs(&err, &plan, &list));
    return list;
}

/* One picture is 3 bits from the other's mirror image, which is 6 bits from its own: a pair, whichever comes
 * first, and one where both ways are near. */
static void test_mirrored(void **state) {
    (void)state;
    const uint64_t left = random_bits(1), right = random_bits(2);
    const mq_phash one = {left, right ^ 0x70}, other = {right, left ^ 0x3F00};
    for (int turn = 0; turn < 2; turn++) {
        const mq_phash hashes[2] = {turn ? other : one, turn ? one : other};
        for (unsigned distance = 4; distance <= 8; distance += 4) {
            mq_near_list list = find(hashes, 2, distance, 1);
            assert_true(list.complete);
            assert_int_equal(list.count, 1);
            assert_true(list.pairs[0].a == 0 && list.pairs[0].b == 1 && list.pairs[0].mirrored);
            assert_int_equal(list.pairs[0].distance, 3);
            free(list.pairs);
        }
        mq_near_list none = find(hashes, 2, 8, 0);
        assert_true(none.count == 0 && !none.complete);
        free(none.pairs);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fingerprint), cmocka_unit_test(test_pixels),
                                       cmocka_unit_test(test_pairs), cmocka_unit_test(test_mirrored)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
