/* test_manifest.c: classes found by name however many there are, and entries that share a picture. */
#include "unit/unit.h"

#include "base/clock.h"
#include "data/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANY = 100000 };

/* Looking each up among all the others took minutes. */
static void test_many_classes(void **state) {
    (void)state;
    mq_err err = {0};
    mq_manifest m = {0};
    uint32_t index = 0;
    bool found = true;
    char name[32];
    const double start = mq_seconds();
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "class %u", i);
        assert_ok(err, mq_manifest_find_class(&err, &m, name, &index, &found));
        assert_false(found);
        assert_ok(err, mq_manifest_add_class(&err, &m, name, &index));
        assert_int_equal(index, i);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "class %u", i);
        assert_ok(err, mq_manifest_find_class(&err, &m, name, &index, &found));
        assert_true(found && index == i);
    }
    assert_ok(err, mq_manifest_check_classes(&err, &m));
    assert_true(mq_seconds() - start < 20);
    mq_manifest_free(&m);
}

static void add(mq_manifest *m, const char *name, uint32_t class, const char *reason) {
    mq_err err = {0};
    mq_entry *entry = NULL;
    assert_ok(err, mq_manifest_add(&err, m, name, class, &entry));
    if (reason) assert_ok(err, mq_manifest_leave_out(&err, entry, "%s", reason));
}

/* Classes get new numbers when others go, and are found by them. */
static void test_dropped(void **state) {
    (void)state;
    mq_err err = {0};
    mq_manifest m = {0};
    uint32_t index = 0;
    size_t dropped = 0;
    bool found = false;
    static const char *const names[] = {"a", "b", "c", "d", ""};
    for (size_t i = 0; i < 5; i++) assert_ok(err, mq_manifest_add_class(&err, &m, names[i], &index));
    add(&m, "1", 1, NULL);
    add(&m, "2", 2, "damaged");
    add(&m, "3", 3, NULL);
    add(&m, "4", 4, NULL);
    assert_ok(err, mq_manifest_drop_classes(&err, &m, 1, &dropped));
    assert_int_equal(dropped, 1);
    static const struct {
        const char *name;
        bool there;
        uint32_t index;
    } wanted[] = {{"a", true, 0}, {"b", true, 1}, {"c", false, 0},
                  {"d", true, 2}, {"", true, 3},  {"e", false, 0}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        assert_ok(err, mq_manifest_find_class(&err, &m, wanted[i].name, &index, &found));
        assert_int_equal(found, wanted[i].there);
        if (found) assert_int_equal(index, wanted[i].index);
    }
    assert_int_equal(m.entries[2].class, 2);
    assert_ok(err, mq_manifest_add_class(&err, &m, "b", &index));
    assert_ok(err, mq_manifest_find_class(&err, &m, "b", &index, &found));
    assert_int_equal(index, 1); /* of two of one name the first */
    assert_int_equal(mq_manifest_check_classes(&err, &m), MQ_BAD_DATA);
    mq_manifest_free(&m);
}

/* Sorted by name behind the classes of an earlier import; pictures follow their class. */
static void test_sorted(void **state) {
    (void)state;
    mq_err err = {0};
    mq_manifest m = {0};
    uint32_t index = 0;
    bool found = false;
    static const char *const names[] = {"z", "c", "a", "b"}, *const wanted[] = {"z", "a", "b", "c"};
    for (size_t i = 0; i < 4; i++) assert_ok(err, mq_manifest_add_class(&err, &m, names[i], &index));
    for (uint32_t i = 0; i < 4; i++) add(&m, names[i], i, NULL);
    add(&m, "out", 7, "of no class");
    assert_ok(err, mq_manifest_sort_classes(&err, &m, 1));
    for (uint32_t i = 0; i < 4; i++) {
        assert_string_equal(m.classes[i], wanted[i]);
        assert_string_equal(m.classes[m.entries[i].class], names[i]);
        assert_ok(err, mq_manifest_find_class(&err, &m, wanted[i], &index, &found));
        assert_true(found && index == i);
    }
    mq_manifest_free(&m);
}

static void test_same_picture(void **state) {
    (void)state;
    char a[] = "a", b[] = "b", file[] = "a";
    const mq_entry whole = {.name = a}, box = {.name = b, .file = file};
    const mq_entry part = {.name = b, .file = file, .offset = 7, .length = 3},
                   other = {.name = a, .file = file, .offset = 7, .length = 4};
    assert_true(mq_entry_same_picture(&whole, &box));
    assert_false(mq_entry_same_picture(&box, &part));
    assert_false(mq_entry_same_picture(&part, &other));
    assert_true(mq_entry_same_picture(&part, &part));
    assert_string_equal(mq_entry_file(&whole), "a");
    assert_string_equal(mq_entry_file(&box), "a");
}

/* Alike are names that a canonical caseless match makes one; those without a picture are not asked. */
static void test_alike(void **state) {
    (void)state;
    static const struct {
        const char *a, *b;
        bool alike;
    } pairs[] = {{"Ant", "aNT", true},
                 {"caf\xc3\xa9", "CAFE\xcc\x81", true},
                 {"\xce\x91\xcf\x83", "\xce\xb1\xcf\x82", true}, /* a final sigma */
                 {"Ant", "Ants", false},
                 {"caf\xc3\xa9", "cafe", false},
                 {"\xff[", "\xff{", false}, /* ASCII's neighbours of letters */
                 {"\xffZ", "\xffz", true}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        mq_err err = {0};
        mq_manifest m = {0};
        uint32_t index = 0;
        assert_ok(err, mq_manifest_add_class(&err, &m, pairs[i].a, &index));
        assert_ok(err, mq_manifest_add_class(&err, &m, "other", &index));
        assert_ok(err, mq_manifest_add_class(&err, &m, pairs[i].b, &index));
        add(&m, "1", 0, NULL);
        add(&m, "2", 2, "damaged");
        assert_ok(err, mq_manifest_check_alike(&err, &m, "source", 0));
        assert_int_equal(mq_manifest_check_alike(&err, &m, "source", 3),
                         pairs[i].alike ? MQ_BAD_DATA : MQ_OK);
        err = (mq_err){0};
        add(&m, "3", 2, NULL);
        assert_int_equal(mq_manifest_check_alike(&err, &m, "source", 0),
                         pairs[i].alike ? MQ_BAD_DATA : MQ_OK);
        mq_manifest_free(&m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_classes), cmocka_unit_test(test_dropped),
        cmocka_unit_test(test_alike),        cmocka_unit_test(test_sorted),
        cmocka_unit_test(test_same_picture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
