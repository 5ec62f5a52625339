/* test_mix.c: mixup and cutmix: what is drawn, what becomes of the pixels, and batches of a feed. */
#include "unit/uneven.h"

#include "base/rng.h"
#include "data/mix.h"
#include "train/feed.h"

#include <math.h>

enum { SIDE = 23, ITEM = SIDE * SIDE * 3, ROWS = 6, DRAWN = 20000 };

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Distribution functions of Beta(a, a) where they have closed forms. */
static double cdf(double a, double x) {
    const double pi = acos(-1.0);
    if (a == 0.5) return 2 / pi * asin(sqrt(x));
    if (a == 1) return x;
    return a == 2 ? x * x * (3 - 2 * x) : pow(x, 3) * (10 - 15 * x + 6 * x * x); /* 3 */
}

/* Kolmogorov's distance from the distribution; mean and variance 1 / (4 (2 a + 1)) where it is not closed. */
static void test_shares(void **state) {
    (void)state;
    static const double alphas[] = {0.01, 0.2, 0.5, 1, 2, 3, 8, 100};
    static double x[DRAWN];
    for (size_t k = 0; k < sizeof alphas / sizeof *alphas; k++) {
        const double a = alphas[k];
        double sum = 0, squares = 0, worst = 0;
        for (size_t i = 0; i < DRAWN; i++) {
            x[i] = mq_mix_share(&(mq_mix_place){3, (uint32_t)k, i / 10 * 10}, i % 10, a);
            assert_true(x[i] >= 0 && x[i] <= 1);
            sum += x[i];
            squares += (x[i] - 0.5) * (x[i] - 0.5);
        }
        const double variance = 1 / (4 * (2 * a + 1));
        assert_true(fabs(sum / DRAWN - 0.5) < 4 * sqrt(variance / DRAWN));
        assert_true(fabs(squares / DRAWN / variance - 1) < 0.05);
        if (a != 0.5 && a != 1 && a != 2 && a != 3) continue;
        qsort(x, DRAWN, sizeof *x, compare);
        for (size_t i = 0; i < DRAWN; i++)
            worst = fmax(worst, fabs(cdf(a, x[i]) - ((double)i + 0.5) / DRAWN));
        assert_true(worst < 1.63 / sqrt(DRAWN)); /* passed over once in a hundred seeds */
    }
}

/* Against Python's own draws and logarithms, which may differ in the last bits. */
static void test_known_shares(void **state) {
    (void)state;
    static const struct {
        double alpha, share[4];
    } known[] = {
#include "golden/mix.h"
    };
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        for (size_t i = 0; i < 4; i++)
            assert_true(fabs(mq_mix_share(&(mq_mix_place){123, 5, 96}, i, known[k].alpha) -
                             known[k].share[i]) < 1e-14 * known[k].share[i]);
}

static bool draw_rows(mq_mix_rule rule, uint32_t epoch, uint64_t first, mq_mix_row *rows) {
    return mq_mix_draw(&rule, &(mq_mix_place){9, epoch, first}, SIDE, rows, ROWS);
}

/* How often batches are mixed, and by which; each draw a function of its place. */
static void test_batches(void **state) {
    (void)state;
    mq_mix_row rows[ROWS], again[ROWS];
    size_t mixed = 0, pasted = 0;
    for (uint64_t b = 0; b < 4000; b++) {
        const mq_mix_rule rule = {0.2, 1, 0.25};
        if (!draw_rows(rule, 2, b * ROWS, rows)) continue;
        mixed++;
        bool paste = false;
        for (size_t i = 0; i < ROWS; i++) {
            assert_int_equal(rows[i].partner, (i + ROWS - 1) % ROWS);
            paste = paste || rows[i].right > rows[i].left;
        }
        pasted += paste;
        memset(again, 0, sizeof again);
        assert_true(draw_rows(rule, 2, b * ROWS, again));
        assert_memory_equal(rows, again, sizeof rows);
        if (draw_rows(rule, 3, b * ROWS, again)) assert_memory_not_equal(rows, again, sizeof rows);
    }
    assert_true(fabs((double)mixed - 1000) < 120 && fabs((double)pasted - (double)mixed / 2) < 70);
    assert_true(rows[0].share != rows[1].share);
    assert_true(draw_rows((mq_mix_rule){1, 0, 1}, 0, 0, rows));
    assert_false(draw_rows((mq_mix_rule){1, 1, 0}, 0, 0, rows));
    assert_false(draw_rows((mq_mix_rule){0, 0, 1}, 0, 0, rows));
    assert_false(mq_mix_draw(&(mq_mix_rule){1, 0, 1}, &(mq_mix_place){9, 0, 0}, SIDE, rows, 1));
    assert_true(mq_mix_wanted(&(mq_mix_rule){0, 1, 0.1}) && !mq_mix_wanted(&(mq_mix_rule){0, 0, 1}) &&
                !mq_mix_wanted(&(mq_mix_rule){1, 1, 0}));
}

static void fill(float *x, size_t count) {
    for (size_t i = 0; i < count; i++) x[i] = 2 * mq_rng_unit(5, MQ_RNG_TEST, 0, i) - 1;
}

/* Every pixel of a cutmix comes from one of both, and share says exactly how many from the first; the
 * rectangles reach every edge and are cut there. */
static void test_cutmix(void **state) {
    (void)state;
    static float in[ROWS * ITEM], out[ROWS * ITEM];
    mq_mix_row rows[ROWS];
    bool at_edge[4] = {false}, clipped = false;
    fill(in, ROWS * ITEM);
    for (uint64_t b = 0; b < 100; b++) {
        assert_true(draw_rows((mq_mix_rule){0, 1, 1}, 0, b * ROWS, rows));
        mq_mix_pixels(out, in, rows, ROWS, SIDE);
        for (size_t i = 0; i < ROWS; i++) {
            const float *one = in + i * ITEM, *two = in + rows[i].partner * ITEM, *got = out + i * ITEM;
            size_t kept = 0;
            for (uint32_t p = 0; p < SIDE * SIDE; p++) {
                const uint32_t x = p % SIDE, y = p / SIDE;
                const bool inside = x >= rows[i].left && x < rows[i].right && y >= rows[i].top &&
                                    y < rows[i].bottom;
                assert_memory_equal(got + 3 * p, (inside ? two : one) + 3 * p, 3 * sizeof *got);
                kept += !inside;
            }
            assert_true(rows[i].right <= SIDE && rows[i].bottom <= SIDE);
            assert_true(rows[i].share == (float)((double)kept / (SIDE * SIDE)));
            const uint32_t width = rows[i].right - rows[i].left, height = rows[i].bottom - rows[i].top;
            if (!width || !height) continue;
            clipped = clipped || width != height;
            at_edge[0] |= rows[i].left == 0, at_edge[1] |= rows[i].top == 0;
            at_edge[2] |= rows[i].right == SIDE, at_edge[3] |= rows[i].bottom == SIDE;
        }
    }
    assert_true(at_edge[0] && at_edge[1] && at_edge[2] && at_edge[3] && clipped);
}

static void test_mixup(void **state) {
    (void)state;
    static float in[ROWS * ITEM], out[ROWS * ITEM];
    mq_mix_row rows[ROWS];
    fill(in, ROWS * ITEM);
    assert_true(draw_rows((mq_mix_rule){1, 0, 1}, 0, 0, rows));
    mq_mix_pixels(out, in, rows, ROWS, SIDE);
    for (size_t i = 0; i < ROWS * ITEM; i++) {
        const mq_mix_row *r = &rows[i / ITEM];
        const double share = (double)r->share;
        const double wanted = share * (double)in[i] + (1 - share) * (double)in[r->partner * ITEM + i % ITEM];
        assert_true(fabs((double)out[i] - wanted) < 1e-6);
    }
}

/* What a feed gives: [count] pictures and labels. */
typedef struct {
    float *x;
    uint32_t *first, *second;
    float *share;
    size_t count, mixed; /* mixed: batches */
} pass;

static pass open_pass(size_t count) {
    mq_err err = {0};
    pass p = {.count = count};
    assert_ok(err, mq_calloc(&err, count * ITEM, sizeof *p.x, "pictures", &p.x));
    assert_ok(err, mq_calloc(&err, count, sizeof *p.first, "labels", &p.first));
    assert_ok(err, mq_calloc(&err, count, sizeof *p.second, "labels", &p.second));
    assert_ok(err, mq_calloc(&err, count, sizeof *p.share, "labels", &p.share));
    return p;
}

static void close_pass(pass *p) {
    free(p->x);
    free(p->first);
    free(p->second);
    free(p->share);
}

static mq_features_plan features_of(const uneven *u, const mq_recipe *recipe, size_t workers) {
    return (mq_features_plan){.size = sizeof(mq_features_plan),
                              .dataset = u->dataset,
                              .split = MQ_TRAIN,
                              .count = u->count,
                              .flips = true,
                              .recipe = recipe,
                              .width = ITEM,
                              .dtype = MQ_F32,
                              .batch = 4,
                              .workers = workers};
}

/* An epoch in the order of the data set from picture `from` on, in batches of ROWS. */
static pass run_pass(const uneven *u, size_t workers, size_t from, const char *policy) {
    mq_err err = {0};
    const mq_recipe recipe = mq_recipe_default(SIDE, MQ_RANGE_TF);
    const mq_features_plan plan = features_of(u, &recipe, workers);
    mq_feed *feed = NULL;
    mq_augment *augment = NULL;
    pass p = open_pass(u->count);
    size_t n, done = from;
    assert_ok(err, mq_feed_open(&err, &plan, false, &feed));
    assert_ok(err, mq_augment_parse(&err, policy, &augment));
    assert_ok(err, mq_feed_begin(&err, feed,
                                 &(mq_feed_pass){.order = u->subset + from,
                                                 .count = u->count - from,
                                                 .rows = ROWS,
                                                 .augment = augment,
                                                 .seed = 11,
                                                 .epoch = 4,
                                                 .first = from}));
    for (;;) {
        const float *x;
        mq_labels labels;
        assert_ok(err, mq_feed_next(&err, feed, &x, &labels, &n));
        if (!n) break;
        memcpy(p.x + done * ITEM, x, n * ITEM * sizeof *x);
        p.mixed += labels.second != NULL;
        for (size_t i = 0; i < n; i++, done++) {
            p.first[done] = labels.first[i];
            p.second[done] = labels.second ? labels.second[i] : labels.first[i];
            p.share[done] = labels.second ? labels.share[i] : 1;
        }
    }
    assert_int_equal(done, u->count);
    mq_feed_free(&feed);
    mq_augment_free(&augment);
    return p;
}

static void assert_same_pass(const pass *a, const pass *b, size_t from) {
    const size_t n = a->count - from;
    assert_memory_equal(a->x + from * ITEM, b->x + from * ITEM, n * ITEM * sizeof *a->x);
    assert_memory_equal(a->first + from, b->first + from, n * sizeof *a->first);
    assert_memory_equal(a->second + from, b->second + from, n * sizeof *a->second);
    assert_memory_equal(a->share + from, b->share + from, n * sizeof *a->share);
}

/* The mixed batches of a feed are those of the plain one, mixed; for any workers, and from the middle on. */
static void test_feed(void **state) {
    const uneven *u = *state;
    static const char MIXED[] = "mixup=0.4@0.7,cutmix=1@0.7";
    const mq_mix_rule rule = {0.4, 1, 0.7};
    pass plain = run_pass(u, 1, 0, "none"), mixed = run_pass(u, 1, 0, MIXED);
    assert_int_equal(plain.mixed, 0);
    assert_true(mixed.mixed > 2 && mixed.mixed < (u->count + ROWS - 1) / ROWS);
    assert_memory_equal(plain.first, mixed.first, u->count * sizeof *plain.first);
    float out[ROWS * ITEM];
    for (size_t at = 0; at < u->count; at += ROWS) {
        const size_t n = u->count - at < ROWS ? u->count - at : ROWS;
        mq_mix_row rows[ROWS];
        const bool wanted = mq_mix_draw(&rule, &(mq_mix_place){11, 4, at}, SIDE, rows, n);
        if (wanted) mq_mix_pixels(out, plain.x + at * ITEM, rows, n, SIDE);
        assert_memory_equal(wanted ? out : plain.x + at * ITEM, mixed.x + at * ITEM, n * ITEM * sizeof *out);
        for (size_t i = 0; wanted && i < n; i++) {
            assert_int_equal(mixed.second[at + i], plain.first[at + (i ? i : n) - 1]);
            assert_true(mixed.share[at + i] == rows[i].share);
        }
    }
    for (size_t workers = 2; workers < 8; workers += 5) {
        pass again = run_pass(u, workers, 0, MIXED);
        assert_same_pass(&mixed, &again, 0);
        close_pass(&again);
    }
    for (size_t from = ROWS; from < u->count; from += 3 * ROWS) {
        pass rest = run_pass(u, 2, from, MIXED);
        assert_same_pass(&mixed, &rest, from);
        close_pass(&rest);
    }
    close_pass(&plain);
    close_pass(&mixed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares), cmocka_unit_test(test_known_shares), cmocka_unit_test(test_batches),
        cmocka_unit_test(test_cutmix), cmocka_unit_test(test_mixup),        cmocka_unit_test(test_feed),
    };
    return cmocka_run_group_tests(tests, make_uneven, remove_uneven);
}
