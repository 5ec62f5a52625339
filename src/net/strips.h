/* strips.h: separable convolutions of a program done strip by strip: a few rows of the depthwise half, then
 * the products of those, so that what lies between never leaves a core's second cache. Two steps in a row
 * have the same rows then, the second with a kernel for one strip and one thread; the first only keeps the
 * depthwise half and its weights. */
#ifndef MQ_STRIPS_H
#define MQ_STRIPS_H

#include "net/program_impl.h"

/* Rows of a strip where a pointwise kernel of so many bytes is multiplied by what a depthwise step makes
 * [h, w, c] in dtype; 0: strips would gain nothing. They divide h. */
size_t mq_strip_rows(mq_dtype dtype, mq_shape made, size_t kernel_bytes);

/* Bytes of a hand's strip and scratch: for the largest of the program. */
size_t mq_strips_bytes(const mq_program *program);

/* Gives a hand, whose strip has its place, calls for every pair of steps. */
MQ_MUST_USE mq_status mq_hand_create(mq_err *err, const mq_program *program, mq_hand *hand);
void mq_hand_free(const mq_program *program, mq_hand *hand);

/* A depthwise step's rows `from` up to `to`, of source [h, w, c], into out [to - from, out_w, c]; any thread.
 */
void mq_depth_run(const mq_program *program, const mq_step *step, const void *source, size_t from, size_t to,
                  uint8_t *out);

/* What of a pair is wanted: both, or one half by itself, over whatever the other left, to time it. */
typedef enum { MQ_STRIPS_BOTH, MQ_STRIPS_DEPTH, MQ_STRIPS_PRODUCTS } mq_strips_part;

/* A pair of steps to be done; all memory is borrowed. */
typedef struct {
    const mq_program *program;
    const mq_step *step; /* the second */
    const mq_hand *hand; /* NULL: all of the program's, together */
    mq_strips_part part;
    const void *source; /* [h, w, c] */
    uint8_t *result;    /* [h, w, filters] */
} mq_strips;

MQ_MUST_USE mq_status mq_strips_run(mq_err *err, const mq_strips *strips);

/* What the products of all strips are; the kernel counts once. */
mq_work mq_strips_work(const mq_step *step);

#endif
