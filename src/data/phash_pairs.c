/* phash_pairs.c: all pairs of near fingerprints. Called by looks.c and by the scan. Owns
 * the tables of one block at a time. Invariant: two fingerprints are found once, in the
 * first block in which they are near enough. */
#include "base/mem.h"
#include "base/par.h"
#include "data/phash.h"

#include <math.h>
#include <string.h>

enum {
    BLOCKS_MAX = 16,
    BLOCK_BITS_MAX = 22, /* so that a table's beginnings take 16 MB at most */
    PARTS = 64,          /* of a block's values, each with pairs of its own */
    PAIRS_MAX = 1 << 28,
    SAMPLE = 10000, /* pictures by which the number of pairs is foreseen */
};

/* How fingerprints are cut. Two of them at most `distance` = radius x blocks + rest bits apart differ in at
 * most radius bits of one of the first rest + 1 blocks, or in fewer than radius bits of one of the others: if
 * not, they differ in more than distance (Norouzi et al., section 3.2). */
typedef struct {
    unsigned blocks;
    int radius[BLOCKS_MAX]; /* -1: nothing to find there */
    unsigned shift[BLOCKS_MAX], bits[BLOCKS_MAX];
} cutting;

static uint64_t value_of(const cutting *c, unsigned block, uint64_t hash) {
    return hash >> c->shift[block] & ((UINT64_C(1) << c->bits[block]) - 1);
}

/* Patterns of at most radius of so many bits. */
static double patterns(unsigned bits, int radius) {
    double sum = 0, ways = 1;
    for (int i = 0; i <= radius && i <= (int)bits; i++) {
        sum += ways;
        ways = ways * ((int)bits - i) / (i + 1);
    }
    return sum;
}

static cutting cut_into(unsigned blocks, unsigned distance) {
    cutting c = {.blocks = blocks};
    for (unsigned i = 0, at = 0; i < blocks; at += c.bits[i++]) {
        c.shift[i] = at;
        c.bits[i] = 64 * (i + 1) / blocks - at;
        c.radius[i] = (int)(distance / blocks) - (i > distance % blocks);
    }
    return c;
}

/* The cutting with the fewest steps: values visited and fingerprints compared, for random fingerprints. */
static cutting choose_cutting(size_t count, unsigned distance) {
    cutting best = {0};
    double least = INFINITY;
    for (unsigned blocks = (64 + BLOCK_BITS_MAX - 1) / BLOCK_BITS_MAX; blocks <= BLOCKS_MAX; blocks++) {
        const cutting c = cut_into(blocks, distance);
        double steps = 0;
        for (unsigned i = 0; i < blocks; i++) {
            const double values = ldexp(1, (int)c.bits[i]), n = (double)count;
            steps += patterns(c.bits[i], c.radius[i]) * (values + n * n / values);
        }
        if (steps >= least) continue;
        least = steps;
        best = c;
    }
    return best;
}

/* The fingerprints by their value in a block: those of value v stand at begin[v] to begin[v + 1]. All owned.
 */
typedef struct {
    uint32_t *begin;
    uint64_t *hashes;
    uint32_t *pictures;
} table;

static mq_status take_table(mq_err *err, const mq_phash_plan *plan, const cutting *c, table *t) {
    mq_status status = MQ_OK;
    unsigned bits = 0;
    for (unsigned i = 0; i < c->blocks; i++) bits = c->bits[i] > bits ? c->bits[i] : bits;
    MQ_TRY(mq_calloc(err, ((size_t)1 << bits) + 2, sizeof *t->begin, "fingerprints", &t->begin));
    MQ_TRY(mq_calloc(err, plan->count, sizeof *t->hashes, "fingerprints", &t->hashes));
    MQ_TRY(mq_calloc(err, plan->count, sizeof *t->pictures, "fingerprints", &t->pictures));
cleanup:
    return status;
}

static void free_table(table *t) {
    free(t->begin);
    free(t->hashes);
    free(t->pictures);
}

static uint64_t hash_at(const mq_phash_plan *plan, size_t i, bool mirrored) {
    return mirrored ? plan->hashes[i].mirrored : plan->hashes[i].upright;
}

/* Sorts by counting, so that pictures of one value keep their order. */
static void fill_table(const mq_phash_plan *plan, const cutting *c, unsigned block, bool mirrored, table *t) {
    const size_t values = (size_t)1 << c->bits[block];
    memset(t->begin, 0, (values + 2) * sizeof *t->begin);
    for (size_t i = 0; i < plan->count; i++) t->begin[value_of(c, block, hash_at(plan, i, mirrored)) + 2]++;
    for (size_t v = 2; v < values + 2; v++) t->begin[v] += t->begin[v - 1];
    for (size_t i = 0; i < plan->count; i++) {
        const uint64_t hash = hash_at(plan, i, mirrored);
        const uint32_t at = t->begin[value_of(c, block, hash) + 1]++;
        t->hashes[at] = hash;
        t->pictures[at] = (uint32_t)i;
    }
}

/* The search in one block. */
typedef struct {
    const mq_phash_plan *plan;
    const cutting *cut;
    unsigned block;
    bool mirrored;
    const table *left, *right; /* the same one unless mirrored */
    size_t most;               /* finds kept */
    mq_near_list found[PARTS];
} search;

/* The search from a part of the block's values. */
typedef struct {
    const search *search;
    size_t value; /* present value on the left */
    mq_near_list *found;
    size_t capacity;
} part_search;

/* Whether an earlier block has found the pair already. */
static bool seen_before(const search *s, uint64_t difference) {
    for (unsigned i = 0; i < s->block; i++)
        if (__builtin_popcountll(value_of(s->cut, i, difference)) <= s->cut->radius[i]) return true;
    return false;
}

static mq_status add_pair(mq_err *err, part_search *p, const mq_near *pair) {
    mq_near_list *list = p->found;
    const mq_status status = mq_grow(err, &list->pairs, &p->capacity, list->count + 1, sizeof *list->pairs);
    if (status == MQ_OK) list->pairs[list->count++] = *pair;
    return status;
}

/* Compares all of the present value on the left with all of value w on the right. */
static mq_status compare(mq_err *err, part_search *p, size_t w) {
    mq_status status = MQ_OK;
    const search *s = p->search;
    const table *left = s->left, *right = s->right;
    for (uint32_t i = left->begin[p->value]; i < left->begin[p->value + 1]; i++) {
        const uint64_t hash = left->hashes[i];
        const uint32_t first = !s->mirrored && p->value == w ? i + 1 : right->begin[w];
        for (uint32_t k = first; k < right->begin[w + 1]; k++) {
            const uint64_t difference = hash ^ right->hashes[k];
            const unsigned distance = (unsigned)__builtin_popcountll(difference);
            if (distance > s->plan->distance) continue;
            const uint32_t a = left->pictures[i], b = right->pictures[k];
            /* A picture may resemble its own mirror image. */
            if (a == b || seen_before(s, difference)) continue;
            if (p->found->count > s->most) return MQ_OK;
            const mq_near pair = {a < b ? a : b, a < b ? b : a, (uint8_t)distance, s->mirrored};
            MQ_TRY(add_pair(err, p, &pair));
        }
    }
cleanup:
    return status;
}

/* Visits the values near v: from w on, all that differ from it in at most `left` more bits, below bit
 * `below`. */
static mq_status visit_near(mq_err *err, part_search *p, size_t w, unsigned below, int left) {
    mq_status status = MQ_OK;
    /* Of two different values on one table either may come first: the smaller does. */
    if (p->search->mirrored || p->value <= w) MQ_TRY(compare(err, p, w));
    for (unsigned bit = 0; left > 0 && bit < below; bit++)
        MQ_TRY(visit_near(err, p, w ^ (size_t)1 << bit, bit, left - 1));
cleanup:
    return status;
}

static mq_status search_part(mq_err *err, void *ctx, size_t part, size_t worker) {
    mq_status status = MQ_OK;
    search *s = ctx;
    part_search p = {.search = s, .found = &s->found[part]};
    (void)worker;
    const unsigned bits = s->cut->bits[s->block];
    const size_t values = (size_t)1 << bits, end = values * (part + 1) / PARTS;
    MQ_REQUIRE(!s->plan->stop || !s->plan->stop(s->plan->user), err, MQ_INTERRUPTED, "stopped");
    for (p.value = values * part / PARTS; p.value < end; p.value++)
        if (s->left->begin[p.value] < s->left->begin[p.value + 1])
            MQ_TRY(visit_near(err, &p, p.value, bits, s->cut->radius[s->block]));
cleanup:
    return status;
}

static int by_pictures(const void *a, const void *b) {
    const mq_near *x = a, *y = b;
    if (x->a != y->a) return x->a < y->a ? -1 : 1;
    if (x->b != y->b) return x->b < y->b ? -1 : 1;
    if (x->mirrored != y->mirrored) return x->mirrored - y->mirrored;
    return x->distance - y->distance;
}

/* Sorts the finds and makes one pair of two. A mirror image has a median of its own, so that a picture may be
 * nearer to another's mirror image than that one to its own: the nearer of both ways counts. */
static void merge(mq_near_list *list, size_t most) {
    size_t count = 0;
    if (list->count) qsort(list->pairs, list->count, sizeof *list->pairs, by_pictures);
    for (size_t i = 0; i < list->count; i++) {
        const mq_near *pair = &list->pairs[i], *last = count ? &list->pairs[count - 1] : NULL;
        if (last && last->a == pair->a && last->b == pair->b && last->mirrored == pair->mirrored) continue;
        list->pairs[count++] = *pair;
    }
    list->complete = list->complete && count <= most;
    list->count = count < most ? count : most;
}

/* Moves the parts' pairs behind those of the list, as many as are allowed. */
static mq_status gather(mq_err *err, search *s, size_t *capacity, mq_near_list *list) {
    mq_status status = MQ_OK;
    for (size_t i = 0; i < PARTS; i++) {
        const mq_near_list *part = &s->found[i];
        const size_t room = s->most - list->count, count = part->count < room ? part->count : room;
        MQ_TRY(mq_grow(err, &list->pairs, capacity, list->count + count, sizeof *list->pairs));
        if (count) memcpy(list->pairs + list->count, part->pairs, count * sizeof *list->pairs);
        list->count += count;
        list->complete = list->complete && count == part->count;
    }
cleanup:
    return status;
}

static mq_status search_block(mq_err *err, search *s, size_t *capacity, mq_near_list *list) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_parallel_each(err, (size_t)mq_par_threads(), PARTS, search_part, s));
    MQ_TRY(gather(err, s, capacity, list));
cleanup:
    for (size_t i = 0; i < PARTS; i++) {
        free(s->found[i].pairs);
        s->found[i] = (mq_near_list){0};
    }
    return status;
}

mq_status mq_phash_pairs(mq_err *err, const mq_phash_plan *plan, mq_near_list *list) {
    mq_status status = MQ_OK;
    const cutting cut = choose_cutting(plan->count, plan->distance);
    const unsigned passes = plan->mirrors ? 2 : 1;
    table tables[2] = {{0}};
    size_t capacity = 0;
    *list = (mq_near_list){.complete = true};
    MQ_REQUIRE(plan->size == sizeof *plan && plan->count < UINT32_MAX && plan->distance < 64 &&
                   plan->most <= PAIRS_MAX,
               err, MQ_INTERNAL, "a search for pairs in %zu pictures", plan->count);
    for (unsigned i = 0; i < passes; i++) MQ_TRY(take_table(err, plan, &cut, &tables[i]));
    for (unsigned block = 0; block < cut.blocks; block++)
        for (unsigned pass = 0; pass < passes; pass++) {
            if (cut.radius[block] < 0) continue;
            search s = {.plan = plan, .cut = &cut, .block = block, .mirrored = pass == 1, .left = &tables[0]};
            s.right = &tables[pass];
            s.most = passes * plan->most; /* a mirrored pair is found in both ways */
            fill_table(plan, &cut, block, s.mirrored, &tables[pass]);
            MQ_TRY(search_block(err, &s, &capacity, list));
            if (plan->progress) plan->progress(plan->user, block * passes + pass + 1, cut.blocks * passes);
        }
    merge(list, plan->most);
cleanup:
    for (unsigned i = 0; i < 2; i++) free_table(&tables[i]);
    if (status != MQ_OK) {
        free(list->pairs);
        *list = (mq_near_list){0};
    }
    return status;
}

mq_status mq_phash_narrow(mq_err *err, const mq_phash_plan *plan, size_t few, unsigned least,
                          unsigned *distance) {
    mq_status status = MQ_OK;
    mq_phash *hashes = NULL;
    mq_near_list list = {0};
    const size_t step = mq_ceil_div(plan->count, SAMPLE), count = step ? mq_ceil_div(plan->count, step) : 0;
    mq_phash_plan sample = *plan;
    *distance = plan->distance;
    MQ_TRY(mq_calloc(err, count, sizeof *hashes, "fingerprints", &hashes));
    for (size_t i = 0; i < count; i++) hashes[i] = plan->hashes[i * step];
    sample.hashes = hashes;
    sample.count = count;
    MQ_TRY(mq_phash_pairs(err, &sample, &list));
    for (; *distance > least; (*distance)--) {
        size_t within = 0;
        for (size_t i = 0; i < list.count; i++) within += list.pairs[i].distance <= *distance;
        if ((double)within * (double)step * (double)step <= (double)few) break;
    }
cleanup:
    free(list.pairs);
    free(hashes);
    return status;
}
