/* calibrate.h: finds the numbers of 8-bit layers (quant.h) for a network in f32, from pictures like those it
 * will see.
 *
 * Of what every layer would make u8, places that its kernel meets are kept at random; on them, each layer's
 * scales are chosen that bring the quantised product nearest to the exact one, batch norm weighing the
 * filters. How much of a channel's range goes into the scale and how much stays with the weights is searched
 * as G. Xiao et al., SmoothQuant, 2023, have it; the mean of what is left goes into the bias (M. Nagel et
 * al., Data-Free Quantization, 2019). */
#ifndef MQ_CALIBRATE_H
#define MQ_CALIBRATE_H

#include "net/program.h"

typedef struct mq_calibration mq_calibration;

typedef struct {
    size_t size; /* sizeof(mq_calibration_plan) */
    const mq_arch *arch;
    const mq_bundle *weights; /* f32; borrowed while the calibration lives */
    const char *prefix;       /* such as "trunk/" */
    uint32_t imgsz;
    size_t pictures; /* that will be shown */
    uint64_t seed;
} mq_calibration_plan;

/* On any processor. *calibration is the caller's. */
MQ_MUST_USE mq_status mq_calibration_create(mq_err *err, const mq_calibration_plan *plan,
                                            mq_calibration **calibration);
void mq_calibration_free(mq_calibration **calibration);

/* Looks at one picture [imgsz, imgsz, 3], prepared as for use. */
MQ_MUST_USE mq_status mq_calibration_add(mq_err *err, mq_calibration *calibration, const float *pixels);

/* A layer, fitted. */
typedef struct {
    const char *layer; /* borrowed */
    double error;      /* what 8 bits do to its result: the error's part of the variance */
    bool quantised;    /* false: it stays as it is, since more than `most` would be lost */
} mq_calibrated;

typedef mq_status (*mq_calibrated_fn)(mq_err *err, void *user, const mq_calibrated *layer, size_t index,
                                      size_t count);

/* Fits every layer, telling each (an error from it ends the work). Layers that lose more than most stay. */
MQ_MUST_USE mq_status mq_calibration_fit(mq_err *err, mq_calibration *calibration, double most,
                                         mq_calibrated_fn each, void *user);

/* The tensors that replace (by name) or join those of the network, with the prefix; borrowed. */
size_t mq_calibration_tensors(const mq_calibration *calibration, const mq_tensor **tensors);

#endif
