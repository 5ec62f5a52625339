/* outer_blocks.h: outer.h where channels lie in blocks ([c / block][h][w][block]): in f32 a block lies as a
 * panel must, so that hardly anything is packed. Channels behind the last fill its block and are of no
 * meaning. A source of a few channels (c % MQ_BLOCK, a picture) has each of them by itself ([c][h][w]). */
#ifndef MQ_OUTER_BLOCKS_H
#define MQ_OUTER_BLOCKS_H

#include "net/outer.h"

/* Of a format and an instruction set; static. */
typedef struct mq_outer_blocks mq_outer_blocks;

/* That for dtype (MQ_F32 or MQ_BF16) in the widest instruction set that the network may use here; NULL: there
 * is none. */
const mq_outer_blocks *mq_outer_blocks_of(mq_dtype dtype);

/* Channels of a block. */
size_t mq_outer_blocks_size(const mq_outer_blocks *blocks);

/* Whether it takes that window: a block that is not full is seen from one pixel only. */
bool mq_outer_blocks_suits(const mq_outer_blocks *blocks, const mq_window *window);

/* How many parts there are at most, and how many are worth it for so many threads: each of them packs what
 * must be packed. */
size_t mq_outer_blocks_parts(const mq_outer_blocks *blocks, const mq_window *window);
size_t mq_outer_blocks_worth(const mq_outer_blocks *blocks, size_t threads);

/* As mq_outer_fn and mq_outer_scratch. */
void mq_outer_blocks_run(const mq_outer_blocks *blocks, const mq_outer *outer, size_t part, size_t parts);
size_t mq_outer_blocks_scratch(const mq_outer_blocks *blocks, const mq_window *window, size_t filters,
                               size_t parts);

#endif
