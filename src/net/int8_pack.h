/* int8_pack.h: how the weights of int8.h are packed.
 *
 * A panel is 32 filters; a quad is 4 channels of a place in the window. Without VNNI a quad's bytes are
 * multiplied by a vector's weights two by two, and each pair added in 16 bits, which hold 255 * 128. So quads
 * are of three kinds: two that go together, pairs of which may be added in 16 bits once more; those whose own
 * pairs fit; and wide ones, of which a pair would not, so that source and weights are widened to 16 bits. */
#ifndef MQ_INT8_PACK_H
#define MQ_INT8_PACK_H

#include "net/int8.h"

enum { MQ_INT8_QUAD = 4, MQ_INT8_PANEL = 32 };
enum { MQ_INT8_SLOT = MQ_INT8_PANEL * MQ_INT8_QUAD }; /* bytes of a panel's weights for a quad */

/* Where they lie; places are bytes from a window's first number to a quad's. Those of a panel that go
 * together come first, and the wide ones last. */
typedef struct {
    size_t panels, quads; /* quads: of a panel */
    uint32_t *together;   /* [panels] quads that go together, two each */
    uint32_t *narrow;     /* [panels] these and those whose own pairs fit */
    uint32_t *first;      /* [panels] slots ahead of a panel's */
    uint32_t *places;     /* [panels, quads] */
    int8_t *weights;      /* [slots, MQ_INT8_SLOT]: [filter, channel] of a quad; of a wide one two slots in 16
                             bits, [filter, channel] of its channels 0 and 2, then of 1 and 3 */
} mq_int8_packing;

mq_int8_packing mq_int8_packing_of(const mq_int8 *conv, const void *packed);

#endif
