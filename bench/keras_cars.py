#!/usr/bin/env python3
"""The published experiment in its corrected form, in Keras, on a data set that marque imported.

usage: keras_cars.py DATA --minutes M -o CURVE.csv [--epochs 10,10] [--dtype mixed_bfloat16] [--batch 32] [--no-crop]
Xception (the weights that `marque pull` stored), pooled, Dense 1024, Dense classes; pixels in [-1, 1], flips; the trunk
frozen with Adam 1e-3, then everything with Adam 1e-4, batch norms on the batch's statistics. Pictures are cut to their
boxes where the data set has any, as marque does; --no-crop leaves them whole. A row of CURVE.csv for each epoch, and one
when the time is over. img_s is the pace of training alone."""
import argparse
import csv
import json
import os
import resource
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
START = time.time()
import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/oracle"))
from training import base_model  # noqa: E402
from xception import read_safetensors  # noqa: E402

BOX = ("ymin", "xmin", "ymax", "xmax")
COLUMNS = ("time", "epoch", "stage", "train/loss", "train/top1", "val/loss", "val/top1", "val/top5", "img_s")


def trunk(dtype):
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base_model(read_safetensors(cache / "marque/weights/xception.safetensors"), 299, dtype, "-", "-")[0]


def cut(image, example):
    """To its box; whole without one."""
    shape = tf.cast(tf.shape(image)[:2], tf.float32)
    box = [example[f"image/object/bbox/{edge}"] for edge in BOX]
    sides = tf.cast(tf.round(tf.stack(box) * tf.concat([shape, shape], 0)), tf.int32)
    return tf.cond(box[2] > box[0], lambda: image[sides[0]:sides[2], sides[1]:sides[3]], lambda: image)


def dataset(folder, split, options):
    train = split == "train"
    features = {"image/encoded": tf.io.FixedLenFeature([], tf.string), "image/class/label": tf.io.FixedLenFeature([], tf.int64),
                **{f"image/object/bbox/{edge}": tf.io.FixedLenFeature([], tf.float32, 0.0) for edge in BOX}}

    def decode(record):
        example = tf.io.parse_single_example(record, features)
        image = tf.io.decode_image(example["image/encoded"], channels=3, expand_animations=False)
        image = image if options.no_crop else cut(image, example)
        image = tf.ensure_shape(tf.image.resize(image, (299, 299)), (299, 299, 3)) / 127.5 - 1
        return tf.image.random_flip_left_right(image) if train else image, example["image/class/label"] - 1

    records = tf.data.TFRecordDataset(sorted(str(p) for p in Path(folder).glob(f"{split}-*.tfrecord")))
    records = records.shuffle(4096, seed=123) if train else records
    return records.map(decode, num_parallel_calls=tf.data.AUTOTUNE).batch(options.batch).prefetch(2)


class Clock(keras.callbacks.Callback):
    """Writes the curve and stops when the time is over."""

    def __init__(self, options, validation):
        super().__init__()
        self.end, self.batch, self.validation = START + 60 * options.minutes, options.batch, validation
        self.stage, self.count, self.over = "", 0, False
        self.file = open(options.o, "w", newline="")
        self.rows = csv.writer(self.file)
        self.rows.writerow(COLUMNS)

    def on_epoch_begin(self, epoch, logs=None):
        self.began, self.images = time.time(), 0

    def on_train_batch_end(self, batch, logs=None):
        self.images += self.batch
        self.over = time.time() >= self.end
        self.model.stop_training |= self.over  # ends the epoch behind this batch

    def on_epoch_end(self, epoch, logs=None):
        self.count += 1
        pace = self.images / (time.time() - self.began)
        loss, top1, top5 = self.model.evaluate(self.validation, verbose=0)
        self.rows.writerow([f"{v:.5g}" if isinstance(v, float) else v for v in (
            time.time() - START, self.count, self.stage, logs["loss"], logs["top1"], loss, top1,
            top5, pace)])
        self.file.flush()
        print(f"{time.time() - START:.0f} s {self.stage} val loss {loss:.3f} top1 {top1:.4f} top5 {top5:.4f} {pace:.2f} img/s",
              flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--epochs", default="10,10")
    parser.add_argument("--dtype", default="mixed_bfloat16")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--no-crop", action="store_true")
    parser.add_argument("-o", required=True)
    options = parser.parse_args()
    classes = len(json.loads((Path(options.data) / "dataset.json").read_text())["classes"])
    base = trunk(options.dtype)
    x = keras.layers.Dense(1024, activation="relu")(base.output)
    model = keras.Model(base.input, keras.layers.Dense(classes, activation="softmax", dtype="float32")(x))
    train, val = (dataset(options.data, split, options) for split in ("train", "val"))
    clock = Clock(options, val)
    for stage, rate, epochs in zip(("head", "all"), (1e-3, 1e-4), map(int, options.epochs.split(","))):
        base.trainable = stage == "all"
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy",
                      metrics=[keras.metrics.SparseCategoricalAccuracy("top1"),
                               keras.metrics.SparseTopKCategoricalAccuracy(5, "top5")])
        clock.stage = stage
        model.fit(train, epochs=epochs, verbose=0, callbacks=[clock])
        if clock.over:
            break
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


if __name__ == "__main__":
    main()
