/* test_skipped_run.c: records that fail under whole runs: the same model from the cache or not, for any
 * number of workers and wherever the run is stopped; nothing false in the cache; too many end the run, which
 * goes on once they are back. */
#include "unit/faults.h"
#include "unit/trial.h"

#include "base/log.h"

#include <math.h>

static const char HEADS[] = "head:2@1e-2", THAWED[] = "head:1@1e-2,block14+:1@1e-4/train";

static void spoil_some(void) {
    faults[0][2] = ERROR, faults[0][11] = FLIPPED, faults[0][12] = NO_PICTURE, faults[0][30] = CUT;
    faults[1][1] = STALE;
}

typedef struct {
    size_t named, more;
} warnings;

static void count_warning(void *user, mq_log_level level, const char *text) {
    warnings *w = user;
    if (level != MQ_LOG_WARNING) return;
    w->named += strstr(text, "goes on without this picture") != NULL;
    w->more += strstr(text, "they are counted") != NULL;
}

/* Runs and counts its warnings. */
static mq_status run_and_count(trial *t, warnings *w) {
    *w = (warnings){0};
    mq_log_set(count_warning, w);
    const mq_status status = run_trial(t);
    mq_log_set(NULL, NULL);
    return status;
}

/* Stopped behind so many steps, without cache, and gone on with from it, with other workers: the model is
 * one's. */
static void same_when_stopped(const trial *one, size_t steps) {
    trial first = *one, rest = *one;
    first.name = rest.name = "stopped";
    first.steps = rest.steps = 0;
    first.stop_at = steps, first.uncached = true, first.workers = 1;
    rest.resume = true, rest.workers = 7;
    assert_int_equal(run_trial(&first), MQ_INTERRUPTED);
    assert_int_equal(run_trial(&rest), MQ_OK);
    assert_int_equal(first.steps + rest.steps, one->steps);
    assert_true(rest.loss == one->loss && rest.top1 == one->top1);
    assert_same_model(one->set, one->name, "stopped", true);
    drop(one->set, "stopped");
}

/* Five bad records, from the cache and without, stopped in the second epoch. What was not read is in no
 * cache: with sound records the run is what it is without one. */
static void test_cached_run(void **state) {
    const uneven *u = *state;
    warnings w;
    trial one = {.set = u, .name = "one", .stages = HEADS, .plain = true, .workers = 2};
    one.stop_at = NEVER, one.max_bad = 0.1;
    trial sound = one, after = one;
    spoil_some();
    assert_int_equal(run_and_count(&one, &w), MQ_OK);
    assert_true(w.named == 5 && !w.more);
    assert_int_equal(one.result.skipped, 5);
    assert_int_equal(one.result.best.pictures, mq_dataset_count(u->dataset, MQ_VAL) - 1);
    assert_int_equal(in_log(u, "one", "\"event\": \"skipped\""), 5);
    assert_int_equal(in_log(u, "one", "\"skipped\": 5"), 2); /* in each epoch's line */
    same_when_stopped(&one, one.steps / 2 + 2);
    heal();
    sound.name = "sound", sound.uncached = true, after.name = "after";
    assert_int_equal(run_trial(&sound), MQ_OK);
    assert_int_equal(run_trial(&after), MQ_OK);
    assert_int_equal(after.result.skipped, 0);
    assert_same_model(u, "after", "sound", true);
    assert_same_model(u, "one", "sound", false);
    drop(u, "one");
    drop(u, "after"); /* sound stays, for others to be compared with */
}

/* Balanced, mixed, thawed on the statistics of smaller batches; stopped in the first epoch. */
static void test_thawed_run(void **state) {
    const uneven *u = *state;
    trial one = {.set = u, .name = "one", .stages = THAWED, .policy = "hflip,mixup=0.4@0.8,cutmix=1@0.8"};
    one.workers = 2, one.stop_at = NEVER, one.max_bad = 0.1;
    spoil_some();
    assert_int_equal(run_trial(&one), MQ_OK);
    same_when_stopped(&one, 3);
    drop(u, "one");
}

/* The sum of the means that a run's linear classifier takes from its features, which are no less than 0. */
static double sum_of_means(const uneven *u, const char *run) {
    enum { FEATURES = 512 };
    mq_err err = {0};
    mq_checkpoint *c = NULL;
    char folder[256];
    float means[FEATURES];
    double sum = 0;
    snprintf(folder, sizeof folder, "%s/%s/checkpoints", u->folder, run);
    const mq_checkpoint_place place = {folder, "a test", "this machine", 2};
    assert_ok(err, mq_checkpoint_open(&err, &place, true, &c));
    assert_ok(err, mq_checkpoint_read(&err, c, "head/mean", means, FEATURES));
    for (size_t i = 0; i < FEATURES; i++) sum += (double)means[i];
    mq_checkpoint_free(&c);
    return sum;
}

/* Only four training pictures are left: batches are passed over, and figures are of the four. All pictures
 * are noise, so the means of four are not far from those of all. */
static void test_few_left(void **state) {
    const uneven *u = *state;
    warnings w;
    for (size_t i = 0; i < u->count; i++) faults[0][i] = i % 13 ? CUT : SOUND;
    const size_t left = (u->count + 12) / 13;
    for (size_t uncached = 0; uncached < 2; uncached++) {
        trial few = {.set = u, .name = uncached ? "uncached" : "few", .stages = HEADS, .plain = true};
        few.workers = 2, few.stop_at = NEVER, few.max_bad = 1, few.uncached = uncached;
        assert_int_equal(run_and_count(&few, &w), MQ_OK);
        assert_true(w.named == 5 && w.more == 1);
        assert_int_equal(few.result.skipped, u->count - left);
        assert_int_equal(in_log(u, few.name, "\"event\": \"skipped\""), u->count - left);
        assert_true(few.steps >= 2 && few.steps <= 2 * left);
        const double right = few.top1 * (double)left;
        assert_true(isfinite(few.loss) && fabs(right - round(right)) < 1e-9);
    }
    assert_same_model(u, "few", "uncached", true);
    const double ratio = sum_of_means(u, "few") / sum_of_means(u, "sound");
    assert_true(ratio > 0.8 && ratio < 1.25);
    drop(u, "few");
    drop(u, "uncached");
}

static void spoil_all(trial *t, uint32_t epoch) {
    (void)t;
    if (epoch == 1)
        for (size_t i = 0; i < RECORDS; i++) faults[0][i] = ERROR;
}

/* Not one left of a part: a sentence, never a figure of nothing. */
static void test_none_left(void **state) {
    const uneven *u = *state;
    for (size_t i = 0; i < RECORDS; i++) faults[1][i] = ERROR;
    trial none = {.set = u, .name = "none", .stages = HEADS, .plain = true, .workers = 2, .uncached = true};
    none.stop_at = NEVER, none.max_bad = 1;
    assert_int_equal(run_trial(&none), MQ_BAD_DATA);
    assert_non_null(strstr(none.failure.text, "/set: no picture of the validation part can be read"));
    drop(u, "none");
    heal();
    none.failure = (mq_err){0}, none.behind = spoil_all;
    assert_int_equal(run_trial(&none), MQ_BAD_DATA);
    assert_non_null(strstr(none.failure.text, "/set: no picture of the training part can be read"));
    drop(u, "none");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_cached_run, begin), cmocka_unit_test_setup(test_thawed_run, begin),
        cmocka_unit_test_setup(test_few_left, begin), cmocka_unit_test_setup(test_none_left, begin)};
    return cmocka_run_group_tests(tests, make_uneven, remove_uneven);
}
