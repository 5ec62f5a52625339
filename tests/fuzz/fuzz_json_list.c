/* fuzz_json_list.c: a list in a JSON object, an element at a time: what all of it parses to is what comes. */
#include "fuzz/fuzz.h"

#include "base/json_list.h"

static mq_status visit(mq_err *err, void *user, size_t index, const mq_json *element) {
    (void)err;
    size_t *elements = user;
    fuzz_require(index == *elements && element, "elements out of order");
    ++*elements;
    return MQ_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mq_err err = {0}, whole = {0};
    size_t elements = 0;
    mq_json *json = NULL;
    mq_json_list list = {"a", (const char *)data, size, "images", 0};
    const bool good = fuzz_judge(mq_json_list_each(&err, &list, visit, &elements), &err);
    if (good) fuzz_require(list.done <= size, "a list that ends behind its text");
    if (fuzz_judge(mq_json_parse(&whole, "a", data, size, &json), &whole) && good)
        fuzz_require(mq_json_size(mq_json_get(json, "images")) == elements, "another number of elements");
    mq_json_free(&json);
    return 0;
}
