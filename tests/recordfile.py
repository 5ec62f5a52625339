"""recordfile.py: writes TFRecord files of tf.train.Example without TensorFlow, for tests.

    path.write_bytes(recordfile.write([{"image/encoded": [b"..."], "image/class/label": [3], "share": [0.5]}]))

A feature is a list of bytes, of int or of float.
"""
import struct

from eventfile import masked


def varint(value):
    value &= (1 << 64) - 1
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def feature(values):
    if all(isinstance(v, bytes) for v in values):
        return field(1, b"".join(field(1, v) for v in values))
    if all(isinstance(v, int) for v in values):
        return field(3, field(1, b"".join(varint(v) for v in values)))
    return field(2, field(1, struct.pack(f"<{len(values)}f", *values)))


def example(features):
    entries = (field(1, field(1, name.encode()) + field(2, feature(values))) for name, values in features.items())
    return field(1, b"".join(entries))


def frame(data):
    head = struct.pack("<Q", len(data))
    return head + struct.pack("<I", masked(head)) + data + struct.pack("<I", masked(data))


def write(examples):
    return b"".join(frame(example(e)) for e in examples)
