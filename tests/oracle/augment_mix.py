#!/usr/bin/env python3
"""Compares mixup and cutmix of a batch with Keras' own layers MixUp and CutMix, which are given the shares, partners and
rectangles that marque drew. Prints TAP.

    augment_mix.py [build/release/tests/augment_probe]"""
import pathlib
import sys
import tempfile

import keras
import numpy as np

import augment

sys.path.insert(0, str(augment.HERE.parent))
from tap import Tap  # noqa: E402

ROW = np.dtype([("share", "<f4"), ("partner", "<u4"), ("left", "<u4"), ("top", "<u4"), ("right", "<u4"), ("bottom", "<u4")])
GREY = 2 / 255  # pixels go from -1 to 1


def mixed(batch, mixup, cutmix):
    """What was drawn for each picture, and the pixels."""
    n, side = batch.shape[:2]
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "batch")
        path.write_bytes(batch.tobytes())
        out = augment.probe("mix", path, side, mixup, cutmix)
    rows = np.frombuffer(out[:n * ROW.itemsize], ROW)
    return rows, np.frombuffer(out[n * ROW.itemsize:], "<f4").reshape(batch.shape)


def labels_of(rows):
    """One class for each picture, in the shares marque gives to a picture's and its partner's."""
    own = np.eye(len(rows), dtype=np.float32)
    share = rows["share"][:, None]
    return share * own + (1 - share) * own[rows["partner"]]


def check(tap, name, layer, batch, drawn, rows, pixels):
    drawn["permutation_order"] = rows["partner"].astype("int32")
    theirs = np.asarray(layer.transform_images(batch, drawn))
    worst = np.abs(theirs - pixels).max()
    tap.check(f"{name}: pixels (worst {worst / GREY:.1e} of a grey level)", worst < 1e-3 * GREY and np.abs(pixels - batch).max() > 0.5)
    told = np.asarray(layer.transform_labels(np.eye(len(rows), dtype=np.float32), drawn))
    worst = np.abs(told - labels_of(rows)).max()
    tap.check(f"{name}: labels (worst {worst:.1e})", worst < 1e-6)


def main():
    tap = Tap()
    draw = np.random.default_rng(5)
    for side, count in ((96, 32), (71, 5), (299, 8)):
        batch = draw.uniform(-1, 1, (count, side, side, 3)).astype("<f4")
        for alpha in (0.2, 1, 4):
            rows, pixels = mixed(batch, alpha, 0)
            name = f"mixup {alpha}, {count} of {side} px"
            check(tap, name, keras.layers.MixUp(), batch, {"mix_weight": rows["share"]}, rows, pixels)
            rows, pixels = mixed(batch, 0, alpha)
            layer = keras.layers.CutMix()
            corners = [rows[key].astype("float32") for key in ("left", "right", "top", "bottom")]
            masks, left = layer._generate_batch_mask(batch.shape, corners)
            name = f"cutmix {alpha}, {count} of {side} px"
            check(tap, name, layer, batch, {"batch_masks": masks, "mix_weight": np.asarray(left)[:, 0, 0, 0]}, rows, pixels)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
