/* json_stream.h: a large JSON value written a piece at a time, so that never more than one piece is in
 * memory. The text is that of mq_json_dump with an indent of 1. */
#ifndef MQ_JSON_STREAM_H
#define MQ_JSON_STREAM_H

#include "base/buf.h"
#include "base/json.h"

enum { MQ_JSON_DEPTH = 8 };

/* Takes the text in pieces; data is borrowed until it returns. */
typedef mq_status (*mq_json_sink)(mq_err *err, void *user, const void *data, size_t size);

typedef struct {
    mq_json_sink sink;
    void *user;
    mq_buf text;              /* not yet given to sink */
    char ends[MQ_JSON_DEPTH]; /* of what is open */
    size_t depth;
    bool filled; /* the innermost has a member already */
} mq_json_stream;

/* A stream into sink, with nothing in it; for mq_json_stream_free. */
mq_json_stream mq_json_stream_init(mq_json_sink sink, void *user);
void mq_json_stream_free(mq_json_stream *stream);

/* Opens an object ('{') or a list ('[') within what is open: under key, plain ASCII, or NULL in a list and at
 * the very beginning. */
MQ_MUST_USE mq_status mq_json_stream_open(mq_err *err, mq_json_stream *stream, const char *key, char kind);

/* Adds a value, taken over even on failure, as mq_json_stream_open does. */
MQ_MUST_USE mq_status mq_json_stream_add(mq_err *err, mq_json_stream *stream, const char *key,
                                         mq_json *value);

/* Adds the members of an object, which is taken over even on failure. */
MQ_MUST_USE mq_status mq_json_stream_merge(mq_err *err, mq_json_stream *stream, mq_json *object);

/* Closes the innermost; behind the outermost comes a line's end, and sink has got all. */
MQ_MUST_USE mq_status mq_json_stream_close(mq_err *err, mq_json_stream *stream);

#endif
