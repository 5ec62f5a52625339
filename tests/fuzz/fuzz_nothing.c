/* fuzz_nothing.c: breaks on one input, so that fuzz.py can show that it sees what breaks. */
#include "fuzz/fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_require(size != 5 || memcmp(data, "break", 5) != 0, "as it is meant to");
    return 0;
}
