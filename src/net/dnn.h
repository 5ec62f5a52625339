/* dnn.h: all that marque asks of oneDNN, in types of our own. Only net/dnn*.c include oneDNN's headers, and
 * only dnn_make.c and dnn_impl.h know which of its two interfaces (2.x, 3.x) lies below.
 *
 * A layout says how one tensor lies in memory; a kernel is one ready primitive with a slot for each tensor it
 * touches; a call is a kernel with memory (borrowed) bound to its slots. Kernels are made by one thread, for
 * as many threads as mq_par_set_threads allows it then, and may be shared; a call belongs to one thread. */
#ifndef MQ_DNN_H
#define MQ_DNN_H

#include "net/bundle.h"
#include "net/graph.h"
#include "net/work.h"

typedef struct mq_dnn mq_dnn;       /* engine and stream */
typedef struct mq_layout mq_layout; /* dtype, dims and order in memory */
typedef struct mq_kernel mq_kernel; /* one primitive */
typedef struct mq_call mq_call;     /* a kernel and its memory */

/* The engine of this processor; *dnn is the caller's and outlives its kernels. */
MQ_MUST_USE mq_status mq_dnn_create(mq_err *err, mq_dnn **dnn);

/* Another stream on the same engine, for another thread; *beside is the caller's and freed before dnn. */
MQ_MUST_USE mq_status mq_dnn_beside(mq_err *err, const mq_dnn *dnn, mq_dnn **beside);
void mq_dnn_free(mq_dnn **dnn);

/* Whether the processor computes in bf16 at full speed (avx512_bf16 or better). */
bool mq_dnn_has_bf16(void);

/* A layout from dims in oneDNN's logical order (N C H W; [G] O I H W) and strides in elements. *layout is the
 * caller's. */
MQ_MUST_USE mq_status mq_layout_create(mq_err *err, mq_dtype dtype, size_t rank, const size_t *dims,
                                       const size_t *strides, mq_layout **layout);

/* n pictures of h x w x c, channels last; nhwc holds these four. */
MQ_MUST_USE mq_status mq_layout_nhwc(mq_err *err, mq_dtype dtype, const size_t nhwc[4], mq_layout **layout);

/* The same with channels in blocks: [n][c / block][h][w][block]; block is c (channels last), 1,
 * MQ_BLOCK or twice that. */
MQ_MUST_USE mq_status mq_layout_blocks(mq_err *err, mq_dtype dtype, const size_t nhwc[4], size_t block,
                                       mq_layout **layout);
MQ_MUST_USE mq_status mq_layout_copy(mq_err *err, const mq_layout *other, mq_layout **layout);
void mq_layout_free(mq_layout **layout);
size_t mq_layout_bytes(const mq_layout *layout); /* padding of blocked layouts included */
mq_dtype mq_layout_dtype(const mq_layout *layout);
bool mq_layout_equal(const mq_layout *a, const mq_layout *b);

typedef enum {
    MQ_SLOT_SRC,
    MQ_SLOT_SRC2, /* the second summand of an addition */
    MQ_SLOT_WEIGHTS,
    MQ_SLOT_BIAS,
    MQ_SLOT_SCALES, /* of a quantised convolution, where oneDNN takes them only now (3.x) */
    MQ_SLOT_DST,
    MQ_SLOT_SCRATCH,
    MQ_SLOTS
} mq_slot;

/* Which of a convolution's products: dst = src * weights; or src = its gradient from that of dst. Slots keep
 * their names, gradients stand in the slots of what they are gradients of. (That of weights is outer.h's and
 * windows.h's.) */
typedef enum { MQ_FORWARD, MQ_BACKWARD_DATA } mq_pass;

typedef struct {
    mq_pass pass; /* bias, sum and relu: forward only */
    mq_window window;
    size_t filters; /* channels of the result; depthwise: as many as c */
    bool depthwise;
    bool bias; /* f32 */
    bool sum;  /* result += what dst held before, ahead of relu */
    bool relu;
    mq_dtype dtype; /* of source, weights and result */
    /* [filters], borrowed: a quantised convolution. Source u8, weights int8, result = scales products + bias
     * in dtype. */
    const float *scales;
    const mq_layout *src, *dst; /* borrowed; NULL: the fastest, asked by mq_kernel_layout */
} mq_conv_plan;

/* Each *kernel is the caller's. */
MQ_MUST_USE mq_status mq_kernel_conv(mq_err *err, const mq_dnn *dnn, const mq_conv_plan *plan,
                                     mq_kernel **kernel);

typedef enum { MQ_POOL_MAX, MQ_POOL_AVG } mq_pool;
MQ_MUST_USE mq_status mq_kernel_pool(mq_err *err, const mq_dnn *dnn, mq_pool pool, const mq_window *window,
                                     const mq_layout *src, mq_kernel **kernel);

/* max(x, 0); source and result may be one memory. */
MQ_MUST_USE mq_status mq_kernel_relu(mq_err *err, const mq_dnn *dnn, const mq_layout *layout,
                                     mq_kernel **kernel);

/* src + src2; result and src may be one memory. */
MQ_MUST_USE mq_status mq_kernel_add(mq_err *err, const mq_dnn *dnn, const mq_layout *layout,
                                    mq_kernel **kernel);

/* From one layout and dtype to another. */
MQ_MUST_USE mq_status mq_kernel_reorder(mq_err *err, const mq_dnn *dnn, const mq_layout *src,
                                        const mq_layout *dst, mq_kernel **kernel);
void mq_kernel_free(mq_kernel **kernel);

/* Whether it wants its weights with inputs and filters exchanged: dims I O H W. */
bool mq_kernel_exchanged(const mq_kernel *kernel);

/* Whether it multiplies its bias by scales as well. */
bool mq_kernel_scales_bias(const mq_kernel *kernel);

/* Whether its weights lie as no layout says: then it packs them itself, as the plan had them (int8.h), to
 * memory of its MQ_SLOT_WEIGHTS. */
bool mq_kernel_packs(const mq_kernel *kernel);
MQ_MUST_USE mq_status mq_kernel_pack(mq_err *err, const mq_kernel *kernel, const int8_t *weights,
                                     void *packed);

/* The layout of a slot, borrowed; NULL when the kernel has no such slot. */
const mq_layout *mq_kernel_layout(const mq_kernel *kernel, mq_slot slot);

/* *call is the caller's; the kernel outlives it. */
MQ_MUST_USE mq_status mq_call_create(mq_err *err, const mq_dnn *dnn, const mq_kernel *kernel, mq_call **call);
void mq_call_free(mq_call **call);

/* Says where a slot's tensor lies (borrowed, 64-byte aligned for speed); a slot the kernel lacks is ignored.
 */
MQ_MUST_USE mq_status mq_call_bind(mq_err *err, mq_call *call, mq_slot slot, const void *memory);

/* Runs it to the end. */
MQ_MUST_USE mq_status mq_call_run(mq_err *err, const mq_dnn *dnn, const mq_call *call);

/* oneDNN's name of the implementation, such as "jit:avx512_core_bf16"; "winograd", "int8" or, of windows.h,
 * "own" where it is not oneDNN's. Borrowed. */
const char *mq_kernel_name(const mq_kernel *kernel);

/* What one run of it is: the products of a convolution (padding counts), and its tensors without scratch. */
mq_work mq_kernel_work(const mq_kernel *kernel);

/* c [m, n] = a b + beta c, row-major f32; a is [m, k] or, when ta, [k, m]; b is [k, n] or, when tb, [n, k].
 */
typedef struct {
    bool ta, tb;
    size_t m, n, k;
    float beta;
} mq_gemm;
MQ_MUST_USE mq_status mq_dnn_sgemm(mq_err *err, const mq_gemm *gemm, const float *a, const float *b,
                                   float *c);

#endif
