/* dnn_own.c: the kernels of dnn.h that are our own, where oneDNN has none or is slow: how they are made, and
 * how they run. Called by dnn_make.c and dnn.c. Invariant: such a kernel has no primitive, and works on the
 * places that a call's slots are bound to. */
#include "net/dnn_impl.h"
#include "net/windows.h"

#include "base/mem.h"
#include "base/par.h"
#include "net/program.h"

#include <string.h>

/* Whether it is one picture of that shape in blocks of MQ_BLOCK or twice that; else: channels last. */
static bool lies_in(const mq_layout *layout, mq_shape s, size_t block) {
    const dnnl_dims_t dims = {1, (dnnl_dim_t)s.c, (dnnl_dim_t)s.h, (dnnl_dim_t)s.w};
    const dnnl_format_tag_t tag = block == MQ_BLOCK       ? dnnl_aBcd8b
                                  : block == 2 * MQ_BLOCK ? dnnl_aBcd16b
                                                          : dnnl_acdb;
    dnnl_memory_desc_t md;
    if (mq_md_tagged(&md, dims, mq_md_dtype(mq_md_of(layout)), tag) != dnnl_success) return false;
    const mq_layout wanted = {md};
    const bool equal = mq_layout_equal(layout, &wanted);
    mq_md_free(&md);
    return equal;
}

/* Channels of a block of a strided 1x1 convolution's source, which is worth thinning; 0: it is not. (Channels
 * last have kernels that follow a stride as fast; SSE4.1 keeps its order of sums, as another puts a ReLU of
 * the golden network on the other side of zero.) */
static size_t thinned_block(const mq_conv_plan *p) {
    const mq_window *w = &p->window;
    if (strncmp(mq_dnn_isa(), "avx", 3) != 0 || !p->src || p->scales || p->depthwise || w->n != 1 ||
        w->kernel != 1 || w->stride == 1 || w->top || w->left)
        return 0;
    for (size_t block = MQ_BLOCK; block <= 2 * MQ_BLOCK; block *= 2)
        if (lies_in(p->src, (mq_shape){w->h, w->w, w->c}, block)) return block;
    return 0;
}

/* The convolution without its stride, over a picture thinned by it. */
MQ_MUST_USE static mq_status inner_kernel(mq_err *err, const mq_dnn *dnn, const mq_conv_plan *p, size_t block,
                                          mq_kernel **kernel) {
    mq_status status = MQ_OK;
    mq_layout *small = NULL;
    mq_conv_plan inner = *p;
    mq_window *const w = &inner.window;
    w->h = w->out_h;
    w->w = w->out_w;
    w->stride = 1;
    MQ_TRY(mq_layout_blocks(err, mq_layout_dtype(p->src), (const size_t[4]){1, w->h, w->w, w->c}, block,
                            &small));
    inner.src = small;
    MQ_TRY(mq_kernel_conv(err, dnn, &inner, kernel));
cleanup:
    mq_layout_free(&small);
    return status;
}

MQ_MUST_USE static mq_status thinned_kernel(mq_err *err, const mq_dnn *dnn, const mq_conv_plan *p,
                                            size_t block, mq_kernel **kernel) {
    mq_status status = MQ_OK;
    const mq_window *w = &p->window;
    mq_kernel *k = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *k, "a kernel", &k));
    MQ_TRY(inner_kernel(err, dnn, p, block, &k->inner));
    k->thin = (mq_thin){.planes = mq_ceil_div(w->c, block),
                        .h = w->h,
                        .w = w->w,
                        .pixel = block * mq_dtype_size(mq_layout_dtype(p->src)),
                        .stride = w->stride,
                        .out_h = w->out_h,
                        .out_w = w->out_w};
    k->shared = mq_par_threads() > 1;
    k->pass = p->pass;
    k->name = k->inner->name;
    k->flops = k->inner->flops;
    MQ_TRY(mq_layout_copy(err, p->src, &k->layouts[MQ_SLOT_SRC]));
    for (size_t i = MQ_SLOT_SRC + 1; i < MQ_SLOT_SCRATCH; i++)
        if (k->inner->layouts[i]) MQ_TRY(mq_layout_copy(err, k->inner->layouts[i], &k->layouts[i]));
    const mq_layout *scratch = k->inner->layouts[MQ_SLOT_SCRATCH];
    const size_t bytes = mq_thin_bytes(&k->thin) + (scratch ? mq_layout_bytes(scratch) : 0);
    MQ_TRY(mq_layout_create(err, MQ_U8, 1, &bytes, &(size_t){1}, &k->layouts[MQ_SLOT_SCRATCH]));
    *kernel = k;
    k = NULL;
cleanup:
    mq_kernel_free(&k);
    return status;
}

/* Whether source and result, as far as they are given, lie in blocks of channels, or channels last. */
static bool both_lie_in(const mq_conv_plan *p, size_t block) {
    const mq_window *w = &p->window;
    return (!p->src || lies_in(p->src, (mq_shape){w->h, w->w, w->c}, block)) &&
           (!p->dst || lies_in(p->dst, (mq_shape){w->out_h, w->out_w, p->filters}, block));
}

/* Whether the plan is one for winograd.h: then as what. */
static bool is_winograd(const mq_conv_plan *p, mq_winograd *winograd) {
    *winograd = (mq_winograd){.window = p->window,
                              .filters = p->filters,
                              .back = p->pass == MQ_BACKWARD_DATA,
                              .last = !both_lie_in(p, mq_winograd_lanes()),
                              .relu = p->relu,
                              .parts = (size_t)mq_par_threads()};
    return p->dtype == MQ_F32 && !p->scales && !p->depthwise && !p->sum && mq_winograd_suits(winograd) &&
           (!winograd->last || both_lie_in(p, 0));
}

MQ_MUST_USE static mq_status winograd_kernel(mq_err *err, const mq_conv_plan *p, const mq_winograd *winograd,
                                             mq_kernel **kernel) {
    mq_status status = MQ_OK;
    const mq_window *w = &p->window;
    const size_t block = mq_winograd_lanes(), bytes = mq_winograd_scratch(winograd),
                 written = winograd->back ? w->c : p->filters, tap = w->c * p->filters,
                 source[] = {1, w->h, w->w, w->c}, result[] = {1, w->out_h, w->out_w, p->filters},
                 weights[] = {p->filters, w->c, w->kernel, w->kernel},
                 strides[] = {winograd->back ? written : 1, winograd->back ? 1 : written, w->kernel * tap,
                              tap};
    mq_kernel *k = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *k, "a kernel", &k));
    *k = (mq_kernel){.winograd = *winograd,
                     .shared = winograd->parts > 1,
                     .pass = p->pass,
                     .name = "winograd",
                     .flops = mq_conv_flops(p)};
    MQ_TRY(mq_layout_blocks(err, MQ_F32, source, winograd->last ? w->c : block, &k->layouts[MQ_SLOT_SRC]));
    MQ_TRY(
        mq_layout_blocks(err, MQ_F32, result, winograd->last ? p->filters : block, &k->layouts[MQ_SLOT_DST]));
    MQ_TRY(mq_layout_create(err, MQ_F32, 4, weights, strides, &k->layouts[MQ_SLOT_WEIGHTS]));
    if (p->bias)
        MQ_TRY(mq_layout_create(err, MQ_F32, 1, &p->filters, &(size_t){1}, &k->layouts[MQ_SLOT_BIAS]));
    MQ_TRY(mq_layout_create(err, MQ_U8, 1, &bytes, &(size_t){1}, &k->layouts[MQ_SLOT_SCRATCH]));
    *kernel = k;
    k = NULL;
cleanup:
    mq_kernel_free(&k);
    return status;
}

/* A quantised convolution for processors for which oneDNN has none, or one that loses bits. */
MQ_MUST_USE static mq_status int8_kernel(mq_err *err, const mq_conv_plan *p, mq_kernel **kernel) {
    mq_status status = MQ_OK;
    const mq_window *w = &p->window;
    const size_t source[] = {1, w->h, w->w, w->c}, result[] = {1, w->out_h, w->out_w, p->filters};
    mq_kernel *k = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *k, "a kernel", &k));
    *k = (mq_kernel){.int8 = {.window = *w, .filters = p->filters, .sum = p->sum, .relu = p->relu},
                     .shared = mq_par_threads() > 1,
                     .name = "int8",
                     .flops = mq_conv_flops(p)};
    const size_t bytes = mq_int8_bytes(&k->int8);
    MQ_TRY(mq_layout_nhwc(err, MQ_U8, source, &k->layouts[MQ_SLOT_SRC]));
    MQ_TRY(mq_layout_nhwc(err, MQ_F32, result, &k->layouts[MQ_SLOT_DST]));
    MQ_TRY(mq_layout_create(err, MQ_I8, 1, &bytes, &(size_t){1}, &k->layouts[MQ_SLOT_WEIGHTS]));
    MQ_TRY(mq_layout_create(err, MQ_F32, 1, &p->filters, &(size_t){1}, &k->layouts[MQ_SLOT_BIAS]));
    *kernel = k;
    k = NULL;
cleanup:
    mq_kernel_free(&k);
    return status;
}

mq_status mq_own_conv(mq_err *err, const mq_dnn *dnn, const mq_conv_plan *plan, mq_kernel **kernel) {
    const size_t block = thinned_block(plan);
    mq_winograd winograd;
    if (plan->scales && !mq_dnn_has_vnni()) return int8_kernel(err, plan, kernel);
    if (block) return thinned_kernel(err, dnn, plan, block, kernel);
    if (is_winograd(plan, &winograd)) return winograd_kernel(err, plan, &winograd, kernel);
    return MQ_OK;
}

/* Channels of a plane that windows.h takes, where oneDNN is two to four times as slow; 0: it is not. */
static size_t pool_plane(const mq_window *w, const mq_layout *src) {
    const mq_shape s = {w->h, w->w, w->c};
    if (mq_dnn_simd() != MQ_SIMD_AVX2 || mq_layout_dtype(src) != MQ_F32 || w->n != 1 || w->c % MQ_BLOCK)
        return 0;
    return lies_in(src, s, MQ_BLOCK) ? MQ_BLOCK : lies_in(src, s, 0) ? w->c : 0;
}

mq_status mq_own_pool(mq_err *err, const mq_window *w, const mq_layout *src, mq_kernel **kernel) {
    mq_status status = MQ_OK;
    mq_kernel *k = NULL;
    const size_t plane = pool_plane(w, src);
    if (!plane) return MQ_OK;
    const size_t nhwc[] = {w->n, w->out_h, w->out_w, w->c};
    MQ_TRY(mq_calloc(err, 1, sizeof *k, "a kernel", &k));
    *k = (mq_kernel){.pool = *w, .planes = w->c / plane, .shared = mq_par_threads() > 1, .name = "own"};
    k->pool.c = plane;
    MQ_TRY(mq_layout_copy(err, src, &k->layouts[MQ_SLOT_SRC]));
    MQ_TRY(mq_layout_blocks(err, MQ_F32, nhwc, plane, &k->layouts[MQ_SLOT_DST]));
    *kernel = k;
    k = NULL;
cleanup:
    mq_kernel_free(&k);
    return status;
}

/* Rows of a pool's planes. */
static void pool_rows(void *ctx, size_t begin, size_t end) {
    const mq_call *call = ctx;
    const mq_window *const whole = &call->kernel->pool;
    const float *const source = call->places[MQ_SLOT_SRC];
    float *const result = call->places[MQ_SLOT_DST];
    for (size_t i = begin, rows; i < end; i += rows) {
        const size_t plane = i / whole->out_h, row = i % whole->out_h, below = whole->out_h - row;
        const size_t first = row * whole->stride, above = first < whole->top ? first : whole->top;
        rows = end - i < below ? end - i : below;
        mq_window w = *whole; /* of these rows alone */
        w.top -= above;
        w.h -= first - above;
        w.out_h = rows;
        mq_window_kernels_of(MQ_F32)->max_pool(&w, source + (plane * whole->h + first - above) * w.w * w.c,
                                               result + i * w.out_w * w.c, NULL);
    }
}

static void weigh_channels(void *ctx, size_t begin, size_t end) {
    const mq_call *call = ctx;
    mq_winograd_weigh(&call->kernel->winograd, begin, end, call->places[MQ_SLOT_WEIGHTS],
                      call->places[MQ_SLOT_SCRATCH]);
}

static void winograd_parts(void *ctx, size_t begin, size_t end) {
    const mq_call *call = ctx;
    const mq_winograd *w = &call->kernel->winograd;
    const mq_slot read = w->back ? MQ_SLOT_DST : MQ_SLOT_SRC, written = w->back ? MQ_SLOT_SRC : MQ_SLOT_DST;
    for (size_t part = begin; part < end; part++)
        mq_winograd_run(w, part, call->places[read], call->places[MQ_SLOT_BIAS], call->places[written],
                        call->places[MQ_SLOT_SCRATCH]);
}

static void int8_items(void *ctx, size_t begin, size_t end) {
    const mq_call *call = ctx;
    const mq_int8_tensors tensors = {.source = call->places[MQ_SLOT_SRC],
                                     .packed = call->places[MQ_SLOT_WEIGHTS],
                                     .scales = call->places[MQ_SLOT_SCALES],
                                     .bias = call->places[MQ_SLOT_BIAS],
                                     .result = call->places[MQ_SLOT_DST]};
    mq_int8_run(&call->kernel->int8, &tensors, begin, end);
}

static void thin_rows(void *ctx, size_t begin, size_t end) {
    const mq_call *call = ctx;
    const mq_kernel *k = call->kernel;
    uint8_t *const large = call->places[MQ_SLOT_SRC], *const small = call->places[MQ_SLOT_SCRATCH];
    if (k->pass == MQ_FORWARD)
        mq_thin_take(&k->thin, begin, end, large, small);
    else
        mq_thin_spread(&k->thin, begin, end, small, large);
}

/* Our own share of a call: fn over so many items, by all threads where the kernel is theirs. */
static void run_own(const mq_call *call, mq_par_fn fn, size_t items) {
    mq_call own = *call;
    if (call->kernel->shared)
        mq_parallel_share(items, fn, &own);
    else
        fn(&own, 0, items);
}

static void run_winograd(const mq_call *call) {
    const mq_winograd *w = &call->kernel->winograd;
    run_own(call, weigh_channels, w->back ? w->filters : w->window.c);
    run_own(call, winograd_parts, w->parts);
}

MQ_MUST_USE static mq_status run_thinned(mq_err *err, const mq_dnn *dnn, const mq_call *call) {
    const bool forward = call->kernel->pass == MQ_FORWARD;
    const size_t rows = mq_thin_rows(&call->kernel->thin);
    if (forward) run_own(call, thin_rows, rows);
    const mq_status status = mq_call_run(err, dnn, call->inner);
    if (!forward) run_own(call, thin_rows, rows);
    return status;
}

mq_status mq_own_run(mq_err *err, const mq_dnn *dnn, const mq_call *call) {
    const mq_kernel *k = call->kernel;
    if (call->inner) return run_thinned(err, dnn, call);
    if (k->winograd.parts)
        run_winograd(call);
    else if (k->int8.filters)
        run_own(call, int8_items, mq_int8_items(&k->int8));
    else
        run_own(call, pool_rows, k->planes * k->pool.out_h);
    return MQ_OK;
}
