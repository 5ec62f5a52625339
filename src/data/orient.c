/* orient.c: turns pixels and boxes by EXIF orientation. Called by the recipe's
 * function and by whoever shows pictures. Invariant: pixels and boxes are
 * turned by one table, so that a box stays on its car. */
#include "base/mem.h"
#include "data/view.h"

#include <string.h>

typedef struct {
    bool mirror_x, mirror_y; /* first, along the axes as stored */
    bool transpose;          /* then x and y change places */
} turn;

/* EXIF says where the stored row 0 and column 0 lie; this is how to undo it. */
static turn turn_of(int orientation) {
    static const turn TURNS[9] = {
        [2] = {true, false, false}, [3] = {true, true, false}, [4] = {false, true, false},
        [5] = {false, false, true}, [6] = {false, true, true}, [7] = {true, true, true},
        [8] = {true, false, true},
    };
    return TURNS[orientation >= 1 && orientation <= 8 ? orientation : 1];
}

mq_status mq_view_orient(mq_err *err, mq_view view, int orientation, mq_pixels *pixels) {
    const turn t = turn_of(orientation);
    const uint32_t width = t.transpose ? view.height : view.width;
    const uint32_t height = t.transpose ? view.width : view.height;
    size_t row = 0;
    uint8_t *rgb = NULL;
    if (!mq_mul(width, 3, &row)) return mq_fail(err, MQ_NO_MEMORY, "no memory for a row of %u pixels", width);
    const mq_status status = mq_alloc_aligned(err, height, row, "a turned picture", &rgb);
    if (status != MQ_OK) return status;

    /* Steps in the stored picture for one pixel to the right and one row down in the upright one. */
    const ptrdiff_t step_x = t.mirror_x ? -3 : 3;
    const ptrdiff_t step_y = t.mirror_y ? -(ptrdiff_t)view.stride : (ptrdiff_t)view.stride;
    const ptrdiff_t right = t.transpose ? step_y : step_x, down = t.transpose ? step_x : step_y;
    const uint8_t *corner = view.rgb + (t.mirror_x ? (size_t)(view.width - 1) * 3 : 0) +
                            (t.mirror_y ? (view.height - 1) * view.stride : 0);
    uint8_t *out = rgb; /* written front to back; the stored picture is read along either axis */
    for (uint32_t y = 0; y < height; y++) {
        const uint8_t *in = corner + (ptrdiff_t)y * down;
        for (uint32_t x = 0; x < width; x++, out += 3) memcpy(out, in + (ptrdiff_t)x * right, 3);
    }
    *pixels = (mq_pixels){rgb, width, height};
    return MQ_OK;
}

mq_status mq_pixels_orient(mq_err *err, mq_pixels *pixels, int orientation) {
    if (orientation <= 1 || orientation > 8) return MQ_OK;
    mq_pixels turned = {0};
    const mq_status status = mq_view_orient(err, mq_view_of(pixels), orientation, &turned);
    if (status != MQ_OK) return status;
    mq_pixels_free(pixels);
    *pixels = turned;
    return MQ_OK;
}

mq_box mq_box_orient(mq_box box, uint32_t width, uint32_t height, int orientation) {
    const turn t = turn_of(orientation);
    if (t.mirror_x) {
        const int32_t x1 = box.x1;
        box.x1 = (int32_t)width - box.x2;
        box.x2 = (int32_t)width - x1;
    }
    if (t.mirror_y) {
        const int32_t y1 = box.y1;
        box.y1 = (int32_t)height - box.y2;
        box.y2 = (int32_t)height - y1;
    }
    return t.transpose ? (mq_box){box.y1, box.x1, box.y2, box.x2} : box;
}

mq_box mq_box_unorient(mq_box box, uint32_t width, uint32_t height, int orientation) {
    const bool transposed = turn_of(orientation).transpose;
    /* All turns undo themselves but the quarter turns 6 and 8, which undo each other. */
    const int back = orientation == 6 ? 8 : orientation == 8 ? 6 : orientation;
    return mq_box_orient(box, transposed ? height : width, transposed ? width : height, back);
}
