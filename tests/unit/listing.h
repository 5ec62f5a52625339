/* listing.h: lists of files and of what is wanted of each, a row each. */
#ifndef MQ_UNIT_LISTING_H
#define MQ_UNIT_LISTING_H

#include "unit/unit.h"

#include "base/file.h"

#include <string.h>

/* Hands each row of the list to check, which may change it; returns how many there were. Tests run in the
 * project's folder. */
static inline size_t each_row(const char *path, void (*check)(char *row)) {
    mq_err err = {0};
    mq_buf list = mq_buf_init(1 << 20);
    size_t seen = 0;
    assert_ok(err, mq_file_read(&err, path, &list));
    for (char *rest = (char *)list.data, *row; (row = strsep(&rest, "\n")) && *row; seen++) check(row);
    mq_buf_free(&list);
    return seen;
}

/* Ends the row's first word and returns the others. */
static inline char *other_words(char *row) {
    char *end = strchr(row, ' ');
    assert_non_null(end);
    *end = 0;
    return end + 1;
}

#endif
