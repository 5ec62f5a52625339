/* uneven.h: a small data set whose classes have very different numbers of pictures. */
#ifndef MQ_UNIT_UNEVEN_H
#define MQ_UNIT_UNEVEN_H

#include "unit/pixels.h"

#include "data/encode.h"
#include "data/import.h"

#include <unistd.h>

enum { UNEVEN_CLASSES = 4 };

static const size_t UNEVEN_COUNTS[UNEVEN_CLASSES] = {41, 4, 13, 2};

typedef struct {
    char folder[64]; /* made for one test, with pictures/ and set/ below */
    mq_dataset *dataset;
    uint32_t *subset; /* [count] all of the training part */
    size_t count;
} uneven;

static void write_picture(const char *path, uint32_t seed) {
    mq_err err = {0};
    mq_buf file = mq_buf_init(1 << 20);
    mq_pixels pixels = noise(9 + seed % 7, 8, seed);
    assert_ok(err, mq_png_encode(&err, mq_view_of(&pixels), &file));
    assert_ok(err, mq_file_write(&err, path, file.data, file.size));
    mq_buf_free(&file);
    free(pixels.rgb);
}

static int make_uneven(void **state) {
    mq_err err = {0};
    uneven *u = NULL;
    char source[128], output[128], path[256];
    assert_ok(err, mq_calloc(&err, 1, sizeof *u, "a fixture", &u));
    /* Runs write models of 84 MB; in memory that costs nothing. */
    const char *place = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(u->folder, sizeof u->folder, "%s/marque-uneven-XXXXXX", place);
    assert_non_null(mkdtemp(u->folder));
    snprintf(source, sizeof source, "%s/pictures", u->folder);
    snprintf(output, sizeof output, "%s/set", u->folder);
    for (size_t c = 0; c < UNEVEN_CLASSES; c++) {
        snprintf(path, sizeof path, "%s/class %zu", source, c);
        assert_ok(err, mq_make_folder(&err, path));
        for (size_t i = 0; i < UNEVEN_COUNTS[c]; i++) {
            snprintf(path, sizeof path, "%s/class %zu/%zu.png", source, c, i);
            write_picture(path, (uint32_t)(100 * c + i + 1));
        }
    }
    const mq_import_plan plan = {.size = sizeof plan,
                                 .source = source,
                                 .output = output,
                                 .test = 0.1,
                                 .val = 0.1,
                                 .seed = 123,
                                 .shard_mb = 110,
                                 .workers = 2};
    mq_import_report report = {0};
    assert_ok(err, mq_import(&err, &plan, &report));
    mq_import_report_free(&report);
    assert_ok(err, mq_dataset_open(&err, output, &u->dataset));
    u->count = mq_dataset_count(u->dataset, MQ_TRAIN);
    assert_ok(err, mq_calloc(&err, u->count, sizeof *u->subset, "a list", &u->subset));
    for (size_t i = 0; i < u->count; i++) u->subset[i] = (uint32_t)i;
    *state = u;
    return 0;
}

static int remove_uneven(void **state) {
    mq_err err = {0};
    uneven *u = *state;
    mq_dataset_free(&u->dataset);
    assert_ok(err, mq_remove_folder(&err, u->folder));
    free(u->subset);
    free(u);
    return 0;
}

#endif
