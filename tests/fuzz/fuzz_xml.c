/* fuzz_xml.c: annotations in XML: paths and texts stay within their bounds. */
#include "fuzz/fuzz.h"

#include "data/xml.h"

#include <string.h>

static mq_status visit(mq_err *err, void *user, const char *path, const char *text) {
    (void)err;
    size_t *elements = user;
    fuzz_require(path[0] && strlen(text) <= MQ_XML_TEXT, "an element without name, or with too much text");
    ++*elements;
    return MQ_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mq_err err = {0};
    size_t elements = 0;
    const bool good = fuzz_judge(mq_xml_read(&err, "a", data, size, visit, &elements), &err);
    fuzz_require(!good || elements > 0, "a document without elements");
    return 0;
}
