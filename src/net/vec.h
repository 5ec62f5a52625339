/* vec.h: vectors of numbers in f32 or bf16 memory for rows.c and windows.c, which compile one body
 * of each kernel for three instruction sets and two number formats. Every variant rounds at the same places,
 * so all give the same bytes. */
#ifndef MQ_VEC_H
#define MQ_VEC_H

#include "net/number.h"
#include "net/program.h"

/* Vectors go by pointer: by value their calling convention would depend on the instruction set. */
enum { LANES = 8 };
typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint32_t words __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint8_t bytes __attribute__((vector_size(LANES), aligned(1), may_alias));
typedef uint16_t halves __attribute__((vector_size(2 * LANES), aligned(2), may_alias));

/* Where the compiler drops the variants that have no such instructions before it looks at their operands. */
#if defined __x86_64__ && defined __OPTIMIZE__ && !defined __clang__ && !defined __SANITIZE_ADDRESS__ &&     \
    !defined __SANITIZE_THREAD__
#define FAST
#endif

/* As half_of (number.h), of LANES numbers. */
BODY void halves_of(const vec *v, halves *out, number_format format) {
#ifdef FAST
    if (format == BF16_FAST) {
        __asm__("vcvtneps2bf16 %1, %0" : "=v"(*out) : "v"(*v));
        return;
    }
#endif
    (void)format;
    const words bits = (words)*v, nan = (words)(*v != *v), tiny = (words)((bits & 0x7F800000) == 0);
    const words rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
    const words sound = (tiny & (bits >> 16 & 0x8000)) | (~tiny & rounded);
    *out = __builtin_convertvector((nan & (bits >> 16 | 0x40)) | (~nan & sound), halves);
}

BODY void words_of(const halves *from, words *out, number_format format) {
#ifdef FAST
    if (format == BF16_FAST) {
        __asm__("vpmovzxwd %1, %0" : "=v"(*out) : "m"(*from));
        return;
    }
#endif
    (void)format;
    *out = __builtin_convertvector(*from, words);
}

/* n <= LANES numbers at p[i]; the lanes behind them are 0. */
BODY void get(vec *v, const void *p, size_t i, size_t n, number_format format) {
    if (n < LANES) {
        *v = (vec){0};
        for (size_t k = 0; k < n; k++) (*v)[k] = number(p, i + k, format);
    } else if (format != F32) {
        words bits;
        words_of((const halves *)((const uint16_t *)p + i), &bits, format);
        *v = (vec)(bits << 16);
    } else {
        *v = *(const vec *)((const float *)p + i);
    }
}

BODY void put(const vec *v, void *p, size_t i, size_t n, number_format format) {
    if (n < LANES) {
        for (size_t k = 0; k < n; k++)
            if (format != F32)
                ((uint16_t *)p)[i + k] = half_of((*v)[k]);
            else
                ((float *)p)[i + k] = (*v)[k];
    } else if (format != F32) {
        halves rounded;
        halves_of(v, &rounded, format);
        *(halves *)((uint16_t *)p + i) = rounded;
    } else {
        *(vec *)((float *)p + i) = *v;
    }
}

/* What put stores, as f32. */
BODY void round_to(vec *v, number_format format) {
    if (format == F32) return;
    halves rounded;
    halves_of(v, &rounded, format);
    words bits;
    words_of(&rounded, &bits, format);
    *v = (vec)(bits << 16);
}

BODY void channel(vec *v, const float *p, size_t c) {
    *v = *(const vec *)(p + c);
}

/* whole: channels are a multiple of LANES. Like all flags below it is a constant wherever it costs time. */
BODY size_t lanes_at(size_t c, size_t channels, bool whole) {
    return whole ? LANES : least(channels - c, LANES);
}

/* Whether channels are as a variant mostly has them: those of its block, else whole vectors. */
BODY bool is_usual(size_t channels, size_t block) {
    return block ? channels == block : channels % LANES == 0;
}

/* Calls VARIANT(name, target attribute, number format, channels of a block) for each; 0: channels are last
 * there (see mq_outer_blocks_of). name is also that of VARIANT_name, its place in a table. */
#ifdef __x86_64__
#define VEC_TARGET(features) __attribute__((target(features)))
#define VEC_VARIANTS(VARIANT)                                                                                \
    VARIANT(f32_512, VEC_TARGET("avx512f,avx512bw,avx512vl,avx512dq"), F32, 2 * LANES)                       \
    VARIANT(bf16_512, VEC_TARGET("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16"), BF16_FAST, 2 * LANES)     \
    VARIANT(f32_256, VEC_TARGET("avx2"), F32, LANES)                                                         \
    VARIANT(bf16_256, VEC_TARGET("avx2"), BF16, 0)                                                           \
    VARIANT(f32_any, , F32, 0)                                                                               \
    VARIANT(bf16_any, , BF16, 0)
#else
#define VEC_VARIANTS(VARIANT)                                                                                \
    VARIANT(f32_any, , F32, 0)                                                                               \
    VARIANT(bf16_any, , BF16, 0)
#endif
#define VEC_PLACE(name, target, format, block) VARIANT_##name,
typedef enum { VEC_VARIANTS(VEC_PLACE) } vec_variant;

/* The widest for dtype (MQ_F32 or MQ_BF16) that the network may use here. */
static inline vec_variant vec_variant_of(mq_dtype dtype) {
    const bool bf16 = dtype == MQ_BF16;
#ifdef __x86_64__
    const mq_simd simd = mq_dnn_simd();
    if (bf16 && mq_dtype_auto() == MQ_BF16) return VARIANT_bf16_512;
    if (simd == MQ_SIMD_AVX512) return bf16 ? VARIANT_bf16_256 : VARIANT_f32_512;
    if (simd == MQ_SIMD_AVX2) return bf16 ? VARIANT_bf16_256 : VARIANT_f32_256;
#endif
    return bf16 ? VARIANT_bf16_any : VARIANT_f32_any;
}

#endif
