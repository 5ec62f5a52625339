/* session.c: what a run keeps on disk: checkpoints and models. Called by
 * train.c. Invariant: a checkpoint that knows of a best model is written after
 * that model, and what it names stays until there is a newer checkpoint: where
 * a better model takes its place earlier, it is set aside. */
#include "train/session.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/par.h"
#include "infer/model.h"
#include "net/program.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { HEAD_PARTS = 5, SLOTS = 2, NAME_SIZE = 256, NAMED = 5 };
static const char BEST[] = "weights/best.safetensors", ASIDE[] = "best-";

bool mq_session_stopped(const mq_session *s) {
    return s->plan->stop && s->plan->stop(s->plan->user);
}

void mq_session_close(mq_session *s) {
    mq_trunk_free(&s->trunk);
    mq_head_trainer_free(&s->trainer);
    mq_head_work_free(&s->val_work);
    mq_head_free(&s->head);
    mq_metrics_free(&s->metrics);
    mq_checkpoint_free(&s->checkpoint);
    mq_sampling_free(&s->sampling);
    mq_skipped_free(&s->skipped);
    free(s->best);
    free(s->order);
    free(s->flips);
    free(s->times);
    free(s->checkpoints);
    free(s->environment);
}

static mq_checkpoint_place place_of(const mq_session *s) {
    return (mq_checkpoint_place){s->checkpoints, s->plan->config, s->environment, s->plan->keep};
}

/* Trunk weights by the names they have in checkpoints. */
static const char *saved_name(const mq_tensor *tensor, char name[NAME_SIZE]) {
    snprintf(name, NAME_SIZE, MQ_TRUNK_PREFIX "%s", tensor->name);
    return name;
}

/* Numbers of a checkpoint, in memory of the session's. */
typedef struct {
    const char *name;
    float *numbers;
    size_t count;
} part;

/* The classifier, what its optimizer knows, and what it standardises by. */
static size_t head_parts(const mq_session *s, part parts[HEAD_PARTS]) {
    const mq_head *h = s->head;
    size_t count = 0;
    parts[count++] = (part){"head/params", h->params, h->count};
    parts[count++] = (part){"head/m", s->trainer->m, h->count};
    parts[count++] = (part){"head/v", s->trainer->v, h->count};
    if (!h->mean) return count;
    parts[count++] = (part){"head/mean", h->mean, h->features};
    parts[count++] = (part){"head/scale", h->scale, h->features};
    return count;
}

/* What the optimizer knows of the thawed trunk; nothing while it is frozen. */
static size_t slot_parts(const mq_session *s, part parts[SLOTS]) {
    float *m = NULL, *v = NULL;
    const size_t slots = s->trunk ? mq_trunk_slots(s->trunk, &m, &v) : 0;
    if (!slots) return 0;
    parts[0] = (part){"trunk.m", m, slots};
    parts[1] = (part){"trunk.v", v, slots};
    return SLOTS;
}

MQ_MUST_USE static mq_status read_parts(mq_err *err, const mq_session *s, const part *parts, size_t count) {
    mq_status status = MQ_OK;
    for (size_t i = 0; i < count; i++)
        MQ_TRY(mq_checkpoint_read(err, s->checkpoint, parts[i].name, parts[i].numbers, parts[i].count));
cleanup:
    return status;
}

static mq_status read_head(mq_err *err, mq_session *s) {
    part parts[HEAD_PARTS];
    return read_parts(err, s, parts, head_parts(s, parts));
}

static mq_status read_trunk(mq_err *err, mq_session *s) {
    mq_status status = MQ_OK;
    char name[NAME_SIZE];
    const size_t count = mq_bundle_count(s->plan->weights);
    s->changed = count &&
                 mq_checkpoint_has(s->checkpoint, saved_name(mq_bundle_at(s->plan->weights, 0), name));
    for (size_t i = 0; i < count && s->changed; i++) {
        const mq_tensor *t = mq_bundle_at(s->plan->weights, i);
        float *data = mq_bundle_data(s->plan->weights, t->name);
        MQ_TRY(mq_checkpoint_read(err, s->checkpoint, saved_name(t, name), data, t->bytes / sizeof *data));
    }
cleanup:
    return status;
}

/* Only the epochs of the last stage may be others than those the checkpoint was made with. */
static mq_status check_epochs(mq_err *err, const mq_session *s) {
    const mq_stage *stage = &s->plan->stages[s->state.stage];
    const uint32_t begun = s->state.epoch + (s->state.position > 0);
    if (begun <= stage->epochs) return MQ_OK;
    return mq_fail(err, MQ_USAGE,
                   "%s: %u epochs of the stage %s are done or begun already; --epochs takes no fewer, not %u",
                   mq_run_folder(s->plan->run), begun, stage->thaw, stage->epochs);
}

/* Where the best model, of an epoch counted from 1, stands while it is set aside; the caller's. */
static mq_status aside_of(mq_err *err, const mq_session *s, uint32_t epoch, char **path) {
    return mq_format(err, path, "%s/%s%u.safetensors", s->checkpoints, ASIDE, epoch);
}

/* Sets the model in weights/best aside if the newest checkpoint names it: the next one takes its place. Only
 * a run that is killed before the next checkpoint and then goes another way misses it: that ends no run. */
static void set_aside(mq_session *s) {
    mq_err err = {0};
    char *best = NULL, *aside = NULL;
    if (s->named_best && mq_run_path(&err, s->plan->run, BEST, &best) == MQ_OK &&
        aside_of(&err, s, s->named_best, &aside) == MQ_OK && link(best, aside) != 0 && errno != EEXIST)
        rename(best, aside); /* there are file systems without links */
    s->named_best = 0;
    free(best);
    free(aside);
}

/* There is a newer checkpoint, which names weights/best itself. What cannot be removed costs only space. */
static void drop_asides(mq_session *s) {
    mq_err err = {0};
    mq_names names = {0};
    char *path = NULL;
    s->named_best = s->validation ? s->state.best_epoch : 0;
    if (mq_names_in(&err, s->checkpoints, &names) != MQ_OK) names.count = 0;
    for (size_t i = 0; i < names.count; i++) {
        if (strncmp(names.items[i], ASIDE, sizeof ASIDE - 1) != 0) continue;
        if (mq_format(&err, &path, "%s/%s", s->checkpoints, names.items[i]) == MQ_OK) unlink(path);
        free(path);
        path = NULL;
    }
    mq_names_free(&names);
}

/* Puts the model back that the checkpoint names, if a better one, which is no part of the run any more, took
 * its place. */
static mq_status put_back(mq_err *err, const mq_session *s, const char *best) {
    mq_status status = MQ_OK;
    char *aside = NULL;
    MQ_TRY(aside_of(err, s, s->state.best_epoch, &aside));
    MQ_REQUIRE(rename(aside, best) == 0 || errno == ENOENT, err, MQ_IO, "%s: cannot take the place of %s: %s",
               aside, best, strerror(errno));
cleanup:
    free(aside);
    return status;
}

/* The best model is in no checkpoint. Where its file is lost, a checkpoint behind the very epoch that made it
 * brings it back; any other would end in a run without it. */
static mq_status find_best(mq_err *err, mq_session *s) {
    mq_status status = MQ_OK;
    mq_err why = {0};
    mq_bundle *best = NULL;
    char *path = NULL;
    if (!s->validation || !s->state.best_epoch) return MQ_OK;
    MQ_TRY(mq_run_path(err, s->plan->run, BEST, &path));
    MQ_TRY(put_back(err, s, path));
    const mq_status opened = mq_bundle_open(&why, path, &best); /* all of it: a bit may have turned */
    if (opened == MQ_OK) {
        s->named_best = s->state.best_epoch; /* what is damaged need not be set aside */
        goto cleanup;
    }
    MQ_REQUIRE(opened == MQ_NO_INPUT || opened == MQ_BAD_DATA, err, opened, "%s", why.text);
    MQ_REQUIRE(s->state.epochs_done == s->state.best_epoch && !s->state.position, err, MQ_BAD_DATA,
               "%s; the best model, of epoch %u, is in no other file: put a copy back, take "
               "weights/last.safetensors of a finished run, or begin another run",
               why.text, s->state.best_epoch);
    mq_warn("%s; it is written anew from the checkpoint", why.text);
    memcpy(s->best, s->head->params, s->head->count * sizeof *s->best);
    s->best_pending = true;
    MQ_TRY(mq_session_write_best(err, s));
    s->named_best = s->state.best_epoch;
cleanup:
    mq_bundle_free(&best);
    free(path);
    return status;
}

/* Goes back to where the newest checkpoint stood; without any the run starts at its beginning. */
static mq_status resume(mq_err *err, mq_session *s) {
    mq_status status = MQ_OK;
    const mq_checkpoint_place place = place_of(s);
    mq_err none = {0};
    const mq_status found = mq_checkpoint_open(&none, &place, s->plan->inexact, &s->checkpoint);
    if (found == MQ_NO_INPUT) {
        mq_note("no checkpoint yet: the run starts at its beginning");
        return MQ_OK;
    }
    MQ_REQUIRE(found == MQ_OK, err, found, "%s", none.text);
    s->state = *mq_checkpoint_state(s->checkpoint);
    MQ_REQUIRE(s->state.stage < s->plan->stage_count && s->state.position <= s->count &&
                   s->state.skipped <= s->state.position,
               err, MQ_BAD_DATA, "%s: a checkpoint stands where this run has no stage or no picture",
               s->checkpoints);
    MQ_TRY(check_epochs(err, s));
    MQ_TRY(read_head(err, s));
    MQ_TRY(read_trunk(err, s));
    MQ_TRY(find_best(err, s));
    s->trainer->step = s->state.step;
cleanup:
    return status;
}

/* The log names every skipped picture, the terminal the first ones. */
static void tell_skipped(void *user, mq_split split, size_t index, const char *why) {
    const mq_session *s = user;
    const size_t count = mq_skipped_count(s->skipped);
    if (count <= NAMED) mq_warn("%s; training goes on without this picture", why);
    if (count == NAMED + 1)
        mq_warn("more pictures cannot be read: they are counted, and log.jsonl names them");
    mq_records_skipped(s->records, split, index, why);
}

mq_status mq_session_open(mq_err *err, const mq_train_plan *plan, mq_session *s) {
    mq_status status = MQ_OK;
    const size_t classes = mq_dataset_classes(plan->dataset);
    char numbers[MQ_NUMBERS_SIZE];
    s->plan = plan;
    s->resumed = s->checkpointed = mq_seconds();
    s->validation = plan->parts->val_count;
    s->count = plan->parts->train_count;
    MQ_REQUIRE(s->count, err, MQ_BAD_DATA, "%s: no pictures to train on", mq_dataset_folder(plan->dataset));
    /* The numbers of use do not depend on the threads, but sums of gradients may. */
    mq_dnn_numbers(plan->dtype, numbers);
    MQ_TRY(mq_format(err, &s->environment, "%s, %d threads", numbers, mq_par_threads()));
    MQ_TRY(mq_run_path(err, plan->run, "checkpoints", &s->checkpoints));
    MQ_TRY(mq_head_create(err, plan->head, plan->arch->features, classes, &s->head));
    MQ_TRY(mq_head_trainer_create(err, s->head, plan->batch, &s->trainer));
    MQ_TRY(mq_head_work_create(err, s->head, MQ_VALIDATION_ROWS, &s->val_work));
    MQ_TRY(mq_metrics_create(err, classes, &s->metrics));
    MQ_TRY(mq_calloc(err, s->head->count, sizeof *s->best, "the best classifier", &s->best));
    MQ_TRY(mq_calloc(err, s->count, sizeof *s->order, "the order of pictures", &s->order));
    MQ_TRY(mq_calloc(err, s->count, sizeof *s->flips, "the flips of pictures", &s->flips));
    MQ_TRY(mq_calloc(err, s->count, sizeof *s->times, "the order of pictures", &s->times));
    const mq_sampling_plan sampling = {plan->sampling, plan->shuffle_buffer, plan->dataset,
                                       plan->parts->train, s->count};
    MQ_TRY(mq_sampling_create(err, &sampling, &s->sampling));
    const mq_skipped_plan skipped = {.size = sizeof skipped,
                                     .dataset = plan->dataset,
                                     .pictures = s->count + s->validation,
                                     .share = plan->max_bad,
                                     .told = tell_skipped,
                                     .user = s};
    MQ_TRY(mq_skipped_create(err, &skipped, &s->skipped));
    mq_head_init(s->head, plan->seed);
    s->trainer->weights = plan->class_weights;
    s->trainer->smoothing = (float)plan->smoothing;
    if (plan->resume) MQ_TRY(resume(err, s));
cleanup:
    return status;
}

mq_status mq_session_restore(mq_err *err, mq_session *s) {
    mq_status status = MQ_OK;
    part parts[SLOTS];
    const size_t count = slot_parts(s, parts);
    if (count && s->checkpoint && mq_checkpoint_has(s->checkpoint, parts[0].name))
        MQ_TRY(read_parts(err, s, parts, count));
    mq_checkpoint_free(&s->checkpoint);
cleanup:
    return status;
}

/* Everything that training has changed. names holds the trunk's. */
static size_t list_tensors(const mq_session *s, mq_tensor *list, char (*names)[NAME_SIZE]) {
    part parts[HEAD_PARTS + SLOTS];
    size_t count = head_parts(s, parts);
    count += slot_parts(s, parts + count);
    for (size_t i = 0; i < count; i++)
        list[i] = mq_tensor_row(parts[i].name, parts[i].numbers, parts[i].count);
    for (size_t i = 0; s->changed && i < mq_bundle_count(s->plan->weights); i++) {
        list[count] = *mq_bundle_at(s->plan->weights, i);
        list[count].name = saved_name(&list[count], names[i]);
        count++;
    }
    return count;
}

static mq_status write_model(mq_err *err, mq_session *s, const char *name, const mq_scores *scores) {
    mq_status status = MQ_OK;
    const mq_dataset *data = s->plan->dataset;
    const size_t count = mq_dataset_classes(data);
    const char **classes = NULL;
    char *path = NULL;
    mq_json *metrics = NULL;
    MQ_TRY(mq_calloc(err, count, sizeof *classes, "class names", &classes));
    for (size_t i = 0; i < count; i++) classes[i] = mq_dataset_class(data, i);
    if (s->validation)
        MQ_TRY(mq_json_pack(err, &metrics, "{s:s, s:f, s:f, s:f}", "split", "val", "top1", scores->top1,
                            "top5", scores->top5, "loss", scores->loss));
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
    mq_json_free(&metrics);
    free(path);
    free(classes);
    return status;
}

/* The classifier of the best model waits in best. */
mq_status mq_session_write_best(mq_err *err, mq_session *s) {
    const mq_scores scores = {
        .top1 = s->state.best_top1, .top5 = s->state.best_top5, .loss = s->state.best_loss};
    float *const present = s->head->params;
    if (!s->best_pending) return MQ_OK;
    set_aside(s);
    s->head->params = s->best;
    const mq_status status = write_model(err, s, BEST, &scores);
    s->head->params = present;
    s->best_pending = status != MQ_OK;
    return status;
}

mq_status mq_session_keep_best(mq_err *err, mq_session *s) {
    memcpy(s->best, s->head->params, s->head->count * sizeof *s->best);
    s->best_pending = true;
    /* A frozen trunk is the same at the next checkpoint; a thawed one is not. */
    return mq_trunk_thawed(s->trunk) ? mq_session_write_best(err, s) : MQ_OK;
}

mq_status mq_session_save(mq_err *err, mq_session *s) {
    mq_status status = MQ_OK;
    const mq_checkpoint_place place = place_of(s);
    const double now = mq_seconds();
    const size_t most = HEAD_PARTS + SLOTS + mq_bundle_count(s->plan->weights);
    mq_progress_state state = s->state;
    mq_tensor *tensors = NULL;
    char(*names)[NAME_SIZE] = NULL;
    if (s->validation) MQ_TRY(mq_session_write_best(err, s));
    MQ_TRY(mq_calloc(err, most, sizeof *tensors, "a checkpoint", &tensors));
    MQ_TRY(mq_calloc(err, most, sizeof *names, "a checkpoint", &names));
    state.seconds += now - s->resumed;
    s->checkpointed = now;
    MQ_TRY(mq_checkpoint_save(err, &place, tensors, list_tensors(s, tensors, names), &state));
    drop_asides(s);
    mq_records_event(s->records, "checkpoint", NULL);
cleanup:
    free(tensors);
    free(names);
    return status;
}

void mq_session_save_or_warn(mq_session *s) {
    mq_err err = {0};
    if (mq_session_save(&err, s) == MQ_OK) return;
    mq_warn("no checkpoint: %s; training goes on", err.text);
    mq_records_warning(s->records, err.text);
}

mq_status mq_session_write_models(mq_err *err, mq_session *s, const mq_scores *last) {
    mq_status status = MQ_OK;
    static const char *const names[] = {"weights/last.safetensors", BEST};
    const bool written[] = {false, s->validation && !s->best_pending};
    for (size_t i = 0; i < 2; i++) {
        if (written[i]) continue;
        MQ_REQUIRE(!mq_session_stopped(s), err, MQ_INTERRUPTED,
                   "stopped before %s was written; a checkpoint is written", names[i]);
        if (i == 0 || !s->validation)
            MQ_TRY(write_model(err, s, names[i], last));
        else
            MQ_TRY(mq_session_write_best(err, s));
    }
cleanup:
    return status;
}
