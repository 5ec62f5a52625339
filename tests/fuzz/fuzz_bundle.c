/* fuzz_bundle.c: .safetensors, the first and last byte of every tensor, and the same from a file that is
 * opened lightly. */
#include "fuzz/fuzz.h"

#include "net/bundle.h"

#include <string.h>

/* The bundle's tensors, or none if it is NULL, are those of a file with the same bytes. */
static void compare(const uint8_t *data, size_t size, const mq_bundle *whole) {
    mq_err err = {0};
    mq_bundle *bundle = NULL;
    fuzz_file file = fuzz_file_open(data, size);
    const bool good = fuzz_judge(mq_bundle_open_lightly(&err, file.path, &bundle), &err);
    fuzz_require(good == (whole != NULL), "a bundle that only one of both ways reads");
    for (size_t i = 0; good && i < mq_bundle_count(bundle); i++) {
        const mq_tensor *a = mq_bundle_at(whole, i), *b = mq_bundle_at(bundle, i);
        const void *numbers = NULL;
        void *room = malloc(b->bytes + 1);
        fuzz_require(room && a->bytes == b->bytes && strcmp(a->name, b->name) == 0, "another tensor");
        fuzz_require(mq_bundle_numbers(&err, bundle, b, room, &numbers) == MQ_OK,
                     "numbers that are not there");
        fuzz_require((uintptr_t)numbers % mq_dtype_size(b->dtype) == 0, "numbers between two places");
        fuzz_require(!a->bytes || memcmp(a->data, numbers, a->bytes) == 0, "other numbers");
        free(room);
    }
    mq_bundle_free(&bundle);
    fuzz_file_close(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mq_err err = {0};
    mq_bundle *bundle = NULL;
    if (fuzz_judge(mq_bundle_parse(&err, "a", data, size, &bundle), &err)) {
        for (size_t i = 0; i < mq_bundle_count(bundle); i++) {
            const mq_tensor *t = mq_bundle_at(bundle, i);
            const uint8_t *bytes = t->data;
            fuzz_require(t->bytes <= size, "a tensor larger than its file");
            if (t->bytes) fuzz_require(bytes[0] + bytes[t->bytes - 1] <= 2 * UINT8_MAX, "");
            fuzz_require(mq_bundle_find(bundle, t->name) != NULL, "a tensor that its name does not find");
        }
    }
    compare(data, size, bundle);
    mq_bundle_free(&bundle);
    return 0;
}
