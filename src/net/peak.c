/* peak.c: loops of multiply-adds for each instruction set, and one over memory. Called by bench.c. Owns
 * nothing. Invariant: every accumulator is live to the end, so that no loop is optimised away. */
#include "net/peak.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/par.h"
#include "net/program.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* CHAINS independent accumulators hide the latency of a multiply-add. A round of LOOPS loops takes a tenth of
 * a second: in two thousandths a core whose time others share seems faster than it is for any work. */
enum { CHAINS = 12 };
#if defined __OPTIMIZE__ && !defined __SANITIZE_ADDRESS__
enum { TURNS = 1 << 20, LOOPS = 32, FLOATS = 16 << 20 };
#else /* tells nothing, and should not take minutes */
enum { TURNS = 1 << 14, LOOPS = 1, FLOATS = 1 << 20 };
#endif

/* TURNS times CHAINS multiply-adds; returns the operations of one of them. */
typedef double (*peak_loop)(void);

/* Unrolled, so that the compiler keeps each sum in a register. */
#define EACH_CHAIN _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++)

/* step: what happens to a sum, with `one` at hand; keep: the class of registers, in which the compiler takes
 * each sum as one of its own at the beginning, and as used at the end. */
#define LOOP(name, target, type, keep, ops, first, ones, step)                                               \
    target static double name(void) {                                                                        \
        const type one = ones;                                                                               \
        type sums[CHAINS];                                                                                   \
        EACH_CHAIN {                                                                                         \
            type sum = first; /* in an instruction an array stays in memory */                               \
            __asm__ volatile("" : keep(sum));                                                                \
            sums[i] = sum;                                                                                   \
        }                                                                                                    \
        for (int turn = 0; turn < TURNS; turn++) EACH_CHAIN {                                                \
                type sum = sums[i];                                                                          \
                step(sum, one);                                                                              \
                sums[i] = sum;                                                                               \
            }                                                                                                \
        EACH_CHAIN __asm__ volatile("" : keep(sums[i]));                                                     \
        return ops;                                                                                          \
    }

/* Dot products as instructions: where it has only their intrinsics GCC 12 copies each sum twice, which leaves
 * a third of the pace of an Intel processor. */
#ifdef __x86_64__
#define WITH(features) __attribute__((target(features)))
#define DOT_BF16_512(sum, one) __asm__("vdpbf16ps %1, %1, %0" : "+v"(sum) : "v"(one))
#define DOT_INT8_512(sum, one) __asm__("vpdpbusd %1, %1, %0" : "+v"(sum) : "v"(one))
#define DOT_INT8_256(sum, one) __asm__("%{vex%} vpdpbusd %1, %1, %0" : "+x"(sum) : "x"(one))
/* Without dot products: as int8.c multiplies, two vectors a turn. */
#define PAIRS_INT8(sum, one)                                                                                 \
    do {                                                                                                     \
        __typeof__(sum) pairs, more;                                                                         \
        __asm__("vpmaddubsw %3, %3, %1\n\tvpmaddubsw %3, %3, %2\n\tvpaddw %2, %1, %1\n\t"                    \
                "vpmaddwd %3, %1, %1\n\tvpaddd %1, %0, %0"                                                   \
                : "+v"(sum), "=&v"(pairs), "=&v"(more)                                                       \
                : "v"(one));                                                                                 \
    } while (0)
#define MADD_F32_512(sum, one) ((sum) = _mm512_fmadd_ps(sum, _mm512_set1_ps(0.5f), one))
#define MADD_F32_256(sum, one) ((sum) = _mm256_fmadd_ps(sum, _mm256_set1_ps(0.5f), one))
LOOP(loop_bf16_512, WITH("avx512f,avx512bf16"), __m512, "+v", 64, _mm512_setzero_ps(),
     _mm512_castsi512_ps(_mm512_set1_epi32(0x3f803f80)), DOT_BF16_512)
LOOP(loop_int8_512, WITH("avx512f,avx512vnni"), __m512i, "+v", 128, _mm512_setzero_si512(),
     _mm512_set1_epi8(1), DOT_INT8_512)
LOOP(loop_int8_256, WITH("avx2,avxvnni"), __m256i, "+x", 64, _mm256_setzero_si256(), _mm256_set1_epi8(1),
     DOT_INT8_256)
LOOP(loop_pairs_256, WITH("avx2"), __m256i, "+x", 128, _mm256_setzero_si256(), _mm256_set1_epi8(1),
     PAIRS_INT8)
LOOP(loop_pairs_512, WITH("avx512f,avx512bw"), __m512i, "+v", 256, _mm512_setzero_si512(),
     _mm512_set1_epi8(1), PAIRS_INT8)
LOOP(loop_f32_512, WITH("avx512f"), __m512, "+v", 32, _mm512_setzero_ps(), _mm512_set1_ps(1.0f), MADD_F32_512)
LOOP(loop_f32_256, WITH("avx2,fma"), __m256, "+x", 16, _mm256_setzero_ps(), _mm256_set1_ps(1.0f),
     MADD_F32_256)
#define KEEP_FLOATS "+x"
#else
#define KEEP_FLOATS "+w"
#endif
typedef float floats __attribute__((vector_size(16)));
#define MADD_F32_ANY(sum, one) ((sum) = (sum)*0.5f + one)
LOOP(loop_f32_any, , floats, KEEP_FLOATS, 8, (floats){0}, ((floats){1, 1, 1, 1}), MADD_F32_ANY)

static peak_loop loop_of(mq_dtype dtype) {
#ifdef __x86_64__
    const mq_simd simd = mq_dnn_simd();
    const bool wide = simd == MQ_SIMD_AVX512;
    if (dtype == MQ_I8 && !mq_dnn_has_vnni()) return wide ? loop_pairs_512 : loop_pairs_256;
    if (dtype == MQ_I8) return wide ? loop_int8_512 : loop_int8_256;
    if (dtype == MQ_BF16) return loop_bf16_512;
    if (wide) return loop_f32_512;
    if (simd == MQ_SIMD_AVX2) return loop_f32_256;
#else
    (void)dtype; /* f32 only */
#endif
    return loop_f32_any;
}

typedef struct {
    peak_loop loop;
    double *ops;  /* of each thread's loops */
    float *a, *b; /* [FLOATS] */
} peak_state;

static void run_loop(void *ctx, size_t begin, size_t end) {
    const peak_state *s = ctx;
    for (size_t i = begin; i < end; i++)
        for (int k = 0; k < LOOPS; k++) s->ops[i] += s->loop();
}

/* Untouched pages would all be one page of zeros. */
static void fill_arrays(void *ctx, size_t begin, size_t end) {
    const peak_state *s = ctx;
    for (size_t i = begin; i < end; i++) s->a[i] = s->b[i] = 1;
}

static void add_arrays(void *ctx, size_t begin, size_t end) {
    const peak_state *s = ctx;
    for (size_t i = begin; i < end; i++) s->a[i] += s->b[i];
}

/* Units a second of the fastest round. */
static double fastest(int rounds, size_t count, mq_par_fn fn, peak_state *state, double units) {
    double best = 0;
    for (int round = 0; round < rounds; round++) {
        const double start = mq_seconds();
        mq_parallel_for(count, fn, state);
        const double pace = units / (mq_seconds() - start);
        if (pace > best) best = pace;
    }
    return best;
}

mq_status mq_peak_flops(mq_err *err, mq_dtype dtype, double *flops) {
    mq_status status = MQ_OK;
    const size_t threads = (size_t)mq_par_threads();
    peak_state s = {.loop = loop_of(dtype)};
    MQ_REQUIRE(dtype == MQ_F32 || (dtype == MQ_I8 ? mq_dnn_has_int8() : mq_dtype_auto() == MQ_BF16), err,
               MQ_UNAVAILABLE, "this processor has no instructions for %s", mq_dtype_name(dtype));
    MQ_TRY(mq_calloc(err, threads, sizeof *s.ops, "a measurement", &s.ops));
    *flops = fastest(2, threads, run_loop, &s, s.loop() * TURNS * CHAINS * LOOPS * (double)threads);
cleanup:
    free(s.ops);
    return status;
}

mq_status mq_peak_bandwidth(mq_err *err, double *bandwidth) {
    mq_status status = MQ_OK;
    peak_state s = {.a = NULL};
    MQ_TRY(mq_calloc(err, FLOATS, sizeof *s.a, "a measurement", &s.a));
    MQ_TRY(mq_calloc(err, FLOATS, sizeof *s.b, "a measurement", &s.b));
    mq_parallel_for(FLOATS, fill_arrays, &s);
    *bandwidth = fastest(5, FLOATS, add_arrays, &s, 3.0 * FLOATS * sizeof(float));
cleanup:
    free(s.a);
    free(s.b);
    return status;
}
