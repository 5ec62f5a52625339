/* heaps.c: HDF5's global heaps, where texts of any length lie. Called by h5.c
 * before HDF5 sees an image, because HDF5 1.10 believes what stands in them: a
 * size too large leads it out of its memory, a size of 0 round for ever.
 * Invariant: afterwards every heap in the image can be walked to its end, and
 * holds no object that is larger than what HDF5 copies objects into. */
#include "convert/heaps.h"

#include <string.h>

enum {
    HEAP_HEADER = 16,   /* "GCOL", version 1, three zeros, u64 size of the whole */
    OBJECT_HEADER = 16, /* u16 index, u16 references, u32 zero, u64 size of what follows */
    COPY_BYTES = 4096,  /* HDF5's buffer, however short a reference says that its text is */
};

/* No more than HDF5 compares: it reads a heap with anything in place of the three zeros. */
static const uint8_t magic[5] = {'G', 'C', 'O', 'L', 1};
static const uint8_t signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1A, '\n'};

static uint64_t read_u64(const uint8_t *p) {
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--) value = value << 8 | p[i];
    return value;
}

/* Walks one heap of size bytes; false when it cannot be. Large objects become free space: no name is so long.
 */
static bool guard_heap(uint8_t *heap, size_t size) {
    size_t at = HEAP_HEADER;
    while (size - at >= OBJECT_HEADER) {
        uint8_t *object = heap + at;
        const uint64_t bytes = read_u64(object + 8);
        const bool is_free = object[0] == 0 && object[1] == 0; /* its size counts the header too */
        if (bytes > size - at) return false;
        const size_t taken = is_free ? bytes : OBJECT_HEADER + ((bytes + 7) & ~UINT64_C(7));
        if (taken < OBJECT_HEADER || taken > size - at) return false;
        if (!is_free && bytes > COPY_BYTES) {
            const uint64_t all = taken;
            memset(object, 0, OBJECT_HEADER);
            for (int i = 0; i < 8; i++) object[8 + i] = (uint8_t)(all >> 8 * i);
        }
        at += taken;
    }
    return true;
}

/* HDF5 lets a file choose how wide its numbers are, and begin behind a block of the user's; nobody chooses
 * other than 8 bytes, and none. */
static bool begins_usually(const uint8_t *image, size_t size) {
    if (size < HEAP_HEADER || memcmp(image, signature, sizeof signature) != 0) return false;
    const uint8_t *widths = image + (image[8] < 2 ? 13 : 9); /* by the version of the superblock */
    return widths[0] == 8 && widths[1] == 8;
}

mq_status mq_guard_heaps(mq_err *err, const char *what, uint8_t *image, size_t size) {
    bool sound = begins_usually(image, size);
    for (uint8_t *at = image; sound; at += sizeof magic) { /* what lies in a heap may be taken for another */
        at = memmem(at, size - (size_t)(at - image), magic, sizeof magic);
        if (!at) return MQ_OK;
        const size_t left = size - (size_t)(at - image);
        const uint64_t all = left >= HEAP_HEADER ? read_u64(at + 8) : 0;
        sound = all >= HEAP_HEADER && all <= left && guard_heap(at, all);
    }
    return mq_fail(err, MQ_BAD_DATA, "%s: not a readable HDF5 file; it is cut or damaged", what);
}
