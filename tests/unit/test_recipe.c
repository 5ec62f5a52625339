/* test_recipe.c: recipes as text: members that old versions do not know stand there only where they say
 * something, and what is not known is refused. */
#include "unit/unit.h"

#include "base/recipe.h"

#include <string.h>

static const struct {
    const char *member, *word, *wrong; /* a word nobody knows */
    mq_recipe recipe;                  /* the settings alone */
} OPTIONAL[] = {
    {"denoise", "median", "mean", {.denoise = MQ_DENOISE_MEDIAN}},
    {"decode", "scaled", "fast", {.decode = MQ_DECODE_SCALED}},
};

enum { OPTIONALS = sizeof OPTIONAL / sizeof *OPTIONAL };

static mq_recipe recipe_with(size_t i) {
    mq_recipe recipe = mq_recipe_default(299, MQ_RANGE_TF);
    recipe.denoise = OPTIONAL[i].recipe.denoise;
    recipe.decode = OPTIONAL[i].recipe.decode;
    return recipe;
}

static mq_json *text_of(const mq_recipe *recipe) {
    mq_err err = {0};
    mq_json *json = NULL;
    assert_ok(err, mq_recipe_to_json(&err, recipe, &json));
    return json;
}

static void assert_refused(mq_json *json, const char *words) {
    mq_err err = {0};
    mq_recipe back;
    assert_int_equal(mq_recipe_from_json(&err, "recipe", json, &back), MQ_BAD_DATA);
    if (!strstr(err.text, words)) fail_msg("%s", err.text);
}

static void test_standard(void **state) {
    (void)state;
    mq_err err = {0};
    const mq_recipe recipe = mq_recipe_default(299, MQ_RANGE_CAFFE);
    mq_recipe back = {.denoise = MQ_DENOISE_MEDIAN, .decode = MQ_DECODE_SCALED};
    mq_json *json = text_of(&recipe);
    for (size_t i = 0; i < OPTIONALS; i++) assert_null(mq_json_get(json, OPTIONAL[i].member));
    assert_ok(err, mq_recipe_from_json(&err, "recipe", json, &back));
    assert_true(back.imgsz == 299 && back.crop && back.apply_exif && back.margin == 0);
    assert_true(back.filter == MQ_FILTER_PILLOW && back.fit == MQ_FIT_STRETCH);
    assert_true(back.range == MQ_RANGE_CAFFE && back.background[2] == 255);
    assert_true(back.denoise == MQ_DENOISE_NONE && back.decode == MQ_DECODE_EXACT);
    assert_ok(err, mq_json_set(&err, json, "sharpen", mq_json_text("none")));
    assert_refused(json, "members that this version of marque does not know");
    mq_json_free(&json);
}

static void test_optional(void **state) {
    (void)state;
    for (size_t i = 0; i < OPTIONALS; i++) {
        mq_err err = {0};
        mq_recipe recipe = recipe_with(i), back;
        mq_json *json = text_of(&recipe);
        assert_string_equal(mq_json_string(mq_json_get(json, OPTIONAL[i].member)), OPTIONAL[i].word);
        assert_ok(err, mq_recipe_from_json(&err, "recipe", json, &back));
        assert_true(back.denoise == recipe.denoise && back.decode == recipe.decode);
        assert_ok(err, mq_json_set(&err, json, OPTIONAL[i].member, mq_json_text(OPTIONAL[i].wrong)));
        assert_refused(json, OPTIONAL[i].wrong);
        mq_json_free(&json);
        recipe.filter = MQ_FILTER_TENSORFLOW;
        json = text_of(&recipe);
        assert_refused(json, "goes with the resize of Pillow alone");
        mq_json_free(&json);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_standard), cmocka_unit_test(test_optional)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
