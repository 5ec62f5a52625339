/* example.h: one picture as a tf.train.Example (TensorFlow, core/example/feature.proto): a map of names to
 * lists of bytes, floats or integers in protocol buffers' encoding. */
#ifndef MQ_EXAMPLE_H
#define MQ_EXAMPLE_H

#include "data/protobuf.h"

typedef struct {
    int64_t width, height, channels; /* 0 where there is none */
    int64_t label;                   /* from 1; 0 where there is none */
    mq_bytes colorspace, format, filename, encoded, text;
    bool has_box;
    float box[4]; /* xmin, ymin, xmax, ymax as fractions of width and height; the first box there is */
} mq_example;

/* Appends the encoded example to buf. */
MQ_MUST_USE mq_status mq_example_encode(mq_err *err, const mq_example *example, mq_buf *buf);

/* Reads size bytes; fields may come in any order, lists packed or not, unknown features are passed over.
 * what names the source in messages; example borrows from data. Bytes that are no Example: MQ_BAD_DATA. */
MQ_MUST_USE mq_status mq_example_decode(mq_err *err, const char *what, const uint8_t *data, size_t size,
                                        mq_example *example);

#endif
