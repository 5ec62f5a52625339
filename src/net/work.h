/* work.h: how much a piece of a network's arithmetic is, and how long it takes. */
#ifndef MQ_WORK_H
#define MQ_WORK_H

#include <stdbool.h>

/* A multiply and an add count as two; a convolution's are those of its definition, whatever its kernel does.
 * bytes: every tensor once, as if all else stayed in caches. */
typedef struct {
    double flops, bytes;
} mq_work;

/* A kind of work of one layer, measured. */
typedef struct {
    const char *layer;  /* Keras' name; borrowed */
    const char *what;   /* "forward", "by data", "by weights", "sums", ...; static */
    const char *kernel; /* oneDNN's name, "winograd", or "own" for ours; borrowed */
    mq_work work;
    double seconds; /* of one core: those of all threads together */
    bool again;     /* a forward pass done once more, which saves keeping its result */
} mq_measure;

/* Called for each piece in the order they run. */
typedef void (*mq_measure_visit)(void *user, const mq_measure *measure);

#endif
