/* augment_geometry.c: changes of place. Called by augment.c. Owns nothing.
 * Invariant: however many there are, the pixels are sampled once: each change
 * is a 3 x 3 matrix that leads from a point behind it to the point before it,
 * around the middle of the square, and one pass follows their product. */
#include "data/augment_parts.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
    PLACE_BITS = 11, /* of a place between two pixels: a weight and a byte fit in 19 bits */
    PLACES = 1 << PLACE_BITS,
    SPARED = 4, /* bits dropped between rows and columns, so that the sum of a row fits in 16 bits */
    HALF = 1 << (2 * PLACE_BITS - SPARED - 1),
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
static size_t mirrored(int64_t i, int64_t n) {
    if (i >= 0 && i < n) return (size_t)i;
    i %= 2 * n;
    if (i < 0) i += 2 * n;
    return (size_t)(i < n ? i : 2 * n - 1 - i);
}

/* A channel between four, x and y of PLACES from the first. */
static inline uint8_t mix(const uint8_t corners[4], int32_t x, int32_t y) {
    const int32_t above = (corners[0] * (PLACES - x) + corners[1] * x) >> SPARED;
    const int32_t below = (corners[2] * (PLACES - x) + corners[3] * x) >> SPARED;
    return (uint8_t)((above * (PLACES - y) + below * y + HALF) >> (2 * PLACE_BITS - SPARED));
}

/* The pixel between (x, y) and its neighbours, fx and fy of PLACES from it, whether inside or not. */
static void mix_anywhere(const mq_square *in, int64_t x, int64_t y, const int32_t part[2], uint8_t *out) {
    const int64_t size = in->size;
    const size_t columns[2] = {mirrored(x, size), mirrored(x + 1, size)};
    const size_t rows[2] = {mirrored(y, size), mirrored(y + 1, size)};
    for (size_t c = 0; c < 3; c++) {
        uint8_t corners[4];
        for (size_t i = 0; i < 4; i++)
            corners[i] = in->rgb[(rows[i / 2] * in->size + columns[i % 2]) * 3 + c];
        out[c] = mix(corners, part[0], part[1]);
    }
}

#if defined(__x86_64__)

enum { OVERREAD = 1 }; /* pixels behind the right neighbour */

/* Two pixels of a row, interleaved and weighed: r, g and b as 32-bit numbers. */
static inline __m128i mix_pair(const uint8_t *pixel, __m128i weights) {
    const __m128i bytes = _mm_loadl_epi64((const void *)pixel);
    const __m128i pairs = _mm_unpacklo_epi8(bytes, _mm_srli_epi64(bytes, 24));
    const __m128i sums = _mm_madd_epi16(_mm_unpacklo_epi8(pairs, _mm_setzero_si128()), weights);
    return _mm_srli_epi32(sums, SPARED);
}

/* As mix for the three channels at pixel; reads OVERREAD pixels more. */
static inline void mix_inside(const uint8_t *pixel, size_t row, const int32_t part[2], uint8_t *out) {
    const __m128i across = _mm_set1_epi32(part[0] << 16 | (PLACES - part[0]));
    const __m128i down = _mm_set1_epi32(part[1] << 16 | (PLACES - part[1]));
    const __m128i above = mix_pair(pixel, across), below = mix_pair(pixel + row, across);
    const __m128i both = _mm_or_si128(above, _mm_slli_epi32(below, 16));
    const __m128i sums = _mm_add_epi32(_mm_madd_epi16(both, down), _mm_set1_epi32(HALF));
    const __m128i words = _mm_srli_epi32(sums, 2 * PLACE_BITS - SPARED);
    const __m128i bytes = _mm_packus_epi16(_mm_packs_epi32(words, words), words);
    const uint32_t pixels = (uint32_t)_mm_cvtsi128_si32(bytes);
    out[0] = (uint8_t)pixels;
    out[1] = (uint8_t)(pixels >> 8);
    out[2] = (uint8_t)(pixels >> 16);
}

#else

enum { OVERREAD = 0 };

static inline void mix_inside(const uint8_t *pixel, size_t row, const int32_t part[2], uint8_t *out) {
    for (size_t c = 0; c < 3; c++)
        out[c] = mix((const uint8_t[4]){pixel[c], pixel[c + 3], pixel[row + c], pixel[row + c + 3]}, part[0],
                     part[1]);
}

#endif

/* The pixel at a place in units of 1 / PLACES, counted from the middle of the first pixel. */
static inline void sample(const mq_square *in, int64_t px, int64_t py, uint8_t *out) {
    const int64_t size = in->size, x = px >> PLACE_BITS, y = py >> PLACE_BITS;
    const int32_t part[2] = {(int32_t)(px & (PLACES - 1)), (int32_t)(py & (PLACES - 1))};
    if (x >= 0 && y >= 0 && x + 1 + OVERREAD < size && y + 1 < size)
        mix_inside(in->rgb + (y * size + x) * 3, (size_t)size * 3, part, out);
    else
        mix_anywhere(in, x, y, part, out);
}

/* In units of 1 / PLACES, within the distance that is good for; what is not a number is far away. */
static inline int64_t place_of(double at) {
    const double above = at > -PLACE_MAX ? at : -PLACE_MAX;
    return llrint((above < PLACE_MAX ? above : PLACE_MAX) * PLACES);
}

static void follow(const double m[9], int fill, const mq_square *in, uint8_t *out) {
    const double half = in->size / 2.0;
    const int64_t end = (int64_t)in->size * PLACES;
    const bool flat = m[6] == 0 && m[7] == 0; /* every point has the same scale */
    for (uint32_t row = 0; row < in->size; row++) {
        const double y = row + 0.5 - half;
        for (uint32_t column = 0; column < in->size; column++, out += 3) {
            const double x = column + 0.5 - half, w = flat ? m[8] : m[6] * x + m[7] * y + m[8];
            const double from_x = m[0] * x + m[1] * y + m[2], from_y = m[3] * x + m[4] * y + m[5];
            const int64_t px = place_of((w == 1 ? from_x : from_x / w) + half);
            const int64_t py = place_of((w == 1 ? from_y : from_y / w) + half);
            if (fill >= 0 && (px < 0 || px >= end || py < 0 || py >= end)) {
                memset(out, fill, 3);
            } else {
                sample(in, px - PLACES / 2, py - PLACES / 2, out);
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
