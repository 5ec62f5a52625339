/* fuzz_dataset.c: a dataset.json from outside, read as an update reads it and opened as a data set: its
 * indexes are not there, so opening ends where they are wanted. */
#include "fuzz/arena.h"

#include "data/dataset.h"
#include "data/import_settings.h"

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    make_arena();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mq_err err = {0};
    mq_import_settings settings;
    mq_dataset *dataset = NULL;
    char path[sizeof arena + 16];
    snprintf(path, sizeof path, "%s/dataset.json", arena);
    FILE *file = fopen(path, "wb");
    fuzz_require(file && fwrite(data, 1, size, file) == size && fclose(file) == 0, "no file to read");
    if (fuzz_judge(mq_import_settings_load(&err, path, &settings), &err))
        fuzz_require(settings.test >= 0 && settings.test < 1 && settings.val >= 0 && settings.val < 1 &&
                         settings.margin >= 0 && settings.margin <= 10 && settings.folds <= MQ_FOLDS_MAX &&
                         settings.presize <= MQ_PRESIZE_MAX,
                     "a setting that no import takes");
    mq_import_settings_free(&settings);
    err = (mq_err){0};
    if (mq_dataset_open(&err, arena, &dataset) != MQ_NO_INPUT) {
        fuzz_judge(err.code, &err);
        fuzz_require(!dataset, "a data set without indexes");
    }
    return 0;
}
