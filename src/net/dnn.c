/* dnn.c: engine, layouts, and kernels once they are made; every call of oneDNN
 * that is the same in 2.x and 3.x. Called by programs and trainables.
 * Invariant: a call runs only with all its slots bound, scratch included, so
 * that oneDNN never allocates while a program runs. */
#include "net/dnn_impl.h"

#include "base/mem.h"
#include "net/program.h"

#include <stdio.h>
#include <string.h>

mq_status mq_dnn_check(mq_err *err, dnnl_status_t status, const char *what) {
    switch (status) {
    case dnnl_success:
        return MQ_OK;
    case dnnl_out_of_memory:
        return mq_fail(err, MQ_NO_MEMORY, "no memory for %s", what);
    case dnnl_unimplemented:
        return mq_fail(err, MQ_UNAVAILABLE, "oneDNN %s has no kernel for %s on %s", mq_dnn_version(), what,
                       mq_dnn_isa());
    default:
        return mq_fail(err, MQ_INTERNAL, "oneDNN %s refused %s (status %d)", mq_dnn_version(), what,
                       (int)status);
    }
}

dnnl_data_type_t mq_dnn_dtype(mq_dtype dtype) {
    return dtype == MQ_BF16 ? dnnl_bf16 : dtype == MQ_U8 ? dnnl_u8 : dtype == MQ_I8 ? dnnl_s8 : dnnl_f32;
}

mq_status mq_dnn_create(mq_err *err, mq_dnn **dnn) {
    mq_status status = MQ_OK;
    mq_dnn *d = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *d, "the compute engine", &d));
    MQ_TRY(mq_dnn_check(err, dnnl_engine_create(&d->engine, dnnl_cpu, 0), "an engine"));
    MQ_TRY(mq_dnn_check(err, dnnl_stream_create(&d->stream, d->engine, dnnl_stream_in_order), "a stream"));
    *dnn = d;
    d = NULL;
cleanup:
    mq_dnn_free(&d);
    return status;
}

mq_status mq_dnn_beside(mq_err *err, const mq_dnn *dnn, mq_dnn **beside) {
    mq_status status = MQ_OK;
    mq_dnn *d = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *d, "the compute engine", &d));
    d->engine = dnn->engine;
    d->borrowed = true;
    MQ_TRY(mq_dnn_check(err, dnnl_stream_create(&d->stream, d->engine, dnnl_stream_in_order), "a stream"));
    *beside = d;
    d = NULL;
cleanup:
    mq_dnn_free(&d);
    return status;
}

void mq_dnn_free(mq_dnn **dnn) {
    mq_dnn *d = *dnn;
    if (!d) return;
    if (d->stream) dnnl_stream_destroy(d->stream);
    if (d->engine && !d->borrowed) dnnl_engine_destroy(d->engine);
    free(d);
    *dnn = NULL;
}

mq_simd mq_dnn_simd(void) {
#ifdef __x86_64__
    const unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
    /* oneDNN does not ask for FMA by itself, and a virtual machine can hide it. */
    if ((isa & dnnl_cpu_isa_avx2) != dnnl_cpu_isa_avx2 || !__builtin_cpu_supports("fma"))
        return MQ_SIMD_OTHER;
    return (isa & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core ? MQ_SIMD_AVX512 : MQ_SIMD_AVX2;
#else
    return MQ_SIMD_OTHER;
#endif
}

bool mq_dnn_has_bf16(void) {
    const unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
    return (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
}

bool mq_dnn_has_vnni(void) {
    const unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
    return (isa & dnnl_cpu_isa_avx512_core_vnni) == dnnl_cpu_isa_avx512_core_vnni ||
           (isa & dnnl_cpu_isa_avx2_vnni) == dnnl_cpu_isa_avx2_vnni;
}

bool mq_dnn_has_int8(void) {
    return mq_dnn_has_vnni() || mq_int8_available();
}

mq_dtype mq_dtype_auto(void) {
    return mq_dnn_has_bf16() ? MQ_BF16 : MQ_F32;
}

#define TEXT_OF(x) TEXT(x)
#define TEXT(x) #x

/* The library may be newer than the headers, within one major version; this names the library. */
const char *mq_dnn_version(void) {
    static const char built[] = TEXT_OF(DNNL_VERSION_MAJOR) "." TEXT_OF(DNNL_VERSION_MINOR) "." TEXT_OF(
        DNNL_VERSION_PATCH);
    static _Thread_local char text[48];
    const dnnl_version_t *v = dnnl_version();
    if (!v) return built;
    snprintf(text, sizeof text, "%d.%d.%d", v->major, v->minor, v->patch);
    return text;
}

const char *mq_dnn_isa(void) {
    static const struct {
        unsigned isa;
        const char *name;
    } names[] = {
        {dnnl_cpu_isa_avx512_core_amx, "avx512_core_amx"},
        {dnnl_cpu_isa_avx512_core_bf16, "avx512_core_bf16"},
        {dnnl_cpu_isa_avx512_core_vnni, "avx512_core_vnni"},
        {dnnl_cpu_isa_avx512_core, "avx512_core"},
        {dnnl_cpu_isa_avx2_vnni, "avx2_vnni"},
        {dnnl_cpu_isa_avx2, "avx2"},
        {dnnl_cpu_isa_avx, "avx"},
        {dnnl_cpu_isa_sse41, "sse41"},
    };
    const unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (isa && (isa & names[i].isa) == names[i].isa) return names[i].name;
    return "portable";
}

void mq_dnn_numbers(mq_dtype dtype, char text[MQ_NUMBERS_SIZE]) {
    snprintf(text, MQ_NUMBERS_SIZE, "%s engine %d onednn %s %s", mq_dtype_name(dtype), (int)MQ_ENGINE,
             mq_dnn_version(), mq_dnn_isa());
}

MQ_MUST_USE static mq_status layout_new(mq_err *err, mq_layout **layout) {
    return mq_calloc(err, 1, sizeof **layout, "a layout", layout);
}

MQ_MUST_USE static mq_status layout_make(mq_err *err, mq_dtype dtype, size_t rank, const size_t *dims,
                                         const size_t *strides, mq_layout **layout) {
    mq_status status = MQ_OK;
    dnnl_dims_t d, s;
    mq_layout *l = NULL;
    MQ_TRY(layout_new(err, &l));
    for (size_t i = 0; i < rank; i++) {
        d[i] = (dnnl_dim_t)dims[i];
        if (strides) s[i] = (dnnl_dim_t)strides[i];
    }
    MQ_TRY(mq_dnn_check(err, mq_md_init(&l->md, (int)rank, d, mq_dnn_dtype(dtype), strides ? s : NULL),
                        "a memory descriptor"));
    *layout = l;
    l = NULL;
cleanup:
    free(l); /* without descriptor here */
    return status;
}

mq_status mq_layout_create(mq_err *err, mq_dtype dtype, size_t rank, const size_t *dims,
                           const size_t *strides, mq_layout **layout) {
    return layout_make(err, dtype, rank, dims, strides, layout);
}

mq_status mq_layout_any(mq_err *err, mq_dtype dtype, size_t rank, const size_t *dims, mq_layout **layout) {
    return layout_make(err, dtype, rank, dims, NULL, layout);
}

mq_status mq_layout_nhwc(mq_err *err, mq_dtype dtype, const size_t nhwc[4], mq_layout **layout) {
    const size_t h = nhwc[1], w = nhwc[2], c = nhwc[3];
    const size_t dims[] = {nhwc[0], c, h, w}, strides[] = {h * w * c, 1, w * c, c};
    return layout_make(err, dtype, 4, dims, strides, layout);
}

mq_status mq_layout_blocks(mq_err *err, mq_dtype dtype, const size_t nhwc[4], size_t block,
                           mq_layout **layout) {
    mq_status status = MQ_OK;
    const size_t h = nhwc[1], w = nhwc[2], c = nhwc[3];
    const dnnl_dims_t dims = {(dnnl_dim_t)nhwc[0], (dnnl_dim_t)c, (dnnl_dim_t)h, (dnnl_dim_t)w};
    mq_layout *l = NULL;
    if (block == c) return mq_layout_nhwc(err, dtype, nhwc, layout);
    MQ_TRY(layout_new(err, &l));
    MQ_TRY(mq_dnn_check(err,
                        mq_md_tagged(&l->md, dims, mq_dnn_dtype(dtype),
                                     block == 1          ? dnnl_abcd
                                     : block == MQ_BLOCK ? dnnl_aBcd8b
                                                         : dnnl_aBcd16b),
                        "a memory descriptor"));
    *layout = l;
    l = NULL;
cleanup:
    free(l); /* without descriptor here */
    return status;
}

mq_status mq_layout_copy(mq_err *err, const mq_layout *other, mq_layout **layout) {
    mq_status status = MQ_OK;
    mq_layout *l = NULL;
    MQ_TRY(layout_new(err, &l));
    MQ_TRY(mq_dnn_check(err, mq_md_copy(&l->md, mq_md_of(other)), "a memory descriptor"));
    *layout = l;
    l = NULL;
cleanup:
    free(l);
    return status;
}

void mq_layout_free(mq_layout **layout) {
    if (!*layout) return;
    mq_md_free(&(*layout)->md);
    free(*layout);
    *layout = NULL;
}

size_t mq_layout_bytes(const mq_layout *layout) {
    return dnnl_memory_desc_get_size(mq_md_of(layout));
}

mq_dtype mq_layout_dtype(const mq_layout *layout) {
    const dnnl_data_type_t dtype = mq_md_dtype(mq_md_of(layout));
    return dtype == dnnl_bf16 ? MQ_BF16 : dtype == dnnl_u8 ? MQ_U8 : dtype == dnnl_s8 ? MQ_I8 : MQ_F32;
}

bool mq_layout_equal(const mq_layout *a, const mq_layout *b) {
    return dnnl_memory_desc_equal(mq_md_of(a), mq_md_of(b));
}

void mq_kernel_free(mq_kernel **kernel) {
    mq_kernel *k = *kernel;
    if (!k) return;
    for (size_t i = 0; i < MQ_SLOTS; i++) mq_layout_free(&k->layouts[i]);
    mq_kernel_free(&k->inner);
    if (k->primitive) dnnl_primitive_destroy(k->primitive);
    free(k);
    *kernel = NULL;
}

bool mq_kernel_exchanged(const mq_kernel *kernel) {
    if (kernel->inner) return mq_kernel_exchanged(kernel->inner);
    return kernel->turned;
}

bool mq_kernel_scales_bias(const mq_kernel *kernel) {
    return DNNL_VERSION_MAJOR < 3 && !kernel->int8.filters;
}

bool mq_kernel_packs(const mq_kernel *kernel) {
    return kernel->int8.filters > 0;
}

mq_status mq_kernel_pack(mq_err *err, const mq_kernel *kernel, const int8_t *weights, void *packed) {
    return mq_int8_pack(err, &kernel->int8, weights, packed);
}

const mq_layout *mq_kernel_layout(const mq_kernel *kernel, mq_slot slot) {
    return kernel->layouts[slot];
}

mq_status mq_call_create(mq_err *err, const mq_dnn *dnn, const mq_kernel *kernel, mq_call **call) {
    mq_status status = MQ_OK;
    mq_call *c = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *c, "a call", &c));
    c->kernel = kernel;
    if (kernel->inner) MQ_TRY(mq_call_create(err, dnn, kernel->inner, &c->inner));
    for (size_t i = 0; i < MQ_SLOTS; i++)
        if (kernel->layouts[i] && !kernel->inner)
            MQ_TRY(mq_dnn_check(err,
                                dnnl_memory_create(&c->memories[i], mq_md_of(kernel->layouts[i]), dnn->engine,
                                                   DNNL_MEMORY_NONE),
                                kernel->name));
    *call = c;
    c = NULL;
cleanup:
    mq_call_free(&c);
    return status;
}

void mq_call_free(mq_call **call) {
    if (!*call) return;
    mq_call_free(&(*call)->inner);
    for (size_t i = 0; i < MQ_SLOTS; i++)
        if ((*call)->memories[i]) dnnl_memory_destroy((*call)->memories[i]);
    free(*call);
    *call = NULL;
}

/* The large picture stays outside; the small one takes its place inside. */
MQ_MUST_USE static mq_status bind_inner(mq_err *err, mq_call *call, mq_slot slot, uint8_t *handle) {
    if (slot == MQ_SLOT_SRC) return MQ_OK;
    if (slot != MQ_SLOT_SCRATCH) return mq_call_bind(err, call->inner, slot, handle);
    const mq_status status = mq_call_bind(err, call->inner, MQ_SLOT_SRC, handle);
    return status == MQ_OK
               ? mq_call_bind(err, call->inner, MQ_SLOT_SCRATCH, handle + mq_thin_bytes(&call->kernel->thin))
               : status;
}

mq_status mq_call_bind(mq_err *err, mq_call *call, mq_slot slot, const void *memory) {
    void *handle; /* oneDNN's handles are not const, its sources still are only read */
    memcpy(&handle, &memory, sizeof handle);
    call->places[slot] = handle;
    if (call->inner) return bind_inner(err, call, slot, handle);
    if (!call->memories[slot]) return MQ_OK;
    return mq_dnn_check(err, dnnl_memory_set_data_handle(call->memories[slot], handle), "a buffer");
}

mq_status mq_call_run(mq_err *err, const mq_dnn *dnn, const mq_call *call) {
    enum { TURNED = MQ_BACKWARD_DATA + 1 };
    static const int names[][MQ_SLOTS] = {
        [MQ_FORWARD] = {DNNL_ARG_SRC, DNNL_ARG_SRC_1, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS, MQ_DNN_SCALES_ARG,
                        DNNL_ARG_DST, DNNL_ARG_SCRATCHPAD},
        [MQ_BACKWARD_DATA] = {DNNL_ARG_DIFF_SRC, 0, DNNL_ARG_WEIGHTS, 0, 0, DNNL_ARG_DIFF_DST,
                              DNNL_ARG_SCRATCHPAD},
        [TURNED] = {DNNL_ARG_DST, 0, DNNL_ARG_WEIGHTS, 0, 0, DNNL_ARG_SRC, DNNL_ARG_SCRATCHPAD},
    };
    if (!call->kernel->primitive) return mq_own_run(err, dnn, call);
    const int *args = names[call->kernel->turned ? TURNED : (int)call->kernel->pass];
    dnnl_exec_arg_t list[MQ_SLOTS];
    int count = 0;
    for (size_t i = 0; i < MQ_SLOTS; i++)
        if (call->memories[i]) list[count++] = (dnnl_exec_arg_t){args[i], call->memories[i]};
    dnnl_status_t done = dnnl_primitive_execute(call->kernel->primitive, dnn->stream, count, list);
    if (done == dnnl_success) done = dnnl_stream_wait(dnn->stream);
    return mq_dnn_check(err, done, call->kernel->name);
}

const char *mq_kernel_name(const mq_kernel *kernel) {
    return kernel->name;
}

mq_work mq_kernel_work(const mq_kernel *kernel) {
    mq_work work = {.flops = kernel->flops};
    for (mq_slot slot = 0; slot < MQ_SLOTS; slot++)
        if (slot != MQ_SLOT_SCRATCH && kernel->layouts[slot])
            work.bytes += (double)mq_layout_bytes(kernel->layouts[slot]);
    return work;
}

mq_status mq_dnn_sgemm(mq_err *err, const mq_gemm *g, const float *a, const float *b, float *c) {
    const dnnl_dim_t m = (dnnl_dim_t)g->m, n = (dnnl_dim_t)g->n, k = (dnnl_dim_t)g->k;
    return mq_dnn_check(err,
                        dnnl_sgemm(g->ta ? 'T' : 'N', g->tb ? 'T' : 'N', m, n, k, 1.0f, a, g->ta ? m : k, b,
                                   g->tb ? k : n, g->beta, c, n),
                        "a matrix product");
}
