/* int8_pairs.h: which quads of int8_pack.h go together, and what their weights are split to. */
#ifndef MQ_INT8_PAIRS_H
#define MQ_INT8_PAIRS_H

#include "net/int8_pack.h"

/* A panel's weights for a quad. */
typedef struct {
    int8_t weights[MQ_INT8_SLOT];
} mq_int8_quad;

/* Two quads, and what was taken from them. */
typedef struct {
    int8_t weights[2][MQ_INT8_SLOT], rests[2][MQ_INT8_SLOT];
    bool extra[2][MQ_INT8_VECTORS]; /* the vector's rest is not zero */
    size_t extras;                  /* of these */
    bool fits;                      /* rests have room, too */
    bool together;
} mq_int8_pair;

/* Splits two quads of so many vectors in the way that is less work, or one alone (b NULL). */
mq_int8_pair mq_int8_split(const mq_int8_quad *a, const mq_int8_quad *b, size_t vectors);

/* Each of some quads gets a partner such that all are the least work together, rests of the larger part
 * counted. */
enum { MQ_INT8_GROUP = 8 };
void mq_int8_match(const mq_int8_quad quads[MQ_INT8_GROUP], size_t vectors, size_t partners[MQ_INT8_GROUP]);

#endif
