/* test_scan.c: which pictures of a flaw a report shows, and which candidates count as copies. */
#include "unit/unit.h"

#include "curate/duplicates.h"
#include "curate/scan.h"

#include <math.h>

enum { PICTURES = 7, MOST = 4 };

static void test_worst(void **state) {
    (void)state;
    mq_scan_row rows[PICTURES] = {0};
    /* Areas; the bounds are 100 and 1000. */
    static const float areas[PICTURES] = {50, 4000, 500, 20, 2000, 10, 2000};
    mq_scan scan = {.pictures = PICTURES, .rows = rows};
    for (size_t i = 0; i < MQ_FLAWS; i++) scan.limits.below[i] = scan.limits.above[i] = NAN;
    scan.limits.below[MQ_FLAW_ODD_SIZE] = 100, scan.limits.above[MQ_FLAW_ODD_SIZE] = 1000;
    for (size_t i = 0; i < PICTURES; i++) {
        rows[i].measures[MQ_AREA] = areas[i];
        rows[i].flaws = mq_quality_flaws(&scan.limits, rows[i].measures);
        if (i % 2) rows[i].flaws |= 1u << MQ_FLAW_CORRUPT;
    }
    uint32_t worst[PICTURES + 1] = {0};
    /* 10, 5, 4, 2, 2, 2 times beyond, equals as they come. */
    static const uint32_t wanted[] = {5, 3, 1, 0, 4, 6};
    assert_int_equal(mq_scan_worst(&scan, MQ_FLAW_ODD_SIZE, worst, PICTURES), 6);
    assert_memory_equal(worst, wanted, sizeof wanted);
    worst[MOST] = 99;
    assert_int_equal(mq_scan_worst(&scan, MQ_FLAW_ODD_SIZE, worst, MOST), MOST);
    assert_memory_equal(worst, wanted, MOST * sizeof *worst);
    assert_int_equal(worst[MOST], 99);
    static const uint32_t corrupt[] = {1, 3, 5};
    assert_int_equal(mq_scan_worst(&scan, MQ_FLAW_CORRUPT, worst, MOST), 3);
    assert_memory_equal(worst, corrupt, sizeof corrupt);
    assert_int_equal(mq_scan_worst(&scan, MQ_FLAW_CORRUPT, worst, 2), 2);
    assert_memory_equal(worst, corrupt, 2 * sizeof *worst);
    assert_int_equal(mq_scan_worst(&scan, MQ_FLAW_DARK, worst, MOST), 0);
    assert_int_equal(mq_scan_worst(&scan, MQ_FLAW_CORRUPT, worst, 0), 0);
}

/* Pairs of pictures of cars that were looked at. */
static void test_copies(void **state) {
    (void)state;
    static const struct {
        unsigned distance;
        float cosine;
        bool copied;
    } pairs[] = {
        {0, 0.925F, true},   /* resized */
        {4, 0.674F, true},   /* blurred */
        {4, 0.600F, false},  /* plain pictures that share no more than where they are light */
        {6, 0.861F, true},   /* cut, darker and encoded anew */
        {6, 0.848F, false},  /* two kinds of car in front of white */
        {8, 0.964F, true},   /* cut */
        {8, 0.937F, false},  /* the saloon and the convertible of one maker */
        {12, 0.964F, true},  /* cut */
        {12, 0.936F, false}, /* two trucks */
        {12, NAN, false},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        assert_int_equal(mq_looks_copied(12, pairs[i].distance, pairs[i].cosine), pairs[i].copied);
    /* 28 x 28 grey pictures of clothes: thousands of pairs within 4 bits */
    assert_false(mq_looks_copied(4, 0, 0.93F));
    assert_true(mq_looks_copied(4, 4, 0.95F));
}

/* Grey levels are whole numbers: one level less than half of the pictures share is no flaw, twenty are. */
static void test_one_level(void **state) {
    (void)state;
    enum { COUNT = 40, SHARING = 23 };
    static const struct {
        mq_measure_kind measure;
        mq_flaw flaw;
        float level, near, far;
    } rules[] = {{MQ_BRIGHT, MQ_FLAW_DARK, 100, 99, 80}, {MQ_DIM, MQ_FLAW_OVEREXPOSED, 150, 151, 170}};
    for (size_t r = 0; r < 2; r++) {
        float measures[COUNT * MQ_MEASURES];
        mq_err err = {0};
        mq_limits limits;
        for (size_t i = 0; i < COUNT * MQ_MEASURES; i++) measures[i] = NAN;
        for (size_t i = 0; i < COUNT; i++)
            measures[i * MQ_MEASURES + rules[r].measure] = i < SHARING ? rules[r].level : rules[r].near;
        measures[rules[r].measure] = rules[r].far;
        assert_ok(err, mq_limits_find(&err, measures, COUNT, &limits));
        for (size_t i = 0; i < COUNT; i++)
            assert_int_equal(mq_quality_flaws(&limits, measures + i * MQ_MEASURES),
                             i ? 0 : 1u << rules[r].flaw);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_worst), cmocka_unit_test(test_copies),
                                       cmocka_unit_test(test_one_level)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
