/* json_list.h: a list within a large JSON object, an element at a time, so that never more than one of them
 * is in memory as values. */
#ifndef MQ_JSON_LIST_H
#define MQ_JSON_LIST_H

#include "base/json.h"

/* Called with each element, an object, borrowed until it returns. */
typedef mq_status (*mq_json_element)(mq_err *err, void *user, size_t index, const mq_json *element);

/* The list under key of the object that text (size bytes) is; texts are borrowed. */
typedef struct {
    const char *what; /* names the source in messages */
    const char *text;
    size_t size;
    const char *key;
    size_t done; /* bytes up to the end of the element that is visited */
} mq_json_list;

/* Visits the elements in order, until one fails. No such list, an element that is no object and text that is
 * not JSON up to the list's end: MQ_BAD_DATA. */
MQ_MUST_USE mq_status mq_json_list_each(mq_err *err, mq_json_list *list, mq_json_element visit, void *user);

#endif
