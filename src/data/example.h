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

/* The field number of the list in a Feature. */
enum { MQ_BYTES_LIST = 1, MQ_FLOAT_LIST = 2, MQ_INT_LIST = 3 };

/* A feature as it lies in an Example: which list it has (0: none), and that list's bytes, borrowed. */
typedef struct {
    unsigned kind;
    mq_bytes list;
} mq_feature;

/* Finds the features called names[0..count) in an Example, features[i] for names[i], kind 0 where there is
 * none. Fields may come in any order, other features are passed over. Not an Example: MQ_BAD_DATA. */
MQ_MUST_USE mq_status mq_example_find(mq_err *err, const char *what, mq_bytes example,
                                      const char *const *names, size_t count, mq_feature *features);

/* The values of a feature, one after the other, packed or not. */
typedef struct {
    unsigned kind;
    mq_fields list, packed;
    bool sound; /* false once the list has turned out damaged */
} mq_values;
mq_values mq_values_of(const mq_feature *feature);

/* Takes the next value: a number's bits, or bytes. False at the end, and at damage. */
bool mq_values_next(mq_values *values, uint64_t *bits, mq_bytes *bytes);

/* Appends the encoded example to buf. */
MQ_MUST_USE mq_status mq_example_encode(mq_err *err, const mq_example *example, mq_buf *buf);

/* Puts the record of an example, a sealed frame (tfrecord.h), into frame in place of what it held. */
MQ_MUST_USE mq_status mq_example_frame(mq_err *err, const mq_example *example, mq_buf *frame);

/* Reads size bytes, lists packed or not. what names the source in messages; example borrows from data. Bytes
 * that are no Example: MQ_BAD_DATA. */
MQ_MUST_USE mq_status mq_example_decode(mq_err *err, const char *what, const uint8_t *data, size_t size,
                                        mq_example *example);

#endif
