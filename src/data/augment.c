/* augment.c: the table of augmentations and the drawing of their values.
 * Called by prepare.c for each picture, by training for flips. Owns no state.
 * Invariant: a draw depends on (seed, epoch, sample, row, number) alone, and
 * an entry that draws nothing leaves every byte as evaluation has it. */
#include "data/augment.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/augment_parts.h"

#include <math.h>
#include <string.h>

/* Draws of a change while it is applied begin here, behind all that its row drew before. */
enum { APPLIED = 64 };

void mq_lane_words(mq_lane *lane, uint32_t words[4]) {
    const uint64_t place = (uint64_t)lane->row << 24 | (lane->next++ & 0xffffff);
    const uint32_t time = lane->draw->time, epoch = lane->draw->epoch ^ time << 20;
    const uint64_t rest = (uint64_t)(time >> 12) << 32; /* what has no room beside epochs */
    const uint64_t seed = lane->draw->seed ^ rest;
    mq_rng_words(seed, MQ_RNG_AUGMENT, epoch, place << 32 | lane->draw->sample, words);
}

double mq_lane_unit(mq_lane *lane) {
    uint32_t words[4];
    mq_lane_words(lane, words);
    return words[0] * 0x1p-32;
}

double mq_lane_between(mq_lane *lane, double low, double high) {
    return low + (high - low) * mq_lane_unit(lane);
}

size_t mq_lane_below(mq_lane *lane, size_t count) {
    return (size_t)(mq_lane_unit(lane) * (double)count);
}

void mq_change_add(mq_drawn *drawn, const mq_change *change) {
    if (drawn->count < MQ_CHANGES_MAX) drawn->changes[drawn->count++] = *change;
}

/* How far to either side of the middle: [-reach, reach). */
static double aside(mq_lane *lane, double reach) {
    return mq_lane_between(lane, -reach, reach);
}

static void draw_vflip(const mq_entry_of *entry, mq_lane *lane, mq_drawn *drawn) {
    (void)entry, (void)lane;
    MQ_CHANGE(drawn, MQ_VFLIP, 0);
}

/* How much larger. */
static void draw_zoom(const mq_entry_of *entry, mq_lane *lane, mq_drawn *drawn) {
    MQ_CHANGE(drawn, MQ_ZOOM, 1 + aside(lane, entry->argument));
}

/* Tangents along x and y, and whether it is about the corner instead of the middle. */
static void draw_shear(const mq_entry_of *entry, mq_lane *lane, mq_drawn *drawn) {
    const double degree = acos(-1) / 180, x = aside(lane, entry->argument), y = aside(lane, entry->argument);
    MQ_CHANGE(drawn, MQ_SHEAR, tan(x * degree), tan(y * degree), 0);
}

/* Degrees, counterclockwise. */
static void draw_rotate(const mq_entry_of *entry, mq_lane *lane, mq_drawn *drawn) {
    MQ_CHANGE(drawn, MQ_ROTATE, aside(lane, entry->argument));
}

/* To the right and down, in sides of the square. */
static void draw_shift(const mq_entry_of *entry, mq_lane *lane, mq_drawn *drawn) {
    const double x = aside(lane, entry->argument), y = aside(lane, entry->argument);
    MQ_CHANGE(drawn, MQ_SHIFT, x, y);
}

/* How far each corner moves inwards along x and y, in sides of the square: top left, top right, bottom right,
 * bottom left. */
static void draw_perspective(const mq_entry_of *entry, mq_lane *lane, mq_drawn *drawn) {
    mq_change change = {.row = MQ_PERSPECTIVE};
    for (size_t i = 0; i < 8; i++) change.v[i] = mq_lane_between(lane, 0, entry->argument / 2);
    mq_change_add(drawn, &change);
}

/* The factor of what lies between black, grey or the smoothed picture and the picture itself. */
static void draw_brightness(const mq_entry_of *entry, mq_lane *lane, mq_drawn *drawn) {
    MQ_CHANGE(drawn, MQ_BRIGHTNESS, 1 + aside(lane, entry->argument));
}

static void draw_contrast(const mq_entry_of *entry, mq_lane *lane, mq_drawn *drawn) {
    MQ_CHANGE(drawn, MQ_CONTRAST, 1 + aside(lane, entry->argument));
}

static void draw_saturation(const mq_entry_of *entry, mq_lane *lane, mq_drawn *drawn) {
    MQ_CHANGE(drawn, MQ_SATURATION, 1 + aside(lane, entry->argument));
}

static void draw_sharpness(const mq_entry_of *entry, mq_lane *lane, mq_drawn *drawn) {
    MQ_CHANGE(drawn, MQ_SHARPNESS, 1 + aside(lane, entry->argument));
}

/* Turns of the circle of colours. */
static void draw_hue(const mq_entry_of *entry, mq_lane *lane, mq_drawn *drawn) {
    MQ_CHANGE(drawn, MQ_HUE, aside(lane, entry->argument));
}

/* What has no value to draw: the lane's row, with the argument itself (bits, threshold). */
static void draw_as_given(const mq_entry_of *entry, mq_lane *lane, mq_drawn *drawn) {
    MQ_CHANGE(drawn, lane->row, entry->argument);
}

/* The deviation in pixels. */
static void draw_blur(const mq_entry_of *entry, mq_lane *lane, mq_drawn *drawn) {
    MQ_CHANGE(drawn, MQ_BLUR, mq_lane_between(lane, 0.1, fmax(entry->argument, 0.1)));
}

/* The deviation in grey levels. */
static void draw_noise(const mq_entry_of *entry, mq_lane *lane, mq_drawn *drawn) {
    MQ_CHANGE(drawn, MQ_NOISE, 255 * mq_lane_between(lane, 0, entry->argument));
}

/* A whole number from the argument to 100. */
static void draw_jpeg(const mq_entry_of *entry, mq_lane *lane, mq_drawn *drawn) {
    MQ_CHANGE(drawn, MQ_JPEG, entry->argument + (double)mq_lane_below(lane, (size_t)(101 - entry->argument)));
}

/* Left, top, width and height in sides of the square: an area of 2 % or more, one side up to 3.3 times the
 * other. */
static void draw_erase(const mq_entry_of *entry, mq_lane *lane, mq_drawn *drawn) {
    const double area = mq_lane_between(lane, fmin(0.02, entry->argument), entry->argument);
    const double ratio = exp(aside(lane, log(3.3)));
    const double w = fmin(1, sqrt(area * ratio)), h = fmin(1, sqrt(area / ratio));
    const double x = mq_lane_between(lane, 0, 1 - w), y = mq_lane_between(lane, 0, 1 - h);
    MQ_CHANGE(drawn, MQ_ERASE, x, y, w, h);
}

/* The table. hflip, crop and rrc are drawn by functions of their own, fill is a setting and mixup and cutmix
 * belong to batches: these have neither matrix nor apply. */
const mq_row mq_rows[MQ_ROWS] =
    {
#define ROW(number, word, p, from) [number] = {.entry = {.name = word, .probability = p, .source = from}
#define TAKES(about, value, low, high)                                                                       \
    .entry.meaning = about, .entry.standard = value, .entry.least = low, .entry.most = high
        ROW(MQ_HFLIP, "hflip", 0.5, "A. Krizhevsky et al., NIPS 2012"), .nothing = NAN},
             ROW(MQ_CROP, "crop", 1, "A. Krizhevsky et al., NIPS 2012"),
             TAKES("sides of the window, in those of what evaluation sees", 0.875, 0.05, 1), .nothing = 1
}
, ROW(MQ_RRC, "rrc", 1, "C. Szegedy et al., CVPR 2015"),
    TAKES("least area of the window, of what evaluation sees; sides 3:4 to 4:3 of its", 0.35, 0.01, 1),
    .nothing = NAN
}
, ROW(MQ_VFLIP, "vflip", 0.5, "A. Krizhevsky et al., NIPS 2012"), .nothing = NAN, .draw = draw_vflip,
                                                                  .matrix = mq_matrix_vflip
}
, ROW(MQ_ZOOM, "zoom", 1, "P. Simard et al., ICDAR 2003"),
    TAKES("larger or smaller by up to this share", 0.1, 0, 0.9), .draw = draw_zoom, .matrix = mq_matrix_zoom
}
, ROW(MQ_SHEAR, "shear", 1, "P. Simard et al., ICDAR 2003"),
    TAKES("degrees to either side, along x and along y", 5, 0, 60), .draw = draw_shear,
                                                                    .matrix = mq_matrix_shear
}
, ROW(MQ_ROTATE, "rotate", 1, "P. Simard et al., ICDAR 2003"), TAKES("degrees to either side", 10, 0, 180),
    .draw = draw_rotate, .matrix = mq_matrix_rotate
}
, ROW(MQ_SHIFT, "shift", 1, "P. Simard et al., ICDAR 2003"),
    TAKES("sides of the square, along x and along y", 0.1, 0, 1), .draw = draw_shift,
                                                                  .matrix = mq_matrix_shift
}
, ROW(MQ_PERSPECTIVE, "perspective", 0.5, "P. Heckbert, Fundamentals of Texture Mapping, 1989"),
    TAKES("each corner moves inwards by up to half of this, along x and along y", 0.2, 0, 0.9),
    .draw = draw_perspective, .matrix = mq_matrix_perspective
}
, ROW(MQ_FILL, "fill", 1, "none"),
    TAKES("grey level of what comes from outside; -1: the picture mirrored", -1, -1, 255), .nothing = -1
}
, ROW(MQ_BRIGHTNESS, "brightness", 1, "P. Haeberli, D. Voorhies, Iris Universe 1994"),
    TAKES("factor 1 plus or minus this, from black", 0.2, 0, 1), .draw = draw_brightness,
                                                                 .apply = mq_apply_brightness
}
, ROW(MQ_CONTRAST, "contrast", 1, "P. Haeberli, D. Voorhies, Iris Universe 1994"),
    TAKES("factor 1 plus or minus this, from the mean grey", 0.2, 0, 1), .draw = draw_contrast,
                                                                         .apply = mq_apply_contrast
}
, ROW(MQ_SATURATION, "saturation", 1, "P. Haeberli, D. Voorhies, Iris Universe 1994"),
    TAKES("factor 1 plus or minus this, from the grey picture", 0.2, 0, 1), .draw = draw_saturation,
                                                                            .apply = mq_apply_saturation
}
, ROW(MQ_HUE, "hue", 1, "A. R. Smith, SIGGRAPH 1978"),
    TAKES("turns of the circle of colours to either side", 0.05, 0, 0.5), .draw = draw_hue,
                                                                          .apply = mq_apply_hue
}
, ROW(MQ_GREY, "grey", 0.1, "ITU-R BT.601"), .nothing = NAN, .draw = draw_as_given, .apply = mq_apply_grey
}
, ROW(MQ_SHARPNESS, "sharpness", 0.5, "P. Haeberli, D. Voorhies, Iris Universe 1994"),
    TAKES("factor 1 plus or minus this, from the smoothed picture", 0.5, 0, 1), .draw = draw_sharpness,
                                                                                .apply = mq_apply_sharpness
}
, ROW(MQ_POSTERIZE, "posterize", 0.5, "E. Cubuk et al., CVPR 2019"),
    TAKES("bits kept of each channel", 4, 1, 8), .nothing = 8, .draw = draw_as_given,
                                                 .apply = mq_apply_posterize
}
, ROW(MQ_SOLARIZE, "solarize", 0.5, "E. Cubuk et al., CVPR 2019"),
    TAKES("levels from this on are inverted", 128, 0, 256), .nothing = 256, .draw = draw_as_given,
                                                            .apply = mq_apply_solarize
}
, ROW(MQ_AUTOCONTRAST, "autocontrast", 0.5, "E. Cubuk et al., CVPR 2019"),
    .nothing = NAN, .draw = draw_as_given, .apply = mq_apply_autocontrast
}
, ROW(MQ_EQUALIZE, "equalize", 0.5, "E. Cubuk et al., CVPR 2019"), .nothing = NAN, .draw = draw_as_given,
                                                                   .apply = mq_apply_equalize
}
, ROW(MQ_INVERT, "invert", 0.5, "E. Cubuk et al., CVPR 2019"), .nothing = NAN, .draw = draw_as_given,
                                                               .apply = mq_apply_invert
}
, ROW(MQ_RANDAUGMENT, "randaugment", 1, "E. Cubuk et al., CVPR workshops 2020"),
    TAKES("magnitude, of 30; second: operations", 9, 0, 30), .nothing = NAN, .second = 2, .second_least = 1,
                                                             .second_most = 8, .draw = mq_draw_randaugment
}
, ROW(MQ_TRIVIALAUGMENT, "trivialaugment", 1, "S. Mueller, F. Hutter, ICCV 2021"),
    .nothing = NAN, .draw = mq_draw_trivialaugment
}
, ROW(MQ_AUTOAUGMENT, "autoaugment", 1, "E. Cubuk et al., CVPR 2019"), .nothing = NAN,
                                                                       .draw = mq_draw_autoaugment
}
, ROW(MQ_BLUR, "blur", 0.5, "Gauss, cut at 3 deviations"),
    TAKES("deviation from 0.1 to this, in pixels", 1, 0, 10), .draw = draw_blur, .apply = mq_apply_blur
}
, ROW(MQ_NOISE, "noise", 0.5, "Gauss"), TAKES("deviation from 0 to this, 1 is white", 0.05, 0, 1),
    .draw = draw_noise, .apply = mq_apply_noise
}
, ROW(MQ_JPEG, "jpeg", 0.5, "ITU-T T.81"), TAKES("quality from this to 100", 50, 1, 100),
    .nothing = NAN, .draw = draw_jpeg, .apply = mq_apply_jpeg
}
, ROW(MQ_ERASE, "erase", 0.5, "Z. Zhong et al., AAAI 2020"),
    TAKES("largest area, of the square; the least is 0.02", 0.33, 0, 1), .draw = draw_erase,
                                                                         .apply = mq_apply_erase
}
, ROW(MQ_MIXUP, "mixup", 1, "H. Zhang et al., ICLR 2018"),
    TAKES("alpha of the Beta distribution of the share", 0.2, 0, 100)
}
, ROW(MQ_CUTMIX, "cutmix", 1, "S. Yun et al., ICCV 2019"),
    TAKES("alpha of the Beta distribution of the share", 1, 0, 100)
}
,
#undef ROW
#undef TAKES
}
;

bool mq_augment_row(size_t index, mq_augment_entry *entry) {
    if (index >= MQ_ROWS) return false;
    *entry = mq_rows[index].entry;
    return true;
}

size_t mq_augment_find(const char *name) {
    for (size_t i = 0; i < MQ_ROWS; i++)
        if (strcmp(mq_rows[i].entry.name, name) == 0) return i;
    return SIZE_MAX;
}

/* The row's lane behind the draw of its probability; false: it does not act on this picture. */
static bool acts(const mq_augment *a, mq_row_index row, const mq_draw *draw, mq_lane *lane) {
    *lane = (mq_lane){draw, (uint32_t)row, 0};
    return a->entries[row].on && mq_lane_unit(lane) < a->entries[row].probability;
}

bool mq_augment_flips(const mq_augment *a) {
    return a && a->entries[MQ_HFLIP].on;
}

/* Runs and caches of versions before this file drew a flip from the lowest bit. */
bool mq_augment_flip(const mq_augment *a, const mq_draw *draw) {
    if (!mq_augment_flips(a)) return false;
    const uint64_t view = (uint64_t)draw->time << 32 | draw->sample;
    const uint32_t word = mq_rng_u32(draw->seed, MQ_RNG_FLIP, draw->epoch, view);
    const uint32_t turned = ~(word >> 1 | word << 31);
    return turned * 0x1p-32 < a->entries[MQ_HFLIP].probability;
}

/* A window of those sides along one axis: not larger than the picture, not smaller than the object, which it
 * holds, at a place drawn evenly among all that do. */
static void place_window(mq_lane *lane, double side, uint32_t picture, int32_t span[2]) {
    const bool object = span[1] > span[0];
    const int32_t all = (int32_t)picture, least = object ? span[1] - span[0] : 1;
    int32_t size = side < all ? (int32_t)lround(side) : all;
    if (size < least) size = least;
    const int32_t low = object && span[1] > size ? span[1] - size : 0;
    const int32_t high = object && span[0] < all - size ? span[0] : all - size;
    span[0] = low + (int32_t)mq_lane_below(lane, (size_t)(high - low) + 1);
    span[1] = span[0] + size;
}

bool mq_augment_window(const mq_augment *a, const mq_draw *draw, const mq_scene *scene, mq_box *window) {
    mq_lane lane;
    double w = scene->seen.x2 - scene->seen.x1, h = scene->seen.y2 - scene->seen.y1;
    const mq_row_index row = a->entries[MQ_RRC].on ? MQ_RRC : MQ_CROP;
    if (!acts(a, row, draw, &lane)) return false;
    const double least = a->entries[row].argument;
    if (row == MQ_RRC) {
        const double area = scene->tight ? exp(aside(&lane, -log(least))) : mq_lane_between(&lane, least, 1);
        const double ratio = exp(aside(&lane, log(4.0 / 3)));
        w *= sqrt(area * ratio);
        h *= sqrt(area / ratio);
    } else {
        w *= scene->tight ? 1 / least : least;
        h *= scene->tight ? 1 / least : least;
    }
    int32_t x[2] = {0}, y[2] = {0};
    if (scene->object) x[0] = scene->object->x1, x[1] = scene->object->x2;
    if (scene->object) y[0] = scene->object->y1, y[1] = scene->object->y2;
    place_window(&lane, w, scene->width, x);
    place_window(&lane, h, scene->height, y);
    *window = (mq_box){x[0], y[0], x[1], y[1]};
    return true;
}

void mq_augment_draw(const mq_augment *a, const mq_draw *draw, mq_drawn *drawn) {
    mq_lane lane;
    *drawn = (mq_drawn){.draw = *draw, .fill = -1};
    if (a->entries[MQ_FILL].on) drawn->fill = (int)a->entries[MQ_FILL].argument;
    for (size_t i = 0; i < MQ_ROWS; i++)
        if (mq_rows[i].draw && acts(a, (mq_row_index)i, draw, &lane))
            mq_rows[i].draw(&a->entries[i], &lane, drawn);
}

mq_status mq_augment_apply(mq_err *err, const mq_drawn *drawn, uint32_t size, uint8_t *rgb) {
    mq_status status = MQ_OK;
    uint8_t *spare = NULL;
    MQ_TRY(mq_alloc_aligned(err, (size_t)size * size, 3, "a changed picture", &spare));
    mq_square square = {rgb, spare, size};
    mq_geometry_apply(drawn, &square);
    for (size_t i = 0; i < drawn->count; i++) {
        const mq_change *change = &drawn->changes[i];
        mq_lane lane = {&drawn->draw, (uint32_t)change->row, APPLIED};
        if (mq_rows[change->row].apply) MQ_TRY(mq_rows[change->row].apply(err, change, &lane, &square));
    }
    if (square.rgb != rgb) memcpy(rgb, square.rgb, (size_t)size * size * 3);
cleanup:
    free(spare);
    return status;
}
