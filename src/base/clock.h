/* clock.h: time that never jumps, for progress and measurements; and the time of day, for records. */
#ifndef MQ_CLOCK_H
#define MQ_CLOCK_H

#include <time.h>

/* Seconds of CLOCK_MONOTONIC. */
static inline double mq_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Seconds since 1970 of CLOCK_REALTIME, which may jump either way. */
static inline double mq_wall_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Seconds of processor time of the calling thread: what others on the machine do does not count. */
static inline double mq_thread_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
