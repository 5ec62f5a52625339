#!/usr/bin/env python3
"""What `marque clean` finds of planted wrong labels, beside cleanlab. docs/CLEANING.md has the commands and the figures.

    python3 bench/compare_clean.py TRUTH.csv EDITS.csv PROBE.safetensors NAMES.txt [--sklearn]

TRUTH.csv: of bench/plant_labels.py. EDITS.csv: of marque clean. PROBE.safetensors and NAMES.txt: what clean_probe wrote and
printed: features, labels and out-of-fold answers. cleanlab judges the same answers, and with --sklearn those of
scikit-learn's logistic regression on the same features, by the same penalty. Needs cleanlab, scikit-learn and numpy.
"""
import argparse
import csv
import json
import struct
from pathlib import Path

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

FILTERS = ("confident_learning", "prune_by_noise_rate", "prune_by_class", "both")
L2 = 0.05  # of src/curate/confident.c
SCORES = (0.1, 0.2, 0.3, 0.5, 0.7)


def read_tensors(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    head = json.loads(data[8:8 + size])
    kinds = {"F32": "<f4", "I32": "<i4"}
    return {name: np.frombuffer(data[8 + size:][slice(*one["data_offsets"])], kinds[one["dtype"]]).reshape(one["shape"])
            for name, one in head.items() if name != "__metadata__"}


def tell(what, found, wrong):
    hits = int((found & wrong).sum())
    print(f"| {what} | {int(found.sum())} | {hits / max(1, found.sum()):.2f} | {hits / wrong.sum():.2f} |", flush=True)


def marque(names, wrong, rows, truth):
    labels = {row["picture"]: row for row in rows if row["reason"] == "doubtful label"}
    for least in SCORES:
        tell(f"marque clean, score from {least}",
             np.array([name in labels and float(labels[name]["score"]) >= least for name in names]), wrong)
    for action in ("drop", "relabel"):
        tell(f"marque clean, proposed: {action}", np.array([labels.get(name, {}).get("action") == action for name in names]),
             wrong)
    relabelled = [row for row in labels.values() if row["action"] == "relabel"]
    right = sum(truth.get(row["picture"]) == row["suggestion"] for row in relabelled)
    print(f"relabelled to the true class: {right} of {len(relabelled)}")


def cleanlab(what, labels, answers, wrong):
    for how in FILTERS:
        tell(f"cleanlab, {what}, {how}", find_label_issues(labels, answers, filter_by=how, n_jobs=1), wrong)
    quality = get_label_quality_scores(labels, answers, method="self_confidence")
    found = np.zeros(len(labels), bool)
    found[np.argsort(quality, kind="stable")[:wrong.sum()]] = True
    tell(f"cleanlab, {what}, the {wrong.sum()} lowest self-confidences", found, wrong)


def regress(rows, labels):
    """Out-of-fold answers of scikit-learn on standardised features."""
    spread = rows.std(0)
    x = (rows - rows.mean(0)) / np.where(spread > 0, spread, 1)
    answers = np.zeros((len(x), labels.max() + 1), np.float32)
    for learn, answer in StratifiedKFold(5, shuffle=True, random_state=123).split(x, labels):
        model = LogisticRegression(C=1 / (L2 * len(learn)), max_iter=200).fit(x[learn], labels[learn])
        answers[answer] = model.predict_proba(x[answer])
    return answers


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("truth", "edits", "probe", "names"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--sklearn", action="store_true")
    args = parser.parse_args()
    names = args.names.read_text().splitlines()
    with args.truth.open(newline="") as file:
        truth = {row["path"]: row["label"] for row in csv.DictReader(file)}
    with args.edits.open(newline="") as file:
        rows = list(csv.DictReader(file))
    tensors = read_tensors(args.probe)
    wrong = np.array([name in truth for name in names])
    print(f"{len(names)} pictures, {wrong.sum()} wrong labels\n\n| what | found | precision | recall |\n|---|---|---|---|")
    marque(names, wrong, rows, truth)
    cleanlab("same answers", tensors["labels"], tensors["p"], wrong)
    if args.sklearn:
        cleanlab("scikit-learn's answers", tensors["labels"], regress(tensors["rows"], tensors["labels"]), wrong)


if __name__ == "__main__":
    main()
