/* train_probe.c: training passes on raw numbers for the oracle tests.
 *
 * train_probe WEIGHTS DTYPE SIZE FIRST LAST BN IN GRADIENT OUT
 *     One pass. FIRST, LAST: thawed blocks, "-": from or to the end. BN: train or stored. IN: f32 [n,
 * boundary]; GRADIENT: f32 [n, features]. OUT: .safetensors with "features", every gradient, the moving
 * statistics.
 *
 * train_probe --train WEIGHTS DTYPE SIZE BN LR STEPS IN LABELS HEAD OUT
 *     Steps of Adam on everything, each on all of IN (pixels) and LABELS (u32 [n]). HEAD: .safetensors of a
 *     classifier of 196. OUT: "losses" [STEPS], the moving statistics, the parameters, and under "grad/" the
 *     last step's gradients. */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/par.h"
#include "net/program.h"
#include "net/trainable.h"
#include "train/adam.h"
#include "train/step.h"

#include <stdio.h>
#include <string.h>

enum { BATCH = 16, TENSORS = 512 };

static const char *block(const char *word) {
    return strcmp(word, "-") == 0 ? NULL : word;
}

/* arg: WEIGHTS DTYPE SIZE */
static mq_status open_trainable(mq_err *err, char **arg, mq_trainable_plan plan, mq_trainable **t) {
    mq_status status = MQ_OK;
    mq_bundle *weights = NULL;
    MQ_TRY(mq_bundle_open(err, arg[0], &weights));
    plan.size = sizeof plan;
    plan.arch = mq_arch_find("xception");
    plan.weights = weights;
    plan.prefix = "";
    plan.dtype = strcmp(arg[1], "bf16") == 0 ? MQ_BF16 : MQ_F32;
    plan.imgsz = (uint32_t)atoi(arg[2]);
    MQ_TRY(mq_trainable_create(err, &plan, t));
cleanup:
    mq_bundle_free(&weights);
    return status;
}

/* What goes into OUT. */
typedef struct {
    mq_tensor tensors[TENSORS];
    char names[TENSORS][128];
    size_t count;
} output;

static void add_tensors(output *out, const mq_trainable *t, bool moving, const char *prefix,
                        const float *block) {
    mq_trainable_tensor one;
    for (size_t i = 0; mq_trainable_tensor_at(t, moving, i, &one) && out->count < TENSORS; i++) {
        char *name = out->names[out->count];
        snprintf(name, sizeof *out->names, "%s%s/%s", prefix, one.layer, one.param);
        out->tensors[out->count++] = mq_tensor_row(name, block + one.at, one.count);
    }
}

/* arg: WEIGHTS DTYPE SIZE FIRST LAST BN IN GRADIENT OUT */
static mq_status run_file(mq_err *err, char **arg) {
    mq_status status = MQ_OK;
    mq_buf in = mq_buf_init(SIZE_MAX / 2), gradient = mq_buf_init(SIZE_MAX / 2);
    mq_trainable *t = NULL;
    float *features = NULL;
    static output out;
    MQ_TRY(open_trainable(err, arg,
                          (mq_trainable_plan){.batch = BATCH,
                                              .first = block(arg[3]),
                                              .last = block(arg[4]),
                                              .batch_statistics = strcmp(arg[5], "train") == 0},
                          &t));
    MQ_TRY(mq_file_read(err, arg[6], &in));
    MQ_TRY(mq_file_read(err, arg[7], &gradient));
    const mq_shape s = mq_trainable_input(t);
    const size_t n = in.size / (s.h * s.w * s.c * sizeof(float)), width = gradient.size / sizeof(float) / n;
    MQ_TRY(mq_calloc(err, n * width, sizeof *features, "features", &features));
    const size_t rows = mq_trainable_rows(t);
    for (size_t i = 0; i < n; i += rows) {
        const size_t now = n - i < rows ? n - i : rows;
        const float *x = (const float *)(const void *)in.data,
                    *g = (const float *)(const void *)gradient.data;
        MQ_TRY(mq_trainable_forward(err, t, x + i * s.h * s.w * s.c, now, features + i * width));
        MQ_TRY(mq_trainable_backward(err, t, g + i * width, i > 0));
    }
    out.tensors[out.count++] = (mq_tensor){.name = "features",
                                           .dtype = MQ_F32,
                                           .rank = 2,
                                           .shape = {n, width},
                                           .data = features,
                                           .bytes = n * width * sizeof(float)};
    add_tensors(&out, t, false, "", mq_trainable_grads(t));
    add_tensors(&out, t, true, "", mq_trainable_moving(t));
    MQ_TRY(mq_bundle_write(err, arg[8], out.tensors, out.count, NULL, 0));
cleanup:
    mq_trainable_free(&t);
    mq_buf_free(&in);
    mq_buf_free(&gradient);
    free(features);
    return status;
}

/* Adds up the losses of a step. */
typedef struct {
    const mq_head_work *work;
    float loss;
} step_loss;

static void add_losses(void *user, const mq_slice *slice) {
    step_loss *l = user;
    for (size_t i = 0; i < slice->n; i++) l->loss += l->work->loss[i] / (float)slice->batch;
}

/* arg: WEIGHTS DTYPE SIZE BN LR STEPS IN LABELS HEAD OUT */
static mq_status train(mq_err *err, char **arg) {
    enum { STEPS_MAX = 100, CLASSES = 196 };
    mq_status status = MQ_OK;
    mq_buf in = mq_buf_init(SIZE_MAX / 2), labels = mq_buf_init(SIZE_MAX / 2);
    mq_bundle *file = NULL;
    mq_trainable *t = NULL;
    mq_head *head = NULL;
    mq_head_trainer *trainer = NULL;
    float *features = NULL, *m = NULL, *v = NULL, losses[STEPS_MAX];
    static output out;
    const size_t steps = (size_t)atoi(arg[5]);
    MQ_REQUIRE(steps <= STEPS_MAX, err, MQ_USAGE, "at most %d steps", STEPS_MAX);
    MQ_TRY(mq_file_read(err, arg[6], &in));
    MQ_TRY(mq_file_read(err, arg[7], &labels));
    const size_t n = labels.size / sizeof(uint32_t);
    MQ_TRY(open_trainable(
        err, arg, (mq_trainable_plan){.batch = n + 2, .batch_statistics = strcmp(arg[3], "train") == 0}, &t));
    MQ_TRY(mq_bundle_open(err, arg[8], &file));
    MQ_TRY(mq_head_load(err, file, 2048, CLASSES, &head));
    MQ_TRY(mq_head_trainer_create(err, head, n, &trainer));
    trainer->thawed = true;
    MQ_TRY(mq_calloc(err, n * 2048, sizeof *features, "features", &features));
    MQ_TRY(mq_calloc(err, mq_trainable_count(t), sizeof *m, "moments", &m));
    MQ_TRY(mq_calloc(err, mq_trainable_count(t), sizeof *v, "moments", &v));
    const mq_adam_block block = {mq_trainable_params(t), m, v, mq_trainable_grads(t), mq_trainable_count(t)};
    for (size_t i = 0; i < steps; i++) {
        step_loss loss = {trainer->work, 0};
        const mq_step_plan step = {
            .thawed = t, .head = trainer, .features = features, .each = add_losses, .user = &loss};
        MQ_TRY(mq_step_gradients(err, &step, (const float *)(const void *)in.data,
                                 &(mq_labels){.first = (const uint32_t *)(const void *)labels.data}, n));
        MQ_TRY(mq_head_update(err, trainer, atof(arg[4])));
        MQ_REQUIRE(mq_adam_step(&block, atof(arg[4]), trainer->step), err, MQ_BAD_DATA,
                   "numbers that are not finite");
        MQ_TRY(mq_trainable_changed(err, t));
        losses[i] = loss.loss;
    }
    out.tensors[out.count++] = mq_tensor_row("losses", losses, steps);
    add_tensors(&out, t, true, "", mq_trainable_moving(t));
    add_tensors(&out, t, false, "", mq_trainable_params(t));
    add_tensors(&out, t, false, "grad/", mq_trainable_grads(t));
    MQ_TRY(mq_bundle_write(err, arg[9], out.tensors, out.count, NULL, 0));
cleanup:
    mq_head_trainer_free(&trainer);
    mq_head_free(&head);
    mq_trainable_free(&t);
    mq_bundle_free(&file);
    mq_buf_free(&in);
    mq_buf_free(&labels);
    free(features);
    free(m);
    free(v);
    return status;
}

int main(int argc, char **argv) {
    mq_err err = {0};
    mq_status status = MQ_USAGE;
    mq_par_set_threads(0);
    if (argc == 12 && strcmp(argv[1], "--train") == 0)
        status = train(&err, argv + 2);
    else if (argc == 10)
        status = run_file(&err, argv + 1);
    else
        fprintf(stderr, "usage: see the first lines of train_probe.c\n");
    if (err.code != MQ_OK) fprintf(stderr, "%s\n", err.text);
    return (int)status;
}
