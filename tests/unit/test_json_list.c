/* test_json_list.c: lists in large JSON, element by element, whatever stands around them. */
#include "unit/unit.h"

#include "base/json_list.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    long long values[8];
    size_t count;
    size_t fail_at; /* 0: never */
} seen;

static mq_status look(mq_err *err, void *user, size_t index, const mq_json *element) {
    seen *s = user;
    assert_int_equal(index, s->count);
    assert_true(s->count < 8);
    assert_true(mq_json_is_whole(mq_json_get(element, "v"), &s->values[s->count++]));
    return s->fail_at == s->count ? mq_fail(err, MQ_INTERRUPTED, "enough") : MQ_OK;
}

static mq_status walk(mq_err *err, const char *text, const char *key, seen *s) {
    /* A copy of the very size, so that a sanitizer sees the first byte too many. */
    const size_t size = strlen(text);
    char *copy = malloc(size + 1);
    assert_non_null(copy);
    memcpy(copy, text, size);
    char *tight = realloc(copy, size ? size : 1);
    assert_non_null(tight);
    *err = (mq_err){0};
    mq_json_list list = {.what = "x.json", .text = tight, .size = size, .key = key};
    const mq_status status = mq_json_list_each(err, &list, look, s);
    assert_true(list.done <= size && (list.done == 0) == (s->count == 0));
    free(tight);
    return status;
}

static const char TEXT[] =
    "\xef\xbb\xbf { \"a\" : [1, {\"list\": [{\"v\": 9}]}, \"]}\\\"\\\\\"], \"n\": -1.5e3,\n"
    "\"o\": {\"list\": []}, \"list\" : [ {\"v\": 1, \"w\": \"[{\"}, {\"v\":2.0}\r\n,{\"v\":3} ],"
    " \"empty\": [], \"last\": null }";

static void test_lists(void **state) {
    (void)state;
    mq_err err;
    seen s = {0};
    assert_ok(err, walk(&err, TEXT, "list", &s));
    assert_int_equal(s.count, 3);
    for (long long i = 0; i < 3; i++) assert_int_equal(s.values[i], i + 1);
    s = (seen){0};
    assert_ok(err, walk(&err, TEXT, "empty", &s));
    assert_int_equal(s.count, 0);
    s = (seen){.fail_at = 2};
    assert_int_equal(walk(&err, TEXT, "list", &s), MQ_INTERRUPTED);
    assert_int_equal(s.count, 2);
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {{"", "not a JSON object"},
                 {"[]", "not a JSON object"},
                 {"{}", "holds no list called list"},
                 {"{\"list\": 3}", "holds no list called list"},
                 {"{\"list\": {}}", "holds no list called list"},
                 {"{\"list\": [1]}", "x.json: list, element 1"},
                 {"{\"list\": [[]]}", "not an object"},
                 {"{\"list\": [{\"v\": 1} {\"v\": 2}]}", "cut off behind element 1"},
                 {"{\"list\": [{\"v\": 1},]}", "cut off in element 2"},
                 {"{\"list\": [{\"v\": 1, \"v\": 2}]}", "list, element 1"},
                 {"{\"a\" 1, \"list\": []}", "not a JSON object"},
                 {"{\"a\": \"never ends", "not a JSON object"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mq_err err;
        seen s = {0};
        assert_int_equal(walk(&err, cases[i].text, "list", &s), MQ_BAD_DATA);
        if (!strstr(err.text, cases[i].words)) fail_msg("%s: %s", cases[i].text, err.text);
    }
}

/* Cut anywhere: an error up to the end of the list, and never a look behind the end. */
static void test_cut(void **state) {
    (void)state;
    const size_t end = (size_t)(strstr(TEXT, " \"empty\"") - TEXT) - 1;
    for (size_t size = 0; size < strlen(TEXT); size++) {
        mq_err err;
        seen s = {0};
        char *cut = strdup(TEXT);
        assert_non_null(cut);
        cut[size] = 0;
        assert_int_equal(walk(&err, cut, "list", &s), size < end ? MQ_BAD_DATA : MQ_OK);
        free(cut);
    }
}

/* Brackets by the hundred thousand take no stack. */
static void test_deep(void **state) {
    (void)state;
    enum { DEEP = 300000 };
    mq_err err;
    seen s = {0};
    char *text = malloc(2 * DEEP + 64);
    assert_non_null(text);
    strcpy(text, "{\"a\": ");
    memset(text + 6, '[', DEEP);
    memset(text + 6 + DEEP, ']', DEEP);
    strcpy(text + 6 + 2 * DEEP, ", \"list\": [{\"v\": 4}]}");
    assert_ok(err, walk(&err, text, "list", &s));
    assert_int_equal(s.values[0], 4);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
