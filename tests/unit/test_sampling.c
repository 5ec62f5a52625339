/* test_sampling.c: the order of an epoch, shuffled and balanced; class weights counted and read. */
#include "unit/uneven.h"

#include "base/rng.h"
#include "data/augment.h"
#include "train/class_weights.h"
#include "train/sampling.h"

#include <math.h>

enum { EPOCHS = 400, MOST = 64 };

static const uint64_t SEED = 7;

static mq_sampling *open_sampling(const uneven *u, mq_sampling_kind kind, const uint32_t *subset,
                                  size_t count) {
    mq_err err = {0};
    mq_sampling *s = NULL;
    const mq_sampling_plan plan = {kind, 0, u->dataset, subset, count};
    assert_ok(err, mq_sampling_create(&err, &plan, &s));
    return s;
}

static uint32_t class_of(const uneven *u, const uint32_t *subset, uint32_t place) {
    return mq_dataset_label(u->dataset, MQ_TRAIN, subset[place]);
}

/* The order that runs had before there was another sampling. */
static void test_shuffle(void **state) {
    const uneven *u = *state;
    mq_sampling *s = open_sampling(u, MQ_SAMPLE_SHUFFLE, u->subset, u->count);
    uint32_t order[MOST], wanted[MOST];
    uint32_t times[MOST];
    for (uint32_t epoch = 0; epoch < 3; epoch++) {
        mq_sampling_draw(s, SEED, epoch, order, times);
        mq_rng_permutation(SEED, MQ_RNG_SHUFFLE, epoch, wanted, (uint32_t)u->count);
        assert_memory_equal(order, wanted, u->count * sizeof *order);
        for (size_t i = 0; i < u->count; i++) assert_int_equal(times[i], 0);
    }
    mq_sampling_free(&s);
}

/* Flips are drawn for the picture, not for its place, and anew when it comes again. */
static void test_epoch(void **state) {
    const uneven *u = *state;
    mq_err err = {0};
    mq_augment *augment = NULL;
    assert_ok(err, mq_augment_parse(&err, "hflip", &augment));
    uint32_t half[MOST], order[MOST], wanted[MOST], times[MOST], flipped = 0;
    uint8_t flips[MOST];
    const size_t count = u->count / 2;
    for (size_t i = 0; i < count; i++) half[i] = (uint32_t)(2 * i + 1);
    for (mq_sampling_kind kind = MQ_SAMPLE_SHUFFLE; kind <= MQ_SAMPLE_BALANCED; kind++) {
        mq_sampling *s = open_sampling(u, kind, half, count);
        for (uint32_t epoch = 0; epoch < 9; epoch++) {
            mq_sampling_draw(s, SEED, epoch, wanted, times);
            mq_sampling_epoch(s, augment, SEED, epoch, &(mq_epoch){order, times, flips});
            assert_memory_equal(order, wanted, count * sizeof *order);
            for (size_t i = 0; i < count; i++) {
                assert_int_equal(mq_sampling_picture(s, order[i]), 2 * order[i] + 1);
                const mq_draw draw = {SEED, epoch, half[order[i]], times[i]};
                assert_int_equal(flips[i], mq_augment_flip(augment, &draw));
                flipped += flips[i];
            }
        }
        mq_sampling_free(&s);
    }
    assert_true(flipped > 2 * 9 * count / 3 && flipped < 2 * 9 * count * 2 / 3);
    mq_augment_free(&augment);
}

/* After any number of epochs each class has had its share of the draws, to within one; and of its pictures
 * each as often as the others, to within one. */
static void check_balance(const uneven *u, const uint32_t *subset, size_t count, size_t classes) {
    mq_sampling *s = open_sampling(u, MQ_SAMPLE_BALANCED, subset, count);
    uint32_t order[MOST], of_class[UNEVEN_CLASSES] = {0}, of_place[MOST] = {0};
    uint32_t times[MOST];
    assert_true(count <= MOST);
    for (uint32_t epoch = 0; epoch < EPOCHS; epoch++) {
        mq_sampling_draw(s, SEED, epoch, order, times);
        for (size_t i = 0; i < count; i++) {
            assert_true(order[i] < count);
            of_class[class_of(u, subset, order[i])]++;
            of_place[order[i]]++;
        }
        const double share = (double)(epoch + 1) * (double)count / (double)classes;
        uint32_t least[UNEVEN_CLASSES], most[UNEVEN_CLASSES] = {0};
        memset(least, 0xff, sizeof least);
        for (uint32_t i = 0; i < count; i++) {
            const uint32_t c = class_of(u, subset, i);
            least[c] = of_place[i] < least[c] ? of_place[i] : least[c];
            most[c] = of_place[i] > most[c] ? of_place[i] : most[c];
        }
        for (size_t c = 0; c < UNEVEN_CLASSES; c++) {
            if (!most[c] && least[c] == UINT32_MAX) continue; /* has no pictures here */
            assert_true(fabs(of_class[c] - share) < 1);
            assert_true(most[c] - least[c] <= 1);
        }
    }
    mq_sampling_free(&s);
}

static void test_balance(void **state) {
    const uneven *u = *state;
    uint32_t subset[MOST];
    size_t count = 0;
    check_balance(u, u->subset, u->count, UNEVEN_CLASSES);
    for (uint32_t i = 0; i < u->count; i++) /* a class without pictures among others */
        if (mq_dataset_label(u->dataset, MQ_TRAIN, i) != 1) subset[count++] = i;
    assert_true(count < u->count);
    check_balance(u, subset, count, UNEVEN_CLASSES - 1);
}

/* An epoch is a function of seed and epoch, whatever was drawn before; other ones differ. */
static void test_balanced_epochs(void **state) {
    const uneven *u = *state;
    mq_sampling *one = open_sampling(u, MQ_SAMPLE_BALANCED, u->subset, u->count);
    mq_sampling *other = open_sampling(u, MQ_SAMPLE_BALANCED, u->subset, u->count);
    uint32_t order[MOST], again[MOST];
    uint32_t times[MOST], times_again[MOST];
    const size_t bytes = u->count * sizeof *order;
    for (uint32_t epoch = 0; epoch < 9; epoch++) mq_sampling_draw(one, SEED, epoch, order, times);
    mq_sampling_draw(other, SEED, 8, again, times_again);
    assert_memory_equal(order, again, bytes);
    assert_memory_equal(times, times_again, bytes);
    mq_sampling_draw(other, SEED, 9, again, times_again);
    assert_memory_not_equal(order, again, bytes);
    mq_sampling_draw(other, SEED + 1, 8, again, times_again);
    assert_memory_not_equal(order, again, bytes);
    mq_sampling_free(&one);
    mq_sampling_free(&other);
}

/* Every place of an epoch shows each class equally often in the long run (chi-squared), and the views of one
 * picture within an epoch are mirrored each for itself. */
static void test_balanced_places(void **state) {
    const uneven *u = *state;
    mq_sampling *s = open_sampling(u, MQ_SAMPLE_BALANCED, u->subset, u->count);
    uint32_t order[MOST], seen[MOST][UNEVEN_CLASSES] = {{0}}, same = 0, pairs = 0;
    uint32_t times[MOST];
    mq_err err = {0};
    mq_augment *flips = NULL;
    assert_ok(err, mq_augment_parse(&err, "reference", &flips));
    for (uint32_t epoch = 0; epoch < EPOCHS; epoch++) {
        mq_sampling_draw(s, SEED, epoch, order, times);
        for (size_t i = 0; i < u->count; i++) {
            seen[i][class_of(u, u->subset, order[i])]++;
            for (size_t k = 0; k < i; k++) {
                pairs += order[k] == order[i];
                if (order[k] != order[i]) continue;
                assert_true(times[k] < times[i]);
                const uint32_t picture = u->subset[order[i]];
                same += mq_augment_flip(flips, &(mq_draw){SEED, epoch, picture, times[k]}) ==
                        mq_augment_flip(flips, &(mq_draw){SEED, epoch, picture, times[i]});
            }
        }
    }
    const double wanted = EPOCHS / (double)UNEVEN_CLASSES;
    double sum = 0;
    for (size_t i = 0; i < u->count; i++)
        for (size_t c = 0; c < UNEVEN_CLASSES; c++) sum += pow(seen[i][c] - wanted, 2) / wanted;
    /* 3 degrees of freedom a place, nearly independent: mean 3 n, deviation sqrt(6 n). */
    const double n = (double)u->count;
    assert_true(fabs(sum - 3 * n) < 4 * sqrt(6 * n));
    assert_true(pairs > 1000 && fabs(same - pairs / 2.0) < 0.1 * pairs);
    mq_augment_free(&flips);
    mq_sampling_free(&s);
}

static void test_balanced_weights(void **state) {
    const uneven *u = *state;
    mq_err err = {0};
    float *w = NULL;
    double sum = 0;
    size_t pictures[UNEVEN_CLASSES] = {0};
    assert_ok(err, mq_class_weights_balanced(&err, u->dataset, u->subset, u->count, &w));
    for (uint32_t i = 0; i < u->count; i++) pictures[mq_dataset_label(u->dataset, MQ_TRAIN, i)]++;
    for (size_t c = 0; c < UNEVEN_CLASSES; c++) {
        assert_true(w[c] == (float)((double)u->count / (UNEVEN_CLASSES * (double)pictures[c])));
        sum += (double)w[c] * (double)pictures[c];
    }
    assert_true(fabs(sum - (double)u->count) < 1e-4);
    free(w);
    /* Three of one class and one of another: 4 / (2 x 3), 4 / (2 x 1); classes without pictures count 1. */
    uint32_t few[4], found = 0, last = 0;
    for (uint32_t i = 0; i < u->count; i++) {
        const uint32_t c = mq_dataset_label(u->dataset, MQ_TRAIN, i);
        if (c == 0 && found < 3) few[found++] = i;
        if (c == 2) last = i;
    }
    few[found++] = last;
    assert_ok(err, mq_class_weights_balanced(&err, u->dataset, few, found, &w));
    assert_true(w[0] == (float)(2 / 3.0) && w[1] == 1 && w[2] == 2 && w[3] == 1);
    free(w);
}

static void test_weights_file(void **state) {
    const uneven *u = *state;
    char path[256];
    float *w = NULL;
    mq_err err = {0};
    snprintf(path, sizeof path, "%s/weights.csv", u->folder);
    static const char good[] = "note,class,weight\nrare,class 3,2.5\n,class 0,0\n";
    assert_ok(err, mq_file_write(&err, path, good, sizeof good - 1));
    assert_ok(err, mq_class_weights_read(&err, path, u->dataset, &w));
    assert_true(w[0] == 0 && w[1] == 1 && w[2] == 1 && w[3] == 2.5f);
    free(w);
    static const char *const bad[][2] = {
        {"class,weight\nclass 3,1\nclas 3,1\n", ".csv:3: clas 3 is no class of"},
        {"class,weight\nclas 3,1\n", "did you mean class 3?"},
        {"class,weight\nclass 3,1\nclass 3,2\n", ".csv:3: the class class 3 has a weight already"},
        {"class,weight\nclass 3,much\n", "\"much\" is no weight"},
        {"class,weight\nclass 3,\n", "is no weight"},
        {"class,weight\nclass 3,-1\n", "is no weight"},
        {"class,weight\nclass 3,nan\n", "is no weight"},
        {"class,weight\nclass 3,inf\n", "is no weight"},
        {"class,weight\nclass 0,0\nclass 1,0\nclass 2,0\nclass 3,0\n", "nothing would be learned"},
        {"class,heft\nclass 3,1\n", "weight"},
        {"name,weight\nclass 3,1\n", "class"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mq_err one = {0};
        w = NULL;
        assert_ok(err, mq_file_write(&err, path, bad[i][0], strlen(bad[i][0])));
        assert_int_equal(mq_class_weights_read(&one, path, u->dataset, &w), MQ_BAD_DATA);
        if (!strstr(one.text, bad[i][1])) fail_msg("%s lacks %s", one.text, bad[i][1]);
        assert_null(w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shuffle),         cmocka_unit_test(test_epoch),
        cmocka_unit_test(test_balance),         cmocka_unit_test(test_balanced_epochs),
        cmocka_unit_test(test_balanced_places), cmocka_unit_test(test_balanced_weights),
        cmocka_unit_test(test_weights_file),
    };
    return cmocka_run_group_tests(tests, make_uneven, remove_uneven);
}
