/* crc32c.c: CRC-32C by SSE4.2 or by a table of nibbles. Called for every
 * record, index and chunk of a feature cache that is read or written. Owns nothing. Invariant: both
 * ways give the same value. */
#include "base/crc32c.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* NIBBLES[i] is the remainder of the four bits i: 16 entries stay in one cache line. */
static const uint32_t NIBBLES[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t mq_crc32c_portable(const void *data, size_t size) {
    const uint8_t *p = data;
    uint32_t crc = ~0u;
    for (size_t i = 0; i < size; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ NIBBLES[crc & 15];
        crc = crc >> 4 ^ NIBBLES[crc & 15];
    }
    return ~crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(const uint8_t *p, size_t size) {
    uint64_t crc = ~0u;
    for (; size >= 8; p += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        crc = _mm_crc32_u64(crc, word);
    }
    uint32_t rest = (uint32_t)crc;
    for (; size; p++, size--) rest = _mm_crc32_u8(rest, *p);
    return ~rest;
}

uint32_t mq_crc32c(const void *data, size_t size) {
    return __builtin_cpu_supports("sse4.2") ? crc32c_sse42(data, size) : mq_crc32c_portable(data, size);
}

#else

uint32_t mq_crc32c(const void *data, size_t size) {
    return mq_crc32c_portable(data, size);
}

#endif
