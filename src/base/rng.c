/* rng.c: Philox and the draws made from it. Called by whatever draws: orders,
 * augmentation, initial weights. Owns no state: that is the invariant. */
#include "base/rng.h"

void mq_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

void mq_rng_words(uint64_t seed, mq_rng_purpose purpose, uint32_t epoch, uint64_t sample, uint32_t out[4]) {
    const uint32_t counter[4] = {(uint32_t)sample, (uint32_t)(sample >> 32), epoch, (uint32_t)purpose};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    mq_philox(counter, key, out);
}

uint32_t mq_rng_u32(uint64_t seed, mq_rng_purpose purpose, uint32_t epoch, uint64_t sample) {
    uint32_t out[4];
    mq_rng_words(seed, purpose, epoch, sample, out);
    return out[0];
}

float mq_rng_unit(uint64_t seed, mq_rng_purpose purpose, uint32_t epoch, uint64_t sample) {
    return (float)(mq_rng_u32(seed, purpose, epoch, sample) >> 8) * 0x1p-24f;
}

void mq_rng_permutation(uint64_t seed, mq_rng_purpose purpose, uint32_t epoch, uint32_t *order,
                        uint32_t count) {
    for (uint32_t i = 0; i < count; i++) order[i] = i;
    mq_rng_permute(seed, purpose, epoch, 0, order, count);
}

void mq_rng_permute(uint64_t seed, mq_rng_purpose purpose, uint32_t epoch, uint64_t first, uint32_t *order,
                    uint32_t count) {
    for (uint32_t i = count; i > 1; i--) {
        /* Multiply-shift maps 32 random bits to 0..i-1; its bias is below 2^-32 x count. */
        const uint32_t j = (uint32_t)((uint64_t)mq_rng_u32(seed, purpose, epoch, first + i) * i >> 32);
        const uint32_t last = order[i - 1];
        order[i - 1] = order[j];
        order[j] = last;
    }
}
