/* fuzz_exif.c: a block of EXIF, with and without its "Exif" in front. */
#include "fuzz/fuzz.h"

#include "data/exif.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const int orientation = mq_exif_orientation(data, size);
    fuzz_require(orientation >= 1 && orientation <= 8, "an orientation that is none");
    return 0;
}
