/* reader.h: what a reader of one foreign format offers to reader.c: a file each, a row each in its table. */
#ifndef MQ_READER_H
#define MQ_READER_H

#include "base/foreign_picture.h"
#include "base/status.h"

/* A picture as it lies in its file; borrowed. */
typedef struct {
    const char *name; /* for messages */
    const uint8_t *bytes;
    size_t size;
} mq_source;

typedef struct {
    bool (*knows)(const uint8_t *bytes, size_t size); /* by the first bytes */
    /* Fills head, and where pixels is not NULL decodes to width x height x channels bytes in *pixels, the
     * caller's, for free(). */
    mq_status (*read)(mq_err *err, const mq_source *in, mq_foreign_head *head, uint8_t **pixels);
} mq_reader;

extern const mq_reader mq_reader_tiff, mq_reader_bmp, mq_reader_gif, mq_reader_heif;

/* Fills head, and where pixels is not NULL decodes as a reader does: by the one that knows the picture.
 * Damaged, too large or of none that is known: MQ_BAD_DATA. */
MQ_MUST_USE mq_status mq_reader_read(mq_err *err, const mq_source *in, mq_foreign_head *head,
                                     uint8_t **pixels);

/* Refuses empty and too large pictures (base/foreign_picture.h); readers call it before they take memory. */
MQ_MUST_USE mq_status mq_check_size(mq_err *err, const mq_source *in, uint64_t width, uint64_t height);

/* The same, then memory for the head's pixels. */
MQ_MUST_USE mq_status mq_take_memory(mq_err *err, const mq_source *in, const mq_foreign_head *head,
                                     uint8_t **pixels);

/* Divides count RGBA pixels by their alpha, with which they were multiplied. */
void mq_divide_alpha(uint8_t *rgba, size_t count);

#endif
