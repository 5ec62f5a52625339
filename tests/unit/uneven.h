/* uneven.h: a small data set whose classes have very different numbers of pictures. */
#ifndef MQ_UNIT_UNEVEN_H
#define MQ_UNIT_UNEVEN_H

#include "unit/sets.h"
#include "unit/temporary.h"

enum { UNEVEN_CLASSES = 4 };

static const size_t UNEVEN_COUNTS[UNEVEN_CLASSES] = {41, 4, 13, 2};

typedef struct {
    char folder[PLACE]; /* made for one test, with pictures/ and set/ below */
    mq_dataset *dataset;
    uint32_t *subset; /* [count] all of the training part */
    size_t count;
} uneven;

static int make_uneven(void **state) {
    mq_err err = {0};
    uneven *u = NULL;
    char path[256];
    assert_ok(err, mq_calloc(&err, 1, sizeof *u, "a fixture", &u));
    assert_true(temporary_folder(u->folder));
    for (size_t c = 0; c < UNEVEN_CLASSES; c++) {
        snprintf(path, sizeof path, "%s/pictures/class %zu", u->folder, c);
        assert_ok(err, mq_make_folder(&err, path));
        for (size_t i = 0; i < UNEVEN_COUNTS[c]; i++) {
            const uint32_t seed = (uint32_t)(100 * c + i + 1);
            snprintf(path, sizeof path, "%s/pictures/class %zu/%zu.png", u->folder, c, i);
            write_noise(path, 9 + seed % 7, 8, seed);
        }
    }
    u->dataset = import_set(u->folder, (mq_import_plan){.test = 0.1, .val = 0.1, .shard_mb = 110});
    u->count = mq_dataset_count(u->dataset, MQ_TRAIN);
    assert_ok(err, mq_calloc(&err, u->count, sizeof *u->subset, "a list", &u->subset));
    for (size_t i = 0; i < u->count; i++) u->subset[i] = (uint32_t)i;
    *state = u;
    return 0;
}

static int remove_uneven(void **state) {
    uneven *u = *state;
    remove_set(u->folder, &u->dataset);
    free(u->subset);
    free(u);
    return 0;
}

#endif
