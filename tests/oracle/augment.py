#!/usr/bin/env python3
"""Compares each augmentation alone with Pillow's, TensorFlow's or SciPy's own. Prints TAP.

    augment.py [build/release/tests/augment_probe]

Without an argument the probe is looked for beside the program $MARQUE_BIN. Pictures: $MARQUE_CARS/cars_train/*.jpg cut
and resized to squares, else none; and two made here (noise, ramps). torchvision on Pillow's pictures is Pillow, so its
functions are written out here by Pillow's. The tolerance is one grey level everywhere; the name of each check says the
largest difference met. What is sampled outside the picture is filled with black, as Pillow fills it. What is drawn, and by
which odds, augment_draws.py looks at."""
import io
import math
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image, ImageEnhance, ImageOps
from scipy import ndimage

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from tap import Tap  # noqa: E402

PICTURES, SIDE = 6, 199
IDENTITY = np.eye(3)
BUILD = pathlib.Path(os.environ.get("MARQUE_BIN", "build/release/marque")).parent
PROBE = sys.argv[1] if len(sys.argv) > 1 else str(BUILD / "tests/augment_probe")


def probe(*args):
    return subprocess.run([PROBE, *map(str, args)], check=True, stdout=subprocess.PIPE).stdout


def ours(path, fill, *words):
    """The picture after changes given as NAME VALUE... [+ NAME VALUE...]."""
    with Image.open(path) as image:
        side = image.width
    return np.frombuffer(probe("change", path, fill, *words), np.uint8).reshape(side, side, 3)


def pictures(folder):
    """Square pictures as PNG files."""
    draw = np.random.default_rng(5)
    ramp = np.add.outer(np.arange(SIDE), np.arange(SIDE)) * 255 / (2 * SIDE)
    made = [draw.integers(0, 256, (97, 97, 3), np.uint8),
            np.stack([ramp, ramp[::-1], ramp[:, ::-1]], -1).astype(np.uint8)]
    cars = os.environ.get("MARQUE_CARS")
    found = sorted(pathlib.Path(cars, "cars_train").glob("*.jpg")) if cars else []
    for path in found[:: max(1, len(found) // PICTURES)][:PICTURES]:
        with Image.open(path) as image:
            made.append(np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.BILINEAR)))
    paths = []
    for number, pixels in enumerate(made):
        paths.append(pathlib.Path(folder, f"{number}.png"))
        Image.fromarray(pixels).save(paths[-1])
    return paths


# Pillow's own, one for each row; torchvision calls the same.

def enhance(kind):
    return lambda image, factor: kind(image).enhance(factor)


def affine(matrix):
    """Pillow's AFFINE transform by a matrix around the middle, from output to input."""
    def apply(image, *values):
        half = image.width / 2
        to, back = IDENTITY.copy(), IDENTITY.copy()
        to[:2, 2], back[:2, 2] = half, -half
        m = to @ np.asarray(matrix(image.width, *values), float) @ back
        return image.transform(image.size, Image.AFFINE, m[:2].ravel().tolist(), Image.BILINEAR)
    return apply


def shear(size, x, y, corner=0):
    """Inverse of torchvision's shear, around the middle or the top left corner."""
    m = np.array([[1 + x * y, x, 0], [y, 1, 0], [0, 0, 1]])
    if corner:
        to, back = IDENTITY.copy(), IDENTITY.copy()
        to[:2, 2], back[:2, 2] = -size / 2, size / 2
        m = to @ m @ back
    return m


def rotation(size, degrees):
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [[c, -s, 0], [s, c, 0], [0, 0, 1]]


# From a point behind a change to the point before it, around the middle.
MATRICES = {
    "rotate": rotation,
    "shift": lambda n, x, y: [[1, 0, -x * n], [0, 1, -y * n], [0, 0, 1]],
    "zoom": lambda n, s: np.diag([1 / s, 1 / s, 1]),
    "shear": shear,
}


def perspective(image, *v):
    """As torchvision: the corners of the picture and where they go, solved for Pillow's eight numbers."""
    n = image.width
    start = [(0, 0), (n, 0), (n, n), (0, n)]
    end = [(v[0] * n, v[1] * n), (n - v[2] * n, v[3] * n), (n - v[4] * n, n - v[5] * n), (v[6] * n, n - v[7] * n)]
    rows, to = [], []
    for (x, y), (u, w) in zip(end, start):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -w * x, -w * y]]
        to += [u, w]
    return image.transform(image.size, Image.PERSPECTIVE, np.linalg.solve(rows, to).tolist(), Image.BILINEAR)


def posterize(image, bits):
    return ImageOps.posterize(image, int(bits))


def jpeg(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(quality))
    return Image.open(file).convert("RGB")


PILLOW = {
    "vflip": (lambda image: image.transpose(Image.FLIP_TOP_BOTTOM), [()]),
    "rotate": (lambda image, angle: image.rotate(angle, Image.BILINEAR), [(7.3,), (-33,), (90,), (135,)]),
    "shift": (affine(MATRICES["shift"]), [(0.1, 0), (-0.033, 0.27)]),
    "zoom": (affine(MATRICES["zoom"]), [(1.2,), (0.77,)]),
    "shear": (affine(MATRICES["shear"]), [(0.2, 0, 0), (0, -0.31, 0), (0.1, 0.15, 0), (0.99, 0, 1), (0, -0.4, 1)]),
    "perspective": (perspective, [(.1, .05, .02, .1, .08, .01, .03, .06), (.2, .1, 0, .15, .2, .2, 0, .03)]),
    "brightness": (enhance(ImageEnhance.Brightness), [(0,), (0.3,), (1.7,)]),
    "contrast": (enhance(ImageEnhance.Contrast), [(0,), (0.4,), (1.9,)]),
    "saturation": (enhance(ImageEnhance.Color), [(0,), (0.4,), (1.9,)]),
    "sharpness": (enhance(ImageEnhance.Sharpness), [(0.01,), (0.5,), (1.9,)]),
    "grey": (lambda image: image.convert("L").convert("RGB"), [()]),
    "posterize": (posterize, [(1,), (4,), (7,), (8,)]),
    "solarize": (lambda image, level: ImageOps.solarize(image, level), [(0,), (113.3,), (128,), (256,)]),
    "autocontrast": (lambda image: ImageOps.autocontrast(image), [()]),
    "equalize": (lambda image: ImageOps.equalize(image), [()]),
    "invert": (lambda image: ImageOps.invert(image), [()]),
    "jpeg": (jpeg, [(5,), (50,), (95,), (100,)]),
}


def tf_hue(pixels, turn):
    import tensorflow as tf  # seconds, which augment_draws.py can do without
    scaled = tf.image.adjust_hue(tf.constant(pixels, tf.float32) / 255, turn)
    return np.round(np.asarray(scaled) * 255)


def gauss(pixels, deviation):
    """torchvision's gaussian_blur with a kernel of 3 deviations: edges mirrored without repeating the pixel."""
    radius = math.ceil(3 * deviation)
    return np.stack([ndimage.gaussian_filter(pixels[..., c].astype(float), deviation, radius=radius, mode="mirror")
                     for c in range(3)], -1)


def mirrored(pixels, angle):
    """A rotation whose outside is the picture mirrored, by SciPy."""
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    m, middle = np.array([[c, s], [-s, c]]), (len(pixels) - 1) / 2  # rows first
    return np.stack([ndimage.affine_transform(pixels[..., k].astype(float), m, middle - m @ [middle, middle], order=1,
                                              mode="reflect") for k in range(3)], -1)


OTHERS = {
    ("hue", "tf.image.adjust_hue"): (tf_hue, [(0.05,), (-0.2,), (0.5,)]),
    ("blur", "SciPy's gaussian_filter"): (gauss, [(0.3,), (1,), (2.7,)]),
}


def compare(tap, name, label, paths, theirs, cases, fill=0):
    worst = 0.0
    for path in paths:
        for values in cases:
            mine = ours(path, fill, name, *values).astype(float)
            worst = max(worst, float(np.abs(mine - theirs(path, *values)).max()))
    tap.check(f"{name} is {label} (largest difference {worst:.3g} in {len(paths) * len(cases)})", worst <= 1)


def by_pillow(function):
    def apply(path, *values):
        with Image.open(path) as image:
            return np.asarray(function(image, *values), float)
    return apply


def by_array(function):
    def apply(path, *values):
        with Image.open(path) as image:
            return np.asarray(function(np.asarray(image), *values), float)
    return apply


def main():
    tap = Tap()
    with tempfile.TemporaryDirectory() as folder:
        paths = pictures(folder)
        for name, (function, cases) in PILLOW.items():
            compare(tap, name, "Pillow's", paths, by_pillow(function), cases)
        for (name, label), (function, cases) in OTHERS.items():
            compare(tap, name, label, paths, by_array(function), cases)
        compare(tap, "rotate", "SciPy's with the picture mirrored outside", paths, by_array(mirrored), [(17,), (-80,)], -1)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
