#!/usr/bin/env python3
"""Compares marque's augmentations with torchvision's own, in a Python that has torchvision, SciPy and Pillow. Prints TAP.

    python bench/augment_torchvision.py [build/release/tests/augment_probe]

tests/oracle compares with Pillow and with what torchvision is written to do; here torchvision itself draws and computes, on
Pillow's pictures where it takes them, else on tensors. docs/AUGMENTATION.md has the result."""
import collections
import math
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from scipy import stats
from torchvision import transforms
from torchvision.transforms import InterpolationMode, autoaugment, functional, v2

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/oracle"))
import augment  # noqa: E402
import augment_draws as draws  # noqa: E402
from augment_draws import LARGE, LEAST, MANY, SIDE, Tap, alike, difference  # noqa: E402

BILINEAR = InterpolationMode.BILINEAR
DIGITS = 4  # behind the point of a magnitude: torch's are in single precision


# Tables

def same(theirs, ours, scale):
    numbers, signed = theirs
    if ours[0] is None or numbers.ndim == 0:
        return ours[0] is None and numbers.ndim == 0 and signed == ours[1]
    return signed == ours[1] and np.allclose(np.asarray(numbers, float) / scale, ours[0], rtol=1e-6, atol=1e-9)


def compare_space(tap, name, theirs, ours, side):
    scales = {"TranslateX": side, "TranslateY": side}
    wrong = [op for op in {**theirs, **ours} if op not in theirs or op not in ours or not same(theirs[op], ours[op], scales.get(op, 1))]
    tap.check(f"{name}: {len(theirs)} operations and their magnitudes", not wrong, wrong)


def compare_tables(tap):
    rand, auto = transforms.RandAugment(), transforms.AutoAugment()
    compare_space(tap, "RandAugment", rand._augmentation_space(31, (331, 331)), draws.narrow(31), 331)
    compare_space(tap, "TrivialAugmentWide", transforms.TrivialAugmentWide()._augmentation_space(31), draws.WIDE, 224)
    ours = {**draws.narrow(10), "Invert": (None, False)}
    del ours["Identity"]
    compare_space(tap, "AutoAugment", auto._augmentation_space(10, (331, 331)), ours, 331)
    written = [policy.split() for policy in draws.IMAGENET.split(",")]
    ours = [tuple((op, int(p) / 10, int(level)) for op, p, level in (w[:3], w[3:])) for w in written]
    theirs = [tuple((op, p, level or 0) for op, p, level in policy) for policy in auto.policies]
    tap.check(f"AutoAugment: {len(theirs)} policies for ImageNet", ours == theirs)


# Draws

def rounded(change):
    return change[0], tuple(round(v, DIGITS) + 0.0 for v in change[1])


def drawn_by_torchvision(transform, side, count):
    """What it does to each of count pictures, as marque's changes."""
    did, real = [], autoaugment._apply_op

    def note(image, op, magnitude, interpolation, fill):
        made = draws.change(op, magnitude / side if op.startswith("Translate") else magnitude)
        did[-1] += (rounded(made),) if made else ()
        return image

    autoaugment._apply_op = note
    image = Image.new("RGB", (side, side))
    for _ in range(count):
        did.append(())
        transform(image)
    autoaugment._apply_op = real
    return collections.Counter(did)


def compare_draws(tap, name, transform, policy, side):
    theirs = drawn_by_torchvision(transform, side, MANY)
    ours = collections.Counter(tuple(rounded(c) for c in changes) for _, changes in draws.draws(policy, MANY))
    often = [c for c in {**ours, **theirs} if ours[c] + theirs[c] >= 10]
    table = [[counter[c] for c in often] for counter in (ours, theirs)]
    rest = [MANY - sum(row) for row in table]
    if sum(rest) >= 10:
        table = [[*row, r] for row, r in zip(table, rest)]
    p = stats.chi2_contingency(table).pvalue
    tap.check(f"{name} draws the same as often ({len(often)} outcomes, p = {p:.2g} of {MANY} each)", p > LEAST)


def compare_windows(tap):
    image = Image.new("RGB", (LARGE, LARGE))
    theirs = np.array([transforms.RandomResizedCrop.get_params(image, (0.35, 1), (3 / 4, 4 / 3)) for _ in range(MANY)])
    ours = draws.windows(LARGE, LARGE, MANY, "rrc=0.35")
    w, h = draws.sides(ours)
    fits = (w < LARGE) & (h < LARGE)
    (top, left, g, v), w, h, ours = theirs.T, w[fits], h[fits], ours[fits]
    for what, mine, other in (("area", w * h, v * g), ("aspect", w / h, v / g), ("left edge", ours[:, 0] / (LARGE - w + 1), left / (LARGE - v + 1)),
                              ("top edge", ours[:, 1] / (LARGE - h + 1), top / (LARGE - g + 1))):
        alike(tap, f"RandomResizedCrop: {what}", mine, other)
    picture = torch.zeros(3, LARGE, LARGE)
    theirs = np.array([transforms.RandomErasing.get_params(picture, (0.02, 0.33), (1 / 3.3, 3.3), [0.0])[:4] for _ in range(MANY)]) / LARGE
    ours = np.array([changes[0][1][:4] for _, changes in draws.draws("erase@1", MANY)])
    x, y, w, h = ours[(ours[:, 2] < 1) & (ours[:, 3] < 1)].T
    top, left, g, v = theirs.T
    for what, mine, other in (("area", w * h, v * g), ("sides' ratio", w / h, v / g), ("left edge", x / (1 - w), left / (1 - v)),
                              ("top edge", y / (1 - h), top / (1 - g))):
        alike(tap, f"RandomErasing: {what}", mine, other)


def compare_noise(tap, folder):
    """In floats, as torchvision's 8-bit noise is cut towards 0 instead of rounded."""
    grey = draws.flat(folder, 128)
    ours = augment.ours(grey, 0, "noise", 12).astype(int) - 128
    noisy = v2.GaussianNoise(sigma=12 / 255)(torch.full((3, SIDE, SIDE), 128 / 255))
    theirs = np.rint(np.asarray(noisy) * 255).astype(int) - 128
    alike(tap, f"GaussianNoise: deviations {ours.std():.2f} and {theirs.std():.2f}", ours.ravel(), theirs.ravel())


# Pixels

def at_whole_pixels(op, magnitude, side):
    """torchvision moves by whole pixels, marque by parts of one."""
    return int(magnitude) / side if op.startswith("Translate") else magnitude


def decided(n, made):
    """[n, n] whether a pixel comes from clearly inside or outside of the picture: on its very edge single precision decides."""
    if not made or made[0] not in augment.MATRICES:
        return np.ones((n, n), bool)
    m = np.asarray(augment.MATRICES[made[0]](n, *made[1][:len(augment.PILLOW[made[0]][1][0])]), float)
    at = np.arange(n) + 0.5 - n / 2
    x, y = (m[row, 0] * at + (m[row, 1] * at + m[row, 2])[:, None] + n / 2 for row in (0, 1))
    return np.min([np.abs(x), np.abs(x - n), np.abs(y), np.abs(y - n)], 0) > 1e-3


def compare_operations(tap, paths):
    """Each operation at each magnitude of the wide space, to both sides."""
    table = {**transforms.TrivialAugmentWide()._augmentation_space(31), "Invert": (torch.tensor(0.0), False)}
    for op, (magnitudes, signed) in table.items():
        worst = count = 0
        levels = [float(m) for m in np.atleast_1d(magnitudes)]
        for path in paths:
            with Image.open(path) as image:
                for magnitude in {sign * level for level in levels for sign in (1, -1 if signed else 1)}:
                    made = draws.change(op, at_whole_pixels(op, magnitude, image.width))
                    ours = augment.ours(path, 0, made[0], *made[1]) if made else np.asarray(image)
                    theirs = autoaugment._apply_op(image, op, magnitude, BILINEAR, [0, 0, 0])
                    sure = decided(image.width, made)
                    worst, count = max(worst, difference(ours[sure], np.asarray(theirs)[sure])), count + 1
        tap.check(f"{op} (largest difference {worst} in {count})", worst <= 1)


def tensor(image):
    return functional.pil_to_tensor(image).float() / 255


def array(tensor_of):
    return np.asarray(tensor_of).transpose(1, 2, 0) * 255


def blur(image, deviation):
    return array(functional.gaussian_blur(tensor(image), [2 * math.ceil(3 * deviation) + 1] * 2, [deviation] * 2))


def perspective(image, *v):
    n = image.width
    end = [[v[0] * n, v[1] * n], [n - v[2] * n, v[3] * n], [n - v[4] * n, n - v[5] * n], [v[6] * n, n - v[7] * n]]
    return functional.perspective(image, [[0, 0], [n, 0], [n, n], [0, n]], end, BILINEAR, [0])


# Name in marque's table: torchvision's function of a picture and values.
FUNCTIONS = {
    "vflip": functional.vflip,
    "rotate": lambda image, angle: functional.rotate(image, angle, BILINEAR),
    "zoom": lambda image, s: functional.affine(image, 0, [0, 0], s, [0, 0], BILINEAR),
    "perspective": perspective,
    "brightness": functional.adjust_brightness,
    "contrast": functional.adjust_contrast,
    "saturation": functional.adjust_saturation,
    "sharpness": functional.adjust_sharpness,
    "grey": lambda image: functional.rgb_to_grayscale(image, 3),
    "jpeg": lambda image, quality: v2.functional.jpeg(functional.pil_to_tensor(image), quality).permute(1, 2, 0),
    "hue": lambda image, turn: array(functional.adjust_hue(tensor(image), turn)),
    "blur": blur,
}


def compare_functions(tap, paths):
    cases = {**{name: entry[1] for name, entry in augment.PILLOW.items()}, **{name: entry[1] for (name, _), entry in augment.OTHERS.items()}}
    for name, function in FUNCTIONS.items():
        worst = 0.0
        for path in paths:
            with Image.open(path) as image:
                for values in cases[name]:
                    ours = augment.ours(path, 0, name, *values).astype(float)
                    worst = max(worst, float(np.abs(ours - np.asarray(function(image, *values), float)).max()))
        tap.check(f"{name} (largest difference {worst:.3g} in {len(paths) * len(cases[name])})", worst <= 1)


def compare_resized_crop(tap, path):
    with Image.open(path) as image:
        count, worst = 60, 0
        frames, ours = (f(*args, count, "rrc=0.1") for f, args in ((draws.windows, image.size), (draws.batch, (path, SIDE))))
        for (x1, y1, x2, y2), mine in zip(frames.tolist(), ours):
            theirs = functional.resized_crop(image, y1, x1, y2 - y1, x2 - x1, [SIDE, SIDE], BILINEAR)
            worst = max(worst, difference(mine, theirs))
        mirrored = functional.hflip(image.resize((SIDE, SIDE), Image.BILINEAR))
        worst_flip = difference(draws.batch(path, SIDE, 1, "hflip@1")[0], mirrored)
    tap.check(f"resized_crop (largest difference {worst} in {count})", worst <= 1)
    tap.check(f"hflip (largest difference {worst_flip})", worst_flip == 0)


def main():
    print(f"# torchvision {torchvision.__version__}, torch {torch.__version__}, Pillow {Image.__version__}")
    torch.manual_seed(1)
    tap = Tap()
    with tempfile.TemporaryDirectory() as folder:
        paths = augment.pictures(folder)
        compare_tables(tap)
        compare_draws(tap, "RandAugment", transforms.RandAugment(2, 9), "randaugment=9:2", 331)
        compare_draws(tap, "TrivialAugmentWide", transforms.TrivialAugmentWide(), "trivialaugment", 224)
        compare_draws(tap, "AutoAugment", transforms.AutoAugment(), "autoaugment", 331)
        compare_windows(tap)
        compare_noise(tap, folder)
        compare_operations(tap, paths)
        compare_functions(tap, paths)
        compare_resized_crop(tap, paths[-1])
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
