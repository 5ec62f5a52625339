/* mem.c: allocations of variable size that are no text. Owns nothing.
 * Invariant: a size that does not fit in size_t is "no memory", never a small block. */
#include "base/mem.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* From LARGE bytes on memory comes in pages of HUGE bytes where the system has them: fewer faults and
 * look-ups. */
enum { HUGE = 2 << 20, LARGE = 2 * HUGE };

static mq_status no_memory(mq_err *err, size_t count, size_t size, const char *what) {
    return mq_fail(err, MQ_NO_MEMORY, "no memory for %s (%.1f MB)", what, (double)count * (double)size / 1e6);
}

mq_status mq_calloc(mq_err *err, size_t count, size_t size, const char *what, void *memory) {
    void *p = calloc(count ? count : 1, size ? size : 1); /* calloc checks the product */
    if (!p) return no_memory(err, count, size, what);
    memcpy(memory, &p, sizeof p);
    return MQ_OK;
}

mq_status mq_alloc_aligned(mq_err *err, size_t count, size_t size, const char *what, void *memory) {
    size_t bytes, padded;
    void *p = NULL;
    if (!mq_mul(count, size, &bytes)) return no_memory(err, count, size, what);
    const size_t alignment = bytes < LARGE ? MQ_ALIGNMENT : HUGE;
    if (!mq_add(bytes, alignment, &padded) || !(p = aligned_alloc(alignment, padded / alignment * alignment)))
        return no_memory(err, count, size, what);
#ifdef MADV_HUGEPAGE
    if (bytes >= LARGE) madvise(p, bytes, MADV_HUGEPAGE); /* a wish */
#endif
    memcpy(memory, &p, sizeof p);
    return MQ_OK;
}

void mq_release_pages(void *memory, size_t size) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = (uintptr_t)memory,
                    begin = mq_round_up(first, page), end = (first + size) / page * page;
    if (begin < end) madvise((uint8_t *)memory + (begin - first), end - begin, MADV_DONTNEED);
}

mq_status mq_strdup(mq_err *err, const char *text, char **copy) {
    *copy = strdup(text);
    return *copy ? MQ_OK : no_memory(err, strlen(text), 1, "a name");
}

mq_status mq_format(mq_err *err, char **text, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const int n = vasprintf(text, format, args);
    va_end(args);
    if (n >= 0) return MQ_OK;
    *text = NULL;
    return no_memory(err, 1, 1, "a line of text");
}

mq_status mq_grow(mq_err *err, void *items, size_t *capacity, size_t wanted, size_t size) {
    if (wanted <= *capacity) return MQ_OK;
    size_t bigger = *capacity ? *capacity : 16, bytes;
    while (bigger < wanted)
        if (!mq_mul(bigger, 2, &bigger)) return no_memory(err, wanted, size, "a list");
    if (!mq_mul(bigger, size, &bytes)) return no_memory(err, bigger, size, "a list");
    void *p;
    memcpy(&p, items, sizeof p);
    p = realloc(p, bytes);
    if (!p) return no_memory(err, bigger, size, "a list");
    memcpy(items, &p, sizeof p);
    *capacity = bigger;
    return MQ_OK;
}
