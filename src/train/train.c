/* train.c: the run from its first picture to its models. Called by `marque
 * train`. Invariant: the weights after any step are a function of the plan
 * alone: not of when it was interrupted, nor of when a checkpoint was written. */
#include "train/train.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/sheet.h"
#include "train/session.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void tell_features(void *user, mq_split split, size_t done, size_t total, double seconds,
                          double waited) {
    const mq_session *s = user;
    const double pace = seconds > 0 ? (double)done / seconds : 0;
    const mq_train_progress p = {.phase = MQ_PHASE_FEATURES,
                                 .split = split,
                                 .done = done,
                                 .total = total,
                                 .seconds = seconds,
                                 .waited = waited,
                                 .img_s = pace,
                                 .left = pace > 0 ? (double)(total - done) / pace : 0};
    if (s->plan->progress) s->plan->progress(s->plan->user, &p);
}

static bool stopped(void *user) {
    return mq_session_stopped(user);
}

static mq_trunk_plan trunk_of(mq_session *s, size_t stage) {
    const mq_train_plan *plan = s->plan;
    return (mq_trunk_plan){.size = sizeof(mq_trunk_plan),
                           .dataset = plan->dataset,
                           .arch = plan->arch,
                           .weights = plan->weights,
                           .recipe = plan->recipe,
                           .parts = plan->parts,
                           .stage = &plan->stages[stage],
                           .dtype = plan->dtype,
                           .batch = plan->batch,
                           .workers = plan->workers,
                           .ahead = plan->shuffle_buffer,
                           .cache = plan->cache,
                           .skipped = s->skipped,
                           .stop = stopped,
                           .progress = tell_features,
                           .user = s};
}

/* The classifier, and where timed its step on one batch of zeros; the second of two, the first warms up. */
static mq_status measure_head(mq_err *err, const mq_train_plan *plan, bool timed, mq_trunk_cost *cost) {
    mq_status status = MQ_OK;
    mq_head *head = NULL;
    mq_head_trainer *trainer = NULL;
    float *x = NULL;
    uint32_t *labels = NULL;
    MQ_TRY(mq_head_create(err, plan->head, plan->arch->features, mq_dataset_classes(plan->dataset), &head));
    cost->head_params = head->count;
    if (!timed) goto cleanup;
    MQ_TRY(mq_head_trainer_create(err, head, plan->batch, &trainer));
    MQ_TRY(mq_calloc(err, plan->batch * plan->arch->features, sizeof *x, "features", &x));
    MQ_TRY(mq_calloc(err, plan->batch, sizeof *labels, "labels", &labels));
    for (int round = 0; round < 2; round++) {
        const double start = mq_seconds();
        MQ_TRY(
            mq_head_gradient(err, trainer, &(mq_slice){x, {.first = labels}, plan->batch, plan->batch, 0}));
        MQ_TRY(mq_head_update(err, trainer, 1e-3));
        cost->head = (mq_seconds() - start) / (double)plan->batch;
    }
cleanup:
    mq_head_trainer_free(&trainer);
    mq_head_free(&head);
    free(x);
    free(labels);
    return status;
}

mq_status mq_train_measure(mq_err *err, const mq_train_plan *plan, size_t stage, bool timed,
                           mq_trunk_cost *cost) {
    mq_status status = MQ_OK;
    mq_session s = {.plan = plan};
    const mq_trunk_plan trunk = trunk_of(&s, stage);
    MQ_TRY(mq_trunk_measure(err, &trunk, timed, cost));
    MQ_TRY(measure_head(err, plan, timed, cost));
    /* The statistics of features see each view once. */
    if (plan->head == MQ_HEAD_LINEAR) cost->passes = 1 + mq_augment_flips(plan->stages[stage].augment);
cleanup:
    return status;
}

mq_status mq_train_describe(mq_err *err, const mq_train_plan *plan, size_t stage, mq_buf *text) {
    mq_session s = {.plan = plan};
    const mq_trunk_plan trunk = trunk_of(&s, stage);
    return mq_trunk_describe(err, &trunk, text);
}

/* The order and flips of the present epoch, functions of seed and epoch alone. */
static void draw_epoch(mq_session *s) {
    mq_sampling_epoch(s->sampling, s->plan->stages[s->state.stage].augment, s->plan->seed,
                      s->state.epochs_done, &(mq_epoch){s->order, s->times, s->flips});
}

enum { SHOWN = 32 }; /* pictures, so that large batches do not take more memory than was planned */

/* The first batch of a stage, or its beginning, as the network gets it, for people. A run goes on without it.
 */
static void show_first_batch(const mq_session *s) {
    const mq_train_plan *plan = s->plan;
    mq_err err = {0};
    char name[32], *path = NULL;
    uint32_t *pictures = NULL;
    snprintf(name, sizeof name, "batch-%u.jpg", s->state.stage + 1);
    mq_status status = mq_run_path(&err, plan->run, name, &path);
    if (status == MQ_OK) status = mq_calloc(&err, s->count, sizeof *pictures, "pictures", &pictures);
    for (size_t i = 0; status == MQ_OK && i < s->count; i++)
        pictures[i] = mq_sampling_picture(s->sampling, s->order[i]);
    const mq_loader_plan load = {.size = sizeof load,
                                 .dataset = plan->dataset,
                                 .split = MQ_TRAIN,
                                 .recipe = plan->recipe,
                                 .order = pictures,
                                 .flips = s->flips,
                                 .times = s->times,
                                 .count = s->count,
                                 .batch = plan->batch < SHOWN ? plan->batch : SHOWN,
                                 .workers = plan->workers,
                                 .augment = plan->stages[s->state.stage].augment,
                                 .seed = plan->seed,
                                 .epoch = s->state.epochs_done};
    if (status == MQ_OK) status = mq_sheet_write(&err, &load, path);
    if (status != MQ_OK) mq_log(MQ_LOG_WARNING, "no picture of the first batch: %s", err.text);
    free(path);
    free(pictures);
}

/* Pictures of the present epoch that were trained on. */
static double trained(const mq_session *s) {
    return (double)(s->state.position - s->state.skipped);
}

/* What this process did of an epoch. */
typedef struct {
    size_t pictures;
    double seconds;
    double waited; /* of them, for pictures that the loader had not ready */
} epoch_work;

static double pace_of(const epoch_work *work) {
    return work->seconds > 0 ? (double)work->pictures / work->seconds : 0;
}

static void tell_training(const mq_session *s, const epoch_work *work) {
    const mq_stage *stage = &s->plan->stages[s->state.stage];
    const double done = (double)s->state.position, pace = pace_of(work);
    const double left = (double)(stage->epochs - s->state.epoch) * (double)s->count - done;
    const mq_train_progress p = {.phase = MQ_PHASE_TRAIN,
                                 .done = s->state.position,
                                 .total = s->count,
                                 .seconds = work->seconds,
                                 .waited = work->waited,
                                 .left = pace > 0 ? left / pace : 0,
                                 .epoch = s->state.epoch + 1,
                                 .epochs = stage->epochs,
                                 .stage = stage->thaw,
                                 .loss = s->state.loss_sum / trained(s),
                                 .top1 = (double)s->state.right / trained(s),
                                 .lr = stage->lr,
                                 .img_s = pace};
    mq_records_step(s->records, s->state.steps_done, p.loss, p.top1, p.lr, p.img_s);
    if (s->plan->progress) s->plan->progress(s->plan->user, &p);
}

/* Pictures for a step. */
typedef struct {
    const float *x; /* borrowed from the trunk, as are the labels */
    mq_labels labels;
    size_t n, end; /* where the batch ends in the order of the epoch */
} batch;

/* Adds what the step's forward pass said to the sums of the epoch. */
static void count_slice(void *user, const mq_slice *slice) {
    mq_session *s = user;
    const mq_head_work *work = s->trainer->work;
    for (size_t i = 0; i < slice->n; i++) {
        size_t answer;
        mq_top_k(work->p + i * s->head->classes, s->head->classes, 1, &answer);
        s->state.loss_sum += (double)work->loss[i];
        s->state.right += answer == mq_labels_main(&slice->labels, i);
    }
}

/* One step of the classifier and of what is thawed below it. */
static mq_status train_step(mq_err *err, mq_session *s, const batch *b) {
    mq_status status = MQ_OK;
    mq_err one = {0};
    const double lr = s->plan->stages[s->state.stage].lr;
    MQ_TRY(mq_trunk_gradients(err, s->trunk,
                              (mq_step_plan){.head = s->trainer, .each = count_slice, .user = s}, b->x,
                              &b->labels, b->n));
    const mq_status done = mq_head_update(&one, s->trainer, lr);
    const char *layer = done == MQ_OK ? NULL : mq_trunk_bad_layer(s->trunk);
    MQ_REQUIRE(done == MQ_OK || layer, err, done, "%s", one.text);
    MQ_REQUIRE(done == MQ_OK, err, done, "%s (the first layer whose numbers are not finite is %s)", one.text,
               layer);
    if (s->trainer->thawed) MQ_TRY(mq_trunk_step(err, s->trunk, lr, s->trainer->step));
    s->state.step = s->trainer->step;
    s->state.steps_done++;
cleanup:
    return status;
}

/* Passes on a failure to get pictures, which must not lose what was trained before. */
static mq_status pass_on(mq_err *err, mq_session *s, mq_status failed, const mq_err *why) {
    if (failed == MQ_OK) return MQ_OK;
    if (failed != MQ_INTERRUPTED && s->state.steps_done) mq_session_save_or_warn(s);
    return mq_fail(err, failed, "%s", why->text);
}

/* Begins the rest of the present epoch. What ends it here, while views that it is the first to draw are
 * computed, is no reason to lose the epochs before. */
static mq_status begin_epoch(mq_err *err, mq_session *s) {
    mq_status status = MQ_OK;
    mq_err why = {0};
    const size_t from = s->state.position;
    const mq_feed_pass pass = {.order = s->order + from,
                               .flips = s->flips + from,
                               .times = s->times + from,
                               .count = s->count - from,
                               .augment = s->plan->stages[s->state.stage].augment,
                               .seed = s->plan->seed,
                               .epoch = s->state.epochs_done,
                               .first = from};
    const mq_status begun = mq_trunk_begin(&why, s->trunk, MQ_TRAIN, &pass);
    if (begun == MQ_INTERRUPTED && s->state.steps_done) MQ_TRY(mq_session_save(err, s));
    MQ_TRY(pass_on(err, s, begun, &why));
cleanup:
    return status;
}

/* The next batch, empty behind the epoch's last picture; from is where the pass began. Skipped pictures are
 * done as those before them are: a batch is made of the same places of the order, whatever is missing in it.
 */
static mq_status next_batch(mq_err *err, mq_session *s, size_t from, batch *b) {
    mq_status status = MQ_OK;
    mq_err why = {0};
    const mq_status given = mq_trunk_next(&why, s->trunk, MQ_TRAIN, &b->x, &b->labels, &b->n);
    MQ_TRY(pass_on(err, s, given, &why));
    b->end = from + mq_trunk_taken(s->trunk, MQ_TRAIN);
cleanup:
    return status;
}

static void count_batch(mq_session *s, const batch *b) {
    s->state.skipped += b->end - s->state.position - b->n;
    s->state.position = b->end;
}

/* The rest of the present epoch, from state.position on. */
static mq_status train_epoch(mq_err *err, mq_session *s, epoch_work *work) {
    mq_status status = MQ_OK;
    const size_t from = s->state.position;
    batch b;
    draw_epoch(s);
    if (!s->state.epoch && !from) show_first_batch(s);
    MQ_TRY(begin_epoch(err, s));
    const double start = mq_seconds(), waited = mq_trunk_waited(s->trunk);
    for (;;) {
        MQ_TRY(next_batch(err, s, from, &b));
        if (b.n) MQ_TRY(train_step(err, s, &b));
        count_batch(s, &b);
        if (!b.n) break;
        *work = (epoch_work){s->state.position - from, mq_seconds() - start,
                             mq_trunk_waited(s->trunk) - waited};
        tell_training(s, work);
        if (mq_session_stopped(s)) {
            MQ_TRY(mq_session_save(err, s));
            MQ_REQUIRE(false, err, MQ_INTERRUPTED, "stopped; a checkpoint is written");
        }
        if (mq_seconds() - s->checkpointed >= s->plan->checkpoint_every) mq_session_save_or_warn(s);
    }
    MQ_REQUIRE(trained(s) > 0, err, MQ_BAD_DATA, "%s: no picture of the training part can be read",
               mq_dataset_folder(s->plan->dataset));
cleanup:
    return status;
}

static void tell_validation(const mq_session *s, size_t done, double seconds) {
    const double pace = seconds > 0 ? (double)done / seconds : 0;
    const mq_train_progress p = {.phase = MQ_PHASE_VALIDATE,
                                 .split = MQ_VAL,
                                 .done = done,
                                 .total = s->validation,
                                 .seconds = seconds,
                                 .img_s = pace,
                                 .left = pace > 0 ? (double)(s->validation - done) / pace : 0};
    if (s->plan->progress) s->plan->progress(s->plan->user, &p);
}

static mq_status validate(mq_err *err, mq_session *s, mq_scores *scores) {
    mq_status status = MQ_OK;
    const double start = mq_seconds();
    const float *x;
    mq_labels labels;
    size_t n, done = 0;
    mq_metrics_reset(s->metrics);
    MQ_TRY(mq_trunk_begin(err, s->trunk, MQ_VAL, &(mq_feed_pass){.count = s->validation}));
    for (;;) {
        MQ_TRY(mq_trunk_next(err, s->trunk, MQ_VAL, &x, &labels, &n));
        if (!n) break;
        MQ_TRY(mq_head_forward(err, s->head, s->val_work, x, labels.first, n));
        mq_metrics_add(s->metrics, s->val_work->p, s->val_work->loss, labels.first, n, NULL);
        tell_validation(s, done += n, mq_seconds() - start);
        MQ_REQUIRE(!mq_session_stopped(s), err, MQ_INTERRUPTED,
                   "stopped during validation; a checkpoint is written");
    }
    MQ_REQUIRE(done, err, MQ_BAD_DATA, "%s: no picture of the validation part can be read",
               mq_dataset_folder(s->plan->dataset));
    mq_metrics_scores(s->metrics, scores);
cleanup:
    return status;
}

static mq_status check_loss(mq_err *err, const mq_session *s, const mq_scores *scores) {
    if (isfinite(scores->loss)) return MQ_OK;
    return mq_fail(err, MQ_BAD_DATA,
                   "training has come apart: the validation loss is no number after step %llu; begin another "
                   "run with a lower learning rate than %g",
                   (unsigned long long)s->state.steps_done, s->plan->stages[s->state.stage].lr);
}

/* Validates; stopped meanwhile, a checkpoint stands behind the last picture, with the validation to come. */
static mq_status score_epoch(mq_err *err, mq_session *s, mq_scores *scores) {
    mq_status status = MQ_OK;
    mq_err stop = {0};
    *scores = (mq_scores){.loss = NAN, .top1 = NAN, .top5 = NAN, .auc = NAN, .mae = NAN};
    if (!s->validation) return MQ_OK;
    const mq_status validated = validate(&stop, s, scores);
    if (validated == MQ_INTERRUPTED) MQ_TRY(mq_session_save(err, s));
    MQ_TRY(pass_on(err, s, validated, &stop));
cleanup:
    return status;
}

/* Better by the monitored figure; ties of top-1 by loss, and of loss by top-1. Without validation the last is
 * best. */
static bool better(const mq_session *s, const mq_scores *scores) {
    const mq_progress_state *state = &s->state;
    if (!s->validation || !state->best_epoch) return true;
    const bool by_top1 = scores->top1 > state->best_top1, same_top1 = scores->top1 == state->best_top1;
    const bool by_loss = scores->loss < state->best_loss, same_loss = scores->loss == state->best_loss;
    return s->plan->monitor == MQ_MONITOR_TOP1 ? by_top1 || (same_top1 && by_loss)
                                               : by_loss || (same_loss && by_top1);
}

static mq_status record_epoch(mq_err *err, mq_session *s, const mq_scores *scores, const epoch_work *work,
                              bool best) {
    mq_status status = MQ_OK;
    const mq_stage *stage = &s->plan->stages[s->state.stage];
    const mq_run_row row = {.epoch = s->state.epochs_done,
                            .stage = stage->thaw,
                            .seconds = s->state.seconds + mq_seconds() - s->resumed,
                            .train_loss = s->state.loss_sum / trained(s),
                            .train_top1 = (double)s->state.right / trained(s),
                            .val_loss = scores->loss,
                            .val_top1 = scores->top1,
                            .val_top5 = scores->top5,
                            .val_auc = scores->auc,
                            .val_mae = scores->mae,
                            .lr = stage->lr,
                            .img_s = work->pictures ? pace_of(work) : NAN,
                            .data_pct = work->pictures ? 100 * work->waited / work->seconds : NAN,
                            .skipped = mq_skipped_count(s->skipped)};
    MQ_TRY(mq_run_add(err, s->plan->run, &row));
    mq_records_epoch(s->records, &row, best);
    const mq_train_progress p = {.phase = MQ_PHASE_EPOCH,
                                 .epoch = s->state.epoch + 1,
                                 .epochs = stage->epochs,
                                 .stage = stage->thaw,
                                 .img_s = row.img_s,
                                 .row = &row,
                                 .best = best};
    if (s->plan->progress) s->plan->progress(s->plan->user, &p);
cleanup:
    return status;
}

static mq_status end_epoch(mq_err *err, mq_session *s, const epoch_work *work, mq_scores *scores) {
    mq_status status = MQ_OK;
    MQ_TRY(score_epoch(err, s, scores));
    if (s->validation) MQ_TRY(check_loss(err, s, scores));
    const bool best = better(s, scores);
    s->state.epochs_done++;
    if (best) {
        s->state.best_epoch = s->state.epochs_done;
        s->state.best_top1 = scores->top1;
        s->state.best_top5 = scores->top5;
        s->state.best_loss = scores->loss;
        s->state.best_pictures = scores->pictures;
        if (s->validation) MQ_TRY(mq_session_keep_best(err, s));
    }
    MQ_TRY(record_epoch(err, s, scores, work, best));
    s->state.epoch++;
    s->state.position = s->state.skipped = 0;
    s->state.loss_sum = 0;
    s->state.right = 0;
cleanup:
    return status;
}

/* The network of the present stage; what a checkpoint holds of it comes from there. */
static mq_status open_stage(mq_err *err, mq_session *s) {
    mq_status status = MQ_OK;
    const mq_trunk_plan plan = trunk_of(s, s->state.stage);
    const bool fresh = !s->state.steps_done && !s->state.epochs_done;
    mq_records_stage(s->records, s->state.stage + 1, plan.stage);
    MQ_TRY(mq_trunk_open(err, &plan, &s->trunk));
    s->trainer->thawed = mq_trunk_thawed(s->trunk);
    s->changed |= s->trainer->thawed;
    if (fresh && s->head->mean) MQ_TRY(mq_trunk_statistics(err, s->trunk, s->head->mean, s->head->scale));
    MQ_TRY(mq_session_restore(err, s));
cleanup:
    return status;
}

/* The next stage begins with a fresh optimizer, and with what was thawed written back. */
static mq_status next_stage(mq_err *err, mq_session *s) {
    mq_status status = MQ_OK;
    const size_t bytes = s->head->count * sizeof(float);
    mq_trunk_free(&s->trunk);
    memset(s->trainer->m, 0, bytes);
    memset(s->trainer->v, 0, bytes);
    s->trainer->step = s->state.step = 0;
    s->state.epoch = 0;
    s->state.stage++;
    mq_session_save_or_warn(s);
    /* What is trained from here on changes the trunk that the best model has. */
    if (s->validation) MQ_TRY(mq_session_write_best(err, s));
cleanup:
    return status;
}

static mq_status train_stages(mq_err *err, mq_session *s, mq_scores *last) {
    mq_status status = MQ_OK;
    for (;;) {
        const mq_stage *stage = &s->plan->stages[s->state.stage];
        MQ_TRY(open_stage(err, s));
        while (s->state.epoch < stage->epochs) {
            epoch_work work = {0};
            MQ_TRY(train_epoch(err, s, &work));
            MQ_TRY(end_epoch(err, s, &work, last));
        }
        if (s->state.stage + 1 == s->plan->stage_count)
            break; /* the last stage's state stays, to be extended */
        MQ_TRY(next_stage(err, s));
    }
    MQ_TRY(mq_session_save(err, s));
cleanup:
    return status;
}

static void fill_result(const mq_session *s, mq_train_result *result) {
    const size_t pictures = s->state.best_pictures ? (size_t)s->state.best_pictures : s->validation;
    *result = (mq_train_result){.epochs = s->state.epochs_done,
                                .best_epoch = s->state.best_epoch,
                                .validated = s->validation > 0,
                                .seconds = s->state.seconds + mq_seconds() - s->resumed,
                                .skipped = mq_skipped_count(s->skipped),
                                .best = {.pictures = pictures,
                                         .top1 = s->state.best_top1,
                                         .top5 = s->state.best_top5,
                                         .loss = s->state.best_loss}};
    mq_wilson(result->best.top1, result->best.pictures, &result->best.top1_low, &result->best.top1_high);
}

mq_status mq_train(mq_err *err, const mq_train_plan *plan, mq_train_result *result) {
    mq_status status = MQ_OK;
    mq_session s = {.plan = plan};
    mq_scores last = {.pictures = 0};
    MQ_REQUIRE(plan->size == sizeof *plan, err, MQ_INTERNAL, "a training plan of another version");
    MQ_TRY(mq_records_open(err, plan->run, plan->resume, plan->summary_steps, &s.records));
    MQ_TRY(mq_session_open(err, plan, &s));
    if (plan->accepted) MQ_TRY(plan->accepted(err, plan->user));
    mq_records_begin(s.records, s.state.steps_done, s.state.epochs_done);
    MQ_TRY(train_stages(err, &s, &last));
    if (!last.pictures && s.validation) { /* resumed behind its last epoch */
        MQ_TRY(validate(err, &s, &last));
        MQ_TRY(check_loss(err, &s, &last));
    }
    fill_result(&s, result);
    MQ_TRY(mq_session_write_models(err, &s, &last));
cleanup:
    mq_records_close(&s.records, status, err);
    mq_session_close(&s);
    return status;
}
