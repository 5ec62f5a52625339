/* bytes.h: little-endian numbers in files, whatever the processor's order. */
#ifndef MQ_BYTES_H
#define MQ_BYTES_H

#include <stdint.h>

static inline uint32_t mq_read_u32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t mq_read_u64(const uint8_t *p) {
    return (uint64_t)mq_read_u32(p) | (uint64_t)mq_read_u32(p + 4) << 32;
}

static inline void mq_write_u32(uint8_t *p, uint32_t value) {
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(value >> 8 * i);
}

static inline void mq_write_u64(uint8_t *p, uint64_t value) {
    for (int i = 0; i < 8; i++) p[i] = (uint8_t)(value >> 8 * i);
}

#endif
