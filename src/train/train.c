/* train.c: the run from its first picture to its models. Called by `marque
 * train`. Invariant: the weights after any step are a function of the plan
 * alone: not of when it was interrupted, nor of when a checkpoint was written. */
#include "train/train.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "infer/model.h"
#include "train/checkpoint.h"
#include "train/feed.h"
#include "train/records.h"

#include <math.h>
#include <string.h>

enum { TRUNK_BATCH = 16, VALIDATION_ROWS = 64 };

/* Everything a run holds while it works. */
typedef struct {
    const mq_train_plan *plan;
    mq_program *program;
    uint32_t *subset; /* [count] training pictures, as indexes into the training part */
    size_t count;
    mq_records *records;  /* log and curves */
    mq_feed *train, *val; /* val NULL: no validation part */
    mq_split phase_split; /* whose features are being computed */
    mq_head *head;
    mq_head_trainer *trainer;
    mq_head_work *val_work;
    mq_metrics *metrics;
    float *best;     /* [head->count] */
    uint32_t *order; /* [count] of the present epoch */
    uint8_t *flips;  /* [count] of the present epoch */
    mq_progress_state state;
    double checkpointed; /* when the last checkpoint was written, seconds */
    double resumed;      /* when this process began to train, seconds */
    char *checkpoints, *environment;
} session;

mq_status mq_train_subset(mq_err *err, const mq_dataset *dataset, double fraction, uint32_t **subset,
                          size_t *count) {
    mq_status status = MQ_OK;
    const size_t all = mq_dataset_count(dataset, MQ_TRAIN), classes = mq_dataset_classes(dataset);
    size_t *left = NULL;
    uint32_t *list = NULL;
    *count = 0;
    MQ_TRY(mq_calloc(err, all, sizeof *list, "a list of pictures", &list));
    MQ_TRY(mq_calloc(err, classes, sizeof *left, "a list of classes", &left));
    for (size_t i = 0; i < all; i++) left[mq_dataset_label(dataset, MQ_TRAIN, i)]++;
    for (size_t c = 0; c < classes; c++)
        if (left[c]) left[c] = (size_t)fmax(1, round(fraction * (double)left[c]));
    for (size_t i = 0; i < all; i++) {
        size_t *quota = &left[mq_dataset_label(dataset, MQ_TRAIN, i)];
        if (*quota) list[(*count)++] = (uint32_t)i, (*quota)--;
    }
    *subset = list;
    list = NULL;
cleanup:
    free(left);
    free(list);
    return status;
}

static void tell_features(void *user, size_t done, size_t fresh, double seconds, double waited) {
    const session *s = user;
    const size_t total = s->phase_split == MQ_TRAIN ? s->count
                                                    : mq_dataset_count(s->plan->dataset, s->phase_split);
    const double pace = seconds > 0 ? (double)fresh / seconds : 0;
    const mq_train_progress p = {.phase = MQ_PHASE_FEATURES,
                                 .split = s->phase_split,
                                 .done = done,
                                 .total = total,
                                 .seconds = seconds,
                                 .waited = waited,
                                 .img_s = pace,
                                 .left = pace > 0 ? (double)(total - done) / pace : 0};
    if (s->plan->progress) s->plan->progress(s->plan->user, &p);
}

static bool stopped(void *user) {
    const session *s = user;
    return s->plan->stop && s->plan->stop(s->plan->user);
}

static mq_features_plan features_of(session *s, mq_split split) {
    const mq_train_plan *plan = s->plan;
    const bool train = split == MQ_TRAIN;
    return (mq_features_plan){.size = sizeof(mq_features_plan),
                              .dataset = plan->dataset,
                              .split = split,
                              .subset = train && s->count < mq_dataset_count(plan->dataset, split) ? s->subset
                                                                                                   : NULL,
                              .count = train ? s->count : mq_dataset_count(plan->dataset, split),
                              .flips = train,
                              .recipe = plan->recipe,
                              .program = s->program,
                              .weights_digest = mq_bundle_digest(plan->weights),
                              .width = plan->arch->features,
                              .dtype = plan->dtype,
                              .batch = TRUNK_BATCH,
                              .workers = plan->workers,
                              .stop = stopped,
                              .progress = tell_features,
                              .user = s};
}

mq_status mq_train_disk(mq_err *err, const mq_train_plan *plan, uint64_t *bytes) {
    mq_status status = MQ_OK;
    session s = {.plan = plan};
    *bytes = 0;
    MQ_TRY(mq_train_subset(err, plan->dataset, plan->fraction, &s.subset, &s.count));
    for (mq_split split = MQ_TRAIN; split <= MQ_VAL; split++) {
        const mq_features_plan features = features_of(&s, split);
        *bytes += mq_features_bytes(&features);
    }
cleanup:
    free(s.subset);
    return status;
}

static mq_status open_feed(mq_err *err, session *s, mq_split split, mq_feed **feed) {
    const mq_features_plan plan = features_of(s, split);
    s->phase_split = split;
    return mq_feed_open(err, &plan, s->plan->cache, feed);
}

static void close_session(session *s) {
    mq_feed_free(&s->train);
    mq_feed_free(&s->val);
    mq_program_free(&s->program);
    mq_head_trainer_free(&s->trainer);
    mq_head_work_free(&s->val_work);
    mq_head_free(&s->head);
    mq_metrics_free(&s->metrics);
    free(s->subset);
    free(s->best);
    free(s->order);
    free(s->flips);
    free(s->checkpoints);
    free(s->environment);
}

static mq_status open_session(mq_err *err, session *s) {
    mq_status status = MQ_OK;
    const mq_train_plan *plan = s->plan;
    const size_t classes = mq_dataset_classes(plan->dataset);
    MQ_TRY(mq_train_subset(err, plan->dataset, plan->fraction, &s->subset, &s->count));
    MQ_REQUIRE(s->count, err, MQ_BAD_DATA, "%s: no pictures to train on", mq_dataset_folder(plan->dataset));
    const mq_program_plan program = {.size = sizeof program,
                                     .arch = plan->arch,
                                     .weights = plan->weights,
                                     .prefix = "",
                                     .imgsz = plan->recipe->imgsz,
                                     .batch = TRUNK_BATCH,
                                     .dtype = plan->dtype};
    MQ_TRY(mq_program_create(err, &program, &s->program));
    /* The trunk's numbers do not depend on the threads, but the sums of the classifier's gradients may. */
    MQ_TRY(mq_format(err, &s->environment, "%s, %d threads", mq_program_key(s->program), mq_par_threads()));
    MQ_TRY(mq_run_path(err, plan->run, "checkpoints", &s->checkpoints));
    MQ_TRY(open_feed(err, s, MQ_TRAIN, &s->train));
    if (mq_dataset_count(plan->dataset, MQ_VAL)) MQ_TRY(open_feed(err, s, MQ_VAL, &s->val));
    MQ_TRY(mq_head_create(err, plan->head, plan->arch->features, classes, &s->head));
    MQ_TRY(mq_head_trainer_create(err, s->head, plan->batch, &s->trainer));
    MQ_TRY(mq_head_work_create(err, s->head, VALIDATION_ROWS, &s->val_work));
    MQ_TRY(mq_metrics_create(err, classes, &s->metrics));
    MQ_TRY(mq_calloc(err, s->head->count, sizeof *s->best, "the best classifier", &s->best));
    MQ_TRY(mq_calloc(err, s->count, sizeof *s->order, "the order of pictures", &s->order));
    MQ_TRY(mq_calloc(err, s->count, sizeof *s->flips, "the flips of pictures", &s->flips));
    mq_head_init(s->head, plan->seed);
    if (plan->head == MQ_HEAD_LINEAR)
        MQ_TRY(mq_feed_statistics(err, s->train, s->head->mean, s->head->scale));
cleanup:
    return status;
}

static mq_checkpoint_place place_of(const session *s) {
    return (mq_checkpoint_place){s->checkpoints, s->plan->config, s->environment, s->plan->keep};
}

/* What a checkpoint holds beside the state: names, and where the numbers lie. */
typedef struct {
    const char *name;
    float *data; /* [head->count] */
} saved_block;

enum { SAVED_BLOCKS = 4 };

static void list_blocks(const session *s, saved_block blocks[SAVED_BLOCKS]) {
    const saved_block all[SAVED_BLOCKS] = {{"head/params", s->head->params},
                                           {"head/m", s->trainer->m},
                                           {"head/v", s->trainer->v},
                                           {"head/best", s->best}};
    memcpy(blocks, all, sizeof all);
}

static mq_status save(mq_err *err, session *s) {
    mq_status status = MQ_OK;
    const mq_checkpoint_place place = place_of(s);
    const double now = mq_seconds();
    mq_progress_state state = s->state;
    saved_block blocks[SAVED_BLOCKS];
    mq_tensor tensors[SAVED_BLOCKS];
    list_blocks(s, blocks);
    for (size_t i = 0; i < SAVED_BLOCKS; i++)
        tensors[i] = (mq_tensor){.name = blocks[i].name,
                                 .dtype = MQ_F32,
                                 .rank = 1,
                                 .shape = {s->head->count},
                                 .data = blocks[i].data,
                                 .bytes = s->head->count * sizeof(float)};
    state.seconds += now - s->resumed;
    s->checkpointed = now;
    MQ_TRY(mq_checkpoint_save(err, &place, tensors, SAVED_BLOCKS, &state));
    mq_records_event(s->records, "checkpoint", NULL);
cleanup:
    return status;
}

/* Goes back to where the newest checkpoint stood; without any the run starts at its beginning. */
static mq_status resume(mq_err *err, session *s) {
    mq_status status = MQ_OK;
    const mq_checkpoint_place place = place_of(s);
    mq_checkpoint *checkpoint = NULL;
    saved_block blocks[SAVED_BLOCKS];
    mq_err none = {0};
    const mq_status found = mq_checkpoint_open(&none, &place, s->plan->inexact, &checkpoint);
    if (found == MQ_NO_INPUT) {
        mq_note("no checkpoint yet: the run starts at its beginning");
        goto cleanup;
    }
    MQ_REQUIRE(found == MQ_OK, err, found, "%s", none.text);
    list_blocks(s, blocks);
    for (size_t i = 0; i < SAVED_BLOCKS; i++)
        MQ_TRY(mq_checkpoint_read(err, checkpoint, blocks[i].name, blocks[i].data, s->head->count));
    s->state = *mq_checkpoint_state(checkpoint);
    MQ_REQUIRE(s->state.stage < s->plan->stage_count && s->state.position <= s->count, err, MQ_BAD_DATA,
               "%s: a checkpoint stands where this run has no stage or no picture", s->checkpoints);
    s->trainer->step = s->state.step;
cleanup:
    mq_checkpoint_free(&checkpoint);
    return status;
}

/* A checkpoint in the middle of a run: a full disk must not end the run, so it only warns. */
static void save_or_warn(session *s) {
    mq_err err = {0};
    if (save(&err, s) == MQ_OK) return;
    mq_warn("no checkpoint: %s; training goes on", err.text);
    mq_records_warning(s->records, err.text);
}

/* The order and flips of the present epoch, functions of seed and epoch alone. */
static void draw_epoch(session *s) {
    const uint64_t seed = s->plan->seed;
    const uint32_t epoch = s->state.epochs_done;
    mq_rng_permutation(seed, MQ_RNG_SHUFFLE, epoch, s->order, (uint32_t)s->count);
    for (size_t i = 0; i < s->count; i++)
        s->flips[i] = mq_rng_u32(seed, MQ_RNG_FLIP, epoch, s->subset[s->order[i]]) & 1;
}

static void tell_training(const session *s, double seconds, size_t worked) {
    const mq_stage *stage = &s->plan->stages[s->state.stage];
    const double done = (double)s->state.position, pace = seconds > 0 ? (double)worked / seconds : 0;
    const double left = (double)(stage->epochs - s->state.epoch) * (double)s->count - done;
    const mq_train_progress p = {.phase = MQ_PHASE_TRAIN,
                                 .done = s->state.position,
                                 .total = s->count,
                                 .seconds = seconds,
                                 .waited = mq_feed_waited(s->train),
                                 .left = pace > 0 ? left / pace : 0,
                                 .epoch = s->state.epoch + 1,
                                 .epochs = stage->epochs,
                                 .stage = stage->thaw,
                                 .loss = s->state.loss_sum / done,
                                 .top1 = (double)s->state.right / done,
                                 .lr = stage->lr,
                                 .img_s = pace};
    mq_records_step(s->records, s->state.steps_done, p.loss, p.top1, p.lr, p.img_s);
    if (s->plan->progress) s->plan->progress(s->plan->user, &p);
}

/* Adds what the step's forward pass said to the sums of the epoch. */
static void count_batch(session *s, const uint32_t *labels, size_t n) {
    const mq_head_work *work = s->trainer->work;
    for (size_t i = 0; i < n; i++) {
        size_t answer;
        mq_top_k(work->p + i * s->head->classes, s->head->classes, 1, &answer);
        s->state.loss_sum += (double)work->loss[i];
        s->state.right += answer == labels[i];
    }
    s->state.position += n;
}

/* The rest of the present epoch, from state.position on. */
static mq_status train_epoch(mq_err *err, session *s, double *seconds, size_t *worked) {
    mq_status status = MQ_OK;
    const mq_train_plan *plan = s->plan;
    const double lr = plan->stages[s->state.stage].lr, start = mq_seconds();
    const size_t from = s->state.position;
    const float *x;
    const uint32_t *labels;
    size_t n;
    draw_epoch(s);
    MQ_TRY(mq_feed_begin(err, s->train, s->order + from, s->flips + from, s->count - from, plan->batch));
    for (;;) {
        MQ_TRY(mq_feed_next(err, s->train, &x, &labels, &n));
        if (!n) break;
        MQ_TRY(mq_head_step(err, s->trainer, x, labels, n, lr));
        count_batch(s, labels, n);
        s->state.step = s->trainer->step;
        s->state.steps_done++;
        tell_training(s, mq_seconds() - start, s->state.position - from);
        if (stopped(s)) {
            MQ_TRY(save(err, s));
            MQ_REQUIRE(false, err, MQ_INTERRUPTED, "stopped; a checkpoint is written");
        }
        if (mq_seconds() - s->checkpointed >= plan->checkpoint_every) save_or_warn(s);
    }
    *seconds = mq_seconds() - start;
    *worked = s->state.position - from;
cleanup:
    return status;
}

static mq_status validate(mq_err *err, session *s, mq_scores *scores) {
    mq_status status = MQ_OK;
    const float *x;
    const uint32_t *labels;
    size_t n;
    mq_metrics_reset(s->metrics);
    MQ_TRY(
        mq_feed_begin(err, s->val, NULL, NULL, mq_dataset_count(s->plan->dataset, MQ_VAL), VALIDATION_ROWS));
    for (;;) {
        MQ_TRY(mq_feed_next(err, s->val, &x, &labels, &n));
        if (!n) break;
        MQ_TRY(mq_head_forward(err, s->head, s->val_work, x, labels, n));
        mq_metrics_add(s->metrics, s->val_work->p, s->val_work->loss, labels, n);
        MQ_REQUIRE(!stopped(s), err, MQ_INTERRUPTED, "stopped during validation; a checkpoint is written");
    }
    mq_metrics_scores(s->metrics, scores);
cleanup:
    return status;
}

/* Better by the monitored figure; ties of top-1 by loss, and of loss by top-1. Without validation the last is
 * best. */
static bool better(const session *s, const mq_scores *scores) {
    const mq_progress_state *state = &s->state;
    if (!s->val || !state->best_epoch) return true;
    const bool by_top1 = scores->top1 > state->best_top1, same_top1 = scores->top1 == state->best_top1;
    const bool by_loss = scores->loss < state->best_loss, same_loss = scores->loss == state->best_loss;
    return s->plan->monitor == MQ_MONITOR_TOP1 ? by_top1 || (same_top1 && by_loss)
                                               : by_loss || (same_loss && by_top1);
}

static mq_status end_epoch(mq_err *err, session *s, double seconds, size_t worked) {
    mq_status status = MQ_OK;
    const mq_stage *stage = &s->plan->stages[s->state.stage];
    mq_scores scores = {.loss = NAN, .top1 = NAN, .top5 = NAN, .auc = NAN, .mae = NAN};
    if (s->val) {
        mq_err stop = {0};
        const mq_status validated = validate(&stop, s, &scores);
        if (validated == MQ_INTERRUPTED)
            MQ_TRY(save(err, s)); /* behind the last picture, validation to come */
        MQ_REQUIRE(validated == MQ_OK, err, validated, "%s", stop.text);
    }
    const bool best = better(s, &scores);
    s->state.epochs_done++;
    if (best) {
        memcpy(s->best, s->head->params, s->head->count * sizeof *s->best);
        s->state.best_epoch = s->state.epochs_done;
        s->state.best_top1 = scores.top1;
        s->state.best_loss = scores.loss;
    }
    const double done = (double)s->state.position;
    const mq_run_row row = {.epoch = s->state.epochs_done,
                            .stage = stage->thaw,
                            .seconds = s->state.seconds + mq_seconds() - s->resumed,
                            .train_loss = s->state.loss_sum / done,
                            .train_top1 = (double)s->state.right / done,
                            .val_loss = scores.loss,
                            .val_top1 = scores.top1,
                            .val_top5 = scores.top5,
                            .val_auc = scores.auc,
                            .val_mae = scores.mae,
                            .lr = stage->lr,
                            .img_s = (double)worked / seconds,
                            .data_pct = 100 * mq_feed_waited(s->train) / (mq_seconds() - s->resumed)};
    MQ_TRY(mq_run_add(err, s->plan->run, &row));
    mq_records_epoch(s->records, &row, best);
    const mq_train_progress p = {.phase = MQ_PHASE_EPOCH,
                                 .epoch = s->state.epoch + 1,
                                 .epochs = stage->epochs,
                                 .stage = stage->thaw,
                                 .row = &row,
                                 .best = best};
    if (s->plan->progress) s->plan->progress(s->plan->user, &p);
    s->state.epoch++;
    s->state.position = 0;
    s->state.loss_sum = 0;
    s->state.right = 0;
cleanup:
    return status;
}

/* A new stage begins with a fresh optimizer. */
static void begin_stage(session *s) {
    const size_t bytes = s->head->count * sizeof(float);
    memset(s->trainer->m, 0, bytes);
    memset(s->trainer->v, 0, bytes);
    s->trainer->step = s->state.step = 0;
    s->state.epoch = 0;
}

static mq_status train_stages(mq_err *err, session *s) {
    mq_status status = MQ_OK;
    while (s->state.stage < s->plan->stage_count) {
        const mq_stage *stage = &s->plan->stages[s->state.stage];
        mq_records_stage(s->records, s->state.stage + 1, stage);
        while (s->state.epoch < stage->epochs) {
            double seconds = 0;
            size_t worked = 0;
            MQ_TRY(train_epoch(err, s, &seconds, &worked));
            MQ_TRY(end_epoch(err, s, seconds, worked));
        }
        if (s->state.stage + 1 == s->plan->stage_count)
            break; /* the last stage's state stays, to be extended */
        s->state.stage++;
        begin_stage(s);
        save_or_warn(s);
    }
    MQ_TRY(save(err, s));
cleanup:
    return status;
}

static mq_status write_model(mq_err *err, session *s, const char *name, const mq_json *metrics) {
    mq_status status = MQ_OK;
    const mq_dataset *data = s->plan->dataset;
    const size_t count = mq_dataset_classes(data);
    const char **classes = NULL;
    char *path = NULL;
    MQ_REQUIRE(!stopped(s), err, MQ_INTERRUPTED, "stopped before %s was written; a checkpoint is written",
               name);
    MQ_TRY(mq_calloc(err, count, sizeof *classes, "class names", &classes));
    for (size_t i = 0; i < count; i++) classes[i] = mq_dataset_class(data, i);
    const mq_model_parts parts = {.size = sizeof parts,
                                  .arch = s->plan->arch,
                                  .weights = s->plan->weights,
                                  .head = s->head,
                                  .recipe = s->plan->recipe,
                                  .classes = classes,
                                  .metrics = metrics,
                                  .data_digest = mq_dataset_digest(data),
                                  .boxes = mq_dataset_has_boxes(data) && s->plan->recipe->crop};
    MQ_TRY(mq_run_path(err, s->plan->run, name, &path));
    MQ_TRY(mq_model_write(err, path, &parts));
cleanup:
    free(path);
    free(classes);
    return status;
}

/* Scores the present classifier on the validation part, for the model's metadata; NULL json without one. */
static mq_status scores_json(mq_err *err, session *s, mq_scores *scores, mq_json **json) {
    mq_status status = MQ_OK;
    if (!s->val) return MQ_OK;
    MQ_TRY(validate(err, s, scores));
    MQ_TRY(mq_json_pack(err, json, "{s:s, s:f, s:f, s:f}", "split", "val", "top1", scores->top1, "top5",
                        scores->top5, "loss", scores->loss));
cleanup:
    return status;
}

/* weights/last, then weights/best, whose scores are the run's result. */
static mq_status write_models(mq_err *err, session *s, mq_scores *best) {
    mq_status status = MQ_OK;
    mq_json *metrics = NULL;
    mq_scores last = {0};
    MQ_TRY(scores_json(err, s, &last, &metrics));
    MQ_TRY(write_model(err, s, "weights/last.safetensors", metrics));
    mq_json_free(&metrics);
    memcpy(s->head->params, s->best, s->head->count * sizeof *s->best);
    MQ_TRY(scores_json(err, s, best, &metrics));
    MQ_TRY(write_model(err, s, "weights/best.safetensors", metrics));
cleanup:
    mq_json_free(&metrics);
    return status;
}

mq_status mq_train(mq_err *err, const mq_train_plan *plan, mq_train_result *result) {
    mq_status status = MQ_OK;
    session s = {.plan = plan};
    MQ_REQUIRE(plan->size == sizeof *plan, err, MQ_INTERNAL, "a training plan of another version");
    s.resumed = s.checkpointed = mq_seconds();
    MQ_TRY(mq_records_open(err, plan->run, plan->resume, plan->summary_steps, &s.records));
    MQ_TRY(open_session(err, &s));
    if (plan->resume) MQ_TRY(resume(err, &s));
    if (plan->accepted) MQ_TRY(plan->accepted(err, plan->user));
    mq_records_begin(s.records, s.state.steps_done, s.state.epochs_done);
    MQ_TRY(train_stages(err, &s));
    *result = (mq_train_result){.epochs = s.state.epochs_done,
                                .best_epoch = s.state.best_epoch,
                                .validated = s.val != NULL,
                                .seconds = s.state.seconds + mq_seconds() - s.resumed};
    MQ_TRY(write_models(err, &s, &result->best));
cleanup:
    mq_records_close(&s.records, status, err);
    close_session(&s);
    return status;
}
