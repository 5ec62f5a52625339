/* test_mixed_run.c: whole runs on mixed pictures, balanced, weighted and smoothed, and on pictures shuffled
 * some at a time: the same models for any number of workers and wherever they are stopped, and no mixed
 * picture in the feature cache; and the share of time that runs tell they wait for pictures. Made-up weights,
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
    const char *name;    /* of the run, below the set's folder */
    const char *policy;  /* NULL: flips */
    const char *stages;  /* NULL: the classifier for an epoch and, unless plain, a block more for one */
    mq_augment *augment; /* while it runs, as are parts */
    mq_parts parts;
    bool plain, resume, uncached;
    size_t buffer;
    size_t workers;
    size_t stop_at;   /* steps of this process */
    useconds_t pause; /* microseconds that each step takes longer */
    size_t steps;
    double loss, top1; /* of the last epoch, training */
    double share;      /* of the present epoch's time, waiting for pictures */
    double most;       /* of all epochs' */
} trial;

static void count_steps(void *user, const mq_train_progress *p) {
    trial *t = user;
    if (p->phase == MQ_PHASE_TRAIN) {
        t->steps++;
        assert_true(p->waited >= 0 && p->waited <= p->seconds);
        t->share = p->waited / p->seconds;
        usleep(t->pause);
    } else if (p->phase == MQ_PHASE_EPOCH) {
        t->loss = p->row->train_loss, t->top1 = p->row->train_top1;
        assert_true(fabs(p->row->data_pct - 100 * t->share) < 1e-6);
        t->most = fmax(t->most, t->share);
    }
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
                          .parts = &t->parts,
                          .seed = 5,
                          .shuffle_buffer = t->buffer,
                          .cache = !t->uncached,
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
    const mq_stages_words words = {.stages = t->stages  ? t->stages
                                             : t->plain ? "head:1@1e-2"
                                                        : "head:1@1e-2,block14+:1@1e-4/train"};
    assert_ok(err, mq_stages_parse(&err, &words, stages, &count));
    assert_ok(err, mq_augment_parse(&err, t->policy ? t->policy : "reference", &t->augment));
    for (size_t i = 0; i < count; i++) stages[i].augment = t->augment;
    assert_ok(err, mq_parts_make(&err, t->set->dataset, 1, 0, &t->parts));
    mq_train_plan plan = plan_of(t, stages, count, &recipe);
    assert_ok(err, plan.arch->build(&err, SIDE, &graph));
    assert_ok(err, mq_seeded_weights(&err, graph, 3, &plan.weights));
    plan.run = open_run(t);
    const mq_status status = mq_train(&end, &plan, &result);
    if (status != MQ_OK && status != MQ_INTERRUPTED) fail_msg("%s", end.text);
    mq_augment_free(&t->augment);
    mq_parts_free(&t->parts);
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

/* How many parts of the data set have a cache. */
static size_t count_caches(const uneven *u) {
    char path[160];
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
    char cache[128];
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
                                       cmocka_unit_test(test_buffer), cmocka_unit_test(test_little_waiting)};
    return cmocka_run_group_tests(tests, make_uneven, remove_uneven);
}
