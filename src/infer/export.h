/* export.h: models made ready for use elsewhere: in 8 bits. */
#ifndef MQ_EXPORT_H
#define MQ_EXPORT_H

#include "data/dataset.h"
#include "infer/model.h"
#include "net/calibrate.h"

typedef struct {
    size_t size;      /* sizeof(mq_export_plan) */
    const char *from; /* the model file; all is borrowed */
    const char *to;
    const mq_dataset *dataset; /* whose training pictures show what numbers occur */
    size_t pictures;           /* at most; drawn by seed */
    uint64_t seed;
    size_t workers;
    bool (*stop)(void *user);
    void (*progress)(void *user, size_t done, size_t total, double seconds); /* pictures */
    mq_calibrated_fn layer;                                                  /* told of each layer */
    void *user;
} mq_export_plan;

typedef struct {
    size_t pictures;
    size_t layers, quantised; /* convolutions that can be in 8 bits, and those of them that are */
    bool own;                 /* the data set is what the model was trained on, unchanged */
} mq_exported;

/* Writes the model with its convolutions in 8 bits (net/quant.h). A layer that would lose too much
 * stays as it is. Stopped: MQ_INTERRUPTED, and no file. */
MQ_MUST_USE mq_status mq_export_int8(mq_err *err, const mq_export_plan *plan, mq_exported *exported);

#endif
