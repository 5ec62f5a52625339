/* unicode.c: utf8proc behind one call. Called by the importer's table of classes.
 * Owns nothing. Invariant: equal results mean that people read the same name. */
#include "base/unicode.h"
#include "base/mem.h"

#include <string.h>
#include <utf8proc.h>

mq_status mq_unicode_fold(mq_err *err, const char *name, char **folded) {
    mq_status status = MQ_OK;
    utf8proc_uint8_t *out = NULL;
    const utf8proc_ssize_t size = utf8proc_map((const utf8proc_uint8_t *)name, (utf8proc_ssize_t)strlen(name),
                                               &out,
                                               UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_CASEFOLD);
    if (size >= 0) {
        *folded = (char *)out;
        return MQ_OK;
    }
    MQ_REQUIRE(size != UTF8PROC_ERROR_NOMEM, err, MQ_NO_MEMORY, "no memory for a name");
    MQ_TRY(mq_strdup(err, name, folded));
    for (char *p = *folded; *p; p++)
        if (*p >= 'A' && *p <= 'Z') *p = (char)(*p - 'A' + 'a');
cleanup:
    return status;
}
