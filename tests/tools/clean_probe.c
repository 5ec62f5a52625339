/* clean_probe.c: what `marque clean` computes with, as numbers for programs that compare.
 *
 * clean_probe WEIGHTS DATA SIZE OUT [FOLDS SEED]
 *     OUT: .safetensors with "rows" f32 [n, features], "labels" i32 [n], out-of-fold answers "p" [n, classes]
 * of all pictures of DATA, and the chances "wrong" f32 [n]; features from the cache. On stdout one picture's
 * name a line, in the same order. */
#include "base/mem.h"
#include "base/par.h"
#include "curate/confident.h"
#include "curate/vectors.h"

#include <stdio.h>
#include <string.h>

enum { RECORD_LIMIT = 300 << 20 };

static void tell(void *user, mq_split split, size_t done, size_t total, double seconds, double waited) {
    (void)user, (void)waited;
    fprintf(stderr, "%s %zu/%zu %.0f s\n", mq_split_name(split), done, total, seconds);
}

/* Names to stdout, labels into labels. */
static mq_status read_labels(mq_err *err, const mq_dataset *dataset, int32_t *labels) {
    mq_status status = MQ_OK;
    mq_buf record = mq_buf_init(RECORD_LIMIT);
    size_t row = 0;
    for (mq_split split = MQ_TRAIN; split < MQ_SPLITS; split++)
        for (size_t i = 0; i < mq_dataset_count(dataset, split); i++) {
            mq_sample sample;
            MQ_TRY(mq_dataset_read(err, dataset, split, i, &record, &sample));
            labels[row++] = (int32_t)sample.label;
            puts(sample.name);
        }
cleanup:
    mq_buf_free(&record);
    return status;
}

static void tell_fold(void *user, size_t done, size_t total) {
    (void)user;
    fprintf(stderr, "fold %zu/%zu\n", done, total);
}

static mq_status answer(mq_err *err, mq_vectors *v, const mq_confident_plan *options, float *p,
                        float *wrong) {
    mq_status status = MQ_OK;
    mq_doubt *doubts = NULL;
    uint32_t *groups = NULL;
    double rate;
    mq_confident_plan plan = *options;
    mq_vectors_standardise(v);
    MQ_TRY(mq_calloc(err, v->count, sizeof *doubts, "labels", &doubts));
    MQ_TRY(mq_calloc(err, v->count, sizeof *groups, "groups", &groups));
    for (uint32_t i = 0; i < v->count; i++) groups[i] = i;
    plan.groups = groups;
    MQ_TRY(mq_confident_answers(err, &plan, p));
    const mq_answers_given given = {p, plan.labels, plan.count, plan.classes, NULL};
    MQ_TRY(mq_confident_judge(err, &given, doubts, &rate));
    for (size_t i = 0; i < v->count; i++) wrong[i] = (float)doubts[i].wrong;
    fprintf(stderr, "rate %.4f\n", rate);
cleanup:
    free(doubts);
    free(groups);
    return status;
}

static mq_status probe(mq_err *err, char **arg, size_t folds, uint64_t seed) {
    mq_status status = MQ_OK;
    mq_dataset *dataset = NULL;
    mq_bundle *weights = NULL;
    mq_viewer *viewer = NULL;
    mq_vectors v = {0};
    int32_t *labels = NULL;
    float *p = NULL, *wrong = NULL, *raw = NULL;
    const mq_arch *arch = mq_arch_find("xception");
    MQ_TRY(mq_bundle_open(err, arg[0], &weights));
    MQ_TRY(mq_dataset_open(err, arg[1], &dataset));
    mq_recipe recipe = mq_recipe_default((uint32_t)atoi(arg[2]), arch->range);
    mq_dataset_recipe(dataset, &recipe);
    const mq_viewer_plan view = {sizeof view,           arch, weights, &recipe, mq_dtype_auto(),
                                 (size_t)mq_cpu_count()};
    MQ_TRY(mq_viewer_open(err, &view, &viewer));
    const mq_vectors_plan plan = {.size = sizeof plan,
                                  .dataset = dataset,
                                  .viewer = viewer,
                                  .splits = {true, true, true},
                                  .progress = tell};
    MQ_TRY(mq_vectors_read(err, &plan, &v));
    MQ_TRY(mq_calloc(err, v.count, sizeof *labels, "labels", &labels));
    MQ_TRY(read_labels(err, dataset, labels));
    const size_t n = v.count, width = v.width, classes = mq_dataset_classes(dataset);
    MQ_TRY(mq_calloc(err, n * classes, sizeof *p, "answers", &p));
    MQ_TRY(mq_calloc(err, n, sizeof *wrong, "chances", &wrong));
    MQ_TRY(mq_calloc(err, n * width, sizeof *raw, "features", &raw));
    memcpy(raw, v.rows, n * width * sizeof *raw);
    const mq_confident_plan confident = {.size = sizeof confident,
                                         .x = v.rows,
                                         .labels = (const uint32_t *)labels,
                                         .count = n,
                                         .features = width,
                                         .classes = classes,
                                         .folds = folds,
                                         .seed = seed,
                                         .progress = tell_fold};
    MQ_TRY(answer(err, &v, &confident, p, wrong));
    const mq_tensor tensors[] = {
        {"rows", MQ_F32, 2, {n, width}, raw, n * width * sizeof *raw},
        {"labels", MQ_I32, 1, {n}, labels, n * sizeof *labels},
        {"p", MQ_F32, 2, {n, classes}, p, n * classes * sizeof *p},
        {"wrong", MQ_F32, 1, {n}, wrong, n * sizeof *wrong},
    };
    MQ_TRY(mq_bundle_write(err, arg[3], tensors, sizeof tensors / sizeof *tensors, NULL, 0));
cleanup:
    mq_vectors_free(&v);
    mq_viewer_free(&viewer);
    mq_bundle_free(&weights);
    mq_dataset_free(&dataset);
    free(labels);
    free(p);
    free(wrong);
    free(raw);
    return status;
}

int main(int argc, char **argv) {
    mq_err err = {0};
    if (argc != 5 && argc != 7)
        return fputs("usage: clean_probe WEIGHTS DATA SIZE OUT [FOLDS SEED]\n", stderr), 64;
    mq_par_set_threads(0);
    const mq_status status = probe(&err, argv + 1, argc == 7 ? (size_t)atoi(argv[5]) : 5,
                                   argc == 7 ? (uint64_t)atoll(argv[6]) : 123);
    if (status != MQ_OK) fprintf(stderr, "%s\n", err.text);
    return (int)status;
}
