"""plant.py: copies a folder of pictures and plants near copies of some of them, to measure what finds them.

    python3 bench/plant.py PICTURES OUT [--share 0.03] [--seed 1]

OUT/original holds hard links to (or copies of) all JPEG pictures below PICTURES, OUT/planted the planted copies, as
two classes that `marque import OUT` takes; OUT.csv names each copy, its original and what was done to it.
Needs Pillow.
"""
import argparse
import csv
import os
import random
import shutil
from pathlib import Path

from PIL import Image, ImageEnhance, ImageOps


def reencode(picture, draw):
    return picture, draw.randint(40, 90)


def resize(picture, draw):
    scale = draw.uniform(0.5, 1.0)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Image.BICUBIC), 90


def crop(picture, draw):
    """Takes 2 to 5 % of the sides off, unevenly."""
    left, top, right, bottom = (draw.uniform(0, draw.uniform(0.02, 0.05)) for _ in range(4))
    box = (round(left * picture.width), round(top * picture.height),
           round((1 - right) * picture.width), round((1 - bottom) * picture.height))
    return picture.crop(box), 90


def brighten(picture, draw):
    return ImageEnhance.Brightness(picture).enhance(draw.choice([draw.uniform(0.6, 0.85), draw.uniform(1.15, 1.5)])), 90


def mirror(picture, draw):
    return ImageOps.mirror(picture), draw.randint(70, 90)


def mixed(picture, draw):
    """Resized, cut, of another brightness and encoded anew: as pictures come back from the web."""
    for step in (resize, crop, brighten):
        picture, _ = step(picture, draw)
    return picture, draw.randint(40, 90)


KINDS = (reencode, resize, crop, brighten, mirror, mixed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("pictures", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", type=float, default=0.03)
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args()
    draw = random.Random(words.seed)
    place, planted = words.out / "original", words.out / "planted"
    place.mkdir(parents=True)
    planted.mkdir()
    paths = sorted(p for p in words.pictures.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    for path in paths:
        try:
            os.link(path, place / path.name)
        except OSError:
            shutil.copyfile(path, place / path.name)
    with open(f"{words.out}.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["copy", "original", "kind"])
        for number, path in enumerate(draw.sample(paths, round(words.share * len(paths)))):
            kind = KINDS[number % len(KINDS)]
            picture, quality = kind(Image.open(path).convert("RGB"), draw)
            name = f"planted-{number:05}.jpg"
            picture.save(planted / name, quality=quality)
            rows.writerow([name, path.name, kind.__name__])


if __name__ == "__main__":
    main()
