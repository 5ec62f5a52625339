/* int8_pack.h: how the weights of int8.h are packed.
 *
 * A panel is 32 filters as four vectors of 8; a quad is 4 channels of a place in the window. AVX2 multiplies
 * a quad by a vector's weights two by two, and adds each pair in 16 bits; where two quads go together, a pair
 * of each. 16 bits hold 255 * 128: a weight that is too much there is split, a part that has room stays in
 * its place, the rest goes into a list of extra weights, which are multiplied after the others. Quads go
 * together where that is less work, rests included. */
#ifndef MQ_INT8_PACK_H
#define MQ_INT8_PACK_H

#include "net/int8.h"

enum { MQ_INT8_QUAD = 4, MQ_INT8_LANES = 8, MQ_INT8_VECTORS = 4 };
enum { MQ_INT8_PANEL = MQ_INT8_VECTORS * MQ_INT8_LANES }; /* filters */
enum { MQ_INT8_VECTOR = MQ_INT8_LANES * MQ_INT8_QUAD };   /* bytes of [lanes, quad] */
enum { MQ_INT8_SLOT = MQ_INT8_VECTORS * MQ_INT8_VECTOR }; /* of a panel's weights for a quad */

/* Where they lie; places are bytes from a window's first number to a quad's. */
typedef struct {
    size_t panels, quads; /* quads: of a panel */
    uint32_t *together;   /* [panels] how many quads go together, two each; they are the panel's first */
    uint32_t *places;     /* [panels, quads] */
    int8_t *weights;      /* [panels, quads, MQ_INT8_SLOT] */
    uint32_t *first;      /* [panels * vectors + 1] the extras of each vector, up to those of the next */
    uint32_t *extra_places;
    int8_t *extras; /* [MQ_INT8_VECTOR] each; as many as weights at most */
} mq_int8_packing;

mq_int8_packing mq_int8_packing_of(const mq_int8 *conv, const void *packed);

#endif
