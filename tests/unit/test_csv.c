/* test_csv.c: CSV files as spreadsheets, people and damage write them. */
#include "unit/unit.h"

#include "base/csv.h"
#include "base/file.h"
#include "unit/temporary.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[PLACE];

static int make_file(void **state) {
    (void)state;
    return !temporary_file(path);
}

static int remove_file(void **state) {
    (void)state;
    return unlink(path);
}

static mq_status open_text(mq_err *err, const char *text, size_t size, mq_csv **csv) {
    *err = (mq_err){0};
    assert_ok(*err, mq_file_write(err, path, text, size));
    return mq_csv_open(err, path, csv);
}

static void test_fields(void **state) {
    (void)state;
    static const char text[] = "\xef\xbb\xbfpath,\"the \"\"split\"\"\",x\r\n"
                               "a b.jpg,train,\n"
                               "\r\n\n"
                               "\"-,\"\"\n\xff\",val,\"\"\r\n"
                               "last,test,3";
    mq_err err;
    mq_csv *csv = NULL;
    bool more = false;
    assert_ok(err, open_text(&err, text, sizeof text - 1, &csv));
    assert_int_equal(mq_csv_column(csv, "path"), 0);
    assert_int_equal(mq_csv_column(csv, "the \"split\""), 1);
    assert_int_equal(mq_csv_column(csv, "y"), MQ_CSV_NONE);
    static const char *const wanted[3][3] = {
        {"a b.jpg", "train", ""}, {"-,\"\n\xff", "val", ""}, {"last", "test", "3"}};
    static const size_t lines[] = {2, 5, 7};
    for (int i = 0; i < 3; i++) {
        assert_ok(err, mq_csv_next(&err, csv, &more));
        assert_true(more);
        for (int k = 0; k < 3; k++) assert_string_equal(mq_csv_get(csv, k), wanted[i][k]);
        assert_int_equal(mq_csv_line(csv), lines[i]);
    }
    assert_ok(err, mq_csv_next(&err, csv, &more));
    assert_false(more);
    int column;
    assert_int_equal(mq_csv_need(&err, csv, "split", &column), MQ_BAD_DATA);
    assert_non_null(strstr(err.text, "no column named split"));
    assert_non_null(strstr(err.text, "path, the \"split\", x"));
    mq_csv_free(&csv);
}

static void test_errors(void **state) {
    (void)state;
    mq_err err;
    mq_csv *csv = NULL;
    bool more;
    assert_int_equal(open_text(&err, "", 0, &csv), MQ_BAD_DATA);
    assert_int_equal(open_text(&err, "a\0b\n", 4, &csv), MQ_BAD_DATA);
    assert_int_equal(open_text(&err, "a,\"b", 4, &csv), MQ_BAD_DATA);
    assert_non_null(strstr(err.text, ":1: a quoted field never ends"));
    assert_ok(err, open_text(&err, "a,b\n1,2\n1,2,3\n", 14, &csv));
    assert_ok(err, mq_csv_next(&err, csv, &more));
    assert_int_equal(mq_csv_next(&err, csv, &more), MQ_BAD_DATA);
    assert_non_null(strstr(err.text, ":3: 3 fields where the first row has 2"));
    mq_csv_free(&csv);
    static const char *const junk[] = {"a,b\n1,2\n\"a\"b.jpg,2\n", "a,b\n1,2\n1,\"2\" \n",
                                       "a,b\n1,2\n1,\"2\"\r3\n"};
    for (size_t i = 0; i < sizeof junk / sizeof *junk; i++) {
        assert_ok(err, open_text(&err, junk[i], strlen(junk[i]), &csv));
        assert_ok(err, mq_csv_next(&err, csv, &more));
        assert_int_equal(mq_csv_next(&err, csv, &more), MQ_BAD_DATA);
        assert_non_null(strstr(err.text, ":3: text behind the quote that ends a field"));
        mq_csv_free(&csv);
    }
    int column;
    assert_ok(err, open_text(&err, "path;label\n", 11, &csv));
    assert_int_equal(mq_csv_need(&err, csv, "path", &column), MQ_BAD_DATA);
    assert_non_null(strstr(err.text, "write commas (.csv) or tabs (.tsv)"));
    mq_csv_free(&csv);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fields), cmocka_unit_test(test_errors)};
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
