/* text.h: text of any bytes made safe for people, JSON and CSV. */
#ifndef MQ_TEXT_H
#define MQ_TEXT_H

#include "base/buf.h"

/* A copy in which each byte that is not part of valid UTF-8 is U+FFFD; the caller's, for free(). NULL without
 * memory. */
char *mq_text_utf8(const char *text);

/* Copies text into out (of size bytes, always ended by NUL) for a terminal: control characters, newlines and
 * invalid UTF-8 become '?'. Returns out. */
const char *mq_text_safe(const char *text, char *out, size_t size);

/* A file's name as one word of a command line, for people to paste: quoted for the shell where it must be,
 * and never an option. In room, or text itself where that will do or room is too small. */
typedef struct {
    char text[8192];
} mq_word;
const char *mq_text_word(const char *text, mq_word *room);

/* Cuts text at the first of mark; what stands behind it, or NULL. */
char *mq_text_cut(char *text, char mark);

/* Appends one CSV field (RFC 4180), quoted when it holds a comma, a quote, a line end or edge blanks. */
MQ_MUST_USE mq_status mq_csv_field(mq_err *err, mq_buf *row, const char *text);

/* The name in names nearest to word by edit distance; NULL when none is near. names ends with NULL; borrowed.
 */
const char *mq_text_nearest(const char *word, const char *const *names);

/* 1234567 as "1,234,567" in out; returns out. */
const char *mq_text_count(uint64_t count, char out[32]);

/* Bytes of the byte-order mark that text of size bytes begins with: 3, or 0 without one. */
size_t mq_text_mark(const void *text, size_t size);

/* value to the nine digits that settings are written down with (JSON, stages, policies): who reads them gets
 * what the first process computed with. */
double mq_text_nine_digits(double value);

/* Whether text is longer than end and ends in it. */
bool mq_text_ends(const char *text, const char *end);

/* The same, whatever the case of letters: for endings that users give their files. */
bool mq_text_ends_alike(const char *text, const char *end);

#endif
