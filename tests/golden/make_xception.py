#!/usr/bin/env python3
"""Writes xception.h: what Keras computes for seeded weights and pictures. usage: make_xception.py > xception.h

Weights and pictures are Philox draws that src/net/seeded.c and tests/unit/test_program.c make too. Of each block's
output it keeps the norm and 16 random +-1 projections in float32 and float64, and the relative error of
mixed_bfloat16 against float64."""
import os
import types

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
import keras
import numpy as np
from keras.src.applications import xception

CASES = [(71, 4, 2), (96, 4, 2), (75, 1, 1)]  # side, divisor of channels, pictures
SEED, INIT, TEST, PROJECTIONS = 2017, 4, 5, 16
NODES = (["block1_conv1_act", "block1_conv2_act"] + [f"block{b}_pool" for b in (2, 3, 4)] +
         [f"block{b}_sepconv3_bn" for b in range(5, 13)] + ["block13_pool", "block14_sepconv2_act", "avg_pool"])


def draws(seed, purpose, epoch, count):
    """The first word of Philox4x32-10 for samples 0..count-1, as base/rng.c has it."""
    mask, i = np.uint64(0xFFFFFFFF), np.arange(count, dtype=np.uint64)
    c = [i & mask, i >> np.uint64(32), np.full(count, epoch, np.uint64), np.full(count, purpose, np.uint64)]
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), p1 & mask,
             (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), p0 & mask]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c[0]


def unit(purpose, epoch, count):
    return (draws(SEED, purpose, epoch, count) >> np.uint64(8)).astype("f4") * np.float32(2.0 ** -24)


def seeded(tensor, name, shape):
    if len(shape) == 4:
        fan_in = shape[0] * shape[1] * (1 if shape[3] == 1 else shape[2])
        limit = np.float32(np.sqrt(3.0 / fan_in))
        scale, shift = np.float32(2) * limit, -limit
    else:
        scale, shift = np.float32(1), np.float32(0.5 if name in ("gamma", "moving_variance") else -0.5)
    return (unit(INIT, tensor, int(np.prod(shape))) * scale + shift).reshape(shape)


def build(size, divisor, policy):
    keras.config.set_dtype_policy(policy)
    real = keras.layers
    narrow = {"Conv2D": lambda filters, *a, **k: real.Conv2D(filters // divisor, *a, **k),
              "SeparableConv2D": lambda filters, *a, **k: real.SeparableConv2D(filters // divisor, *a, **k)}
    layers = types.SimpleNamespace(**{**vars(real), **narrow})
    made = []  # in the order of creation, which is our network order
    for kind in ("Conv2D", "SeparableConv2D", "BatchNormalization"):
        setattr(layers, kind, (lambda make: lambda *a, **k: made.append(make(*a, **k)) or made[-1])(
            getattr(layers, kind)))
    kept, xception.layers = xception.layers, layers
    model = xception.Xception(include_top=False, weights=None, input_shape=(size, size, 3), pooling="avg")
    xception.layers = kept
    numbers = {}  # of trainable weights in network order
    tensor = 0
    for layer in made:
        values = []
        for weight in layer.weights:
            values.append(seeded(tensor, weight.name, weight.shape))
            if weight.trainable:
                numbers[tensor] = weight
            tensor += 1
        layer.set_weights(values)
    outputs = [model.output if n == "avg_pool" else model.get_layer(n).output for n in NODES]
    return keras.Model(model.input, outputs), numbers


def run(size, divisor, policy, pixels):
    found = build(size, divisor, policy)[0](pixels.astype("f8" if policy == "float64" else "f4"), training=False)
    return [keras.ops.convert_to_numpy(keras.ops.cast(t, "float64")).ravel() for t in found]


def projections(x):
    """Bit j of draw i is the sign of element i in projection j."""
    bits = draws(SEED, TEST, 1, x.size)
    return [float(np.sum(np.where(bits >> np.uint64(j) & np.uint64(1), x, -x))) for j in range(PROJECTIONS)]


def row(values):
    return "{" + ", ".join(f"{v:.9g}" for v in values) + "}"


def main():
    print("/* xception.h: written by make_xception.py; see there. */")
    print("#ifndef MQ_GOLDEN_XCEPTION_H\n#define MQ_GOLDEN_XCEPTION_H\n\n#include <stddef.h>\n#include <stdint.h>\n")
    print(f"enum {{ GOLDEN_SEED = {SEED}, GOLDEN_PROJECTIONS = {PROJECTIONS} }};\n")
    print("typedef struct {\n    uint32_t side;\n    size_t divisor, pictures;\n    const char *node;\n"
          "    double norm, mixed_error; /* of float64; of mixed_bfloat16, relative to it */\n"
          "    double f32[GOLDEN_PROJECTIONS], f64[GOLDEN_PROJECTIONS];\n} golden_row;\n")
    print("static const golden_row golden_rows[] = {")
    for size, divisor, count in CASES:
        pixels = (unit(TEST, 0, count * size * size * 3) * np.float32(2) - np.float32(1)).reshape(count, size, size, 3)
        f32, f64, mixed = (run(size, divisor, p, pixels) for p in ("float32", "float64", "mixed_bfloat16"))
        for node, a, b, m in zip(NODES, f32, f64, mixed):
            norm = np.linalg.norm(b)
            print(f'    {{{size}, {divisor}, {count}, "{node}", {norm:.9g}, {np.linalg.norm(m - b) / norm:.3g},\n'
                  f"     {row(projections(a))},\n     {row(projections(b))}}},")
    print("};\n\n#endif")


if __name__ == "__main__":
    main()
