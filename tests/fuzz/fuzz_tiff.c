/* fuzz_tiff.c: TIFF, of any byte order and packing that libtiff knows. */
#include "fuzz/foreign.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    return fuzz_foreign(&mq_reader_tiff, data, size);
}
