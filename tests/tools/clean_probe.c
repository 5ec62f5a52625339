/* clean_probe.c: what `marque clean` computes with, as numbers for programs that compare.
 *
 * clean_probe WEIGHTS DATA SIZE OUT
 *     OUT: .safetensors with "rows" f32 [n, features] and "labels" i32 [n] of all pictures of DATA, from the
 * feature cache; on stdout one picture's name a line, in the same order. */
#include "base/mem.h"
#include "base/par.h"
#include "curate/vectors.h"

#include <stdio.h>

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

static mq_status probe(mq_err *err, char **arg) {
    mq_status status = MQ_OK;
    mq_dataset *dataset = NULL;
    mq_bundle *weights = NULL;
    mq_vectors v = {0};
    int32_t *labels = NULL;
    const mq_arch *arch = mq_arch_find("xception");
    MQ_TRY(mq_bundle_open(err, arg[0], &weights));
    MQ_TRY(mq_dataset_open(err, arg[1], &dataset));
    mq_recipe recipe = mq_recipe_default((uint32_t)atoi(arg[2]), arch->range);
    mq_dataset_recipe(dataset, &recipe);
    const mq_vectors_plan plan = {.size = sizeof plan,
                                  .dataset = dataset,
                                  .arch = arch,
                                  .weights = weights,
                                  .recipe = &recipe,
                                  .splits = {true, true, true},
                                  .dtype = mq_dtype_auto(),
                                  .workers = (size_t)mq_cpu_count(),
                                  .progress = tell};
    MQ_TRY(mq_vectors_read(err, &plan, &v));
    MQ_TRY(mq_calloc(err, v.count, sizeof *labels, "labels", &labels));
    MQ_TRY(read_labels(err, dataset, labels));
    const size_t n = v.count, width = v.width;
    const mq_tensor tensors[] = {
        {"rows", MQ_F32, 2, {n, width}, v.rows, n * width * sizeof *v.rows},
        {"labels", MQ_I32, 1, {n}, labels, n * sizeof *labels},
    };
    MQ_TRY(mq_bundle_write(err, arg[3], tensors, sizeof tensors / sizeof *tensors, NULL, 0));
cleanup:
    mq_vectors_free(&v);
    mq_bundle_free(&weights);
    mq_dataset_free(&dataset);
    free(labels);
    return status;
}

int main(int argc, char **argv) {
    mq_err err = {0};
    if (argc != 5) return fputs("usage: clean_probe WEIGHTS DATA SIZE OUT\n", stderr), 64;
    mq_par_set_threads(0);
    const mq_status status = probe(&err, argv + 1);
    if (status != MQ_OK) fprintf(stderr, "%s\n", err.text);
    return (int)status;
}
