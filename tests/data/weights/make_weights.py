#!/usr/bin/env python3
"""Writes the small weights files beside it: a network of nine layers in every layout that Keras has, and files that
lie, point elsewhere or are damaged.

    python3 tests/data/weights/make_weights.py        (Keras 3.15 on TensorFlow, h5py)

Each number of the network is layer + parameter / 8 + index / 4096, layer counted among those with weights in the
order of Keras' model.layers. tests/unit/test_foreign.c builds the same network and knows the same rule.
"""
import io
import json
import os
import pathlib
import shutil
import zipfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import h5py  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers  # noqa: E402
from keras.src.legacy.saving import legacy_h5_format  # noqa: E402

OUT = pathlib.Path(__file__).parent


def network():
    """Two blocks as Xception has them: unnamed convolutions around, and three batch norms of one shape."""
    start = x = keras.Input((8, 8, 2))
    x = layers.Conv2D(3, 3, use_bias=False, name="block1_conv1")(x)
    x = layers.BatchNormalization(name="block1_conv1_bn")(x)
    around = layers.Conv2D(4, 1, strides=2, padding="same", use_bias=False)(x)
    around = layers.BatchNormalization()(around)
    x = layers.SeparableConv2D(4, 3, padding="same", use_bias=False, name="block2_sepconv1")(x)
    x = layers.BatchNormalization(name="block2_sepconv1_bn")(x)
    x = layers.SeparableConv2D(4, 3, padding="same", use_bias=False, name="block2_sepconv2")(x)
    x = layers.BatchNormalization(name="block2_sepconv2_bn")(x)
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="block2_pool")(x)
    x = layers.add([x, around])
    around = layers.Conv2D(5, 1, strides=2, padding="same", use_bias=False)(x)
    around = layers.BatchNormalization()(around)
    x = layers.SeparableConv2D(5, 3, padding="same", use_bias=False, name="block3_sepconv1")(x)
    x = layers.BatchNormalization(name="block3_sepconv1_bn")(x)
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="block3_pool")(x)
    x = layers.add([x, around])
    model = keras.Model(start, x, name="tiny")
    for number, layer in enumerate([layer for layer in model.layers if layer.weights]):
        layer.set_weights([values(number, p, w.shape) for p, w in enumerate(layer.weights)])
    return model


def values(layer, param, shape):
    return (layer + param / 8 + np.arange(int(np.prod(shape))) / 4096).astype("f4").reshape(shape)


def larger():
    """The network two models deep, with a convolution and a batch norm of their own around it."""
    start = x = keras.Input((8, 8, 2))
    x = layers.Conv2D(2, 1, padding="same")(x)
    x = layers.BatchNormalization()(x)
    inner = network()
    for layer in inner.layers:  # as after thawing the last block: frozen layers come last in legacy files
        layer.trainable = layer.name.startswith("block3")
    outer = keras.Sequential([keras.Input((8, 8, 2)), inner, layers.Dropout(0.5)], name="wrapped")
    x = layers.Dense(3)(layers.GlobalAveragePooling2D()(outer(x)))
    return keras.Model(start, x)


def legacy(path, model):
    with h5py.File(path, "w", libver="latest") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


def without_names(path):
    """What older versions of Keras wrote: no names beside the variables."""
    with h5py.File(path, "r+") as file:
        file.visititems(lambda _, item: item.attrs.pop("name", None))


def keras1(source, path):
    """The names of Keras 1, as Keras' published files have them."""
    renames = {"kernel": "W", "moving_mean": "running_mean", "moving_variance": "running_std"}
    counters = {}
    with h5py.File(source) as old, h5py.File(path, "w", libver="latest") as new:
        names = []
        for layer in old.attrs["layer_names"]:
            layer = layer.decode() if isinstance(layer, bytes) else layer
            name = layer
            for kind, former in (("conv2d", "convolution2d"), ("batch_normalization", "batchnormalization")):
                if layer.startswith(kind):
                    counters[kind] = counters.get(kind, 0) + 1
                    name = f"{former}_{counters[kind]}"
            names.append(name.encode())
            group, weights = new.create_group(name), []
            for weight in old[layer].attrs["weight_names"]:
                last = weight.split("/")[-1]
                weights.append(f"{name}_{renames.get(last, last)}:0".encode())
                group[weights[-1]] = np.array(old[layer][weight])
            group.attrs["weight_names"] = weights
        new.attrs["layer_names"] = names


def good_files(folder):
    keras.utils.clear_session()
    model = network()
    model.save(folder / "tiny.keras")
    model.save_weights(folder / "tiny.weights.h5")
    shutil.copy(folder / "tiny.weights.h5", folder / "unnamed.weights.h5")
    without_names(folder / "unnamed.weights.h5")
    shutil.copy(folder / "unnamed.weights.h5", folder / "tf212.weights.h5")
    with h5py.File(folder / "tf212.weights.h5", "r+") as file:
        file.move("layers", "_layer_checkpoint_dependencies")
    legacy(folder / "legacy.h5", model)
    keras1(folder / "legacy.h5", folder / "keras1.h5")
    with h5py.File(folder / "half.h5", "w", libver="latest") as file:
        with h5py.File(folder / "legacy.h5") as old:
            file.attrs["layer_names"] = old.attrs["layer_names"]
            for layer in old:
                group = file.create_group(layer)
                group.attrs["weight_names"] = old[layer].attrs["weight_names"]
                for name in group.attrs["weight_names"]:
                    data = np.array(old[layer][name]).astype("f2")
                    group.create_dataset(name, data=data, chunks=data.shape, compression="gzip", shuffle=True)
    model = larger()  # in the same session: the unnamed layers have other counters now
    model.save(folder / "nested.keras")
    model.save(folder / "nested_legacy.h5")
    model.save_weights(folder / "nested_unnamed.weights.h5")
    without_names(folder / "nested_unnamed.weights.h5")


def mini(path, write=None, weights=("block1_conv1/kernel",), layer_names=("block1_conv1",), libver="latest"):
    """A legacy file of one convolution, kernel [1, 1, 2, 3]; write puts the numbers."""
    with h5py.File(path, "w", libver=libver) as file:
        file.attrs["layer_names"] = [n.encode() for n in layer_names]
        group = file.create_group("block1_conv1")
        group.attrs["weight_names"] = [n.encode() for n in weights]
        inner = group.create_group("block1_conv1")
        if write:
            write(file, inner)
        else:
            inner["kernel"] = values(0, 0, (1, 1, 2, 3))


def virtual(file, group):
    layout = h5py.VirtualLayout((1, 1, 2, 3), "f4")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "kernel", (1, 1, 2, 3))
    group.create_virtual_dataset("kernel", layout)


def external(file, group):
    group.create_dataset("kernel", (1, 1, 2, 3), "f4", external=[("/etc/passwd", 0, 24)])


def set_link(link):
    def write(_, group):
        group["kernel"] = link
    return write


def dataset(**how):
    def write(_, group):
        how.setdefault("data", values(0, 0, (1, 1, 2, 3)))
        group.create_dataset("kernel", **how)
    return write


def empty(shape, **how):
    def write(_, group):
        group.create_dataset("kernel", shape, "f4", **how)
    return write


def cycle(_, group):
    group["kernel"] = group


NAN = np.array([[[[1, 2, 3], [4, np.nan, 6]]]], "f4")
BAD_H5 = {
    "soft_link": (set_link(h5py.SoftLink("/block1_conv1")), "1 are missing"),
    "external_link": (set_link(h5py.ExternalLink("elsewhere.h5", "/kernel")), "kernel is a link to elsewhere"),
    "external_storage": (external, "are in another file"),
    "virtual": (virtual, "is a virtual data set"),
    "huge": (empty((1 << 20, 1 << 20, 2, 3), chunks=(1, 1, 2, 3)), "1 have another shape"),
    "hollow": (empty((1, 1, 2, 3)), "holds 0 of the 24 bytes"),
    "hollow_chunks": (empty((1, 1, 2, 3), chunks=(1, 1, 2, 3)), "holds 0 of the 1 pieces"),
    "chunk_bomb": (empty((1, 1, 2, 3), chunks=(1 << 10, 1 << 10, 8, 3), maxshape=(None,) * 4), "impossible pieces"),
    "lzf": (dataset(chunks=(1, 1, 2, 3), compression="lzf"), "compressed by filter 32000"),
    "integer": (dataset(dtype="i4"), "are no floats of 16, 32 or 64 bits"),
    "opaque": (dataset(data=np.zeros((1, 1, 2, 3), "V2")), "are no floats of 16, 32 or 64 bits"),
    "nan": (dataset(data=NAN), "a number that is not finite"),
    "infinite": (dataset(data=NAN * np.inf), "a number that is not finite"),
    "shape": (dataset(data=values(0, 0, (1, 1, 3, 2))), "block1_conv1/kernel [1,1,3,2] for [1,1,2,3]"),
    "rank": (dataset(data=values(0, 0, (2, 3))), "block1_conv1/kernel [2,3] for [1,1,2,3]"),
    "cycle": (cycle, "1 are missing"),
    "missing": (lambda *_: None, "1 are missing"),
}


def bad_h5(folder):
    mini(folder / "good_mini.h5")
    for name, (write, _) in BAD_H5.items():
        mini(folder / f"bad_{name}.h5", write, libver=("earliest", "v110"))
    words = {name: words for name, (_, words) in BAD_H5.items()}
    mini(folder / "bad_other.h5", weights=("conv1/kernel", "conv1/bias"), layer_names=("block1_conv1",))
    words["other"] = "1 are missing"
    data = (folder / "good_mini.h5").read_bytes()
    for name, content, text in (("cut", data[:len(data) // 2], "not a readable HDF5 file"),
                                ("head", data[:8] + bytes(8) + b"\xff" * 200, "not a readable HDF5 file"),
                                ("page", b"<!DOCTYPE html><html></html>\n", "neither a .keras nor an .h5 file"),
                                ("tiny", b"PK\n", "are no weights file"), ("empty", b"", "are no weights file")):
        (folder / f"bad_{name}.h5").write_bytes(content)
        words[name] = text
    return {f"bad_{name}.h5": text for name, text in words.items()}


def archive(path, members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in members:
            file.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data, method)


def bad_zip(folder):
    """Zip files around a model of one convolution."""
    h5 = io.BytesIO()
    with h5py.File(h5, "w", libver="latest") as file:
        file["layers/conv2d/vars/0"] = values(0, 0, (1, 1, 2, 3))
    twice = io.BytesIO()
    with h5py.File(twice, "w", libver="latest") as file:
        for name in ("functional", "functional_1"):
            file[f"layers/{name}/layers/conv2d/vars/0"] = values(0, 0, (1, 1, 2, 3))
    config = json.dumps({"class_name": "Functional", "config": {"name": "m", "layers": [
        {"class_name": "Conv2D", "config": {"name": "block1_conv1"}}]}}).encode()
    no_names = b'{"class_name": "Functional", "config": {}}'
    whole = [("metadata.json", b'{"keras_version": "3.0.0"}'), ("config.json", config),
             ("model.weights.h5", h5.getvalue())]
    archive(folder / "good_mini.keras", whole, zipfile.ZIP_DEFLATED)
    data = (folder / "good_mini.keras").read_bytes()
    locked = bytearray(data)
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # the flag "encrypted" of each member
        at = -1
        while (at := locked.find(mark, at + 1)) >= 0:
            locked[at + offset] |= 1
    start = data.index(b"model.weights.h5") + 16
    damaged = data[:start + 200] + bytes([data[start + 200] ^ 0x55]) + data[start + 201:]
    user_block = bytes(13) + b"\x08\x08" + bytes(497)  # with the widths of numbers where a superblock has them
    bad = {
        "climb": ([*whole, ("../../etc/cron.d/x", b"x")], "leads out of the archive"),
        "absolute": ([*whole, ("/etc/x", b"x")], "leads out of the archive"),
        "twice": ([*whole, whole[1]], "not a readable zip file"),
        "bomb": ([*whole, ("assets/zeros", bytes(1 << 21))], "would grow from"),
        "no_config": (whole[2:], "no config.json"),
        "no_weights": (whole[:2], "no model.weights.h5"),
        "config_text": ([whole[0], ("config.json", b"{"), whole[2]], "bad_config_text.keras"),
        "two_trunks": ([whole[0], ("config.json", no_names), ("model.weights.h5", twice.getvalue())],
                       "holds 2 models"),
        "inner_page": ([whole[0], whole[1], ("model.weights.h5", b"<html></html>")], "not a readable HDF5 file"),
        "user_block": ([whole[0], whole[1], (whole[2][0], user_block + whole[2][1])], "not a readable HDF5 file"),
        "locked": (bytes(locked), "is encrypted"),
        "damaged": (damaged, "its member model.weights.h5 is"),
        "cut": (data[:len(data) // 2], "not a readable zip file"),
    }
    for name, (content, _) in bad.items():
        path = folder / f"bad_{name}.keras"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            archive(path, content, zipfile.ZIP_DEFLATED)
    return {f"bad_{name}.keras": words for name, (_, words) in bad.items()}


def main():
    for old in [*OUT.glob("*.h5"), *OUT.glob("*.keras")]:
        old.unlink()
    good_files(OUT)
    words = {**bad_h5(OUT), **bad_zip(OUT)}
    (OUT / "bad.txt").write_text("".join(f"{name} {text}\n" for name, text in words.items()))


if __name__ == "__main__":
    main()
