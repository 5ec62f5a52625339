/* json_stream.c: brackets, commas and indents around values that json.c makes text of. Called by reports as
 * long as their data sets. Owns the text on its way. Invariant: the pieces together are what mq_json_dump
 * would have given. */
#include "base/json_stream.h"

#include <stdlib.h>
#include <string.h>

enum { FLUSH = 1 << 16, TEXT_MAX = 1 << 28 };

mq_json_stream mq_json_stream_init(mq_json_sink sink, void *user) {
    return (mq_json_stream){.sink = sink, .user = user, .text = mq_buf_init(TEXT_MAX)};
}

void mq_json_stream_free(mq_json_stream *stream) {
    mq_buf_free(&stream->text);
}

static mq_status flush(mq_err *err, mq_json_stream *s) {
    const mq_status status = s->sink(err, s->user, s->text.data, s->text.size);
    mq_buf_clear(&s->text);
    return status;
}

/* A new line, as far to the right as things are open. */
static mq_status new_line(mq_err *err, mq_json_stream *s) {
    return mq_buf_printf(err, &s->text, "\n%*s", (int)s->depth, "");
}

/* What stands before a member. */
static mq_status lead(mq_err *err, mq_json_stream *s, const char *key) {
    mq_status status = MQ_OK;
    if (s->text.size >= FLUSH) MQ_TRY(flush(err, s));
    if (s->filled) MQ_TRY(mq_buf_add_text(err, &s->text, ","));
    if (s->depth) MQ_TRY(new_line(err, s));
    if (key) MQ_TRY(mq_buf_printf(err, &s->text, "\"%s\": ", key));
cleanup:
    return status;
}

mq_status mq_json_stream_open(mq_err *err, mq_json_stream *s, const char *key, char kind) {
    mq_status status = MQ_OK;
    MQ_REQUIRE(s->depth < MQ_JSON_DEPTH, err, MQ_INTERNAL, "JSON of more than %d levels", MQ_JSON_DEPTH);
    MQ_TRY(lead(err, s, key));
    MQ_TRY(mq_buf_add(err, &s->text, &kind, 1));
    s->ends[s->depth++] = kind == '{' ? '}' : ']';
    s->filled = false;
cleanup:
    return status;
}

mq_status mq_json_stream_add(mq_err *err, mq_json_stream *s, const char *key, mq_json *value) {
    mq_status status = MQ_OK;
    char *text = NULL;
    MQ_REQUIRE(value, err, MQ_NO_MEMORY, "no memory for JSON");
    MQ_TRY(mq_json_dump(err, value, 1, &text));
    MQ_TRY(lead(err, s, key));
    for (const char *line = text;;) { /* a line's end is never within a text */
        const size_t length = strcspn(line, "\n");
        MQ_TRY(mq_buf_add(err, &s->text, line, length));
        if (!line[length]) break;
        MQ_TRY(new_line(err, s));
        line += length + 1;
    }
    s->filled = true;
cleanup:
    mq_json_free(&value);
    free(text);
    return status;
}

static mq_status add_member(mq_err *err, void *user, const char *key, mq_json *value) {
    mq_json *shared = NULL;
    const mq_status status = mq_json_pack(err, &shared, "O", value);
    return status == MQ_OK ? mq_json_stream_add(err, user, key, shared) : status;
}

mq_status mq_json_stream_merge(mq_err *err, mq_json_stream *s, mq_json *object) {
    const mq_status status = mq_json_each(err, object, add_member, s);
    mq_json_free(&object);
    return status;
}

mq_status mq_json_stream_close(mq_err *err, mq_json_stream *s) {
    mq_status status = MQ_OK;
    s->depth--;
    if (s->filled) MQ_TRY(new_line(err, s));
    MQ_TRY(mq_buf_add(err, &s->text, &s->ends[s->depth], 1));
    s->filled = true;
    if (s->depth) return MQ_OK;
    MQ_TRY(mq_buf_add(err, &s->text, "\n", 1));
    MQ_TRY(flush(err, s));
cleanup:
    return status;
}
