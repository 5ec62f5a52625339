/* labels_probe.c: steps of a classifier against weighted, smoothed and mixed labels, for the oracle test.
 *
 * labels_probe HEAD CLASSES LR STEPS SMOOTHING FEATURES FIRST SECOND SHARE WEIGHTS OUT
 *     HEAD: .safetensors of a classifier. Each step is one of Adam on all of FEATURES (f32 [n, 2048]) and
 * FIRST (u32 [n]); SECOND (u32 [n]), SHARE (f32 [n]) and WEIGHTS (f32 [CLASSES]) may be "-". OUT: "rows" [n]
 *     and "grad" of the first step, "losses" [STEPS], and "params" behind the last. */
#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "train/step.h"

#include <stdio.h>
#include <string.h>

enum { FEATURES = 2048, STEPS_MAX = 100, FILES = 5, X = 0, FIRST, SECOND, SHARE, WEIGHTS };

typedef struct {
    mq_buf files[FILES];
    mq_head *head;
    mq_head_trainer *trainer;
    float *rows, *grad, losses[STEPS_MAX];
    size_t n, steps;
} probe;

static const void *data_of(const probe *p, int file) {
    return p->files[file].size ? p->files[file].data : NULL;
}

static mq_status open_probe(mq_err *err, probe *p, char **arg) {
    mq_status status = MQ_OK;
    mq_bundle *file = NULL;
    for (int i = 0; i < FILES; i++) {
        p->files[i] = mq_buf_init(SIZE_MAX / 2);
        if (strcmp(arg[5 + i], "-") != 0) MQ_TRY(mq_file_read(err, arg[5 + i], &p->files[i]));
    }
    p->n = p->files[FIRST].size / sizeof(uint32_t);
    p->steps = (size_t)atoi(arg[3]);
    MQ_REQUIRE(p->steps <= STEPS_MAX && p->files[X].size == p->n * FEATURES * sizeof(float), err, MQ_USAGE,
               "features of other rows, or more than %d steps", STEPS_MAX);
    MQ_TRY(mq_bundle_open(err, arg[0], &file));
    MQ_TRY(mq_head_load(err, file, FEATURES, (size_t)atoi(arg[1]), &p->head));
    MQ_TRY(mq_head_trainer_create(err, p->head, p->n, &p->trainer));
    p->trainer->smoothing = (float)atof(arg[4]);
    p->trainer->weights = data_of(p, WEIGHTS);
    MQ_TRY(mq_calloc(err, p->n, sizeof *p->rows, "losses", &p->rows));
    MQ_TRY(mq_calloc(err, p->head->count, sizeof *p->grad, "gradients", &p->grad));
cleanup:
    mq_bundle_free(&file);
    return status;
}

static mq_status run_steps(mq_err *err, probe *p, double lr) {
    mq_status status = MQ_OK;
    const mq_labels labels = {data_of(p, FIRST), data_of(p, SECOND), data_of(p, SHARE)};
    for (size_t step = 0; step < p->steps; step++) {
        MQ_TRY(mq_step_gradients(err, &(mq_step_plan){.head = p->trainer}, data_of(p, X), &labels, p->n));
        if (step == 0) memcpy(p->rows, p->trainer->work->loss, p->n * sizeof *p->rows);
        if (step == 0) memcpy(p->grad, p->trainer->grad, p->head->count * sizeof *p->grad);
        double sum = 0;
        for (size_t i = 0; i < p->n; i++) sum += (double)p->trainer->work->loss[i];
        p->losses[step] = (float)(sum / (double)p->n);
        MQ_TRY(mq_head_update(err, p->trainer, lr));
    }
cleanup:
    return status;
}

int main(int argc, char **argv) {
    mq_err err = {0};
    mq_status status = MQ_OK;
    probe p = {.n = 0};
    mq_par_set_threads(0);
    MQ_REQUIRE(argc == 12, &err, MQ_USAGE, "usage: see the first lines of labels_probe.c");
    MQ_TRY(open_probe(&err, &p, argv + 1));
    MQ_TRY(run_steps(&err, &p, atof(argv[3])));
    const mq_tensor out[] = {mq_tensor_row("rows", p.rows, p.n), mq_tensor_row("grad", p.grad, p.head->count),
                             mq_tensor_row("losses", p.losses, p.steps),
                             mq_tensor_row("params", p.head->params, p.head->count)};
    MQ_TRY(mq_bundle_write(&err, argv[11], out, sizeof out / sizeof *out, NULL, 0));
cleanup:
    mq_head_trainer_free(&p.trainer);
    mq_head_free(&p.head);
    for (int i = 0; i < FILES; i++) mq_buf_free(&p.files[i]);
    free(p.rows);
    free(p.grad);
    if (err.code != MQ_OK) fprintf(stderr, "%s\n", err.text);
    return (int)status;
}
