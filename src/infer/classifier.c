/* classifier.c: the library's public face (marque.h) over model files and the
 * recipe. Called by other people's programs, so every argument is checked here.
 * Owns a model, room for one batch, and nothing outside: the caller's number of
 * OpenMP threads is put back before a call ends. Invariant: an image takes the
 * way of a file in predict.c, so its numbers are the same. */
#include "base/mem.h"
#include "base/par.h"
#include "data/prepare.h"
#include "infer/predict.h"

#include <stdio.h>

enum { BATCH_MAX = 4096, THREADS_MAX = 256 };

struct mq_classifier {
    mq_model *model; /* owned, as are the arrays */
    int threads;     /* at least 1, so that kernels meet the number they were made for */
    size_t batch, classes;
    size_t numbers;   /* of one prepared image */
    float *pixels;    /* [batch, numbers] */
    float *p;         /* [batch, classes] */
    size_t *best;     /* [classes] */
    mq_err *problems; /* [batch] */
};

static mq_status check_plan(mq_err *err, const mq_classifier_plan *plan) {
    mq_status status = MQ_OK;
    MQ_REQUIRE(
        plan->size == sizeof *plan, err, MQ_USAGE,
        "an mq_classifier_plan of %zu bytes, where this library's has %zu: set its size, and build with "
        "the library's own header",
        plan->size, sizeof *plan);
    MQ_REQUIRE(plan->model, err, MQ_USAGE, "a classifier needs the path of a model");
    MQ_REQUIRE(plan->batch <= BATCH_MAX, err, MQ_USAGE, "a batch of %zu images, at most %d are possible",
               plan->batch, BATCH_MAX);
    MQ_REQUIRE(plan->threads >= 0 && plan->threads <= THREADS_MAX, err, MQ_USAGE,
               "%d threads, where 0 to %d are possible", plan->threads, THREADS_MAX);
    MQ_REQUIRE(plan->numbers >= MQ_NUMBERS_AUTO && plan->numbers <= MQ_NUMBERS_BF16, err, MQ_USAGE,
               "%d is no kind of numbers", (int)plan->numbers);
    MQ_REQUIRE(plan->numbers != MQ_NUMBERS_BF16 || mq_dtype_auto() == MQ_BF16, err, MQ_UNAVAILABLE,
               "this processor (%s) has no avx512_bf16; use MQ_NUMBERS_F32", mq_dnn_isa());
cleanup:
    return status;
}

static mq_dtype dtype_of(mq_numbers numbers) {
    return numbers == MQ_NUMBERS_AUTO ? mq_dtype_auto() : numbers == MQ_NUMBERS_F32 ? MQ_F32 : MQ_BF16;
}

static mq_status open_model(mq_err *err, const mq_classifier_plan *plan, mq_classifier *c) {
    mq_status status = MQ_OK;
    char *path = NULL;
    MQ_TRY(mq_model_find(err, plan->model, &path));
    const mq_model_plan model = {.size = sizeof model,
                                 .path = path,
                                 .batch = c->batch,
                                 .dtype = dtype_of(plan->numbers),
                                 .own = plan->numbers == MQ_NUMBERS_AUTO};
    MQ_TRY(mq_model_open(err, &model, &c->model));
    const size_t side = mq_model_recipe(c->model)->imgsz;
    c->classes = mq_model_classes(c->model);
    c->numbers = side * side * 3; /* at most 4096 a side */
    MQ_TRY(mq_alloc_aligned(err, c->batch * c->numbers, sizeof *c->pixels, "prepared images", &c->pixels));
    MQ_TRY(mq_alloc_aligned(err, c->batch * c->classes, sizeof *c->p, "answers", &c->p));
    MQ_TRY(mq_calloc(err, c->classes, sizeof *c->best, "answers", &c->best));
    MQ_TRY(mq_calloc(err, c->batch, sizeof *c->problems, "messages", &c->problems));
cleanup:
    free(path);
    return status;
}

mq_status mq_classifier_open(mq_err *err, const mq_classifier_plan *plan, mq_classifier **classifier) {
    mq_status status = MQ_OK;
    mq_classifier *c = NULL;
    const int before = mq_par_threads();
    MQ_TRY(check_plan(err, plan));
    MQ_TRY(mq_calloc(err, 1, sizeof *c, "a classifier", &c));
    c->threads = plan->threads ? plan->threads : mq_cpu_count();
    c->batch = plan->batch ? plan->batch : 1;
    mq_par_set_threads(c->threads);
    MQ_TRY(open_model(err, plan, c));
    *classifier = c;
    c = NULL;
cleanup:
    mq_par_set_threads(before);
    mq_classifier_free(&c);
    return status;
}

void mq_classifier_free(mq_classifier **classifier) {
    mq_classifier *c = *classifier;
    if (!c) return;
    mq_model_free(&c->model);
    free(c->pixels);
    free(c->p);
    free(c->best);
    free(c->problems);
    free(c);
    *classifier = NULL;
}

size_t mq_classifier_classes(const mq_classifier *classifier) {
    return classifier->classes;
}

const char *mq_classifier_class(const mq_classifier *classifier, size_t index) {
    return index < classifier->classes ? mq_model_class(classifier->model, index) : NULL;
}

bool mq_classifier_on_boxes(const mq_classifier *classifier) {
    return mq_model_on_boxes(classifier->model);
}

/* One batch of a call. */
typedef struct {
    mq_classifier *c;
    const mq_image *images; /* of the whole call */
    size_t first, count;
} batch_work;

static mq_status prepare_one(mq_err *err, const batch_work *work, size_t i) {
    const size_t place = work->first + i;
    const mq_image *image = &work->images[place];
    char name[32];
    snprintf(name, sizeof name, "image %zu", place);
    if (image->size != sizeof *image)
        return mq_fail(err, MQ_USAGE,
                       "%s: an mq_image of %zu bytes, where this library's has %zu: set its size, and build "
                       "with the library's own header",
                       name, image->size, sizeof *image);
    const mq_recipe recipe = mq_predict_recipe(work->c->model, image->box);
    return mq_prepare_image(err, &recipe, name, image, work->c->pixels + i * work->c->numbers);
}

static void prepare_some(void *ctx, size_t begin, size_t end) {
    const batch_work *work = ctx;
    for (size_t i = begin; i < end; i++) {
        work->c->problems[i].code = MQ_OK;
        (void)prepare_one(&work->c->problems[i], work, i);
    }
}

static mq_status classify_batch(mq_err *err, const batch_work *work, size_t best_count, mq_guess *best) {
    mq_status status = MQ_OK;
    mq_classifier *c = work->c;
    mq_parallel_for(work->count, prepare_some, (void *)work);
    for (size_t i = 0; i < work->count; i++)
        MQ_REQUIRE(c->problems[i].code == MQ_OK, err, c->problems[i].code, "%s", c->problems[i].text);
    MQ_TRY(mq_model_run(err, c->model, c->pixels, work->count, &(mq_answers){.p = c->p}));
    for (size_t i = 0; i < work->count; i++) {
        const float *p = c->p + i * c->classes;
        mq_top_k(p, c->classes, best_count, c->best);
        for (size_t k = 0; k < best_count; k++)
            *best++ = (mq_guess){c->best[k], mq_model_class(c->model, c->best[k]), p[c->best[k]]};
    }
cleanup:
    return status;
}

mq_status mq_classify(mq_err *err, mq_classifier *classifier, const mq_image *images, size_t count,
                      size_t best_count, mq_guess *best) {
    mq_status status = MQ_OK;
    const int before = mq_par_threads();
    MQ_REQUIRE(best_count <= classifier->classes, err, MQ_USAGE,
               "the %zu likeliest classes are asked for, but the model has %zu", best_count,
               classifier->classes);
    mq_par_set_threads(classifier->threads);
    for (size_t first = 0; first < count; first += classifier->batch) {
        const size_t left = count - first;
        const batch_work work = {classifier, images, first,
                                 left < classifier->batch ? left : classifier->batch};
        MQ_TRY(classify_batch(err, &work, best_count, best + first * best_count));
    }
cleanup:
    mq_par_set_threads(before);
    return status;
}
