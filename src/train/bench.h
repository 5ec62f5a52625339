/* bench.h: the pace of a network's passes, whole and layer by layer, on pictures made up in memory. */
#ifndef MQ_BENCH_H
#define MQ_BENCH_H

#include "net/arch.h"
#include "net/bundle.h"
#include "net/peak.h"
#include "net/program.h"
#include "net/trainable.h"

typedef struct {
    size_t size; /* sizeof(mq_bench_plan) */
    const mq_arch *arch;
    mq_bundle *
        *weights; /* the caller's; freed as soon as the network holds them, so as not to count as memory */
    const char *prefix; /* before the names in weights: "trunk/" in models, else "" */
    uint32_t imgsz;
    size_t batch;
    mq_dtype dtype;        /* MQ_F32 or MQ_BF16; forward passes also MQ_I8 */
    bool train;            /* steps of training: forward, backward, Adam; else forward passes */
    const char *first;     /* training: the lowest thawed block; NULL: everything */
    bool batch_statistics; /* training: see mq_trainable_plan */
    bool (*stop)(void *user);
    void *user;
} mq_bench_plan;

enum { MQ_BENCH_STEPS = 5 };

typedef struct {
    double seconds[MQ_BENCH_STEPS]; /* of a batch each, sorted; small batches: the mean of some */
    double img_s;                   /* by their median */
    size_t memory;                  /* bytes planned for the network, with Adam's state where it trains */
    double peak_flops;              /* mq_peak_flops: the median of what it was before and after each step */
    double bandwidth;               /* mq_peak_bandwidth, measured before */
    mq_work picture;                /* of all passes over one picture, what is done again left out of flops */
    double limit_img_s; /* what both allow: all products at the peak's pace; in training on batch statistics
                           also six passes to memory over what each batch norm takes in: written, read to be
                           normalised, read again for either gradient, and its gradient written and read */
    mq_measure *layers; /* [layer_count]; owned */
    size_t layer_count, layer_capacity;
    size_t layer_pictures; /* that each of them is of: a batch or a slice of it, or one picture */
    mq_program *program;   /* what was measured, one of the two; owned, as layers borrow its names */
    mq_trainable *trainable;
} mq_bench;

/* Measures; *bench is the caller's, for mq_bench_free. MQ_INTERRUPTED as soon as stop says so. */
MQ_MUST_USE mq_status mq_bench_run(mq_err *err, const mq_bench_plan *plan, mq_bench *bench);
void mq_bench_free(mq_bench *bench);

#endif
