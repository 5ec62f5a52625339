/* fuzz_bundle.c: .safetensors, and the first and last byte of every tensor. */
#include "fuzz/fuzz.h"

#include "net/bundle.h"

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
    mq_bundle_free(&bundle);
    return 0;
}
