/* duplicates.c: groups of copies. Called by scan.c. Owns the forest in which
 * copies are joined, and the candidates. Invariant: a picture is in one group at
 * most, and groups depend on the pictures alone, not on threads. */
#include "curate/duplicates.h"
#include "base/mem.h"
#include "curate/confirm.h"

#include <math.h>
#include <string.h>

/* docs/SCANNING.md says how these were chosen. */
enum {
    NEAR = 12,         /* bits of 64 that candidates may differ in, */
    NEAR_LEAST = 4,    /* down to which they are narrowed where too many look alike */
    ROOM = 16,         /* times more candidates than were foreseen */
    PAIRS_MORE = 1000, /* candidates looked at, beside one for two pictures */
};
static const float ALIKE = 0.94f; /* the least cosine of copies, where fingerprints say little */

bool mq_looks_copied(unsigned searched, unsigned distance, float cosine) {
    if (searched < NEAR) return cosine >= ALIKE;
    return cosine >= (distance <= 4 ? 0.65f : distance <= 6 ? 0.85f : ALIKE);
}

typedef struct {
    const mq_duplicates_plan *plan;
    size_t pictures;
    uint32_t *parent; /* [pictures] of the forest; a root is its own */
    uint32_t *kept;   /* [kept_count] pictures that are compared by their look: the first of each content */
    size_t kept_count;
    mq_near_list pairs;
    float *cosines; /* [pairs.count]; NULL: not computed */
} finder;

mq_split mq_picture_place(const mq_dataset *dataset, size_t picture, size_t *index) {
    mq_split split = MQ_TRAIN;
    for (; split < MQ_TEST && picture >= mq_dataset_count(dataset, split); split++)
        picture -= mq_dataset_count(dataset, split);
    *index = picture;
    return split;
}

static void digest_of(const finder *f, uint32_t picture, uint8_t digest[MQ_SHA256_SIZE]) {
    size_t index;
    const mq_split split = mq_picture_place(f->plan->dataset, picture, &index);
    mq_dataset_sha256(f->plan->dataset, split, index, digest);
}

static uint32_t root_of(const finder *f, uint32_t picture) {
    while (f->parent[picture] != picture) {
        f->parent[picture] = f->parent[f->parent[picture]];
        picture = f->parent[picture];
    }
    return picture;
}

/* The smaller number becomes the root. */
static void join(const finder *f, uint32_t a, uint32_t b) {
    a = root_of(f, a);
    b = root_of(f, b);
    f->parent[a < b ? b : a] = a < b ? a : b;
}

static int compare_digests(const finder *f, uint32_t x, uint32_t y) {
    uint8_t dx[MQ_SHA256_SIZE], dy[MQ_SHA256_SIZE];
    digest_of(f, x, dx);
    digest_of(f, y, dy);
    return memcmp(dx, dy, sizeof dx);
}

/* Several boxes of one file have one digest: they are the same picture only where they look the same. */
static int compare_content(const finder *f, uint32_t x, uint32_t y) {
    const uint64_t hx = f->plan->hashes[x].upright, hy = f->plan->hashes[y].upright;
    const int order = compare_digests(f, x, y);
    return order ? order : (hx > hy) - (hx < hy);
}

static int by_content(const void *a, const void *b, void *user) {
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    const int order = compare_content(user, x, y);
    return order ? order : (x > y) - (x < y);
}

static int by_number(const void *a, const void *b) {
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Joins pictures of one content, and keeps the first of each whose look says something. */
static mq_status join_exact(mq_err *err, finder *f) {
    mq_status status = MQ_OK;
    uint32_t *order = NULL;
    MQ_TRY(mq_calloc(err, f->pictures, sizeof *order, "pictures", &order));
    MQ_TRY(mq_calloc(err, f->pictures, sizeof *f->kept, "pictures", &f->kept));
    for (size_t i = 0; i < f->pictures; i++) order[i] = (uint32_t)i;
    qsort_r(order, f->pictures, sizeof *order, by_content, f);
    for (size_t i = 0; i < f->pictures; i++)
        if (i && compare_content(f, order[i - 1], order[i]) == 0)
            join(f, order[i - 1], order[i]);
        else if (!f->plan->passed[order[i]])
            f->kept[f->kept_count++] = order[i];
    qsort(f->kept, f->kept_count, sizeof *f->kept, by_number);
cleanup:
    free(order);
    return status;
}

/* Each may cost a run of the network. */
static size_t most_pairs(size_t pictures) {
    return pictures / 2 + PAIRS_MORE;
}

static void tell_search(void *user, size_t done, size_t total) {
    const mq_duplicates_plan *plan = user;
    if (plan->progress) plan->progress(plan->user, "blocks of fingerprints compared", done, total, 0);
}

static bool stop_search(void *user) {
    const mq_duplicates_plan *plan = user;
    return plan->stop && plan->stop(plan->user);
}

/* Near fingerprints of the pictures kept, at a distance at which they will not be too many. */
static mq_status search(mq_err *err, const finder *f, unsigned *distance, mq_near_list *list) {
    mq_status status = MQ_OK;
    mq_phash *hashes = NULL;
    const size_t few = most_pairs(f->kept_count);
    mq_duplicates_plan plan = *f->plan; /* the callbacks take what is not const */
    MQ_TRY(mq_calloc(err, f->kept_count, sizeof *hashes, "fingerprints", &hashes));
    for (size_t i = 0; i < f->kept_count; i++) hashes[i] = f->plan->hashes[f->kept[i]];
    mq_phash_plan pairs = {.size = sizeof pairs,
                           .hashes = hashes,
                           .count = f->kept_count,
                           .distance = f->plan->viewer ? NEAR : MQ_PHASH_ALONE,
                           .mirrors = true,
                           .most = ROOM * few,
                           .stop = stop_search,
                           .progress = tell_search,
                           .user = &plan};
    MQ_TRY(mq_phash_narrow(err, &pairs, few, NEAR_LEAST, distance));
    pairs.distance = *distance;
    MQ_TRY(mq_phash_pairs(err, &pairs, list));
cleanup:
    free(hashes);
    return status;
}

/* Pairs of near fingerprints, in the numbers of pictures; boxes of one file are no copies of each other. */
static mq_status find_candidates(mq_err *err, finder *f, mq_duplicates *d) {
    mq_status status = MQ_OK;
    MQ_TRY(search(err, f, &d->distance, &f->pairs));
    size_t count = 0;
    for (size_t i = 0; i < f->pairs.count; i++) {
        mq_near pair = f->pairs.pairs[i];
        pair.a = f->kept[pair.a];
        pair.b = f->kept[pair.b];
        if (compare_digests(f, pair.a, pair.b) != 0) f->pairs.pairs[count++] = pair;
    }
    f->pairs.count = count;
    d->candidates = f->pairs.count;
    d->complete = f->pairs.complete;
cleanup:
    return status;
}

static bool is_copy(const finder *f, const mq_duplicates *d, size_t pair) {
    return !f->cosines || mq_looks_copied(d->distance, f->pairs.pairs[pair].distance, f->cosines[pair]);
}

static int by_root(const void *a, const void *b, void *user) {
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    const uint32_t rx = root_of(user, x), ry = root_of(user, y);
    return rx != ry ? (rx > ry) - (rx < ry) : (x > y) - (x < y);
}

/* The groups' members one group after the other: pictures that share a root with another. */
static mq_status list_members(mq_err *err, finder *f, mq_duplicates *d, size_t *count) {
    mq_status status = MQ_OK;
    uint32_t *sizes = NULL;
    *count = 0;
    MQ_TRY(mq_calloc(err, f->pictures, sizeof *sizes, "groups", &sizes));
    for (size_t i = 0; i < f->pictures; i++) sizes[root_of(f, (uint32_t)i)]++;
    for (size_t i = 0; i < f->pictures; i++)
        if (sizes[root_of(f, (uint32_t)i)] > 1) {
            (*count)++;
            d->count += root_of(f, (uint32_t)i) == i;
        }
    MQ_TRY(mq_calloc(err, *count, sizeof *d->pictures, "groups", &d->pictures));
    for (size_t i = 0, at = 0; i < f->pictures; i++)
        if (sizes[root_of(f, (uint32_t)i)] > 1) d->pictures[at++] = (uint32_t)i;
    if (*count) qsort_r(d->pictures, *count, sizeof *d->pictures, by_root, f);
cleanup:
    free(sizes);
    return status;
}

/* What can be said of a group by its members alone. */
static void describe(const finder *f, mq_duplicate_group *g) {
    uint8_t first[MQ_SHA256_SIZE], digest[MQ_SHA256_SIZE];
    const mq_dataset *dataset = f->plan->dataset;
    size_t index;
    const mq_split split = mq_picture_place(dataset, g->pictures[0], &index);
    const uint32_t label = mq_dataset_label(dataset, split, index);
    digest_of(f, g->pictures[0], first);
    g->exact = true;
    for (size_t i = 1; i < g->count; i++) {
        const mq_split other = mq_picture_place(dataset, g->pictures[i], &index);
        digest_of(f, g->pictures[i], digest);
        g->exact = g->exact && memcmp(first, digest, sizeof first) == 0;
        g->leak = g->leak || other != split;
        g->conflict = g->conflict || mq_dataset_label(dataset, other, index) != label;
    }
    g->confirmed = g->exact || f->cosines;
    g->cosine = NAN;
}

static mq_status make_groups(mq_err *err, finder *f, mq_duplicates *d) {
    mq_status status = MQ_OK;
    size_t members = 0, group = 0;
    uint32_t *group_of = NULL; /* [pictures] by root */
    MQ_TRY(list_members(err, f, d, &members));
    MQ_TRY(mq_calloc(err, d->count, sizeof *d->groups, "groups", &d->groups));
    MQ_TRY(mq_calloc(err, f->pictures, sizeof *group_of, "groups", &group_of));
    for (size_t i = 0; i < members; group++) {
        const uint32_t root = root_of(f, d->pictures[i]);
        mq_duplicate_group *g = &d->groups[group];
        group_of[root] = (uint32_t)group;
        g->pictures = d->pictures + i;
        while (i < members && root_of(f, d->pictures[i]) == root) g->count++, i++;
        describe(f, g);
    }
    for (size_t i = 0; i < f->pairs.count; i++) {
        if (!is_copy(f, d, i)) continue;
        const mq_near *pair = &f->pairs.pairs[i];
        mq_duplicate_group *g = &d->groups[group_of[root_of(f, pair->a)]];
        if (pair->distance > g->distance) g->distance = pair->distance;
        if (f->cosines) g->cosine = fminf(g->cosine, f->cosines[i]); /* fminf passes NAN over */
        g->mirrored = g->mirrored || pair->mirrored;
    }
cleanup:
    free(group_of);
    return status;
}

static int by_weight(const void *a, const void *b) {
    const mq_duplicate_group *x = a, *y = b;
    if (x->leak != y->leak) return y->leak - x->leak;
    if (x->conflict != y->conflict) return y->conflict - x->conflict;
    if (x->count != y->count) return x->count < y->count ? 1 : -1;
    return x->pictures[0] < y->pictures[0] ? -1 : 1;
}

static mq_status find(mq_err *err, finder *f, mq_duplicates *d) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_calloc(err, f->pictures, sizeof *f->parent, "pictures", &f->parent));
    for (size_t i = 0; i < f->pictures; i++) f->parent[i] = (uint32_t)i;
    MQ_TRY(join_exact(err, f));
    MQ_TRY(find_candidates(err, f, d));
    if (f->plan->viewer && f->pairs.count) {
        MQ_TRY(mq_calloc(err, f->pairs.count, sizeof *f->cosines, "candidates", &f->cosines));
        MQ_TRY(mq_confirm_pairs(err, f->plan, f->pairs.pairs, f->pairs.count, f->cosines));
    }
    for (size_t i = 0; i < f->pairs.count; i++) {
        if (is_copy(f, d, i))
            join(f, f->pairs.pairs[i].a, f->pairs.pairs[i].b);
        else
            d->refused++;
    }
    MQ_TRY(make_groups(err, f, d));
    if (d->count) qsort(d->groups, d->count, sizeof *d->groups, by_weight);
cleanup:
    return status;
}

mq_status mq_duplicates_find(mq_err *err, const mq_duplicates_plan *plan, mq_duplicates *duplicates) {
    mq_status status = MQ_OK;
    finder f = {.plan = plan};
    *duplicates = (mq_duplicates){0};
    MQ_REQUIRE(plan->size == sizeof *plan, err, MQ_INTERNAL, "a plan of %zu bytes", plan->size);
    for (mq_split split = MQ_TRAIN; split < MQ_SPLITS; split++)
        f.pictures += mq_dataset_count(plan->dataset, split);
    MQ_TRY(find(err, &f, duplicates));
cleanup:
    if (status != MQ_OK) mq_duplicates_free(duplicates);
    free(f.parent);
    free(f.kept);
    free(f.pairs.pairs);
    free(f.cosines);
    return status;
}

void mq_duplicates_free(mq_duplicates *duplicates) {
    free(duplicates->groups);
    free(duplicates->pictures);
    *duplicates = (mq_duplicates){0};
}
