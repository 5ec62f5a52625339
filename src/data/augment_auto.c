/* augment_auto.c: policies that were searched for, or that need no search.
 * Called through the table of augment.c. Owns nothing. Invariant: what they
 * draw are changes of the other rows, with torchvision's magnitudes. */
#include "data/augment_parts.h"

#include <math.h>

/* The operations of the three papers, in torchvision's order. */
typedef enum {
    IDENTITY,
    SHEAR_X,
    SHEAR_Y,
    TRANSLATE_X,
    TRANSLATE_Y,
    ROTATE,
    BRIGHTNESS,
    COLOR,
    CONTRAST,
    SHARPNESS,
    POSTERIZE,
    SOLARIZE,
    AUTOCONTRAST,
    EQUALIZE,
    OPERATIONS, /* RandAugment and TrivialAugment draw from these */
    INVERT = OPERATIONS,
} operation;

/* The magnitudes at the end of the range. */
typedef struct {
    double shear;     /* tangent */
    double translate; /* sides */
    double rotate;    /* degrees */
    double factor;    /* of brightness, colour, contrast and sharpness: 1 plus or minus this */
    double bits;      /* that posterize takes away */
} magnitudes;

static const magnitudes NARROW = {0.3, 150.0 / 331, 30, 0.9, 4}; /* AutoAugment, RandAugment */
/* TrivialAugment's wide space. Its 32 pixels are of 224 here, so that they mean the same at every size. */
static const magnitudes WIDE = {0.99, 32.0 / 224, 135, 0.99, 6};

/* One operation at level (0..1 of its reach); sign is 1 or -1. */
static void add(mq_drawn *drawn, operation op, const magnitudes *reach, double level, double sign) {
    const double signed_level = sign * level;
    switch (op) {
    case SHEAR_X:
        MQ_CHANGE(drawn, MQ_SHEAR, signed_level * reach->shear, 0, 1);
        break;
    case SHEAR_Y:
        MQ_CHANGE(drawn, MQ_SHEAR, 0, signed_level * reach->shear, 1);
        break;
    case TRANSLATE_X:
        MQ_CHANGE(drawn, MQ_SHIFT, signed_level * reach->translate, 0);
        break;
    case TRANSLATE_Y:
        MQ_CHANGE(drawn, MQ_SHIFT, 0, signed_level * reach->translate);
        break;
    case ROTATE:
        MQ_CHANGE(drawn, MQ_ROTATE, signed_level * reach->rotate);
        break;
    case BRIGHTNESS:
        MQ_CHANGE(drawn, MQ_BRIGHTNESS, 1 + signed_level * reach->factor);
        break;
    case COLOR:
        MQ_CHANGE(drawn, MQ_SATURATION, 1 + signed_level * reach->factor);
        break;
    case CONTRAST:
        MQ_CHANGE(drawn, MQ_CONTRAST, 1 + signed_level * reach->factor);
        break;
    case SHARPNESS:
        MQ_CHANGE(drawn, MQ_SHARPNESS, 1 + signed_level * reach->factor);
        break;
    case POSTERIZE:
        MQ_CHANGE(drawn, MQ_POSTERIZE, 8 - nearbyint(level * reach->bits));
        break;
    case SOLARIZE:
        MQ_CHANGE(drawn, MQ_SOLARIZE, 255 * (1 - level));
        break;
    case AUTOCONTRAST:
        MQ_CHANGE(drawn, MQ_AUTOCONTRAST, 0);
        break;
    case EQUALIZE:
        MQ_CHANGE(drawn, MQ_EQUALIZE, 0);
        break;
    case INVERT:
        MQ_CHANGE(drawn, MQ_INVERT, 0);
        break;
    case IDENTITY:
        break;
    }
}

static double draw_sign(mq_lane *lane) {
    return mq_lane_unit(lane) < 0.5 ? 1 : -1;
}

void mq_draw_randaugment(const mq_entry_of *entry, mq_lane *lane, mq_drawn *drawn) {
    for (double done = 0; done < entry->second; done++) {
        const operation op = (operation)mq_lane_below(lane, OPERATIONS);
        add(drawn, op, &NARROW, entry->argument / 30, draw_sign(lane));
    }
}

void mq_draw_trivialaugment(const mq_entry_of *entry, mq_lane *lane, mq_drawn *drawn) {
    (void)entry;
    const operation op = (operation)mq_lane_below(lane, OPERATIONS);
    const double level = (double)mq_lane_below(lane, 31) / 30;
    add(drawn, op, &WIDE, level, draw_sign(lane));
}

/* ImageNet's 25 policies of two operations: which, how probable, how strong (of 9). */
typedef struct {
    operation op;
    double probability;
    double level;
} part;

static const part IMAGENET[25][2] = {
    {{POSTERIZE, 0.4, 8}, {ROTATE, 0.6, 9}},  {{SOLARIZE, 0.6, 5}, {AUTOCONTRAST, 0.6, 0}},
    {{EQUALIZE, 0.8, 0}, {EQUALIZE, 0.6, 0}}, {{POSTERIZE, 0.6, 7}, {POSTERIZE, 0.6, 6}},
    {{EQUALIZE, 0.4, 0}, {SOLARIZE, 0.2, 4}}, {{EQUALIZE, 0.4, 0}, {ROTATE, 0.8, 8}},
    {{SOLARIZE, 0.6, 3}, {EQUALIZE, 0.6, 0}}, {{POSTERIZE, 0.8, 5}, {EQUALIZE, 1.0, 0}},
    {{ROTATE, 0.2, 3}, {SOLARIZE, 0.6, 8}},   {{EQUALIZE, 0.6, 0}, {POSTERIZE, 0.4, 6}},
    {{ROTATE, 0.8, 8}, {COLOR, 0.4, 0}},      {{ROTATE, 0.4, 9}, {EQUALIZE, 0.6, 0}},
    {{EQUALIZE, 0.0, 0}, {EQUALIZE, 0.8, 0}}, {{INVERT, 0.6, 0}, {EQUALIZE, 1.0, 0}},
    {{COLOR, 0.6, 4}, {CONTRAST, 1.0, 8}},    {{ROTATE, 0.8, 8}, {COLOR, 1.0, 2}},
    {{COLOR, 0.8, 8}, {SOLARIZE, 0.8, 7}},    {{SHARPNESS, 0.4, 7}, {INVERT, 0.6, 0}},
    {{SHEAR_X, 0.6, 5}, {EQUALIZE, 1.0, 0}},  {{COLOR, 0.4, 0}, {EQUALIZE, 0.6, 0}},
    {{EQUALIZE, 0.4, 0}, {SOLARIZE, 0.2, 4}}, {{SOLARIZE, 0.6, 5}, {AUTOCONTRAST, 0.6, 0}},
    {{INVERT, 0.6, 0}, {EQUALIZE, 1.0, 0}},   {{COLOR, 0.6, 4}, {CONTRAST, 1.0, 8}},
    {{EQUALIZE, 0.8, 0}, {EQUALIZE, 0.6, 0}},
};

void mq_draw_autoaugment(const mq_entry_of *entry, mq_lane *lane, mq_drawn *drawn) {
    (void)entry;
    const part *policy = IMAGENET[mq_lane_below(lane, 25)];
    for (size_t i = 0; i < 2; i++) {
        const bool acts = mq_lane_unit(lane) < policy[i].probability;
        const double sign = draw_sign(lane);
        if (acts) add(drawn, policy[i].op, &NARROW, policy[i].level / 9, sign);
    }
}
