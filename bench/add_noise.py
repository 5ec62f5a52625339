"""add_noise.py: pictures with salt and pepper, to measure what `marque train --denoise median` is worth.

    python3 bench/add_noise.py PICTURES/list.csv OUT [--classes 40] [--side 320] [--share 0.08] [--seed 1]

Takes the pictures of the first classes of a list as bench/plant.py does, shrinks them to a longest side, makes a share
of their pixels black or white and writes OUT/CLASS/NAME.png. Needs Pillow and numpy.
"""
import argparse
import csv
from pathlib import Path

import numpy as np
from PIL import Image

from plant import column


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("list", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--classes", type=int, default=40)
    parser.add_argument("--side", type=int, default=320)
    parser.add_argument("--share", type=float, default=0.08)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with args.list.open(newline="") as file:
        rows = [(column(row, "path", "filename"), column(row, "class_name", "label")) for row in csv.DictReader(file)]
    wanted = sorted({label for _, label in rows})[:args.classes]
    draw = np.random.default_rng(args.seed)
    for path, label in rows:
        if label not in wanted:
            continue
        image = Image.open(args.list.parent / path).convert("RGB")
        image.thumbnail((args.side, args.side))
        pixels = np.array(image)
        hit = draw.random(pixels.shape[:2])
        pixels[hit < args.share / 2] = 0
        pixels[hit > 1 - args.share / 2] = 255
        place = args.out / label.replace("/", " ")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place / (Path(path).stem + ".png"))


if __name__ == "__main__":
    main()
