/* sheet.c: a batch as a contact sheet. Called by training, for its first
 * batch, and by `marque inspect`. Owns nothing. Invariant: what is shown went
 * through the loader, so it is what a network gets. */
#include "data/sheet.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "data/encode.h"
#include "data/prepare.h"

#include <string.h>

enum { COLUMNS = 8, GAP = 4, PAPER = 255, QUALITY = 92, SHEET_LIMIT = 1 << 30 };

static bool is_png(const char *path) {
    return mq_text_ends_alike(path, ".png");
}

mq_status mq_sheet_check(mq_err *err, const char *path) {
    if (is_png(path) || mq_text_ends_alike(path, ".jpg") || mq_text_ends_alike(path, ".jpeg")) return MQ_OK;
    return mq_fail(err, MQ_USAGE, "%s: a sheet of pictures is written as .jpg or .png", path);
}

/* count pictures [size, size, 3] in a grid on white paper, from pixels as a network takes them. */
static mq_status lay_out(mq_err *err, const mq_recipe *recipe, const float *pixels, size_t count,
                         mq_pixels *sheet) {
    mq_status status = MQ_OK;
    const size_t size = recipe->imgsz, cell = size + GAP;
    const size_t columns = count < COLUMNS ? count : COLUMNS, lines = mq_ceil_div(count, columns);
    const size_t width = columns * cell + GAP, height = lines * cell + GAP;
    size_t bytes = 0;
    MQ_REQUIRE(width <= MQ_SIDE_MAX && height <= MQ_SIDE_MAX && mq_mul(width * 3, height, &bytes), err,
               MQ_USAGE, "a sheet of %zu x %zu pixels is too large", width, height);
    MQ_TRY(mq_alloc_aligned(err, bytes, 1, "a sheet of pictures", &sheet->rgb));
    memset(sheet->rgb, PAPER, bytes);
    sheet->width = (uint32_t)width;
    sheet->height = (uint32_t)height;
    for (size_t i = 0; i < count; i++)
        for (size_t y = 0; y < size; y++) {
            const size_t top = GAP + i / columns * cell + y, left = GAP + i % columns * cell;
            mq_unprepare(recipe, pixels + (i * size + y) * size * 3, size,
                         sheet->rgb + (top * width + left) * 3);
        }
cleanup:
    return status;
}

mq_status mq_sheet_write(mq_err *err, const mq_loader_plan *plan, const char *path) {
    mq_status status = MQ_OK;
    mq_loader *loader = NULL;
    mq_pixels sheet = {0};
    mq_buf file = mq_buf_init(SHEET_LIMIT);
    mq_loader_plan first = *plan;
    const float *pixels = NULL;
    size_t count = 0;
    if (first.count > first.batch) first.count = first.batch;
    MQ_TRY(mq_sheet_check(err, path));
    MQ_TRY(mq_loader_open(err, &first, &loader));
    MQ_TRY(mq_loader_next(err, loader, &pixels, &count));
    MQ_REQUIRE(count, err, MQ_BAD_DATA, "%s: there are no pictures to show", path);
    MQ_TRY(lay_out(err, plan->recipe, pixels, count, &sheet));
    const mq_view view = mq_view_of(&sheet);
    MQ_TRY(is_png(path) ? mq_png_encode(err, view, &file)
                        : mq_jpeg_encode(err, view, (mq_jpeg_style){.quality = QUALITY}, &file));
    MQ_TRY(mq_file_write(err, path, file.data, file.size));
cleanup:
    mq_loader_free(&loader);
    mq_pixels_free(&sheet);
    mq_buf_free(&file);
    return status;
}
