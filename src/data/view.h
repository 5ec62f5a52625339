/* view.h: a rectangle of somebody's pixels, so that cutting costs nothing. */
#ifndef MQ_VIEW_H
#define MQ_VIEW_H

#include "data/picture.h"

typedef struct {
    const uint8_t *rgb; /* borrowed; first byte of the first row */
    size_t stride;      /* bytes from one row to the next */
    uint32_t width, height;
} mq_view;

static inline mq_view mq_view_of(const mq_pixels *pixels) {
    return (mq_view){pixels->rgb, (size_t)pixels->width * 3, pixels->width, pixels->height};
}

/* box must lie inside the view and not be empty. */
static inline mq_view mq_view_cut(mq_view view, mq_box box) {
    return (mq_view){view.rgb + (size_t)box.y1 * view.stride + (size_t)box.x1 * 3, view.stride,
                     (uint32_t)(box.x2 - box.x1), (uint32_t)(box.y2 - box.y1)};
}

/* A copy turned so that an EXIF orientation of 1..8 becomes 1; pixels is the caller's. */
MQ_MUST_USE mq_status mq_view_orient(mq_err *err, mq_view view, int orientation, mq_pixels *pixels);

#endif
