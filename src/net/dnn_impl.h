/* dnn_impl.h: what dnn.c, dnn_make.c and dnn_own.c share. The only header that includes oneDNN's. */
#ifndef MQ_DNN_IMPL_H
#define MQ_DNN_IMPL_H

#include "net/dnn.h"
#include "net/int8.h"
#include "net/thin.h"
#include "net/winograd.h"

#include <oneapi/dnnl/dnnl.h>

struct mq_dnn {
    dnnl_engine_t engine;
    bool borrowed; /* the engine is another's */
    dnnl_stream_t stream;
};

struct mq_layout {
    dnnl_memory_desc_t md; /* a struct in 2.x, a handle in 3.x */
};

struct mq_kernel {
    dnnl_primitive_t primitive; /* NULL: inner's work, a convolution of winograd.h or int8.h, or a pool of
                                   windows.h */
    mq_winograd winograd;       /* no parts: it is none */
    mq_int8 int8;               /* no filters: it is none */
    mq_window pool;             /* of a plane's channels */
    size_t planes;              /* one behind the other: blocks of channels, or all of them last */
    bool shared;                /* own work goes to all threads */
    mq_pass pass;               /* decides what oneDNN calls the slots */
    bool turned;                /* a gradient by data as a forward convolution: so is what it calls them */
    mq_kernel *inner;           /* owned; does the work on a thinned source, which lies in the scratch memory
                                   ahead of its own; NULL: none */
    mq_thin thin;
    const char *name;
    double flops;
    mq_layout *layouts[MQ_SLOTS]; /* NULL: no such slot */
};

struct mq_call {
    const mq_kernel *kernel;
    mq_call *inner; /* of the inner kernel, owned */
    dnnl_memory_t memories[MQ_SLOTS];
    void *places[MQ_SLOTS]; /* what they are bound to */
};

/* How a descriptor is passed to oneDNN, NULL for none. */
#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t mq_md;
#define MQ_DNN_SCALES_ARG (DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS)
static inline mq_md mq_md_of(const mq_layout *layout) {
    return layout ? layout->md : NULL;
}
#else
typedef const dnnl_memory_desc_t *mq_md;
#define MQ_DNN_SCALES_ARG DNNL_ARG_ATTR_OUTPUT_SCALES
static inline mq_md mq_md_of(const mq_layout *layout) {
    return layout ? &layout->md : NULL;
}
#endif

/* oneDNN's status as ours; what names the attempt. */
MQ_MUST_USE mq_status mq_dnn_check(mq_err *err, dnnl_status_t status, const char *what);

dnnl_data_type_t mq_dnn_dtype(mq_dtype dtype);

/* Operations of a convolution. */
double mq_conv_flops(const mq_conv_plan *plan);

/* dnn_own.c: makes the kernel, which is the caller's, if we have one of our own for the plan, or for a pool
 * that takes the largest; and runs a call of one, which has no primitive. */
MQ_MUST_USE mq_status mq_own_conv(mq_err *err, const mq_dnn *dnn, const mq_conv_plan *plan,
                                  mq_kernel **kernel);
MQ_MUST_USE mq_status mq_own_pool(mq_err *err, const mq_window *window, const mq_layout *src,
                                  mq_kernel **kernel);
MQ_MUST_USE mq_status mq_own_run(mq_err *err, const mq_dnn *dnn, const mq_call *call);

/* A layout without order. */
MQ_MUST_USE mq_status mq_layout_any(mq_err *err, mq_dtype dtype, size_t rank, const size_t *dims,
                                    mq_layout **layout);

/* strides NULL: any order. */
dnnl_status_t mq_md_init(dnnl_memory_desc_t *md, int rank, const dnnl_dims_t dims, dnnl_data_type_t dtype,
                         const dnnl_dim_t *strides);
dnnl_status_t mq_md_tagged(dnnl_memory_desc_t *md, const dnnl_dims_t dims, dnnl_data_type_t dtype,
                           dnnl_format_tag_t tag);
dnnl_status_t mq_md_copy(dnnl_memory_desc_t *md, mq_md other);
dnnl_data_type_t mq_md_dtype(mq_md md);
void mq_md_free(dnnl_memory_desc_t *md);

#endif
