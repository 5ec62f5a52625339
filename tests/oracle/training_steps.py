#!/usr/bin/env python3
"""Live comparison of training with Keras: some steps of Adam on all of Xception and a classifier. TAP on stdout.

usage: training_steps.py [TRAIN_PROBE]   (default: tests/train_probe beside the program MARQUE_BIN)
Both begin with the same weights, classifier and pictures. Adam's first steps move every weight by the learning rate
towards the sign of its gradient, however small that is, so f32 runs part quickly: two of Keras' own, one on pixels a
millionth brighter, are 3e-3 from float64 after ten steps, and 1e-2 at 128 pixels. So the judge is Keras in float64: a
loss may be as far from it as 5e-3 of the first loss or three times as far as those two have been, whichever is more;
the second loss, which one step has moved, within 1e-4 (measured 1e-5). The optimizer alone is compared on the very
gradients that our steps had."""
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
from training import base_model, error  # noqa: E402
from xception import find_inputs, load_pictures, read_safetensors  # noqa: E402

SIZE, PICTURES, CLASSES = 71, 8, 196
STEPS, RATE, LIKE = 4, 1e-4, 5e-3


class Data:
    """What both sides begin with."""

    def __init__(self, path, files):
        draw = np.random.default_rng(3)
        self.path, self.weights = path, read_safetensors(path)
        self.pixels, self.labels = load_pictures(files[:PICTURES], SIZE), draw.integers(0, CLASSES, PICTURES)
        head = {"dense/kernel": draw.uniform(-.044, .044, (2048, 1024)), "dense/bias": np.zeros(1024),
                "predictions/kernel": draw.uniform(-.07, .07, (1024, CLASSES)), "predictions/bias": np.zeros(CLASSES)}
        self.head = {f"head/{name}": value.astype("f4") for name, value in head.items()}


def our_steps(tool, data, bn, steps):
    """Losses, and parameters, moving statistics and the last step's gradients by name. In a trainable for more pictures."""
    from safetensors.numpy import save_file
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("in", "labels", "head", "out")]
        data.pixels.astype("<f4").tofile(paths[0])
        data.labels.astype("<u4").tofile(paths[1])
        save_file(data.head, paths[2])
        subprocess.run([tool, "--train", data.path, "f32", str(SIZE), bn, str(RATE), str(steps), *paths], check=True)
        found = read_safetensors(paths[3])
    return found.pop("losses").astype("f8"), found


def keras_steps(data, bn, policy, brighter=0.0):
    """Losses, and moving statistics by our names."""
    import keras
    import tensorflow as tf
    base, names = base_model(data.weights, SIZE, policy, "-", "-")
    head = keras.Sequential([keras.layers.Dense(1024, activation="relu"), keras.layers.Dense(CLASSES)])
    head.build((None, 2048))
    head.set_weights(list(data.head.values()))
    variables = base.trainable_weights + head.trainable_weights
    adam, losses, pixels = keras.optimizers.Adam(RATE), [], tf.constant(data.pixels * (1 + brighter), policy)

    def flat(tensors):
        return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0)

    whole = keras.Variable(flat(w.value for w in variables), dtype=policy)  # Adam on 158 tensors takes 2 s a step
    for _ in range(STEPS):
        with tf.GradientTape() as tape:
            logits = head(base(pixels, training=bn == "train"))
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(data.labels, logits))
        adam.apply([flat(tape.gradient(loss, [w.value for w in variables]))], [whole])
        for w, part in zip(variables, tf.split(whole.value, [tf.size(w.value) for w in variables])):
            w.assign(tf.reshape(part, w.shape))
        losses.append(float(loss))
    return np.array(losses), {f"{name}/{w.name}": np.asarray(w, "f8") for name, layer in names.items()
                              for w in layer.non_trainable_weights}


def check_losses(tap, tool, data, bn):
    ours, found = our_steps(tool, data, bn, STEPS)
    exact, statistics = keras_steps(data, bn, "float64")
    f32 = [keras_steps(data, bn, "float32", brighter) for brighter in (0, 1e-6)]
    own = np.maximum.accumulate(np.max([abs(losses - exact) for losses, _ in f32], axis=0))
    off = abs(ours - exact)
    figures = "; ".join(f"{e:.3f} {o:+.1e} {k:.1e}" for e, o, k in zip(exact, ours - exact, own))
    tap.check(f"{STEPS} steps, {bn}: losses {exact[0]:.3f} to {exact[-1]:.3f}, worst {off.max():.1e}, Keras f32 {own.max():.1e}",
              np.all(off <= np.maximum(LIKE * exact[0], 3 * own)) and exact[-1] < exact[0],
              f"float64, ours from it, Keras f32 from it: {figures}")
    tap.check(f"{STEPS} steps, {bn}: the second loss {off[1] / exact[1]:.1e}", off[1] <= 1e-4 * exact[1])
    moving = [error(found[name].astype("f8"), want) for name, want in statistics.items() if name in found]
    tap.check(f"{STEPS} steps, {bn}: {len(moving)} moving statistics, worst {max(moving, default=0):.1e}",
              len(moving) == (80 if bn == "train" else 0) and max(moving, default=0) <= 1e-2)


def check_adam(tap, tool, data, bn, steps):
    """Keras' Adam is given our gradients of the first steps. The tolerance is what rounding of weights near 1 leaves of a
    change of 1e-4."""
    import keras
    keras.config.set_dtype_policy("float32")
    found = [our_steps(tool, data, bn, step)[1] for step in range(1, steps + 1)]
    names = [name.removeprefix("grad/") for name in found[0] if name.startswith("grad/")]

    def flat(tensors, prefix=""):
        return np.concatenate([tensors[prefix + name].ravel() for name in names])

    start = flat(data.weights)
    variable, adam = keras.Variable(start), keras.optimizers.Adam(RATE)
    for tensors in found:
        adam.apply([keras.ops.convert_to_tensor(flat(tensors, "grad/"))], [variable])
        changes = [weights.astype("f8") - start for weights in (flat(tensors), np.asarray(variable))]
        e = error(*changes)
        tap.check(f"Keras' Adam on our gradients: {len(names)} tensors, change after step {int(adam.iterations)} {e:.1e}",
                  e <= 1e-4 and len(names) == 154)


def main():
    tap = Tap()
    found = find_inputs()
    if not found:
        return 0
    programs, path, files = found
    tool = sys.argv[1] if len(sys.argv) > 1 else os.path.join(programs, "train_probe")
    data = Data(path, files)
    check_adam(tap, tool, data, "train", 3)
    for bn in ("train", "stored"):
        check_losses(tap, tool, data, bn)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
