"""plant.py: wrong labels and copies planted in a list of pictures, to measure what finds them.

    python3 bench/plant.py PICTURES/list.csv OUT [--labels 0.05] [--copies 0.03] [--seed 1]

Reads a list as `marque import` takes (columns filename or path, class_name or label), links or copies its pictures below OUT and
writes OUT/list.csv (path,label) for `marque import OUT/list.csv`. OUT/labels.csv (path,label,given) names the pictures whose label
is now another one, drawn evenly from all other classes; OUT/copies.csv (copy,original,kind) the copies, which lie in OUT/copies
under their originals' labels, and what was done to each. No picture bears a wrong label and has a copy. Needs Pillow.
"""
import argparse
import csv
import os
import random
import shutil
from pathlib import Path

from PIL import Image, ImageEnhance, ImageOps


def column(row, *names):
    return next(row[name] for name in names if name in row)


def place(source, target):
    """The picture at target: a link where the file system allows one, else a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def exact(picture, draw):
    return None, 0


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


KINDS = (exact, reencode, resize, crop, brighten, mirror, mixed)


def copy(source, target, kind, draw):
    picture, quality = kind(Image.open(source).convert("RGB"), draw)
    if picture:
        picture.save(target, quality=quality)
    else:
        shutil.copyfile(source, target)


def write(path, head, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("list", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--labels", type=float, default=0.05)
    parser.add_argument("--copies", type=float, default=0.03)
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args()
    with words.list.open(newline="") as file:
        rows = [(column(row, "path", "filename"), column(row, "class_name", "label")) for row in csv.DictReader(file)]
    classes = sorted({label for _, label in rows})
    draw = random.Random(words.seed)
    order = draw.sample(range(len(rows)), len(rows))
    wrong = {rows[i][0]: draw.choice([c for c in classes if c != rows[i][1]])
             for i in sorted(order[:round(words.labels * len(rows))])}
    copied = order[len(wrong):len(wrong) + round(words.copies * len(rows))]
    for path, _ in rows:
        place(words.list.parent / path, words.out / path)
    (words.out / "copies").mkdir(parents=True)
    copies = []
    for number, i in enumerate(copied):
        kind, name = KINDS[number % len(KINDS)], f"copies/{number:05}.jpg"
        copy(words.list.parent / rows[i][0], words.out / name, kind, draw)
        copies.append((name, rows[i][0], rows[i][1], kind.__name__))
    write(words.out / "list.csv", ("path", "label"),
          [*((path, wrong.get(path, label)) for path, label in rows), *((name, label) for name, _, label, _ in copies)])
    write(words.out / "labels.csv", ("path", "label", "given"), [(path, label, wrong[path]) for path, label in rows if path in wrong])
    write(words.out / "copies.csv", ("copy", "original", "kind"), [(name, original, kind) for name, original, _, kind in copies])
    print(f"{len(rows)} pictures of {len(classes)} classes below {words.out}, {len(wrong)} of them with a wrong label, "
          f"and {len(copies)} copies")


if __name__ == "__main__":
    main()
