/* nets.h: the network and the numbers that tests of the whole network share with their golden figures. */
#ifndef MQ_NETS_H
#define MQ_NETS_H

#include "unit/unit.h"

#include "base/rng.h"
#include "net/arch.h"
#include "net/program.h"
#include "net/seeded.h"
#include "net/trainable.h"
#include "net/zoo.h"

#include <stdlib.h>

/* Of weights (mq_seeded_weights) and of draws; tests/golden/make_xception.py has the same. */
enum { NETS_SEED = 2017 };

/* Numbers in [-1, 1), as the golden scripts draw their pictures and gradients; the caller's, for free(). */
static inline float *draws(uint32_t epoch, size_t count) {
    float *x = malloc(count * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < count; i++) x[i] = mq_rng_unit(NETS_SEED, MQ_RNG_TEST, epoch, i) * 2.0f - 1.0f;
    return x;
}

static inline mq_status build_quarter(mq_err *err, uint32_t side, mq_graph **graph) {
    return mq_xception_build(err, side, 4, graph);
}

/* Xception with a quarter of the channels. */
static const mq_arch quarter_arch = {
    .name = "quarter", .imgsz_min = 71, .features = 512, .build = build_quarter};

/* Made-up weights of a network; the caller's. */
static inline mq_bundle *seeded(const mq_arch *arch, uint32_t side) {
    mq_err err = {0};
    mq_graph *graph = NULL;
    mq_bundle *weights = NULL;
    assert_ok(err, arch->build(&err, side, &graph));
    assert_ok(err, mq_seeded_weights(&err, graph, NETS_SEED, &weights));
    mq_graph_free(&graph);
    return weights;
}

/* A program in f32; the weights stay the caller's. */
static inline mq_program_plan program_plan(const mq_arch *arch, const mq_bundle *weights, uint32_t side,
                                           size_t batch) {
    return (mq_program_plan){.size = sizeof(mq_program_plan),
                             .arch = arch,
                             .weights = weights,
                             .prefix = "",
                             .imgsz = side,
                             .batch = batch,
                             .dtype = MQ_F32};
}

/* Forward and backward of n pictures, slice by slice: their features [n, width], and their gradients from
 * those of the features. */
static inline void pass_slices(mq_trainable *t, const float *x, const float *gradient, size_t n,
                               float *features, size_t width) {
    mq_err err = {0};
    const mq_shape s = mq_trainable_input(t);
    const size_t rows = mq_trainable_rows(t);
    for (size_t i = 0; i < n; i += rows) {
        const size_t now = n - i < rows ? n - i : rows;
        assert_ok(err, mq_trainable_forward(&err, t, x + i * s.h * s.w * s.c, now, features + i * width));
        assert_ok(err, mq_trainable_backward(&err, t, gradient + i * width, i > 0));
    }
}

#endif
