/* int8.h: convolutions of u8 by int8 numbers for processors with AVX2 or AVX-512 whose vector instructions
 * have no dot product of bytes (VNNI). Products are exact, as with it.
 *
 * Channels lie last; weights are as Keras keeps them, [kernel, kernel, c, filters] (quant.h), and packed
 * before (int8_pack.h). */
#ifndef MQ_INT8_H
#define MQ_INT8_H

#include "net/graph.h"

typedef struct {
    mq_window window; /* n is 1, nothing is padded; c is 4 at least */
    size_t filters;   /* 0: no convolution */
    bool sum;         /* result += what was there, ahead of relu */
    bool relu;
} mq_int8;

/* Whether the network may use AVX2 or AVX-512 here. */
bool mq_int8_available(void);

/* Bytes of packed weights, which begin on a 64-byte boundary; and packs them. Much of it is only touched if
 * weights are large. */
size_t mq_int8_bytes(const mq_int8 *conv);
MQ_MUST_USE mq_status mq_int8_pack(mq_err *err, const mq_int8 *conv, const int8_t *weights, void *packed);

/* All memory is borrowed. */
typedef struct {
    const uint8_t *source; /* [h, w, c] */
    const void *packed;
    const float *scales, *bias; /* [filters]: result = scales sum of products + bias */
    float *result;              /* [out_h, out_w, filters] */
} mq_int8_tensors;

/* The work is so many items; does those from `first` up to `end`, on any thread. Numbers do not depend on how
 * they are shared out. */
size_t mq_int8_items(const mq_int8 *conv);
void mq_int8_run(const mq_int8 *conv, const mq_int8_tensors *tensors, size_t first, size_t end);

#endif
