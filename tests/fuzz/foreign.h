/* foreign.h: what the fuzzers of foreign pictures share: the head alone, then head and pixels, as the process
 * marque-pictures asks for them. Each is of one reader, since their libraries differ in pace. */
#ifndef FUZZ_FOREIGN_H
#define FUZZ_FOREIGN_H

#include "fuzz/fuzz.h"

#include "pictures/reader.h"

#include <string.h>

enum { FUZZ_PIXELS = 1 << 18 /* more is only slow */ };

static inline int fuzz_foreign(const mq_reader *reader, const uint8_t *data, size_t size) {
    mq_err err = {0};
    mq_foreign_head head = {0}, again = {0};
    uint8_t *pixels = NULL;
    uint32_t sum = 0;
    const mq_source in = {"a", data, size};
    if (!reader->knows(data, size)) return -1; /* nothing to learn from */
    if (!fuzz_judge(reader->read(&err, &in, &head, NULL), &err)) return 0;
    const uint64_t count = (uint64_t)head.width * head.height;
    fuzz_require(head.width > 0 && head.width <= MQ_SIDE_MAX && head.height > 0 &&
                     head.height <= MQ_SIDE_MAX && count <= MQ_PIXELS_MAX,
                 "a picture without pixels, or too large");
    fuzz_require(head.format < MQ_FOREIGN_FORMATS && (head.channels == 3 || head.channels == 4) &&
                     head.more <= 1,
                 "a head that makes no sense");
    if (count > FUZZ_PIXELS) return 0;
    if (fuzz_judge(reader->read(&err, &in, &again, &pixels), &err)) {
        fuzz_require(memcmp(&head, &again, sizeof head) == 0, "another head than before");
        for (size_t i = 0; i < count * head.channels; i++)
            sum += pixels[i]; /* every pixel is there to be read */
        fuzz_require(sum <= UINT32_MAX, "");
    }
    free(pixels);
    return 0;
}

#endif
