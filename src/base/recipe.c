/* recipe.c: the recipe as data. Called by model files, caches and the command line.
 * Invariant: what mq_recipe_to_json writes, mq_recipe_from_json reads back equal. */
#include "base/recipe.h"

#include <math.h>
#include <string.h>

enum { IMGSZ_MAX = 4096, MEMBERS = 8 };

static const char *const filter_names[] = {"pillow-bilinear", "tensorflow-bilinear", NULL};
static const char *const fit_names[] = {"stretch", "crop", "pad", NULL};
static const char *const denoise_names[] = {"none", "median", NULL};
static const char *const decode_names[] = {"exact", "scaled", NULL};
static const char *const range_names[] = {"tf", "unit", "caffe", NULL};

/* Members that a recipe has only where they say something, as each goes with MQ_FILTER_PILLOW alone. */
enum { DENOISE, DECODE, OPTIONAL };
static const struct {
    const char *member;
    const char *const *names; /* the first: as if there were none */
    const char *meaning;
} optional[OPTIONAL] = {[DENOISE] = {"denoise", denoise_names, "filter against noise"},
                        [DECODE] = {"decode", decode_names, "scaled decoding"}};

mq_recipe mq_recipe_default(uint32_t imgsz, mq_range range) {
    return (mq_recipe){.imgsz = imgsz,
                       .crop = true,
                       .apply_exif = true,
                       .filter = MQ_FILTER_PILLOW,
                       .fit = MQ_FIT_STRETCH,
                       .range = range,
                       .background = {255, 255, 255}};
}

mq_status mq_recipe_to_json(mq_err *err, const mq_recipe *r, mq_json **json) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_json_pack(err, json, "{s:i, s:b, s:b, s:f, s:s, s:s, s:s, s:[i,i,i]}", "imgsz", (int)r->imgsz,
                        "crop", (int)r->crop, "exif", (int)r->apply_exif, "margin", r->margin, "filter",
                        filter_names[r->filter], "fit", fit_names[r->fit], "range", range_names[r->range],
                        "background", (int)r->background[0], (int)r->background[1], (int)r->background[2]));
    const int values[OPTIONAL] = {[DENOISE] = (int)r->denoise, [DECODE] = (int)r->decode};
    for (size_t i = 0; i < OPTIONAL; i++)
        if (values[i])
            MQ_TRY(mq_json_set(err, *json, optional[i].member, mq_json_text(optional[i].names[values[i]])));
cleanup:
    return status;
}

static mq_status name_index(mq_err *err, const char *what, const char *const *names, const char *name,
                            int *index) {
    for (int i = 0; names[i]; i++) {
        if (strcmp(names[i], name) != 0) continue;
        *index = i;
        return MQ_OK;
    }
    return mq_fail(err, MQ_BAD_DATA,
                   "%s: the recipe says \"%.40s\", which this version of marque does not know", what, name);
}

/* Adds how many there are to *members. */
static mq_status read_optional(mq_err *err, const char *what, const mq_json *json, mq_filter filter,
                               int values[OPTIONAL], size_t *members) {
    mq_status status = MQ_OK;
    for (size_t i = 0; i < OPTIONAL; i++) {
        const char *name = mq_json_string(mq_json_get(json, optional[i].member));
        if (!name) continue;
        ++*members;
        MQ_TRY(name_index(err, what, optional[i].names, name, &values[i]));
        MQ_REQUIRE(!values[i] || filter == MQ_FILTER_PILLOW, err, MQ_BAD_DATA,
                   "%s: the recipe's %s goes with the resize of Pillow alone", what, optional[i].meaning);
    }
cleanup:
    return status;
}

mq_status mq_recipe_from_json(mq_err *err, const char *what, mq_json *json, mq_recipe *recipe) {
    mq_status status = MQ_OK;
    int imgsz, crop, exif, filter = 0, fit = 0, range = 0, background[3], values[OPTIONAL] = {0};
    size_t members = MEMBERS;
    double margin;
    const char *filter_name, *fit_name, *range_name;
    MQ_TRY(mq_json_unpack(err, what, json, "{s:i, s:b, s:b, s:F, s:s, s:s, s:s, s:[i,i,i]}", "imgsz", &imgsz,
                          "crop", &crop, "exif", &exif, "margin", &margin, "filter", &filter_name, "fit",
                          &fit_name, "range", &range_name, "background", &background[0], &background[1],
                          &background[2]));
    MQ_TRY(name_index(err, what, filter_names, filter_name, &filter));
    MQ_TRY(read_optional(err, what, json, (mq_filter)filter, values, &members));
    MQ_REQUIRE(mq_json_size(json) == members, err, MQ_BAD_DATA,
               "%s: the recipe has members that this version of marque does not know", what);
    MQ_TRY(name_index(err, what, fit_names, fit_name, &fit));
    MQ_TRY(name_index(err, what, range_names, range_name, &range));
    MQ_REQUIRE(imgsz > 0 && imgsz <= IMGSZ_MAX, err, MQ_BAD_DATA, "%s: the recipe's imgsz %d is not 1..%d",
               what, imgsz, IMGSZ_MAX);
    MQ_REQUIRE(isfinite(margin) && margin >= 0 && margin <= 10, err, MQ_BAD_DATA,
               "%s: the recipe's margin %g is not 0..10", what, margin);
    for (int i = 0; i < 3; i++)
        MQ_REQUIRE(background[i] >= 0 && background[i] <= 255, err, MQ_BAD_DATA,
                   "%s: the recipe's background is not three numbers 0..255", what);
    *recipe = (mq_recipe){
        .imgsz = (uint32_t)imgsz,
        .crop = crop,
        .apply_exif = exif,
        .margin = margin,
        .filter = (mq_filter)filter,
        .fit = (mq_fit)fit,
        .denoise = (mq_denoise)values[DENOISE],
        .decode = (mq_decode)values[DECODE],
        .range = (mq_range)range,
        .background = {(uint8_t)background[0], (uint8_t)background[1], (uint8_t)background[2]}};
cleanup:
    return status;
}
