/* phash.c: the fingerprint of one picture. Called by the scan's workers. Owns
 * nothing. Invariant: pictures of the same grey levels have the same bits. */
#include "curate/phash.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 32, CELL = MQ_LOOK_SIDE / SIDE, KEPT = 8, BITS = KEPT * KEPT };

/* The mean grey level of each cell of CELL x CELL pixels. */
static void shrink(const uint8_t *luma, double cells[SIDE][SIDE]) {
    memset(cells, 0, sizeof(double) * SIDE * SIDE);
    for (size_t y = 0; y < MQ_LOOK_SIDE; y++)
        for (size_t x = 0; x < MQ_LOOK_SIDE; x++)
            cells[y / CELL][x / CELL] += (double)luma[y * MQ_LOOK_SIDE + x] / (CELL * CELL);
}

/* out[v][u]: frequency u + 1 along the rows and v + 1 down the columns (DCT-II, not scaled: the median asks
 * for order alone). */
static void transform(double cells[SIDE][SIDE], double out[KEPT][KEPT]) {
    double wave[KEPT][SIDE], rows[SIDE][KEPT];
    const double step = acos(-1) / SIDE;
    for (size_t f = 0; f < KEPT; f++)
        for (size_t i = 0; i < SIDE; i++) wave[f][i] = cos(step * (double)(f + 1) * ((double)i + 0.5));
    for (size_t y = 0; y < SIDE; y++)
        for (size_t u = 0; u < KEPT; u++) {
            rows[y][u] = 0;
            for (size_t x = 0; x < SIDE; x++) rows[y][u] += cells[y][x] * wave[u][x];
        }
    for (size_t v = 0; v < KEPT; v++)
        for (size_t u = 0; u < KEPT; u++) {
            out[v][u] = 0;
            for (size_t y = 0; y < SIDE; y++) out[v][u] += rows[y][u] * wave[v][y];
        }
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A bit for each number above the median of all. */
static uint64_t above_median(double values[KEPT][KEPT]) {
    double sorted[BITS];
    const double *value = &values[0][0];
    uint64_t bits = 0;
    memcpy(sorted, value, sizeof sorted);
    qsort(sorted, BITS, sizeof *sorted, by_value);
    const double median = (sorted[BITS / 2 - 1] + sorted[BITS / 2]) / 2;
    for (size_t i = 0; i < BITS; i++) bits |= (uint64_t)(value[i] > median) << i;
    return bits;
}

mq_phash mq_phash_of(const uint8_t luma[MQ_LOOK_PIXELS]) {
    double cells[SIDE][SIDE], values[KEPT][KEPT];
    shrink(luma, cells);
    transform(cells, values);
    mq_phash hash = {.upright = above_median(values)};
    for (size_t v = 0; v < KEPT; v++)
        for (size_t u = 0; u < KEPT; u += 2) values[v][u] = -values[v][u]; /* frequencies 1, 3, 5, 7 */
    hash.mirrored = above_median(values);
    return hash;
}
