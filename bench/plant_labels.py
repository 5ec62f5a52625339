"""plant_labels.py: wrong labels planted in a list of pictures, to measure what `marque clean` finds of them.

    python3 bench/plant_labels.py PICTURES/list.csv OUT [--share 0.05] [--seed 1]

Reads a list as `marque import` takes (columns filename or path, class_name or label), links or copies its pictures below
OUT and writes OUT/list.csv (path,label) for `marque import OUT/list.csv`, and OUT/truth.csv (path,label,given) of the
pictures whose label is now another one, drawn evenly from all other classes.
"""
import argparse
import csv
import os
import random
import shutil
from pathlib import Path


def column(row, *names):
    return next(row[name] for name in names if name in row)


def place(source, target):
    """The picture at target: a link where the file system allows one, else a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("list", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with args.list.open(newline="") as file:
        rows = [(column(row, "path", "filename"), column(row, "class_name", "label")) for row in csv.DictReader(file)]
    classes = sorted({label for _, label in rows})
    draw = random.Random(args.seed)
    wrong = set(draw.sample(range(len(rows)), round(args.share * len(rows))))
    planted = [draw.choice([c for c in classes if c != label]) if i in wrong else label
               for i, (_, label) in enumerate(rows)]
    for path, _ in rows:
        place(args.list.parent / path, args.out / path)
    with (args.out / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *((path, given) for (path, _), given in zip(rows, planted))])
    with (args.out / "truth.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "given"),
                                    *((*rows[i], planted[i]) for i in sorted(wrong))])
    print(f"{len(rows)} pictures of {len(classes)} classes below {args.out}, {len(wrong)} of them with a wrong label")


if __name__ == "__main__":
    main()
