/* op_dense.c: the fully connected layer (Keras' Dense), forward and backward.
 * Called by the classifier. Owns nothing. Invariant: a row of the result
 * depends on its own row of x alone. */
#include "net/dnn.h"
#include "net/ops.h"

#include "base/par.h"

#include <string.h>

mq_status mq_dense_forward(mq_err *err, float *y, const float *x, const float *w, const float *b, size_t n,
                           size_t in, size_t out) {
    if (b)
        for (size_t i = 0; i < n; i++) memcpy(y + i * out, b, out * sizeof *y);
    return mq_dnn_sgemm(err, &(mq_gemm){.m = n, .n = out, .k = in, .beta = b ? 1.0f : 0.0f}, x, w, y);
}

typedef struct {
    float *db;
    const float *dy;
    size_t n, out;
} column_sums;

/* Columns begin..end, each from the first row to the last whatever the threads. */
static void sum_columns(void *ctx, size_t begin, size_t end) {
    const column_sums *s = ctx;
    for (size_t j = begin; j < end; j++) s->db[j] = 0.0f;
    for (size_t i = 0; i < s->n; i++)
        for (size_t j = begin; j < end; j++) s->db[j] += s->dy[i * s->out + j];
}

mq_status mq_dense_backward(mq_err *err, float *dx, float *dw, float *db, const float *x, const float *w,
                            const float *dy, size_t n, size_t in, size_t out) {
    mq_parallel_for(out, sum_columns, &(column_sums){db, dy, n, out});
    mq_status status = mq_dnn_sgemm(err, &(mq_gemm){.ta = true, .m = in, .n = out, .k = n}, x, dy, dw);
    if (status == MQ_OK && dx)
        status = mq_dnn_sgemm(err, &(mq_gemm){.tb = true, .m = n, .n = in, .k = out}, dy, w, dx);
    return status;
}
