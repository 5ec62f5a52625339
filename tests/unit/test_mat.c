/* test_mat.c: MATLAB files as MATLAB, scipy and hostile hands write them
 * (tests/golden/make_mat.py; tests run in the project's folder). */
#include "unit/unit.h"

#include "base/file.h"
#include "data/mat.h"
#include "unit/temporary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOLDEN "tests/golden/mat/"

static double number(const mq_mat_value *value) {
    double result = 0;
    assert_true(mq_mat_number(value, 0, &result));
    return result;
}

/* The three rows of make_mat.py. */
static void check_cars(const char *path) {
    static const char *const fields[] = {"bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class"};
    static const double rows[3][5] = {
        {39, 116, 569, 375, 1}, {36, 116, 868, 587, 196}, {0, 4, 70000, 2.5, 3}};
    static const char *const files[] = {"00001.jpg", "00002.jpg", "f\xc3\xbcnf \xe2\x82\xac.jpg"};
    mq_err err = {0};
    mq_mat *mat = NULL;
    assert_ok(err, mq_mat_open(&err, path, &mat));
    const mq_mat_value *list = mq_mat_get(mat, "annotations"), *names = mq_mat_get(mat, "class_names");
    assert_non_null(list);
    assert_int_equal(mq_mat_kind_of(list), MQ_MAT_STRUCT);
    assert_int_equal(mq_mat_count(list), 3);
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < 5; k++) assert_true(number(mq_mat_field(list, i, fields[k])) == rows[i][k]);
        assert_string_equal(mq_mat_text(mq_mat_field(list, i, "fname")), files[i]);
    }
    assert_null(mq_mat_field(list, 3, "fname"));
    assert_null(mq_mat_field(list, 0, "test"));
    assert_int_equal(mq_mat_count(names), 3);
    assert_string_equal(mq_mat_text(mq_mat_cell(names, 1)), "Ram C/V Cargo Van Minivan 2012");
    assert_null(mq_mat_cell(names, 3));
    assert_null(mq_mat_get(mat, "nothing"));
    mq_mat_free(&mat);
}

static void test_cars(void **state) {
    (void)state;
    check_cars(GOLDEN "squeezed.mat");
    check_cars(GOLDEN "plain.mat");
    check_cars(GOLDEN "scipy.mat");
}

static void test_kinds(void **state) {
    (void)state;
    static const struct {
        const char *name;
        double value;
    } wanted[] = {
        {"int8", -5},
        {"int16", -300},
        {"uint16", 65535},
        {"int32", -70000},
        {"uint32", 4000000000},
        {"single", 0.5},
        {"double", -1.25},
        {"int64", -1099511627776.0},
        {"uint64", 1125899906842624.0},
    };
    mq_err err = {0};
    mq_mat *mat = NULL;
    double ignored;
    assert_ok(err, mq_mat_open(&err, GOLDEN "kinds.mat", &mat));
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        assert_true(number(mq_mat_get(mat, wanted[i].name)) == wanted[i].value);
    assert_false(mq_mat_number(mq_mat_get(mat, "int8"), 1, &ignored));
    assert_string_equal(mq_mat_text(mq_mat_get(mat, "utf16")), "a\xe2\x82\xac\xf0\x9f\x9a\x97");
    assert_string_equal(mq_mat_text(mq_mat_get(mat, "utf8")), "a\xe2\x82\xac\xf0\x9f\x9a\x97");
    assert_string_equal(mq_mat_text(mq_mat_get(mat, "narrow")), "a\xc3\xa9");
    const mq_mat_value *cells = mq_mat_get(mat, "cells");
    assert_int_equal(mq_mat_count(mq_mat_cell(cells, 0)), 0);
    assert_true(number(mq_mat_cell(cells, 1)) == 7);
    const mq_mat_value *inner = mq_mat_cell(mq_mat_get(mat, "nested"), 0);
    assert_string_equal(mq_mat_text(mq_mat_cell(mq_mat_cell(inner, 1), 0)), "y");
    assert_null(mq_mat_text(cells));
    mq_mat_free(&mat);
}

static mq_buf golden(const char *path) {
    mq_err err = {0};
    mq_buf file = mq_buf_init(1 << 20);
    assert_ok(err, mq_file_read(&err, path, &file));
    return file;
}

static mq_status open_bytes(mq_err *err, const uint8_t *bytes, size_t size) {
    char path[PLACE];
    mq_mat *mat = NULL;
    *err = (mq_err){0};
    assert_true(temporary_file(path));
    assert_ok(*err, mq_file_write(err, path, bytes, size));
    const mq_status status = mq_mat_open(err, path, &mat);
    if (status == MQ_OK) {
        const mq_mat_value *list = mq_mat_get(mat, "annotations");
        if (list) (void)mq_mat_text(mq_mat_field(list, 2, "fname"));
    }
    mq_mat_free(&mat);
    unlink(path);
    return status;
}

static void assert_refused(const char *file, const char *words) {
    mq_err err = {0};
    mq_mat *mat = NULL;
    assert_int_equal(mq_mat_open(&err, file, &mat), MQ_BAD_DATA);
    if (!strstr(err.text, words)) fail_msg("%s lacks: %s", err.text, words);
}

static void test_refusals(void **state) {
    (void)state;
    mq_err err;
    assert_refused(GOLDEN "level4.mat", "level 4");
    assert_refused(GOLDEN "deep.mat", "nested deeper than 8");
    assert_refused(GOLDEN "bomb.mat", "more than 64 MB");
    mq_buf file = golden(GOLDEN "plain.mat");
    memcpy(file.data + 126, "MI", 2);
    assert_int_equal(open_bytes(&err, file.data, file.size), MQ_BAD_DATA);
    assert_non_null(strstr(err.text, "big-endian"));
    memcpy(file.data + 126, "IM", 2);
    memcpy(file.data, "MATLAB 7.3", 10);
    assert_int_equal(open_bytes(&err, file.data, file.size), MQ_BAD_DATA);
    assert_non_null(strstr(err.text, "7.3"));
    assert_int_equal(open_bytes(&err, (const uint8_t *)"<html>this is a page</html>", 27), MQ_BAD_DATA);
    mq_buf_free(&file);
}

/* Cut anywhere it is refused; any changed byte is refused or read, never more. */
static void test_damage(void **state) {
    (void)state;
    mq_err err;
    static const char *const files[] = {GOLDEN "plain.mat", GOLDEN "squeezed.mat", GOLDEN "kinds.mat"};
    for (size_t f = 0; f < 3; f++) {
        mq_buf file = golden(files[f]);
        size_t read = 0;
        const size_t first = 136 + (size_t)(file.data[132] | file.data[133] << 8);
        for (size_t i = 128; i < file.size; i++) {
            const uint8_t byte = file.data[i];
            file.data[i] = (uint8_t)(byte ^ (0x80 >> i % 8));
            read += open_bytes(&err, file.data, file.size) == MQ_OK;
            file.data[i] = 0xFF;
            read += open_bytes(&err, file.data, file.size) == MQ_OK;
            file.data[i] = byte;
        }
        if (f == 1) assert_true(read < 32); /* zlib's checksum sees nearly all */
        if (f == 0)
            for (size_t size = 129; size + 8 < file.size; size++)
                if (size != first) /* a file of the first variable alone is whole */
                    if (open_bytes(&err, file.data, size) == MQ_OK) fail_msg("cut at %zu is taken", size);
        mq_buf_free(&file);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cars),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
