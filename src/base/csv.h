/* csv.h: reads comma-separated files (tab-separated where they end in .tsv) with a first row of names (RFC
 * 4180; also with a byte-order mark, LF or CRLF, and any bytes but NUL). Writing: mq_csv_field in text.h. */
#ifndef MQ_CSV_H
#define MQ_CSV_H

#include "base/buf.h"

typedef struct mq_csv mq_csv;

enum { MQ_CSV_NONE = -1 };

/* Reads the file, at most 4 GB, and its first row; *csv is the caller's. */
MQ_MUST_USE mq_status mq_csv_open(mq_err *err, const char *path, mq_csv **csv);

/* The same of text that is there already, taken over even on failure; what names it in messages, comma stands
 * between its fields. */
MQ_MUST_USE mq_status mq_csv_parse(mq_err *err, const char *what, mq_buf *text, char comma, mq_csv **csv);
/* The columns, and the name of each; borrowed. */
size_t mq_csv_columns(const mq_csv *csv);
const char *mq_csv_name(const mq_csv *csv, int column);

/* The number of the column called name, or MQ_CSV_NONE. */
int mq_csv_column(const mq_csv *csv, const char *name);

/* The same, where the file must have it: else MQ_BAD_DATA, naming the columns there are. */
MQ_MUST_USE mq_status mq_csv_need(mq_err *err, const mq_csv *csv, const char *name, int *column);

/* Goes to the next row; *more is false behind the last. Empty lines are passed over; a row with another
 * number of fields than the first is MQ_BAD_DATA, naming its line. */
MQ_MUST_USE mq_status mq_csv_next(mq_err *err, mq_csv *csv, bool *more);

/* A field of the row; borrowed until mq_csv_free. */
const char *mq_csv_get(const mq_csv *csv, int column);

/* Line, from 1, where the row begins. */
size_t mq_csv_line(const mq_csv *csv);

void mq_csv_free(mq_csv **csv);

#endif
