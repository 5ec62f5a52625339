#!/usr/bin/env python3
"""Live comparison of the Xception trunk with Keras on real weights and real pictures. TAP on stdout.

usage: xception.py [NET_PROBE]   (default: tests/net_probe beside the program MARQUE_BIN)
MARQUE_WEIGHTS: the trunk as .safetensors (default: the cache); MARQUE_CARS: a folder of pictures (default: the
stamps of tuxpaint). f32: every block's output and the pooled features within 1e-4 relative norm of Keras f32.
bf16: error against Keras float64 at most 1.5 times that of Keras mixed_bfloat16."""
import glob
import json
import os
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from marque import weights_cache  # noqa: E402

SIZES = [299, 71, 128, 150]
PICTURES = 8


def read_safetensors(path):
    with open(path, "rb") as f:
        head = json.loads(f.read(int.from_bytes(f.read(8), "little")))
        data = f.read()
    return {name: np.frombuffer(data[t["data_offsets"][0]:t["data_offsets"][1]], "<f4").reshape(t["shape"])
            for name, t in head.items() if name != "__metadata__"}


def find_pictures():
    folder = os.environ.get("MARQUE_CARS", "/usr/share/tuxpaint/stamps")
    files = sorted(f for e in ("jpg", "png") for f in glob.glob(os.path.join(folder, "**", "*." + e), recursive=True))
    return files[:: max(1, len(files) // PICTURES)][:PICTURES]


def load_pictures(files, size):
    from PIL import Image
    return np.stack([np.asarray(Image.open(f).convert("RGB").resize((size, size), Image.BILINEAR), "f4") / 127.5 - 1
                     for f in files]).astype("f4")


def keras_outputs(weights, size, policy, pixels, nodes):
    """Outputs of the named layers as float64."""
    import keras
    keras.backend.clear_session()
    dtype = keras.mixed_precision.DTypePolicy(policy)
    keras.config.set_dtype_policy(dtype)
    base = keras.applications.Xception(include_top=False, weights=None, input_shape=(size, size, 3), pooling="avg")
    seen = {}
    for layer in base.layers:  # the unnamed ones count from 0 in every trunk
        if not layer.weights:
            continue
        name = layer.name
        for stem in ("batch_normalization", "conv2d"):
            if name.split("_")[0] == stem.split("_")[0] and not name.startswith("block"):
                number = seen.get(stem, 0)
                seen[stem] = number + 1
                name = stem if number == 0 else f"{stem}_{number}"
                break
        layer.set_weights([weights[f"{name}/{w.name}"] for w in layer.weights])
    outputs = [base.output if n == "-" else base.get_layer(n).output for n in nodes]
    found = keras.Model(base.input, outputs)(pixels.astype("f8" if policy == "float64" else "f4"), training=False)
    return [keras.ops.convert_to_numpy(keras.ops.cast(t, "float64")) for t in found]


def probe(tool, weights, dtype, size, node, pixels, shape):
    with tempfile.TemporaryDirectory() as folder:
        source, result = os.path.join(folder, "in"), os.path.join(folder, "out")
        pixels.tofile(source)
        run = subprocess.run([tool, weights, dtype, str(size), node, source, result], capture_output=True, text=True)
        if run.returncode == 69:
            return None
        if run.returncode:
            raise SystemExit(run.stderr)
        return np.fromfile(result, "<f4").reshape(shape).astype("f8")


def error(a, b):
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def find_inputs():
    """(folder of the test programs, weights file, pictures); None where there are none, which is said as a skip."""
    build = os.path.dirname(os.environ.get("MARQUE_BIN", "build/release/marque"))
    path = os.environ.get("MARQUE_WEIGHTS") or str(weights_cache() / "xception.safetensors")
    files = find_pictures()
    if os.path.exists(path) and files:
        return os.path.join(build, "tests"), path, files
    print(f"1..0 # SKIP no weights ({path}) or no pictures")
    return None


def main():
    found = find_inputs()
    if not found:
        return 0
    programs, path, files = found
    tool = sys.argv[1] if len(sys.argv) > 1 else os.path.join(programs, "net_probe")
    weights = read_safetensors(path)
    nodes = ([f"block1_conv{i}_act" for i in (1, 2)] + [f"block{b}_pool" for b in (2, 3, 4)] +
             [f"block{b}_sepconv3_bn" for b in range(5, 13)] + ["block13_pool", "block14_sepconv2_act", "-"])
    number = failed = 0

    def report(good, text):
        nonlocal number, failed
        number += 1
        failed += not good
        print(f"{'ok' if good else 'not ok'} {number} - {text}", flush=True)

    for size in SIZES:
        pixels = load_pictures(files, size)
        f32 = keras_outputs(weights, size, "float32", pixels, nodes)
        for node, want in zip(nodes, f32):
            e = error(probe(tool, path, "f32", size, node, pixels, want.shape), want)
            report(e <= 1e-4, f"f32 {size} px {node}: {e:.1e} from Keras f32")
        ours = probe(tool, path, "bf16", size, "-", pixels, f32[-1].shape)
        if ours is None:
            report(True, f"bf16 {size} px # SKIP no avx512_bf16 here")
            continue
        exact = keras_outputs(weights, size, "float64", pixels, nodes)
        mixed = keras_outputs(weights, size, "mixed_bfloat16", pixels, nodes)
        for node, want, theirs in zip(nodes, exact, mixed):
            e = error(probe(tool, path, "bf16", size, node, pixels, want.shape), want)
            k = error(theirs, want)
            report(e <= 1.5 * k, f"bf16 {size} px {node}: {e:.1e} from float64, mixed_bfloat16 {k:.1e}")
    print(f"1..{number}")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
