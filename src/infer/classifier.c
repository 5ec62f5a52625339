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
#include <string.h>

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

mq_status mq_classifier_info(mq_err *err, const mq_classifier *classifier, mq_classifier_facts *facts) {
    mq_status status = MQ_OK;
    MQ_REQUIRE(
        facts->size == sizeof *facts, err, MQ_USAGE,
        "an mq_classifier_facts of %zu bytes, where this library's has %zu: set its size, and build with "
        "the library's own header",
        facts->size, sizeof *facts);
    facts->classes = classifier->classes;
    facts->side = mq_model_recipe(classifier->model)->imgsz;
    facts->numbers = mq_dtype_name(mq_model_dtype(classifier->model));
cleanup:
    return status;
}

/* What a caller asks for. */
typedef struct {
    mq_classifier *c;
    const mq_image *images; /* [count] */
    size_t count, best_count;
    mq_guess *best;
    mq_err *errs; /* [count], one for each image; NULL: the first problem ends the call */
    size_t done;  /* images that are answered or have their error */
} question;

/* One batch of it. */
typedef struct {
    const question *q;
    size_t first, count;
    mq_err *problems; /* [count] */
} batch_work;

static mq_status prepare_one(mq_err *err, const batch_work *work, size_t i, float *pixels) {
    const size_t place = work->first + i;
    const mq_image *image = &work->q->images[place];
    char name[32];
    snprintf(name, sizeof name, "image %zu", place);
    if (image->size != sizeof *image)
        return mq_fail(err, MQ_USAGE,
                       "%s: an mq_image of %zu bytes, where this library's has %zu: set its size, and build "
                       "with the library's own header",
                       name, image->size, sizeof *image);
    const mq_recipe recipe = mq_predict_recipe(work->q->c->model, image->box);
    return mq_prepare_image(err, &recipe, name, image, pixels);
}

static void prepare_some(void *ctx, size_t begin, size_t end) {
    const batch_work *work = ctx;
    const mq_classifier *c = work->q->c;
    for (size_t i = begin; i < end; i++) {
        mq_err *problem = &work->problems[i];
        float *pixels = c->pixels + i * c->numbers;
        problem->code = MQ_OK;
        problem->text[0] = 0;
        /* What cannot be used is computed all the same, and must be numbers. */
        if (prepare_one(problem, work, i, pixels) != MQ_OK) memset(pixels, 0, c->numbers * sizeof *pixels);
    }
}

static mq_status answer_batch(mq_err *err, const batch_work *work) {
    mq_status status = MQ_OK;
    const question *q = work->q;
    mq_classifier *c = q->c;
    MQ_TRY(mq_model_run(err, c->model, c->pixels, work->count, &(mq_answers){.p = c->p}));
    for (size_t i = 0; i < work->count; i++) {
        const float *p = c->p + i * c->classes;
        if (work->problems[i].code != MQ_OK) continue;
        mq_top_k(p, c->classes, q->best_count, c->best);
        for (size_t k = 0; k < q->best_count; k++)
            q->best[(work->first + i) * q->best_count + k] = (mq_guess){
                c->best[k], mq_model_class(c->model, c->best[k]), p[c->best[k]]};
    }
cleanup:
    return status;
}

static mq_status classify_batch(mq_err *err, const batch_work *work) {
    mq_status status = MQ_OK;
    size_t good = 0;
    mq_parallel_for(work->count, prepare_some, (void *)work);
    for (size_t i = 0; i < work->count; i++) {
        const mq_err *problem = &work->problems[i];
        MQ_REQUIRE(problem->code == MQ_OK || work->q->errs, err, problem->code, "%s", problem->text);
        good += problem->code == MQ_OK;
    }
    if (good) MQ_TRY(answer_batch(err, work));
cleanup:
    return status;
}

static mq_status classify(mq_err *err, question *q) {
    mq_status status = MQ_OK;
    mq_classifier *c = q->c;
    const int before = mq_par_threads();
    MQ_REQUIRE(q->best_count <= c->classes, err, MQ_USAGE,
               "the %zu likeliest classes are asked for, but the model has %zu", q->best_count, c->classes);
    mq_par_set_threads(c->threads);
    while (q->done < q->count) {
        const size_t left = q->count - q->done, count = left < c->batch ? left : c->batch;
        const batch_work work = {q, q->done, count, q->errs ? q->errs + q->done : c->problems};
        MQ_TRY(classify_batch(err, &work));
        q->done += count;
    }
cleanup:
    mq_par_set_threads(before);
    return status;
}

mq_status mq_classify(mq_err *err, mq_classifier *classifier, const mq_image *images, size_t count,
                      size_t best_count, mq_guess *best) {
    question q = {classifier, images, count, best_count, best, NULL, 0};
    return classify(err, &q);
}

mq_status mq_classify_each(mq_err *errs, mq_classifier *classifier, const mq_image *images, size_t count,
                           size_t best_count, mq_guess *best) {
    mq_err whole = {0};
    question q = {classifier, images, count, best_count, best, errs, 0};
    const mq_status status = classify(&whole, &q);
    for (size_t i = q.done; i < count; i++) errs[i] = whole;
    return status;
}
