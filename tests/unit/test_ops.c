/* test_ops.c: the classifier's operations against loops in double and against numeric gradients. */
#include "unit/unit.h"

#include "base/rng.h"
#include "net/ops.h"

#include <math.h>
#include <string.h>

enum { N = 7, IN = 37, OUT = 19, COUNT = 4096 };

/* Numbers in [-1, 1), different for each stream. */
static void fill(float *x, size_t count, uint32_t stream) {
    for (size_t i = 0; i < count; i++) x[i] = 2.0f * mq_rng_unit(11, MQ_RNG_TEST, stream, i) - 1.0f;
}

static void test_dense(void **state) {
    (void)state;
    mq_err err = {0};
    float x[N * IN], w[IN * OUT], b[OUT], y[N * OUT], dy[N * OUT], dx[N * IN], dw[IN * OUT], db[OUT];
    double ry[N * OUT], rx[N * IN] = {0}, rw[IN * OUT] = {0}, rb[OUT] = {0};
    fill(x, N * IN, 1), fill(w, IN * OUT, 2), fill(b, OUT, 3), fill(dy, N * OUT, 4);
    for (size_t i = 0; i < N; i++)
        for (size_t o = 0; o < OUT; o++) {
            const double d = dy[i * OUT + o];
            double sum = b[o];
            for (size_t k = 0; k < IN; k++) {
                sum += (double)x[i * IN + k] * w[k * OUT + o];
                rx[i * IN + k] += d * w[k * OUT + o];
                rw[k * OUT + o] += d * x[i * IN + k];
            }
            ry[i * OUT + o] = sum;
            rb[o] += d;
        }
    mq_dense_forward(y, x, w, b, (mq_dense_shape){N, IN, OUT});
    assert_true(relative(y, ry, N * OUT) < 1e-5);
    assert_ok(err, mq_dense_backward(&err, (mq_dense_grads){.dx = dx, .dw = dw, .db = db}, x, w, dy,
                                     (mq_dense_shape){N, IN, OUT}));
    assert_true(relative(dx, rx, N * IN) < 1e-5);
    assert_true(relative(dw, rw, IN * OUT) < 1e-5);
    assert_true(relative(db, rb, OUT) < 1e-5);

    /* Without bias, and without the gradient of the input. */
    float plain[N * OUT];
    mq_dense_forward(plain, x, w, NULL, (mq_dense_shape){N, IN, OUT});
    for (size_t i = 0; i < N * OUT; i++) assert_true(fabsf(plain[i] + b[i % OUT] - y[i]) < 1e-5f);
    memset(dw, 0, sizeof dw);
    assert_ok(err, mq_dense_backward(&err, (mq_dense_grads){.dw = dw, .db = db}, x, w, dy,
                                     (mq_dense_shape){N, IN, OUT}));
    assert_true(relative(dw, rw, IN * OUT) < 1e-5);
}

/* A row gives the same bytes alone, in small batches and in large ones, wherever it stands. */
static void test_dense_rows(void **state) {
    (void)state;
    enum { ROWS = 70, WIDE = 300, CLASSES = 45 };
    static float x[ROWS * WIDE], w[WIDE * CLASSES], b[CLASSES], want[ROWS * CLASSES], y[ROWS * CLASSES];
    fill(x, ROWS * WIDE, 8), fill(w, WIDE * CLASSES, 9), fill(b, CLASSES, 10);
    mq_dense_forward(want, x, w, b, (mq_dense_shape){ROWS, WIDE, CLASSES});
    for (size_t n = 1; n <= ROWS; n++) {
        const size_t first = ROWS - n;
        mq_dense_forward(y, x + first * WIDE, w, b, (mq_dense_shape){n, WIDE, CLASSES});
        assert_memory_equal(y, want + first * CLASSES, n * CLASSES * sizeof *y);
    }
}

static void test_relu(void **state) {
    (void)state;
    float x[COUNT], y[COUNT], dy[COUNT], dx[COUNT];
    fill(x, COUNT, 5), fill(dy, COUNT, 6);
    x[0] = 0.0f;
    x[1] = NAN;
    mq_relu_forward(y, x, COUNT);
    mq_relu_backward(dx, y, dy, COUNT);
    assert_true(y[0] == 0.0f && dx[0] == 0.0f);
    assert_true(isnan(y[1])); /* a network that diverges must show it */
    size_t positive = 0;
    for (size_t i = 2; i < COUNT; i++) {
        assert_true(y[i] == (x[i] > 0.0f ? x[i] : 0.0f));
        assert_true(dx[i] == (x[i] > 0.0f ? dy[i] : 0.0f));
        positive += x[i] > 0.0f;
    }
    assert_true(positive > COUNT / 3 && positive < 2 * COUNT / 3);
    mq_relu_forward(x, x, COUNT);
    assert_memory_equal(x + 2, y + 2, (COUNT - 2) * sizeof *x);
}

/* Mean loss in double, for the numeric gradient. */
static double mean_loss(const double *x, const uint32_t *labels) {
    double loss = 0.0;
    for (size_t i = 0; i < N; i++) {
        double max = x[i * OUT], sum = 0.0;
        for (size_t j = 1; j < OUT; j++) max = fmax(max, x[i * OUT + j]);
        for (size_t j = 0; j < OUT; j++) sum += exp(x[i * OUT + j] - max);
        loss += log(sum) + max - x[i * OUT + labels[i]];
    }
    return loss / N;
}

static void test_softmax(void **state) {
    (void)state;
    float x[N * OUT], p[N * OUT], loss[N], dx[N * OUT];
    double xd[N * OUT], numeric[N * OUT], mean = 0.0;
    uint32_t labels[N];
    fill(x, N * OUT, 7);
    for (size_t i = 0; i < N; i++) labels[i] = (uint32_t)(i * 5 % OUT);
    for (size_t i = 0; i < N * OUT; i++) xd[i] = x[i] *= 5.0f;
    mq_softmax_xent_forward(p, loss, x, &(mq_targets){.labels.first = labels}, N, OUT);
    for (size_t i = 0; i < N; i++) {
        double sum = 0.0;
        for (size_t j = 0; j < OUT; j++) sum += p[i * OUT + j];
        assert_true(fabs(sum - 1.0) < 1e-6);
        assert_true(fabs(loss[i] + log(p[i * OUT + labels[i]])) < 1e-5);
        mean += loss[i] / N;
    }
    assert_true(fabs(mean - mean_loss(xd, labels)) < 1e-5 * mean);
    mq_softmax_xent_backward(dx, p, &(mq_targets){.labels.first = labels}, N, N, OUT);
    for (size_t i = 0; i < N * OUT; i++) {
        const double h = 1e-5, kept = xd[i];
        xd[i] = kept + h;
        const double above = mean_loss(xd, labels);
        xd[i] = kept - h;
        numeric[i] = (above - mean_loss(xd, labels)) / (2.0 * h);
        xd[i] = kept;
    }
    assert_true(relative(dx, numeric, N * OUT) < 1e-5);
}

/* Loss of row i in double, class by class and number by number. */
static double row_loss(const double *x, const mq_targets *t, size_t i) {
    const double share = t->labels.second ? (double)t->labels.share[i] : 1;
    const uint32_t classes[2] = {t->labels.first[i], t->labels.second ? t->labels.second[i] : 0};
    double sum = 0, loss = 0;
    for (size_t j = 0; j < OUT; j++) sum += exp(x[i * OUT + j]);
    for (int k = 0; k < (t->labels.second ? 2 : 1); k++)
        for (size_t j = 0; j < OUT; j++) {
            const double e = (double)t->smoothing, target = (1 - e) * (j == classes[k]) + e / OUT;
            const double weight = t->weights ? (double)t->weights[classes[k]] : 1;
            loss -= (k ? 1 - share : share) * weight * target * (x[i * OUT + j] - log(sum));
        }
    return loss;
}

/* Weights, smoothing and mixed rows, alone and together; the batch has more rows than these. */
static void test_softmax_targets(void **state) {
    (void)state;
    enum { ALL = 8, BATCH = N + 3 };
    float x[N * OUT], p[N * OUT], loss[N], dx[N * OUT], weights[OUT], share[N];
    double xd[N * OUT], numeric[N * OUT];
    uint32_t first[N], second[N];
    fill(x, N * OUT, 8);
    for (size_t i = 0; i < N; i++) {
        first[i] = (uint32_t)(i * 5 % OUT);
        second[i] = i == 2 ? first[i] : (uint32_t)(i * 7 + 3) % OUT; /* one with its own class */
        share[i] = (float)i / (N - 1);
    }
    for (size_t j = 0; j < OUT; j++) weights[j] = j == 5 ? 0 : 0.25f * (float)(j + 1);
    for (size_t i = 0; i < N * OUT; i++) xd[i] = x[i] *= 5.0f;
    for (int which = 0; which < ALL; which++) {
        mq_targets t = {.labels.first = first};
        if (which & 1) t.weights = weights;
        if (which & 2) t.smoothing = 0.1f;
        if (which & 4) t.labels = (mq_labels){first, second, share};
        mq_softmax_xent_forward(p, loss, x, &t, N, OUT);
        mq_softmax_xent_backward(dx, p, &t, N, BATCH, OUT);
        for (size_t i = 0; i < N; i++) {
            assert_true(fabs(loss[i] - row_loss(xd, &t, i)) < 1e-6 * (1 + fabs(row_loss(xd, &t, i))));
            for (size_t j = i * OUT; j < (i + 1) * OUT; j++) {
                const double h = 1e-5, kept = xd[j];
                xd[j] = kept + h;
                const double above = row_loss(xd, &t, i);
                xd[j] = kept - h;
                numeric[j] = (above - row_loss(xd, &t, i)) / (2 * h) / BATCH;
                xd[j] = kept;
            }
        }
        assert_true(relative(dx, numeric, N * OUT) < 1e-5);
    }
}

/* Whatever is asked for, a plain row is what it was without: to the last bit. */
static void test_softmax_plain(void **state) {
    (void)state;
    float x[N * OUT], p[N * OUT], loss[N], dx[N * OUT], q[N * OUT], same[N], dq[N * OUT];
    float ones[OUT], share[N];
    uint32_t first[N], second[N];
    fill(x, N * OUT, 9);
    for (size_t j = 0; j < OUT; j++) ones[j] = 1;
    for (size_t i = 0; i < N; i++) first[i] = (uint32_t)(i * 5 % OUT), second[i] = 1, share[i] = 1;
    const mq_targets plain = {.labels.first = first}, as_plain = {{first, second, share}, ones, 0};
    mq_softmax_xent_forward(p, loss, x, &plain, N, OUT);
    mq_softmax_xent_backward(dx, p, &plain, N, N, OUT);
    mq_softmax_xent_forward(q, same, x, &as_plain, N, OUT);
    mq_softmax_xent_backward(dq, q, &as_plain, N, N, OUT);
    assert_memory_equal(loss, same, sizeof loss);
    assert_memory_equal(dx, dq, sizeof dx);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < OUT; j++) {
            const float onehot = j == first[i] ? 1.0f : 0.0f;
            assert_true(dx[i * OUT + j] == (p[i * OUT + j] - onehot) * (1.0f / N));
        }
}

/* A row counts as the class that has more of it; rows behind one another keep what belongs to them. */
static void test_labels(void **state) {
    (void)state;
    const uint32_t first[] = {1, 2, 3}, second[] = {4, 5, 6};
    const float share[] = {0.5f, 0.49f, 0.9f};
    const mq_labels plain = {.first = first}, mixed = {first, second, share};
    const mq_labels rest = mq_labels_from(&mixed, 1);
    assert_true(mq_labels_main(&plain, 1) == 2 && mq_labels_main(&mixed, 0) == 1);
    assert_true(mq_labels_main(&mixed, 1) == 5 && mq_labels_main(&rest, 0) == 5 &&
                mq_labels_main(&rest, 1) == 3);
    assert_true(mq_labels_from(&plain, 2).first == first + 2 && !mq_labels_from(&plain, 2).second);
}

/* Logits far apart: no overflow, and the loss of an impossible class stays exact. */
static void test_softmax_extreme(void **state) {
    (void)state;
    const float x[4] = {1000.0f, 0.0f, -1000.0f, 1000.0f};
    float p[4], loss[1];
    mq_softmax_xent_forward(p, loss, x, &(mq_targets){.labels.first = &(uint32_t){2}}, 1, 4);
    assert_true(p[0] == 0.5f && p[3] == 0.5f && p[1] == 0.0f && p[2] == 0.0f);
    assert_true(fabsf(loss[0] - 2000.6931f) < 1e-3f);
    mq_softmax_xent_forward(p, NULL, x, NULL, 1, 4);
    assert_true(p[0] == 0.5f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dense),
        cmocka_unit_test(test_dense_rows),
        cmocka_unit_test(test_relu),
        cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_softmax_extreme),
        cmocka_unit_test(test_softmax_targets),
        cmocka_unit_test(test_softmax_plain),
        cmocka_unit_test(test_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
