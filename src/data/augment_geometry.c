/* augment_geometry.c: changes of place. Called by augment.c. Owns nothing.
 * Invariant: however many there are, the pixels are sampled once: each change
 * is a 3 x 3 matrix that leads from a point behind it to the point before it,
 * around the middle of the square, and one pass follows their product. */
#include "data/augment_parts.h"

#include <math.h>
#include <string.h>

enum {
    PLACE_BITS = 11, /* of a place between two pixels: two such weights and a byte fit in 32 bits */
    PLACES = 1 << PLACE_BITS,
};

static const double PLACE_MAX = 1e6; /* pixels; what lies farther away is taken from there */

static void set(double m[9], const double values[9]) {
    memcpy(m, values, 9 * sizeof *m);
}

static void multiply(double a[9], const double b[9]) {
    double product[9];
    for (size_t i = 0; i < 9; i++) {
        const double *row = a + i / 3 * 3;
        product[i] = row[0] * b[i % 3] + row[1] * b[3 + i % 3] + row[2] * b[6 + i % 3];
    }
    set(a, product);
}

void mq_matrix_vflip(const mq_change *change, double size, double m[9]) {
    (void)change, (void)size;
    set(m, (const double[9]){1, 0, 0, 0, -1, 0, 0, 0, 1});
}

void mq_matrix_zoom(const mq_change *change, double size, double m[9]) {
    (void)size;
    set(m, (const double[9]){1 / change->v[0], 0, 0, 0, 1 / change->v[0], 0, 0, 0, 1});
}

/* x' = x - v0 y, then y' = y - v1 x', turned round. About the top left corner where v2 is set. */
void mq_matrix_shear(const mq_change *change, double size, double m[9]) {
    const double x = change->v[0], y = change->v[1], corner = change->v[2] != 0 ? size / 2 : 0;
    set(m, (const double[9]){1 + x * y, x, (x * y + x) * corner, y, 1, y * corner, 0, 0, 1});
}

void mq_matrix_rotate(const mq_change *change, double size, double m[9]) {
    (void)size;
    const double angle = change->v[0] * acos(-1) / 180, c = cos(angle), s = sin(angle);
    set(m, (const double[9]){c, -s, 0, s, c, 0, 0, 0, 1});
}

void mq_matrix_shift(const mq_change *change, double size, double m[9]) {
    set(m, (const double[9]){1, 0, -change->v[0] * size, 0, 1, -change->v[1] * size, 0, 0, 1});
}

/* Heckbert's matrix from the unit square to the quadrilateral that its corners move to, turned round (its
 * adjugate, as the scale of such a matrix is free), in pixels around the middle. */
void mq_matrix_perspective(const mq_change *change, double size, double m[9]) {
    const double *v = change->v;
    const double x[4] = {v[0], 1 - v[2], 1 - v[4], v[6]}, y[4] = {v[1], v[3], 1 - v[5], 1 - v[7]};
    const double sx = x[0] - x[1] + x[2] - x[3], sy = y[0] - y[1] + y[2] - y[3];
    const double dx1 = x[1] - x[2], dx2 = x[3] - x[2], dy1 = y[1] - y[2], dy2 = y[3] - y[2];
    const double area = dx1 * dy2 - dx2 * dy1; /* of a convex quadrilateral: never 0 */
    const double g = (sx * dy2 - dx2 * sy) / area, h = (dx1 * sy - sx * dy1) / area;
    const double a = x[1] - x[0] + g * x[1], b = x[3] - x[0] + h * x[3], c = x[0];
    const double d = y[1] - y[0] + g * y[1], e = y[3] - y[0] + h * y[3], f = y[0];
    const double half = size / 2;
    set(m, (const double[9]){size, 0, -half, 0, size, -half, 0, 0, 1});
    multiply(m, (const double[9]){e - f * h, c * h - b, b * f - c * e, f * g - d, a - c * g, c * d - a * f,
                                  d * h - e * g, b * g - a * h, a * e - b * d});
    multiply(m, (const double[9]){1 / size, 0, 0.5, 0, 1 / size, 0.5, 0, 0, 1});
}

/* Index i of a row of n pixels that goes on mirrored on both sides, the pixel at the edge twice. */
static int64_t mirrored(int64_t i, int64_t n) {
    if (i >= 0 && i < n) return i;
    i %= 2 * n;
    if (i < 0) i += 2 * n;
    return i < n ? i : 2 * n - 1 - i;
}

/* The pixel at a place in units of 1 / PLACES, counted from the middle of the first pixel. */
static inline void sample(const mq_square *in, int64_t px, int64_t py, uint8_t *out) {
    const int64_t size = in->size, x = px >> PLACE_BITS, y = py >> PLACE_BITS;
    const uint32_t fx = (uint32_t)px & (PLACES - 1), fy = (uint32_t)py & (PLACES - 1);
    const size_t left = (size_t)mirrored(x, size) * 3, right = (size_t)mirrored(x + 1, size) * 3;
    const uint8_t *upper = in->rgb + (size_t)(mirrored(y, size) * size * 3);
    const uint8_t *lower = in->rgb + (size_t)(mirrored(y + 1, size) * size * 3);
    for (size_t c = 0; c < 3; c++) {
        const uint32_t above = upper[left + c] * (PLACES - fx) + upper[right + c] * fx;
        const uint32_t below = lower[left + c] * (PLACES - fx) + lower[right + c] * fx;
        const uint64_t sum = (uint64_t)above * (PLACES - fy) + (uint64_t)below * fy;
        out[c] = (uint8_t)((sum + (1u << (2 * PLACE_BITS - 1))) >> (2 * PLACE_BITS));
    }
}

/* Within the distance that integers are good for. */
static double bounded(double place) {
    return fmax(-PLACE_MAX, fmin(PLACE_MAX, place));
}

static void follow(const double m[9], int fill, const mq_square *in, uint8_t *out) {
    const double size = in->size, half = size / 2;
    for (uint32_t row = 0; row < in->size; row++) {
        const double y = row + 0.5 - half;
        for (uint32_t column = 0; column < in->size; column++, out += 3) {
            const double x = column + 0.5 - half, w = m[6] * x + m[7] * y + m[8];
            const double from_x = bounded((m[0] * x + m[1] * y + m[2]) / w + half);
            const double from_y = bounded((m[3] * x + m[4] * y + m[5]) / w + half);
            if (fill >= 0 && !(from_x >= 0 && from_x < size && from_y >= 0 && from_y < size)) {
                memset(out, fill, 3);
            } else {
                sample(in, llrint((from_x - 0.5) * PLACES), llrint((from_y - 0.5) * PLACES), out);
            }
        }
    }
}

void mq_geometry_apply(const mq_drawn *drawn, mq_square *square) {
    double all[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1}, one[9];
    size_t found = 0;
    for (size_t i = 0; i < drawn->count; i++) {
        const mq_change *change = &drawn->changes[i];
        if (!mq_rows[change->row].matrix) continue;
        mq_rows[change->row].matrix(change, square->size, one);
        multiply(all, one);
        found++;
    }
    if (!found) return;
    follow(all, drawn->fill, square, square->spare);
    mq_square_swap(square);
}
