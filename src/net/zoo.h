/* zoo.h: builders of the known networks. Listed in arch.c; tests build them narrower. */
#ifndef MQ_ZOO_H
#define MQ_ZOO_H

#include "net/graph.h"

/* Xception without its classifier, from [imgsz, imgsz, 3] to the pooled features, every layer's channels
 * divided by divisor (1: the real network). *graph is the caller's. */
MQ_MUST_USE mq_status mq_xception_build(mq_err *err, uint32_t imgsz, size_t divisor, mq_graph **graph);

#endif
