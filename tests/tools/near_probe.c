/* near_probe.c: shows fingerprints and near pairs of a data set, for comparison with others and for the
 * choice of bounds.
 *
 *   near_probe hashes DATA                 "NAME UPRIGHT MIRRORED" a line, fingerprints in hex
 *   near_probe pairs DATA BITS [WEIGHTS]   "NAME NAME DISTANCE MIRRORED COSINE" a line; without WEIGHTS 0
 *   near_probe search COUNT BITS           seconds and pairs of a search in random fingerprints */
#include "base/clock.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "curate/confirm.h"
#include "curate/look.h"

#include <stdio.h>
#include <string.h>

enum { RECORD_MAX = 1 << 30, PAIRS_MOST = 1 << 24 };

/* Every picture of a data set by its number. */
typedef struct {
    mq_dataset *dataset;
    mq_recipe recipe;
    size_t count;
    char **names;
    mq_phash *hashes;
} pictures;

static mq_status look(mq_err *err, pictures *p) {
    mq_status status = MQ_OK;
    mq_buf record = mq_buf_init(RECORD_MAX);
    mq_look *look = NULL;
    mq_sample sample;
    MQ_TRY(mq_calloc(err, 1, sizeof *look, "a look", &look));
    MQ_TRY(mq_calloc(err, p->count, sizeof *p->names, "names", &p->names));
    MQ_TRY(mq_calloc(err, p->count, sizeof *p->hashes, "fingerprints", &p->hashes));
    for (size_t i = 0; i < p->count; i++) {
        size_t index;
        const mq_split split = mq_picture_place(p->dataset, i, &index);
        MQ_TRY(mq_dataset_read(err, p->dataset, split, index, &record, &sample));
        MQ_TRY(mq_strdup(err, sample.name, &p->names[i]));
        MQ_TRY(mq_look_at(err, &p->recipe, &sample, look));
        p->hashes[i] = mq_phash_of(look->luma, MQ_LOOK_SIDE);
    }
cleanup:
    free(look);
    mq_buf_free(&record);
    return status;
}

static mq_status show_pairs(mq_err *err, const pictures *p, unsigned bits, const char *weights) {
    mq_status status = MQ_OK;
    mq_bundle *bundle = NULL;
    mq_viewer *viewer = NULL;
    mq_near_list list = {0};
    float *cosines = NULL;
    const mq_phash_plan search = {.size = sizeof search,
                                  .hashes = p->hashes,
                                  .count = p->count,
                                  .distance = bits,
                                  .mirrors = true,
                                  .most = PAIRS_MOST};
    MQ_TRY(mq_phash_pairs(err, &search, &list));
    MQ_TRY(mq_calloc(err, list.count, sizeof *cosines, "cosines", &cosines));
    if (weights) {
        MQ_TRY(mq_bundle_open(err, weights, &bundle));
        const mq_viewer_plan view = {sizeof view, mq_arch_find("xception"), bundle,
                                     &p->recipe,  mq_dtype_auto(),          2};
        MQ_TRY(mq_viewer_open(err, &view, &viewer));
        const mq_duplicates_plan plan = {.size = sizeof plan, .dataset = p->dataset, .viewer = viewer};
        MQ_TRY(mq_confirm_pairs(err, &plan, list.pairs, list.count, cosines));
    }
    for (size_t i = 0; i < list.count; i++)
        printf("%s %s %u %d %.5f\n", p->names[list.pairs[i].a], p->names[list.pairs[i].b],
               list.pairs[i].distance, list.pairs[i].mirrored, (double)cosines[i]);
cleanup:
    free(cosines);
    free(list.pairs);
    mq_viewer_free(&viewer);
    mq_bundle_free(&bundle);
    return status;
}

static mq_status show(mq_err *err, char **args, int count) {
    mq_status status = MQ_OK;
    pictures p = {0};
    const mq_arch *arch = mq_arch_find("xception");
    MQ_TRY(mq_dataset_open(err, args[1], &p.dataset));
    p.recipe = mq_recipe_default(arch->imgsz, arch->range);
    mq_dataset_recipe(p.dataset, &p.recipe);
    for (mq_split split = MQ_TRAIN; split < MQ_SPLITS; split++) p.count += mq_dataset_count(p.dataset, split);
    MQ_TRY(look(err, &p));
    if (strcmp(args[0], "pairs") == 0 && count > 2) {
        MQ_TRY(show_pairs(err, &p, (unsigned)atoi(args[2]), count > 3 ? args[3] : NULL));
    } else {
        for (size_t i = 0; i < p.count; i++)
            printf("%s %016llx %016llx\n", p.names[i], (unsigned long long)p.hashes[i].upright,
                   (unsigned long long)p.hashes[i].mirrored);
    }
cleanup:
    for (size_t i = 0; p.names && i < p.count; i++) free(p.names[i]);
    free(p.names);
    free(p.hashes);
    mq_dataset_free(&p.dataset);
    return status;
}

/* Every thousandth fingerprint is a near copy of the one before. */
static mq_status time_search(mq_err *err, size_t count, unsigned bits) {
    mq_status status = MQ_OK;
    mq_phash *hashes = NULL;
    mq_near_list list = {0};
    MQ_TRY(mq_calloc(err, count, sizeof *hashes, "fingerprints", &hashes));
    for (size_t i = 0; i < count; i++)
        for (uint32_t half = 0; half < 2; half++) {
            hashes[i].upright = hashes[i].upright << 32 | mq_rng_u32(1, MQ_RNG_TEST, half, i);
            hashes[i].mirrored = hashes[i].mirrored << 32 | mq_rng_u32(1, MQ_RNG_TEST, 2 + half, i);
        }
    for (size_t i = 1000; i < count; i += 1000)
        hashes[i].upright = hashes[i - 1].upright ^ ((UINT64_C(1) << i % bits) - 1) << i % 50;
    const mq_phash_plan search = {.size = sizeof search,
                                  .hashes = hashes,
                                  .count = count,
                                  .distance = bits,
                                  .mirrors = true,
                                  .most = PAIRS_MOST};
    const double start = mq_seconds();
    MQ_TRY(mq_phash_pairs(err, &search, &list));
    size_t planted = 0;
    for (size_t i = 0; i < list.count; i++)
        planted += !list.pairs[i].mirrored && list.pairs[i].b == list.pairs[i].a + 1 &&
                   list.pairs[i].b % 1000 == 0;
    printf("%zu fingerprints, %u bits: %.2f s, %zu pairs, %zu of %zu planted\n", count, bits,
           mq_seconds() - start, list.count, planted, (count - 1) / 1000);
cleanup:
    free(list.pairs);
    free(hashes);
    return status;
}

int main(int argc, char **argv) {
    mq_err err = {0};
    mq_status status = MQ_USAGE;
    if (argc > 3 && strcmp(argv[1], "search") == 0)
        status = time_search(&err, (size_t)atoll(argv[2]), (unsigned)atoi(argv[3]));
    else if (argc > 2)
        status = show(&err, argv + 1, argc - 1);
    if (status != MQ_OK) fprintf(stderr, "near_probe: %s\n", err.text[0] ? err.text : "see near_probe.c");
    return (int)status;
}
