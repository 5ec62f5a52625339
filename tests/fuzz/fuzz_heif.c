/* fuzz_heif.c: HEIC and AVIF. */
#include "fuzz/foreign.h"

/* libheif 1.15 forgets the piece of data that dav1d refuses; marque-pictures ends with its picture. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libdav1d\n";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    return fuzz_foreign(&mq_reader_heif, data, size);
}
