/* phash.c: the fingerprint of one picture. Called by the workers of the importer
 * and of the scan. Owns nothing. Invariant: pictures of the same grey levels have the same bits. */
#include "data/phash.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIDE = 32,
    KEPT = 8,
    BITS = KEPT * KEPT,
    ROWS_EACH = 3, /* rows of pixels that are enough for a row of cells */
};
static const double PLAIN = 2; /* deviation of the cells, in grey levels, below which they show nothing */

/* The mean grey level of each cell of cell x cell pixels. */
static void shrink(const uint8_t *luma, size_t side, double cells[SIDE][SIDE]) {
    const size_t cell = side / SIDE;
    memset(cells, 0, sizeof(double) * SIDE * SIDE);
    for (size_t y = 0; y < side; y++)
        for (size_t x = 0; x < side; x++)
            cells[y / cell][x / cell] += (double)luma[y * side + x] / (double)(cell * cell);
}

/* By ITU-R BT.601. */
static double grey_of(uint32_t red, uint32_t green, uint32_t blue) {
    return 0.299 * (double)red + 0.587 * (double)green + 0.114 * (double)blue;
}

/* The mean grey level of each SIDE-th of a row; the edges of these cut through pixels. */
static void shrink_row(const uint8_t *rgb, uint32_t width, double out[SIDE]) {
    double before = 0;
    uint32_t red = 0, green = 0, blue = 0; /* sums of the whole pixels so far: 24 bits at most */
    const uint8_t *pixel = rgb;
    for (uint64_t c = 0; c < SIDE; c++) {
        const uint64_t end = (c + 1) * width, part = end % SIDE; /* in SIDE-ths of a pixel */
        for (; pixel < rgb + 3 * (end / SIDE); pixel += 3) {
            red += pixel[0];
            green += pixel[1];
            blue += pixel[2];
        }
        double sum = grey_of(red, green, blue);
        if (part) sum += (double)part / SIDE * grey_of(pixel[0], pixel[1], pixel[2]);
        out[c] = (sum - before) * SIDE / width;
        before = sum;
    }
}

/* The mean grey level of each cell; of high pictures every so manieth row. */
static void shrink_pixels(const mq_pixels *pixels, double cells[SIDE][SIDE]) {
    const uint64_t height = pixels->height, rows = height / (SIDE * ROWS_EACH), step = rows ? rows : 1;
    double row[SIDE], weight[SIDE] = {0};
    memset(cells, 0, sizeof(double) * SIDE * SIDE);
    for (uint64_t y = 0; y < height; y += step) {
        shrink_row(pixels->rgb + 3 * y * pixels->width, pixels->width, row);
        for (uint64_t r = y * SIDE / height; r < SIDE && r * height < (y + 1) * SIDE; r++) {
            const uint64_t top = r * height > y * SIDE ? r * height : y * SIDE;
            const uint64_t bottom = (r + 1) * height < (y + 1) * SIDE ? (r + 1) * height : (y + 1) * SIDE;
            weight[r] += (double)(bottom - top);
            for (size_t c = 0; c < SIDE; c++) cells[r][c] += (double)(bottom - top) * row[c];
        }
    }
    for (size_t r = 0; r < SIDE; r++)
        for (size_t c = 0; c < SIDE; c++) cells[r][c] /= weight[r];
}

/* Turns the cells as a box would be. */
static void turn(double cells[SIDE][SIDE], int orientation) {
    double stored[SIDE][SIDE];
    memcpy(stored, cells, sizeof stored);
    for (int32_t y = 0; y < SIDE; y++)
        for (int32_t x = 0; x < SIDE; x++) {
            const mq_box box = mq_box_orient((mq_box){x, y, x + 1, y + 1}, SIDE, SIDE, orientation);
            cells[box.y1][box.x1] = stored[y][x];
        }
}

static double deviation_of(double cells[SIDE][SIDE]) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < SIDE * SIDE; i++) sum += cells[i / SIDE][i % SIDE];
    for (size_t i = 0; i < SIDE * SIDE; i++) {
        const double off = cells[i / SIDE][i % SIDE] - sum / (SIDE * SIDE);
        squares += off * off;
    }
    return sqrt(squares / (SIDE * SIDE));
}

/* out[v][u]: frequency u + 1 along the rows and v + 1 down the columns (DCT-II, not scaled: the median asks
 * for order alone). */
static void transform(double cells[SIDE][SIDE], double out[KEPT][KEPT]) {
    double wave[SIDE][KEPT], rows[SIDE][KEPT] = {{0}};
    const double step = acos(-1) / SIDE;
    memset(out, 0, sizeof(double) * BITS);
    for (size_t i = 0; i < SIDE; i++)
        for (size_t f = 0; f < KEPT; f++) wave[i][f] = cos(step * (double)(f + 1) * ((double)i + 0.5));
    for (size_t y = 0; y < SIDE; y++)
        for (size_t x = 0; x < SIDE; x++)
            for (size_t u = 0; u < KEPT; u++) rows[y][u] += cells[y][x] * wave[x][u];
    for (size_t y = 0; y < SIDE; y++)
        for (size_t v = 0; v < KEPT; v++)
            for (size_t u = 0; u < KEPT; u++) out[v][u] += rows[y][u] * wave[y][v];
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

static mq_phash hash_of(double cells[SIDE][SIDE]) {
    double values[KEPT][KEPT];
    transform(cells, values);
    mq_phash hash = {.upright = above_median(values)};
    for (size_t v = 0; v < KEPT; v++)
        for (size_t u = 0; u < KEPT; u += 2) values[v][u] = -values[v][u]; /* frequencies 1, 3, 5, 7 */
    hash.mirrored = above_median(values);
    return hash;
}

mq_phash mq_phash_of(const uint8_t *luma, size_t side) {
    double cells[SIDE][SIDE];
    shrink(luma, side, cells);
    return hash_of(cells);
}

bool mq_phash_of_pixels(const mq_pixels *pixels, int orientation, mq_phash *hash) {
    double cells[SIDE][SIDE];
    shrink_pixels(pixels, cells);
    if (deviation_of(cells) < PLAIN) return false;
    if (orientation > 1) turn(cells, orientation);
    *hash = hash_of(cells);
    return true;
}
