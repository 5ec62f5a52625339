#!/usr/bin/env python3
"""outcome.py: turns what marque writes for programs into what scripts/demo shows.

sum EVAL.json             the figures of `marque eval --json` in words
choose DATA FOLDER N      paths of up to N pictures of the test part, from all over its classes; FOLDER was imported
answers PREDICTIONS.jsonl one line for each answer of `marque predict --json`
"""
import csv
import json
import sys
from pathlib import Path


def show_sum(path):
    figures = json.loads(Path(path).read_text())
    low, high = (100 * share for share in figures["top1_ci95"])
    print(f"{figures['images']:,} pictures it never saw, {figures['num_classes']} classes:")
    print(f"  right at once        {100 * figures['top1']:.1f} %   (95 % sure: {low:.0f} to {high:.0f} %)")
    if figures["num_classes"] > 5:
        print(f"  right within five    {100 * figures['top5']:.1f} %")
    print(f"  by chance it would be {100 / figures['num_classes']:.1f} %")


def choose(data, folder, count):
    """Test pictures from split.csv: the first of each class, then the second of each, thinned out to count."""
    groups = {}
    with open(Path(data) / "split.csv", newline="") as file:
        for row in csv.DictReader(file):
            if row["split"] == "test":
                groups.setdefault(row["class"], []).append(row["file"])
    longest = max(map(len, groups.values()), default=0)
    turn = [files[i] for i in range(longest) for files in groups.values() if i < len(files)][:max(count, len(groups))]
    for name in turn[::max(1, len(turn) // count)][:count]:
        print(Path(folder) / name)


def show_answers(path):
    for line in Path(path).read_text().splitlines():
        answer = json.loads(line)
        name = "/".join(Path(answer["file"]).parts[-2:])
        said = ", ".join(f"{p['name']} {100 * p['confidence']:.1f} %" for p in answer["predictions"][:2])
        print(f"  {name:<44} {said or answer['error']}")


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "sum":
        show_sum(sys.argv[2])
    elif len(sys.argv) == 5 and sys.argv[1] == "choose":
        choose(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    elif len(sys.argv) == 3 and sys.argv[1] == "answers":
        show_answers(sys.argv[2])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
