#!/usr/bin/env python3
"""Pulls Xception from .h5 files that real Keras 2 (tf_keras) writes: flat and nested, trained, from a subclass, and in
a graph where TensorFlow counts on. Prints TAP.

    MARQUE_BIN=build/release/marque tests/oracle/keras2.py
"""
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import tf_keras as keras  # noqa: E402
from tf_keras import layers  # noqa: E402
from tf_keras.src import backend  # noqa: E402

from marque import ROOT  # noqa: E402
from tap import Tap  # noqa: E402
from weights import KINDS, compare  # noqa: E402

SHAPE = (71, 71, 3)


def xception(**how):
    return keras.applications.Xception(weights=None, **{"include_top": False, "input_shape": SHAPE, **how})


def fill(model, seed=1):
    """Every number differs. Afterwards the tensors under the names of a fresh session."""
    rng = np.random.default_rng(seed)
    numbers = [rng.random(w.shape).astype("f4") + 0.5 for w in model.get_weights()]
    model.set_weights(numbers)
    by_weight = {id(w): data for w, data in zip(model.weights, numbers)}
    found, counts = {}, {}
    for layer in model.layers:
        name = layer.name
        if layer.weights and not name.startswith(("block", "predictions")):
            kind = KINDS[type(layer).__name__]
            number = counts[kind] = counts.get(kind, -1) + 1
            name = f"{kind}_{number}" if number else kind
        for weight in layer.weights:
            found[f"{name}/{weight.name.split('/')[-1].split(':')[0]}"] = by_weight[id(weight)]
    return {name: data for name, data in found.items() if not name.startswith("predictions")}


class Subclassed(keras.Model):
    def __init__(self, trunk):
        super().__init__()
        self.before, self.trunk, self.head = layers.Conv2D(3, 1), trunk, layers.Dense(2)

    def call(self, x):
        return self.head(tf.reduce_mean(self.trunk(self.before(x)), (1, 2)))


def check_flat(tap, folder):
    xception()  # so that the counters are not those of a fresh session
    model = xception()
    wanted = fill(model)
    model.save_weights(folder / "weights.h5")
    compare(tap, "weights", folder / "weights.h5", wanted)
    model.save(folder / "whole.h5")
    texts = compare(tap, "whole model", folder / "whole.h5", wanted)
    tap.check("its version is told", texts.get("source.keras_version") == keras.__version__, texts)
    top = xception(include_top=True, input_shape=None)
    wanted = fill(top)
    top.save_weights(folder / "top.h5")
    compare(tap, "with its own classifier", folder / "top.h5", wanted)


def check_nested(tap, folder):
    model = xception()
    for layer in model.layers[:60]:
        layer.trainable = False
    trained = keras.Sequential([model, layers.GlobalAveragePooling2D(), layers.Dense(4)])
    trained.compile("adam", "mse")
    trained.fit(np.zeros((2, *SHAPE)), np.zeros((2, 4)), verbose=0)
    wanted = fill(model)
    trained.save(folder / "trained.h5")
    compare(tap, "trained and partly frozen", folder / "trained.h5", wanted)
    start = keras.Input(SHAPE)
    x = layers.BatchNormalization()(layers.Conv2D(3, 1)(start))
    inner = keras.Sequential([keras.Input(SHAPE), layers.Conv2D(3, 1), layers.BatchNormalization(), model,
                              layers.Conv2D(7, 1)])
    keras.Model(start, layers.GlobalAveragePooling2D()(inner(x))).save(folder / "deep.h5")
    compare(tap, "two models deep", folder / "deep.h5", wanted)
    keras.models.load_model(folder / "deep.h5", compile=False).save(folder / "again.h5")
    compare(tap, "loaded and saved again", folder / "again.h5", wanted)
    keras.Sequential([layers.TimeDistributed(model, input_shape=(2, *SHAPE))]).save(folder / "time.h5")
    compare(tap, "in a TimeDistributed layer", folder / "time.h5", wanted)
    subclassed = Subclassed(model)
    subclassed(np.zeros((1, *SHAPE), "f4"))
    subclassed.save_weights(folder / "subclassed.h5")
    compare(tap, "in a subclassed model", folder / "subclassed.h5", wanted)


def check_graph(tap, folder):
    """As TensorFlow 1: a model loaded beside one of the same names has its variables counted on."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        backend.set_session(session)
        model = keras.models.model_from_json(xception().to_json())
        session.run(tf.compat.v1.global_variables_initializer())
        wanted = fill(model)
        names = [w.name for w in model.weights]
        tap.check("the names are counted on", "block1_conv1_1/kernel:0" in names and any(
            name.count("_") == 2 and name.startswith("conv2d_") for name in names), names[:8])
        model.save_weights(folder / "graph.h5")
        compare(tap, "in a graph", folder / "graph.h5", wanted)
        keras.Sequential([model, layers.GlobalAveragePooling2D()]).save_weights(folder / "graph_nested.h5")
        compare(tap, "nested in a graph", folder / "graph_nested.h5", wanted)


def main():
    tap = Tap()
    os.environ.setdefault("MARQUE_BIN", str(ROOT / "build/release/marque"))
    with tempfile.TemporaryDirectory(prefix="marque-keras2-") as name:
        check_flat(tap, Path(name))
        check_nested(tap, Path(name))
        check_graph(tap, Path(name))
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
