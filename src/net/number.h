/* number.h: single numbers in f32 or bf16 memory, and what their kernels need of size_t. */
#ifndef MQ_NUMBER_H
#define MQ_NUMBER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define BODY __attribute__((always_inline)) static inline

BODY size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Of numbers in memory; BF16_FAST: by the processor's own instructions, to the same bits. */
typedef enum { F32, BF16, BF16_FAST } number_format;

BODY float number(const void *p, size_t i, number_format format) {
    float value;
    if (format == F32) return ((const float *)p)[i];
    const uint32_t bits = (uint32_t)((const uint16_t *)p)[i] << 16;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* To the nearest bf16, ties to even, as vcvtneps2bf16 does: what is too small for a normal number is a zero,
 * NaNs become quiet and keep their upper bits. */
BODY uint16_t half_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (value != value) return (uint16_t)(bits >> 16 | 0x40);
    if (!(bits & 0x7F800000)) return (uint16_t)(bits >> 16 & 0x8000);
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

#endif
