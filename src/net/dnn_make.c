/* dnn_make.c: makes kernels, on oneDNN 2.x or 3.x. Called by the lowerings
 * through dnn.h. Invariant: scratch memory is always the caller's
 * (scratchpad_mode_user), so that a kernel has no state and threads can share it. */
#include "net/dnn_impl.h"

#include "base/mem.h"
#include "net/program.h"

#if DNNL_VERSION_MAJOR >= 3

dnnl_status_t mq_md_init(dnnl_memory_desc_t *md, int rank, const dnnl_dims_t dims, dnnl_data_type_t dtype,
                         const dnnl_dim_t *strides) {
    return strides ? dnnl_memory_desc_create_with_strides(md, rank, dims, dtype, strides)
                   : dnnl_memory_desc_create_with_tag(md, rank, dims, dtype, dnnl_format_tag_any);
}

dnnl_status_t mq_md_tagged(dnnl_memory_desc_t *md, const dnnl_dims_t dims, dnnl_data_type_t dtype,
                           dnnl_format_tag_t tag) {
    return dnnl_memory_desc_create_with_tag(md, 4, dims, dtype, tag);
}

dnnl_status_t mq_md_copy(dnnl_memory_desc_t *md, mq_md other) {
    return dnnl_memory_desc_clone(md, other);
}

dnnl_data_type_t mq_md_dtype(mq_md md) {
    dnnl_data_type_t dtype = dnnl_data_type_undef;
    return dnnl_memory_desc_query(md, dnnl_query_data_type, &dtype) == dnnl_success ? dtype
                                                                                    : dnnl_data_type_undef;
}

void mq_md_free(dnnl_memory_desc_t *md) {
    if (*md) dnnl_memory_desc_destroy(*md);
}

#else

dnnl_status_t mq_md_init(dnnl_memory_desc_t *md, int rank, const dnnl_dims_t dims, dnnl_data_type_t dtype,
                         const dnnl_dim_t *strides) {
    return strides ? dnnl_memory_desc_init_by_strides(md, rank, dims, dtype, strides)
                   : dnnl_memory_desc_init_by_tag(md, rank, dims, dtype, dnnl_format_tag_any);
}

dnnl_status_t mq_md_tagged(dnnl_memory_desc_t *md, const dnnl_dims_t dims, dnnl_data_type_t dtype,
                           dnnl_format_tag_t tag) {
    return dnnl_memory_desc_init_by_tag(md, 4, dims, dtype, tag);
}

dnnl_status_t mq_md_copy(dnnl_memory_desc_t *md, mq_md other) {
    *md = *other;
    return dnnl_success;
}

dnnl_data_type_t mq_md_dtype(mq_md md) {
    return md->data_type;
}

void mq_md_free(dnnl_memory_desc_t *md) {
    (void)md; /* a plain struct */
}

#endif

/* Scales for each filter: in 2.x the numbers themselves, in 3.x that they will come (MQ_SLOT_SCALES). */
static dnnl_status_t scale_filters(const mq_conv_plan *plan, dnnl_primitive_attr_t attr) {
#if DNNL_VERSION_MAJOR >= 3
    (void)plan;
    return dnnl_primitive_attr_set_scales_mask(attr, DNNL_ARG_WEIGHTS, 1 << 0);
#else
    return dnnl_primitive_attr_set_output_scales(attr, (dnnl_dim_t)plan->filters, 1 << 1, plan->scales);
#endif
}

/* Attributes of every primitive: the caller's scratch; of a convolution also scales, and after it the sum,
 * then the ReLU. */
static dnnl_status_t attributes(const mq_conv_plan *plan, dnnl_primitive_attr_t *attr) {
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t s = dnnl_primitive_attr_create(attr);
    if (s == dnnl_success) s = dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
    if (s != dnnl_success || !plan) return s;
    if (plan->scales) s = scale_filters(plan, *attr);
    if (s == dnnl_success) s = dnnl_post_ops_create(&ops);
#if DNNL_VERSION_MAJOR >= 3
    if (s == dnnl_success && plan->sum) s = dnnl_post_ops_append_sum(ops, 1.0f, 0, dnnl_data_type_undef);
    if (s == dnnl_success && plan->relu) s = dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_relu, 0.0f, 0.0f);
#else
    if (s == dnnl_success && plan->sum) s = dnnl_post_ops_append_sum(ops, 1.0f);
    if (s == dnnl_success && plan->relu)
        s = dnnl_post_ops_append_eltwise(ops, 1.0f, dnnl_eltwise_relu, 0.0f, 0.0f);
#endif
    if (s == dnnl_success) s = dnnl_primitive_attr_set_post_ops(*attr, ops);
    if (ops) dnnl_post_ops_destroy(ops);
    return s;
}

typedef struct {
    dnnl_dims_t kernel, strides, dilates, before, behind;
} window_dims;

static window_dims dims_of(const mq_window *w) {
    const dnnl_dim_t kernel = (dnnl_dim_t)w->kernel, stride = (dnnl_dim_t)w->stride;
    return (window_dims){.kernel = {kernel, kernel},
                         .strides = {stride, stride},
                         .before = {(dnnl_dim_t)w->top, (dnnl_dim_t)w->left},
                         .behind = {(dnnl_dim_t)w->bottom, (dnnl_dim_t)w->right}};
}

#if DNNL_VERSION_MAJOR >= 3

static dnnl_status_t conv_forward_pd(const mq_dnn *dnn, const window_dims *d, const mq_md md[MQ_SLOTS],
                                     dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *pd) {
    return dnnl_convolution_forward_primitive_desc_create(
        pd, dnn->engine, dnnl_forward_inference, dnnl_convolution_direct, md[MQ_SLOT_SRC],
        md[MQ_SLOT_WEIGHTS], md[MQ_SLOT_BIAS], md[MQ_SLOT_DST], d->strides, d->dilates, d->before, d->behind,
        attr);
}

static dnnl_status_t conv_backward_pd(const mq_dnn *dnn, const window_dims *d, const mq_md md[MQ_SLOTS],
                                      dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *pd) {
    const dnnl_primitive_desc_t hint = *pd;
    return dnnl_convolution_backward_data_primitive_desc_create(
        pd, dnn->engine, dnnl_convolution_direct, md[MQ_SLOT_SRC], md[MQ_SLOT_WEIGHTS], md[MQ_SLOT_DST],
        d->strides, d->dilates, d->before, d->behind, hint, attr);
}

#else

static dnnl_status_t conv_forward_pd(const mq_dnn *dnn, const window_dims *d, const mq_md md[MQ_SLOTS],
                                     dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *pd) {
    dnnl_convolution_desc_t desc;
    const dnnl_status_t s = dnnl_convolution_forward_desc_init(
        &desc, dnnl_forward_inference, dnnl_convolution_direct, md[MQ_SLOT_SRC], md[MQ_SLOT_WEIGHTS],
        md[MQ_SLOT_BIAS], md[MQ_SLOT_DST], d->strides, d->before, d->behind);
    return s == dnnl_success ? dnnl_primitive_desc_create(pd, &desc, attr, dnn->engine, NULL) : s;
}

static dnnl_status_t conv_backward_pd(const mq_dnn *dnn, const window_dims *d, const mq_md md[MQ_SLOTS],
                                      dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *pd) {
    dnnl_convolution_desc_t desc;
    const dnnl_status_t s = dnnl_convolution_backward_data_desc_init(
        &desc, dnnl_convolution_direct, md[MQ_SLOT_SRC], md[MQ_SLOT_WEIGHTS], md[MQ_SLOT_DST], d->strides,
        d->before, d->behind);
    const dnnl_primitive_desc_t hint = *pd;
    return s == dnnl_success ? dnnl_primitive_desc_create(pd, &desc, attr, dnn->engine, hint) : s;
}

#endif

/* A backward pass takes the forward one as a hint. */
static dnnl_status_t conv_pd(const mq_dnn *dnn, const mq_conv_plan *plan, const mq_md md[MQ_SLOTS],
                             dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *pd) {
    const window_dims d = dims_of(&plan->window);
    if (plan->pass == MQ_FORWARD) return conv_forward_pd(dnn, &d, md, attr, pd);
    dnnl_primitive_desc_t hint = NULL;
    dnnl_status_t s = conv_forward_pd(dnn, &d, md, attr, &hint);
    if (s != dnnl_success) return s;
    *pd = hint;
    s = conv_backward_pd(dnn, &d, md, attr, pd);
    dnnl_primitive_desc_destroy(hint);
    return s;
}

static dnnl_status_t pool_pd(const mq_dnn *dnn, mq_pool pool, const mq_window *window, const mq_md md[2],
                             dnnl_primitive_attr_t attr, dnnl_primitive_desc_t *pd) {
    const window_dims d = dims_of(window);
    const dnnl_alg_kind_t alg = pool == MQ_POOL_MAX ? dnnl_pooling_max : dnnl_pooling_avg_exclude_padding;
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_pooling_forward_primitive_desc_create(pd, dnn->engine, dnnl_forward_inference, alg, md[0],
                                                      md[1], d.strides, d.kernel, d.dilates, d.before,
                                                      d.behind, attr);
#else
    dnnl_pooling_v2_desc_t desc;
    const dnnl_status_t s = dnnl_pooling_v2_forward_desc_init(
        &desc, dnnl_forward_inference, alg, md[0], md[1], d.strides, d.kernel, d.dilates, d.before, d.behind);
    return s == dnnl_success ? dnnl_primitive_desc_create(pd, &desc, attr, dnn->engine, NULL) : s;
#endif
}

static dnnl_status_t relu_pd(const mq_dnn *dnn, mq_md data, dnnl_primitive_attr_t attr,
                             dnnl_primitive_desc_t *pd) {
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_eltwise_forward_primitive_desc_create(pd, dnn->engine, dnnl_forward_inference,
                                                      dnnl_eltwise_relu, data, data, 0.0f, 0.0f, attr);
#else
    dnnl_eltwise_desc_t desc;
    const dnnl_status_t s = dnnl_eltwise_forward_desc_init(&desc, dnnl_forward_inference, dnnl_eltwise_relu,
                                                           data, 0.0f, 0.0f);
    return s == dnnl_success ? dnnl_primitive_desc_create(pd, &desc, attr, dnn->engine, NULL) : s;
#endif
}

static dnnl_status_t add_pd(const mq_dnn *dnn, mq_md data, dnnl_primitive_attr_t attr,
                            dnnl_primitive_desc_t *pd) {
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_binary_primitive_desc_create(pd, dnn->engine, dnnl_binary_add, data, data, data, attr);
#else
    dnnl_binary_desc_t desc;
    const dnnl_status_t s = dnnl_binary_desc_init(&desc, dnnl_binary_add, data, data, data);
    return s == dnnl_success ? dnnl_primitive_desc_create(pd, &desc, attr, dnn->engine, NULL) : s;
#endif
}

/* What a slot's layout is called in a descriptor. A source that comes in two is asked for by index. */
static mq_md slot_md(const_dnnl_primitive_desc_t pd, mq_pass pass, mq_slot slot) {
    static const struct {
        dnnl_query_t query;
        int index;
    } forward[MQ_SLOTS] = {
        {dnnl_query_src_md, 0},        {dnnl_query_src_md, 1}, {dnnl_query_weights_md, 0},
        {dnnl_query_weights_md, 1},    {dnnl_query_undef, 0},  {dnnl_query_dst_md, 0},
        {dnnl_query_scratchpad_md, 0},
    };
    dnnl_query_t query = forward[slot].query;
    if (pass == MQ_BACKWARD_DATA && slot == MQ_SLOT_SRC) query = dnnl_query_diff_src_md;
    if (pass != MQ_FORWARD && slot == MQ_SLOT_DST) query = dnnl_query_diff_dst_md;
    return dnnl_primitive_desc_query_md(pd, query, forward[slot].index);
}

/* A kernel of pd, which is taken over: its primitive, and a layout for each of slots (a bit mask). */
MQ_MUST_USE static mq_status kernel_of(mq_err *err, dnnl_primitive_desc_t pd, mq_pass pass, unsigned slots,
                                       const char *what, mq_kernel **kernel) {
    mq_status status = MQ_OK;
    mq_kernel *k = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *k, "a kernel", &k));
    k->pass = pass;
    MQ_TRY(mq_dnn_check(err, dnnl_primitive_create(&k->primitive, pd), what));
    const_dnnl_primitive_desc_t own = NULL; /* lives as long as the primitive, and so does the name in it */
    MQ_TRY(mq_dnn_check(err, dnnl_primitive_get_primitive_desc(k->primitive, &own), what));
    MQ_TRY(mq_dnn_check(err, dnnl_primitive_desc_query(own, dnnl_query_impl_info_str, 0, &k->name), what));
    for (size_t i = 0; i < MQ_SLOTS; i++) {
        if (!(slots >> i & 1)) continue;
        const mq_md md = slot_md(own, pass, (mq_slot)i);
        if (!md || dnnl_memory_desc_get_size(md) == 0) continue;
        MQ_TRY(mq_calloc(err, 1, sizeof *k->layouts[i], "a layout", &k->layouts[i]));
        MQ_TRY(mq_dnn_check(err, mq_md_copy(&k->layouts[i]->md, md), what));
    }
    *kernel = k;
    k = NULL;
cleanup:
    dnnl_primitive_desc_destroy(pd);
    mq_kernel_free(&k);
    return status;
}

enum {
    SRC = 1u << MQ_SLOT_SRC,
    SRC2 = 1u << MQ_SLOT_SRC2,
    WEIGHTS = 1u << MQ_SLOT_WEIGHTS,
    BIAS = 1u << MQ_SLOT_BIAS,
    DST = 1u << MQ_SLOT_DST,
    SCRATCH = 1u << MQ_SLOT_SCRATCH,
};

MQ_MUST_USE static mq_status weights_layout(mq_err *err, const mq_conv_plan *p, mq_layout **layout) {
    const mq_window *w = &p->window;
    const size_t dense[] = {p->filters, w->c, w->kernel, w->kernel};
    const size_t depth[] = {w->c, 1, 1, w->kernel, w->kernel};
    return mq_layout_any(err, p->scales ? MQ_I8 : p->dtype, p->depthwise ? 5 : 4,
                         p->depthwise ? depth : dense, layout);
}

/* Tensors of a convolution in oneDNN's logical order; those the plan leaves open have no order yet. */
MQ_MUST_USE static mq_status conv_layouts(mq_err *err, const mq_conv_plan *p, mq_layout *l[MQ_SLOTS]) {
    mq_status status = MQ_OK;
    const mq_window *w = &p->window;
    const size_t src[] = {w->n, w->c, w->h, w->w}, dst[] = {w->n, p->filters, w->out_h, w->out_w};
    if (p->src)
        MQ_TRY(mq_layout_copy(err, p->src, &l[MQ_SLOT_SRC]));
    else
        MQ_TRY(mq_layout_any(err, p->scales ? MQ_U8 : p->dtype, 4, src, &l[MQ_SLOT_SRC]));
    if (p->dst)
        MQ_TRY(mq_layout_copy(err, p->dst, &l[MQ_SLOT_DST]));
    else
        MQ_TRY(mq_layout_any(err, p->dtype, 4, dst, &l[MQ_SLOT_DST]));
    MQ_TRY(weights_layout(err, p, &l[MQ_SLOT_WEIGHTS]));
    if (p->bias) MQ_TRY(mq_layout_create(err, MQ_F32, 1, &p->filters, &(size_t){1}, &l[MQ_SLOT_BIAS]));
cleanup:
    return status;
}

double mq_conv_flops(const mq_conv_plan *p) {
    const mq_window *w = &p->window;
    return 2.0 * (double)(w->n * w->out_h * w->out_w * w->kernel * w->kernel) * (double)p->filters *
           (p->depthwise ? 1.0 : (double)w->c);
}

/* Whether a gradient by data is a convolution itself, of inputs and filters exchanged. */
static bool is_turned(const mq_conv_plan *p) {
    const mq_window *w = &p->window;
    return mq_dnn_simd() == MQ_SIMD_AVX2 && p->dtype == MQ_F32 && p->pass == MQ_BACKWARD_DATA &&
           !p->depthwise && w->kernel == 1 && w->stride == 1 && !w->top && !w->left && p->src && p->dst;
}

/* That convolution: oneDNN is faster at it. */
MQ_MUST_USE static mq_status turned_kernel(mq_err *err, const mq_dnn *dnn, const mq_conv_plan *p,
                                           mq_kernel **kernel) {
    mq_conv_plan turned = *p;
    turned.pass = MQ_FORWARD;
    turned.window.c = p->filters;
    turned.filters = p->window.c;
    turned.src = p->dst;
    turned.dst = p->src;
    const mq_status status = mq_kernel_conv(err, dnn, &turned, kernel);
    if (status != MQ_OK) return status;
    mq_layout **const layouts = (*kernel)->layouts, *const source = layouts[MQ_SLOT_SRC];
    layouts[MQ_SLOT_SRC] = layouts[MQ_SLOT_DST];
    layouts[MQ_SLOT_DST] = source;
    (*kernel)->pass = p->pass;
    (*kernel)->turned = true;
    return MQ_OK;
}

mq_status mq_kernel_conv(mq_err *err, const mq_dnn *dnn, const mq_conv_plan *plan, mq_kernel **kernel) {
    mq_status status = MQ_OK;
    mq_layout *layouts[MQ_SLOTS] = {NULL};
    mq_md md[MQ_SLOTS];
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    const char *what = plan->pass == MQ_BACKWARD_DATA ? "a convolution's gradient by data"
                       : plan->depthwise              ? "a depthwise convolution"
                                                      : "a convolution";
    *kernel = NULL;
    MQ_TRY(mq_own_conv(err, dnn, plan, kernel));
    if (*kernel) return MQ_OK;
    if (is_turned(plan)) return turned_kernel(err, dnn, plan, kernel);
    MQ_TRY(conv_layouts(err, plan, layouts));
    for (size_t i = 0; i < MQ_SLOTS; i++) md[i] = mq_md_of(layouts[i]);
    MQ_TRY(mq_dnn_check(err, attributes(plan->pass == MQ_FORWARD ? plan : NULL, &attr), what));
    MQ_TRY(mq_dnn_check(err, conv_pd(dnn, plan, md, attr, &pd), what));
    MQ_TRY(kernel_of(err, pd, plan->pass, SRC | WEIGHTS | (plan->bias ? (unsigned)BIAS : 0u) | DST | SCRATCH,
                     what, kernel));
    (*kernel)->flops = mq_conv_flops(plan);
#if DNNL_VERSION_MAJOR >= 3
    if (plan->scales)
        MQ_TRY(mq_layout_create(err, MQ_F32, 1, &plan->filters, &(size_t){1},
                                &(*kernel)->layouts[MQ_SLOT_SCALES]));
#endif
cleanup:
    if (attr) dnnl_primitive_attr_destroy(attr);
    for (size_t i = 0; i < MQ_SLOTS; i++) mq_layout_free(&layouts[i]);
    return status;
}

mq_status mq_kernel_pool(mq_err *err, const mq_dnn *dnn, mq_pool pool, const mq_window *w,
                         const mq_layout *src, mq_kernel **kernel) {
    mq_status status = MQ_OK;
    mq_layout *dst = NULL;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    const size_t dims[] = {w->n, w->c, w->out_h, w->out_w};
    *kernel = NULL;
    if (pool == MQ_POOL_MAX) MQ_TRY(mq_own_pool(err, w, src, kernel));
    if (*kernel) return MQ_OK;
    MQ_TRY(mq_layout_any(err, mq_layout_dtype(src), 4, dims, &dst));
    MQ_TRY(mq_dnn_check(err, attributes(NULL, &attr), "a pool"));
    MQ_TRY(mq_dnn_check(err, pool_pd(dnn, pool, w, (const mq_md[2]){mq_md_of(src), mq_md_of(dst)}, attr, &pd),
                        "a pool"));
    MQ_TRY(kernel_of(err, pd, MQ_FORWARD, SRC | DST | SCRATCH, "a pool", kernel));
cleanup:
    if (attr) dnnl_primitive_attr_destroy(attr);
    mq_layout_free(&dst);
    return status;
}

mq_status mq_kernel_relu(mq_err *err, const mq_dnn *dnn, const mq_layout *layout, mq_kernel **kernel) {
    mq_status status = MQ_OK;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    MQ_TRY(mq_dnn_check(err, attributes(NULL, &attr), "a ReLU"));
    MQ_TRY(mq_dnn_check(err, relu_pd(dnn, mq_md_of(layout), attr, &pd), "a ReLU"));
    MQ_TRY(kernel_of(err, pd, MQ_FORWARD, SRC | DST | SCRATCH, "a ReLU", kernel));
cleanup:
    if (attr) dnnl_primitive_attr_destroy(attr);
    return status;
}

mq_status mq_kernel_add(mq_err *err, const mq_dnn *dnn, const mq_layout *layout, mq_kernel **kernel) {
    mq_status status = MQ_OK;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    MQ_TRY(mq_dnn_check(err, attributes(NULL, &attr), "an addition"));
    MQ_TRY(mq_dnn_check(err, add_pd(dnn, mq_md_of(layout), attr, &pd), "an addition"));
    MQ_TRY(kernel_of(err, pd, MQ_FORWARD, SRC | SRC2 | DST | SCRATCH, "an addition", kernel));
cleanup:
    if (attr) dnnl_primitive_attr_destroy(attr);
    return status;
}

mq_status mq_kernel_reorder(mq_err *err, const mq_dnn *dnn, const mq_layout *src, const mq_layout *dst,
                            mq_kernel **kernel) {
    mq_status status = MQ_OK;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    MQ_TRY(mq_dnn_check(err, attributes(NULL, &attr), "a reorder"));
    MQ_TRY(mq_dnn_check(
        err,
        dnnl_reorder_primitive_desc_create(&pd, mq_md_of(src), dnn->engine, mq_md_of(dst), dnn->engine, attr),
        "a reorder"));
    MQ_TRY(kernel_of(err, pd, MQ_FORWARD, SRC | DST | SCRATCH, "a reorder", kernel));
cleanup:
    if (attr) dnnl_primitive_attr_destroy(attr);
    return status;
}
