/* rng.h: counter-based random numbers. The same key and counter give the same
 * draw on every machine and in every thread: there is no state to save.
 *
 * Philox4x32-10: J. Salmon, M. Moraes, R. Dror, D. Shaw, Parallel Random
 * Numbers: As Easy as 1, 2, 3, SC 2011. */
#ifndef MQ_RNG_H
#define MQ_RNG_H

#include <stdint.h>

/* What a draw is for; part of the key, so that two purposes never share draws. */
typedef enum {
    MQ_RNG_SHUFFLE = 2,
    MQ_RNG_FLIP = 3,
    MQ_RNG_INIT = 4,
    MQ_RNG_TEST = 5,
    MQ_RNG_CALIBRATE = 6,
    MQ_RNG_AUGMENT = 7,
    MQ_RNG_BALANCE = 8,
    MQ_RNG_MIX = 9,
    MQ_RNG_FOLD = 10,
    MQ_RNG_BLOCKS = 11,
    MQ_RNG_PLACES = 12,
} mq_rng_purpose;

/* Four 32-bit words for counter under key, ten rounds. */
void mq_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Four 32-bit draws, a pure function of the other arguments; and the first of them alone. */
void mq_rng_words(uint64_t seed, mq_rng_purpose purpose, uint32_t epoch, uint64_t sample, uint32_t out[4]);
uint32_t mq_rng_u32(uint64_t seed, mq_rng_purpose purpose, uint32_t epoch, uint64_t sample);

/* The same as a number in [0, 1), 24 bits. */
float mq_rng_unit(uint64_t seed, mq_rng_purpose purpose, uint32_t epoch, uint64_t sample);

/* A random permutation of 0..count-1 into order (Fisher-Yates on draws of (seed, purpose, epoch)). */
void mq_rng_permutation(uint64_t seed, mq_rng_purpose purpose, uint32_t epoch, uint32_t *order,
                        uint32_t count);

/* Puts order [count] into a random order, by draws of its own for each range first + 1 .. first + count. */
void mq_rng_permute(uint64_t seed, mq_rng_purpose purpose, uint32_t epoch, uint64_t first, uint32_t *order,
                    uint32_t count);

#endif
