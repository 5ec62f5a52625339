/* program.h: a graph made ready to run: kernels chosen, memory planned, weights laid out. */
#ifndef MQ_PROGRAM_H
#define MQ_PROGRAM_H

#include "net/arch.h"
#include "net/bundle.h"
#include "net/work.h"

typedef struct mq_program mq_program;

typedef struct {
    size_t size; /* sizeof(mq_program_plan) */
    const mq_arch *arch;
    const mq_bundle
        *weights;       /* borrowed during creation: tensors under Keras' names; behind a prefix in models */
    const char *prefix; /* such as "trunk/"; "" for plain weights */
    uint32_t imgsz;
    size_t batch;   /* pictures in a run: no more threads than these take one each; 1: all work on one */
    mq_dtype dtype; /* MQ_F32, MQ_BF16, or MQ_I8: layers that the weights have in 8 bits (quant.h) compute in
                       8, all others in mq_dtype_auto's format */
    const char *input;  /* the node whose tensor comes in, such as "add_7"; NULL: pictures */
    const char *output; /* the node whose tensor is the result; NULL: the pooled features */
    void *room;       /* memory for the program to lie in, on a 64-byte boundary; borrowed while it lives. */
    size_t room_size; /* Too small, or 0: it takes its own. Once others have used the room, the weights are
                       * to be taken again (mq_program_update) before the program runs */
} mq_program_plan;

/* Lowers the trunk for inference. Missing or wrong tensors: MQ_BAD_DATA with the differences; bf16 without
 * or int8 without the processor for it: MQ_UNAVAILABLE. *program is the caller's. */
MQ_MUST_USE mq_status mq_program_create(mq_err *err, const mq_program_plan *plan, mq_program **program);
void mq_program_free(mq_program **program);

/* Takes the weights again, from a bundle of the same shapes. */
MQ_MUST_USE mq_status mq_program_update(mq_err *err, mq_program *program, const mq_bundle *weights);

/* Runs count pictures, any number: pixels [count, imgsz, imgsz, 3] (or plan.input's tensor) NHWC f32 ->
 * features [count, arch->features] f32, or what mq_program_output says (in bf16 programs rounded to bf16). A
 * picture's result does not depend on its place among the others. */
MQ_MUST_USE mq_status mq_program_run(mq_err *err, mq_program *program, const float *pixels, size_t count,
                                     float *features);

/* The shape of one picture's result. */
mq_shape mq_program_output(const mq_program *program);

/* Numbers in all parameters of the network, moving statistics included. */
size_t mq_program_params(const mq_program *program);

/* Bytes the program holds of its own: weights and arenas, unless they lie in the plan's room. */
size_t mq_program_memory(const mq_program *program);

/* Of the program's format: see mq_dnn_numbers. For cache keys; threads change nothing. Borrowed. */
const char *mq_program_key(const mq_program *program);

/* Measures each kernel on a grey picture, in one thread, or in all where they share a picture (batch 1),
 * whose time is then added up; the best of reps runs counts. */
MQ_MUST_USE mq_status mq_program_profile(mq_err *err, mq_program *program, size_t reps,
                                         mq_measure_visit visit, void *user);

/* Runs one picture and shows, layer by layer, what those that can be in 8 bits would make u8
 * (mq_quant_window), in f32 [h, w, c]; only in programs of MQ_I8. */
typedef mq_status (*mq_program_visit)(mq_err *err, void *user, const mq_node *layer, const float *values);
MQ_MUST_USE mq_status mq_program_observe(mq_err *err, mq_program *program, const float *pixels,
                                         mq_program_visit visit, void *user);

/* What --dtype auto takes here: MQ_BF16 with avx512_bf16 or better, else MQ_F32. */
mq_dtype mq_dtype_auto(void);

/* Whether the processor multiplies u8 by int8 without losing bits (avx512_vnni, avx2_vnni or better); and
 * whether networks run in 8 bits at all (also with avx2: int8.h). */
bool mq_dnn_has_vnni(void);
bool mq_dnn_has_int8(void);

/* oneDNN's version ("2.6.3") and instruction set ("avx512_core_bf16"); static. */
const char *mq_dnn_version(void);
const char *mq_dnn_isa(void);

/* The widest vectors that kernels of our own may use: what the processor has and oneDNN is allowed
 * (ONEDNN_MAX_CPU_ISA). AVX2 stands for FMA, too; AVX512 for F, BW, VL and DQ. */
typedef enum { MQ_SIMD_OTHER, MQ_SIMD_AVX2, MQ_SIMD_AVX512 } mq_simd;
mq_simd mq_dnn_simd(void);

/* Raised whenever a network's numbers may come out in other bits than those of the marque before, or caches
 * are named otherwise: tensors in caches are computed again then, and a run goes on from an older checkpoint
 * only with --allow-inexact. */
enum { MQ_ENGINE = 5, MQ_NUMBERS_SIZE = 96 };

/* What may change the numbers beside weights, pictures and, of a training, threads:
 * "f32 engine 5 onednn 2.6.3 avx512_core". */
void mq_dnn_numbers(mq_dtype dtype, char text[MQ_NUMBERS_SIZE]);

#endif
