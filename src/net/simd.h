/* simd.h: vectors of the kernels that are written once, as macros, and compiled for each instruction set
 * (256: AVX2 and FMA; 512: AVX-512). GET and PUT convert from and to the formats of memory. */
#ifndef MQ_SIMD_H
#define MQ_SIMD_H

#define BYTES_f32 4
#define BYTES_bf16 2

/* A kernel for tiles of 1 to 8 pixels: KERNEL(..., count) for each, and their names in that order. */
#define UP_TO_8(KERNEL, ...)                                                                                 \
    KERNEL(__VA_ARGS__, 1)                                                                                   \
    KERNEL(__VA_ARGS__, 2)                                                                                   \
    KERNEL(__VA_ARGS__, 3)                                                                                   \
    KERNEL(__VA_ARGS__, 4)                                                                                   \
    KERNEL(__VA_ARGS__, 5)                                                                                   \
    KERNEL(__VA_ARGS__, 6)                                                                                   \
    KERNEL(__VA_ARGS__, 7)                                                                                   \
    KERNEL(__VA_ARGS__, 8)
#define NAMES_UP_TO_8(name) name##_1, name##_2, name##_3, name##_4, name##_5, name##_6, name##_7, name##_8

#ifdef __x86_64__
#include <immintrin.h>
#include <stdint.h>

#define WITH(features) __attribute__((target(features)))

#define VEC_256 __m256
#define ZERO_256 _mm256_setzero_ps()
#define SPREAD_256(f) _mm256_set1_ps(f)
#define LOAD_256(p) _mm256_loadu_ps(p)
#define STORE_256(p, v) _mm256_storeu_ps(p, v)
#define ADD_256(a, b) _mm256_add_ps(a, b)
#define MAX_256(a, b) _mm256_max_ps(a, b) /* b where one is not a number */
#define MADD_256(a, b, s) _mm256_fmadd_ps(a, b, s)
#define GET_f32_256(p) _mm256_loadu_ps((const float *)(const void *)(p))
#define PUT_f32_256(p, v) _mm256_storeu_ps((float *)(void *)(p), v)
#define PUT_u8_256(p, v) mq_put_u8_256(p, v)
WITH("avx2") static inline void mq_put_u8_256(uint8_t *p, __m256 v) {
    const __m256i whole = _mm256_cvtps_epi32(v);
    const __m128i packed = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storel_epi64((__m128i *)(void *)p, _mm_packus_epi16(packed, packed));
}

#define VEC_512 __m512
#define ZERO_512 _mm512_setzero_ps()
#define SPREAD_512(f) _mm512_set1_ps(f)
#define LOAD_512(p) _mm512_loadu_ps(p)
#define STORE_512(p, v) _mm512_storeu_ps(p, v)
#define ADD_512(a, b) _mm512_add_ps(a, b)
#define MAX_512(a, b) _mm512_max_ps(a, b)
#define MADD_512(a, b, s) _mm512_fmadd_ps(a, b, s)
#define GET_f32_512(p) _mm512_loadu_ps(p)
#define PUT_f32_512(p, v) _mm512_storeu_ps(p, v)
#define GET_bf16_512(p)                                                                                      \
    _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)(p))), 16))
#define PUT_bf16_512(p, v) _mm256_storeu_si256((void *)(p), (__m256i)_mm512_cvtneps_pbh(v))
#define PUT_u8_512(p, v)                                                                                     \
    _mm_storeu_si128((void *)(p), _mm512_cvtusepi32_epi8(                                                    \
                                      _mm512_max_epi32(_mm512_cvtps_epi32(v), _mm512_setzero_si512())))
#endif

#endif
