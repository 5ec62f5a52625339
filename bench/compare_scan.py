#!/usr/bin/env python3
"""What `marque scan` finds of planted near copies, beside imagededup. docs/SCANNING.md has the commands and the figures.

    python3 bench/compare_scan.py PLANTED.csv SCAN.json FOLDER

PLANTED.csv and FOLDER: of bench/plant.py. SCAN.json: of marque scan. Pairs of pictures that are in one group count as found.
imagededup looks at FOLDER's pictures by its two hashes at its own limit, 10 bits. Needs imagededup.
"""
import csv
import itertools
import json
import os
import sys
import tempfile
from pathlib import Path

from imagededup.methods import DHash, PHash


def tell(what, pairs, truth):
    hits = len(pairs & truth)
    print(f"| {what} | {len(pairs)} | {hits} of {len(truth)} | {hits / max(1, len(pairs)):.2f} | {hits / len(truth):.2f} |",
          flush=True)


def groups_of(scan):
    """Names of the pictures of each group of copies, whatever the report calls the group."""
    for group in scan["groups"]:
        yield [Path(picture["file"]).name for picture in group["pictures"]]


def all_pairs(groups):
    return {frozenset(pair) for group in groups for pair in itertools.combinations(group, 2)}


def main():
    planted, scan, folder = (Path(word) for word in sys.argv[1:4])
    with planted.open(newline="") as file:
        truth = {frozenset((row["copy"], row["original"])) for row in csv.DictReader(file)}
    print("| what | pairs | planted ones found | precision | recall |\n|---|---|---|---|---|")
    tell("marque scan", all_pairs(groups_of(json.loads(scan.read_text()))), truth)
    with tempfile.TemporaryDirectory() as flat:
        for path in folder.rglob("*.jpg"):
            os.symlink(path.resolve(), Path(flat) / path.name)
        for method in (PHash, DHash):
            found = method(verbose=False).find_duplicates(image_dir=flat, max_distance_threshold=10)
            pairs = {frozenset((name, other)) for name, others in found.items() for other in others}
            tell(f"imagededup {method.__name__}, 10 bits", pairs, truth)


if __name__ == "__main__":
    main()
