/* looks.c: groups of pictures that show nearly the same. Called by split.c. Owns
 * the forest in which they are joined. Invariant: a group is made of pairs of one
 * distance and of all nearer ones, so that it does not depend on their order. */
#include "data/looks.h"
#include "base/mem.h"

#include <string.h>

enum {
    GROUP_MAX = 16,    /* pictures that may be copies of one */
    PAIRS_MORE = 1000, /* beside one for two pictures */
    ROOM = 4,          /* times more pairs than were foreseen */
};

typedef struct {
    const mq_looks_plan *plan;
    uint32_t *order;    /* [count] pictures by their looks */
    uint32_t *parent;   /* [count]: the caller's */
    uint32_t *trial;    /* [count] the forest, were all pairs joined so far */
    uint32_t *sizes;    /* [count] of the trial's trees, by root */
    uint32_t *distinct; /* [distinct_count] the first picture of each look that few share */
    size_t distinct_count;
    mq_near_list pairs; /* in the numbers of pictures */
} grouping;

static uint32_t root_of(uint32_t *parent, uint32_t picture) {
    while (parent[picture] != picture) picture = parent[picture] = parent[parent[picture]];
    return picture;
}

/* The smaller number becomes the root. */
static void join(uint32_t *parent, uint32_t a, uint32_t b) {
    a = root_of(parent, a);
    b = root_of(parent, b);
    parent[a < b ? b : a] = a < b ? a : b;
}

static int by_look(const void *a, const void *b, void *user) {
    const mq_phash *looks = user;
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    if (looks[x].upright != looks[y].upright) return looks[x].upright < looks[y].upright ? -1 : 1;
    return (x > y) - (x < y);
}

/* Joins pictures of one look, and keeps the first of each. */
static void join_equal(grouping *g, size_t *crowded) {
    const mq_looks_plan *plan = g->plan;
    for (size_t begin = 0, end; begin < plan->count; begin = end) {
        const uint32_t first = g->order[begin];
        for (end = begin + 1; end < plan->count; end++)
            if (plan->looks[g->order[end]].upright != plan->looks[first].upright) break;
        if (end - begin > GROUP_MAX) {
            *crowded += end - begin;
            continue;
        }
        for (size_t i = begin + 1; i < end; i++) join(g->parent, first, g->order[i]);
        g->distinct[g->distinct_count++] = first;
    }
}

/* The pairs of different looks. Where a sample has foreseen too few, at the next smaller distance. */
static mq_status find_pairs(mq_err *err, grouping *g, unsigned *distance) {
    mq_status status = MQ_OK;
    mq_phash *hashes = NULL;
    const size_t few = g->distinct_count / 2 + PAIRS_MORE;
    MQ_TRY(mq_calloc(err, g->distinct_count, sizeof *hashes, "fingerprints", &hashes));
    for (size_t i = 0; i < g->distinct_count; i++) hashes[i] = g->plan->looks[g->distinct[i]];
    mq_phash_plan search = {.size = sizeof search,
                            .hashes = hashes,
                            .count = g->distinct_count,
                            .distance = MQ_PHASH_ALONE,
                            .mirrors = true,
                            .most = ROOM * few};
    MQ_TRY(mq_phash_narrow(err, &search, few, 0, &search.distance));
    MQ_TRY(mq_phash_pairs(err, &search, &g->pairs));
    while (!g->pairs.complete && search.distance) {
        free(g->pairs.pairs);
        search.distance--;
        MQ_TRY(mq_phash_pairs(err, &search, &g->pairs));
    }
    for (size_t i = 0; i < g->pairs.count; i++) {
        g->pairs.pairs[i].a = g->distinct[g->pairs.pairs[i].a];
        g->pairs.pairs[i].b = g->distinct[g->pairs.pairs[i].b];
    }
    *distance = search.distance;
cleanup:
    free(hashes);
    return status;
}

/* Joins the pairs of one distance, but for those that would make a group too large. */
static void join_near(grouping *g, unsigned distance) {
    const size_t count = g->plan->count;
    for (size_t i = 0; i < g->pairs.count; i++) {
        const mq_near *pair = &g->pairs.pairs[i];
        if (pair->distance == distance) join(g->trial, pair->a, pair->b);
    }
    memset(g->sizes, 0, count * sizeof *g->sizes);
    for (uint32_t i = 0; i < count; i++) g->sizes[root_of(g->trial, i)]++;
    for (size_t i = 0; i < g->pairs.count; i++) {
        const mq_near *pair = &g->pairs.pairs[i];
        if (pair->distance == distance && g->sizes[root_of(g->trial, pair->a)] <= GROUP_MAX)
            join(g->parent, pair->a, pair->b);
    }
}

mq_status mq_looks_group(mq_err *err, const mq_looks_plan *plan, uint32_t *group, size_t *crowded) {
    mq_status status = MQ_OK;
    unsigned distance = 0;
    grouping g = {.plan = plan, .parent = group};
    MQ_REQUIRE(plan->size == sizeof *plan && plan->count < UINT32_MAX, err, MQ_INTERNAL,
               "a plan to group %zu pictures", plan->count);
    MQ_TRY(mq_calloc(err, plan->count, sizeof *g.order, "looks", &g.order));
    MQ_TRY(mq_calloc(err, plan->count, sizeof *g.trial, "looks", &g.trial));
    MQ_TRY(mq_calloc(err, plan->count, sizeof *g.sizes, "looks", &g.sizes));
    MQ_TRY(mq_calloc(err, plan->count, sizeof *g.distinct, "looks", &g.distinct));
    for (uint32_t i = 0; i < plan->count; i++) group[i] = g.order[i] = i;
    if (plan->count) qsort_r(g.order, plan->count, sizeof *g.order, by_look, (void *)plan->looks);
    *crowded = 0;
    join_equal(&g, crowded);
    MQ_TRY(find_pairs(err, &g, &distance));
    if (plan->count) memcpy(g.trial, group, plan->count * sizeof *g.trial);
    for (unsigned d = 0; d <= distance; d++) join_near(&g, d);
    for (uint32_t i = 0; i < plan->count; i++) {
        *crowded += g.sizes[root_of(g.trial, i)] > GROUP_MAX;
        group[i] = root_of(group, i);
    }
cleanup:
    free(g.order);
    free(g.trial);
    free(g.sizes);
    free(g.distinct);
    free(g.pairs.pairs);
    return status;
}
