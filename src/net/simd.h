/* simd.h: vectors of the kernels that are written once, as macros, and compiled for each instruction set
 * (any: none; 256: AVX2 and FMA; 512: AVX-512). GET and PUT convert from and to the formats of memory, SOME
 * and PUT_SOME the first n numbers (all if there are more than lanes), ROUND to such a format and back. PASS:
 * v where x lies above the limit or one of them is not a number, else 0. */
#ifndef MQ_SIMD_H
#define MQ_SIMD_H

#include "net/number.h"

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

/* Vectors of four, of no instruction set. */
typedef float VEC_any __attribute__((vector_size(16), aligned(4), may_alias));
typedef uint32_t WORDS_any __attribute__((vector_size(16), aligned(4), may_alias));
#define LANES_any 4
#define ZERO_any ((VEC_any){0})
#define SPREAD_any(f) ((VEC_any){f, f, f, f})
#define LOAD_any(p) (*(const VEC_any *)(const void *)(p))
#define STORE_any(p, v) (*(VEC_any *)(void *)(p) = (v))
#define ADD_any(a, b) ((a) + (b))
#define SUB_any(a, b) ((a) - (b))
#define MUL_any(a, b) ((a) * (b))
#define MAX_any(a, b) mq_max_any(a, b)
#define MADD_any(a, b, s) ((s) + (a) * (b))
#define PASS_any(x, limit, v) ((VEC_any)((WORDS_any)(v) & ~(WORDS_any)((x) <= (limit))))
#define GET_f32_any(p) LOAD_any(p)
#define SOME_f32_any(p, n) mq_some_any(p, n, F32)
#define SOME_bf16_any(p, n) mq_some_any(p, n, BF16)
#define PUT_SOME_f32_any(p, v, n) mq_put_some_any(p, v, n, F32)
#define PUT_SOME_bf16_any(p, v, n) mq_put_some_any(p, v, n, BF16)
#define ROUND_f32_any(v) (v)
#define ROUND_bf16_any(v) mq_round_any(v)
BODY VEC_any mq_max_any(VEC_any a, VEC_any b) {
    const WORDS_any more = (WORDS_any)(a > b);
    return (VEC_any)(((WORDS_any)a & more) | ((WORDS_any)b & ~more));
}
BODY VEC_any mq_some_any(const void *p, size_t n, number_format format) {
    VEC_any v = {0};
    for (size_t k = 0; k < n && k < LANES_any; k++) v[k] = number(p, k, format);
    return v;
}
BODY void mq_put_some_any(void *p, VEC_any v, size_t n, number_format format) {
    for (size_t k = 0; k < n && k < LANES_any; k++)
        if (format == F32)
            ((float *)p)[k] = v[k];
        else
            ((uint16_t *)p)[k] = half_of(v[k]);
}
BODY VEC_any mq_round_any(VEC_any v) {
    for (size_t k = 0; k < LANES_any; k++) {
        const uint16_t half = half_of(v[k]);
        v[k] = number(&half, 0, BF16);
    }
    return v;
}

/* Vectors of eight for kernels that are only compiled once: AVX2's and FMA's, or what the compiler makes of
 * them. By pointer or in a macro: by value their calling convention would depend on the instruction set. */
typedef float VEC_8 __attribute__((vector_size(32)));
typedef float MEMORY_8 __attribute__((vector_size(32), aligned(4), may_alias));
/* MADD_TO_8 adds in place: left to itself, GCC moves many sums from register to register and reads a factor
 * again for each use, which costs a sixth where another thread shares the core.
 * SPREAD_8: a sum with zero would not do: it makes -0 a 0, and is not optimised away. */
#define SPREAD_8(x) ((VEC_8){x, x, x, x, x, x, x, x})
#ifdef __x86_64__
#define TARGET_8 __attribute__((target("avx2,fma")))
#define MADD_TO_8(sum, a, b) __asm__("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b))
#else
#define TARGET_8
#define MADD_TO_8(sum, a, b) ((sum) += (a) * (b))
#endif

#ifdef __x86_64__
#include <immintrin.h>

#define WITH(features) __attribute__((target(features)))

#define VEC_256 __m256
#define LANES_256 8
#define ZERO_256 _mm256_setzero_ps()
#define SPREAD_256(f) _mm256_set1_ps(f)
#define LOAD_256(p) _mm256_loadu_ps(p)
#define STORE_256(p, v) _mm256_storeu_ps(p, v)
#define ADD_256(a, b) _mm256_add_ps(a, b)
#define SUB_256(a, b) _mm256_sub_ps(a, b)
#define MUL_256(a, b) _mm256_mul_ps(a, b)
#define MAX_256(a, b) _mm256_max_ps(a, b) /* b where one is not a number */
#define MADD_256(a, b, s) _mm256_fmadd_ps(a, b, s)
#define GET_f32_256(p) _mm256_loadu_ps((const float *)(const void *)(p))
#define PUT_f32_256(p, v) _mm256_storeu_ps((float *)(void *)(p), v)
#define PASS_256(x, limit, v) _mm256_and_ps(_mm256_cmp_ps(x, limit, _CMP_NLE_UQ), v)
#define SOME_f32_256(p, n) mq_some_f32_256((const float *)(const void *)(p), n)
#define PUT_SOME_f32_256(p, v, n) mq_put_some_f32_256((float *)(void *)(p), v, n)
#define ROUND_f32_256(v) (v)
WITH("avx2") static inline __m256i mq_first_256(size_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
WITH("avx2") static inline __m256 mq_some_f32_256(const float *p, size_t n) {
    return n >= LANES_256 ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, mq_first_256(n));
}
WITH("avx2") static inline void mq_put_some_f32_256(float *p, __m256 v, size_t n) {
    if (n >= LANES_256)
        _mm256_storeu_ps(p, v);
    else
        _mm256_maskstore_ps(p, mq_first_256(n), v);
}
#define PUT_u8_256(p, v) mq_put_u8_256(p, v)
WITH("avx2") static inline void mq_put_u8_256(uint8_t *p, __m256 v) {
    /* 2^31 and more would turn negative; in this order NaN stays, and becomes 0. */
    const __m256i whole = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_set1_ps(255), v));
    const __m128i packed = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    _mm_storel_epi64((__m128i *)(void *)p, _mm_packus_epi16(packed, packed));
}

#define VEC_512 __m512
#define LANES_512 16
#define ZERO_512 _mm512_setzero_ps()
#define SPREAD_512(f) _mm512_set1_ps(f)
#define LOAD_512(p) _mm512_loadu_ps(p)
#define STORE_512(p, v) _mm512_storeu_ps(p, v)
#define ADD_512(a, b) _mm512_add_ps(a, b)
#define SUB_512(a, b) _mm512_sub_ps(a, b)
#define MUL_512(a, b) _mm512_mul_ps(a, b)
#define MAX_512(a, b) _mm512_max_ps(a, b)
#define MADD_512(a, b, s) _mm512_fmadd_ps(a, b, s)
/* s plus the products of two pairs of bf16. */
#define DOT_512(a, b, s) _mm512_dpbf16_ps(s, (__m512bh)(a), (__m512bh)(b))
#define GET_f32_512(p) _mm512_loadu_ps(p)
#define PUT_f32_512(p, v) _mm512_storeu_ps(p, v)
#define WIDE_512(halves) _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16))
#define GET_bf16_512(p) WIDE_512(_mm256_loadu_si256((const void *)(p)))
#define PUT_bf16_512(p, v) _mm256_storeu_si256((void *)(p), (__m256i)_mm512_cvtneps_pbh(v))
#define PASS_512(x, limit, v) _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, limit, _CMP_NLE_UQ), v)
#define FIRST_512(n) ((__mmask16)((n) >= LANES_512 ? 0xFFFF : (1u << (n)) - 1))
#define SOME_f32_512(p, n) _mm512_maskz_loadu_ps(FIRST_512(n), p)
#define SOME_bf16_512(p, n) WIDE_512(_mm256_maskz_loadu_epi16(FIRST_512(n), p))
#define PUT_SOME_f32_512(p, v, n) _mm512_mask_storeu_ps(p, FIRST_512(n), v)
#define PUT_SOME_bf16_512(p, v, n) _mm256_mask_storeu_epi16(p, FIRST_512(n), (__m256i)_mm512_cvtneps_pbh(v))
#define ROUND_f32_512(v) (v)
#define ROUND_bf16_512(v) WIDE_512((__m256i)_mm512_cvtneps_pbh(v))
#define PUT_u8_512(p, v)                                                                                     \
    _mm_storeu_si128((void *)(p), _mm512_cvtusepi32_epi8(_mm512_max_epi32(                                   \
                                      _mm512_cvtps_epi32(_mm512_min_ps(_mm512_set1_ps(255), v)),             \
                                      _mm512_setzero_si512())))
#endif

#endif
