/* arch.h: the networks marque knows, one zoo_*.c and one table row each. */
#ifndef MQ_ARCH_H
#define MQ_ARCH_H

#include "base/recipe.h"
#include "net/graph.h"

typedef struct {
    const char *name;   /* "xception" */
    uint32_t imgsz;     /* side it was trained at */
    uint32_t imgsz_min; /* smallest side it takes */
    mq_range range;     /* of its input */
    size_t features;    /* channels after global average pooling */
    /* Builds the trunk from input [imgsz, imgsz, 3] to its pooled features. *graph is the caller's. */
    mq_status (*build)(mq_err *err, uint32_t imgsz, mq_graph **graph);
    /* Where Keras' weights come from. */
    const char *url, *md5, *licence;
    uint64_t bytes; /* about, for the message before a download */
} mq_arch;

/* NULL when there is none of that name. */
const mq_arch *mq_arch_find(const char *name);

/* Row index of the table; NULL behind the last. */
const mq_arch *mq_arch_at(size_t index);

#endif
