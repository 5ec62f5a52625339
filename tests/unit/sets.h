/* sets.h: small data sets that a test imports: FOLDER/pictures, which the test makes, becomes FOLDER/set. */
#ifndef MQ_UNIT_SETS_H
#define MQ_UNIT_SETS_H

#include "unit/pixels.h"

#include "data/encode.h"
#include "data/import.h"

#include <unistd.h>

/* Noise of width x height as a PNG. */
static inline void write_noise(const char *path, uint32_t width, uint32_t height, uint32_t seed) {
    mq_err err = {0};
    mq_buf file = mq_buf_init(1 << 24);
    mq_pixels pixels = noise(width, height, seed);
    assert_ok(err, mq_png_encode(&err, mq_view_of(&pixels), &file));
    assert_ok(err, mq_file_write(&err, path, file.data, file.size));
    mq_buf_free(&file);
    free(pixels.rgb);
}

/* The data set of the pictures, split and cut into shards as how says; the caller's, for remove_set. */
static inline mq_dataset *import_set(const char *folder, mq_import_plan how) {
    mq_err err = {0};
    mq_import_report report = {0};
    mq_dataset *dataset = NULL;
    char source[256], output[256];
    snprintf(source, sizeof source, "%s/pictures", folder);
    snprintf(output, sizeof output, "%s/set", folder);
    how.size = sizeof how, how.source = source, how.output = output;
    how.seed = 123, how.workers = 2;
    assert_ok(err, mq_import(&err, &how, &report));
    mq_import_report_free(&report);
    assert_ok(err, mq_dataset_open(&err, output, &dataset));
    return dataset;
}

static inline void remove_set(const char *folder, mq_dataset **dataset) {
    mq_err err = {0};
    mq_dataset_free(dataset);
    assert_ok(err, mq_remove_folder(&err, folder));
}

#endif
