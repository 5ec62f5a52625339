/* op_dense.c: the fully connected layer (Keras' Dense), forward and backward.
 * Called by the classifier. Owns nothing. Invariant: a row of the result
 * depends on its own row of x alone, to the last bit. */
#include "net/dnn.h"
#include "net/ops.h"

#include "base/mem.h"
#include "base/par.h"

#include <string.h>

/* oneDNN's product sums in another order for other numbers of rows, but a picture alone must get the very
 * answer it gets among others. Here every element is summed over in order, in stretches of DEPTH, whatever
 * the rows, the threads and the processor; ROWS x COLUMNS sums at once stay in registers. */
enum { ROWS = 4, COLUMNS = 8, PANEL = 64, DEPTH = 256 };

typedef struct {
    float *y;
    const float *x, *w, *b;
    size_t n, in, out;
} product;

/* Four numbers in one register of the oldest processor we run on; compilers make no better of plain loops. */
typedef float lanes __attribute__((vector_size(16), aligned(4), may_alias));

/* y += x w for rows x 8 elements and depth summands; all three point at their corner. */
__attribute__((always_inline)) static inline void tile(const product *p, float *y, const float *x,
                                                       const float *w, size_t depth, size_t rows) {
    lanes low[ROWS] = {{0}}, high[ROWS] = {{0}};
    for (size_t k = 0; k < depth; k++) {
        const lanes *row = (const lanes *)(w + k * p->out);
        for (size_t i = 0; i < rows; i++) {
            const float a = x[i * p->in + k];
            low[i] += row[0] * a;
            high[i] += row[1] * a;
        }
    }
    for (size_t i = 0; i < rows; i++) {
        lanes *result = (lanes *)(y + i * p->out);
        result[0] += low[i];
        result[1] += high[i];
    }
}

/* The same for the columns left over on the right. */
static void edge(const product *p, float *y, const float *x, const float *w, size_t depth, size_t columns) {
    for (size_t j = 0; j < columns; j++) {
        float sum = 0.0f;
        for (size_t k = 0; k < depth; k++) sum += x[k] * w[k * p->out + j];
        y[j] += sum;
    }
}

/* One stretch of summands for all rows of a panel of columns, which stays in cache meanwhile. */
static void panel_stretch(const product *p, size_t column, size_t columns, size_t k, size_t depth) {
    for (size_t i = 0; i < p->n; i += ROWS)
        for (size_t j = column; j < column + columns; j += COLUMNS) {
            const size_t rows = p->n - i < ROWS ? p->n - i : ROWS;
            const size_t wide = column + columns - j < COLUMNS ? column + columns - j : COLUMNS;
            float *y = p->y + i * p->out + j;
            const float *x = p->x + i * p->in + k, *w = p->w + k * p->out + j;
            if (rows == ROWS && wide == COLUMNS) {
                tile(p, y, x, w, depth, ROWS);
                continue;
            }
            for (size_t r = 0; r < rows; r++)
                if (wide == COLUMNS)
                    tile(p, y + r * p->out, x + r * p->in, w, depth, 1);
                else
                    edge(p, y + r * p->out, x + r * p->in, w, depth, wide);
        }
}

static void panels(void *ctx, size_t begin, size_t end) {
    const product *p = ctx;
    for (size_t panel = begin; panel < end; panel++) {
        const size_t column = panel * PANEL, columns = p->out - column < PANEL ? p->out - column : PANEL;
        for (size_t i = 0; i < p->n; i++)
            for (size_t j = column; j < column + columns; j++) p->y[i * p->out + j] = p->b ? p->b[j] : 0.0f;
        for (size_t k = 0; k < p->in; k += DEPTH)
            panel_stretch(p, column, columns, k, p->in - k < DEPTH ? p->in - k : DEPTH);
    }
}

void mq_dense_forward(float *y, const float *x, const float *w, const float *b, mq_dense_shape shape) {
    product p = {y, x, w, b, shape.n, shape.in, shape.out};
    mq_parallel_for(mq_ceil_div(shape.out, PANEL), panels, &p);
}

typedef struct {
    float *db;
    const float *dy;
    size_t n, out;
    bool add;
} column_sums;

/* Columns begin..end, each from the first row to the last whatever the threads. */
static void sum_columns(void *ctx, size_t begin, size_t end) {
    const column_sums *s = ctx;
    for (size_t j = begin; j < end && !s->add; j++) s->db[j] = 0.0f;
    for (size_t i = 0; i < s->n; i++)
        for (size_t j = begin; j < end; j++) s->db[j] += s->dy[i * s->out + j];
}

mq_status mq_dense_backward(mq_err *err, mq_dense_grads grads, const float *x, const float *w,
                            const float *dy, mq_dense_shape shape) {
    const size_t n = shape.n, in = shape.in, out = shape.out;
    mq_parallel_for(out, sum_columns, &(column_sums){grads.db, dy, n, out, grads.add});
    mq_status status = mq_dnn_sgemm(
        err, &(mq_gemm){.ta = true, .m = in, .n = out, .k = n, .beta = grads.add ? 1.0f : 0.0f}, x, dy,
        grads.dw);
    if (status == MQ_OK && grads.dx)
        status = mq_dnn_sgemm(err, &(mq_gemm){.tb = true, .m = n, .n = in, .k = out}, dy, w, grads.dx);
    return status;
}
