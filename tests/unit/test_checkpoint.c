/* test_checkpoint.c: checkpoints come back as they were saved; every flipped
 * bit and every cut is found, and the one before is used; nothing old goes
 * before something new is there. */
#include "unit/unit.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "train/checkpoint.h"
#include "unit/temporary.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { COUNT = 6 };

typedef struct {
    char folder[PLACE];
    char path[PLACE + 64];
    char warnings[4096]; /* all that were given, one a line */
} place;

static void keep_warning(void *user, mq_log_level level, const char *text) {
    place *here = user;
    const size_t n = strlen(here->warnings);
    if (level == MQ_LOG_WARNING) snprintf(here->warnings + n, sizeof here->warnings - n, "%s\n", text);
}

static int make_place(void **state) {
    static place here;
    here = (place){0};
    if (!temporary_folder(here.folder)) return -1;
    mq_log_set(keep_warning, &here);
    *state = &here;
    return 0;
}

static int remove_place(void **state) {
    mq_err err = {0};
    mq_log_set(NULL, NULL);
    return mq_remove_folder(&err, ((place *)*state)->folder) == MQ_OK ? 0 : -1;
}

static const char *file(place *here, unsigned steps) {
    snprintf(here->path, sizeof here->path, "%s/checkpoint-%010u.safetensors", here->folder, steps);
    return here->path;
}

static mq_checkpoint_place place_of(const place *here, size_t keep) {
    return (mq_checkpoint_place){here->folder, "settings", "two threads", keep};
}

/* A checkpoint whose numbers say which one it is. */
static mq_status save(mq_err *err, const place *here, unsigned steps, size_t keep) {
    const mq_checkpoint_place where = place_of(here, keep);
    float w[COUNT], m[COUNT];
    for (size_t i = 0; i < COUNT; i++) w[i] = (float)(steps + i), m[i] = -w[i];
    const mq_tensor tensors[] = {{"head/params", MQ_F32, 1, {COUNT}, w, sizeof w},
                                 {"a/kernel", MQ_F32, 2, {2, 3}, m, sizeof m}};
    const mq_progress_state state = {.stage = 1,
                                     .epoch = 2,
                                     .epochs_done = 3,
                                     .position = 4,
                                     .skipped = 2,
                                     .step = 5,
                                     .steps_done = steps,
                                     .loss_sum = 0.1,
                                     .right = 7,
                                     .best_epoch = 8,
                                     .best_top1 = 0.3,
                                     .best_top5 = 0.4,
                                     .best_loss = 0.7,
                                     .best_pictures = 11,
                                     .seconds = 1e9 + 0.1};
    return mq_checkpoint_save(err, &where, tensors, 2, &state);
}

/* Opens what is there and wants the checkpoint of `steps`. */
static void expect(const place *here, unsigned steps) {
    mq_err err = {0};
    mq_checkpoint *c = NULL;
    float w[COUNT], m[COUNT];
    const mq_checkpoint_place where = place_of(here, 5);
    assert_ok(err, mq_checkpoint_open(&err, &where, false, &c));
    assert_int_equal(mq_checkpoint_state(c)->steps_done, steps);
    assert_ok(err, mq_checkpoint_read(&err, c, "head/params", w, COUNT));
    assert_ok(err, mq_checkpoint_read(&err, c, "a/kernel", m, COUNT));
    for (size_t i = 0; i < COUNT; i++) assert_true(w[i] == (float)(steps + i) && m[i] == -w[i]);
    mq_checkpoint_free(&c);
}

static mq_status open_as(const place *here, const char *config, const char *environment, bool inexact) {
    mq_err err = {0};
    mq_checkpoint *c = NULL;
    const mq_checkpoint_place where = {here->folder, config, environment, 5};
    const mq_status status = mq_checkpoint_open(&err, &where, inexact, &c);
    if (status != MQ_OK) assert_non_null(strstr(err.text, here->folder));
    mq_checkpoint_free(&c);
    return status;
}

static void test_comes_back(void **state) {
    place *here = *state;
    mq_err err = {0};
    mq_checkpoint *c = NULL;
    float w[COUNT];
    const mq_checkpoint_place where = place_of(here, 5);
    assert_int_equal(open_as(here, "settings", "two threads", false), MQ_NO_INPUT);
    assert_ok(err, save(&err, here, 9, 5));
    assert_true(mq_file_exists(file(here, 9)));
    assert_ok(err, mq_checkpoint_open(&err, &where, false, &c));
    const mq_progress_state *s = mq_checkpoint_state(c);
    assert_true(s->stage == 1 && s->epoch == 2 && s->epochs_done == 3 && s->position == 4 && s->step == 5);
    assert_true(s->steps_done == 9 && s->right == 7 && s->best_epoch == 8);
    assert_true(s->skipped == 2 && s->best_pictures == 11);
    assert_true(s->loss_sum == 0.1 && s->best_top1 == 0.3 && s->best_top5 == 0.4 && s->best_loss == 0.7 &&
                s->seconds == 1e9 + 0.1);
    assert_true(mq_checkpoint_has(c, "a/kernel") && !mq_checkpoint_has(c, "a/bias"));
    assert_int_equal(mq_checkpoint_read(&err, c, "a/bias", w, COUNT), MQ_BAD_DATA);
    assert_non_null(strstr(err.text, "checkpoint-0000000009.safetensors: the tensor a/bias is missing"));
    err = (mq_err){0};
    assert_int_equal(mq_checkpoint_read(&err, c, "a/kernel", w, COUNT - 1), MQ_BAD_DATA);
    err = (mq_err){0};
    assert_int_equal(mq_checkpoint_read(&err, c, "state", w, 24), MQ_BAD_DATA);
    mq_checkpoint_free(&c);
    assert_null(c);
    mq_checkpoint_free(&c);
}

/* A checkpoint of nothing but where a run stood, whose state has count numbers 1, 2, 3 ..., as
 * docs/FORMATS.md says.
 */
static void write_state(place *here, unsigned steps, size_t count) {
    mq_err err = {0};
    mq_hash *hash = NULL;
    int64_t numbers[20];
    char hex[MQ_HASH_HEX_SIZE];
    const size_t rank = 1;
    static const char texts[] = "3\0settings\0two threads", tensor[] = "state\0i64";
    for (size_t i = 0; i < count; i++) numbers[i] = (int64_t)i + 1;
    const mq_tensor state = {"state", MQ_I64, 1, {count}, numbers, count * sizeof *numbers};
    assert_ok(err, mq_hash_begin(&err, &hash));
    mq_hash_add(hash, texts, sizeof texts);
    mq_hash_add(hash, tensor, sizeof tensor);
    mq_hash_add(hash, &rank, sizeof rank);
    mq_hash_add(hash, &count, sizeof count);
    mq_hash_add(hash, numbers, state.bytes);
    mq_hash_end(&hash, hex);
    const mq_meta meta[] = {
        {"marque.checkpoint", "3"}, {"config", "settings"}, {"environment", "two threads"}, {"hash", hex}};
    assert_ok(err, mq_bundle_write(&err, file(here, steps), &state, 1, meta, 4));
}

/* A state has 15 numbers, in the order of docs/FORMATS.md; other sizes are damage. */
static void test_states(void **state) {
    place *here = *state;
    const mq_checkpoint_place where = place_of(here, 5);
    for (size_t count = 13; count <= 16; count++) {
        mq_err err = {0};
        mq_checkpoint *c = NULL;
        write_state(here, 7, count);
        assert_int_equal(mq_checkpoint_open(&err, &where, false, &c), count == 15 ? MQ_OK : MQ_BAD_DATA);
        if (!c) continue;
        const mq_progress_state *s = mq_checkpoint_state(c);
        assert_true(s->stage == 1 && s->position == 4 && s->right == 8 && s->best_epoch == 9);
        assert_true(s->skipped == 14 && s->best_pictures == 15);
        mq_checkpoint_free(&c);
    }
}

static void test_refusals(void **state) {
    place *here = *state;
    mq_err err = {0};
    assert_ok(err, save(&err, here, 9, 5));
    assert_int_equal(open_as(here, "settings", "two threads", false), MQ_OK);
    assert_int_equal(open_as(here, "others", "two threads", false), MQ_BAD_DATA);
    assert_int_equal(open_as(here, "others", "two threads", true), MQ_BAD_DATA);
    assert_int_equal(open_as(here, "settings", "one thread", false), MQ_BAD_DATA);
    assert_int_equal(open_as(here, "settings", "one thread", true), MQ_OK);
}

/* Which of the checkpoints of 1 to 12 steps are there, as the sum of 1 << steps. */
static unsigned present(place *here) {
    unsigned sum = 0;
    for (unsigned steps = 1; steps <= 12; steps++) sum |= mq_file_exists(file(here, steps)) ? 1u << steps : 0;
    return sum;
}

static void test_keeps_the_newest(void **state) {
    place *here = *state;
    mq_err err = {0};
    for (unsigned steps = 1; steps <= 11; steps++) assert_ok(err, save(&err, here, steps, 3));
    assert_int_equal(present(here), 1u << 9 | 1u << 10 | 1u << 11);
    assert_ok(err, save(&err, here, 11, 3)); /* the same again: after validation, at a stage's end */
    assert_int_equal(present(here), 1u << 9 | 1u << 10 | 1u << 11);
    expect(here, 11);
}

/* A damaged one of later steps must not push out what is saved after it was passed over. */
static void test_damaged_ones_go(void **state) {
    place *here = *state;
    mq_err err = {0};
    assert_ok(err, save(&err, here, 5, 1));
    assert_ok(err, mq_file_write(&err, file(here, 8), "no checkpoint", 13));
    expect(here, 5);
    assert_int_equal(present(here), 1u << 5 | 1u << 8);
    assert_ok(err, save(&err, here, 6, 1));
    assert_int_equal(present(here), 1u << 6);
    expect(here, 6);
}

static void test_failed_save_removes_nothing(void **state) {
    place *here = *state;
    mq_err err = {0};
    char folder[PLACE + 96];
    assert_ok(err, save(&err, here, 5, 1));
    snprintf(folder, sizeof folder, "%s.tmp-%ld", file(here, 6), (long)getpid());
    assert_ok(err, mq_make_folder(&err, folder)); /* where the temporary file would be */
    assert_int_not_equal(save(&err, here, 6, 1), MQ_OK);
    assert_int_equal(present(here), 1u << 5);
    expect(here, 5);
}

static void test_temporary_files_go(void **state) {
    place *here = *state;
    mq_err err = {0};
    char left[PLACE + 96], ours[PLACE + 16];
    snprintf(left, sizeof left, "%s.tmp-4711", file(here, 6));
    snprintf(ours, sizeof ours, "%s/notes.tmp-x", here->folder);
    assert_ok(err, mq_file_write(&err, left, "half", 4));
    assert_ok(err, mq_file_write(&err, ours, "kept", 4));
    assert_ok(err, save(&err, here, 5, 5));
    assert_false(mq_file_exists(left));
    assert_ok(err, mq_file_write(&err, left, "half", 4));
    expect(here, 5);
    assert_false(mq_file_exists(left));
    assert_true(mq_file_exists(ours));
}

/* Damages the newest of two checkpoints, and wants the older one with warnings that name both. */
static void expect_fallback(place *here, const mq_buf *damaged, size_t size) {
    mq_err err = {0};
    assert_ok(err, mq_file_write(&err, file(here, 7), damaged->data, size));
    here->warnings[0] = 0;
    expect(here, 6);
    assert_non_null(strstr(here->warnings, "checkpoint-0000000007.safetensors"));
    assert_non_null(strstr(here->warnings, "checkpoint-0000000006.safetensors: the run goes on from this"));
}

static void test_every_flip_and_cut(void **state) {
    place *here = *state;
    mq_err err = {0};
    mq_buf bytes = mq_buf_init(1 << 20);
    assert_ok(err, save(&err, here, 6, 5));
    assert_ok(err, save(&err, here, 7, 5));
    assert_ok(err, mq_file_read(&err, file(here, 7), &bytes));
    for (size_t at = 0; at < bytes.size; at++) {
        const uint8_t bit = (uint8_t)(1u << at % 8);
        bytes.data[at] ^= bit;
        expect_fallback(here, &bytes, bytes.size);
        bytes.data[at] ^= bit;
    }
    for (size_t size = 0; size < bytes.size; size += 7) expect_fallback(here, &bytes, size);
    here->warnings[0] = 0;
    assert_ok(err, mq_file_write(&err, file(here, 7), bytes.data, bytes.size));
    expect(here, 7);
    assert_string_equal(here->warnings, "");
    mq_buf_free(&bytes);
}

static void test_all_damaged(void **state) {
    place *here = *state;
    mq_err err = {0};
    mq_checkpoint *c = NULL;
    const mq_checkpoint_place where = place_of(here, 5);
    assert_ok(err, mq_file_write(&err, file(here, 7), "", 0));
    assert_ok(err, mq_file_write(&err, file(here, 8), "no checkpoint", 13));
    assert_int_equal(mq_checkpoint_open(&err, &where, true, &c), MQ_BAD_DATA);
    assert_non_null(strstr(err.text, "none of its 2 checkpoints is sound"));
    assert_non_null(strstr(here->warnings, "checkpoint-0000000007"));
    assert_non_null(strstr(here->warnings, "checkpoint-0000000008"));
    assert_null(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_comes_back, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_states, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_refusals, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_keeps_the_newest, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_damaged_ones_go, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_failed_save_removes_nothing, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_temporary_files_go, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_every_flip_and_cut, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_all_damaged, make_place, remove_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
