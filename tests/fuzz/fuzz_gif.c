/* fuzz_gif.c: GIF, the first picture of it. */
#include "fuzz/foreign.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    return fuzz_foreign(&mq_reader_gif, data, size);
}
