/* fuzz_heif.c: HEIC and AVIF. */
#include "fuzz/foreign.h"

/* libheif 1.15 forgets the piece of data that dav1d refuses; marque-pictures ends with its picture. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) {
    return "leak:libdav1d\n";
}

static uint32_t big_endian(const uint8_t *b, size_t bytes) {
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; i++) value = value << 8 | b[i];
    return value;
}

/* Whether a picture is made of one that is itself made of others. If that goes in a circle, libheif 1.15
 * follows it until its stack ends (its issue 590), and with it marque-pictures: tests/cli has such a file.
 * References "dimg" in an "iref" (ISO/IEC 14496-12, 8.11.12): from, their count, to; ids of 2 bytes or, in
 * version 1, of 4. */
static bool nests(const uint8_t *data, size_t size) {
    static bool made[1 << 16], part[1 << 16]; /* by the lower 16 bits of an id */
    memset(made, 0, sizeof made);
    memset(part, 0, sizeof part);
    size_t id = 2;
    for (size_t at = 4; at + 13 <= size; at++) {
        const bool long_size = big_endian(data + at - 4, 4) == 1; /* 8 bytes of it follow the name */
        const uint8_t *body = data + at + (long_size ? 12 : 4), *end = data + size;
        if (memcmp(data + at, "iref", 4) == 0) id = *body ? 4 : 2;
        if (memcmp(data + at, "dimg", 4) != 0 || (size_t)(end - body) < id + 2) continue;
        made[big_endian(body, id) & 0xffff] = true;
        uint32_t count = big_endian(body + id, 2);
        for (body += id + 2; count-- && (size_t)(end - body) >= id; body += id)
            part[big_endian(body, id) & 0xffff] = true;
    }
    for (size_t i = 0; i < sizeof made; i++)
        if (made[i] && part[i]) return true;
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (nests(data, size)) return -1;
    return fuzz_foreign(&mq_reader_heif, data, size);
}
