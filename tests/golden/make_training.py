#!/usr/bin/env python3
"""Writes training.h: the gradients that Keras computes for seeded weights, pictures and gradients of the features.
usage: make_training.py > training.h    (keras 3.15.1, tensorflow-cpu 2.21.0)

Weights, pictures and projections are those of make_xception.py. Of every third gradient it keeps the norm and 16
projections in float64, and how far Keras f32 is from that; of these together how far mixed_bfloat16 is."""
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import keras
import numpy as np
import tensorflow as tf
from make_xception import TEST, build, projections, row, unit

EVERY = 3
# side, divisor of channels, pictures, the one thawed block, batch norm
CASES = [(71, 4, 3, None, "train"), (71, 4, 3, None, "stored"), (71, 4, 3, "block5", "train")]


def gradients(case, policy, pixels, gradient):
    """{number of the tensor in network order: gradient}, as float64."""
    size, divisor, _, block, bn = case
    wide = "float64" if policy == "float64" else "float32"
    low = f"{block}_sepconv1_act"  # the tensor before it is what a thawed block begins with, the same for all policies
    if block:
        exact, _ = build(size, divisor, "float64")
        pixels = np.asarray(keras.Model(exact.input, exact.get_layer(low).input)(pixels.astype("f8"), training=False))
    whole, numbers = build(size, divisor, policy)
    model = keras.Model(whole.get_layer(low).input if block else whole.input, whole.outputs[-1])
    if block:
        for layer in model.layers:
            layer.trainable = layer.name.startswith(f"{block}_")
        numbers = {number: weight for number, weight in numbers.items() if weight.path.startswith(f"{block}_")}
    with tf.GradientTape() as tape:
        features = model(pixels.astype("f4").astype(wide), training=bn == "train")
        loss = tf.reduce_sum(tf.cast(features, wide) * gradient.astype(wide))
    found = tape.gradient(loss, [w.value for w in numbers.values()])
    return {number: np.asarray(g, "f8").ravel() for number, g in list(zip(numbers, found))[::EVERY]}


def main():
    print("/* training.h: written by make_training.py; see there. */")
    print("#ifndef MQ_GOLDEN_TRAINING_H\n#define MQ_GOLDEN_TRAINING_H\n\n#include \"golden/xception.h\"\n\n#include <stdbool.h>\n")
    print("typedef struct {\n    size_t tensor; /* its number in network order */\n    double norm, f32_error; /* of float64; of Keras "
          "f32, relative to it */\n    double f64[GOLDEN_PROJECTIONS];\n} golden_gradient;\n")
    cases = []
    for number, case in enumerate(CASES):
        size, divisor, count, block, bn = case
        pixels = (unit(TEST, 0, count * size * size * 3) * np.float32(2) - np.float32(1)).reshape(count, size, size, 3)
        gradient = (unit(TEST, 2, count * 2048 // divisor) * np.float32(2) - np.float32(1)).reshape(count, -1)
        f64, f32, mixed = (gradients(case, p, pixels, gradient) for p in ("float64", "float32", "mixed_bfloat16"))
        print(f"static const golden_gradient golden_gradients_{number}[] = {{")
        for tensor, want in sorted(f64.items()):
            norm = np.linalg.norm(want)
            print(f"    {{{tensor}, {norm:.9g}, {np.linalg.norm(f32[tensor] - want) / norm:.3g},\n     {row(projections(want))}}},")
        print("};\n")
        whole = [np.concatenate([g[t] for t in sorted(f64)]) for g in (mixed, f64)]
        error = np.linalg.norm(whole[0] - whole[1]) / np.linalg.norm(whole[1])
        thawed = f'"{block}"' if block else "NULL"
        cases.append(f"    {{{size}, {divisor}, {count}, {thawed}, "
                     f"{'true' if bn == 'train' else 'false'}, {error:.3g}, "
                     f"golden_gradients_{number},\n     sizeof golden_gradients_{number} / sizeof *golden_gradients_{number}}},")
    print("typedef struct {\n    uint32_t side;\n    size_t divisor, pictures;\n    const char *block; /* the one thawed, NULL: all */\n"
          "    bool batch;        /* statistics */\n"
          "    double mixed_error; /* of all of them together */\n    const golden_gradient *rows;\n    size_t count;\n} golden_pass;\n")
    print("static const golden_pass golden_passes[] = {", *cases, "};\n\n#endif", sep="\n")


if __name__ == "__main__":
    main()
