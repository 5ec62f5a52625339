#!/usr/bin/env python3
"""marque imports what TensorFlow writes: pictures, labels, names, boxes and parts of every record. Prints TAP.

Shards are written by TensorFlow in its own shape and in that of TensorFlow Datasets, pictures encoded by it, labels and
boxes drawn at random; what the import made of them is read back by TensorFlow and compared exactly. Boxes are compared
with COCO's and Pascal VOC's own arithmetic, done here on arrays of pixels: what --store crop stores must be the pixels
that the annotation encloses.
"""
import json
import os
import random
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "golden"), str(TESTS / "cli"), str(TESTS / "oracle")]

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

import make_tfrecord as make  # noqa: E402
import tfrecord  # noqa: E402
from marque import Marque  # noqa: E402
from tap import Tap  # noqa: E402
from test_sources import voc_text  # noqa: E402

WORDS = [b"Carabus auratus", b"C. hortensis", "Käfer €".encode(), b"with, comma"]


def picture(draw, width, height, kind="jpeg"):
    pixels = np.frombuffer(draw.randbytes(width * height * 3), np.uint8).reshape(height, width, 3)
    return (tf.io.encode_jpeg if kind == "jpeg" else tf.io.encode_png)(pixels).numpy(), pixels


def write(path, records, compression=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type=compression)) as out:
        for record in records:
            out.write(make.example(record))


def draw_records(draw, count, shape, first=0):
    """[(features, what the import must say: bytes, text, box in pixels)]"""
    records = []
    for k in range(count):
        width, height, label = draw.randrange(20, 90), draw.randrange(20, 90), draw.randrange(len(WORDS))
        encoded, _ = picture(draw, width, height, draw.choice(["jpeg", "png"]))
        x1, y1 = draw.randrange(width - 5), draw.randrange(height - 5)
        box = (x1, y1, draw.randrange(x1 + 1, width + 1), draw.randrange(y1 + 1, height + 1))
        share = [np.float32(v / s) for v, s in zip(box, (width, height, width, height))]
        if shape == "slim":
            features = {"image/encoded": make.blob(encoded), "image/class/label": make.ints(label + 1),
                        "image/class/text": make.blob(WORDS[label]), "image/filename": make.blob(b"%05d.x" % (first + k)),
                        "image/height": make.ints(height), "image/width": make.ints(width),
                        **{f"image/object/bbox/{s}": make.floats(v) for s, v in zip(("xmin", "ymin", "xmax", "ymax"), share)}}
        else:
            features = {"image": make.blob(encoded), "label": make.ints(label), "id": make.blob(b"%d" % k),
                        "bbox": make.floats(share[1], share[0], share[3], share[2])}
        records.append((features, (encoded, WORDS[label], box)))
    return records


def check(tap, m, data, what, wanted):
    """wanted: {split: records}; names are whatever they are."""
    seen = tfrecord.by_tensorflow(m.folder / data)
    got = sorted((e["split"], e["image/encoded"], e["image/class/text"],
                  tuple(round(float(s) * d) for s, d in zip(e["box"], (int(e["image/width"]), int(e["image/height"])) * 2)))
                 for e in seen.values())
    expected = sorted((split, *facts) for split, records in wanted.items() for _, facts in records)
    tap.check(f"{what}: {len(expected)} pictures with their labels, boxes and parts", got == expected,
              str([(g[0], g[2:], e[0], e[2:]) for g, e in zip(got, expected) if g != e][:3]))
    classes = json.loads((m.folder / data / "dataset.json").read_text())["classes"]
    tap.check(f"{what}: classes in the order of labels", [c.encode() for c in classes] == WORDS, classes)


def check_shapes(tap, m, draw):
    slim = {"train": draw_records(draw, 60, "slim"), "val": draw_records(draw, 20, "slim", 60)}
    for split, name, count in (("train", "x_train_{:05}-of-{:05}.tfrecord", 3), ("val", "x_validation_{:05}-of-{:05}.tfrecord", 2)):
        for i in range(count):
            write(m.folder / "slim" / name.format(i, count), [f for f, _ in slim[split][i::count]])
    run = m.run(["import", "slim", "-o", "slim.mq"])
    tap.check("TensorFlow's shape is imported", run.code == 0, run.err)
    check(tap, m, "slim.mq", "TensorFlow's shape", slim)
    tfds = {"train": draw_records(draw, 60, "tfds"), "test": draw_records(draw, 20, "tfds", 60)}
    for split in tfds:
        write(m.folder / f"tfds/1.0.0/b-{split}.tfrecord-00000-of-00001", [f for f, _ in tfds[split]])
    (m.folder / "tfds/1.0.0/label.labels.txt").write_bytes(b"\n".join(WORDS) + b"\n")
    run = m.run(["import", "tfds/1.0.0", "-o", "tfds.mq", "--val", "0"])
    tap.check("TensorFlow Datasets' shape is imported", run.code == 0, run.err)
    check(tap, m, "tfds.mq", "TensorFlow Datasets' shape", tfds)
    for kind in ("GZIP", "ZLIB"):
        write(m.folder / kind / "a.tfrecord", [f for f, _ in slim["train"]], kind)
        m.expect(tap, f"TensorFlow's {kind} files", ["import", kind, "-o", f"{kind}.mq", "--test", "0", "--val", "0"], 0)
        check(tap, m, f"{kind}.mq", f"TensorFlow's {kind} files", {"train": slim["train"]})


def check_crops(tap, m, draw):
    """The very pixels: COCO's x, y, width, height from 0, and VOC's first and last pixel from 1."""
    images, annotations, wanted = [], [], {}
    for folder in ("coco/p", "voc/Annotations", "voc/JPEGImages"):
        (m.folder / folder).mkdir(parents=True)
    for k in range(12):
        width, height = draw.randrange(20, 60), draw.randrange(20, 60)
        encoded, pixels = picture(draw, width, height, "png")
        (m.folder / f"coco/p/{k}.png").write_bytes(encoded)
        (m.folder / f"voc/JPEGImages/{k}.png").write_bytes(encoded)
        images.append({"id": k, "file_name": f"p/{k}.png"})
        objects = []
        for _ in range(3):
            x, y = draw.randrange(width - 2), draw.randrange(height - 2)
            w, h = draw.randrange(1, width - x + 1), draw.randrange(1, height - y + 1)
            label = draw.choice("ab")
            annotations.append({"id": len(annotations) + 1, "image_id": k, "category_id": ord(label), "bbox": [x, y, w, h]})
            objects.append((label, 0, (x + 1, y + 1, x + w, y + h)))
            wanted[f"{k}.png#{len(annotations)}", f"{k}.png#{len(objects)}"] = pixels[y:y + h, x:x + w]
        (m.folder / f"voc/Annotations/{k}.xml").write_text(voc_text(f"{k}.png", objects))
    (m.folder / "coco/all.json").write_text(json.dumps({"images": images, "annotations": annotations, "categories": [
        {"id": ord(c), "name": c} for c in "ab"]}))
    for i, (source, prefix) in enumerate((("coco/all.json", "p/"), ("voc", "JPEGImages/"))):
        run = m.run(["import", source, "-o", f"crop{i}.mq", "--store", "crop"])
        tap.check(f"{source} is imported as crops", run.code == 0, run.err)
        seen = tfrecord.by_tensorflow(m.folder / f"crop{i}.mq")
        wrong = [names for names, pixels in wanted.items()
                 if not np.array_equal(tf.io.decode_png(seen[(prefix + names[i]).encode()]["image/encoded"]).numpy(), pixels)]
        tap.check(f"{source}: {len(wanted)} crops are the pixels that the annotations enclose",
                  len(seen) == len(wanted) and not wrong, wrong[:5])


def main():
    tap, draw = Tap(), random.Random(11)
    with Marque() as m:
        check_shapes(tap, m, draw)
        check_crops(tap, m, draw)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
