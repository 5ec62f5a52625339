/* predict.c: from files to answers. Called by `marque predict`. Owns a ring of
 * prepared pictures while it works. Invariant: slot k of the ring holds the
 * picture of item k modulo its size, so a batch is one stretch of memory. */
#include "infer/predict.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/pipeline.h"
#include "data/prepare.h"

#include <string.h>

enum { BATCHES = 2, PICTURE_LIMIT = 256 << 20 };

typedef struct {
    const mq_predict_plan *plan;
    size_t numbers; /* of one prepared picture */
    float *ring;    /* [BATCHES x batch, numbers] */
    mq_buf *files;  /* [workers] the bytes of a worker's present file */
} predict_work;

mq_recipe mq_predict_recipe(const mq_model *model, const mq_box *box) {
    mq_recipe recipe = *mq_model_recipe(model);
    if (box) recipe.crop = true;
    return recipe;
}

static mq_status prepare_item(mq_err *err, void *ctx, size_t item, size_t slot, size_t worker) {
    mq_status status = MQ_OK;
    const predict_work *work = ctx;
    const mq_predict_plan *plan = work->plan;
    const char *path = plan->paths[item];
    mq_buf *file = &work->files[worker];
    const mq_recipe recipe = mq_predict_recipe(plan->model, plan->box);
    mq_buf_clear(file);
    if (strcmp(path, "-") == 0) {
        path = "standard input";
        MQ_TRY(mq_stdin_read(err, file, plan->stop, plan->user));
    } else {
        MQ_TRY(mq_file_read(err, path, file));
    }
    const mq_encoded in = {path, file->data, file->size};
    MQ_TRY(mq_prepare(err, &recipe, &in, plan->box, NULL, work->ring + slot * work->numbers));
cleanup:
    return status;
}

/* Takes one batch of prepared pictures from the pipeline and answers it. Slots of failed ones are computed
 * too, on what stands there, and not used. */
static mq_status answer_batch(mq_err *err, const predict_work *work, mq_pipeline *pipeline, size_t first,
                              float *p, size_t *bad) {
    mq_status status = MQ_OK;
    const mq_predict_plan *plan = work->plan;
    const size_t count = plan->count - first < plan->batch ? plan->count - first : plan->batch;
    const size_t classes = mq_model_classes(plan->model);
    mq_err *problems = NULL;
    size_t start = 0, good = 0;
    MQ_TRY(mq_calloc(err, count, sizeof *problems, "messages", &problems));
    for (size_t i = 0; i < count; i++) {
        size_t slot;
        good += mq_pipeline_next(&problems[i], pipeline, &slot) == MQ_OK;
        if (i == 0) start = slot;
    }
    if (good)
        MQ_TRY(
            mq_model_run(err, plan->model, work->ring + start * work->numbers, count, &(mq_answers){.p = p}));
    mq_pipeline_release(pipeline, count);
    for (size_t i = 0; i < count; i++) {
        MQ_REQUIRE(problems[i].code != MQ_INTERRUPTED, err, MQ_INTERRUPTED, "%s", problems[i].text);
        const bool failed = problems[i].code != MQ_OK;
        const mq_prediction one = {.path = plan->paths[first + i],
                                   .p = failed ? NULL : p + i * classes,
                                   .problem = failed ? problems[i].text : NULL};
        MQ_TRY(plan->each(err, plan->user, &one));
    }
    *bad += count - good;
cleanup:
    free(problems);
    return status;
}

mq_status mq_predict_files(mq_err *err, const mq_predict_plan *plan, size_t *bad) {
    mq_status status = MQ_OK;
    predict_work work = {.plan = plan};
    mq_pipeline *pipeline = NULL;
    float *p = NULL;
    const size_t side = mq_model_recipe(plan->model)->imgsz, slots = BATCHES * plan->batch;
    *bad = 0;
    MQ_REQUIRE(plan->size == sizeof *plan && plan->batch && plan->workers, err, MQ_INTERNAL,
               "answers of no batch");
    work.numbers = side * side * 3;
    MQ_TRY(mq_alloc_aligned(err, slots * work.numbers, sizeof *work.ring, "prepared pictures", &work.ring));
    memset(work.ring, 0, slots * work.numbers * sizeof *work.ring);
    MQ_TRY(mq_calloc(err, plan->workers, sizeof *work.files, "files", &work.files));
    for (size_t i = 0; i < plan->workers; i++) work.files[i] = mq_buf_init(PICTURE_LIMIT);
    MQ_TRY(mq_alloc_aligned(err, plan->batch * mq_model_classes(plan->model), sizeof *p, "answers", &p));
    const mq_pipeline_plan pipe = {sizeof pipe, plan->count, slots, plan->workers, prepare_item, &work};
    MQ_TRY(mq_pipeline_start(err, &pipe, &pipeline));
    for (size_t first = 0; first < plan->count; first += plan->batch) {
        MQ_REQUIRE(!plan->stop || !plan->stop(plan->user), err, MQ_INTERRUPTED,
                   "stopped after %zu of %zu pictures", first, plan->count);
        MQ_TRY(answer_batch(err, &work, pipeline, first, p, bad));
    }
cleanup:
    mq_pipeline_free(&pipeline);
    if (work.files)
        for (size_t i = 0; i < plan->workers; i++) mq_buf_free(&work.files[i]);
    free(work.files);
    free(work.ring);
    free(p);
    return status;
}
