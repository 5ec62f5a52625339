/* recipe.h: how a stored picture becomes what a network takes. It belongs to a
 * model, is stored in the model file, and data/prepare.c alone applies it. */
#ifndef MQ_RECIPE_H
#define MQ_RECIPE_H

#include "base/json.h"

typedef enum {
    MQ_FILTER_PILLOW, /* bilinear with support stretched when shrinking (antialiased), Pillow's fixed point */
    MQ_FILTER_TENSORFLOW, /* tf.image.resize: bilinear between four pixels, half-pixel centres, no
                             antialiasing */
} mq_filter;

typedef enum {
    MQ_FIT_STRETCH, /* to size x size whatever the shape */
    MQ_FIT_CROP,    /* shorter side to size, centre kept */
    MQ_FIT_PAD,     /* longer side to size, background around */
} mq_fit;

typedef enum {
    MQ_DENOISE_NONE,
    MQ_DENOISE_MEDIAN, /* of 3 x 3 pixels, after the resize; with MQ_FILTER_PILLOW only */
} mq_denoise;

typedef enum {
    MQ_RANGE_TF,    /* x / 127.5 - 1, RGB: Xception, Inception (Keras' mode "tf") */
    MQ_RANGE_UNIT,  /* x / 255, RGB */
    MQ_RANGE_CAFFE, /* BGR minus 103.939, 116.779, 123.68: ResNet50, VGG (Keras' mode "caffe") */
} mq_range;

typedef enum {
    MQ_DECODE_EXACT,
    MQ_DECODE_SCALED, /* JPEGs much larger than needed are made smaller as they are decoded; with
                         MQ_FILTER_PILLOW only */
} mq_decode;

typedef struct {
    uint32_t imgsz;  /* side of the network's input, pixels */
    bool crop;       /* cut to the box where there is one */
    bool apply_exif; /* turn the picture as its EXIF orientation says */
    double margin;   /* added around the box on each side, as a fraction of its width and height */
    mq_filter filter;
    mq_fit fit;
    mq_denoise denoise;
    mq_decode decode;
    mq_range range;
    uint8_t background[3]; /* under transparent pixels and around padded pictures, RGB */
} mq_recipe;

/* crop, EXIF applied, no margin, Pillow's bilinear, stretched, no filter against noise, decoded exactly,
 * white background. */
mq_recipe mq_recipe_default(uint32_t imgsz, mq_range range);

/* To a JSON object (the caller's) and back; unknown members and values are refused, naming them. A
 * recipe without a filter against noise has no member "denoise", one that decodes exactly no member "decode":
 * its text is that of older versions. */
MQ_MUST_USE mq_status mq_recipe_to_json(mq_err *err, const mq_recipe *recipe, mq_json **json);
MQ_MUST_USE mq_status mq_recipe_from_json(mq_err *err, const char *what, mq_json *json, mq_recipe *recipe);

#endif
