/* augment_parts.h: what the files augment_*.c share: the rows of the table, the draws of a row, the square of
 * pixels that changes work on. For no other file. */
#ifndef MQ_AUGMENT_PARTS_H
#define MQ_AUGMENT_PARTS_H

#include "data/augment.h"

/* The rows in the order in which they act; a row's number is also the lane of its draws. */
typedef enum {
    MQ_HFLIP,
    MQ_CROP,
    MQ_RRC,
    MQ_VFLIP,
    MQ_ZOOM,
    MQ_SHEAR,
    MQ_ROTATE,
    MQ_SHIFT,
    MQ_PERSPECTIVE,
    MQ_FILL,
    MQ_BRIGHTNESS,
    MQ_CONTRAST,
    MQ_SATURATION,
    MQ_HUE,
    MQ_GREY,
    MQ_SHARPNESS,
    MQ_POSTERIZE,
    MQ_SOLARIZE,
    MQ_AUTOCONTRAST,
    MQ_EQUALIZE,
    MQ_INVERT,
    MQ_RANDAUGMENT,
    MQ_TRIVIALAUGMENT,
    MQ_AUTOAUGMENT,
    MQ_BLUR,
    MQ_NOISE,
    MQ_JPEG,
    MQ_ERASE,
    MQ_MIXUP,
    MQ_CUTMIX,
    MQ_ROWS,
} mq_row_index;

/* The draws of one row for one picture, one after the other. */
typedef struct {
    const mq_draw *draw;
    uint32_t row;
    uint32_t next; /* number of the next draw, below 2^24 */
} mq_lane;

void mq_lane_words(mq_lane *lane, uint32_t words[4]);           /* four words of 32 bits */
double mq_lane_unit(mq_lane *lane);                             /* in [0, 1), 32 bits */
double mq_lane_between(mq_lane *lane, double low, double high); /* in [low, high) */
size_t mq_lane_below(mq_lane *lane, size_t count);              /* 0..count-1 */

/* One entry of a policy. */
typedef struct {
    bool on;
    double argument, second, probability;
} mq_entry_of;

struct mq_augment {
    mq_entry_of entries[MQ_ROWS];
    char *text;
};

/* The pixels that are changed, [size, size, 3], and as much memory beside them; a change may leave its result
 * in either and swap the two. */
typedef struct {
    uint8_t *rgb, *spare;
    uint32_t size;
} mq_square;

static inline void mq_square_swap(mq_square *square) {
    uint8_t *rgb = square->rgb;
    square->rgb = square->spare;
    square->spare = rgb;
}

/* Appends a change of row; its values follow, the rest are 0. */
#define MQ_CHANGE(drawn, number, ...) mq_change_add(drawn, &(const mq_change){number, {__VA_ARGS__}})
void mq_change_add(mq_drawn *drawn, const mq_change *change);

/* One row: what it takes, what it draws, and what it does. */
typedef struct {
    mq_augment_entry entry;
    double nothing; /* the argument with which it does nothing; NAN: there is none */
    double second, second_least, second_most; /* of a second argument; all 0: it takes none */
    void (*draw)(const mq_entry_of *entry, mq_lane *lane,
                 mq_drawn *drawn); /* appends changes; NULL: see augment.c */
    /* A change of place: where in the picture before it a point behind it comes from, [3, 3], around the
     * middle of a square of that size. */
    void (*matrix)(const mq_change *change, double size, double m[9]);
    /* Any other change. */
    mq_status (*apply)(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square);
} mq_row;

/* The table [MQ_ROWS]. */
extern const mq_row mq_rows[MQ_ROWS];

/* augment_geometry.c */
void mq_matrix_vflip(const mq_change *change, double size, double m[9]);
void mq_matrix_zoom(const mq_change *change, double size, double m[9]);
void mq_matrix_shear(const mq_change *change, double size, double m[9]);
void mq_matrix_rotate(const mq_change *change, double size, double m[9]);
void mq_matrix_shift(const mq_change *change, double size, double m[9]);
void mq_matrix_perspective(const mq_change *change, double size, double m[9]);
void mq_geometry_apply(const mq_drawn *drawn, mq_square *square); /* all of them in one pass */

/* augment_colour.c */
mq_status mq_apply_brightness(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square);
mq_status mq_apply_contrast(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square);
mq_status mq_apply_saturation(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square);
mq_status mq_apply_hue(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square);
mq_status mq_apply_grey(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square);
mq_status mq_apply_sharpness(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square);
mq_status mq_apply_posterize(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square);
mq_status mq_apply_solarize(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square);
mq_status mq_apply_autocontrast(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square);
mq_status mq_apply_equalize(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square);
mq_status mq_apply_invert(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square);

/* augment_noise.c */
mq_status mq_apply_blur(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square);
mq_status mq_apply_noise(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square);
mq_status mq_apply_jpeg(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square);
mq_status mq_apply_erase(mq_err *err, const mq_change *change, mq_lane *lane, mq_square *square);

/* augment_auto.c */
void mq_draw_randaugment(const mq_entry_of *entry, mq_lane *lane, mq_drawn *drawn);
void mq_draw_trivialaugment(const mq_entry_of *entry, mq_lane *lane, mq_drawn *drawn);
void mq_draw_autoaugment(const mq_entry_of *entry, mq_lane *lane, mq_drawn *drawn);

#endif
