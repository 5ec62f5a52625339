/* folds.c: reads back which fold each training picture lies in. Called by training. Owns split.csv while it
 * reads. Invariant: every training picture has a fold, or there are none. */
#include "data/folds.h"
#include "base/csv.h"
#include "base/file.h"
#include "base/mem.h"

#include <string.h>

/* A row of split.csv. */
typedef struct {
    const char *sha256; /* borrowed from the CSV */
    uint32_t fold;
} fold_row;

static int compare_rows(const void *a, const void *b) {
    return strcmp(((const fold_row *)a)->sha256, ((const fold_row *)b)->sha256);
}

/* The rows that have a fold, sorted; *rows is the caller's. */
static mq_status read_rows(mq_err *err, mq_csv *csv, const char *path, fold_row **rows, size_t *count) {
    mq_status status = MQ_OK;
    size_t capacity = 0;
    int sha256 = 0;
    const int fold = mq_csv_column(csv, "fold");
    MQ_TRY(mq_csv_need(err, csv, "sha256", &sha256));
    for (bool more = fold != MQ_CSV_NONE; more;) {
        MQ_TRY(mq_csv_next(err, csv, &more));
        if (!more || !*mq_csv_get(csv, fold)) continue;
        const unsigned long number = strtoul(mq_csv_get(csv, fold), NULL, 10);
        MQ_REQUIRE(number >= 1 && number <= MQ_FOLDS_MAX, err, MQ_BAD_DATA, "%s:%zu: no fold from 1 to %d",
                   path, mq_csv_line(csv), MQ_FOLDS_MAX);
        MQ_TRY(mq_grow(err, rows, &capacity, *count + 1, sizeof **rows));
        (*rows)[(*count)++] = (fold_row){mq_csv_get(csv, sha256), (uint32_t)number};
    }
    if (*count) qsort(*rows, *count, sizeof **rows, compare_rows);
cleanup:
    return status;
}

mq_status mq_folds_read(mq_err *err, const mq_dataset *dataset, uint32_t **folds, uint32_t *count) {
    mq_status status = MQ_OK;
    const size_t pictures = mq_dataset_count(dataset, MQ_TRAIN);
    char *path = NULL, hex[MQ_HEX_SIZE];
    mq_csv *csv = NULL;
    fold_row *rows = NULL;
    size_t row_count = 0;
    uint32_t *list = NULL;
    *count = 0;
    MQ_TRY(mq_path_join(err, mq_dataset_folder(dataset), "split.csv", &path));
    MQ_TRY(mq_csv_open(err, path, &csv));
    MQ_TRY(read_rows(err, csv, path, &rows, &row_count));
    MQ_REQUIRE(row_count, err, MQ_USAGE, "%s has no folds; import it with --folds 5, say",
               mq_dataset_folder(dataset));
    MQ_TRY(mq_calloc(err, pictures, sizeof *list, "folds", &list));
    for (size_t i = 0; i < pictures; i++) {
        uint8_t digest[MQ_SHA256_SIZE];
        mq_dataset_sha256(dataset, MQ_TRAIN, i, digest);
        mq_hex(digest, sizeof digest, hex);
        const fold_row *row = bsearch(&(fold_row){.sha256 = hex}, rows, row_count, sizeof *rows,
                                      compare_rows);
        MQ_REQUIRE(row, err, MQ_BAD_DATA, "%s: a training picture has no fold there (%s); import it again",
                   path, hex);
        list[i] = row->fold;
        if (row->fold > *count) *count = row->fold;
    }
    *folds = list;
    list = NULL;
cleanup:
    mq_csv_free(&csv);
    free(rows);
    free(list);
    free(path);
    return status;
}
