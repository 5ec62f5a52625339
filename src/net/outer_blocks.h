/* outer_blocks.h: outer.h in f32 with AVX2 where channels lie in blocks of MQ_BLOCK ([c / 8][h][w][8]): a
 * block lies as a panel must, so that hardly anything is packed. A source whose channels fill no blocks (a
 * picture) has each channel by itself ([c][h][w]); filters fill blocks. */
#ifndef MQ_OUTER_BLOCKS_H
#define MQ_OUTER_BLOCKS_H

#include "net/outer.h"

void mq_outer_blocks(const mq_outer *outer, size_t part, size_t parts);

size_t mq_outer_blocks_scratch(const mq_window *window, size_t parts);

#endif
