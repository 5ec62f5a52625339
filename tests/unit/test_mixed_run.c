/* test_mixed_run.c: whole runs on mixed pictures, balanced, weighted and smoothed, and on pictures shuffled
 * some at a time: the same models for any number of workers and wherever they are stopped, and no mixed
 * picture in the feature cache; that validation is of the model that is written; and the share of time that
 * runs tell they wait for pictures. Made-up weights, small pictures. */
#include "unit/trial.h"

#include "train/evaluate.h"

#include <dirent.h>
#include <math.h>

/* How many parts of the data set have a cache. */
static size_t count_caches(const uneven *u) {
    char path[256];
    size_t count = 0;
    snprintf(path, sizeof path, "%s/cache/marque/features", u->folder);
    DIR *dir = opendir(path);
    for (const struct dirent *e; dir && (e = readdir(dir));) count += e->d_name[0] != '.';
    if (dir) closedir(dir);
    return count;
}

static const char MIXED[] = "hflip,mixup=0.4@0.8,cutmix=1@0.8";

static void test_run(void **state) {
    const uneven *u = *state;
    char cache[256];
    snprintf(cache, sizeof cache, "%s/cache", u->folder);
    setenv("XDG_CACHE_HOME", cache, 1);
    trial one = {.set = u, .name = "one", .policy = MIXED, .workers = 1, .stop_at = NEVER};
    assert_int_equal(run_trial(&one), MQ_OK);
    assert_int_equal(count_caches(u), 2); /* of the validation part, in both stages */
    const size_t epoch = (u->count + BATCH - 1) / BATCH;
    assert_int_equal(one.steps, 2 * epoch);
    assert_true(isfinite(one.loss) && one.loss > 0 && one.top1 >= 0 && one.top1 <= 1);
    /* Stopped in the middle of the first epoch and in the second stage. */
    const size_t stops[] = {epoch / 2, epoch + 2, NEVER}, workers[] = {2, 7, 3};
    for (size_t i = 0, done = 0; i < 3; i++) {
        trial part = {.set = u,
                      .name = "cut",
                      .policy = MIXED,
                      .workers = workers[i],
                      .resume = i > 0,
                      .stop_at = stops[i] - done};
        assert_int_equal(run_trial(&part), i < 2 ? MQ_INTERRUPTED : MQ_OK);
        done += part.steps;
        assert_int_equal(done, i < 2 ? stops[i] : 2 * epoch);
        if (i == 2) assert_true(part.loss == one.loss && part.top1 == one.top1);
    }
    assert_same_model(u, "one", "cut", true);
    drop(u, "cut");
}

/* Mixing alone changes the model; without it there is a cache. */
static void test_settings(void **state) {
    const uneven *u = *state;
    trial plain = {.set = u, .name = "plain", .plain = true, .workers = 2, .stop_at = NEVER};
    assert_int_equal(run_trial(&plain), MQ_OK);
    assert_int_equal(count_caches(u), 3); /* with the training part's, of the first stage */
    trial mixed = plain;
    mixed.name = "mixed", mixed.policy = MIXED;
    assert_int_equal(run_trial(&mixed), MQ_OK);
    assert_same_model(u, "plain", "mixed", false);
}

/* A buffer is another order, the same from the cache, from the shards and from where a run was stopped. */
static void test_buffer(void **state) {
    const uneven *u = *state;
    const size_t epoch = (u->count + BATCH - 1) / BATCH;
    const trial whole = {
        .set = u, .name = "whole", .plain = true, .buffer = 10, .workers = 2, .stop_at = NEVER};
    trial one = whole, first = whole, rest = whole;
    assert_int_equal(run_trial(&one), MQ_OK);
    assert_same_model(u, "plain", "whole", false);
    first.name = rest.name = "stopped", first.stop_at = epoch / 2;
    assert_int_equal(run_trial(&first), MQ_INTERRUPTED);
    rest.resume = rest.uncached = true, rest.workers = 1;
    assert_int_equal(run_trial(&rest), MQ_OK);
    assert_int_equal(first.steps + rest.steps, epoch);
    assert_true(rest.loss == one.loss && rest.top1 == one.top1);
    assert_same_model(u, "whole", "stopped", true);
}

/* What a run says of its thawed layers is what the model it writes answers. */
static void test_validated(void **state) {
    const uneven *u = *state;
    mq_err err = {0};
    trial t = {.set = u,
               .name = "thawed",
               .arch = mq_arch_find("xception"), /* a model is opened by its network's name */
               .stages = "block14+:2@1e-3/train",
               .workers = 2,
               .stop_at = NEVER};
    assert_int_equal(run_trial(&t), MQ_OK);
    char path[256];
    snprintf(path, sizeof path, "%s/%s/weights/best.safetensors", u->folder, t.name);
    const mq_model_plan model = {.size = sizeof model, .path = path, .batch = 8, .dtype = MQ_F32};
    mq_evaluate_plan plan = {.size = sizeof plan,
                             .dataset = u->dataset,
                             .split = MQ_VAL,
                             .batch = 8,
                             .workers = 1,
                             .model_name = "thawed"};
    mq_scores scores;
    mq_json *json = NULL;
    assert_ok(err, mq_model_open(&err, &model, &plan.model));
    assert_ok(err, mq_evaluate(&err, &plan, &scores, &json));
    assert_float_equal(scores.loss, t.result.best.loss, 1e-4);
    assert_float_equal(scores.top1, t.result.best.top1, 1e-6);
    mq_json_free(&json);
    mq_model_free(&plan.model);
    drop(u, t.name);
}

/* Small pictures are there long before a slow step wants them: in each of three epochs, in two stages. */
static void test_little_waiting(void **state) {
    const trial fast = {.set = *state,
                        .name = "fast",
                        .plain = true,
                        .stages = "head:2@1e-2,head:1@1e-3",
                        .uncached = true,
                        .workers = 1,
                        .stop_at = NEVER,
                        .pause = 20000};
    trial t = fast;
    assert_int_equal(run_trial(&t), MQ_OK);
    if (t.most > 0.3) fail_msg("%.3f of an epoch spent waiting for small pictures", t.most);
    drop(t.set, t.name);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_run), cmocka_unit_test(test_settings),
                                       cmocka_unit_test(test_buffer), cmocka_unit_test(test_validated),
                                       cmocka_unit_test(test_little_waiting)};
    return cmocka_run_group_tests(tests, make_uneven, remove_uneven);
}
