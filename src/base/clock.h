/* clock.h: time that never jumps, for progress and measurements. */
#ifndef MQ_CLOCK_H
#define MQ_CLOCK_H

#include <time.h>

/* Seconds of CLOCK_MONOTONIC. */
static inline double mq_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

#endif
