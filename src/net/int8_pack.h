/* int8_pack.h: how the weights of int8.h are packed.
 *
 * A panel is 32 filters, in four vectors of 8 with AVX2, in two of 16 with AVX-512; a quad is 4 channels of a
 * place in the window. Without VNNI a quad is multiplied by a vector's weights two by two, and each pair
 * added in 16 bits; where two quads go together, a pair of each. 16 bits hold 255 * 128: a weight that is too
 * much there is split, a part that has room stays in its place, the rest goes into a list of extra weights,
 * which are multiplied after the others. Quads go together where that is less work, rests included. */
#ifndef MQ_INT8_PACK_H
#define MQ_INT8_PACK_H

#include "net/int8.h"

enum { MQ_INT8_QUAD = 4, MQ_INT8_PANEL = 32, MQ_INT8_VECTORS = 4 /* at most */ };
enum { MQ_INT8_SLOT = MQ_INT8_PANEL * MQ_INT8_QUAD }; /* bytes of a panel's weights for a quad */

/* Vectors of a panel here. */
size_t mq_int8_vectors(void);

/* Where they lie; places are bytes from a window's first number to a quad's. */
typedef struct {
    size_t panels, vectors, quads; /* vectors, quads: of a panel */
    uint32_t *together; /* [panels] how many quads go together, two each; they are the panel's first */
    uint32_t *places;   /* [panels, quads] */
    int8_t *weights;    /* [panels, quads, MQ_INT8_SLOT] */
    uint32_t *first;    /* [panels * vectors + 1] the extras of each vector, up to those of the next */
    uint32_t *extra_places;
    int8_t *extras; /* [MQ_INT8_SLOT / vectors] each; as many weights as there are others at most */
} mq_int8_packing;

mq_int8_packing mq_int8_packing_of(const mq_int8 *conv, const void *packed);

#endif
