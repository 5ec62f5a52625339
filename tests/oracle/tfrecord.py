#!/usr/bin/env python3
"""Real TensorFlow reads marque's shards, and marque reads TensorFlow's files. Prints TAP.

Ours: every record of an import with boxes and odd names, through tf.data.TFRecordDataset, parse_single_example and
decode_image; bytes, labels, names and the pixels of the boxes must be split.csv's. Theirs: packed and unpacked lists
(tests/golden/make_tfrecord.py) and random features, through example_probe. Everything is compared exactly.
Pictures: $MARQUE_CARS_BOXED with the annotations of $MARQUE_CARS where set, else small ones made here.
"""
import csv
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "golden"), str(TESTS / "cli")]

import tensorflow as tf  # noqa: E402

import make_tfrecord  # noqa: E402
import test_import  # noqa: E402
from marque import Marque  # noqa: E402
from tap import Tap  # noqa: E402

FEATURES = {
    "image/encoded": tf.io.FixedLenFeature([], tf.string), "image/filename": tf.io.FixedLenFeature([], tf.string),
    "image/format": tf.io.FixedLenFeature([], tf.string), "image/class/text": tf.io.FixedLenFeature([], tf.string),
    "image/colorspace": tf.io.FixedLenFeature([], tf.string),
    "image/class/label": tf.io.FixedLenFeature([], tf.int64), "image/width": tf.io.FixedLenFeature([], tf.int64),
    "image/height": tf.io.FixedLenFeature([], tf.int64), "image/channels": tf.io.FixedLenFeature([], tf.int64),
    **{f"image/object/bbox/{side}": tf.io.VarLenFeature(tf.float32) for side in ("xmin", "ymin", "xmax", "ymax")},
}


def probe(m, *args):
    tool = Path(m.program).parent / "tests/example_probe"
    done = subprocess.run([tool, *args], capture_output=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def by_tensorflow(data):
    """{file: what TensorFlow sees} of all shards."""
    found = {}
    for shard in sorted(data.glob("*.tfrecord")):
        for record in tf.data.TFRecordDataset([str(shard)]):
            e = tf.io.parse_single_example(record, FEATURES)
            box = [tf.sparse.to_dense(e[f"image/object/bbox/{s}"]).numpy() for s in ("xmin", "ymin", "xmax", "ymax")]
            value = {k: e[k].numpy() for k in FEATURES if "bbox" not in k}
            value["box"] = [float(side[0]) for side in box] if len(box[0]) else None
            value["split"] = shard.name.split("-")[0]
            found[value["image/filename"]] = value
    return found


def check_ours(tap, m, data, what):
    with open(data / "split.csv", newline="", encoding="utf-8", errors="surrogateescape") as file:
        table = list(csv.DictReader(file))
    seen = by_tensorflow(data)
    wrong = []
    for row in table:
        e = seen.get(row["file"].encode("utf-8", "surrogateescape"))
        if not e:
            wrong.append(f"{row['file']!r} is missing")
            continue
        pixels = tf.io.decode_image(e["image/encoded"], expand_animations=False)
        width, height = int(row["width"]), int(row["height"])
        box = e["box"] and [round(side * size) for side, size in zip(e["box"], (width, height) * 2)]
        wanted = [int(row[k]) for k in ("x1", "y1", "x2", "y2")] if row["x1"] else None
        good = (hashlib.sha256(e["image/encoded"]).hexdigest() == row["sha256"] and e["split"] == row["split"] and
                e["image/class/text"] == row["class"].encode("utf-8", "surrogateescape") and box == wanted and
                (e["image/width"], e["image/height"]) == (width, height) and
                pixels.shape == (height, width, e["image/channels"]))
        if not good:
            wrong.append(f"{row}: {[(k, v) for k, v in e.items() if k != 'image/encoded']} {box} {pixels.shape}")
    tap.check(f"TensorFlow reads {what}: {len(table)} records as split.csv says",
              table and len(seen) == len(table) and not wrong, "\n".join(wrong[:5]))
    back = {bytes.fromhex(e["name"]): e for e in probe(m, "-d", data)}
    same = all(back[name]["encoded"] == hashlib.sha256(e["image/encoded"]).hexdigest() and
               back[name]["label"] + 1 == e["image/class/label"] and back[name]["split"] == e["split"] and
               (back[name]["box"] is None) == (e["box"] is None) for name, e in seen.items())
    tap.check(f"marque reads the same from {what}", len(back) == len(seen) and same)


def import_boxed(m):
    """A data set with boxes: real pictures where there are some."""
    boxed, plain = os.environ.get("MARQUE_CARS_BOXED"), os.environ.get("MARQUE_CARS")
    if boxed and plain:
        source = [boxed, "--annotations", Path(plain) / "devkit/cars_train_annos.mat"]
    else:
        source = [test_import.cars(m.folder / "cars", test_import.table(40))]
    return m.run(["import", *source, "-o", "boxed.mq", "--allow-missing"])


def random_example(draw):
    """A record as TensorFlow writes it, and what must be read from it."""
    make = make_tfrecord
    width, height = draw.randrange(1, 70000), draw.randrange(1, 70000)
    encoded, name = draw.randbytes(draw.randrange(1, 5000)), draw.randbytes(draw.randrange(1, 300))
    box = [tf.constant(draw.random(), tf.float32).numpy() for _ in range(4)] if draw.random() < 0.5 else None
    features = {"image/width": make.ints(width), "image/height": make.ints(height),
                "image/class/label": make.ints(*([draw.randrange(1, 1 << 40)] * draw.randrange(1, 4))),
                "image/encoded": make.blob(encoded), "image/filename": make.blob(name),
                "noise/" + "x" * draw.randrange(300): make.floats(*[draw.random()] * draw.randrange(200))}
    if box:
        features.update({f"image/object/bbox/{s}": make.floats(v) for s, v in zip(("xmin", "ymin", "xmax", "ymax"), box)})
    wanted = {"width": width, "height": height, "label": features["image/class/label"].int64_list.value[0],
              "encoded": hashlib.sha256(encoded).hexdigest(), "filename": name.hex(),
              "box": box and [float(v) for v in box]}
    return make.example(features), wanted


def check_theirs(tap, m):
    draw, wanted = random.Random(7), []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "random.tfrecord"
        with tf.io.TFRecordWriter(str(path)) as out:
            for _ in range(200):
                record, what = random_example(draw)
                out.write(record)
                wanted.append(what)
        got = probe(m, path)
    for e in got:
        if e["box"]:
            e["box"] = [float(tf.constant(v, tf.float32).numpy()) for v in e["box"]]
    wrong = [(w, g) for w, g in zip(wanted, got) if any(g[k] != w[k] for k in w)]
    tap.check("marque reads 200 random records of TensorFlow", len(got) == 200 and not wrong, str(wrong[:2]))
    packed, unpacked, bare = probe(m, TESTS / "golden/tfrecord/tensorflow.tfrecord")
    tap.check("packed and unpacked lists say the same", packed == unpacked and packed["label"] == 196 and
              packed["box"] == [0.125, 0.25, 0.75, 1], (packed, unpacked))
    tap.check("a record of one feature", bare["label"] == 7 and bare["box"] is None, bare)


def main():
    tap = Tap()
    with Marque() as m:
        run = import_boxed(m)
        tap.check("an import with boxes", run.code == 0, run.err)
        check_ours(tap, m, m.folder / "boxed.mq", "pictures with boxes")
        test_import.fill(m.folder / "odd", {"a": 4, "b": 4})
        for name in test_import.ODD:
            os.makedirs(os.path.join(os.fsencode(m.folder), b"odd", name))
            with open(os.path.join(os.fsencode(m.folder), b"odd", name, name), "wb") as file:
                file.write(test_import.png(3, 4, 900 + test_import.ODD.index(name)))
        run = m.run(["import", "odd", "-o", "odd.mq"])
        tap.check("an import with odd names", run.code == 0, run.err)
        check_ours(tap, m, m.folder / "odd.mq", "odd names")
        check_theirs(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
