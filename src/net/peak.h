/* peak.h: what the processor and its memory give at most, measured here and now; the limit that networks are
 * held against. */
#ifndef MQ_PEAK_H
#define MQ_PEAK_H

#include "net/bundle.h"

/* Operations a second: multiply-adds in registers, as two; all compute threads together, the faster of
 * two rounds, for products in dtype (MQ_F32, MQ_BF16 or MQ_I8) with the instructions that the network may use
 * here. Takes a quarter of a second and no memory. Matrix tiles (AMX) are not counted. */
MQ_MUST_USE mq_status mq_peak_flops(mq_err *err, mq_dtype dtype, double *flops);

/* Bytes a second: a += b over arrays that no cache holds, three transfers an element. */
MQ_MUST_USE mq_status mq_peak_bandwidth(mq_err *err, double *bandwidth);

#endif
