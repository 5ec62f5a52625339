/* names.h: lists of names, and those in a folder. */
#ifndef MQ_NAMES_H
#define MQ_NAMES_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

/* {0} is an empty one; the caller's, for mq_names_free. */
typedef struct {
    char **items; /* owned */
    size_t count, capacity;
} mq_names;

/* Adds a copy of name. */
MQ_MUST_USE mq_status mq_names_add(mq_err *err, mq_names *names, const char *name);
void mq_names_sort(mq_names *names); /* in the order of their bytes */
void mq_names_free(mq_names *names); /* leaves an empty one */

/* Adds what lies in a folder, without "." and "..", in the order of the bytes, and never a part of it alone:
 * no such folder is MQ_NO_INPUT, one that cannot be read to its end MQ_IO. */
MQ_MUST_USE mq_status mq_names_in(mq_err *err, const char *folder, mq_names *names);

/* Whether a name is hidden, or one that file managers leave behind. */
bool mq_name_is_litter(const char *name);

#endif
