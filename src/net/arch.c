/* arch.c: the table of networks. Called wherever a network is named. Owns
 * nothing. Invariant: a row's features equal the channels its graph ends in. */
#include "net/arch.h"

#include "net/zoo.h"

#include <string.h>

static mq_status xception(mq_err *err, uint32_t imgsz, mq_graph **graph) {
    return mq_xception_build(err, imgsz, 1, graph);
}

static const mq_arch table[] = {
    {.name = "xception",
     .imgsz = 299,
     .imgsz_min = 71,
     .range = MQ_RANGE_TF,
     .features = 2048,
     .build = xception,
     .url = "https://storage.googleapis.com/tensorflow/keras-applications/xception/"
            "xception_weights_tf_dim_ordering_tf_kernels_notop.h5",
     .md5 = "b0042744bf5b25fce3cb969f33bebb97",
     .licence = "Apache-2.0 (Keras Applications)",
     .bytes = 83683744},
};

const mq_arch *mq_arch_at(size_t index) {
    return index < sizeof table / sizeof *table ? &table[index] : NULL;
}

const mq_arch *mq_arch_find(const char *name) {
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0) return &table[i];
    return NULL;
}
