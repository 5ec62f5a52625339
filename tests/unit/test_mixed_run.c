/* test_mixed_run.c: whole runs on mixed pictures, balanced, weighted and smoothed: the same models for any
 * number of workers and wherever they are stopped, and no training picture in the cache. Made-up weights,
 * small pictures. */
#include "unit/uneven.h"

#include "net/seeded.h"
#include "train/train.h"

#include <dirent.h>
#include <math.h>

enum { SIDE = 71, BATCH = 7, NEVER = 1 << 30 };

static const float WEIGHTS[UNEVEN_CLASSES] = {0.5f, 2, 1, 3};

/* What a run is asked for, and what it told. */
typedef struct {
    const uneven *set;
    const char *name; /* of the run, below the set's folder */
    mq_mix_rule mix;
    bool plain, resume;
    size_t workers;
    size_t stop_at; /* steps of this process */
    size_t steps;
    double loss, top1; /* of the last epoch, training */
} trial;

static void count_steps(void *user, const mq_train_progress *p) {
    trial *t = user;
    t->steps += p->phase == MQ_PHASE_TRAIN;
    if (p->phase == MQ_PHASE_EPOCH) t->loss = p->row->train_loss, t->top1 = p->row->train_top1;
}

static bool enough(void *user) {
    const trial *t = user;
    return t->steps >= t->stop_at;
}

static mq_train_plan plan_of(trial *t, const mq_stage *stages, size_t count, const mq_recipe *recipe) {
    mq_train_plan plan = {.size = sizeof plan,
                          .dataset = t->set->dataset,
                          .arch = mq_arch_find("xception"),
                          .recipe = recipe,
                          .config = "a test",
                          .resume = t->resume,
                          .head = MQ_HEAD_LINEAR,
                          .dtype = MQ_F32,
                          .stages = stages,
                          .stage_count = count,
                          .batch = BATCH,
                          .workers = t->workers,
                          .keep = 2,
                          .checkpoint_every = 1e9,
                          .fraction = 1,
                          .seed = 5,
                          .mix = t->mix,
                          .cache = true,
                          .stop = enough,
                          .progress = count_steps,
                          .user = t};
    if (t->plain) return plan;
    plan.sampling = MQ_SAMPLE_BALANCED;
    plan.class_weights = WEIGHTS;
    plan.smoothing = 0.1;
    return plan;
}

static mq_run *open_run(const trial *t) {
    mq_err err = {0};
    mq_run *run = NULL;
    mq_json *config = NULL;
    char folder[128];
    snprintf(folder, sizeof folder, "%s/%s", t->set->folder, t->name);
    if (t->resume) {
        assert_ok(err, mq_run_open(&err, folder, &run));
        return run;
    }
    assert_ok(err, mq_run_create(&err, folder, NULL, "set", "xception", &run));
    assert_ok(err, mq_json_pack(&err, &config, "{}"));
    assert_ok(err, mq_run_describe(&err, run, config, t->set->dataset));
    mq_json_free(&config);
    return run;
}

static mq_status run_trial(trial *t) {
    mq_err err = {0}, end = {0};
    mq_graph *graph = NULL;
    mq_stage stages[MQ_STAGES_MAX];
    size_t count;
    const mq_recipe recipe = mq_recipe_default(SIDE, MQ_RANGE_TF);
    mq_train_result result;
    const mq_stages_words words = {.stages = t->plain ? "head:1@1e-2" : "head:1@1e-2,block14+:1@1e-4/train"};
    assert_ok(err, mq_stages_parse(&err, &words, stages, &count));
    mq_train_plan plan = plan_of(t, stages, count, &recipe);
    assert_ok(err, plan.arch->build(&err, SIDE, &graph));
    assert_ok(err, mq_seeded_weights(&err, graph, 3, &plan.weights));
    plan.run = open_run(t);
    const mq_status status = mq_train(&end, &plan, &result);
    if (status != MQ_OK && status != MQ_INTERRUPTED) fail_msg("%s", end.text);
    mq_run_free(&plan.run);
    mq_bundle_free(&plan.weights);
    mq_graph_free(&graph);
    return status;
}

static mq_buf model_of(const uneven *u, const char *name) {
    mq_err err = {0};
    char path[160];
    mq_buf file = mq_buf_init(1 << 28);
    snprintf(path, sizeof path, "%s/%s/weights/last.safetensors", u->folder, name);
    assert_ok(err, mq_file_read(&err, path, &file));
    return file;
}

static void assert_same_model(const uneven *u, const char *one, const char *other, bool same) {
    mq_buf a = model_of(u, one), b = model_of(u, other);
    assert_int_equal(a.size, b.size);
    assert_true((memcmp(a.data, b.data, a.size) == 0) == same);
    mq_buf_free(&a);
    mq_buf_free(&b);
}

/* Takes the files of a run that is no longer needed: 340 MB. */
static void drop(const uneven *u, const char *name) {
    mq_err err = {0};
    char path[160];
    snprintf(path, sizeof path, "%s/%s", u->folder, name);
    assert_ok(err, mq_remove_folder(&err, path));
}

/* Whether there is a feature cache of the part. */
static bool has_cache(const uneven *u, const char *split) {
    char path[512], wanted[64];
    bool found = false;
    snprintf(path, sizeof path, "%s/cache/marque/features", u->folder);
    snprintf(wanted, sizeof wanted, "\"%s\"", split);
    DIR *folder = opendir(path);
    for (const struct dirent *entry; folder && (entry = readdir(folder));) {
        mq_err err = {0};
        mq_buf file = mq_buf_init(1 << 20);
        snprintf(path, sizeof path, "%s/cache/marque/features/%.100s/meta.json", u->folder, entry->d_name);
        if (mq_file_exists(path)) {
            assert_ok(err, mq_file_read(&err, path, &file));
            found = found || strstr((const char *)file.data, wanted);
        }
        mq_buf_free(&file);
    }
    if (folder) closedir(folder);
    return found;
}

static const mq_mix_rule RULE = {.mixup = 0.4, .cutmix = 1, .probability = 0.8};

static void test_run(void **state) {
    const uneven *u = *state;
    char cache[128];
    snprintf(cache, sizeof cache, "%s/cache", u->folder);
    setenv("XDG_CACHE_HOME", cache, 1);
    trial one = {.set = u, .name = "one", .mix = RULE, .workers = 1, .stop_at = NEVER};
    assert_int_equal(run_trial(&one), MQ_OK);
    assert_true(has_cache(u, "val") && !has_cache(u, "train"));
    const size_t epoch = (u->count + BATCH - 1) / BATCH;
    assert_int_equal(one.steps, 2 * epoch);
    assert_true(isfinite(one.loss) && one.loss > 0 && one.top1 >= 0 && one.top1 <= 1);
    /* Stopped in the middle of the first epoch and in the second stage. */
    const size_t stops[] = {epoch / 2, epoch + 2, NEVER}, workers[] = {2, 7, 3};
    for (size_t i = 0, done = 0; i < 3; i++) {
        trial part = {.set = u,
                      .name = "cut",
                      .mix = RULE,
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
    assert_true(has_cache(u, "train"));
    trial mixed = plain;
    mixed.name = "mixed", mixed.mix = RULE;
    assert_int_equal(run_trial(&mixed), MQ_OK);
    assert_same_model(u, "plain", "mixed", false);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_run), cmocka_unit_test(test_settings)};
    return cmocka_run_group_tests(tests, make_uneven, remove_uneven);
}
