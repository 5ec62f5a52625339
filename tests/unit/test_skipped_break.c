/* test_skipped_break.c: records that break under whole runs, and shards that are cut or taken away: too many
 * end the run, which goes on once they are back; what fails for a while is asked for again. */
#include "unit/faults.h"
#include "unit/trial.h"

static const char HEADS[] = "head:2@1e-2";

static void spoil_behind_first(trial *t, uint32_t epoch) {
    (void)t;
    if (epoch == 1) faults[0][7] = faults[0][21] = FLIPPED;
}

static void spoil_second_alone(trial *t, uint32_t epoch) {
    (void)t;
    faults[0][7] = epoch == 1 ? STALE : SOUND;
}

/* Records break behind the first epoch. With none allowed the run ends there, keeps what it has, and goes on
 * to the very model it would have had. What fails for a while is asked for again. */
static void test_breaks_under_the_run(void **state) {
    const uneven *u = *state;
    const trial how = {
        .set = u, .stages = HEADS, .plain = true, .uncached = true, .workers = 2, .stop_at = NEVER};
    trial sound = how, strict = how, rest = how, few = how, once = how;
    sound.name = "sound";
    assert_int_equal(run_trial(&sound), MQ_OK);
    strict.name = rest.name = "strict", strict.behind = spoil_behind_first, rest.resume = true;
    assert_int_equal(run_trial(&strict), MQ_BAD_DATA);
    assert_non_null(strstr(strict.failure.text, "more than the 0 that --max-bad 0 lets pass"));
    assert_non_null(strstr(strict.failure.text, "go on with --resume"));
    assert_non_null(strstr(strict.failure.text, "train-00000-of-00001.tfrecord: record "));
    heal();
    assert_int_equal(run_trial(&rest), MQ_OK);
    const size_t epoch = (u->count + BATCH - 1) / BATCH;
    assert_true(strict.steps >= epoch && strict.steps + rest.steps == 2 * epoch);
    assert_same_model(u, "sound", "strict", true);
    drop(u, "sound");
    drop(u, "strict");

    few.name = "few", few.max_bad = 1.5 / (double)(u->count + mq_dataset_count(u->dataset, MQ_VAL));
    few.behind = spoil_behind_first;
    assert_int_equal(run_trial(&few), MQ_BAD_DATA);
    assert_non_null(strstr(few.failure.text, "/set: 2 of the "));
    assert_non_null(strstr(few.failure.text, "more than the 1 that --max-bad "));
    assert_int_equal(in_log(u, "few", "\"event\": \"skipped\""), 1);
    drop(u, "few");

    heal();
    once.stages = "head:3@1e-2", once.name = "once", once.max_bad = 0.1, once.behind = spoil_second_alone;
    assert_int_equal(run_trial(&once), MQ_OK);
    assert_int_equal(once.result.skipped, 1);
    assert_int_equal(in_log(u, "once", "\"event\": \"skipped\""), 1);
    assert_int_equal(in_log(u, "once", "\"skipped\": 0"), 1); /* the first epoch's line */
    drop(u, "once");
}

static char shard[320]; /* that a run reads */

static void cut_shard(trial *t, uint32_t epoch) {
    if (epoch == 1) assert_int_equal(truncate(shard, (off_t)ends[0][t->set->count - 3]), 0);
}

static void take_shard(trial *t, uint32_t epoch) {
    (void)t;
    if (epoch == 1) assert_int_equal(unlink(shard), 0);
}

/* The file itself: cut by two records it loses these; gone, it ends the run. No run begins on either. */
static void test_shard(void **state) {
    const uneven *u = *state;
    static void (*const does[])(trial * t, uint32_t epoch) = {cut_shard, take_shard};
    mq_buf copy = mq_buf_init(1 << 24);
    char set[256];
    mq_err err = {0};
    snprintf(set, sizeof set, "%s/set", u->folder);
    snprintf(shard, sizeof shard, "%s/train-00000-of-00001.tfrecord", set);
    assert_ok(err, mq_file_read(&err, shard, &copy));
    for (int gone = 0; gone < 2; gone++) {
        mq_err refused = {0};
        mq_dataset *again = NULL;
        trial t = {.set = u, .name = "shard", .stages = HEADS, .plain = true, .uncached = true, .workers = 2};
        t.stop_at = NEVER, t.max_bad = 0.05, t.behind = does[gone];
        assert_int_equal(run_trial(&t), gone ? MQ_NO_INPUT : MQ_OK);
        if (gone) assert_non_null(strstr(t.failure.text, "--max-bad 0.05"));
        if (!gone) assert_int_equal(t.result.skipped, 2);
        assert_int_equal(mq_dataset_open(&refused, set, &again), MQ_BAD_DATA);
        assert_ok(err, mq_file_write(&err, shard, copy.data, copy.size));
        drop(u, "shard");
    }
    mq_buf_free(&copy);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(test_breaks_under_the_run, begin),
                                       cmocka_unit_test_setup(test_shard, begin)};
    return cmocka_run_group_tests(tests, make_uneven, remove_uneven);
}
