/* protobuf.c: fields of protocol buffers to bytes and back. Called by the
 * codecs of tf.train.Example and of event files. Owns nothing. Invariant: every
 * length is checked against what is left before a byte behind it is read. */
#include "data/protobuf.h"
#include "data/bytes.h"

#include <string.h>

size_t mq_varint_put(uint8_t *out, uint64_t value) {
    size_t n = 0;
    for (; value >= 0x80; value >>= 7) out[n++] = (uint8_t)(value | 0x80);
    out[n++] = (uint8_t)value;
    return n;
}

size_t mq_field_size(size_t size) {
    uint8_t scratch[MQ_VARINT_MAX];
    return 1 + mq_varint_put(scratch, size) + size;
}

/* A tag and the number behind it: a value, or the length of what follows. */
static mq_status add_tagged(mq_err *err, mq_buf *buf, int tag, uint64_t value) {
    uint8_t head[1 + MQ_VARINT_MAX] = {(uint8_t)tag};
    return mq_buf_add(err, buf, head, 1 + mq_varint_put(head + 1, value));
}

mq_status mq_field_head(mq_err *err, mq_buf *buf, int field, size_t size) {
    return add_tagged(err, buf, field << 3 | MQ_WIRE_BYTES, size);
}

mq_status mq_field_bytes(mq_err *err, mq_buf *buf, int field, const void *data, size_t size) {
    const mq_status status = mq_field_head(err, buf, field, size);
    return status == MQ_OK ? mq_buf_add(err, buf, data, size) : status;
}

mq_status mq_field_varint(mq_err *err, mq_buf *buf, int field, uint64_t value) {
    return add_tagged(err, buf, field << 3 | MQ_WIRE_VARINT, value);
}

mq_status mq_field_double(mq_err *err, mq_buf *buf, int field, double value) {
    uint8_t bytes[9] = {(uint8_t)(field << 3 | MQ_WIRE_64)};
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    mq_write_u64(bytes + 1, bits);
    return mq_buf_add(err, buf, bytes, sizeof bytes);
}

bool mq_varint_next(mq_fields *in, uint64_t *value) {
    *value = 0;
    for (unsigned shift = 0; shift < 70 && in->at < in->end; shift += 7) {
        const uint8_t byte = *in->at++;
        if (shift == 63 && byte > 1) return false;
        *value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) return true;
    }
    return false;
}

static bool take_bytes(mq_fields *in, uint64_t size, mq_bytes *content) {
    if (size > (uint64_t)(in->end - in->at)) return false;
    *content = (mq_bytes){in->at, (size_t)size};
    in->at += size;
    return true;
}

/* Groups are damage here: they are long gone from protocol buffers. */
bool mq_field_next(mq_fields *in, mq_field *out) {
    uint64_t tag, size;
    *out = (mq_field){0};
    if (!mq_varint_next(in, &tag) || tag >> 3 == 0) return false;
    out->number = tag >> 3;
    out->wire = (unsigned)(tag & 7);
    switch (out->wire) {
    case MQ_WIRE_VARINT:
        return mq_varint_next(in, &out->value);
    case MQ_WIRE_BYTES:
        return mq_varint_next(in, &size) && take_bytes(in, size, &out->content);
    case MQ_WIRE_64:
        if (!take_bytes(in, 8, &out->content)) return false;
        out->value = mq_read_u64(out->content.data);
        return true;
    case MQ_WIRE_32:
        if (!take_bytes(in, 4, &out->content)) return false;
        out->value = mq_read_u32(out->content.data);
        return true;
    default:
        return false;
    }
}
