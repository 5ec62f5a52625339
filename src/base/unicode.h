/* unicode.h: names that only a computer tells apart. */
#ifndef MQ_UNICODE_H
#define MQ_UNICODE_H

#include "base/status.h"

/* What a name has in common with all that differ from it in case or in their Unicode normal form alone (a
 * canonical caseless match, Unicode 3.13); of text that is not UTF-8 only ASCII's letters lose their case.
 * *folded is the caller's, for free(). */
MQ_MUST_USE mq_status mq_unicode_fold(mq_err *err, const char *name, char **folded);

#endif
