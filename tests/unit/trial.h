/* trial.h: a whole run in a test, on the uneven data set with made-up weights, and what it ended with. */
#ifndef MQ_UNIT_TRIAL_H
#define MQ_UNIT_TRIAL_H

#include "unit/nets.h"
#include "unit/uneven.h"

#include "train/checkpoint.h"
#include "train/train.h"

#include <math.h>
#include <unistd.h>

enum { SIDE = 71, BATCH = 7, NEVER = 1 << 30 };

static const float WEIGHTS[UNEVEN_CLASSES] = {0.5f, 2, 1, 3};

/* What a run is asked for, and what it told. */
typedef struct trial {
    const uneven *set;
    const char *name;    /* of the run, below the set's folder */
    const mq_arch *arch; /* NULL: a quarter of Xception, which is done sixteen times sooner */
    const char *stages;  /* NULL: those of the kind */
    const char *policy;  /* NULL: flips */
    mq_augment *augment; /* while it runs, as are parts */
    mq_parts parts;
    bool plain, resume, uncached;
    size_t buffer;
    size_t workers;
    size_t stop_at;   /* steps of this process */
    useconds_t pause; /* microseconds that each step takes longer */
    double max_bad;
    void (*behind)(struct trial *t, uint32_t epoch); /* each epoch, from 1; NULL: nothing */
    size_t steps;
    double loss, top1; /* of the last epoch, training */
    double share;      /* of the present epoch's time, waiting for pictures */
    double most;       /* of all epochs' */
    mq_train_result result;
    mq_err failure;
} trial;

static void count_steps(void *user, const mq_train_progress *p) {
    trial *t = user;
    if (p->phase == MQ_PHASE_TRAIN) {
        t->steps++;
        assert_true(p->waited >= 0 && p->waited <= p->seconds);
        t->share = p->waited / p->seconds;
        usleep(t->pause);
    }
    if (p->phase != MQ_PHASE_EPOCH) return;
    assert_true(fabs(p->row->data_pct - 100 * t->share) < 1e-6);
    t->most = fmax(t->most, t->share);
    t->loss = p->row->train_loss, t->top1 = p->row->train_top1;
    if (t->behind) t->behind(t, p->row->epoch);
}

static bool enough(void *user) {
    const trial *t = user;
    return t->steps >= t->stop_at;
}

static mq_train_plan plan_of(trial *t, const mq_stage *stages, size_t count, const mq_recipe *recipe) {
    mq_train_plan plan = {.size = sizeof plan,
                          .dataset = t->set->dataset,
                          .arch = t->arch ? t->arch : &quarter_arch,
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
                          .max_bad = t->max_bad,
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
    char folder[256];
    snprintf(folder, sizeof folder, "%s/%s", t->set->folder, t->name);
    if (t->resume) {
        assert_ok(err, mq_run_open(&err, folder, &run));
        return run;
    }
    assert_ok(err, mq_run_create(&err, folder, NULL, "set", "network", &run));
    assert_ok(err, mq_json_pack(&err, &config, "{}"));
    assert_ok(err, mq_run_describe(&err, run, config, t->set->dataset));
    mq_json_free(&config);
    return run;
}

static mq_status run_trial(trial *t) {
    mq_err err = {0};
    mq_graph *graph = NULL;
    mq_stage stages[MQ_STAGES_MAX];
    size_t count;
    const mq_recipe recipe = mq_recipe_default(SIDE, MQ_RANGE_TF);
    const char *stages_text = t->plain ? "head:1@1e-2" : "head:1@1e-2,block14+:1@1e-4/train";
    const mq_stages_words words = {.stages = t->stages ? t->stages : stages_text};
    assert_ok(err, mq_stages_parse(&err, &words, stages, &count));
    assert_ok(err, mq_augment_parse(&err, t->policy ? t->policy : "reference", &t->augment));
    for (size_t i = 0; i < count; i++) stages[i].augment = t->augment;
    assert_ok(err, mq_parts_make(&err, t->set->dataset, 1, 0, &t->parts));
    mq_train_plan plan = plan_of(t, stages, count, &recipe);
    assert_ok(err, plan.arch->build(&err, SIDE, &graph));
    assert_ok(err, mq_seeded_weights(&err, graph, 3, &plan.weights));
    plan.run = open_run(t);
    const mq_status status = mq_train(&t->failure, &plan, &t->result);
    if (status != MQ_OK && status != MQ_INTERRUPTED) print_message("%s: %s\n", t->name, t->failure.text);
    mq_augment_free(&t->augment);
    mq_parts_free(&t->parts);
    mq_run_free(&plan.run);
    mq_bundle_free(&plan.weights);
    mq_graph_free(&graph);
    return status;
}

static mq_buf model_of(const uneven *u, const char *name) {
    mq_err err = {0};
    char path[256];
    mq_buf file = mq_buf_init(1 << 28);
    snprintf(path, sizeof path, "%s/%s/weights/last.safetensors", u->folder, name);
    assert_ok(err, mq_file_read(&err, path, &file));
    return file;
}

static void assert_same_model(const uneven *u, const char *one, const char *other, bool same) {
    mq_buf a = model_of(u, one), b = model_of(u, other);
    assert_true((a.size == b.size && memcmp(a.data, b.data, a.size) == 0) == same);
    mq_buf_free(&a);
    mq_buf_free(&b);
}

/* How often the log of a run has words. */
static inline size_t in_log(const uneven *u, const char *run, const char *words) {
    mq_err err = {0};
    char path[256];
    size_t count = 0;
    mq_buf text = mq_buf_init(1 << 24);
    snprintf(path, sizeof path, "%s/%s/log.jsonl", u->folder, run);
    assert_ok(err, mq_file_read(&err, path, &text));
    for (const char *at = (const char *)text.data; (at = strstr(at, words)); at++) count++;
    mq_buf_free(&text);
    return count;
}

/* Takes the files of a run that is no longer needed: those of a whole network are 340 MB. */
static void drop(const uneven *u, const char *name) {
    mq_err err = {0};
    char path[256];
    snprintf(path, sizeof path, "%s/%s", u->folder, name);
    assert_ok(err, mq_remove_folder(&err, path));
}

#endif
