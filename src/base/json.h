/* json.h: JSON values read and written by jansson, which is known to json.c alone.
 *
 * A value is counted: what mq_json_pack or mq_json_load gives is the caller's
 * until mq_json_free, or until it is packed with "o" or appended, which takes
 * it over. Format strings are jansson's own (its documentation, "Building
 * values" and "Parsing and validating values"): s text, b bool, i int, I
 * long long, f double, o value taken over, O value shared. */
#ifndef MQ_JSON_H
#define MQ_JSON_H

#include "base/status.h"

typedef struct json_t mq_json;

enum { MQ_JSON_MAX = 1 << 30 /* bytes of a file that is read or written */ };

/* Builds a value; *json is the caller's. Text must be UTF-8 (see mq_json_text). */
MQ_MUST_USE mq_status mq_json_pack(mq_err *err, mq_json **json, const char *format, ...);

/* Text of any bytes: invalid UTF-8 becomes U+FFFD. NULL text and NULL memory give NULL, which "o" refuses. */
mq_json *mq_json_text(const char *text);

/* A number, or null when it is not finite (JSON knows no NaN). */
mq_json *mq_json_number(double value);

/* Puts item, taken over even on failure, at the end of array or under key of object. */
MQ_MUST_USE mq_status mq_json_append(mq_err *err, mq_json *array, mq_json *item);
MQ_MUST_USE mq_status mq_json_set(mq_err *err, mq_json *object, const char *key, mq_json *item);

/* Reads text of size bytes; what names its source in messages. Duplicate keys and bad UTF-8 are refused. */
MQ_MUST_USE mq_status mq_json_parse(mq_err *err, const char *what, const void *text, size_t size,
                                    mq_json **json);

/* Reads a file. */
MQ_MUST_USE mq_status mq_json_load(mq_err *err, const char *path, mq_json **json);

/* Takes members out; what names the source. Text got by "s" is borrowed from json. */
MQ_MUST_USE mq_status mq_json_unpack(mq_err *err, const char *what, mq_json *json, const char *format, ...);

/* Members, borrowed; NULL where there is none or json is of another type. */
mq_json *mq_json_get(const mq_json *object, const char *key);
mq_json *mq_json_at(const mq_json *array, size_t index);
size_t mq_json_size(const mq_json *array_or_object);
const char *mq_json_string(const mq_json *text);
bool mq_json_is_number(const mq_json *value);
bool mq_json_is_object(const mq_json *value);
bool mq_json_is_empty(const mq_json *value);                    /* null or [] */
bool mq_json_is_whole(const mq_json *value, long long *number); /* a number without fraction */
double mq_json_real(const mq_json *number);                     /* 0 when it is none */
long long mq_json_int(const mq_json *number);

/* Walks an object: calls visit for each member in order until it fails. */
typedef mq_status (*mq_json_visit)(mq_err *err, void *user, const char *key, mq_json *value);
MQ_MUST_USE mq_status mq_json_each(mq_err *err, mq_json *object, mq_json_visit visit, void *user);

/* The text, numbers with nine digits, indented by indent columns or on one line (0); the caller's, for
 * free(). */
MQ_MUST_USE mq_status mq_json_dump(mq_err *err, const mq_json *json, size_t indent, char **text);

/* Writes the indented text and a newline to path, atomically. */
MQ_MUST_USE mq_status mq_json_save(mq_err *err, const mq_json *json, const char *path);

/* Gives the reference back and sets NULL; NULL is fine. */
void mq_json_free(mq_json **json);

#endif
