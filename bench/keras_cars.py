#!/usr/bin/env python3
"""The published experiment in its corrected form, in Keras, on a data set that marque imported.

usage: keras_cars.py DATA --minutes M -o CURVE.csv [--epochs 10,10] [--dtype mixed_bfloat16] [--batch 32]
Xception (the weights that `marque pull` stored), pooled, Dense 1024, Dense classes; pixels in [-1, 1], flips; the trunk
frozen with Adam 1e-3, then everything with Adam 1e-4. A row of CURVE.csv for each epoch, and one when the time is over."""
import argparse
import csv
import json
import os
import resource
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
START = time.time()
import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402


def read_weights():
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    data = (cache / "marque/weights/xception.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    head, data = json.loads(data[8:8 + size]), data[8 + size:]
    return {name: np.frombuffer(data[t["data_offsets"][0]:t["data_offsets"][1]], "<f4").reshape(t["shape"])
            for name, t in head.items() if name != "__metadata__"}


def trunk():
    weights, seen = read_weights(), {}
    base = keras.applications.Xception(include_top=False, weights=None, input_shape=(299, 299, 3), pooling="avg")
    for layer in base.layers:
        name = layer.name
        for stem in ("batch_normalization", "conv2d"):
            if name == stem or name.startswith(stem + "_"):
                number = seen[stem] = seen.get(stem, -1) + 1
                name = stem if number == 0 else f"{stem}_{number}"
        if layer.weights:
            layer.set_weights([weights[f"{name}/{w.name}"] for w in layer.weights])
    return base


def dataset(folder, split, batch, train):
    features = {"image/encoded": tf.io.FixedLenFeature([], tf.string), "image/class/label": tf.io.FixedLenFeature([], tf.int64)}

    def decode(record):
        example = tf.io.parse_single_example(record, features)
        image = tf.image.resize(tf.io.decode_jpeg(example["image/encoded"], channels=3), (299, 299)) / 127.5 - 1
        return tf.image.random_flip_left_right(image) if train else image, example["image/class/label"] - 1

    records = tf.data.TFRecordDataset(sorted(str(p) for p in Path(folder).glob(f"{split}-*.tfrecord")))
    records = records.shuffle(4096, seed=123) if train else records
    return records.map(decode, num_parallel_calls=tf.data.AUTOTUNE).batch(batch).prefetch(2)


class Clock(keras.callbacks.Callback):
    """Writes the curve and stops when the time is over."""

    def __init__(self, options, validation):
        super().__init__()
        self.end, self.validation, self.stage, self.count, self.over = START + 60 * options.minutes, validation, "", 0, False
        self.file = open(options.o, "w", newline="")
        self.rows = csv.writer(self.file)
        self.rows.writerow(["time", "epoch", "stage", "train/loss", "train/top1", "val/loss", "val/top1", "val/top5", "img_s"])

    def on_epoch_begin(self, epoch, logs=None):
        self.began, self.images, self.logs = time.time(), 0, {}

    def on_train_batch_end(self, batch, logs=None):
        self.images += self.params.get("batch", 32)
        self.logs = logs or {}
        self.over = time.time() >= self.end
        if self.over:
            self.model.stop_training = True
            raise StopIteration

    def row(self, logs):
        self.count += 1
        pace = self.images / (time.time() - self.began)
        loss, top1, top5 = self.model.evaluate(self.validation, verbose=0)
        self.rows.writerow([f"{v:.5g}" if isinstance(v, float) else v for v in (
            time.time() - START, self.count, self.stage, float(logs.get("loss", 0)), float(logs.get("top1", 0)), loss, top1,
            top5, pace)])
        self.file.flush()
        print(f"{time.time() - START:.0f} s {self.stage} val loss {loss:.3f} top1 {top1:.4f} top5 {top5:.4f} {pace:.2f} img/s",
              flush=True)

    def on_epoch_end(self, epoch, logs=None):
        self.row(logs or self.logs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--epochs", default="10,10")
    parser.add_argument("--dtype", default="mixed_bfloat16")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("-o", required=True)
    options = parser.parse_args()
    classes = len(json.loads((Path(options.data) / "dataset.json").read_text())["classes"])
    keras.config.set_dtype_policy(options.dtype)
    base = trunk()
    x = keras.layers.Dense(1024, activation="relu")(base.output)
    model = keras.Model(base.input, keras.layers.Dense(classes, activation="softmax", dtype="float32")(x))
    train, val = (dataset(options.data, split, options.batch, split == "train") for split in ("train", "val"))
    clock = Clock(options, val)
    for stage, rate, epochs in zip(("head", "all"), (1e-3, 1e-4), map(int, options.epochs.split(","))):
        base.trainable = stage == "all"
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy",
                      metrics=[keras.metrics.SparseCategoricalAccuracy("top1"),
                               keras.metrics.SparseTopKCategoricalAccuracy(5, "top5")])
        clock.stage = stage
        try:
            model.fit(train, epochs=epochs, verbose=0, callbacks=[clock])
        except StopIteration:
            clock.row(clock.logs)
            break
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


if __name__ == "__main__":
    main()
