/* region.c: cuts and turns parts of pictures that were decoded at their own size or smaller. Called by
 * prepare.c. Owns nothing. Invariant: a pixel of the picture takes a whole number of eighths of a decoded
 * one, so every box of whole pixels is exact at every scale; at 8 eighths part is all of view. */
#include "data/region.h"

enum { WHOLE = 8 /* eighths */ };

mq_region mq_region_of(mq_view whole, uint32_t width, uint32_t height, uint32_t eighths) {
    const mq_box part = {0, 0, (int32_t)(width * eighths), (int32_t)(height * eighths)};
    return (mq_region){whole, part, eighths};
}

uint32_t mq_region_width(const mq_region *region) {
    return (uint32_t)(region->part.x2 - region->part.x1) / region->eighths;
}

uint32_t mq_region_height(const mq_region *region) {
    return (uint32_t)(region->part.y2 - region->part.y1) / region->eighths;
}

mq_region mq_region_cut(mq_region region, mq_box box) {
    const int32_t unit = (int32_t)region.eighths, x = region.part.x1, y = region.part.y1;
    const mq_box part = {x + box.x1 * unit, y + box.y1 * unit, x + box.x2 * unit, y + box.y2 * unit};
    /* The decoded pixels that hold any of it: the first rounded down, the last up. */
    const mq_box held = {part.x1 / WHOLE, part.y1 / WHOLE, (part.x2 + WHOLE - 1) / WHOLE,
                         (part.y2 + WHOLE - 1) / WHOLE};
    const int32_t dx = held.x1 * WHOLE, dy = held.y1 * WHOLE;
    return (mq_region){mq_view_cut(region.view, held),
                       {part.x1 - dx, part.y1 - dy, part.x2 - dx, part.y2 - dy},
                       region.eighths};
}

mq_status mq_region_orient(mq_err *err, mq_region *region, int orientation, mq_pixels *pixels) {
    const mq_view *view = &region->view;
    const mq_status status = mq_view_orient(err, *view, orientation, pixels);
    if (status != MQ_OK) return status;
    region->part = mq_box_orient(region->part, view->width * WHOLE, view->height * WHOLE, orientation);
    region->view = mq_view_of(pixels);
    return MQ_OK;
}

uint32_t mq_region_eighths(const uint32_t sides[2], const uint32_t target[2], uint32_t halves) {
    for (uint64_t m = 1; m < WHOLE; m *= 2)
        if (m * sides[0] * 2 >= (uint64_t)halves * target[0] * WHOLE &&
            m * sides[1] * 2 >= (uint64_t)halves * target[1] * WHOLE)
            return (uint32_t)m;
    return WHOLE;
}
