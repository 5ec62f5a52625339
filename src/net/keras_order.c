/* keras_order.c: from Keras' order of weights to a kernel's. Called by the
 * lowerings. Owns nothing. Invariant: the order of oneDNN's dims is [G] O I H W. */
#include "net/keras_order.h"

#include "base/mem.h"

/* How they lie; exchanged: as the kernel sees them that has inputs and filters exchanged (dense only). */
MQ_MUST_USE static mq_status layout_of(mq_err *err, const mq_keras_weights *weights, bool exchanged,
                                       mq_layout **layout) {
    const size_t *s = weights->param->shape; /* h, w, i, o; depthwise: h, w, channels, 1 */
    const size_t line = s[1] * s[2] * s[3], pixel = s[2] * s[3];
    const size_t dense[] = {s[3], s[2], s[0], s[1]}, dense_by[] = {1, s[3], line, pixel};
    const size_t turned[] = {s[2], s[3], s[0], s[1]}, turned_by[] = {s[3], 1, line, pixel};
    const size_t depth[] = {s[2], 1, 1, s[0], s[1]}, depth_by[] = {1, 1, 1, s[1] * s[2], s[2]};
    if (exchanged) return mq_layout_create(err, weights->dtype, 4, turned, turned_by, layout);
    return weights->depthwise ? mq_layout_create(err, weights->dtype, 5, depth, depth_by, layout)
                              : mq_layout_create(err, weights->dtype, 4, dense, dense_by, layout);
}

mq_status mq_keras_lay_out(mq_err *err, const mq_dnn *dnn, const mq_keras_weights *weights,
                           const mq_kernel *kernel, void *out) {
    mq_status status = MQ_OK;
    mq_layout *plain = NULL;
    mq_kernel *reorder = NULL;
    mq_call *call = NULL;
    void *scratch = NULL;
    if (mq_kernel_packs(kernel)) return mq_kernel_pack(err, kernel, weights->values, out);
    MQ_TRY(layout_of(err, weights, mq_kernel_exchanged(kernel), &plain));
    MQ_TRY(mq_kernel_reorder(err, dnn, plain, mq_kernel_layout(kernel, MQ_SLOT_WEIGHTS), &reorder));
    const mq_layout *extra = mq_kernel_layout(reorder, MQ_SLOT_SCRATCH);
    if (extra) MQ_TRY(mq_alloc_aligned(err, 1, mq_layout_bytes(extra), "a reorder", &scratch));
    MQ_TRY(mq_call_create(err, dnn, reorder, &call));
    MQ_TRY(mq_call_bind(err, call, MQ_SLOT_SRC, weights->values));
    MQ_TRY(mq_call_bind(err, call, MQ_SLOT_DST, out));
    MQ_TRY(mq_call_bind(err, call, MQ_SLOT_SCRATCH, scratch));
    MQ_TRY(mq_call_run(err, dnn, call));
cleanup:
    mq_call_free(&call);
    mq_kernel_free(&reorder);
    mq_layout_free(&plain);
    free(scratch);
    return status;
}
