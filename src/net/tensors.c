/* tensors.c: looks parameters up by name and compares shapes. Called by the
 * lowerings and by whoever opens a model. Owns nothing. Invariant: what passed
 * mq_tensors_check can be read without further checks. */
#include "net/tensors.h"

#include "base/buf.h"
#include "net/quant.h"

#include <stdio.h>
#include <string.h>

enum { NAME_MAX_BYTES = 512, SHOWN = 3, REPORT_MAX = 4096 };
enum { SHAPE_TEXT = MQ_RANK_MAX * 21 + 2 }; /* a number of 64 bits has 20 digits at most */

const mq_tensor *mq_tensors_find(const mq_bundle *weights, const char *prefix, const mq_node *node,
                                 const char *name) {
    char full[NAME_MAX_BYTES];
    const int n = snprintf(full, sizeof full, "%s%s/%s", prefix, node->name, name);
    return n > 0 && n < NAME_MAX_BYTES ? mq_bundle_find(weights, full) : NULL;
}

const float *mq_tensors_get(const mq_bundle *weights, const char *prefix, const mq_node *node,
                            const char *param) {
    const mq_tensor *tensor = mq_tensors_find(weights, prefix, node, param);
    return tensor ? tensor->data : NULL;
}

/* "[3,3,32,64]" into out. */
static const char *shape_text(size_t rank, const size_t *shape, char out[SHAPE_TEXT]) {
    size_t used = 0;
    for (size_t i = 0; i < rank && i < MQ_RANK_MAX; i++)
        used += (size_t)snprintf(out + used, SHAPE_TEXT - used, "%c%zu", i ? ',' : '[', shape[i]);
    snprintf(out + used, SHAPE_TEXT - used, rank ? "]" : "[]");
    return out;
}

/* Appends what is wrong with one parameter, if anything. */
MQ_MUST_USE static mq_status compare(mq_err *err, const mq_tensor *tensor, const mq_node *node,
                                     const mq_param_shape *param, mq_buf *report, size_t *wrong) {
    char has[SHAPE_TEXT], wants[SHAPE_TEXT];
    const bool bytes = tensor && tensor->dtype == MQ_I8 &&
                       strcmp(param->name, mq_quant_name(node, MQ_QUANT_WEIGHTS)) == 0;
    if (tensor && (tensor->dtype == MQ_F32 || bytes) && tensor->rank == param->rank &&
        memcmp(tensor->shape, param->shape, param->rank * sizeof *param->shape) == 0)
        return MQ_OK;
    if ((*wrong)++ >= SHOWN) return MQ_OK;
    if (!tensor)
        return mq_buf_printf(err, report, "%s%s/%s is missing", *wrong > 1 ? ", " : "", node->name,
                             param->name);
    return mq_buf_printf(err, report, "%s%s/%s is %s %s instead of f32 %s", *wrong > 1 ? ", " : "",
                         node->name, param->name, mq_dtype_name(tensor->dtype),
                         shape_text(tensor->rank, tensor->shape, has),
                         shape_text(param->rank, param->shape, wants));
}

mq_status mq_tensors_check(mq_err *err, const mq_graph *graph, const mq_bundle *weights, const char *prefix) {
    mq_status status = MQ_OK;
    mq_buf report = mq_buf_init(REPORT_MAX);
    size_t wrong = 0, all = 0;
    for (size_t i = 0; i < mq_graph_size(graph); i++) {
        const mq_node *node = mq_graph_node(graph, i);
        for (size_t k = 0; k < mq_node_param_count(node); k++, all++) {
            const mq_param_shape param = mq_node_param(graph, node, k);
            const mq_tensor *tensor = mq_tensors_find(weights, prefix, node, param.name);
            MQ_TRY(compare(err, tensor, node, &param, &report, &wrong));
        }
    }
    MQ_REQUIRE(
        !wrong, err, MQ_BAD_DATA,
        "%s: %zu of the network's %zu tensors are not as they must be: %s%s; take a file of this network",
        mq_bundle_path(weights), wrong, all, (const char *)report.data, wrong > SHOWN ? ", ..." : "");
    for (size_t i = 0; i < mq_graph_size(graph); i++) {
        const mq_node *node = mq_graph_node(graph, i);
        mq_quant quant;
        if (mq_quant_find(weights, prefix, node, &quant))
            MQ_TRY(mq_quant_check(err, graph, weights, prefix, node));
    }
cleanup:
    mq_buf_free(&report);
    return status;
}

mq_status mq_tensors_hash(mq_err *err, const mq_graph *graph, const mq_bundle *weights, size_t last,
                          char hex[MQ_HASH_HEX_SIZE]) {
    mq_status status = MQ_OK;
    mq_hash *hash = NULL;
    MQ_TRY(mq_hash_begin(err, &hash));
    for (size_t i = 0; i <= last; i++) {
        const mq_node *node = mq_graph_node(graph, i);
        for (size_t k = 0; k < mq_node_param_count(node); k++) {
            const mq_tensor *tensor = mq_tensors_find(weights, "", node, mq_node_param(graph, node, k).name);
            mq_hash_add(hash, tensor->name, strlen(tensor->name) + 1);
            mq_hash_add(hash, tensor->data, tensor->bytes);
        }
    }
    mq_hash_end(&hash, hex);
cleanup:
    return status;
}
