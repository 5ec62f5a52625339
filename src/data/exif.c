/* exif.c: finds the orientation in a block of EXIF. Called by the decoders.
 * Invariant: only the first directory is read, once, front to back: there is
 * no offset to follow in circles, and none is used before it is checked. */
#include "data/exif.h"

#include <stdbool.h>
#include <string.h>

enum { TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3, TYPE_LONG = 4, ENTRY = 12 };

static uint32_t read_u16(const uint8_t *p, bool big) {
    return big ? (uint32_t)p[0] << 8 | p[1] : (uint32_t)p[1] << 8 | p[0];
}

static uint32_t read_u32(const uint8_t *p, bool big) {
    return big ? read_u16(p, big) << 16 | read_u16(p + 2, big)
               : read_u16(p + 2, big) << 16 | read_u16(p, big);
}

/* The value of a directory entry when it is one valid orientation, else 1. */
static int entry_orientation(const uint8_t *entry, bool big) {
    const uint32_t type = read_u16(entry + 2, big), count = read_u32(entry + 4, big);
    if (count != 1 || (type != TYPE_SHORT && type != TYPE_LONG)) return 1;
    const uint32_t value = type == TYPE_SHORT ? read_u16(entry + 8, big) : read_u32(entry + 8, big);
    return value >= 1 && value <= 8 ? (int)value : 1;
}

int mq_exif_orientation(const uint8_t *block, size_t size) {
    if (size >= 6 && memcmp(block, "Exif\0\0", 6) == 0) block += 6, size -= 6;
    if (size < 8) return 1;
    const bool big = memcmp(block, "MM\0*", 4) == 0;
    if (!big && memcmp(block, "II*\0", 4) != 0) return 1;
    const size_t directory = read_u32(block + 4, big);
    if (directory > size - 2) return 1;
    const size_t entries = read_u16(block + directory, big);
    for (size_t i = 0, at = directory + 2; i < entries && at + ENTRY <= size; i++, at += ENTRY)
        if (read_u16(block + at, big) == TAG_ORIENTATION) return entry_orientation(block + at, big);
    return 1;
}
