#!/usr/bin/env python3
"""How far pictures decoded at M eighths of their size are from exact ones, and how much faster: a table on stdout.

usage: bench/scaled.py PROBE SIZE PICTURES...     PROBE: build/release/tests/prepare_probe; pictures no rule scales are left out
       bench/scaled.py --enlarge FOLDER WIDTHxHEIGHT PICTURES...   (needs Pillow) upscaled JPEGs to measure speed with
"""
import collections
import subprocess
import sys
from pathlib import Path


def enlarge(folder, size, pictures):
    from PIL import Image
    width, height = map(int, size.split("x"))
    Path(folder).mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        with Image.open(picture) as image:
            image.convert("RGB").resize((width, height), Image.BICUBIC).save(Path(folder) / Path(picture).name, quality=90)


def measure(probe, side, pictures):
    rows, exact = collections.defaultdict(list), {}
    for picture in pictures:
        head, *lines = subprocess.run([probe, "scaled", picture, side, "3"], check=True, capture_output=True, text=True).stdout.splitlines()
        exact[picture] = float(head.split()[2])
        for line in lines:
            times, eighths, mean, most, ms = map(float, line.split())
            if eighths < 8:
                rows[times].append((mean, most, ms, exact[picture], int(eighths)))
    print("| times | pictures | mean difference | worst mean | largest | exact ms | scaled ms | at eighths |\n|---|---|---|---|---|---|---|---|")
    for times, found in sorted(rows.items()):
        means, mosts, mss, exacts, eighths = zip(*found)
        count = len(found)
        share = ", ".join(f"{m}: {n}" for m, n in sorted(collections.Counter(eighths).items()))
        print(f"| {times:g} | {count} | {sum(means) / count:.3f} | {max(means):.2f} | {max(mosts):.0f} | {sum(exacts) / count:.1f} | {sum(mss) / count:.1f} | {share} |")


if __name__ == "__main__":
    if sys.argv[1] == "--enlarge":
        enlarge(sys.argv[2], sys.argv[3], sys.argv[4:])
    else:
        measure(sys.argv[1], sys.argv[2], sys.argv[3:])
