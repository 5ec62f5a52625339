/* json.c: all of jansson. Called by every reader and writer of JSON.
 * Invariant: no reference leaks, whichever call fails. */
#include "base/json.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

enum { DIGITS = 9 };

/* A sound text must not be told as a damaged one. */
static bool is_of_memory(const json_error_t *error) {
    return json_error_code(error) == json_error_out_of_memory || !*error->text;
}

mq_status mq_json_pack(mq_err *err, mq_json **json, const char *format, ...) {
    json_error_t error;
    va_list args;
    va_start(args, format);
    *json = json_vpack_ex(&error, 0, format, args);
    va_end(args);
    if (*json) return MQ_OK;
    /* A value that is not there is one that memory was missing for, too. */
    const bool memory = is_of_memory(&error) || json_error_code(&error) == json_error_null_value;
    return mq_fail(err, memory ? MQ_NO_MEMORY : MQ_INTERNAL, "cannot build JSON: %s",
                   memory ? "no memory" : error.text);
}

mq_json *mq_json_text(const char *text) {
    if (!text) return NULL;
    json_t *value = json_string(text);
    if (value) return value;
    char *clean = mq_text_utf8(text);
    value = clean ? json_string(clean) : NULL;
    free(clean);
    return value;
}

mq_json *mq_json_number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

mq_status mq_json_append(mq_err *err, mq_json *array, mq_json *item) {
    return json_array_append_new(array, item) == 0 ? MQ_OK
                                                   : mq_fail(err, MQ_NO_MEMORY, "no memory for a JSON list");
}

mq_status mq_json_set(mq_err *err, mq_json *object, const char *key, mq_json *item) {
    if (json_object_set_new(object, key, item) == 0) return MQ_OK;
    return mq_fail(err, MQ_NO_MEMORY, "no memory for the JSON member %s", key);
}

mq_status mq_json_parse(mq_err *err, const char *what, const void *text, size_t size, mq_json **json) {
    json_error_t error;
    *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (*json) return MQ_OK;
    if (is_of_memory(&error)) return mq_fail(err, MQ_NO_MEMORY, "%s: no memory for its JSON", what);
    return mq_fail(err, MQ_BAD_DATA, "%s:%d: %s", what, error.line, error.text);
}

mq_status mq_json_load(mq_err *err, const char *path, mq_json **json) {
    mq_buf text = mq_buf_init(MQ_JSON_MAX);
    mq_status status = mq_file_read(err, path, &text);
    if (status == MQ_OK) {
        const uint8_t *const all = text.data ? text.data : (uint8_t *)"";
        const size_t mark = mq_text_mark(all, text.size);
        status = mq_json_parse(err, path, all + mark, text.size - mark, json);
    }
    mq_buf_free(&text);
    return status;
}

mq_status mq_json_unpack(mq_err *err, const char *what, mq_json *json, const char *format, ...) {
    json_error_t error;
    va_list args;
    va_start(args, format);
    const int failed = json_vunpack_ex(json, &error, 0, format, args);
    va_end(args);
    if (!failed) return MQ_OK;
    if (is_of_memory(&error)) return mq_fail(err, MQ_NO_MEMORY, "%s: no memory for its JSON", what);
    return mq_fail(err, MQ_BAD_DATA, "%s: %s", what, error.text);
}

mq_json *mq_json_get(const mq_json *object, const char *key) {
    return json_object_get(object, key);
}

mq_json *mq_json_at(const mq_json *array, size_t index) {
    return json_array_get(array, index);
}

size_t mq_json_size(const mq_json *json) {
    return json_is_object(json) ? json_object_size(json) : json_array_size(json);
}

const char *mq_json_string(const mq_json *text) {
    return json_string_value(text);
}

bool mq_json_is_number(const mq_json *value) {
    return json_is_number(value);
}

bool mq_json_is_object(const mq_json *value) {
    return json_is_object(value);
}

bool mq_json_is_empty(const mq_json *value) {
    return json_is_null(value) || (json_is_array(value) && json_array_size(value) == 0);
}

/* Up to 2^53 a double that is whole is meant so. */
bool mq_json_is_whole(const mq_json *value, long long *number) {
    if (json_is_integer(value)) {
        *number = json_integer_value(value);
        return true;
    }
    const double real = json_number_value(value);
    if (!json_is_real(value) || fabs(real) > 0x1p53 || real != floor(real)) return false;
    *number = (long long)real;
    return true;
}

double mq_json_real(const mq_json *number) {
    return json_number_value(number);
}

long long mq_json_int(const mq_json *number) {
    return json_integer_value(number);
}

mq_status mq_json_each(mq_err *err, mq_json *object, mq_json_visit visit, void *user) {
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        const mq_status status = visit(err, user, key, value);
        if (status != MQ_OK) return status;
    }
    return MQ_OK;
}

mq_status mq_json_dump(mq_err *err, const mq_json *json, size_t indent, char **text) {
    *text = json_dumps(json, JSON_INDENT(indent) | JSON_REAL_PRECISION(DIGITS) | JSON_ENCODE_ANY);
    return *text ? MQ_OK : mq_fail(err, MQ_NO_MEMORY, "no memory for JSON text");
}

mq_status mq_json_save(mq_err *err, const mq_json *json, const char *path) {
    mq_status status = MQ_OK;
    char *text = NULL;
    mq_buf out = mq_buf_init(MQ_JSON_MAX);
    MQ_TRY(mq_json_dump(err, json, 1, &text));
    MQ_TRY(mq_buf_add_text(err, &out, text));
    MQ_TRY(mq_buf_add(err, &out, "\n", 1));
    MQ_TRY(mq_file_write(err, path, out.data, out.size));
cleanup:
    mq_buf_free(&out);
    free(text);
    return status;
}

void mq_json_free(mq_json **json) {
    json_decref(*json); /* NULL is fine */
    *json = NULL;
}
