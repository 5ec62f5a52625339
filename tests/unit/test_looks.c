/* test_looks.c: which pictures are grouped by their looks, and which are too many for that. */
#include "unit/unit.h"

#include "base/rng.h"
#include "data/looks.h"

#include <stdlib.h>
#include <string.h>

enum { COUNT = 200, LARGEST = 16 };

static uint64_t bits_of(uint32_t i) {
    return (uint64_t)mq_rng_u32(11, MQ_RNG_TEST, 1, i) << 32 | mq_rng_u32(11, MQ_RNG_TEST, 2, i);
}

/* Looks that have nothing to do with each other. */
static void draw(mq_phash *looks) {
    for (uint32_t i = 0; i < COUNT; i++) looks[i] = (mq_phash){bits_of(2 * i), bits_of(2 * i + 1)};
}

/* Gives how many are in a crowd. */
static size_t group(const mq_phash *looks, size_t count, uint32_t *groups) {
    mq_err err = {0};
    size_t crowded;
    const mq_looks_plan plan = {.size = sizeof plan, .looks = looks, .count = count};
    assert_ok(err, mq_looks_group(&err, &plan, groups, &crowded));
    return crowded;
}

/* Of pictures first to end-1: how many belong to the group of the first. */
static size_t size_of(const uint32_t *groups, uint32_t first, uint32_t end) {
    size_t n = 0;
    for (uint32_t i = first; i < end; i++) n += groups[i] == groups[first];
    return n;
}

/* 0 to 4 bits make a pair, 5 none; so do 4 bits of the mirror image. */
static void test_bounds(void **state) {
    (void)state;
    mq_phash looks[COUNT];
    uint32_t groups[COUNT];
    draw(looks);
    for (uint32_t d = 0; d <= 5; d++)
        looks[2 * d + 1].upright = looks[2 * d].upright ^ ((1ull << d) - 1) << 9 * d;
    looks[21].mirrored = looks[20].upright ^ 0x8000000000010011ull;
    assert_int_equal(group(looks, COUNT, groups), 0);
    for (uint32_t d = 0; d <= 4; d++) assert_int_equal(groups[2 * d + 1], 2 * d);
    assert_int_equal(groups[21], 20);
    size_t alone = 0;
    for (uint32_t i = 0; i < COUNT; i++) alone += groups[i] == i;
    assert_int_equal(alone, COUNT - 6);
    assert_int_equal(group(looks, 0, groups), 0);
}

/* Steps of 3 bits lead from each to the next: 16 are a group; of 17 only those are that are nearer. */
static void test_chain(void **state) {
    (void)state;
    mq_phash looks[COUNT];
    uint32_t groups[COUNT];
    for (uint32_t length = LARGEST; length <= LARGEST + 1; length++) {
        draw(looks);
        for (uint32_t i = 1; i < length; i++)
            looks[i].upright = looks[i - 1].upright ^ UINT64_C(7) << (3 * i) ^
                               (i == 9 ? UINT64_C(3) << 27 : 0);
        assert_int_equal(group(looks, COUNT, groups), length == LARGEST ? 0 : length);
        assert_int_equal(size_of(groups, 0, length), length == LARGEST ? LARGEST : 1);
        assert_int_equal(groups[9], length == LARGEST ? 0 : 8); /* a step of one bit */
        assert_int_equal(size_of(groups, 8, COUNT), length == LARGEST ? LARGEST - 8 : 2);
    }
}

/* A look that 17 share is what they all are like. */
static void test_equal(void **state) {
    (void)state;
    mq_phash looks[COUNT];
    uint32_t groups[COUNT];
    draw(looks);
    for (uint32_t i = 0; i < LARGEST; i++) looks[100 + i].upright = looks[5].upright;
    for (uint32_t i = 0; i < LARGEST - 1; i++) looks[50 + i].upright = looks[6].upright;
    looks[3].upright = looks[5].upright ^ 1; /* near the many */
    assert_int_equal(group(looks, COUNT, groups), LARGEST + 1);
    assert_int_equal(size_of(groups, 5, COUNT), 1);
    assert_int_equal(size_of(groups, 6, COUNT), LARGEST);
    assert_int_equal(size_of(groups, 3, COUNT), 1);
}

/* Where nearly all look alike, nearly nothing is a copy: the distance is narrowed to what tells them apart.
 */
static void test_alike(void **state) {
    (void)state;
    enum { MANY = 6000 };
    mq_phash *looks = calloc(MANY, sizeof *looks);
    uint32_t *groups = calloc(MANY, sizeof *groups);
    assert_true(looks && groups);
    for (uint32_t i = 0; i < MANY; i++) {
        /* 13 bits say which: a hundred others are within 4 bits of each, a dozen of them within 1. */
        looks[i].upright = UINT64_C(0x5555555500000000) | (uint64_t)i << 3;
        looks[i].mirrored = bits_of(i);
    }
    looks[1].upright = looks[0].upright;
    (void)group(looks, MANY, groups);
    assert_int_equal(groups[1], 0);
    for (uint32_t i = 2; i < MANY; i++) assert_int_equal(groups[i], i);
    free(looks);
    free(groups);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bounds), cmocka_unit_test(test_chain),
                                       cmocka_unit_test(test_equal), cmocka_unit_test(test_alike)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
