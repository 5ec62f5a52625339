#!/usr/bin/env python3
"""Compares what augmentations draw with what torchvision and the papers say they draw, and what is done with it with
Pillow. Prints TAP.

    augment_draws.py [build/release/tests/augment_probe]

torchvision's tables and odds are written out here from their definition, not read from marque; bench/augment_torchvision.py
compares with torchvision itself. Draws come from fixed seeds, so a figure below is the same on every machine: a test of odds
asks that what was drawn is no rarer than LEAST among all that the odds could give."""
import collections
import math
import pathlib
import sys
import tempfile

import numpy as np
from PIL import Image
from scipy import stats

import augment

sys.path.insert(0, str(augment.HERE.parent))
from tap import Tap  # noqa: E402

LEAST = 1e-4  # of the probability of a statistic
SIDE, LARGE, MANY = 97, 4000, 20000


def lines(*words):
    return augment.probe(*words).decode().splitlines()


def draws(policy, count):
    """For each of count pictures whether it is mirrored and its changes (name, values)."""
    for line in lines("draw", count, policy):
        flip, *changes = line.split("|")
        yield int(flip), [(words[0], tuple(map(float, words[1:]))) for words in map(str.split, changes)]


def batch(path, size, count, policy, *box):
    return np.frombuffer(augment.probe("batch", path, size, count, policy, *box), np.uint8).reshape(count, size, size, 3)


def difference(ours, theirs):
    return int(np.abs(ours.astype(int) - np.asarray(theirs, int)).max())


def windows(width, height, count, policy, *box):
    return np.array([line.split() for line in lines("window", width, height, count, policy, *box)], int)


def spread(tap, name, values, low, high):
    """Whether values are spread evenly from low to high."""
    p = stats.kstest((np.asarray(values) - low) / (high - low), "uniform").pvalue
    tap.check(f"{name}: evenly from {low:.4g} to {high:.4g} (p = {p:.2g} of {len(values)})", p > LEAST)


def alike(tap, name, ours, theirs):
    p = stats.ks_2samp(ours, theirs).pvalue
    tap.check(f"{name} (p = {p:.2g} of {len(ours)})", p > LEAST)


def share(tap, name, hits, count, odds):
    p = stats.binomtest(int(hits), count, odds).pvalue
    tap.check(f"{name}: {hits} of {count} at {odds:.4g} (p = {p:.2g})", p > LEAST)


# Flips

def test_flip(tap, path):
    for odds in (0.5, 0.2):
        share(tap, f"hflip@{odds}", sum(flip for flip, _ in draws(f"hflip@{odds}", MANY)), MANY, odds)
    with Image.open(path) as image:
        mirrored = np.asarray(image.transpose(Image.FLIP_LEFT_RIGHT))
    tap.check("hflip is Pillow's transpose", np.array_equal(batch(path, SIDE, 1, "hflip@1")[0], mirrored))
    policy = "rrc=0.5,rotate=20,brightness,jpeg@1,noise@1"
    tap.check("and mirrors what the rest has made",
              np.array_equal(batch(path, SIDE, 20, policy + ",hflip@1"), batch(path, SIDE, 20, policy)[:, :, ::-1]))
    some, plain = batch(path, SIDE, 40, "hflip"), batch(path, SIDE, 1, "none")[0]
    tap.check("each picture as it was drawn", all(np.array_equal(one, plain[:, ::-1] if flip else plain)
                                                  for one, (flip, _) in zip(some, draws("hflip", 40))))


# Windows

def torchvision_windows(draw, side, least, count):
    """RandomResizedCrop.get_params of a square picture: area even, aspect even in its logarithm, drawn anew until it fits."""
    found = []
    while len(found) < count:
        area, aspect = side * side * draw.uniform(least, 1), math.exp(draw.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= side and 0 < h <= side:
            x, y = draw.integers(side - w + 1), draw.integers(side - h + 1)
            found.append((x, y, x + w, y + h))
    return np.array(found)


def sides(w):
    return w[:, 2] - w[:, 0], w[:, 3] - w[:, 1]


def test_rrc(tap):
    draw = np.random.default_rng(1)
    for least in (0.35, 0.08):
        ours, theirs = windows(LARGE, LARGE, MANY, f"rrc={least}"), torchvision_windows(draw, LARGE, least, MANY)
        w, h = sides(ours)
        fits = (w < LARGE) & (h < LARGE)
        area, aspect = draw.uniform(least, 1, 10**6), np.exp(draw.uniform(math.log(3 / 4), math.log(4 / 3), 10**6))
        share(tap, f"rrc={least}: what does not fit is cut", (~fits).sum(), MANY,
              float(((area * aspect > 1) | (area / aspect > 1)).mean()))
        ours, (w, h), (v, g) = ours[fits], (w[fits], h[fits]), sides(theirs)
        for what, mine, other in (("area", w * h, v * g), ("aspect", w / h, v / g),
                                  ("left edge", ours[:, 0] / (LARGE - w + 1), theirs[:, 0] / (LARGE - v + 1)),
                                  ("top edge", ours[:, 1] / (LARGE - h + 1), theirs[:, 1] / (LARGE - g + 1))):
            alike(tap, f"rrc={least}: {what} of those that fit as RandomResizedCrop's", mine, other)
    ours = windows(3 * LARGE, LARGE, MANY, "rrc=0.05")
    w, h = sides(ours)
    small = (w < 3 * LARGE) & (h < LARGE) & (w * h < 0.5 * 3 * LARGE**2)
    spread(tap, "rrc of a wide picture: logarithm of the aspect, of its own", np.log(w / h / 3)[small], math.log(3 / 4),
           math.log(4 / 3))


def test_windows_of_objects(tap):
    """With the object's box: sides from a share of it to its inverse, never less than the box, anywhere that holds it."""
    box, least, draw = (1500, 1600, 2500, 2400), 0.35, np.random.default_rng(2)
    ours = windows(LARGE, LARGE, MANY, f"rrc={least}", *box)
    tap.check("rrc never loses the object", (ours[:, :2] <= box[:2]).all() and (ours[:, 2:] >= box[2:]).all())
    area = np.exp(draw.uniform(math.log(least), -math.log(least), MANY))
    aspect = np.exp(draw.uniform(math.log(3 / 4), math.log(4 / 3), MANY))
    for axis, factor in enumerate((area * aspect, area / aspect)):
        side, least_side = sides(ours)[axis], box[2 + axis] - box[axis]
        alike(tap, f"rrc of an object: {('widths', 'heights')[axis]}", side,
              np.maximum(np.rint(least_side * np.sqrt(factor)), least_side))
        room = side > least_side
        spread(tap, f"rrc of an object: {('left', 'top')[axis]} edges",
               ((box[axis] - ours[:, axis] + 0.5) / (side - least_side + 1))[room], 0, 1)
    ours = windows(LARGE, LARGE, 2000, "crop=0.8", *box)
    held = (ours[:, :2] <= box[:2]).all() and (ours[:, 2:] >= box[2:]).all()
    tap.check("crop of an object: sides of the inverse share, which hold it",
              held and [set(side) for side in sides(ours)] == [{1250}, {1000}])


def test_crop(tap):
    ours = windows(LARGE, LARGE // 2, MANY, "crop")
    tap.check("crop: 0.875 of each side", [set(side) for side in sides(ours)] == [{LARGE * 7 // 8}, {LARGE * 7 // 16}])
    spread(tap, "crop: left edge", (ours[:, 0] + 0.5) / (LARGE // 8 + 1), 0, 1)
    spread(tap, "crop: top edge", (ours[:, 1] + 0.5) / (LARGE // 16 + 1), 0, 1)


def test_window_pixels(tap, folder):
    """What mq_prepare makes of a window is Pillow's crop, then its antialiased resize, as torchvision's resized_crop: to the byte
    columns first, the order of all versions but 13, which begins with the rows where that is less work."""
    draw = np.random.default_rng(3)
    blocks = draw.integers(0, 256, (40, 53, 3), np.uint8).repeat(7, 0).repeat(7, 1)
    path = pathlib.Path(folder, "oblong.png")
    noisy = np.clip(blocks.astype(int) + draw.integers(-20, 21, blocks.shape), 0, 255).astype(np.uint8)
    image = Image.fromarray(noisy)
    image.save(path)
    for policy in ("crop", "crop=0.5", "rrc", "rrc=0.01"):
        for box in ((), (100, 80, 220, 230)):
            worst = worst_direct = 0
            count = 60
            frames = windows(image.width, image.height, count, policy, *box)
            for window, mine in zip(frames, batch(path, SIDE, count, policy, *box)):
                cut = image.crop(window.tolist())
                direct = cut.resize((SIDE, SIDE), Image.BILINEAR)
                columns_first = cut.resize((SIDE, cut.height), Image.BILINEAR).resize((SIDE, SIDE), Image.BILINEAR)
                worst = max(worst, difference(mine, columns_first))
                worst_direct = max(worst_direct, difference(mine, direct))
            name = f"{policy}{' of an object' if box else ''} is Pillow's crop and resize"
            tap.check(f"{name} (largest difference {worst} columns first, {worst_direct} as it likes)",
                      worst == 0 and worst_direct <= 1 and len(set(map(tuple, frames))) > 10)


# Noise and erasing

def flat(folder, level):
    path = pathlib.Path(folder, f"flat-{level}.png")
    Image.fromarray(np.full((SIDE, SIDE, 3), level, np.uint8)).save(path)
    return path


def test_noise(tap, folder):
    """torchvision's GaussianNoise: each number of each channel plus a normal one of mean 0 and the deviation, cut to 0..255."""
    deviations = [changes[0][1][0] / 255 for _, changes in draws("noise=0.2@1", MANY)]
    spread(tap, "noise: deviation", deviations, 0, 0.2)
    grey, light = flat(folder, 128), flat(folder, 250)
    noise = augment.ours(grey, 0, "noise", 12).astype(int) - 128
    n = noise.size
    tap.check(f"noise: mean {noise.mean():.3f}", abs(noise.mean()) < 4 * 12 / math.sqrt(n))
    tap.check(f"noise: deviation {noise.std():.3f} of 12", abs(noise.std() - math.sqrt(144 + 1 / 12)) < 4 * 12 / math.sqrt(2 * n))
    levels = np.arange(-40, 41)
    far = np.abs(np.array([(noise <= k).mean() for k in levels]) - stats.norm.cdf(levels + 0.5, scale=12)).max()
    tap.check(f"noise: normal, rounded (largest difference of shares {far:.4f})", far < stats.kstwobign.isf(LEAST) / math.sqrt(n))
    for what, one, two in (("channels", noise[..., 0], noise[..., 1]), ("columns", noise[:, 1:], noise[:, :-1]),
                           ("rows", noise[1:], noise[:-1])):
        r = np.corrcoef(one.ravel(), two.ravel())[0, 1]
        tap.check(f"noise: {what} know nothing of each other ({r:.4f})", abs(r) < 4 / math.sqrt(one.size))
    tap.check("noise: cut to 255", np.array_equal(augment.ours(light, 0, "noise", 12), np.clip(250 + noise, 0, 255)))
    drawn = [changes[0][1][0] for _, changes in draws("noise=0.1@1", 60)]
    noises = batch(grey, SIDE, 60, "noise=0.1@1").astype(int) - 128
    tap.check("noise: each picture has its own deviation",
              all(abs(one.std() - d) < 0.3 + 4 * d / math.sqrt(2 * n) for one, d in zip(noises, drawn)))
    r = np.corrcoef(noises[0].ravel(), noises[1].ravel())[0, 1]
    tap.check(f"noise: and noise of its own ({r:.4f})", abs(r) < 4 / math.sqrt(n))


def test_erase(tap, folder):
    """Random Erasing (RE-R): area from 0.02 to a third, sides up to 3.3 to 1, anywhere, each number drawn evenly of 0..255."""
    found = [changes[0][1][:4] for _, changes in draws("erase@1", MANY)]
    x, y, w, h = np.array(found).T
    whole = (w < 1) & (h < 1)
    spread(tap, "erase: area", (w * h)[whole & (np.abs(np.log(w / h)) < math.log(3))], 0.02, 0.33)
    small = w * h < 0.3  # these fit whatever their shape
    spread(tap, "erase: logarithm of the sides' ratio", np.log(w / h)[small], -math.log(3.3), math.log(3.3))
    spread(tap, "erase: left edge", x[whole] / (1 - w[whole]), 0, 1)
    spread(tap, "erase: top edge", y[whole] / (1 - h[whole]), 0, 1)
    count, level = 60, 77
    pictures, inside, untouched = batch(flat(folder, level), SIDE, count, "erase@1"), [], True
    for picture, (left, top, width, height) in zip(pictures, found):
        edges = [math.floor(v * SIDE + 0.5) for v in (left, top, width, height)]
        part = np.zeros((SIDE, SIDE), bool)
        part[edges[1]:edges[1] + edges[3], edges[0]:edges[0] + edges[2]] = True
        untouched &= bool((picture[~part] == level).all())
        inside.append(picture[part].ravel())
    tap.check("erase: nothing outside is touched", untouched)
    values = np.concatenate(inside)
    p = stats.chisquare(np.bincount(values, minlength=256)).pvalue
    tap.check(f"erase: every level inside as often as another (p = {p:.2g} of {len(values)})", p > LEAST)


# Automatic policies: torchvision's spaces, each operation with its magnitudes and whether they have a sign

def space(bins, shear, translate, rotate, factor, bits):
    """translate: sides of the picture."""
    return {
        "Identity": (None, False),
        "ShearX": (np.linspace(0, shear, bins), True),
        "ShearY": (np.linspace(0, shear, bins), True),
        "TranslateX": (np.linspace(0, translate, bins), True),
        "TranslateY": (np.linspace(0, translate, bins), True),
        "Rotate": (np.linspace(0, rotate, bins), True),
        "Brightness": (np.linspace(0, factor, bins), True),
        "Color": (np.linspace(0, factor, bins), True),
        "Contrast": (np.linspace(0, factor, bins), True),
        "Sharpness": (np.linspace(0, factor, bins), True),
        "Posterize": (8 - np.rint(np.arange(bins) / ((bins - 1) / bits)), False),
        "Solarize": (np.linspace(255, 0, bins), False),
        "AutoContrast": (None, False),
        "Equalize": (None, False),
    }


def narrow(bins):
    return space(bins, 0.3, 150 / 331, 30, 0.9, 4)


WIDE = space(31, 0.99, 32 / 224, 135, 0.99, 6)

# AutoAugment's policies for ImageNet: operation, tenths of probability, level of 0..9.
IMAGENET = """Posterize 4 8 Rotate 6 9, Solarize 6 5 AutoContrast 6 0, Equalize 8 0 Equalize 6 0, Posterize 6 7 Posterize 6 6,
    Equalize 4 0 Solarize 2 4, Equalize 4 0 Rotate 8 8, Solarize 6 3 Equalize 6 0, Posterize 8 5 Equalize 10 0,
    Rotate 2 3 Solarize 6 8, Equalize 6 0 Posterize 4 6, Rotate 8 8 Color 4 0, Rotate 4 9 Equalize 6 0,
    Equalize 0 0 Equalize 8 0, Invert 6 0 Equalize 10 0, Color 6 4 Contrast 10 8, Rotate 8 8 Color 10 2,
    Color 8 8 Solarize 8 7, Sharpness 4 7 Invert 6 0, ShearX 6 5 Equalize 10 0, Color 4 0 Equalize 6 0,
    Equalize 4 0 Solarize 2 4, Solarize 6 5 AutoContrast 6 0, Invert 6 0 Equalize 10 0, Color 6 4 Contrast 10 8,
    Equalize 8 0 Equalize 6 0"""


def change(op, magnitude):
    """The change of marque's table that an operation of torchvision's is; None: it does nothing."""
    m = magnitude or 0.0
    made = {"ShearX": ("shear", m, 0, 1), "ShearY": ("shear", 0, m, 1), "TranslateX": ("shift", m, 0),
            "TranslateY": ("shift", 0, m), "Rotate": ("rotate", m), "Brightness": ("brightness", 1 + m),
            "Color": ("saturation", 1 + m), "Contrast": ("contrast", 1 + m), "Sharpness": ("sharpness", 1 + m),
            "Posterize": ("posterize", m), "Solarize": ("solarize", m), "AutoContrast": ("autocontrast",),
            "Equalize": ("equalize",), "Invert": ("invert",)}.get(op)
    return made and outcome(made[0], made[1:])


def outcome(name, values):
    """As something that compares equal: nine digits, and no -0."""
    padded = [*values, *[0] * (8 - len(values))]
    return name, tuple(round(v, 9) + 0.0 for v in padded)


def signed(op, magnitudes, has_sign, level):
    """(change, odds) of an operation at a level, by its sign."""
    magnitude = None if magnitudes is None else float(magnitudes[level])
    if not has_sign:
        return [(change(op, magnitude), 1)]
    return [(change(op, magnitude), 0.5), (change(op, -magnitude), 0.5)]


def one_of(choices):
    """Odds of one of several lists of (changes, odds), each as likely as the others."""
    total = collections.Counter()
    for choice in choices:
        for changes, odds in choice:
            total[changes] += odds / len(choices)
    return total


def in_a_row(first, second):
    total = collections.Counter()
    for one, p in first.items():
        for two, q in second.items():
            total[one + two] += p * q
    return total


def kept(change_or_none):
    return () if change_or_none is None else (change_or_none,)


def rand_odds(level, operations):
    one = one_of([[(kept(c), p) for c, p in signed(op, *entry, level)] for op, entry in narrow(31).items()])
    odds = collections.Counter({(): 1.0})
    for _ in range(operations):
        odds = in_a_row(odds, one)
    return odds


def trivial_odds():
    return one_of([[(kept(c), p / 31) for level in range(31) for c, p in signed(op, *entry, level)]
                   for op, entry in WIDE.items()])


def auto_odds():
    table, total = {**narrow(10), "Invert": (None, False)}, collections.Counter()
    policies = [policy.split() for policy in IMAGENET.split(",")]
    for policy in policies:
        odds = collections.Counter({(): 1.0})
        for op, tenths, level in (policy[:3], policy[3:]):
            p = int(tenths) / 10
            part = collections.Counter({(): 1 - p})
            for c, q in signed(op, *table[op], int(level)):
                part[kept(c)] += p * q
            odds = in_a_row(odds, part)
        for changes, p in odds.items():
            total[changes] += p / len(policies)
    return +total  # without what is impossible


def compare_odds(policy, odds, count):
    """What was drawn and never foreseen, and the probability of how often the rest came; rare outcomes are counted together."""
    drawn = collections.Counter(tuple(outcome(*c) for c in changes) for _, changes in draws(policy, count))
    strange = [changes for changes in drawn if changes not in odds]
    often = [changes for changes, p in odds.items() if p * count >= 5]
    seen, expected = [drawn[c] for c in often], [odds[c] * count for c in often]
    if count - sum(expected) > 5:
        seen, expected = [*seen, count - sum(seen)], [*expected, count - sum(expected)]
    return strange, stats.chisquare(seen, np.array(expected) * (sum(seen) / sum(expected))).pvalue


def test_automatic_draws(tap):
    levels = [compare_odds(f"randaugment={level}:1", rand_odds(level, 1), 3000) for level in range(31)]
    tap.check("randaugment: operations and magnitudes of all 31 levels are torchvision's",
              all(not strange and p > LEAST for strange, p in levels), levels)
    for policy, odds, count in (("randaugment", rand_odds(9, 2), 40000), ("randaugment=20:3", rand_odds(20, 3), 40000),
                                ("trivialaugment", trivial_odds(), 60000), ("autoaugment", auto_odds(), 40000)):
        strange, p = compare_odds(policy, odds, count)
        tap.check(f"{policy}: {len(odds)} outcomes with torchvision's odds (p = {p:.2g} of {count})", not strange and p > LEAST,
                  f"never foreseen: {strange[:5]}")


def pillow_one(image, name, values):
    function, cases = augment.PILLOW[name]
    return function(image, *values[:len(cases[0])])


def pillow_places(image, places):
    """All changes of place as one transform of Pillow's."""
    m = augment.IDENTITY
    for name, values in places:
        of_row = augment.PILLOW[name][1][0]
        m = m @ np.asarray(augment.MATRICES[name](image.width, *values[:len(of_row)]), float)
    return augment.affine(lambda n: m)(image)


def test_automatic_pixels(tap, paths, policy, count):
    """Changes of place, which come first, are one transform of Pillow's; the rest is Pillow's on the pixels that they gave."""
    worst_place = worst = places_drawn = 0
    for path in paths:
        with Image.open(path) as image:
            for (_, changes), mine in zip(draws("fill=0," + policy, count), batch(path, image.width, count, "fill=0," + policy)):
                places = [c for c in changes if c[0] in augment.MATRICES]
                now = image.convert("RGB")
                if places:
                    words = " + ".join(f"{name} {' '.join(map(repr, values[:8]))}" for name, values in places).split()
                    moved = augment.ours(path, 0, *words)
                    worst_place = max(worst_place, difference(moved, pillow_places(now, places)))
                    places_drawn += 1
                    now = Image.fromarray(moved)
                for name, values in changes:
                    if name not in augment.MATRICES:
                        now = pillow_one(now, name, values)
                worst = max(worst, difference(mine, now))
    tap.check(f"{policy}: {places_drawn} changes of place are Pillow's (largest difference {worst_place})",
              worst_place <= 1 and places_drawn)
    tap.check(f"{policy}: and so is what follows, {count * len(paths)} pictures (largest difference {worst})", worst == 0)


def main():
    tap = Tap()
    with tempfile.TemporaryDirectory() as folder:
        paths = augment.pictures(folder)
        test_flip(tap, paths[0])
        test_rrc(tap)
        test_windows_of_objects(tap)
        test_crop(tap)
        test_window_pixels(tap, folder)
        test_noise(tap, folder)
        test_erase(tap, folder)
        test_automatic_draws(tap)
        for policy in ("trivialaugment", "randaugment=9:2", "randaugment=27:3", "autoaugment"):
            test_automatic_pixels(tap, paths[:4], policy, 80)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
