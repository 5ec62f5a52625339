/* run_told.c: reads back what a run is of and how far it has come. Called by cmd_inspect.c. Owns
 * results.csv's rows while it reads. Invariant: the best epoch is the one that training took for it. */
#include "cli/run_told.h"

#include "base/csv.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "train/stages.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 4096 };

/* What results.csv says. */
typedef struct {
    long long done, best; /* epochs, from 1; 0: none */
    double top1, loss;    /* of the best */
    bool by_loss;         /* --monitor loss */
} results;

/* As training decides it: ties of the figure by the other one. */
static bool is_better(const results *r, double top1, double loss) {
    if (!r->best) return true;
    return r->by_loss ? loss < r->loss || (loss == r->loss && top1 > r->top1)
                      : top1 > r->top1 || (top1 == r->top1 && loss < r->loss);
}

static mq_status read_results(mq_err *err, const char *path, results *r) {
    mq_status status = MQ_OK;
    mq_csv *csv = NULL;
    int epoch, top1, loss;
    bool more = true;
    MQ_TRY(mq_csv_open(err, path, &csv));
    MQ_TRY(mq_csv_need(err, csv, "epoch", &epoch));
    MQ_TRY(mq_csv_need(err, csv, "metrics/accuracy_top1", &top1));
    MQ_TRY(mq_csv_need(err, csv, "val/loss", &loss));
    for (;;) {
        MQ_TRY(mq_csv_next(err, csv, &more));
        if (!more) break;
        const double right = strtod(mq_csv_get(csv, top1), NULL), lost = strtod(mq_csv_get(csv, loss), NULL);
        r->done = strtoll(mq_csv_get(csv, epoch), NULL, 10);
        if (!*mq_csv_get(csv, top1) || !is_better(r, right, lost)) continue;
        r->best = r->done;
        r->top1 = right;
        r->loss = lost;
    }
cleanup:
    mq_csv_free(&csv);
    return status;
}

/* The stages of a config.json as *text, the caller's, and the epochs of them all. */
static mq_status read_stages(mq_err *err, const char *path, const mq_json *list, char **text,
                             long long *epochs) {
    mq_status status = MQ_OK;
    mq_stage stages[MQ_STAGES_MAX] = {0};
    const size_t count = mq_json_size(list);
    MQ_REQUIRE(count && count <= MQ_STAGES_MAX, err, MQ_BAD_DATA, "%s: holds no stages of a run", path);
    for (size_t i = 0; i < count; i++) {
        const char *name, *bn;
        int number;
        MQ_TRY(mq_json_unpack(err, path, mq_json_at(list, i), "{s:s, s:i, s:F, s:s}", "name", &name, "epochs",
                              &number, "lr", &stages[i].lr, "bn", &bn));
        snprintf(stages[i].thaw, sizeof stages[i].thaw, "%s", name);
        stages[i].epochs = (uint32_t)number;
        stages[i].batch_statistics = strcmp(bn, "train") == 0;
        *epochs += number;
    }
    MQ_TRY(mq_stages_text(err, stages, count, text));
cleanup:
    return status;
}

/* 0 is null: nothing is known of epoch 0. */
static mq_status set_epoch(mq_err *err, mq_json *json, const char *key, long long epoch) {
    mq_status status = MQ_OK;
    mq_json *value = NULL;
    MQ_TRY(mq_json_pack(err, &value, epoch ? "I" : "n", epoch));
    MQ_TRY(mq_json_set(err, json, key, value));
cleanup:
    return status;
}

mq_status mq_run_told(mq_err *err, const char *folder, mq_json **json) {
    mq_status status = MQ_OK;
    char *path = NULL, *table = NULL, *stages = NULL;
    mq_json *config = NULL, *told = NULL;
    const char *data, *monitor;
    long long epochs = 0;
    results r = {0};
    MQ_TRY(mq_path_join(err, folder, "config.json", &path));
    MQ_TRY(mq_json_load(err, path, &config));
    MQ_TRY(mq_json_unpack(err, path, config, "{s:s, s:s}", "data", &data, "monitor", &monitor));
    MQ_TRY(read_stages(err, path, mq_json_get(config, "stages"), &stages, &epochs));
    r.by_loss = strcmp(monitor, "loss") == 0;
    MQ_TRY(mq_path_join(err, folder, "results.csv", &table));
    if (mq_file_exists(table)) MQ_TRY(read_results(err, table, &r));
    MQ_TRY(mq_json_pack(err, &told, "{s:o, s:s, s:I}", "data", mq_json_text(data), "stages", stages, "epochs",
                        epochs));
    MQ_TRY(set_epoch(err, told, "epochs_done", r.done));
    MQ_TRY(set_epoch(err, told, "best_epoch", r.best));
    MQ_TRY(mq_json_set(err, told, "best_top1", mq_json_number(r.best ? r.top1 : NAN)));
    *json = told;
    told = NULL;
cleanup:
    mq_json_free(&told);
    free(path);
    free(table);
    free(stages);
    mq_json_free(&config);
    return status;
}

void mq_run_print(const mq_json *json) {
    char safe[SHOWN];
    const mq_json *done = mq_json_get(json, "epochs_done"), *best = mq_json_get(json, "best_epoch");
    printf("%-20s %s\n", "run.data",
           mq_text_safe(mq_json_string(mq_json_get(json, "data")), safe, sizeof safe));
    printf("%-20s %s\n", "run.stages",
           mq_text_safe(mq_json_string(mq_json_get(json, "stages")), safe, sizeof safe));
    if (mq_json_is_number(done))
        printf("%-20s %lld of %lld done\n", "run.epochs", mq_json_int(done),
               mq_json_int(mq_json_get(json, "epochs")));
    if (mq_json_is_number(best))
        printf("%-20s epoch %lld, validation top-1 %.1f %%\n", "run.best", mq_json_int(best),
               100 * mq_json_real(mq_json_get(json, "best_top1")));
}
