#!/usr/bin/env python3
"""Live comparison of the loss with Keras: class weights, label smoothing, mixed labels. TAP on stdout.

usage: labels.py [LABELS_PROBE]   (default: tests/labels_probe beside the program MARQUE_BIN)
A classifier with one hidden layer on made-up features. Rows' losses and gradients: within 1e-5 relative norm of
CategoricalCrossentropy(label_smoothing) with sample_weight in float64; a mixed row is the sum of its two classes' losses,
each with its share times its class's weight. Whole steps: model.fit with class_weight, whose losses are those of ours
within 1e-4. So Keras' own machinery says what the weights of a class do, and that its validation has none."""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from tap import Tap  # noqa: E402
from xception import read_safetensors  # noqa: E402

ROWS, FEATURES, HIDDEN, CLASSES, STEPS, RATE = 24, 2048, 1024, 11, 8, 1e-3


class Data:
    def __init__(self):
        draw = np.random.default_rng(5)
        self.x = draw.standard_normal((ROWS, FEATURES)).astype("f4")
        # Uneven, as what weights are for.
        self.first = np.minimum(draw.geometric(0.3, ROWS) - 1, CLASSES - 1).astype("u4")
        self.second = np.roll(self.first, 1)
        self.share = draw.beta(0.4, 0.4, ROWS).astype("f4")
        counts = np.bincount(self.first, minlength=CLASSES)
        self.weights = np.where(counts, ROWS / (np.count_nonzero(counts) * np.maximum(counts, 1)), 1).astype("f4")
        shapes = {"dense/kernel": (FEATURES, HIDDEN), "dense/bias": (HIDDEN,), "predictions/kernel": (HIDDEN, CLASSES),
                  "predictions/bias": (CLASSES,)}
        self.head = {f"head/{name}": (draw.uniform(-.04, .04, shape) * (len(shape) > 1)).astype("f4")
                     for name, shape in shapes.items()}


def ours(tool, data, steps, smoothing, mixed, weighted):
    from safetensors.numpy import save_file
    with tempfile.TemporaryDirectory() as folder:
        def file(name, values, wanted=True):
            path = os.path.join(folder, name)
            values.tofile(path)
            return path if wanted else "-"
        head, out = os.path.join(folder, "head"), os.path.join(folder, "out")
        save_file(data.head, head)
        subprocess.run([tool, head, str(CLASSES), str(RATE), str(steps), str(smoothing), file("x", data.x),
                        file("first", data.first), file("second", data.second, mixed), file("share", data.share, mixed),
                        file("weights", data.weights, weighted), out], check=True)
        return {name: values.astype("f8").ravel() for name, values in read_safetensors(out).items()}


def error(a, b):
    return float(np.linalg.norm(a.ravel() - b.ravel()) / max(np.linalg.norm(b), 1e-300))


def check_gradients(tap, tool, data, smoothing, mixed, weighted):
    import keras
    import tensorflow as tf
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing, reduction="none",
                                                dtype="float64")
    params = [tf.Variable(values.astype("f8")) for values in data.head.values()]
    parts = [(data.first, data.share), (data.second, 1 - data.share)] if mixed else [(data.first, np.ones(ROWS))]
    with tf.GradientTape() as tape:
        hidden = tf.nn.relu(data.x.astype("f8") @ params[0] + params[1])
        logits = hidden @ params[2] + params[3]
        rows = sum(loss(np.eye(CLASSES)[labels], logits,
                        sample_weight=share.astype("f8") * (data.weights[labels] if weighted else 1))
                   for labels, share in parts)
        mean = tf.reduce_mean(rows)
    wanted = np.concatenate([np.asarray(g).ravel() for g in tape.gradient(mean, params)])
    found = ours(tool, data, 1, smoothing, mixed, weighted)
    name = f"smoothing {smoothing}, {'mixed' if mixed else 'plain'}, {'weighted' if weighted else 'unweighted'}"
    e = error(found["rows"], np.asarray(rows)), error(found["grad"], wanted)
    tap.check(f"{name}: rows' losses {e[0]:.1e}, gradients {e[1]:.1e} from Keras in float64", max(e) <= 1e-5)


def model(data, loss):
    import keras
    net = keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(HIDDEN, activation="relu"),
                            keras.layers.Dense(CLASSES, activation="softmax")])
    net.set_weights(list(data.head.values()))
    net.compile(keras.optimizers.Adam(RATE), loss)
    return net


def check_fit(tap, tool, data, smoothing, weighted):
    import keras
    net = model(data, keras.losses.CategoricalCrossentropy(label_smoothing=smoothing))
    onehot = np.eye(CLASSES, dtype="f4")[data.first]
    weights = dict(enumerate(map(float, data.weights))) if weighted else None
    before = net.evaluate(data.x, onehot, verbose=0)
    history = net.fit(data.x, onehot, batch_size=ROWS, epochs=STEPS, shuffle=False, class_weight=weights, verbose=0,
                      validation_data=(data.x, onehot)).history
    found = ours(tool, data, STEPS, smoothing, False, weighted)
    e = error(found["losses"], np.array(history["loss"]))
    changes = [flat - np.concatenate([v.ravel() for v in data.head.values()]).astype("f8")
               for flat in (found["params"], np.concatenate([w.ravel() for w in net.get_weights()]).astype("f8"))]
    name = f"model.fit, smoothing {smoothing}, {'class_weight' if weighted else 'no class_weight'}"
    tap.check(f"{name}: {STEPS} losses {e:.1e}, the change of the parameters {error(*changes):.1e}",
              e <= 1e-4 and error(*changes) <= 1e-3 and found["losses"][-1] < found["losses"][0] / 2,
              f"{found['losses']} {history['loss']}")
    if weighted:
        tap.check(f"{name}: Keras' validation has no weights: {history['val_loss'][-1]:.4f}",
                  abs(history["val_loss"][-1] - net.evaluate(data.x, onehot, verbose=0)) < 1e-5 and
                  abs(before - history["loss"][0]) > 1e-3, (before, history))


def main():
    tap = Tap()
    tool = sys.argv[1] if len(sys.argv) > 1 else os.path.join(
        os.path.dirname(os.environ.get("MARQUE_BIN", "build/release/marque")), "tests", "labels_probe")
    data = Data()
    for smoothing in (0, 0.1):
        for mixed in (False, True):
            for weighted in (False, True):
                check_gradients(tap, tool, data, smoothing, mixed, weighted)
        for weighted in (False, True):
            check_fit(tap, tool, data, smoothing, weighted)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
