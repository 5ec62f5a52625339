/* bench_load.h: the pace of the loader alone, without a network. */
#ifndef MQ_BENCH_LOAD_H
#define MQ_BENCH_LOAD_H

#include "base/status.h"

typedef struct {
    const char *folder; /* a data set; borrowed */
    uint32_t imgsz;
    size_t batch, workers;
    size_t buffer; /* the order is that of `marque train --shuffle-buffer` */
    bool cold;     /* all pictures once, from the disk */
    bool json;
} mq_bench_load_plan;

/* Loads pictures of the training part, every second one mirrored, and prints how many in a second: some of
 * them for a few seconds, or cold all of them once. */
MQ_MUST_USE mq_status mq_bench_load(mq_err *err, const mq_bench_load_plan *plan);

#endif
