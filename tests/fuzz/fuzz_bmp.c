/* fuzz_bmp.c: BMP. */
#include "fuzz/foreign.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    return fuzz_foreign(&mq_reader_bmp, data, size);
}
