#!/usr/bin/env python3
"""Live comparison of a training pass of Xception with Keras on real weights and real pictures. TAP on stdout.

usage: training.py [TRAIN_PROBE]   (default: tests/train_probe beside the program MARQUE_BIN)
The loss is the sum of the features times given numbers, so every gradient is compared, none of a classifier. f32: the features within 1e-4 relative norm of Keras f32; each gradient at most 3 times as far from Keras in float64 as Keras f32
is (flipped ReLUs alone give f32 1e-3 to 1e-2; tests/unit/test_trainable.c has the small tolerances), at most 2e-2, cosine at least 0.9998; moving statistics 1e-4. bf16: the
whole gradient and the features at most 1.5 times as far from float64 as mixed_bfloat16."""
import os
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from xception import find_pictures, load_pictures, read_safetensors  # noqa: E402

# side, pictures, first and last thawed block, node below them, batch norm
CASES = [(71, 6, "-", "-", None, "train"), (71, 6, "-", "-", None, "stored"), (128, 5, "-", "-", None, "train"),
         (128, 5, "block13", "-", "add_10", "train"), (96, 6, "block5", "block5", "add_2", "stored"),
         (71, 3, "block9", "-", "add_6", "stored"), (299, 2, "-", "-", None, "train")]
FLOOR = 3e-3  # of a gradient's error: what one ReLU gives that flips here and not in Keras f32 (then all else is at 1e-6)


def base_model(weights, size, policy, first, last):
    """The trunk with what is frozen frozen, and its layers by our names."""
    import keras
    keras.backend.clear_session()
    keras.config.set_dtype_policy(keras.mixed_precision.DTypePolicy(policy))
    base = keras.applications.Xception(include_top=False, weights=None, input_shape=(size, size, 3), pooling="avg")
    seen, names, block = {}, {}, "block1"
    for layer in base.layers:
        name = layer.name
        for stem in ("batch_normalization", "conv2d", "add"):  # unnamed: counted from 0 here
            if name == stem or name.startswith(stem + "_"):
                number = seen[stem] = seen.get(stem, -1) + 1
                name = stem if number == 0 else f"{stem}_{number}"
        names[name] = layer
        if layer.weights:
            layer.set_weights([weights[f"{name}/{w.name}"] for w in layer.weights])
    # The unnamed layers belong to the blocks that shrink: 2, 3, 4 and 13.
    shrinking = dict(enumerate(["block2", "block3", "block4", "block13"]))
    blocks = [f"block{i}" for i in range(1, 15)]
    thawed = blocks[blocks.index(first) if first != "-" else 0:(blocks.index(last) if last != "-" else 13) + 1]
    for name, layer in names.items():
        if not layer.weights:
            continue
        block = name.split("_")[0] if name.startswith("block") else shrinking[int(name.rsplit("_", 1)[-1]) if
                                                                              name[-1].isdigit() and "_" in name and
                                                                              name not in ("conv2d",) else 0]
        layer.trainable = block in thawed
    return base, names


def keras_pass(weights, case, policy, pixels, gradient):
    """Features, gradients and moving statistics, by our names, as float64."""
    import keras
    import tensorflow as tf
    size, _, first, last, node, bn = case
    base, names = base_model(weights, size, policy, first, last)
    if node:  # from the very tensor that we begin with
        base = keras.Model(names[node].output, base.output)
    wide = "float64" if policy == "float64" else "float32"
    variables = [(f"{name}/{w.name}", w) for name, layer in names.items() for w in layer.trainable_weights]
    with tf.GradientTape() as tape:
        features = base(tf.constant(pixels, wide), training=bn == "train")
        loss = tf.reduce_sum(tf.cast(features, wide) * tf.constant(gradient, wide))
    grads = tape.gradient(loss, [w.value for _, w in variables])
    moving = {f"{name}/{w.name}": np.asarray(w, "f8") for name, layer in names.items() if layer.trainable
              for w in layer.non_trainable_weights if w.name.startswith("moving")}
    return (np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(features, wide)), "f8"),
            {name: np.asarray(g, "f8") for (name, _), g in zip(variables, grads)}, moving)


def boundary(tools, weights, case, dtype, pixels):
    """What lies below the first thawed block; None where the processor has no dtype."""
    size, count, node = case[0], case[1], case[4]
    if not node and dtype == "f32":
        return pixels
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("pixels", "out")]
        pixels.astype("<f4").tofile(paths[0])
        done = subprocess.run([tools[1], weights, dtype, str(size), node or "-", *paths], capture_output=True, text=True)
        if done.returncode == 69:
            return None
        if done.returncode:
            raise SystemExit(done.stderr)
        return np.fromfile(paths[1], "<f4").reshape(count, side(case), side(case), -1) if node else pixels


def side(case):
    """Of the tensors below blocks 5 to 13."""
    size = (case[0] - 3) // 2 - 1
    for _ in range(3):
        size = (size + 1) // 2
    return size


def probe(tools, weights, case, dtype, tensor, gradient):
    size, _, first, last, _, bn = case
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("in", "gradient", "out")]
        tensor.astype("<f4").tofile(paths[0])
        gradient.astype("<f4").tofile(paths[1])
        done = subprocess.run([tools[0], weights, dtype, str(size), first, last, bn, *paths], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        return {name: a.astype("f8").ravel() for name, a in read_safetensors(paths[2]).items()}


STEPS, RATE, CLASSES = 10, 1e-4, 196


def ten_steps(tools, path, weights, size, count, bn, files):
    """Ten losses of Keras f32, how far ours are from them (of the first), and the moving statistics after them."""
    import keras
    import tensorflow as tf
    from safetensors.numpy import save_file
    draw = np.random.default_rng(3)
    pixels, labels = load_pictures(files[:count], size), draw.integers(0, CLASSES, count)
    head = {"head/dense/kernel": draw.uniform(-.044, .044, (2048, 1024)), "head/dense/bias": np.zeros(1024),
            "head/predictions/kernel": draw.uniform(-.07, .07, (1024, CLASSES)), "head/predictions/bias": np.zeros(CLASSES)}
    head = {name: value.astype("f4") for name, value in head.items()}
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("in", "labels", "head", "out")]
        pixels.astype("<f4").tofile(paths[0])
        labels.astype("<u4").tofile(paths[1])
        save_file(head, paths[2])
        subprocess.run([tools[0], "--train", path, "f32", str(size), bn, str(RATE), str(STEPS), *paths], check=True)
        ours = read_safetensors(paths[3])
    base, names = base_model(weights, size, "float32", "-", "-")
    model = keras.Sequential([keras.layers.Dense(1024, activation="relu"), keras.layers.Dense(CLASSES)])
    model.build((None, 2048))
    model.set_weights(list(head.values()))
    variables = base.trainable_weights + model.trainable_weights
    adam = keras.optimizers.Adam(RATE)
    losses = []
    for _ in range(STEPS):
        with tf.GradientTape() as tape:
            logits = model(base(pixels, training=bn == "train"))
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        adam.apply(tape.gradient(loss, [w.value for w in variables]), variables)
        losses.append(float(loss))
    moving = [error(ours[f"{name}/{w.name}"].astype("f8"), np.asarray(w, "f8")) for name, layer in names.items()
              for w in layer.non_trainable_weights if f"{name}/{w.name}" in ours]
    return losses, [abs(a - b) / losses[0] for a, b in zip(ours["losses"].astype("f8"), losses)], moving


def error(a, b):
    return float(np.linalg.norm(a.ravel() - b.ravel()) / max(np.linalg.norm(b), 1e-300))


def cosine(a, b):
    return float(a.ravel() @ b.ravel() / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-300))


def main():
    build = os.path.dirname(os.environ.get("MARQUE_BIN", "build/release/marque"))
    tools = [sys.argv[1] if len(sys.argv) > 1 else os.path.join(build, "tests/train_probe"),
             os.path.join(build, "tests/net_probe")]
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = os.environ.get("MARQUE_WEIGHTS") or os.path.join(cache, "marque/weights/xception.safetensors")
    files = find_pictures()
    if not os.path.exists(path) or not files:
        print(f"1..0 # SKIP no weights ({path}) or no pictures")
        return 0
    weights = read_safetensors(path)
    number = failed = 0

    def report(good, text):
        nonlocal number, failed
        number += 1
        failed += not good
        print(f"{'ok' if good else 'not ok'} {number} - {text}", flush=True)

    for case in CASES:
        size, count, first, last, _, bn = case
        name = f"{size} px, {count} pictures, {first} to {last}, {bn}"
        pixels = load_pictures(files[:count], size)
        gradient = np.random.default_rng(7).standard_normal((count, 2048)).astype("f4")
        tensor = boundary(tools, path, case, "f32", pixels)
        exact = keras_pass(weights, case, "float64", tensor, gradient)
        f32 = keras_pass(weights, case, "float32", tensor, gradient)
        ours = probe(tools, path, case, "f32", tensor, gradient)
        e = error(ours["features"], f32[0])
        report(e <= 1e-4, f"f32 {name}: features {e:.1e} from Keras f32")
        worst, bad = 0, []
        for key, want in exact[1].items():
            e, k, c = error(ours[key], want), error(f32[1][key], want), cosine(ours[key], want)
            worst = max(worst, e)
            if not (e <= 3 * k + FLOOR and e <= 2e-2 and c >= 0.9998):
                bad.append(f"{key}: {e:.1e} from float64, Keras f32 {k:.1e}, cosine {c:.5f}")
        report(not bad and len(exact[1]) + len(exact[2]) * (bn == "train") + 1 == len(ours),
               f"f32 {name}: {len(exact[1])} gradients, worst {worst:.1e} " + "; ".join(bad[:5]))
        if bn == "train":
            e = max(error(ours[key], want) for key, want in exact[2].items())
            report(e <= 1e-4, f"f32 {name}: moving statistics {e:.1e}")
        tensor = boundary(tools, path, case, "bf16", pixels)
        if tensor is None:
            report(True, f"bf16 {name} # SKIP no avx512_bf16 here")
            continue
        if case[4]:
            exact = keras_pass(weights, case, "float64", tensor, gradient)
        half = probe(tools, path, case, "bf16", tensor, gradient)
        mixed = keras_pass(weights, case, "mixed_bfloat16", tensor, gradient)
        e, k = error(half["features"], exact[0]), error(mixed[0], exact[0])
        report(e <= 1.5 * k, f"bf16 {name}: features {e:.1e} from float64, mixed_bfloat16 {k:.1e}")
        flat = [np.concatenate([source[key].ravel() for key in exact[1]]) for source in (half, mixed[1], exact[1])]
        e, k = error(flat[0], flat[2]), error(flat[1], flat[2])
        report(e <= 1.5 * k, f"bf16 {name}: the gradient {e:.1e} from float64, mixed_bfloat16 {k:.1e}, "
                             f"cosine {cosine(flat[0], flat[2]):.4f} and {cosine(flat[1], flat[2]):.4f}")
    for bn in ("train", "stored"):
        losses, off, moving = ten_steps(tools, path, weights, 128, 8, bn, files)
        report(max(off) <= 5e-3 and losses[-1] < losses[0], f"ten steps of Adam, {bn}: losses {losses[0]:.3f} to "
               f"{losses[-1]:.3f}, worst {max(off):.1e} from Keras")
        report(len(moving) == (80 if bn == "train" else 0) and max(moving, default=0) <= 1e-2,
               f"ten steps of Adam, {bn}: {len(moving)} moving statistics, worst {max(moving, default=0):.1e}")
    print(f"1..{number}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
