/* augment_colour.c: changes of light and colour. Called through the table of
 * augment.c. Owns nothing. Invariant: each rounds as Pillow's ImageEnhance
 * and ImageOps do, so that a policy made elsewhere means the same here. */
#include "data/augment_parts.h"

#include <math.h>
#include <string.h>

static size_t bytes_of(const mq_square *square) {
    return (size_t)square->size * square->size * 3;
}

/* ITU-R BT.601 in Pillow's fixed point. */
static uint8_t grey_of(const uint8_t *rgb) {
    return (uint8_t)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
}

/* from + factor (to - from), cut to a byte, as Pillow's Image.blend (Haeberli and Voorhies). */
static uint8_t blend(uint8_t from, uint8_t to, float factor) {
    const float mixed = (float)from + factor * (float)(to - from);
    return mixed <= 0 ? 0 : mixed >= 255 ? 255 : (uint8_t)mixed;
}

/* Every byte of a channel through its table. */
static void look_up(mq_square *square, uint8_t table[3][256]) {
    uint8_t *rgb = square->rgb;
    const size_t bytes = bytes_of(square);
    for (size_t i = 0; i < bytes; i += 3)
        for (size_t c = 0; c < 3; c++) rgb[i + c] = table[c][rgb[i + c]];
}

/* The same blend of one grey level with every channel. */
static void blend_all(mq_square *square, uint8_t from, double factor) {
    uint8_t table[3][256];
    for (size_t v = 0; v < 256; v++) table[0][v] = blend(from, (uint8_t)v, (float)factor);
    memcpy(table[1], table[0], 256);
    memcpy(table[2], table[0], 256);
    look_up(square, table);
}

mq_status mq_apply_brightness(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square) {
    (void)err, (void)lane;
    blend_all(square, 0, change->v[0]);
    return MQ_OK;
}

mq_status mq_apply_contrast(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square) {
    (void)err, (void)lane;
    const size_t bytes = bytes_of(square);
    uint64_t sum = 0;
    for (size_t i = 0; i < bytes; i += 3) sum += grey_of(square->rgb + i);
    blend_all(square, (uint8_t)((double)sum / ((double)bytes / 3) + 0.5), change->v[0]);
    return MQ_OK;
}

mq_status mq_apply_saturation(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square) {
    (void)err, (void)lane;
    const size_t bytes = bytes_of(square);
    for (uint8_t *rgb = square->rgb, *end = rgb + bytes; rgb < end; rgb += 3) {
        const uint8_t grey = grey_of(rgb);
        for (size_t c = 0; c < 3; c++) rgb[c] = blend(grey, rgb[c], (float)change->v[0]);
    }
    return MQ_OK;
}

mq_status mq_apply_grey(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square) {
    (void)err, (void)lane, (void)change;
    const size_t bytes = bytes_of(square);
    for (size_t i = 0; i < bytes; i += 3) memset(square->rgb + i, grey_of(square->rgb + i), 3);
    return MQ_OK;
}

/* Smith's hexcone: the hue counts six sides of a hexagon, [0, 6). Turning it keeps value and chroma; a
 * channel is high for two sides of the six around its own corner, low for two, and slants between. */
static inline float channel_of(float hue, float corner, float low, float chroma) {
    const float apart = hue > corner ? hue - corner : corner - hue;
    const float share = 2 - (apart > 3 ? 6 - apart : apart);
    const float above = share > 0 ? share : 0;
    return low + chroma * (above < 1 ? above : 1) + 0.5f;
}

enum { HUE_BLOCK = 64 }; /* pixels, as planes of floats that vectors can take */

/* Turns the hue of planes r, g, b. Without branches, so that it becomes vector code. */
static void turn_block(float turn, float *restrict r, float *restrict g, float *restrict b) {
    for (size_t i = 0; i < HUE_BLOCK; i++) {
        const float more = r[i] > g[i] ? r[i] : g[i], high = more > b[i] ? more : b[i];
        const float less = r[i] < g[i] ? r[i] : g[i], low = less < b[i] ? less : b[i];
        const float chroma = high - low, unit = 1 / (chroma > 0 ? chroma : 1);
        const float blue = 4 + (r[i] - g[i]) * unit, green = 2 + (b[i] - r[i]) * unit;
        const float other = high == g[i] ? green : blue, red = (g[i] - b[i]) * unit;
        const float turned = (high == r[i] ? red : other) + turn;
        const float least = turned < 0 ? turned + 6 : turned, hue = least >= 6 ? least - 6 : least;
        r[i] = channel_of(hue, 0, low, chroma);
        g[i] = channel_of(hue, 2, low, chroma);
        b[i] = channel_of(hue, 4, low, chroma);
    }
}

mq_status mq_apply_hue(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square) {
    (void)err, (void)lane;
    const float turn = (float)(6 * (change->v[0] - floor(change->v[0])));
    const size_t pixels = (size_t)square->size * square->size;
    float planes[3][HUE_BLOCK] = {{0}};
    for (size_t start = 0; start < pixels; start += HUE_BLOCK) {
        const size_t count = pixels - start < HUE_BLOCK ? pixels - start : HUE_BLOCK;
        uint8_t *rgb = square->rgb + start * 3;
        for (size_t i = 0; i < count; i++)
            for (size_t c = 0; c < 3; c++) planes[c][i] = rgb[i * 3 + c];
        turn_block(turn, planes[0], planes[1], planes[2]);
        for (size_t i = 0; i < count; i++)
            for (size_t c = 0; c < 3; c++) rgb[i * 3 + c] = (uint8_t)planes[c][i];
    }
    return MQ_OK;
}

/* Pillow's SMOOTH: the neighbours once and the pixel five times, by 13; the border stays. */
static void smooth(const mq_square *square, uint8_t *out) {
    const size_t size = square->size, row = size * 3;
    memcpy(out, square->rgb, size * row);
    for (size_t y = 1; y + 1 < size; y++)
        for (size_t i = 3; i + 3 < row; i++) {
            const uint8_t *p = square->rgb + y * row + i, *up = p - row, *down = p + row;
            const uint32_t sum = 0u + up[-3] + up[0] + up[3] + p[-3] + 5u * p[0] + p[3] + down[-3] + down[0] +
                                 down[3];
            out[y * row + i] = (uint8_t)((2 * sum + 13) / 26);
        }
}

mq_status mq_apply_sharpness(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square) {
    (void)err, (void)lane;
    const size_t bytes = bytes_of(square);
    smooth(square, square->spare);
    for (size_t i = 0; i < bytes; i++)
        square->spare[i] = blend(square->spare[i], square->rgb[i], (float)change->v[0]);
    mq_square_swap(square);
    return MQ_OK;
}

mq_status mq_apply_posterize(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square) {
    (void)err, (void)lane;
    const uint8_t mask = (uint8_t)(0xff00 >> (int)change->v[0]);
    const size_t bytes = bytes_of(square);
    for (size_t i = 0; i < bytes; i++) square->rgb[i] &= mask;
    return MQ_OK;
}

mq_status mq_apply_solarize(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square) {
    (void)err, (void)lane;
    const size_t bytes = bytes_of(square);
    for (size_t i = 0; i < bytes; i++)
        if (square->rgb[i] >= change->v[0]) square->rgb[i] = (uint8_t)(255 - square->rgb[i]);
    return MQ_OK;
}

mq_status mq_apply_invert(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square) {
    (void)err, (void)lane, (void)change;
    const size_t bytes = bytes_of(square);
    for (size_t i = 0; i < bytes; i++) square->rgb[i] = (uint8_t)(255 - square->rgb[i]);
    return MQ_OK;
}

/* How often each level stands in each channel. */
static void count_levels(const mq_square *square, uint32_t counts[3][256]) {
    const size_t bytes = bytes_of(square);
    memset(counts, 0, 3 * sizeof *counts);
    for (size_t i = 0; i < bytes; i += 3)
        for (size_t c = 0; c < 3; c++) counts[c][square->rgb[i + c]]++;
}

static uint8_t byte_of(double level) {
    return level < 0 ? 0 : level > 255 ? 255 : (uint8_t)level;
}

/* Each channel's least level becomes 0 and its largest 255. */
mq_status mq_apply_autocontrast(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square) {
    (void)err, (void)lane, (void)change;
    uint32_t counts[3][256];
    uint8_t table[3][256];
    count_levels(square, counts);
    for (size_t c = 0; c < 3; c++) {
        size_t low = 0, high = 255;
        while (low < 255 && !counts[c][low]) low++;
        while (high > 0 && !counts[c][high]) high--;
        const double scale = high > low ? 255.0 / (double)(high - low) : 1;
        const double offset = high > low ? -(double)low * scale : 0;
        for (size_t v = 0; v < 256; v++) table[c][v] = byte_of((double)v * scale + offset);
    }
    look_up(square, table);
    return MQ_OK;
}

/* Each channel's levels spread so that each takes as many steps as there are pixels of it. */
mq_status mq_apply_equalize(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square) {
    (void)err, (void)lane, (void)change;
    uint32_t counts[3][256];
    uint8_t table[3][256];
    count_levels(square, counts);
    for (size_t c = 0; c < 3; c++) {
        size_t last = 255;
        while (last > 0 && !counts[c][last]) last--;
        const uint32_t all = square->size * square->size, step = (all - counts[c][last]) / 255;
        uint64_t n = step / 2;
        for (size_t v = 0; v < 256; n += counts[c][v++])
            table[c][v] = step ? byte_of((double)(n / step)) : (uint8_t)v;
    }
    look_up(square, table);
    return MQ_OK;
}
