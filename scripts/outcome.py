#!/usr/bin/env python3
"""outcome.py: turns what marque writes for programs into what scripts/demo shows.

choose DATA FOLDER N      paths of up to N pictures of the test part, from all over its classes; FOLDER was imported
answers FILE DATA FOLDER  one line for each answer of `marque predict --json` in FILE
"""
import csv
import json
import sys
from pathlib import Path


def rows_of(data):
    with open(Path(data) / "split.csv", newline="") as file:
        return list(csv.DictReader(file))


def choose(data, folder, count):
    """Test pictures: the first of each class, then the second of each, thinned out to count."""
    groups = {}
    for row in rows_of(data):
        if row["split"] == "test":
            groups.setdefault(row["class"], []).append(row["file"])
    longest = max(map(len, groups.values()), default=0)
    turn = [files[i] for i in range(longest) for files in groups.values() if i < len(files)][:max(count, len(groups))]
    for name in turn[::max(1, len(turn) // count)][:count]:
        print(Path(folder) / name)


def show_answers(path, data, folder):
    classes = {str(Path(folder) / row["file"]): row["class"] for row in rows_of(data)}
    for line in Path(path).read_text().splitlines():
        answer = json.loads(line)
        truth = classes[answer["file"]]
        said = [f"{p['name']} {100 * p['confidence']:.1f} %" for p in answer["predictions"][:2]]
        right = said and answer["predictions"][0]["name"] == truth
        print(f"  {Path(answer['file']).name[:28]:<28}  {'right' if right else 'wrong':<6} is {truth}, said "
              f"{', '.join(said) or answer['error']}")


def main():
    if len(sys.argv) == 5 and sys.argv[1] == "choose":
        choose(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    elif len(sys.argv) == 5 and sys.argv[1] == "answers":
        show_answers(*sys.argv[2:])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
