/* protobuf.h: protocol buffers' wire format (protobuf.dev, "Encoding"), as far as tf.train.Example and
 * tensorflow.Event need it: fields 1 to 15, no groups. */
#ifndef MQ_PROTOBUF_H
#define MQ_PROTOBUF_H

#include "base/buf.h"

enum { MQ_WIRE_VARINT = 0, MQ_WIRE_64 = 1, MQ_WIRE_BYTES = 2, MQ_WIRE_32 = 5 };
enum { MQ_VARINT_MAX = 10 };

/* Bytes that end nowhere but at size; borrowed. */
typedef struct {
    const uint8_t *data;
    size_t size;
} mq_bytes;

/* Writes value into out, which has room for MQ_VARINT_MAX bytes; returns how many it took. */
size_t mq_varint_put(uint8_t *out, uint64_t value);

/* Bytes of a whole field whose content has size bytes: tag, length, content. */
size_t mq_field_size(size_t size);

/* Appends tag and length of a field whose size bytes of content follow. */
MQ_MUST_USE mq_status mq_field_head(mq_err *err, mq_buf *buf, int field, size_t size);

/* Appends a whole field; data is borrowed. */
MQ_MUST_USE mq_status mq_field_bytes(mq_err *err, mq_buf *buf, int field, const void *data, size_t size);
MQ_MUST_USE mq_status mq_field_varint(mq_err *err, mq_buf *buf, int field, uint64_t value);
MQ_MUST_USE mq_status mq_field_double(mq_err *err, mq_buf *buf, int field, double value);

/* A message being read; borrowed from its bytes. */
typedef struct {
    const uint8_t *at, *end;
} mq_fields;

/* One field of a message: content of a length, or a number. */
typedef struct {
    uint64_t number; /* the field's */
    unsigned wire;
    uint64_t value;   /* of varint, 32 and 64 bits */
    mq_bytes content; /* of MQ_WIRE_BYTES */
} mq_field;

static inline mq_fields mq_fields_of(mq_bytes bytes) {
    return (mq_fields){bytes.data, bytes.size ? bytes.data + bytes.size : bytes.data}; /* none: NULL */
}

/* Takes the next field (there must be one: at < end), or a bare number; false when the message is damaged. */
bool mq_field_next(mq_fields *in, mq_field *field);
bool mq_varint_next(mq_fields *in, uint64_t *value);

#endif
