/* prepare_probe.c: shows what the library makes of a picture, for comparison with Pillow and TensorFlow.
 *
 *   prepare_probe decode FILE                    "WIDTH HEIGHT ORIENTATION\n" and RGB bytes
 *   prepare_probe salvage FILE                   the same of a picture that is cut short
 *   prepare_probe resize FILE W H pillow         RGB bytes
 *   prepare_probe resize FILE W H tensorflow     RGB, f32
 *   prepare_probe median FILE                    RGB bytes
 *   prepare_probe prepare FILE SIZE FIT RANGE FLIP [X1 Y1 X2 Y2 MARGIN]    f32; prepare-scaled: the same
 *   prepare_probe decode-smaller FILE EIGHTHS    as decode
 *   prepare_probe scaled FILE SIZE COUNT         for 1, 1.5, 2 and 3 times SIZE: the eighths at which it is
 * decoded, mean and largest difference of a byte from the exact square, and milliseconds; first the exact
 * ones prepare_probe time FILE W H COUNT            milliseconds for a decode and for a resize */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "data/denoise.h"
#include "data/prepare.h"
#include "data/region.h"
#include "data/resize.h"

#include <stdio.h>
#include <string.h>

static const uint8_t WHITE[3] = {255, 255, 255};

static uint32_t number(const char *text) {
    return (uint32_t)strtoul(text, NULL, 10);
}

static mq_status decode(mq_err *err, const char *name, const mq_buf *file, mq_pixels *pixels) {
    return mq_picture_decode(err, name, file->data, file->size, WHITE, pixels);
}

static mq_status show_decode(mq_err *err, const char *name, const mq_buf *file) {
    mq_status status = MQ_OK;
    mq_picture_info info;
    mq_pixels pixels = {0};
    MQ_TRY(mq_picture_probe(err, name, file->data, file->size, &info));
    MQ_TRY(decode(err, name, file, &pixels));
    printf("%u %u %d\n", pixels.width, pixels.height, info.orientation);
    fwrite(pixels.rgb, 3, (size_t)pixels.width * pixels.height, stdout);
cleanup:
    mq_pixels_free(&pixels);
    return status;
}

static mq_status show_salvage(mq_err *err, const char *name, const mq_buf *file) {
    mq_status status = MQ_OK;
    mq_picture_info info;
    mq_pixels pixels = {0};
    MQ_TRY(mq_picture_salvage(err, &(mq_encoded){name, file->data, file->size}, WHITE, &info, &pixels));
    printf("%u %u %d\n", pixels.width, pixels.height, info.orientation);
    fwrite(pixels.rgb, 3, (size_t)pixels.width * pixels.height, stdout);
cleanup:
    mq_pixels_free(&pixels);
    return status;
}

static mq_status show_resize(mq_err *err, char **args, const mq_buf *file) {
    mq_status status = MQ_OK;
    mq_pixels pixels = {0};
    uint8_t *out = NULL;
    const uint32_t w = number(args[1]), h = number(args[2]);
    const bool pillow = strcmp(args[3], "pillow") == 0;
    const size_t pixel = pillow ? 3 : 3 * sizeof(float);
    MQ_TRY(decode(err, args[0], file, &pixels));
    MQ_TRY(mq_alloc_aligned(err, (size_t)w * h, pixel, "the result", &out));
    if (pillow) MQ_TRY(mq_resize_pillow(err, mq_view_of(&pixels), w, h, out));
    if (!pillow) MQ_TRY(mq_resize_tensorflow(err, mq_view_of(&pixels), w, h, (float *)(void *)out));
    fwrite(out, pixel, (size_t)w * h, stdout);
cleanup:
    free(out);
    mq_pixels_free(&pixels);
    return status;
}

static mq_status show_prepare(mq_err *err, int count, char **args, const mq_buf *file, mq_decode how) {
    mq_status status = MQ_OK;
    float *out = NULL;
    mq_recipe recipe = mq_recipe_default(number(args[1]), (mq_range)number(args[3]));
    recipe.fit = (mq_fit)number(args[2]);
    recipe.decode = how;
    mq_box box = {0};
    if (count >= 10) {
        box = (mq_box){atoi(args[5]), atoi(args[6]), atoi(args[7]), atoi(args[8])};
        recipe.margin = strtod(args[9], NULL);
    }
    const size_t floats = (size_t)recipe.imgsz * recipe.imgsz * 3;
    MQ_TRY(mq_alloc_aligned(err, floats, sizeof *out, "the result", &out));
    MQ_TRY(mq_prepare(err, &recipe, &(mq_encoded){args[0], file->data, file->size}, count >= 10 ? &box : NULL,
                      &(mq_variant){.flip = number(args[4]) != 0}, out));
    fwrite(out, sizeof *out, floats, stdout);
cleanup:
    free(out);
    return status;
}

static mq_status show_median(mq_err *err, const char *name, const mq_buf *file) {
    mq_status status = MQ_OK;
    mq_pixels pixels = {0};
    MQ_TRY(decode(err, name, file, &pixels));
    MQ_TRY(mq_denoise_median(err, pixels.width, pixels.height, pixels.rgb));
    fwrite(pixels.rgb, 3, (size_t)pixels.width * pixels.height, stdout);
cleanup:
    mq_pixels_free(&pixels);
    return status;
}

static mq_status show_time(mq_err *err, char **args, const mq_buf *file) {
    mq_status status = MQ_OK;
    mq_pixels pixels = {0};
    uint8_t *out = NULL;
    const uint32_t w = number(args[1]), h = number(args[2]), count = number(args[3]);
    MQ_TRY(mq_alloc_aligned(err, (size_t)w * h, 3, "the result", &out));
    const double start = mq_seconds();
    for (uint32_t i = 0; i < count; i++) {
        mq_pixels_free(&pixels);
        MQ_TRY(decode(err, args[0], file, &pixels));
    }
    const double decoded = mq_seconds();
    for (uint32_t i = 0; i < count; i++) MQ_TRY(mq_resize_pillow(err, mq_view_of(&pixels), w, h, out));
    printf("%u x %u: decode %.3f ms, resize %.3f ms\n", pixels.width, pixels.height,
           (decoded - start) * 1e3 / count, (mq_seconds() - decoded) * 1e3 / count);
cleanup:
    free(out);
    mq_pixels_free(&pixels);
    return status;
}

static mq_status show_smaller(mq_err *err, char **args, const mq_buf *file) {
    mq_status status = MQ_OK;
    mq_pixels pixels = {0};
    MQ_TRY(mq_picture_decode_smaller(err, &(mq_encoded){args[0], file->data, file->size}, WHITE,
                                     number(args[1]), &pixels));
    printf("%u %u 1\n", pixels.width, pixels.height);
    fwrite(pixels.rgb, 3, (size_t)pixels.width * pixels.height, stdout);
cleanup:
    mq_pixels_free(&pixels);
    return status;
}

/* Decodes at eighths and resizes to a square, numbers: its side and how often; *ms is for one. */
static mq_status make_square(mq_err *err, const mq_encoded *in, uint32_t eighths, const uint32_t numbers[2],
                             double *ms, uint8_t *out) {
    mq_status status = MQ_OK;
    mq_picture_info info;
    mq_pixels pixels = {0};
    const uint32_t side = numbers[0], count = numbers[1];
    const double start = mq_seconds();
    for (uint32_t i = 0; i < count; i++) {
        mq_pixels_free(&pixels);
        MQ_TRY(mq_picture_probe(err, in->name, in->bytes, in->size, &info));
        MQ_TRY(mq_picture_decode_smaller(err, in, WHITE, eighths, &pixels));
        const mq_region region = mq_region_of(mq_view_of(&pixels), info.width, info.height, eighths);
        MQ_TRY(mq_resize_pillow_part(err, region.view, region.part, side, side, out));
    }
    *ms = (mq_seconds() - start) * 1e3 / count;
cleanup:
    mq_pixels_free(&pixels);
    return status;
}

static mq_status show_scaled(mq_err *err, char **args, const mq_buf *file) {
    mq_status status = MQ_OK;
    static const uint32_t HALVES[] = {2, 3, 4, 6};
    const mq_encoded in = {args[0], file->data, file->size};
    const uint32_t numbers[2] = {number(args[1]), number(args[2])}, side = numbers[0];
    const size_t bytes = (size_t)side * side * 3;
    mq_picture_info info;
    uint8_t *exact = NULL, *scaled = NULL;
    double ms = 0;
    MQ_TRY(mq_alloc_aligned(err, bytes, 1, "a square", &exact));
    MQ_TRY(mq_alloc_aligned(err, bytes, 1, "a square", &scaled));
    MQ_TRY(mq_picture_probe(err, in.name, in.bytes, in.size, &info));
    MQ_TRY(make_square(err, &in, 8, numbers, &ms, exact));
    printf("%u %u %.4f\n", info.width, info.height, ms);
    for (size_t k = 0; k < sizeof HALVES / sizeof *HALVES; k++) {
        const uint32_t eighths = mq_region_eighths((uint32_t[]){info.width, info.height},
                                                   (uint32_t[]){side, side}, HALVES[k]);
        size_t sum = 0, most = 0;
        MQ_TRY(make_square(err, &in, eighths, numbers, &ms, scaled));
        for (size_t i = 0; i < bytes; i++) {
            const size_t off = (size_t)abs(exact[i] - scaled[i]);
            sum += off;
            if (off > most) most = off;
        }
        printf("%g %u %.4f %zu %.4f\n", HALVES[k] / 2.0, eighths, (double)sum / (double)bytes, most, ms);
    }
cleanup:
    free(exact);
    free(scaled);
    return status;
}

int main(int argc, char **argv) {
    mq_err err = {0};
    mq_status status = MQ_USAGE;
    mq_buf file = mq_buf_init(SIZE_MAX / 2);
    if (argc > 2) status = mq_file_read(&err, argv[2], &file);
    if (status == MQ_OK) {
        status = MQ_USAGE;
        if (strcmp(argv[1], "decode") == 0) status = show_decode(&err, argv[2], &file);
        if (strcmp(argv[1], "salvage") == 0) status = show_salvage(&err, argv[2], &file);
        if (strcmp(argv[1], "decode-smaller") == 0 && argc == 4) status = show_smaller(&err, argv + 2, &file);
        if (strcmp(argv[1], "scaled") == 0 && argc == 5) status = show_scaled(&err, argv + 2, &file);
        if (strcmp(argv[1], "median") == 0) status = show_median(&err, argv[2], &file);
        if (strcmp(argv[1], "resize") == 0 && argc == 6) status = show_resize(&err, argv + 2, &file);
        if (strcmp(argv[1], "prepare") == 0 && argc >= 7)
            status = show_prepare(&err, argc - 2, argv + 2, &file, MQ_DECODE_EXACT);
        if (strcmp(argv[1], "prepare-scaled") == 0 && argc >= 7)
            status = show_prepare(&err, argc - 2, argv + 2, &file, MQ_DECODE_SCALED);
        if (strcmp(argv[1], "time") == 0 && argc == 6) status = show_time(&err, argv + 2, &file);
    }
    if (status != MQ_OK) fprintf(stderr, "%s\n", err.code ? err.text : "wrong arguments");
    mq_buf_free(&file);
    return (int)status;
}
