/* fuzz_csv.c: lists of comma-separated values, every field of every row. */
#include "fuzz/fuzz.h"

#include "base/csv.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mq_err err = {0};
    mq_csv *csv = NULL;
    int path = MQ_CSV_NONE;
    size_t line = 0, chars = 0;
    fuzz_file file = fuzz_file_open(data, size);
    if (!fuzz_judge(mq_csv_open(&err, file.path, &csv), &err)) goto end;
    if (!fuzz_judge(mq_csv_need(&err, csv, "path", &path), &err)) goto end;
    for (bool more = true;;) {
        if (!fuzz_judge(mq_csv_next(&err, csv, &more), &err) || !more) break;
        fuzz_require(mq_csv_line(csv) > line, "rows whose lines do not rise");
        line = mq_csv_line(csv);
        chars += strlen(mq_csv_get(csv, path));
    }
    fuzz_require(chars <= size, "more text than the file has");
end:
    mq_csv_free(&csv);
    fuzz_file_close(&file);
    return 0;
}
