/* fuzz_mat.c: MATLAB files, read and walked through as the importer of Stanford Cars does. */
#include "fuzz/fuzz.h"

#include "data/mat.h"

#include <string.h>

enum { WALK = 1000 };

static void walk(const mq_mat_value *value) {
    static const char *const fields[] = {"bbox_x1", "bbox_y2", "class", "fname", "relative_im_path", "test"};
    const size_t count = mq_mat_count(value) < WALK ? mq_mat_count(value) : WALK;
    for (size_t i = 0; i <= count; i++) {
        double number = 0;
        const char *text = mq_mat_text(mq_mat_cell(value, i));
        fuzz_require(!text || strlen(text) < SIZE_MAX, "a text without end");
        for (size_t k = 0; k < sizeof fields / sizeof *fields; k++) {
            const mq_mat_value *field = mq_mat_field(value, i, fields[k]);
            (void)mq_mat_number(field, 0, &number);
            text = mq_mat_text(field);
            fuzz_require(!text || strlen(text) < SIZE_MAX, "a text without end");
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mq_err err = {0};
    mq_mat *mat = NULL;
    fuzz_file file = fuzz_file_open(data, size);
    if (fuzz_judge(mq_mat_open(&err, file.path, &mat), &err)) {
        const mq_mat_value *annotations = mq_mat_get(mat, "annotations"),
                           *names = mq_mat_get(mat, "class_names");
        if (annotations) walk(annotations);
        if (names) walk(names);
    }
    mq_mat_free(&mat);
    fuzz_file_close(&file);
    return 0;
}
