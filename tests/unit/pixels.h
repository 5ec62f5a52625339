/* pixels.h: what the tests of pictures share: golden files, rows of their indexes, pictures made up on the
 * spot. */
#ifndef MQ_UNIT_PIXELS_H
#define MQ_UNIT_PIXELS_H

#include "unit/unit.h"

#include "base/digest.h"
#include "base/file.h"
#include "base/mem.h"
#include "data/view.h"

#include <stdio.h>
#include <string.h>

/* The background that tests/golden/make_pixels.py lays under transparent pixels. */
static const uint8_t BACKGROUND[3] = {200, 100, 50};

#define GOLDEN "tests/golden/pixels/"

/* A golden file; the caller frees it. Tests run in the project's folder. */
static inline mq_buf golden(const char *name) {
    mq_err err = {0};
    char path[256];
    snprintf(path, sizeof path, GOLDEN "%s", name);
    mq_buf file = mq_buf_init(1 << 20);
    assert_ok(err, mq_file_read(&err, path, &file));
    return file;
}

static inline mq_pixels golden_pixels(const char *name) {
    mq_err err = {0};
    mq_buf file = golden(name);
    mq_pixels pixels = {0};
    assert_ok(err, mq_picture_decode(&err, name, file.data, file.size, BACKGROUND, &pixels));
    mq_buf_free(&file);
    return pixels;
}

/* The size and the digest of what Pillow makes of it. */
static inline void assert_picture(const char *name, const mq_pixels *pixels, uint32_t width, uint32_t height,
                                  const char *wanted) {
    mq_err err = {0};
    char hex[MQ_HEX_SIZE];
    assert_int_equal(pixels->width, width);
    assert_int_equal(pixels->height, height);
    assert_ok(err, mq_sha256_hex(&err, pixels->rgb, (size_t)width * height * 3, hex));
    if (strcmp(hex, wanted) != 0) fail_msg("%s: other pixels than Pillow's", name);
}

/* Noise, different for each seed; the caller frees it. */
static inline mq_pixels noise(uint32_t width, uint32_t height, uint32_t seed) {
    mq_err err = {0};
    mq_pixels pixels = {NULL, width, height};
    assert_ok(err, mq_calloc(&err, (size_t)width * height, 3, "noise", &pixels.rgb));
    for (size_t i = 0; i < (size_t)width * height * 3; i++) {
        seed = seed * 1664525u + 1013904223u;
        pixels.rgb[i] = (uint8_t)(seed >> 24);
    }
    return pixels;
}

/* A copy of a view as a picture of its own; the caller frees it. */
static inline mq_pixels copied(mq_view view) {
    mq_err err = {0};
    mq_pixels pixels = {NULL, view.width, view.height};
    const size_t row = (size_t)view.width * 3;
    assert_ok(err, mq_calloc(&err, view.height, row, "a copy", &pixels.rgb));
    for (size_t y = 0; y < view.height; y++) memcpy(pixels.rgb + y * row, view.rgb + y * view.stride, row);
    return pixels;
}

static inline void assert_same_pixels(const mq_pixels *a, const mq_pixels *b) {
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    assert_memory_equal(a->rgb, b->rgb, (size_t)a->width * a->height * 3);
}

#endif
