/* fuzz_recipe.c: JSON from outside, as a recipe: what is taken must survive being written and read again. */
#include "fuzz/fuzz.h"

#include "base/recipe.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mq_err err = {0};
    mq_json *json = NULL, *again = NULL;
    mq_recipe recipe, copy;
    memset(&recipe, 0, sizeof recipe);
    memset(&copy, 0, sizeof copy);
    if (fuzz_judge(mq_json_parse(&err, "a", (const char *)data, size, &json), &err) &&
        fuzz_judge(mq_recipe_from_json(&err, "a", json, &recipe), &err)) {
        fuzz_require(mq_recipe_to_json(&err, &recipe, &again) == MQ_OK, "a recipe that cannot be written");
        fuzz_require(mq_recipe_from_json(&err, "a", again, &copy) == MQ_OK,
                     "a recipe that cannot be read again");
        fuzz_require(copy.imgsz == recipe.imgsz && copy.fit == recipe.fit && copy.filter == recipe.filter,
                     "a recipe that comes back as another");
    }
    mq_json_free(&json);
    mq_json_free(&again);
    return 0;
}
