/* records.c: a run's log and event files. Called by training. Owns both.
 * Invariant: nothing that fails here reaches the caller but as one warning. */
#include "train/records.h"
#include "base/log.h"
#include "base/mem.h"
#include "train/events.h"
#include "train/journal.h"

#include <math.h>
#include <unistd.h>

/* Keras' names for the folders of its TensorBoard callback. */
enum { TRAIN, VALIDATION, CURVES };
static const char *const FOLDERS[CURVES] = {"train", "validation"};

struct mq_records {
    char *log, *folders[CURVES]; /* paths */
    mq_journal *journal;         /* NULL: not open, to be tried again */
    mq_events *curves[CURVES];   /* NULL: not open yet, or to be tried again */
    bool resumed, warned;
    uint64_t summary_steps;
    uint64_t first; /* step of the first record of new event files; 0: training has not begun */
    uint64_t step;  /* steps done */
    uint32_t epochs;
};

/* One point of a curve. */
typedef struct {
    const char *tag;
    double value;
} point;

/* The first failure is told, to the log too, which may be sound. */
static void tell(mq_records *r, mq_status status, const mq_err *err) {
    if (status == MQ_OK || r->warned) return;
    r->warned = true;
    mq_warn("%s; training goes on, with gaps in the run's log or curves", err->text);
    mq_records_warning(r, err->text);
}

/* Gives the event file of a folder, begun now unless it is open. */
static mq_status open_curve(mq_err *err, mq_records *r, int which, mq_events **events) {
    mq_status status = MQ_OK;
    if (!r->curves[which]) status = mq_events_open(err, r->folders[which], r->first, NULL, &r->curves[which]);
    *events = r->curves[which];
    return status;
}

static void add_points(mq_records *r, int which, uint64_t step, const point *points, size_t count) {
    mq_status status = MQ_OK;
    mq_err err = {0};
    mq_events *events;
    MQ_TRY(open_curve(&err, r, which, &events));
    for (size_t i = 0; i < count; i++)
        MQ_TRY(mq_events_scalar(&err, events, points[i].tag, step, points[i].value));
    MQ_TRY(mq_events_flush(&err, events));
cleanup:
    tell(r, status, &err);
}

/* Every line of the log says how many steps were done, once that is known. */
static mq_status add_line(mq_err *err, mq_records *r, const char *event, mq_json *members) {
    mq_status status = MQ_OK;
    mq_json *step = NULL;
    if (!members) MQ_TRY(mq_json_pack(err, &members, "{}"));
    if (r->first) {
        MQ_TRY(mq_json_pack(err, &step, "I", (long long)r->step));
        MQ_TRY(mq_json_set(err, members, "step", step));
    }
    if (!r->journal) MQ_TRY(mq_journal_open(err, r->log, &r->journal));
    status = mq_journal_add(err, r->journal, event, members);
    members = NULL;
cleanup:
    mq_json_free(&members);
    return status;
}

void mq_records_event(mq_records *records, const char *event, mq_json *members) {
    mq_err err = {0};
    if (records) {
        tell(records, add_line(&err, records, event, members), &err);
    } else {
        mq_json_free(&members);
    }
}

/* Adds an event with what mq_json_pack was to build. */
static void add_packed(mq_records *r, const char *event, mq_status packed, const mq_err *err,
                       mq_json *members) {
    if (packed == MQ_OK) {
        mq_records_event(r, event, members);
    } else {
        tell(r, packed, err);
    }
}

void mq_records_warning(mq_records *records, const char *text) {
    mq_err err = {0};
    mq_json *members = NULL;
    if (!records) return;
    const mq_status packed = mq_json_pack(&err, &members, "{s:o}", "text", mq_json_text(text));
    add_packed(records, "warning", packed, &err, members);
}

void mq_records_skipped(mq_records *records, mq_split split, size_t index, const char *why) {
    mq_err err = {0};
    mq_json *members = NULL;
    if (!records) return;
    const mq_status packed = mq_json_pack(&err, &members, "{s:s, s:I, s:o}", "split", mq_split_name(split),
                                          "picture", (long long)index, "text", mq_json_text(why));
    add_packed(records, "skipped", packed, &err, members);
}

static void free_records(mq_records **records) {
    mq_records *r = *records;
    if (!r) return;
    for (int i = 0; i < CURVES; i++) {
        mq_events_free(&r->curves[i]);
        free(r->folders[i]);
    }
    mq_journal_free(&r->journal);
    free(r->log);
    free(r);
    *records = NULL;
}

mq_status mq_records_open(mq_err *err, const mq_run *run, bool resumed, uint64_t summary_steps,
                          mq_records **records) {
    mq_status status = MQ_OK;
    mq_records *r = NULL;
    mq_json *members = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *r, "the records of a run", &r));
    r->resumed = resumed;
    r->summary_steps = summary_steps;
    MQ_TRY(mq_run_path(err, run, "log.jsonl", &r->log));
    for (int i = 0; i < CURVES; i++) MQ_TRY(mq_run_path(err, run, FOLDERS[i], &r->folders[i]));
    if (!resumed) {
        MQ_TRY(mq_json_pack(err, &members, "{s:s, s:i}", "version", mq_version(), "pid", (int)getpid()));
        mq_records_event(r, "start", members);
    }
    *records = r;
    r = NULL;
cleanup:
    free_records(&r);
    return status;
}

/* Takes what the run trains again out of the event files of an earlier process. */
static void cut_curves(mq_records *r) {
    for (int i = 0; i < CURVES; i++) {
        mq_err err = {0};
        tell(r, mq_events_cut(&err, r->folders[i], r->step, r->epochs), &err);
    }
}

void mq_records_begin(mq_records *records, uint64_t steps, uint32_t epochs) {
    mq_records *r = records;
    mq_err err = {0};
    mq_json *members = NULL;
    if (!r) return;
    r->step = steps;
    r->first = steps + 1;
    r->epochs = epochs;
    if (!r->resumed) return;
    cut_curves(r);
    const mq_status packed = mq_json_pack(&err, &members, "{s:I, s:s, s:i}", "epochs", (long long)epochs,
                                          "version", mq_version(), "pid", (int)getpid());
    add_packed(r, "resume", packed, &err, members);
}

void mq_records_step(mq_records *records, uint64_t step, double loss, double top1, double lr, double img_s) {
    mq_records *r = records;
    mq_err err = {0};
    mq_json *members = NULL;
    const point points[] = {
        {"batch_loss", loss}, {"batch_accuracy", top1}, {"learning_rate", lr}, {"images_per_second", img_s}};
    if (!r) return;
    r->step = step;
    if (!r->summary_steps || step % r->summary_steps) return;
    add_points(r, TRAIN, step, points, sizeof points / sizeof *points);
    const mq_status packed = mq_json_pack(&err, &members, "{s:I, s:o, s:o, s:o, s:o}", "epoch",
                                          (long long)r->epochs + 1, "loss", mq_json_number(loss), "top1",
                                          mq_json_number(top1), "lr", mq_json_number(lr), "img_s",
                                          mq_json_number(img_s));
    add_packed(r, "step", packed, &err, members);
}

/* Keras counts epochs from 0. A run without validation part has no validation curves; an epoch that a run was
 * resumed behind has no pace. */
static void add_epoch_points(mq_records *r, const mq_run_row *row) {
    const uint64_t epoch = row->epoch - 1;
    const point train[] = {{MQ_EVENTS_EPOCH "loss", row->train_loss},
                           {MQ_EVENTS_EPOCH "accuracy", row->train_top1},
                           {MQ_EVENTS_EPOCH "learning_rate", row->lr},
                           {MQ_EVENTS_EPOCH "images_per_second", row->img_s}};
    const point val[] = {{MQ_EVENTS_EPOCH "loss", row->val_loss},
                         {MQ_EVENTS_EPOCH "accuracy", row->val_top1},
                         {MQ_EVENTS_EPOCH "top5", row->val_top5},
                         {MQ_EVENTS_EPOCH "auc", row->val_auc},
                         {MQ_EVENTS_EPOCH "mae", row->val_mae}};
    const point by_steps[] = {{"evaluation_loss_vs_iterations", row->val_loss},
                              {"evaluation_accuracy_vs_iterations", row->val_top1}};
    add_points(r, TRAIN, epoch, train, sizeof train / sizeof *train - (isnan(row->img_s) ? 1 : 0));
    if (isnan(row->val_top1)) return;
    add_points(r, VALIDATION, epoch, val, sizeof val / sizeof *val);
    add_points(r, VALIDATION, r->step, by_steps, sizeof by_steps / sizeof *by_steps);
}

/* The row as an object for the log. */
static mq_status pack_row(mq_err *err, const mq_run_row *row, mq_json **members) {
    mq_status status = MQ_OK;
    const point figures[] = {
        {"seconds", row->seconds},   {"train_loss", row->train_loss}, {"train_top1", row->train_top1},
        {"val_loss", row->val_loss}, {"val_top1", row->val_top1},     {"val_top5", row->val_top5},
        {"val_auc", row->val_auc},   {"val_mae", row->val_mae},       {"lr", row->lr},
        {"img_s", row->img_s},       {"data_pct", row->data_pct}};
    MQ_TRY(mq_json_pack(err, members, "{s:I, s:s, s:I}", "epoch", (long long)row->epoch, "stage", row->stage,
                        "skipped", (long long)row->skipped));
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        MQ_TRY(mq_json_set(err, *members, figures[i].tag, mq_json_number(figures[i].value)));
cleanup:
    if (status != MQ_OK) mq_json_free(members);
    return status;
}

void mq_records_epoch(mq_records *records, const mq_run_row *row, bool best) {
    mq_err err = {0};
    mq_json *members = NULL;
    if (!records) return;
    records->epochs = row->epoch;
    add_epoch_points(records, row);
    mq_status packed = pack_row(&err, row, &members);
    add_packed(records, "epoch", packed, &err, members);
    if (!best) return;
    packed = mq_json_pack(&err, &members, "{s:I, s:o, s:o}", "epoch", (long long)row->epoch, "val_loss",
                          mq_json_number(row->val_loss), "val_top1", mq_json_number(row->val_top1));
    add_packed(records, "best", packed, &err, members);
}

void mq_records_stage(mq_records *records, uint32_t number, const mq_stage *stage) {
    mq_err err = {0};
    mq_json *members = NULL;
    if (!records) return;
    const mq_status packed = mq_json_pack(&err, &members, "{s:I, s:s, s:I, s:f}", "number", (long long)number,
                                          "stage", stage->thaw, "epochs", (long long)stage->epochs, "lr",
                                          stage->lr);
    add_packed(records, "stage", packed, &err, members);
}

void mq_records_close(mq_records **records, mq_status status, const mq_err *err) {
    mq_err packing = {0};
    mq_json *members = NULL;
    if (!*records) return;
    if ((*records)->resumed && !(*records)->first) { /* refused: the run is as it was */
        free_records(records);
        return;
    }
    const mq_status packed = status == MQ_OK ? mq_json_pack(&packing, &members, "{s:I}", "epochs",
                                                            (long long)(*records)->epochs)
                                             : mq_json_pack(&packing, &members, "{s:i, s:o}", "code",
                                                            (int)status, "text", mq_json_text(err->text));
    add_packed(*records, status == MQ_OK ? "end" : "stop", packed, &packing, members);
    free_records(records);
}
