/* vectors.c: pictures as rows of numbers that can be compared. Called by what looks for doubtful pictures.
 * Owns the rows until they are handed over. Invariant: rows stand in the order of the splits' indexes. */
#include "curate/vectors.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/par.h"

#include <math.h>

/* A split being read. */
typedef struct {
    const mq_vectors_plan *plan;
    mq_split split;
} reading;

static bool stop_wanted(void *user) {
    const mq_vectors_plan *plan = ((const reading *)user)->plan;
    return plan->stop && plan->stop(plan->user);
}

static void tell(void *user, size_t done, size_t total, double seconds, double waited) {
    const reading *r = user;
    if (r->plan->progress) r->plan->progress(r->plan->user, r->split, done, total, seconds, waited);
}

/* The rows of one split into rows [count, width]. */
static mq_status read_split(mq_err *err, reading *r, float *rows) {
    mq_status status = MQ_OK;
    mq_features *features = NULL;
    const mq_vectors_plan *plan = r->plan;
    const size_t count = mq_dataset_count(plan->dataset, r->split), width = mq_viewer_width(plan->viewer);
    const mq_look_plan look = {plan->dataset, r->split, false, stop_wanted, tell, r};
    MQ_TRY(mq_viewer_look(err, plan->viewer, &look, &features));
    MQ_TRY(mq_features_need(err, features, NULL, NULL, count));
    for (size_t i = 0; i < count; i++) MQ_TRY(mq_features_read(err, features, i, false, rows + i * width));
cleanup:
    mq_features_free(&features);
    return status;
}

static mq_status take_memory(mq_err *err, const mq_vectors_plan *plan, mq_vectors *v) {
    mq_status status = MQ_OK;
    size_t numbers, bytes;
    v->width = mq_viewer_width(plan->viewer);
    for (mq_split split = MQ_TRAIN; split < MQ_SPLITS; split++) {
        v->begin[split] = v->count;
        v->number[split] = plan->splits[split] ? mq_dataset_count(plan->dataset, split) : 0;
        v->count += v->number[split];
    }
    MQ_REQUIRE(mq_mul(v->count, v->width, &numbers) && mq_mul(numbers, sizeof *v->rows, &bytes) &&
                   bytes < mq_memory_available(),
               err, MQ_NO_MEMORY, "the features of %zu pictures do not fit into the memory that is free",
               v->count);
    MQ_TRY(mq_alloc_aligned(err, numbers, sizeof *v->rows, "features", &v->rows));
cleanup:
    return status;
}

mq_status mq_vectors_read(mq_err *err, const mq_vectors_plan *plan, mq_vectors *vectors) {
    mq_status status = MQ_OK;
    mq_vectors v = {0};
    MQ_REQUIRE(plan->size == sizeof *plan, err, MQ_INTERNAL, "a vectors plan of %zu bytes", plan->size);
    MQ_TRY(take_memory(err, plan, &v));
    for (mq_split split = MQ_TRAIN; split < MQ_SPLITS; split++) {
        reading r = {plan, split};
        if (v.number[split]) MQ_TRY(read_split(err, &r, v.rows + v.begin[split] * v.width));
    }
    *vectors = v;
    v.rows = NULL;
cleanup:
    free(v.rows);
    return status;
}

void mq_vectors_free(mq_vectors *vectors) {
    free(vectors->rows);
    *vectors = (mq_vectors){0};
}

/* Columns begin..end-1; sums in double, in the order of the rows: the same for every number of threads. */
static void standardise_columns(void *ctx, size_t begin, size_t end) {
    const mq_vectors *v = ctx;
    for (size_t c = begin; c < end; c++) {
        double sum = 0, squares = 0;
        for (size_t i = 0; i < v->count; i++) sum += (double)v->rows[i * v->width + c];
        const double mean = sum / (double)v->count;
        for (size_t i = 0; i < v->count; i++) {
            const double d = (double)v->rows[i * v->width + c] - mean;
            squares += d * d;
        }
        const double deviation = sqrt(squares / (double)v->count), scale = deviation > 0 ? 1 / deviation : 0;
        for (size_t i = 0; i < v->count; i++) {
            float *x = &v->rows[i * v->width + c];
            *x = (float)(((double)*x - mean) * scale);
        }
    }
}

void mq_vectors_standardise(mq_vectors *vectors) {
    if (vectors->count) mq_parallel_for(vectors->width, standardise_columns, vectors);
}

static void normalise_rows(void *ctx, size_t begin, size_t end) {
    const mq_vectors *v = ctx;
    for (size_t i = begin; i < end; i++) {
        float *row = v->rows + i * v->width;
        double squares = 0;
        for (size_t c = 0; c < v->width; c++) squares += (double)row[c] * (double)row[c];
        const double scale = squares > 0 ? 1 / sqrt(squares) : 0;
        for (size_t c = 0; c < v->width; c++) row[c] = (float)((double)row[c] * scale);
    }
}

void mq_vectors_normalise(mq_vectors *vectors) {
    mq_parallel_for(vectors->count, normalise_rows, vectors);
}
