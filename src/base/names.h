/* names.h: names of any bytes: lists of them, those in a folder, and as JSON. */
#ifndef MQ_NAMES_H
#define MQ_NAMES_H

#include "base/json.h"

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

/* Text of any bytes as JSON and back: a string where it is UTF-8, else {"bytes": "hex"}. *name is the
 * caller's. */
MQ_MUST_USE mq_status mq_name_to_json(mq_err *err, const char *name, mq_json **json);
MQ_MUST_USE mq_status mq_name_from_json(mq_err *err, const char *what, const mq_json *json, char **name);

#endif
