#!/usr/bin/env python3
"""Live comparison of a training pass of Xception with Keras on real weights and real pictures. TAP on stdout.

usage: training.py [TRAIN_PROBE]   (default: tests/train_probe beside the program MARQUE_BIN)
The loss is the sum of the features times given numbers, so every gradient is compared, none of a classifier.
f32: the features within 1e-4 relative norm of Keras f32; each gradient at most 3 times as far from Keras in float64 as
Keras f32 is, at most 2e-2, cosine at least 0.9998; moving statistics 1e-4. Flipped ReLUs alone give f32 1e-3 to 1e-2;
so some small inputs are tried at up to six brightnesses until none flips: then each gradient is within 1e-4 of float64.
bf16: the whole gradient and the features at most 1.5 times as far from float64 as mixed_bfloat16, and each gradient at
most 2 times. Measured for single gradients: 0.4 to 1.4 times, the largest in block1, whose errors are 0.4 in both."""
import functools
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
from xception import find_inputs, load_pictures, read_safetensors  # noqa: E402

# side, pictures, first and last thawed block, node below them, batch norm
CASES = [(71, 6, "-", "-", None, "train"), (71, 8, "-", "-", None, "stored"), (128, 5, "-", "-", None, "train"),
         (128, 5, "-", "-", None, "stored"), (128, 5, "block13", "-", "add_10", "train"),
         (128, 5, "block5", "block5", "add_2", "train"), (96, 6, "block5", "block5", "add_2", "stored"),
         (71, 3, "block9", "-", "add_6", "stored"), (299, 2, "-", "-", None, "train")]
CLOSE = [(71, 2, "-", "-", None, "train"), (71, 2, "-", "-", None, "stored"),
         (71, 4, "block5", "block5", "add_2", "train")]
BRIGHTNESSES = [1, .999, .998, .997, .996, .995]
FLOOR = 3e-3  # of a gradient's error: what one ReLU gives that flips here and not in Keras f32 (measured up to 1.3e-3)
MIXED, MIXED_ONE = 1.5, 2  # times mixed_bfloat16's error: of the whole gradient, of one tensor's


@functools.cache  # for most of the 3 s weights are drawn that nobody needs
def xception(size, policy):
    """The policy must be the one that is set."""
    import keras
    return keras.applications.Xception(include_top=False, weights=None, input_shape=(size, size, 3), pooling="avg")


def base_model(weights, size, policy, first, last):
    """The trunk with what is frozen frozen, and its layers by our names."""
    import keras
    keras.config.set_dtype_policy(keras.mixed_precision.DTypePolicy(policy))
    base = xception(size, policy)
    seen, names = {}, {}
    for layer in base.layers:
        name, number = layer.name, 0
        for stem in ("batch_normalization", "conv2d", "add"):  # unnamed: counted from 0 here
            if name == stem or name.startswith(stem + "_"):
                number = seen[stem] = seen.get(stem, -1) + 1
                name = stem if number == 0 else f"{stem}_{number}"
        names[name] = layer
        if layer.weights:
            layer.set_weights([weights[f"{name}/{w.name}"] for w in layer.weights])
            # The unnamed layers belong to the blocks that shrink.
            block = int(name[5:].split("_")[0]) if name.startswith("block") else (2, 3, 4, 13)[number]
            layer.trainable = (first == "-" or block >= int(first[5:])) and (last == "-" or block <= int(last[5:]))
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
    moving = {f"{name}/{w.name}": np.asarray(w, "f8") for name, layer in names.items()
              if layer.trainable and bn == "train" for w in layer.non_trainable_weights}
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
    """The same three from us."""
    size, _, first, last, _, bn = case
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("in", "gradient", "out")]
        tensor.astype("<f4").tofile(paths[0])
        gradient.astype("<f4").tofile(paths[1])
        done = subprocess.run([tools[0], weights, dtype, str(size), first, last, bn, *paths], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        found = {name: a.astype("f8").ravel() for name, a in read_safetensors(paths[2]).items()}
    features = found.pop("features")
    return (features, {name: a for name, a in found.items() if "/moving_" not in name},
            {name: a for name, a in found.items() if "/moving_" in name})


def error(a, b):
    return float(np.linalg.norm(a.ravel() - b.ravel()) / max(np.linalg.norm(b), 1e-300))


def cosine(a, b):
    return float(a.ravel() @ b.ravel() / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-300))


def check_f32(tap, name, ours, exact, f32):
    """Each argument but the first two: features, gradients, moving statistics."""
    e = error(ours[0], f32[0])
    tap.check(f"f32 {name}: features {e:.1e} from Keras f32", e <= 1e-4)
    worst, bad = 0, []
    for key, want in exact[1].items():
        e, k, c = error(ours[1][key], want), error(f32[1][key], want), cosine(ours[1][key], want)
        worst = max(worst, e)
        if not (e <= 3 * k + FLOOR and e <= 2e-2 and c >= 0.9998):
            bad.append(f"{key}: {e:.1e} from float64, Keras f32 {k:.1e}, cosine {c:.5f}")
    tap.check(f"f32 {name}: {len(exact[1])} gradients, worst {worst:.1e}", not bad and len(ours[1]) == len(exact[1]) > 0,
              "\n".join(bad))
    e = max((error(ours[2][key], want) for key, want in exact[2].items()), default=0)
    tap.check(f"f32 {name}: {len(exact[2])} moving statistics {e:.1e}", e <= 1e-4 and len(ours[2]) == len(exact[2]))


def check_bf16(tap, name, ours, exact, mixed):
    e, k = error(ours[0], exact[0]), error(mixed[0], exact[0])
    tap.check(f"bf16 {name}: features {e:.1e} from float64, mixed_bfloat16 {k:.1e}", e <= MIXED * k)
    flat = [np.concatenate([source[1][key].ravel() for key in exact[1]]) for source in (ours, mixed, exact)]
    e, k = error(flat[0], flat[2]), error(flat[1], flat[2])
    # Of nearly parallel vectors, 1 - cosine goes with the square of the distance.
    c, kept = cosine(flat[0], flat[2]), 1 - MIXED ** 2 * (1 - cosine(flat[1], flat[2]))
    ratios = sorted(((error(ours[1][key], want) / error(mixed[1][key], want), key) for key, want in exact[1].items()),
                    reverse=True)
    tap.check(f"bf16 {name}: the gradient {e:.1e} from float64, mixed_bfloat16 {k:.1e}, cosine {c:.4f}; "
              f"{ratios[0][1]} {ratios[0][0]:.2f} times",
              e <= MIXED * k and c >= kept and ratios[0][0] <= MIXED_ONE, f"wanted a cosine of {kept:.4f}; {ratios[:5]}")


def check_close(tap, tools, path, weights, case, pixels):
    size, count, first, last, _, bn = case
    gradient = np.random.default_rng(7).standard_normal((count, 2048)).astype("f4")
    tried = []
    for brightness in BRIGHTNESSES:
        tensor = boundary(tools, path, case, "f32", pixels * np.float32(brightness))
        exact = keras_pass(weights, case, "float64", tensor, gradient)
        ours = probe(tools, path, case, "f32", tensor, gradient)
        tried.append(max(error(ours[1][key], want) for key, want in exact[1].items()))
        if tried[-1] <= 1e-4:
            break
    tap.check(f"f32 {size} px, {count} pictures, {first} to {last}, {bn}: gradients {min(tried):.1e} from float64, input "
              f"{len(tried)}", min(tried) <= 1e-4, " ".join(f"{e:.1e}" for e in tried))


def check_case(tap, tools, path, weights, case, pixels):
    size, count, first, last, node, bn = case
    name = f"{size} px, {count} pictures, {first} to {last}, {bn}"
    gradient = np.random.default_rng(7).standard_normal((count, 2048)).astype("f4")
    tensor = boundary(tools, path, case, "f32", pixels)
    exact, f32 = (keras_pass(weights, case, policy, tensor, gradient) for policy in ("float64", "float32"))
    check_f32(tap, name, probe(tools, path, case, "f32", tensor, gradient), exact, f32)
    tensor = boundary(tools, path, case, "bf16", pixels)
    if tensor is None:
        tap.skip(f"bf16 {name}", "no avx512_bf16 here")
        return
    if node:
        exact = keras_pass(weights, case, "float64", tensor, gradient)
    mixed = keras_pass(weights, case, "mixed_bfloat16", tensor, gradient)
    check_bf16(tap, name, probe(tools, path, case, "bf16", tensor, gradient), exact, mixed)


def main():
    tap = Tap()
    found = find_inputs()
    if not found:
        return 0
    programs, path, files = found
    tools = [sys.argv[1] if len(sys.argv) > 1 else os.path.join(programs, "train_probe"),
             os.path.join(programs, "net_probe")]
    weights = read_safetensors(path)
    for case in CLOSE:
        check_close(tap, tools, path, weights, case, load_pictures(files[:case[1]], case[0]))
    for case in CASES:
        check_case(tap, tools, path, weights, case, load_pictures(files[:case[1]], case[0]))
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
