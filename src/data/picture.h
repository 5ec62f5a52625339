/* picture.h: encoded pictures become pixels. One file per format (decode_*.c),
 * one table row each; the decoders see bytes, never files. */
#ifndef MQ_PICTURE_H
#define MQ_PICTURE_H

#include "base/foreign_picture.h"
#include "base/recipe.h"

/* A picture as it lies in a file or a record; all borrowed. */
typedef struct {
    const char *name; /* for messages */
    const uint8_t *bytes;
    size_t size;
} mq_encoded;

/* RGB, 8 bits a channel, rows without padding: width x height x 3 bytes. */
typedef struct {
    uint8_t *rgb; /* owned, for mq_pixels_free */
    uint32_t width, height;
} mq_pixels;

typedef struct {
    const char *format;     /* "jpeg", "png", "webp", a foreign one; static */
    uint32_t width, height; /* as stored */
    int orientation;        /* EXIF 1..8; 1 where there is none or a wrong one */
    const char *colour;     /* "RGB", "grey", "CMYK", "palette", "RGBA", "grey+alpha", ...; static */
    bool scales;            /* mq_picture_decode_smaller can make less of it */
    bool animated;          /* only the first picture is used, or page */
    const char *becomes;    /* a format that no reader of data sets knows: "png" or "jpeg" is stored instead;
                               NULL: its own bytes; static */
} mq_picture_info;

/* Reads the header. name is for messages. Not a picture we know, damaged or too large: MQ_BAD_DATA. */
MQ_MUST_USE mq_status mq_picture_probe(mq_err *err, const char *name, const uint8_t *bytes, size_t size,
                                       mq_picture_info *info);

/* Decodes to RGB, alpha laid over background; pixels as stored (EXIF not yet applied). Byte-equal to Pillow's
 * convert("RGB"), for alpha to its alpha_composite; but 16-bit grey keeps the high byte, where Pillow clips
 * at 255. Foreign formats come upright, without orientation. A truncated or damaged picture is MQ_BAD_DATA.
 * pixels is the caller's. */
MQ_MUST_USE mq_status mq_picture_decode(mq_err *err, const char *name, const uint8_t *bytes, size_t size,
                                        const uint8_t background[3], mq_pixels *pixels);

/* The same at eighths eighths of its sides, rounded up; 8 is the picture as it is, and 1, 2 and 4 are for
 * those whose header says that they scale: far cheaper, each pixel about the mean of those it stands for. */
MQ_MUST_USE mq_status mq_picture_decode_smaller(mq_err *err, const mq_encoded *in,
                                                const uint8_t background[3], uint32_t eighths,
                                                mq_pixels *pixels);

/* What is left of a JPEG, PNG or WebP that ends too early, with its header: the rest is as its library leaves
 * it, grey or black, transparent ones as background. MQ_BAD_DATA of any other picture, where something else
 * is wrong, too, and where not even a first row is there. pixels is the caller's. */
MQ_MUST_USE mq_status mq_picture_salvage(mq_err *err, const mq_encoded *in, const uint8_t background[3],
                                         mq_picture_info *info, mq_pixels *pixels);

/* Turns pixels so that an EXIF orientation of 1..8 becomes 1. */
MQ_MUST_USE mq_status mq_pixels_orient(mq_err *err, mq_pixels *pixels, int orientation);

/* Turns a box with its picture of width x height (as stored). */
mq_box mq_box_orient(mq_box box, uint32_t width, uint32_t height, int orientation);

/* The way back: a box of the upright picture as one of the picture of width x height as stored. */
mq_box mq_box_unorient(mq_box box, uint32_t width, uint32_t height, int orientation);

void mq_pixels_free(mq_pixels *pixels);

#endif
