/* mem.h: memory whose size was computed without overflow. */
#ifndef MQ_MEM_H
#define MQ_MEM_H

#include "base/status.h"

#include <stdlib.h>

/* a x b in *product; false when it does not fit in size_t. */
static inline bool mq_mul(size_t a, size_t b, size_t *product) {
    return !__builtin_mul_overflow(a, b, product);
}

/* a + b in *sum; false when it does not fit in size_t. */
static inline bool mq_add(size_t a, size_t b, size_t *sum) {
    return !__builtin_add_overflow(a, b, sum);
}

/* count / size, rounded up. */
static inline size_t mq_ceil_div(size_t count, size_t size) {
    return (count + size - 1) / size;
}

/* The least multiple of size that is no less than count. */
static inline size_t mq_round_up(size_t count, size_t size) {
    return mq_ceil_div(count, size) * size;
}

/* count x size zeroed bytes, at least one, in *memory (void ** in disguise); the caller's, for free(). */
MQ_MUST_USE mq_status mq_calloc(mq_err *err, size_t count, size_t size, const char *what, void *memory);

/* Bytes on whose multiples numbers begin that vector instructions touch: a line of the caches, and the widest
 * vector. */
enum { MQ_ALIGNMENT = 64 };

/* The same on a multiple of MQ_ALIGNMENT, not zeroed. */
MQ_MUST_USE mq_status mq_alloc_aligned(mq_err *err, size_t count, size_t size, const char *what,
                                       void *memory);

/* Gives the system back what of a block is not used for now; what is read from it until it is written again
 * is undefined. */
void mq_release_pages(void *memory, size_t size);

/* A copy of text in *copy; the caller's, for free(). */
MQ_MUST_USE mq_status mq_strdup(mq_err *err, const char *text, char **copy);

/* printf into fresh memory; *text is the caller's, for free(). */
MQ_MUST_USE mq_status mq_format(mq_err *err, char **text, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Grows an array of items of size bytes, doubling, so that it holds at least wanted; *items (void ** in
 * disguise) stays the caller's. */
MQ_MUST_USE mq_status mq_grow(mq_err *err, void *items, size_t *capacity, size_t wanted, size_t size);

#endif
