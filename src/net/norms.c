/* norms.c: the arithmetic of batch norms between phases, where the sums of all
 * pictures meet. Called by trainable.c. Owns a norm's arrays. Invariant: sums
 * are added in the order of pictures, in double.
 *
 * S. Ioffe, C. Szegedy, Batch Normalization, 2015, as keras/src/layers/normalization/batch_normalization.py
 * has it: biased variance, moving = moving momentum + batch (1 - momentum). */
#include "net/trainable_impl.h"

#include "base/mem.h"

#include <math.h>
#include <string.h>

enum { ARRAYS = 10 };
static const float MOMENTUM = 0.99f; /* Keras' default, which every network here uses */

mq_status mq_norm_create(mq_err *err, size_t batch, mq_norm *n) {
    mq_status status = MQ_OK;
    const size_t size = mq_round_up(n->channels, MQ_ROWS_PAD);
    float **const arrays[ARRAYS] = {&n->gamma,   &n->beta,  &n->moving_mean, &n->moving_variance, &n->mean,
                                    &n->inverse, &n->scale, &n->shift,       &n->mean_grad,       &n->factor};
    MQ_TRY(mq_calloc(err, ARRAYS * size, sizeof *n->gamma, "a batch norm", &n->gamma));
    for (size_t i = 1; i < ARRAYS; i++) *arrays[i] = n->gamma + i * size;
    MQ_TRY(mq_calloc(err, 2 * size * batch, sizeof *n->sums, "a batch norm", &n->sums));
cleanup:
    return status;
}

void mq_norm_free(mq_norm *norm) {
    free(norm->gamma);
    free(norm->sums);
}

/* The affine map for a mean and a variance. */
static void set_map(mq_norm *n, size_t c, double mean, double variance) {
    const double inverse = 1 / sqrt(variance + n->node->epsilon);
    n->mean[c] = (float)mean;
    n->inverse[c] = (float)inverse;
    n->scale[c] = (float)(n->gamma[c] * inverse);
    n->shift[c] = (float)(n->beta[c] - mean * n->gamma[c] * inverse);
}

void mq_norm_stored(mq_norm *n) {
    for (size_t c = 0; c < n->channels; c++)
        set_map(n, c, (double)n->moving_mean[c], (double)n->moving_variance[c]);
}

/* The first sum of channel c and the second over n pictures. */
static void total(const mq_norm *norm, size_t n, size_t c, double sum[2]) {
    sum[0] = sum[1] = 0;
    for (size_t i = 0; i < n; i++) {
        const double *own = norm->sums + 2 * (norm->padded * i + c / norm->block * norm->block);
        sum[0] += own[c % norm->block];
        sum[1] += own[norm->block + c % norm->block];
    }
}

void mq_norm_finish_forward(mq_norm *norm, size_t n, float *moving) {
    const double count = (double)n * (double)norm->pixels;
    float *mean = moving + norm->moving_at, *variance = mean + norm->channels;
    for (size_t c = 0; c < norm->channels; c++) {
        double sum[2];
        total(norm, n, c, sum);
        const double off = sum[0] /
                           count; /* of the true mean from the moving one, which the sums were taken around */
        const double m = (double)norm->moving_mean[c] + off, v = fmax(sum[1] / count - off * off, 0);
        set_map(norm, c, m, v);
        norm->moving_mean[c] = mean[c] = mean[c] * MOMENTUM + (float)m * (1 - MOMENTUM);
        norm->moving_variance[c] = variance[c] = variance[c] * MOMENTUM + (float)v * (1 - MOMENTUM);
    }
}

void mq_norm_finish_backward(mq_norm *norm, size_t n, float *grads, bool add) {
    const double count = (double)n * (double)norm->pixels;
    for (size_t c = 0; c < norm->channels; c++) {
        double sum[2];
        total(norm, n, c, sum);
        const double inverse = (double)norm->inverse[c];
        norm->mean_grad[c] = (float)(sum[0] / count);
        norm->factor[c] = (float)(sum[1] / count * inverse * inverse);
        if (!norm->thawed) continue;
        float *gamma = grads + norm->gamma_at + c, *beta = grads + norm->beta_at + c;
        *gamma = (float)(sum[1] * inverse) + (add ? *gamma : 0.0f);
        *beta = (float)sum[0] + (add ? *beta : 0.0f);
    }
}
