/* refuse.h: what a weights file that cannot be used must give. */
#ifndef MQ_REFUSE_H
#define MQ_REFUSE_H

#include "unit/unit.h"

#include "net/foreign.h"

#include <string.h>

/* Asserts that the file is refused with the code and one clean sentence that holds its path and words. */
static inline void refuse(const char *path, const mq_foreign_list *list, mq_status code, const char *words) {
    mq_err err = {0};
    mq_bundle *bundle = NULL;
    const mq_status status = mq_foreign_read(&err, path, list, &bundle);
    if (status != code || !strstr(err.text, words))
        fail_msg("%s: wanted %d and \"%s\", got %d: %s", path, (int)code, words, (int)status, err.text);
    if (!strstr(err.text, path)) fail_msg("%s: its path is not in: %s", path, err.text);
    for (const char *c = err.text; *c; c++)
        if ((unsigned char)*c < ' ')
            fail_msg("%s: more than one line, or a control character: %s", path, err.text);
    assert_null(bundle);
}

#endif
