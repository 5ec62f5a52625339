/* test_xml.c: small XML as annotations have it, whole, cut anywhere and hostile. */
#include "unit/unit.h"

#include "data/xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char told[4096]; /* PATH=TEXT; of each element */

static mq_status tell(mq_err *err, void *user, const char *path, const char *text) {
    (void)user;
    const size_t used = strlen(told);
    snprintf(told + used, sizeof told - used, "%s=%s;", path, text);
    return strcmp(path, "a/stop") == 0 ? mq_fail(err, MQ_INTERRUPTED, "enough") : MQ_OK;
}

static mq_status read_xml(mq_err *err, const char *text, size_t size) {
    *err = (mq_err){0};
    told[0] = 0;
    return mq_xml_read(err, "x.xml", text, size, tell, NULL);
}

static const char TEXT[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<!-- <no/> -->\n<a id=\"1\">\n before <b>\n one "
    "&amp; two\t</b><c><d>1</d><d/></c> behind <![CDATA[<e>]]></a>\n";

static void test_elements(void **state) {
    (void)state;
    mq_err err;
    assert_ok(err, read_xml(&err, TEXT, strlen(TEXT)));
    assert_string_equal(told, "a/b=one & two;a/c/d=1;a/c/d=;a/c=;a=before behind <e>;");
    assert_int_equal(read_xml(&err, "<a><stop/><b/></a>", 18), MQ_INTERRUPTED);
    assert_string_equal(told, "a/stop=;");
}

/* Indentation between many elements is no text of the one around them. */
static void test_indented(void **state) {
    (void)state;
    mq_err err;
    enum { ELEMENTS = 2000, LINE = 9 };
    char *text = calloc(ELEMENTS + 2, LINE);
    assert_non_null(text);
    strcpy(text, "<a>");
    for (size_t i = 0; i < ELEMENTS; i++) strcpy(text + 3 + i * LINE, "\n    <b/>");
    strcpy(text + 3 + (size_t)ELEMENTS * LINE, "\n</a>");
    assert_ok(err, read_xml(&err, text, strlen(text)));
    free(text);
}

/* A file that is cut off is an error wherever it was cut. */
static void test_cut(void **state) {
    (void)state;
    mq_err err;
    const size_t end = (size_t)(strstr(TEXT, "</a>") - TEXT) + 4;
    for (size_t size = 0; size < strlen(TEXT); size++) {
        char *cut = malloc(size ? size : 1);
        assert_non_null(cut);
        memcpy(cut, TEXT, size);
        assert_int_equal(read_xml(&err, cut, size), size < end ? MQ_BAD_DATA : MQ_OK);
        free(cut);
    }
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *words;
    } cases[] = {{"<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>", "document type declaration"},
                 {"<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>", "document type declaration"},
                 {"<a><b></a>", "x.xml:1: mismatched tag"},
                 {"<a>&b;</a>", "undefined entity"},
                 {"<a/><b/>", "junk after document"},
                 {"<a>\xff</a>", "x.xml:1"}};
    mq_err err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(read_xml(&err, cases[i].text, strlen(cases[i].text)), MQ_BAD_DATA);
        if (!strstr(err.text, cases[i].words)) fail_msg("%s: %s", cases[i].text, err.text);
    }
}

/* Depth, length of names and of text: each to its limit and one further. */
static void test_limits(void **state) {
    (void)state;
    mq_err err;
    char text[2 * MQ_XML_TEXT], name[400];
    for (size_t depth = MQ_XML_DEPTH; depth <= MQ_XML_DEPTH + 1; depth++) {
        text[0] = 0;
        for (size_t i = 0; i < depth; i++) strcat(text, "<a>");
        for (size_t i = 0; i < depth; i++) strcat(text, "</a>");
        assert_int_equal(read_xml(&err, text, strlen(text)), depth > MQ_XML_DEPTH ? MQ_BAD_DATA : MQ_OK);
    }
    for (int size = MQ_XML_TEXT - 1; size <= MQ_XML_TEXT; size++) {
        snprintf(text, sizeof text, "<a>%0*d</a>", size, 0);
        assert_int_equal(read_xml(&err, text, strlen(text)), size == MQ_XML_TEXT ? MQ_BAD_DATA : MQ_OK);
    }
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    snprintf(text, sizeof text, "<%s><%s/></%s>", name, name, name);
    assert_int_equal(read_xml(&err, text, strlen(text)), MQ_BAD_DATA);
    assert_int_equal(read_xml(&err, text, (size_t)MQ_XML_MAX + 1), MQ_BAD_DATA); /* not even looked at */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elements), cmocka_unit_test(test_indented), cmocka_unit_test(test_cut),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
