/* zoo_xception.c: F. Chollet, Xception: Deep Learning with Depthwise Separable
 * Convolutions, 2017, as keras.applications builds it, under its layer names.
 * Called through arch.c. Invariant: a layer appears where Keras creates it. */
#include "net/zoo.h"

#include <stdio.h>

typedef struct {
    mq_err *err;
    mq_graph *graph;
    size_t divisor; /* of channels */
    size_t last;    /* the node that the next one takes */
    int residuals;  /* unnamed in Keras: conv2d, conv2d_1, ... */
    char block[16];
} builder;

MQ_MUST_USE static mq_status add(builder *b, mq_node node, const char *name, size_t input) {
    node.name = name;
    node.block = b->block;
    if (node.op != MQ_OP_INPUT) {
        node.inputs[0] = input;
        if (!node.input_count) node.input_count = 1;
    }
    return mq_graph_add(b->err, b->graph, &node, &b->last);
}

/* A layer called BLOCK_SUFFIX behind the last one. */
MQ_MUST_USE static mq_status next(builder *b, mq_node node, const char *suffix) {
    char name[64];
    snprintf(name, sizeof name, "%s_%s", b->block, suffix);
    return add(b, node, name, b->last);
}

MQ_MUST_USE static mq_status relu(builder *b, const char *layer) {
    char suffix[32];
    snprintf(suffix, sizeof suffix, "%s_act", layer);
    return next(b, (mq_node){.op = MQ_OP_RELU}, suffix);
}

/* A convolution of either kind and its batch norm. */
MQ_MUST_USE static mq_status conv_bn(builder *b, mq_node node, const char *layer) {
    char suffix[32];
    snprintf(suffix, sizeof suffix, "%s_bn", layer);
    node.filters /= b->divisor;
    const mq_status status = next(b, node, layer);
    return status == MQ_OK ? next(b, (mq_node){.op = MQ_OP_BATCH_NORM, .epsilon = 1e-3}, suffix) : status;
}

MQ_MUST_USE static mq_status sepconv_bn(builder *b, size_t filters, const char *layer) {
    return conv_bn(
        b, (mq_node){.op = MQ_OP_SEPCONV, .filters = filters, .kernel = 3, .stride = 1, .same = true}, layer);
}

/* The 1x1 convolution by steps of 2 around a block, with its batch norm. */
MQ_MUST_USE static mq_status residual(builder *b, size_t filters, size_t *result) {
    mq_status status = MQ_OK;
    const size_t trunk = b->last;
    char conv[32] = "conv2d", bn[32] = "batch_normalization";
    if (b->residuals) {
        snprintf(conv, sizeof conv, "conv2d_%d", b->residuals);
        snprintf(bn, sizeof bn, "batch_normalization_%d", b->residuals);
    }
    b->residuals++;
    MQ_TRY(add(
        b,
        (mq_node){.op = MQ_OP_CONV, .filters = filters / b->divisor, .kernel = 1, .stride = 2, .same = true},
        conv, trunk));
    MQ_TRY(add(b, (mq_node){.op = MQ_OP_BATCH_NORM, .epsilon = 1e-3}, bn, b->last));
    *result = b->last;
    b->last = trunk;
cleanup:
    return status;
}

/* The sum of the last node and another; Keras calls them add, add_1, ... by block. */
MQ_MUST_USE static mq_status join(builder *b, int block, size_t other) {
    char name[32] = "add";
    if (block > 2) snprintf(name, sizeof name, "add_%d", block - 2);
    return add(b, (mq_node){.op = MQ_OP_ADD, .inputs = {0, other}, .input_count = 2}, name, b->last);
}

/* Blocks 2, 3, 4 and 13: two separable convolutions and a pool. */
MQ_MUST_USE static mq_status shrinking_block(builder *b, int block, size_t first, size_t second) {
    mq_status status = MQ_OK;
    size_t branch = 0;
    snprintf(b->block, sizeof b->block, "block%d", block);
    MQ_TRY(residual(b, second, &branch));
    if (block > 2) MQ_TRY(relu(b, "sepconv1")); /* block 1 ends in a ReLU already */
    MQ_TRY(sepconv_bn(b, first, "sepconv1"));
    MQ_TRY(relu(b, "sepconv2"));
    MQ_TRY(sepconv_bn(b, second, "sepconv2"));
    MQ_TRY(next(b, (mq_node){.op = MQ_OP_MAX_POOL, .kernel = 3, .stride = 2, .same = true}, "pool"));
    MQ_TRY(join(b, block, branch));
cleanup:
    return status;
}

/* Blocks 5 to 12. */
MQ_MUST_USE static mq_status middle_block(builder *b, int block) {
    static const char *const layers[] = {"sepconv1", "sepconv2", "sepconv3"};
    mq_status status = MQ_OK;
    const size_t trunk = b->last;
    snprintf(b->block, sizeof b->block, "block%d", block);
    for (size_t i = 0; i < 3; i++) {
        MQ_TRY(relu(b, layers[i]));
        MQ_TRY(sepconv_bn(b, 728, layers[i]));
    }
    MQ_TRY(join(b, block, trunk));
cleanup:
    return status;
}

MQ_MUST_USE static mq_status first_block(builder *b, uint32_t imgsz) {
    mq_status status = MQ_OK;
    snprintf(b->block, sizeof b->block, "block1");
    MQ_TRY(add(b, (mq_node){.op = MQ_OP_INPUT, .shape = {imgsz, imgsz, 3}}, "input", 0));
    MQ_TRY(conv_bn(b, (mq_node){.op = MQ_OP_CONV, .filters = 32, .kernel = 3, .stride = 2}, "conv1"));
    MQ_TRY(relu(b, "conv1"));
    MQ_TRY(conv_bn(b, (mq_node){.op = MQ_OP_CONV, .filters = 64, .kernel = 3, .stride = 1}, "conv2"));
    MQ_TRY(relu(b, "conv2"));
cleanup:
    return status;
}

MQ_MUST_USE static mq_status last_block(builder *b) {
    mq_status status = MQ_OK;
    snprintf(b->block, sizeof b->block, "block14");
    MQ_TRY(sepconv_bn(b, 1536, "sepconv1"));
    MQ_TRY(relu(b, "sepconv1"));
    MQ_TRY(sepconv_bn(b, 2048, "sepconv2"));
    MQ_TRY(relu(b, "sepconv2"));
    MQ_TRY(add(b, (mq_node){.op = MQ_OP_GLOBAL_AVG_POOL}, "avg_pool", b->last));
cleanup:
    return status;
}

mq_status mq_xception_build(mq_err *err, uint32_t imgsz, size_t divisor, mq_graph **graph) {
    mq_status status = MQ_OK;
    builder b = {.err = err, .divisor = divisor};
    MQ_TRY(mq_graph_create(err, &b.graph));
    MQ_TRY(first_block(&b, imgsz));
    MQ_TRY(shrinking_block(&b, 2, 128, 128));
    MQ_TRY(shrinking_block(&b, 3, 256, 256));
    MQ_TRY(shrinking_block(&b, 4, 728, 728));
    for (int block = 5; block <= 12; block++) MQ_TRY(middle_block(&b, block));
    MQ_TRY(shrinking_block(&b, 13, 728, 1024));
    MQ_TRY(last_block(&b));
    *graph = b.graph;
    b.graph = NULL;
cleanup:
    mq_graph_free(&b.graph);
    return status;
}
