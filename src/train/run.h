/* run.h: the folder of a run: runs/DATA-MODEL[-N]/ with config, labels, results, weights and checkpoints. */
#ifndef MQ_RUN_H
#define MQ_RUN_H

#include "base/json.h"
#include "data/dataset.h"

typedef struct mq_run mq_run;

/* Makes a new folder: folder itself when it is given (one that exists is refused, unless it is empty or was
 * cut short before it became a run), else runs/DATA-MODEL or runs/NAME with -2, -3, ... behind it. Holds its
 * lock until it is freed. *run is the caller's. */
MQ_MUST_USE mq_status mq_run_create(mq_err *err, const char *folder, const char *name, const char *data,
                                    const char *model, mq_run **run);

/* Whether mq_run_create would take the words (folder and name as there; NULL: not given): asked before work
 * that would be for nothing. */
MQ_MUST_USE mq_status mq_run_check(mq_err *err, const char *folder, const char *name);

/* Opens one that exists, to go on with it; its lock is taken. */
MQ_MUST_USE mq_status mq_run_open(mq_err *err, const char *folder, mq_run **run);
void mq_run_free(mq_run **run);

const char *mq_run_folder(const mq_run *run); /* borrowed */

/* folder/NAME in *path; the caller's, for free(). */
MQ_MUST_USE mq_status mq_run_path(mq_err *err, const mq_run *run, const char *name, char **path);

/* Writes config.json and labels.txt (a name that is not a line of UTF-8, or begins as JSON does, is
 * written as JSON: mq_name_to_json). */
MQ_MUST_USE mq_status mq_run_describe(mq_err *err, mq_run *run, const mq_json *config,
                                      const mq_dataset *dataset);

/* One line of results.csv; NaN is written as nothing. */
typedef struct {
    uint32_t epoch;    /* counted from 1 over all stages */
    const char *stage; /* "head" */
    double seconds, train_loss, train_top1, val_loss, val_top1, val_top5, val_auc, val_mae, lr, img_s,
        data_pct;
    size_t skipped; /* pictures that this process could not read so far; of the log alone */
} mq_run_row;

/* Writes the row for its epoch; later rows of an earlier attempt are dropped. */
MQ_MUST_USE mq_status mq_run_add(mq_err *err, mq_run *run, const mq_run_row *row);

#endif
