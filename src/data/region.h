/* region.h: the part of a picture that a network looks at, where the picture may have been decoded smaller
 * than it is. Sizes and boxes count in the picture's own pixels, whatever lies in memory. */
#ifndef MQ_REGION_H
#define MQ_REGION_H

#include "data/view.h"

typedef struct {
    mq_view view;     /* no more of the decoded picture than the region touches */
    mq_box part;      /* the region in the view, in eighths of a decoded pixel */
    uint32_t eighths; /* sides of the decoded picture, in eighths of the picture's own; 8: as it is */
} mq_region;

/* All of a picture of width x height pixels; whole is how it was decoded, at so many eighths. */
mq_region mq_region_of(mq_view whole, uint32_t width, uint32_t height, uint32_t eighths);

/* Sides in the picture's pixels. */
uint32_t mq_region_width(const mq_region *region);
uint32_t mq_region_height(const mq_region *region);

/* box counts from the region's corner, lies inside it and is not empty. */
mq_region mq_region_cut(mq_region region, mq_box box);

/* The region turned so that an EXIF orientation of 1..8 becomes 1; pixels is the caller's and holds it. */
MQ_MUST_USE mq_status mq_region_orient(mq_err *err, mq_region *region, int orientation, mq_pixels *pixels);

/* The fewest eighths, of 1, 2 and 4, at which a region of sides pixels still has halves / 2 times the pixels
 * of target on both; 8 where none has. Others than powers of two would take longer than 4 or even than 8:
 * libjpeg has no fast way to them. */
uint32_t mq_region_eighths(const uint32_t sides[2], const uint32_t target[2], uint32_t halves);

#endif
