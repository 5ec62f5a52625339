#!/usr/bin/env python3
"""What balanced sampling, class weights and label smoothing do on uneven classes: one table on stdout.

usage: MARQUE_CARS=... bench/imbalance.py [FOLDER [OPTION...]]
FOLDER: where the data set and the runs go; else a temporary one. OPTION: more for marque train, as --epochs 5.
Stanford Cars (MARQUE_CARS, with cars_subset.csv): of every class 8 pictures are the test part; of every other class all the
rest are trained on, of the classes between them 3. The classifier alone is trained, on the frozen network, with three
seeds each. Recalls are means over classes: of all, of those with many pictures, of those with 3.
"""
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

CLASSES, TEST, FEW, SEEDS = 60, 8, 3, (1, 2, 3)
TRAIN = ["--stages", "head:20@1e-3", "--imgsz", "149"]
SETTINGS = [[], ["--sampling", "balanced"], ["--class-weights", "balanced"], ["--label-smoothing", "0.1"],
            ["--sampling", "balanced", "--label-smoothing", "0.1"]]


def make_pictures(folder, cars):
    """Copies of the pictures by class, and split.csv. Returns the names of the classes that keep few."""
    classes = {}
    with open(cars / "cars_subset.csv", newline="") as file:
        for row in csv.DictReader(file):
            classes.setdefault(row["class_name"].replace("/", " "), []).append(cars / row["filename"])
    rows, rare = [], set()
    for number, name in enumerate(sorted(classes)[:CLASSES]):
        few = number % 2
        rare.update([name] if few else [])
        (folder / "pictures" / name).mkdir(parents=True)
        for i, path in enumerate(classes[name][:TEST + FEW if few else None]):
            shutil.copy(path, folder / "pictures" / name)
            rows.append((f"{name}/{path.name}", "test" if i < TEST else "train"))
    with open(folder / "split.csv", "w", newline="") as file:
        csv.writer(file).writerows([("path", "split"), *rows])
    return rare


def marque(folder, *args):
    done = subprocess.run([os.environ.get("MARQUE_BIN", "marque"), *args], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def recalls(folder, settings, seed, rare):
    run = "-".join(["run", *(word.strip("-") for word in settings), str(seed)])
    marque(folder, "train", "data.mq", *TRAIN, *sys.argv[2:], "--seed", str(seed), "-o", run, *settings)
    result = json.loads(marque(folder, "eval", run, "--json"))
    of = {row["name"]: row["recall"] for row in result["per_class"]}
    return (result["macro"]["recall"], statistics.mean(r for name, r in of.items() if name not in rare),
            statistics.mean(r for name, r in of.items() if name in rare), result["loss"])


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="imbalance-")).resolve()
    rare = make_pictures(folder, Path(os.environ["MARQUE_CARS"]))
    marque(folder, "import", "pictures", "-o", "data.mq", "--split-file", "split.csv", "--val", "0")
    print("| settings | recall, all | many pictures | 3 pictures | loss |\n|---|---|---|---|---|")
    for settings in SETTINGS:
        each = list(zip(*(recalls(folder, settings, seed, rare) for seed in SEEDS)))
        cells = [f"{100 * statistics.mean(v):.1f} % (+-{100 * statistics.stdev(v):.1f})" for v in each[:3]]
        print(f"| `{' '.join(settings) or 'none'}` | {' | '.join(cells)} | {statistics.mean(each[3]):.2f} |", flush=True)


if __name__ == "__main__":
    main()
