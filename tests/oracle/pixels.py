#!/usr/bin/env python3
"""Compares marque's pixels with Pillow's and TensorFlow's on real pictures. Prints TAP.

    pixels.py [build/release/tests/prepare_probe]

Without an argument the probe is looked for beside the program $MARQUE_BIN.
Pictures: $MARQUE_CARS/cars_train/*.jpg, else Debian's stamps. Without TensorFlow its part is skipped.
Tolerances: decode, scaled or not, and Pillow's resize byte for byte; alpha over white within 1 grey level; TensorFlow's
resize within 1e-3 of a grey level (the same single-precision formula, but compilers may contract it).
"""
import math
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import numpy as np
import PIL
from PIL import Image, ImageFilter

PICTURES = 60
SIZES = [(299, 299), (71, 96), (1, 1), (640, 13)]
# Grey levels by which one call of Pillow's resize may differ from columns first.
ORDER = 1 if int(PIL.__version__.split(".")[0]) >= 13 else 0
STAMPS = "/usr/share/tuxpaint/stamps"


class Tap:
    def __init__(self):
        self.count = self.failed = 0

    def check(self, good, name):
        self.count += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {name}", flush=True)

    def skip(self, name, why):
        self.count += 1
        print(f"ok {self.count} - {name} # SKIP {why}", flush=True)


def probe(*args):
    return subprocess.run([PROBE, *map(str, args)], check=True, stdout=subprocess.PIPE).stdout


def decode(path):
    """RGB [height, width, 3] as marque decodes it, before EXIF."""
    head, _, body = probe("decode", path).partition(b"\n")
    width, height, _ = map(int, head.split())
    return np.frombuffer(body, np.uint8).reshape(height, width, 3)


def has_alpha(image):
    return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info


def pillow(path):
    """The same by Pillow, alpha over white."""
    with Image.open(path) as image:
        if not has_alpha(image):
            return np.asarray(image.convert("RGB"))
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return np.asarray(Image.alpha_composite(white, image).convert("RGB"))


def resize(image, width, height):
    """Pillow's resize, columns first in every version: Pillow 13 sometimes begins with the rows."""
    image = image.resize((width, image.height), Image.BILINEAR)
    return image.resize((width, height), Image.BILINEAR)


def real_pictures():
    cars = os.environ.get("MARQUE_CARS")
    found = sorted(pathlib.Path(cars, "cars_train").glob("*.jpg")) if cars else []
    if not found:
        found = sorted(pathlib.Path(STAMPS).rglob("*.png"))
    return found[:: max(1, len(found) // PICTURES)][:PICTURES]


def check_decode(tap, paths):
    for path in paths:
        ours, theirs = decode(path), pillow(path)
        same = ours.shape == theirs.shape and np.array_equal(ours, theirs)
        most = np.abs(ours.astype(int) - theirs).max() if ours.shape == theirs.shape else "shape"
        with Image.open(path) as image:
            good = same or (has_alpha(image) and most != "shape" and most <= 1)
        tap.check(good, f"decode {path.name} (largest difference {most})")


def check_resize(tap, paths):
    for path in paths:
        image = Image.fromarray(decode(path))
        wrong = []
        for width, height in SIZES:
            ours = probe("resize", path, width, height, "pillow")
            if ours != resize(image, width, height).tobytes():
                wrong.append(f"{width}x{height}")
            direct = np.asarray(image.resize((width, height), Image.BILINEAR), int)
            if np.abs(direct.ravel() - np.frombuffer(ours, np.uint8)).max() > ORDER:
                wrong.append(f"{width}x{height} in one call")
        tap.check(not wrong, f"resize {path.name} {wrong}")


def check_median(tap, paths):
    """The recipe's filter against noise, edges included."""
    for path in paths:
        image = Image.fromarray(decode(path)).filter(ImageFilter.MedianFilter(3))
        tap.check(probe("median", path) == image.tobytes(), f"median {path.name}")


def check_odd_sizes(tap, folder):
    """Noise of every awkward shape, up and down."""
    draw = random.Random(1)
    shapes = [(1, 1), (1, 10000), (10000, 1), (2, 3), (299, 299), (300, 298), (1000, 700), (17, 4001)]
    for width, height in shapes:
        path = pathlib.Path(folder, f"noise-{width}x{height}.png")
        noise = Image.frombytes("RGB", (width, height), draw.randbytes(width * height * 3))
        noise.save(path)
        for to in [(1, 1), (299, 299), (width, 299), (299, height), (3, 1000)]:
            ours = probe("resize", path, *to, "pillow")
            same = ours == resize(noise, *to).tobytes()
            tap.check(same, f"resize noise {width}x{height} to {to[0]}x{to[1]}")
        check_median(tap, [path])


def check_prepare(tap, paths):
    """Crop to a box that sticks out, resize, range, flip: each float the same."""
    for path in paths:
        image = Image.fromarray(decode(path))
        x1, y1, x2, y2 = image.width // 5, image.height // 4, image.width + 9, image.height * 3 // 4
        dx, dy = round(0.1 * (x2 - x1) + 1e-9), round(0.1 * (y2 - y1) + 1e-9)
        cut = (max(0, x1 - dx), max(0, y1 - dy), image.width, min(image.height, y2 + dy))
        pixels = np.asarray(resize(image.crop(cut), 139, 139), np.float32)
        wanted = [pixels / np.float32(127.5) - np.float32(1), pixels / np.float32(255),
                  pixels[..., ::-1] - np.array([103.939, 116.779, 123.68], np.float32)]
        for kind, values in enumerate(wanted):
            for flip in (0, 1):
                ours = probe("prepare", path, 139, 0, kind, flip, x1, y1, x2, y2, 0.1)
                ours = np.frombuffer(ours, np.float32).reshape(139, 139, 3)
                same = np.array_equal(ours, values[:, ::-1] if flip else values)
                tap.check(same, f"prepare {path.name}, range {kind}, flip {flip}")


def scaled_input(path, eighths, box):
    """The square of 71 pixels of a box by Pillow's draft, which scales as libjpeg does, and a resize of that part."""
    with Image.open(path) as image:
        full = image.size
        if eighths < 8:
            image.draft("RGB", (full[0] * eighths // 8, full[1] * eighths // 8))
        if image.size != tuple(-(-side * eighths // 8) for side in full):
            return None
        image = image.convert("RGB")
    part = [side * eighths / 8 for side in box]
    held = (int(part[0]), int(part[1]), math.ceil(part[2]), math.ceil(part[3]))
    image = image.crop(held)
    x1, y1, x2, y2 = part[0] - held[0], part[1] - held[1], part[2] - held[0], part[3] - held[1]
    image = image.resize((71, image.height), Image.BILINEAR, box=(x1, 0, x2, image.height))
    return np.asarray(image.resize((71, 71), Image.BILINEAR, box=(0, y1, 71, y2)), np.float32) / np.float32(255)


def check_scaled(tap, paths):
    """Decoding at 1/2, 1/4 and 1/8, and boxes at fractions of decoded pixels, against Pillow's draft and resize."""
    before = tap.count
    for path in paths:
        with Image.open(path) as image:
            width, height = image.size
            if image.format != "JPEG" or min(width, height) < 285:
                continue
            for eighths in (4, 2, 1):
                image = Image.open(path)
                image.draft("RGB", (width * eighths // 8, height * eighths // 8))
                head, _, body = probe("decode-smaller", path, eighths).partition(b"\n")
                same = head.split()[:2] == [b"%d" % side for side in image.size] and body == image.convert("RGB").tobytes()
                tap.check(same, f"draft of {path.name} at {eighths} eighths")
        for box in ((0, 0, width, height), (width // 9 + 1, 3, width // 9 + 286, 290), (5, 1, width - 2, height), (7, 7, 290, 290)):
            side = min(box[2] - box[0], box[3] - box[1])
            eighths = next(m for m in (1, 2, 4, 8) if m == 8 or side * m >= 8 * 2 * 71)
            ours = np.frombuffer(probe("prepare-scaled", path, 71, 0, 1, 0, *box, 0), np.float32).reshape(71, 71, 3)
            tap.check(np.array_equal(ours, scaled_input(path, eighths, box)), f"{path.name}, box {box} at {eighths} eighths")
    if tap.count == before:
        tap.skip("scaled decoding", "no large JPEG among these pictures")


def check_tensorflow(tap, paths):
    try:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import tensorflow as tf
    except ImportError:
        tap.skip("TensorFlow's resize", "no tensorflow here")
        return
    for path in paths:
        pixels = decode(path)
        off = []
        for width, height in SIZES:
            ours = np.frombuffer(probe("resize", path, width, height, "tensorflow"), np.float32)
            theirs = tf.image.resize(pixels, (height, width), "bilinear").numpy()
            off.append(np.abs(ours.reshape(height, width, 3) - theirs).max())
        worst = np.max(off)  # NaN, if there is one
        tap.check(worst <= 1e-3, f"TensorFlow's resize of {path.name} (largest difference {worst:.2g})")


def main():
    tap = Tap()
    paths = real_pictures()
    tap.check(len(paths) >= 20, f"{len(paths)} real pictures found")
    check_decode(tap, paths)
    check_resize(tap, paths[::2])
    check_median(tap, paths[::6])
    with tempfile.TemporaryDirectory() as folder:
        check_odd_sizes(tap, folder)
    check_prepare(tap, paths[::10])
    check_scaled(tap, paths[::4])
    check_tensorflow(tap, paths[::6])
    print(f"1..{tap.count}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    BUILD = pathlib.Path(os.environ.get("MARQUE_BIN", "build/release/marque")).parent
    PROBE = sys.argv[1] if len(sys.argv) > 1 else str(BUILD / "tests/prepare_probe")
    sys.exit(main())
