/* test_confident.c: doubtful labels: the classifier against plain loops in double, the folds, the confident
 * joint by hand, and chances against labels that are known to be wrong. */
#include "unit.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "curate/confident.h"
#include "curate/edits.h"
#include "curate/lbfgs.h"
#include "curate/logistic.h"
#include "unit/temporary.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

enum { N = 60, FEATURES = 5, CLASSES = 3, PARAMS = (FEATURES + 1) * CLASSES, SEED = 7 };

static double draw(uint32_t purpose, size_t i) {
    return 2 * (double)mq_rng_unit(SEED, MQ_RNG_TEST, purpose, i) - 1;
}

/* Pictures of three classes that overlap; a fifth of them is not learned from. */
typedef struct {
    float x[N * FEATURES];
    uint32_t labels[N];
    bool used[N];
} pictures;

static void make_pictures(pictures *s) {
    for (size_t i = 0; i < N; i++) {
        s->labels[i] = (uint32_t)(i % CLASSES);
        s->used[i] = i % 5 != 0;
        for (size_t f = 0; f < FEATURES; f++)
            s->x[i * FEATURES + f] = (float)(draw(1, i * FEATURES + f) + (f == s->labels[i] ? 0.7 : 0));
    }
}

static mq_logistic_plan plan_of(const pictures *s) {
    return (mq_logistic_plan){.size = sizeof(mq_logistic_plan),
                              .x = s->x,
                              .labels = s->labels,
                              .used = s->used,
                              .count = N,
                              .features = FEATURES,
                              .classes = CLASSES,
                              .l2 = 0.05};
}

/* p [N, CLASSES] and the penalised loss by plain loops; params as mq_logistic_loss has them. */
static double plain_loss(const pictures *s, const double *params, double *p) {
    double loss = 0, squares = 0;
    size_t used = 0;
    for (size_t i = 0; i < N; i++) {
        double sum = 0;
        for (size_t c = 0; c < CLASSES; c++) {
            double z = params[CLASSES * FEATURES + c];
            for (size_t f = 0; f < FEATURES; f++)
                z += params[c * FEATURES + f] * (double)s->x[i * FEATURES + f];
            sum += p[i * CLASSES + c] = exp(z);
        }
        for (size_t c = 0; c < CLASSES; c++) p[i * CLASSES + c] /= sum;
        used += s->used[i];
        if (s->used[i]) loss -= log(p[i * CLASSES + s->labels[i]]);
    }
    for (size_t k = 0; k < CLASSES * FEATURES; k++) squares += params[k] * params[k];
    return loss / (double)used + 0.05 / 2 * squares;
}

static void test_gradient(void **state) {
    (void)state;
    static pictures s;
    mq_err err = {0};
    float params[PARAMS], gradient[PARAMS];
    double wide[PARAMS], p[N * CLASSES], loss;
    make_pictures(&s);
    for (size_t k = 0; k < PARAMS; k++) wide[k] = (double)(params[k] = (float)draw(2, k));
    const mq_logistic_plan plan = plan_of(&s);
    assert_ok(err, mq_logistic_loss(&err, &plan, params, gradient, &loss));
    assert_true(fabs(loss - plain_loss(&s, wide, p)) < 1e-6);
    for (size_t k = 0; k < PARAMS; k++) {
        const double step = 1e-5, at = wide[k];
        wide[k] = at + step;
        const double above = plain_loss(&s, wide, p);
        wide[k] = at - step;
        const double below = plain_loss(&s, wide, p);
        wide[k] = at;
        assert_true(fabs((above - below) / (2 * step) - (double)gradient[k]) < 1e-5);
    }
}

/* The answers are those at the bottom, to which plain steps downhill lead as well. */
static void test_fit(void **state) {
    (void)state;
    static pictures s;
    mq_err err = {0};
    double params[PARAMS] = {0}, wanted[N * CLASSES];
    float p[N * CLASSES];
    make_pictures(&s);
    const mq_logistic_plan plan = plan_of(&s);
    for (int step = 0; step < 5000; step++) {
        double gradient[PARAMS] = {0};
        plain_loss(&s, params, wanted);
        size_t used = 0;
        for (size_t i = 0; i < N; i++) used += s.used[i];
        for (size_t i = 0; i < N; i++)
            for (size_t c = 0; c < CLASSES && s.used[i]; c++) {
                const double d = (wanted[i * CLASSES + c] - (c == s.labels[i])) / (double)used;
                for (size_t f = 0; f < FEATURES; f++)
                    gradient[c * FEATURES + f] += d * (double)s.x[i * FEATURES + f];
                gradient[CLASSES * FEATURES + c] += d;
            }
        for (size_t k = 0; k < CLASSES * FEATURES; k++) gradient[k] += 0.05 * params[k];
        for (size_t k = 0; k < PARAMS; k++) params[k] -= gradient[k];
    }
    assert_ok(err, mq_logistic_fit(&err, &plan, p));
    for (size_t i = 0; i < N * CLASSES; i++) assert_true(fabs((double)p[i] - wanted[i]) < 2e-3);
}

/* What is not learned from changes no other answer; what is learned from does. */
static void test_unused_rows(void **state) {
    (void)state;
    static pictures s;
    mq_err err = {0};
    float before[N * CLASSES], after[N * CLASSES];
    make_pictures(&s);
    const mq_logistic_plan plan = plan_of(&s);
    assert_ok(err, mq_logistic_fit(&err, &plan, before));
    for (size_t i = 0; i < N; i += 5) s.labels[i] = (s.labels[i] + 1) % CLASSES;
    assert_ok(err, mq_logistic_fit(&err, &plan, after));
    assert_memory_equal(before, after, sizeof before);
    s.labels[1] = (s.labels[1] + 1) % CLASSES;
    assert_ok(err, mq_logistic_fit(&err, &plan, after));
    assert_memory_not_equal(before, after, sizeof before);
}

/* Pictures for the folds: every seventh is a copy of the one before it. */
typedef struct {
    pictures s;
    uint32_t groups[N];
} dealt;

static mq_confident_plan deal(dealt *d, uint64_t seed) {
    make_pictures(&d->s);
    for (uint32_t i = 0; i < N; i++) d->groups[i] = i && i % 7 == 0 ? i - 1 : i;
    return (mq_confident_plan){.size = sizeof(mq_confident_plan),
                               .x = d->s.x,
                               .labels = d->s.labels,
                               .groups = d->groups,
                               .count = N,
                               .features = FEATURES,
                               .classes = CLASSES,
                               .folds = 4,
                               .seed = seed};
}

static void test_folds(void **state) {
    (void)state;
    static dealt d;
    mq_err err = {0};
    uint32_t fold[N], again[N], other[N];
    size_t of[CLASSES][4] = {{0}};
    const mq_confident_plan plan = deal(&d, 1);
    mq_confident_plan another = plan;
    another.seed = 2;
    assert_ok(err, mq_confident_folds(&err, &plan, fold));
    assert_ok(err, mq_confident_folds(&err, &plan, again));
    assert_ok(err, mq_confident_folds(&err, &another, other));
    assert_memory_equal(fold, again, sizeof fold);
    assert_memory_not_equal(fold, other, sizeof fold);
    for (size_t i = 0; i < N; i++) {
        assert_true(fold[i] < 4);
        assert_int_equal(fold[i], fold[d.groups[i]]);
        of[d.s.labels[i]][fold[i]]++;
    }
    for (size_t c = 0; c < CLASSES; c++) /* 20 of a class: 5 in a fold, but for copies of other classes */
        for (size_t f = 0; f < 4; f++) assert_in_range(of[c][f], 2, 8);
}

/* The same bytes every time; other threads sum in another order. A picture is not answered from its own
 * label. */
static void test_answers(void **state) {
    (void)state;
    static dealt d;
    mq_err err = {0};
    float one[N * CLASSES], two[N * CLASSES], again[N * CLASSES];
    uint32_t fold[N];
    const mq_confident_plan plan = deal(&d, 1);
    mq_par_set_threads(1);
    assert_ok(err, mq_confident_answers(&err, &plan, one));
    mq_par_set_threads(2);
    assert_ok(err, mq_confident_answers(&err, &plan, two));
    assert_ok(err, mq_confident_answers(&err, &plan, again));
    assert_memory_equal(two, again, sizeof two);
    for (size_t i = 0; i < N * CLASSES; i++) assert_true(fabsf(one[i] - two[i]) < 1e-3F);
    assert_ok(err, mq_confident_folds(&err, &plan, fold));
    d.s.x[3 * FEATURES] += 5; /* seen by the classifiers of all other folds only */
    assert_ok(err, mq_confident_answers(&err, &plan, again));
    for (size_t i = 0; i < N; i++) {
        const bool same = memcmp(two + i * CLASSES, again + i * CLASSES, CLASSES * sizeof *two) == 0;
        if (i != 3 && fold[i] == fold[3]) assert_true(same);
        if (fold[i] != fold[3]) assert_false(same);
    }
}

/* Thresholds: class 0: (0.9 + 0.5 + 0.1) / 3 = 0.5; class 1: (0.6 + 0.8) / 2 = 0.7; class 2 has no picture.
 */
static void test_joint(void **state) {
    (void)state;
    static const float p[] = {
        0.9F, 0.05F, 0.05F, /* labelled 0, counted as 0 */
        0.5F, 0.3F,  0.2F,  /* labelled 0, just reaches its threshold */
        0.1F, 0.85F, 0.05F, /* labelled 0, counted as 1: the doubtful one */
        0.3F, 0.6F,  0.1F,  /* labelled 1, reaches none */
        0.1F, 0.8F,  0.1F,  /* labelled 1, counted as 1 */
    };
    static const uint32_t labels[] = {0, 0, 0, 1, 1};
    const mq_answers_given given = {p, labels, 5, 3, NULL};
    double thresholds[3];
    size_t joint[9] = {0};
    static const size_t wanted[9] = {2, 1, 0, 0, 1, 0, 0, 0, 0};
    mq_confident_thresholds(&given, thresholds);
    assert_true(fabs(thresholds[0] - 0.5) < 1e-7);
    assert_true(fabs(thresholds[1] - 0.7) < 1e-7);
    assert_true(thresholds[2] > 1);
    for (size_t i = 0; i < 5; i++) {
        const size_t c = mq_confident_class(&given, thresholds, i);
        if (c < 3) joint[labels[i] * 3 + c]++;
    }
    assert_memory_equal(joint, wanted, sizeof wanted);
    assert_int_equal(mq_confident_class(&given, thresholds, 3), 3);
}

enum { MANY = 4000, KINDS = 20, WRONG_EACH = 20 /* every 20th label is wrong */ };

/* Answers of a middling classifier, of which some labels are then changed. */
static void make_answers(float *p, uint32_t *labels, bool *wrong) {
    for (size_t i = 0; i < MANY; i++) {
        const uint32_t right = (uint32_t)(i % KINDS);
        double z[KINDS], sum = 0;
        for (size_t c = 0; c < KINDS; c++)
            sum += z[c] = exp(2 * draw(3, i * KINDS + c) + (c == right ? 4 + draw(4, i) : 0));
        for (size_t c = 0; c < KINDS; c++) p[i * KINDS + c] = (float)(z[c] / sum);
        wrong[i] = i / KINDS % WRONG_EACH == 0;
        labels[i] = wrong[i] ? (right + 1 + (uint32_t)i % (KINDS - 1)) % KINDS : right;
        wrong[i] = labels[i] != right;
    }
}

/* Of the labels with about a chance of x, about x are wrong; all in all as many as there are. */
static void test_chances(void **state) {
    (void)state;
    static float p[MANY * KINDS];
    static uint32_t labels[MANY];
    static bool wrong[MANY];
    static mq_doubt doubts[MANY];
    mq_err err = {0};
    double rate, expected = 0, sure = 0;
    size_t planted = 0, found = 0, right = 0;
    make_answers(p, labels, wrong);
    const mq_answers_given given = {p, labels, MANY, KINDS, NULL};
    assert_ok(err, mq_confident_judge(&err, &given, doubts, &rate));
    for (size_t i = 0; i < MANY; i++) {
        planted += wrong[i];
        expected += doubts[i].wrong;
        assert_true(doubts[i].wrong >= 0 && doubts[i].wrong <= 1);
        assert_true(doubts[i].other != labels[i] && doubts[i].best == p[i * KINDS + doubts[i].other]);
        if (doubts[i].wrong < 0.5) continue;
        found++;
        right += wrong[i];
        sure += doubts[i].wrong;
    }
    assert_true(fabs(rate - (double)planted / MANY) < 0.02);
    assert_true(fabs(expected / (double)planted - 1) < 0.3);
    assert_true(found > planted / 2);
    assert_true(fabs((double)right - sure) < 0.15 * (double)found);
    for (size_t i = 0; i < MANY; i++) /* the less sure a label, the higher its chance */
        if (doubts[i].given > doubts[0].given)
            assert_true(doubts[i].wrong <= doubts[0].wrong);
        else if (doubts[i].given < doubts[0].given)
            assert_true(doubts[i].wrong >= doubts[0].wrong);
}

enum { ENOUGH = 200, FOUNDED_CLASSES = 3 };

/* Judges the first count pictures, of which rare bear the last class and the others either of the first two
 * in turn; every right_each-th is answered rightly, the others by the next class. Returns how many doubts are
 * founded; with_rare: those among them that the last class is part of. */
static size_t count_founded(size_t count, size_t rare, size_t right_each, size_t *with_rare) {
    static float p[ENOUGH * FOUNDED_CLASSES];
    static uint32_t labels[ENOUGH];
    static mq_doubt doubts[ENOUGH];
    mq_err err = {0};
    double rate;
    size_t founded = 0;
    *with_rare = 0;
    for (size_t i = 0; i < count; i++) {
        labels[i] = i < rare ? 2 : i % 2;
        const size_t next = (labels[i] + 1) % FOUNDED_CLASSES;
        for (size_t c = 0; c < FOUNDED_CLASSES; c++) p[i * FOUNDED_CLASSES + c] = 0.05F;
        p[i * FOUNDED_CLASSES + labels[i]] = i % right_each == 0 ? 0.7F : 0.25F;
        p[i * FOUNDED_CLASSES + next] = i % right_each == 0 ? 0.25F : 0.7F;
    }
    const mq_answers_given given = {p, labels, count, FOUNDED_CLASSES, NULL};
    assert_ok(err, mq_confident_judge(&err, &given, doubts, &rate));
    for (size_t i = 0; i < count; i++) {
        if (doubts[i].founded) assert_true(rate > 0 && rate <= 1);
        founded += doubts[i].founded;
        *with_rare += doubts[i].founded && (labels[i] == 2 || doubts[i].other == 2);
    }
    if (!founded) assert_true(isnan(rate));
    return founded;
}

/* Enough pictures in all, of both classes, and a classifier that is right more often than by naming the
 * largest class. */
static void test_founded(void **state) {
    (void)state;
    size_t with_rare;
    assert_int_equal(count_founded(ENOUGH, 10, 1, &with_rare), ENOUGH);
    assert_int_equal(with_rare, 10 + 95);
    assert_int_equal(count_founded(ENOUGH - 1, 10, 1, &with_rare), 0);
    /* The last class has 9: neither its labels nor those of the second, whose next it is. */
    assert_int_equal(count_founded(ENOUGH, 9, 1, &with_rare), 95);
    assert_int_equal(with_rare, 0);
    /* 100 are right, where 95 + (200 - 95) / 4 are wanted. */
    assert_int_equal(count_founded(ENOUGH, 10, 2, &with_rare), 0);
}

enum { SINGLE = 210, COPIES = 12, COPY_CLASSES = 4, ALL = SINGLE + COPIES };

/* A class that consists of one picture and its copies is unknown to the classifier that answers them. */
static void test_copies(void **state) {
    (void)state;
    static float x[ALL * FEATURES], p[ALL * COPY_CLASSES];
    static uint32_t labels[ALL], groups[ALL];
    static mq_doubt doubts[ALL];
    mq_err err = {0};
    double rate, thresholds[COPY_CLASSES];
    size_t counts[COPY_CLASSES] = {0};
    for (size_t i = 0; i < ALL; i++) {
        groups[i] = (uint32_t)(i < SINGLE ? i : SINGLE);
        labels[i] = i < SINGLE ? (uint32_t)(i % 3) : 3;
        for (size_t f = 0; f < FEATURES; f++)
            x[i * FEATURES + f] = (float)draw(5, groups[i] * FEATURES + f) + (f == labels[i] ? 4 : 0);
    }
    const mq_confident_plan plan = {.size = sizeof plan,
                                    .x = x,
                                    .labels = labels,
                                    .groups = groups,
                                    .count = ALL,
                                    .features = FEATURES,
                                    .classes = COPY_CLASSES,
                                    .folds = 5,
                                    .seed = SEED};
    assert_ok(err, mq_confident_answers(&err, &plan, p));
    const mq_answers_given given = {p, labels, ALL, COPY_CLASSES, groups};
    mq_confident_counts(&given, counts);
    assert_int_equal(counts[0], SINGLE / 3);
    assert_int_equal(counts[3], 1);
    mq_confident_thresholds(&given, thresholds);
    assert_true(thresholds[3] == (double)p[SINGLE * COPY_CLASSES + 3]);
    assert_ok(err, mq_confident_judge(&err, &given, doubts, &rate));
    for (size_t i = 0; i < ALL; i++)
        assert_int_equal(doubts[i].founded, labels[i] != 3 && doubts[i].other != 3);
}

/* A valley whose walls bend down far out: steps that teach nothing must not displace those that do. */
static mq_status valley(mq_err *err, void *user, const float *x, float *gradient, double *value) {
    (void)err, (void)user;
    *value = 0;
    for (size_t i = 0; i < 4; i++) {
        const double a = (double)(1 + i), t = a * (double)x[i];
        *value += log(1 + t * t) + 0.001 * t * t;
        gradient[i] = (float)(a * (2 * t / (1 + t * t) + 0.002 * t));
    }
    return MQ_OK;
}

static void test_valley(void **state) {
    (void)state;
    float x[4] = {30, -20, 15, 9}, gradient[4];
    double value;
    mq_err err = {0};
    const mq_lbfgs_plan plan = {
        .size = sizeof plan, .count = 4, .function = valley, .steps = 400, .tolerance = 1e-5};
    assert_ok(err, mq_lbfgs_minimise(&err, &plan, x));
    assert_ok(err, valley(&err, NULL, x, gradient, &value));
    assert_true(value < 1e-9);
}

/* A score that is just below a bound does not read as if it had reached it. */
static void test_scores(void **state) {
    (void)state;
    static const struct {
        double score;
        const char *says;
    } cases[] = {{0.4996, ",0.499,"}, {0.5, ",0.500,"}, {0.29, ",0.290,"}, {1, ",1.000,"}, {0, ",0.000,"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const mq_edit edit = {.picture = "a.png",
                              .class = "a",
                              .reason = "label",
                              .score = cases[i].score,
                              .copy_of = "",
                              .suggestion = ""};
        mq_err err = {0};
        mq_buf text = mq_buf_init(1000);
        char path[PLACE];
        assert_true(temporary_file(path));
        assert_int_equal(unlink(path), 0);
        assert_ok(err, mq_edits_write(&err, path, &edit, 1));
        assert_ok(err, mq_file_read(&err, path, &text));
        assert_non_null(strstr((char *)text.data, cases[i].says));
        mq_buf_free(&text);
        unlink(path);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradient), cmocka_unit_test(test_fit),     cmocka_unit_test(test_unused_rows),
        cmocka_unit_test(test_folds),    cmocka_unit_test(test_answers), cmocka_unit_test(test_joint),
        cmocka_unit_test(test_chances),  cmocka_unit_test(test_founded), cmocka_unit_test(test_copies),
        cmocka_unit_test(test_valley),   cmocka_unit_test(test_scores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
