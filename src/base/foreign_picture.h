/* foreign_picture.h: what the process marque-pictures says of a picture of a foreign format (TIFF, BMP, GIF,
 * HEIC, AVIF) on its stdout: this head, then, unless only the head was asked for, the pixels: height rows
 * from top to bottom, without padding, of RGB or RGBA with 8 bits a channel. Both sides run on one machine
 * and are built together, so numbers are as the processor has them. */
#ifndef MQ_FOREIGN_PICTURE_H
#define MQ_FOREIGN_PICTURE_H

#include <stdint.h>

typedef enum { MQ_TIFF, MQ_BMP, MQ_GIF, MQ_HEIC, MQ_AVIF, MQ_FOREIGN_FORMATS } mq_foreign_format;

typedef struct {
    uint32_t format;        /* mq_foreign_format */
    uint32_t width, height; /* of the upright picture: turned as its file says */
    uint32_t channels;      /* 3: RGB, 4: RGBA, not multiplied by alpha */
    uint32_t more;          /* 1: the file has more pictures, of which this is the first; else 0 */
} mq_foreign_head;

enum {
    MQ_PIXELS_WARN = 89478485, /* Pillow's limit, 1 GB / 4 / 3; above it the importer warns */
    MQ_PIXELS_MAX = 178956970, /* twice that: refused before any memory is taken */
    MQ_SIDE_MAX = 1000000,     /* pixels on a side, as libpng's own limit */
};

#endif
