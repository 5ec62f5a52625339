/* test_json_stream.c: what is written piece by piece is what jansson makes of the whole. */
#include "unit/unit.h"

#include "base/json_stream.h"

#include <stdlib.h>
#include <string.h>

enum { CALLS = 100 };

typedef struct {
    mq_buf text;
    size_t calls, largest;
    size_t fail_at; /* 0: never */
} seen;

static mq_status collect(mq_err *err, void *user, const void *data, size_t size) {
    seen *s = user;
    s->calls++;
    s->largest = size > s->largest ? size : s->largest;
    if (s->calls == s->fail_at) return mq_fail(err, MQ_IO, "full");
    return mq_buf_add(err, &s->text, data, size);
}

static mq_json *value(const char *text) {
    mq_err err = {0};
    mq_json *json = NULL;
    assert_ok(err, mq_json_parse(&err, "a test", text, strlen(text), &json));
    return json;
}

/* Everything that may stand in everything, empty ones too; texts with what must not be taken for a line's
 * end. */
static const char WHOLE[] =
    "{\"a\": 1.5, \"b\": {\"x\": [1, {\"y\": []}, {}], \"t\": \"two\\nlines \\\\n \\\" \xc3\xa9\"}, "
    "\"none\": [], \"list\": [{\"v\": 1, \"w\": [1, 2]}, {}, {\"inner\": [true, null]}], \"empty\": {}, "
    "\"last\": \"z\"}";

static void test_same_text(void **state) {
    (void)state;
    mq_err err = {0};
    seen s = {.text = mq_buf_init(1 << 20)};
    char *wanted = NULL;
    mq_json *whole = value(WHOLE);
    assert_ok(err, mq_json_dump(&err, whole, 1, &wanted));
    mq_json_stream out = mq_json_stream_init(collect, &s);
    mq_json *shared[2] = {NULL};
    assert_ok(err, mq_json_pack(&err, &shared[0], "{s:f, s:O}", "a", 1.5, "b", mq_json_get(whole, "b")));
    assert_ok(err, mq_json_pack(&err, &shared[1], "O", mq_json_at(mq_json_get(whole, "list"), 0)));
    assert_ok(err, mq_json_stream_open(&err, &out, NULL, '{'));
    assert_ok(err, mq_json_stream_merge(&err, &out, shared[0]));
    assert_ok(err, mq_json_stream_open(&err, &out, "none", '['));
    assert_ok(err, mq_json_stream_close(&err, &out));
    assert_ok(err, mq_json_stream_open(&err, &out, "list", '['));
    assert_ok(err, mq_json_stream_add(&err, &out, NULL, shared[1]));
    assert_ok(err, mq_json_stream_open(&err, &out, NULL, '{'));
    assert_ok(err, mq_json_stream_close(&err, &out));
    assert_ok(err, mq_json_stream_open(&err, &out, NULL, '{'));
    assert_ok(err, mq_json_stream_add(&err, &out, "inner", value("[true, null]")));
    assert_ok(err, mq_json_stream_close(&err, &out));
    assert_ok(err, mq_json_stream_close(&err, &out));
    assert_ok(err, mq_json_stream_add(&err, &out, "empty", value("{}")));
    assert_ok(err, mq_json_stream_add(&err, &out, "last", mq_json_text("z")));
    assert_int_equal(s.calls, 0);
    assert_ok(err, mq_json_stream_close(&err, &out));
    assert_int_equal(s.text.size, strlen(wanted) + 1);
    assert_memory_equal(s.text.data, wanted, strlen(wanted));
    assert_int_equal(s.text.data[s.text.size - 1], '\n');
    mq_json_stream_free(&out);
    mq_json_free(&whole);
    mq_buf_free(&s.text);
    free(wanted);
}

/* A long list goes out as it comes; a sink that fails ends it. */
static void test_pieces(void **state) {
    (void)state;
    for (size_t fail_at = 0; fail_at < 3; fail_at += 2) {
        mq_err err = {0};
        seen s = {.text = mq_buf_init(1 << 26), .fail_at = fail_at};
        mq_json_stream out = mq_json_stream_init(collect, &s);
        mq_status status = mq_json_stream_open(&err, &out, NULL, '[');
        for (long long i = 0; i < 200000 && status == MQ_OK; i++) {
            mq_json *one = NULL;
            assert_ok(err, mq_json_pack(&err, &one, "{s:I, s:s}", "i", i, "name", "of a picture"));
            status = mq_json_stream_add(&err, &out, NULL, one);
        }
        if (status == MQ_OK) status = mq_json_stream_close(&err, &out);
        assert_int_equal(status, fail_at ? MQ_IO : MQ_OK);
        assert_true(s.largest < 70000);
        if (fail_at) {
            assert_int_equal(s.calls, fail_at);
        } else {
            mq_json *all = NULL;
            assert_true(s.calls > CALLS);
            assert_ok(err, mq_json_parse(&err, "a list", s.text.data, s.text.size, &all));
            assert_int_equal(mq_json_size(all), 200000);
            assert_int_equal(mq_json_int(mq_json_get(mq_json_at(all, 199999), "i")), 199999);
            mq_json_free(&all);
        }
        mq_json_stream_free(&out);
        mq_buf_free(&s.text);
    }
}

static void test_no_value(void **state) {
    (void)state;
    mq_err err = {0};
    seen s = {.text = mq_buf_init(1 << 20)};
    mq_json_stream out = mq_json_stream_init(collect, &s);
    assert_ok(err, mq_json_stream_open(&err, &out, NULL, '['));
    assert_int_equal(mq_json_stream_add(&err, &out, NULL, NULL), MQ_NO_MEMORY);
    err = (mq_err){0};
    for (size_t i = 1; i < MQ_JSON_DEPTH; i++) assert_ok(err, mq_json_stream_open(&err, &out, NULL, '['));
    assert_int_equal(mq_json_stream_open(&err, &out, NULL, '['), MQ_INTERNAL);
    mq_json_stream_free(&out);
    mq_buf_free(&s.text);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_text), cmocka_unit_test(test_pieces),
                                       cmocka_unit_test(test_no_value)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
