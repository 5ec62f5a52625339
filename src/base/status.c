/* status.c: the one place where an error sentence is written. Called by
 * everyone; owns nothing. Invariant: an mq_err never changes once set. */
#include "base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

mq_status mq_fail(mq_err *err, mq_status code, const char *format, ...) {
    if (err->code != MQ_OK) return err->code; /* the cause is already known */
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return err->code = code;
}

mq_status mq_status_of_errno(int error, mq_status otherwise) {
    switch (error) {
    case ENOMEM:
    case EMFILE: /* this process has too many files open, or the system has */
    case ENFILE:
        return MQ_NO_MEMORY;
    case EIO:
    case ENOSPC:
    case EDQUOT:
        return MQ_IO;
    default:
        return otherwise;
    }
}

const char *mq_version(void) {
    return MARQUE_VERSION;
}
