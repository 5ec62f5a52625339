/* prepare.c: applies a recipe to a picture. Called by the loader, eval,
 * predict and whatever else feeds a network. Invariant: there is no other way
 * from pixels to a network's input, so training and use see the same bytes. */
#include "data/prepare.h"
#include "base/mem.h"
#include "data/denoise.h"
#include "data/frame.h"
#include "data/region.h"
#include "data/resize.h"

#include <math.h>
#include <string.h>

/* MQ_DECODE_SCALED keeps this many halves of the target's pixels on each side; docs/FORMATS.md and every
 * model that was trained so rely on it. */
enum { SCALED_HALVES = 4 };

/* x becomes x * 1 / divide - minus, in single precision and in this order, as Keras' preprocess_input does.
 */
typedef struct {
    float divide;
    float minus[3]; /* by output channel */
    bool bgr;
} range_rule;

static range_rule rule_of(mq_range range) {
    switch (range) {
    case MQ_RANGE_CAFFE:
        return (range_rule){1.0f, {103.939f, 116.779f, 123.68f}, true};
    case MQ_RANGE_UNIT:
        return (range_rule){255.0f, {0, 0, 0}, false};
    case MQ_RANGE_TF:
        break;
    }
    return (range_rule){127.5f, {1, 1, 1}, false};
}

static float apply_rule(const range_rule *rule, size_t channel, float value) {
    return value / rule->divide - rule->minus[channel];
}

/* The part of the network's square that a picture fills, and how it is written there. */
typedef struct {
    const mq_recipe *recipe;
    range_rule rule;
    uint32_t x, y, width, height; /* pixels of the square */
    bool flip;
    const mq_drawn *drawn; /* NULL: the pixels stay as they are */
    float *out;
} canvas;

static mq_box middle_square(mq_box box) {
    const int32_t w = box.x2 - box.x1, h = box.y2 - box.y1, side = w < h ? w : h;
    const int32_t x = box.x1 + (w - side) / 2, y = box.y1 + (h - side) / 2;
    return (mq_box){x, y, x + side, y + side};
}

/* The place of a region of w x h pixels. Of odd rests the larger part lies at the right and the bottom. */
static canvas place_of(const mq_recipe *recipe, uint32_t w, uint32_t h) {
    const uint32_t size = recipe->imgsz, shorter = w < h ? w : h, longer = w < h ? h : w;
    canvas to = {.recipe = recipe, .rule = rule_of(recipe->range), .width = size, .height = size};
    if (recipe->fit == MQ_FIT_PAD) {
        const uint32_t scaled = (uint32_t)lround((double)shorter * size / longer);
        if (w < h) to.width = scaled ? scaled : 1;
        if (h < w) to.height = scaled ? scaled : 1;
        to.x = (size - to.width) / 2;
        to.y = (size - to.height) / 2;
    }
    return to;
}

/* Finds the place and cuts the region to what goes there: MQ_FIT_CROP's middle square is cut first, so only
 * that is resized. */
static canvas fit(const mq_recipe *recipe, mq_region *region) {
    const uint32_t w = mq_region_width(region), h = mq_region_height(region);
    if (recipe->fit == MQ_FIT_CROP)
        *region = mq_region_cut(*region, middle_square((mq_box){0, 0, (int32_t)w, (int32_t)h}));
    return place_of(recipe, w, h);
}

/* The whole square in the colour that stands around padded pictures. */
static void fill_background(const canvas *to) {
    float colour[3];
    for (size_t c = 0; c < 3; c++)
        colour[c] = apply_rule(&to->rule, c, to->recipe->background[to->rule.bgr ? 2 - c : c]);
    const size_t count = (size_t)to->recipe->imgsz * to->recipe->imgsz;
    for (size_t i = 0; i < count; i++) memcpy(to->out + i * 3, colour, sizeof colour);
}

/* The first pixel of a row of the place: its leftmost, or when flipped its rightmost. */
static float *row_start(const canvas *to, size_t y) {
    const size_t size = to->recipe->imgsz, column = to->flip ? size - 1 - to->x : to->x;
    return to->out + ((to->y + y) * size + column) * 3;
}

/* Looks the 256 values of each channel up. pixels [height, width, 3] of the place. */
static void write_pixels(const canvas *to, const uint8_t *pixels) {
    float table[3][256];
    for (size_t c = 0; c < 3; c++)
        for (size_t v = 0; v < 256; v++) table[c][v] = apply_rule(&to->rule, c, (float)v);
    const size_t first = to->rule.bgr ? 2 : 0, third = 2 - first;
    const ptrdiff_t step = to->flip ? -3 : 3, width = (ptrdiff_t)to->width;
    const uint8_t *in = pixels;
    for (size_t y = 0; y < to->height; y++) {
        float *pixel = row_start(to, y);
        for (ptrdiff_t x = 0; x < width; x++, in += 3) {
            pixel[x * step] = table[0][in[first]];
            pixel[x * step + 1] = table[1][in[1]];
            pixel[x * step + 2] = table[2][in[third]];
        }
    }
}

/* Resizes as Pillow and filters as the recipe says. */
static mq_status resize_pillow(mq_err *err, const mq_region *region, const canvas *to, uint8_t *out) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_resize_pillow_part(err, region->view, region->part, to->width, to->height, out));
    if (to->recipe->denoise) MQ_TRY(mq_denoise_median(err, to->width, to->height, out));
cleanup:
    return status;
}

static mq_status write_bytes(mq_err *err, const mq_region *region, const canvas *to) {
    mq_status status = MQ_OK;
    uint8_t *resized = NULL;
    MQ_TRY(mq_alloc_aligned(err, (size_t)to->width * to->height, 3, "a resized picture", &resized));
    MQ_TRY(resize_pillow(err, region, to, resized));
    write_pixels(to, resized);
cleanup:
    free(resized);
    return status;
}

/* Resizes as TensorFlow, without rounding in between: exact pixels alone, which are all of the view. */
static mq_status write_floats(mq_err *err, const mq_region *region, const canvas *to) {
    mq_status status = MQ_OK;
    float *resized = NULL;
    MQ_TRY(mq_alloc_aligned(err, (size_t)to->width * to->height, 3 * sizeof(float), "a resized picture",
                            &resized));
    MQ_TRY(mq_resize_tensorflow(err, region->view, to->width, to->height, resized));
    const ptrdiff_t step = to->flip ? -3 : 3, width = (ptrdiff_t)to->width;
    const float *in = resized;
    for (size_t y = 0; y < to->height; y++) {
        float *pixel = row_start(to, y);
        for (ptrdiff_t x = 0; x < width; x++, in += 3)
            for (size_t c = 0; c < 3; c++)
                pixel[x * step + (ptrdiff_t)c] = apply_rule(&to->rule, c, in[to->rule.bgr ? 2 - c : c]);
    }
cleanup:
    free(resized);
    return status;
}

/* The place [height, width, 3] as bytes, whatever the filter. */
static mq_status resize_to_bytes(mq_err *err, const mq_region *region, const canvas *to, uint8_t *out) {
    mq_status status = MQ_OK;
    float *exact = NULL;
    const size_t pixels = (size_t)to->width * to->height;
    if (to->recipe->filter == MQ_FILTER_PILLOW) return resize_pillow(err, region, to, out);
    MQ_TRY(mq_alloc_aligned(err, pixels, 3 * sizeof *exact, "a resized picture", &exact));
    MQ_TRY(mq_resize_tensorflow(err, region->view, to->width, to->height, exact));
    for (size_t i = 0; i < pixels * 3; i++) out[i] = (uint8_t)(exact[i] + 0.5f);
cleanup:
    free(exact);
    return status;
}

/* Makes the square of bytes, padding included, changes it and writes it whole. */
static mq_status write_changed(mq_err *err, const mq_region *region, const canvas *to) {
    mq_status status = MQ_OK;
    const size_t size = to->recipe->imgsz, row = (size_t)to->width * 3;
    uint8_t *place = NULL, *square = NULL;
    canvas whole = *to;
    whole.x = whole.y = 0;
    whole.width = whole.height = to->recipe->imgsz;
    MQ_TRY(mq_alloc_aligned(err, (size_t)to->width * to->height, 3, "a resized picture", &place));
    MQ_TRY(mq_alloc_aligned(err, size * size, 3, "a resized picture", &square));
    MQ_TRY(resize_to_bytes(err, region, to, place));
    for (size_t i = 0; i < size * size; i++) memcpy(square + i * 3, to->recipe->background, 3);
    for (size_t y = 0; y < to->height; y++)
        memcpy(square + ((to->y + y) * size + to->x) * 3, place + y * row, row);
    MQ_TRY(mq_augment_apply(err, to->drawn, to->recipe->imgsz, square));
    write_pixels(&whole, square);
cleanup:
    free(place);
    free(square);
    return status;
}

/* What all ways to a network's input have in common; region is upright and cut. */
static mq_status prepare_region(mq_err *err, const mq_recipe *recipe, mq_region region,
                                const mq_variant *variant, float *out) {
    mq_drawn drawn = {0};
    if (recipe->imgsz == 0 || recipe->imgsz > MQ_SIDE_MAX)
        return mq_fail(err, MQ_USAGE, "a network's input of %u pixels a side is impossible (1 to %d)",
                       recipe->imgsz, MQ_SIDE_MAX);
    canvas to = fit(recipe, &region);
    to.out = out;
    to.flip = variant && variant->flip;
    if (variant && variant->augment) mq_augment_draw(variant->augment, &variant->draw, &drawn);
    to.drawn = &drawn;
    if (drawn.count) return write_changed(err, &region, &to);
    if (recipe->fit == MQ_FIT_PAD) fill_background(&to);
    return recipe->filter == MQ_FILTER_PILLOW ? write_bytes(err, &region, &to)
                                              : write_floats(err, &region, &to);
}

/* Grows box by margin on each side and cuts it at the edges of the picture, which is whole. */
static mq_status grow(mq_err *err, const mq_recipe *recipe, const char *name, mq_box whole, mq_box *box) {
    const int64_t w = whole.x2, h = whole.y2;
    const int64_t dx = llround(recipe->margin * ((double)box->x2 - box->x1));
    const int64_t dy = llround(recipe->margin * ((double)box->y2 - box->y1));
    const int64_t x1 = box->x1 - dx < 0 ? 0 : box->x1 - dx, x2 = box->x2 + dx > w ? w : box->x2 + dx;
    const int64_t y1 = box->y1 - dy < 0 ? 0 : box->y1 - dy, y2 = box->y2 + dy > h ? h : box->y2 + dy;
    if (x1 >= x2 || y1 >= y2)
        return mq_fail(err, MQ_BAD_DATA,
                       "%s: the box from (%d, %d) to (%d, %d) is empty or outside the picture of %d x %d",
                       name, box->x1, box->y1, box->x2, box->y2, whole.x2, whole.y2);
    *box = (mq_box){(int32_t)x1, (int32_t)y1, (int32_t)x2, (int32_t)y2};
    return MQ_OK;
}

static mq_box inside(mq_box box, mq_box whole) {
    return (mq_box){box.x1 < 0 ? 0 : box.x1, box.y1 < 0 ? 0 : box.y1, box.x2 > whole.x2 ? whole.x2 : box.x2,
                    box.y2 > whole.y2 ? whole.y2 : box.y2};
}

/* *seen comes as the whole picture and becomes what evaluation looks at, or the window that augmentation
 * draws instead. That one fills the square whatever its shape, so *recipe no longer cuts the middle out of
 * it. */
static mq_status look(mq_err *err, mq_recipe *recipe, const char *name, const mq_box *box,
                      const mq_variant *variant, mq_box *seen) {
    mq_status status = MQ_OK;
    const mq_box whole = *seen;
    mq_box window, object = {0};
    mq_scene scene = {.width = (uint32_t)whole.x2,
                      .height = (uint32_t)whole.y2,
                      .seen = whole,
                      .tight = recipe->crop && box};
    if (box) object = inside(*box, whole);
    if (object.x1 < object.x2 && object.y1 < object.y2) scene.object = &object;
    if (scene.tight) {
        scene.seen = *box;
        MQ_TRY(grow(err, recipe, name, whole, &scene.seen));
    }
    *seen = scene.seen;
    if (recipe->fit == MQ_FIT_CROP) scene.seen = middle_square(*seen);
    if (variant && variant->augment && mq_augment_window(variant->augment, &variant->draw, &scene, &window)) {
        if (recipe->fit == MQ_FIT_CROP) recipe->fit = MQ_FIT_STRETCH;
        *seen = window;
    }
cleanup:
    return status;
}

/* At how many eighths of its sides a picture is decoded, of which seen is wanted: a function of sizes alone.
 * Turned pictures need no thought, since their place turns with them, nor does MQ_FIT_CROP, whose square has
 * the shorter side. */
static uint32_t choose_eighths(const mq_recipe *recipe, const mq_picture_info *info, mq_box seen) {
    if (recipe->decode == MQ_DECODE_EXACT || !info->scales) return 8;
    const uint32_t sides[2] = {(uint32_t)(seen.x2 - seen.x1), (uint32_t)(seen.y2 - seen.y1)};
    const canvas to = place_of(recipe, sides[0], sides[1]);
    return mq_region_eighths(sides, (uint32_t[]){to.width, to.height}, SCALED_HALVES);
}

/* A picture decoded, cut and upright; region lies in one of the two pixels, which are owned. */
typedef struct {
    mq_pixels stored, upright;
    mq_region region;
} opened;

static void close_picture(opened *o) {
    mq_pixels_free(&o->stored);
    mq_pixels_free(&o->upright);
}

/* *recipe may change: see look. */
static mq_status open_picture(mq_err *err, mq_recipe *recipe, const mq_encoded *in, const mq_box *box,
                              const mq_variant *variant, opened *o) {
    mq_status status = MQ_OK;
    mq_picture_info info;
    MQ_TRY(mq_picture_probe(err, in->name, in->bytes, in->size, &info));
    /* The box counts in the picture as stored: cutting first turns fewer pixels and is the same picture. */
    mq_box seen = {0, 0, (int32_t)info.width, (int32_t)info.height};
    MQ_TRY(look(err, recipe, in->name, box, variant, &seen));
    const uint32_t eighths = choose_eighths(recipe, &info, seen);
    MQ_TRY(mq_picture_decode_smaller(err, in, recipe->background, eighths, &o->stored));
    MQ_REQUIRE(o->stored.width == (info.width * eighths + 7) / 8 &&
                   o->stored.height == (info.height * eighths + 7) / 8,
               err, MQ_BAD_DATA, "%s: has other sides than its header says; replace or convert it", in->name);
    o->region = mq_region_cut(mq_region_of(mq_view_of(&o->stored), info.width, info.height, eighths), seen);
    if (recipe->apply_exif && info.orientation != 1)
        MQ_TRY(mq_region_orient(err, &o->region, info.orientation, &o->upright));
cleanup:
    return status;
}

static mq_region region_of(const mq_pixels *pixels) {
    return mq_region_of(mq_view_of(pixels), pixels->width, pixels->height, 8);
}

mq_status mq_prepare(mq_err *err, const mq_recipe *recipe, const mq_encoded *in, const mq_box *box,
                     const mq_variant *variant, float *out) {
    mq_status status = MQ_OK;
    mq_recipe mine = *recipe;
    opened o = {.upright = {0}};
    MQ_TRY(open_picture(err, &mine, in, box, variant, &o));
    MQ_TRY(prepare_region(err, &mine, o.region, variant, out));
cleanup:
    close_picture(&o);
    return status;
}

mq_status mq_presize(mq_err *err, const mq_recipe *recipe, const mq_encoded *in, const mq_box *box,
                     uint8_t *rgb) {
    mq_status status = MQ_OK;
    mq_recipe mine = *recipe;
    opened o = {.upright = {0}};
    MQ_REQUIRE(recipe->fit == MQ_FIT_STRETCH && recipe->filter == MQ_FILTER_PILLOW && !recipe->decode, err,
               MQ_INTERNAL,
               "pictures are sized beforehand for --fit stretch, --filter pillow, --decode exact");
    MQ_TRY(open_picture(err, &mine, in, box, NULL, &o));
    MQ_TRY(mq_resize_pillow(err, o.region.view, recipe->imgsz, recipe->imgsz, rgb));
cleanup:
    close_picture(&o);
    return status;
}

mq_status mq_prepare_image(mq_err *err, const mq_recipe *recipe, const char *name, const mq_image *image,
                           float *out) {
    mq_status status = MQ_OK;
    mq_pixels pixels = {0};
    MQ_REQUIRE(image->data, err, MQ_USAGE, "%s: has no data", name);
    if (image->format == MQ_PIXELS_ENCODED)
        return mq_prepare(err, recipe, &(mq_encoded){name, image->data, image->data_size}, image->box, NULL,
                          out);
    MQ_TRY(mq_frame_pixels(err, name, image, recipe->background, &pixels));
    mq_box seen = {0, 0, (int32_t)pixels.width, (int32_t)pixels.height};
    if (recipe->crop && image->box) {
        const mq_box whole = seen;
        seen = *image->box;
        MQ_TRY(grow(err, recipe, name, whole, &seen));
    }
    MQ_TRY(prepare_region(err, recipe, mq_region_cut(region_of(&pixels), seen), NULL, out));
cleanup:
    mq_pixels_free(&pixels);
    return status;
}

mq_status mq_prepare_pixels(mq_err *err, const mq_recipe *recipe, const mq_pixels *pixels, bool flip,
                            float *out) {
    return prepare_region(err, recipe, region_of(pixels), &(mq_variant){.flip = flip}, out);
}

void mq_unprepare(const mq_recipe *recipe, const float *in, size_t count, uint8_t *rgb) {
    const range_rule rule = rule_of(recipe->range);
    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < 3; c++) {
            const float level = (in[i * 3 + c] + rule.minus[c]) * rule.divide;
            rgb[i * 3 + (rule.bgr ? 2 - c : c)] = (uint8_t)(fminf(fmaxf(level, 0), 255) + 0.5f);
        }
}
