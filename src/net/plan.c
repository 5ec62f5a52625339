/* plan.c: first-fit placement of buffers by lifetime. Called by the lowerings
 * before anything runs. Owns nothing beyond the call. Invariant: offsets
 * depend on the items alone. */
#include "net/plan.h"

#include "base/mem.h"

/* Larger first; the earlier of equals. */
static int by_size(const void *a, const void *b) {
    const mq_lifetime *x = *(mq_lifetime *const *)a, *y = *(mq_lifetime *const *)b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return x < y ? -1 : x > y;
}

/* The lowest gap for item among those placed, which are kept sorted by offset. */
static size_t lowest_gap(const mq_lifetime *item, mq_lifetime *const *placed, size_t count) {
    size_t offset = 0;
    for (size_t i = 0; i < count; i++) {
        const mq_lifetime *p = placed[i];
        if (p->last < item->first || item->last < p->first) continue;
        if (p->offset >= offset + item->bytes) break;
        const size_t end = mq_round_up(p->offset + p->bytes, MQ_ALIGNMENT);
        offset = end > offset ? end : offset;
    }
    return offset;
}

mq_status mq_plan_memory(mq_err *err, mq_lifetime *items, size_t count, size_t *total) {
    mq_status status = MQ_OK;
    mq_lifetime **order = NULL, **placed = NULL;
    MQ_TRY(mq_calloc(err, count, sizeof *order, "the memory plan", &order));
    MQ_TRY(mq_calloc(err, count, sizeof *placed, "the memory plan", &placed));
    for (size_t i = 0; i < count; i++) order[i] = &items[i];
    qsort(order, count, sizeof *order, by_size);
    *total = 0;
    for (size_t i = 0; i < count; i++) {
        mq_lifetime *item = order[i];
        item->offset = lowest_gap(item, placed, i);
        const size_t end = mq_round_up(item->offset + item->bytes, MQ_ALIGNMENT);
        *total = end > *total ? end : *total;
        size_t at = i;
        for (; at > 0 && placed[at - 1]->offset > item->offset; at--) placed[at] = placed[at - 1];
        placed[at] = item;
    }
cleanup:
    free(order);
    free(placed);
    return status;
}
