#!/usr/bin/env python3
"""Writes tests/golden/tfrecord/tensorflow.tfrecord with TensorFlow, for tests/unit/test_tfrecord.c.

    python3 tests/golden/make_tfrecord.py        (package tensorflow; no random numbers, no clock)

Record 0 is what TensorFlow's own classes write (packed lists), with features nobody knows and two boxes. Record 1
says the same with unpacked lists and its map in another order. Record 2 has no box and no bytes.
"""
import os
import pathlib
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from recordfile import field, varint  # noqa: E402

OUT = pathlib.Path(__file__).parent / "tfrecord"


def ints(*values):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def floats(*values):
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def blob(*values):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def example(features):
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)


def unpacked(kind, values):
    """A Feature whose numbers stand one by one (TensorFlow reads that too; checked below)."""
    import struct
    if kind == 3:
        items = b"".join(varint(1 << 3) + varint(v) for v in values)
    elif kind == 2:
        items = b"".join(varint(1 << 3 | 5) + struct.pack("<f", v) for v in values)
    else:
        items = b"".join(field(1, v) for v in values)
    return field(kind, items)


BOX = {"xmin": (0.125, 0.5), "ymin": (0.25, 0.5), "xmax": (0.75, 1.0), "ymax": (1.0, 1.0)}
FIRST = {
    "image/width": ints(640), "image/height": ints(480), "image/channels": ints(3), "image/class/label": ints(196),
    "image/class/text": blob("Ram C/V".encode()), "image/format": blob(b"jpeg"), "image/colorspace": blob(b"RGB"),
    "image/filename": blob(b"a\xffb.jpg"), "image/encoded": blob(b"\xff\xd8 not really"),
    "image/key/sha256": blob(b"0" * 64), "other/ints": ints(-1, 1 << 40), "other/floats": floats(1.5), "empty": ints(),
    **{f"image/object/bbox/{side}": floats(*values) for side, values in BOX.items()},
}
SECOND = [
    ("other/ints", unpacked(3, [-1, 1 << 40])), ("image/object/bbox/ymax", unpacked(2, BOX["ymax"])),
    ("image/encoded", unpacked(1, [b"\xff\xd8 not really"])), ("image/class/label", unpacked(3, [196])),
    ("image/object/bbox/xmax", unpacked(2, BOX["xmax"])), ("image/width", unpacked(3, [640])),
    ("image/filename", unpacked(1, [b"a\xffb.jpg"])), ("image/object/bbox/ymin", unpacked(2, BOX["ymin"])),
    ("image/height", unpacked(3, [480])), ("image/class/text", unpacked(1, [b"Ram C/V"])),
    ("image/object/bbox/xmin", unpacked(2, BOX["xmin"])), ("image/format", unpacked(1, [b"jpeg"])),
    ("image/channels", unpacked(3, [3])), ("image/colorspace", unpacked(1, [b"RGB"])),
]

if __name__ == "__main__":
    second = field(1, b"".join(field(1, field(2, feature) + field(1, name.encode())) for name, feature in SECOND))
    read = tf.train.Example.FromString(second).features.feature
    assert read["other/ints"].int64_list.value == [-1, 1 << 40] and read["image/width"].int64_list.value == [640]
    OUT.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(OUT / "tensorflow.tfrecord")) as out:
        out.write(example(FIRST))
        out.write(second)
        out.write(example({"image/class/label": ints(7)}))
