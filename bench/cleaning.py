#!/usr/bin/env python3
"""What marque scan and marque clean find of planted copies and wrong labels, beside cleanlab and imagededup on the same pictures.

    python3 bench/cleaning.py PICTURES/list.csv FOLDER [--imgsz 299] [--threads 2] [--seed 1]

Plants both by bench/plant.py in FOLDER/planted, imports that, runs marque, then the others: imagededup by its hashes at its own
limit of 10 bits on the same pictures, and by its comparison of features at its own cosine of 0.9 on the features that marque has
computed; cleanlab on the out-of-fold answers of marque's classifier. Prints a table of what was found, precision, recall, seconds
of the clock and of the processor, and peak memory, and one of the kinds of copies. Precision counts what was planted alone.
Needs Pillow, numpy, cleanlab and imagededup; the release build with its tests. docs/RESULTS.md has the figures.
"""
import argparse
import csv
import itertools
import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

from plant import place

BUILD = Path(__file__).resolve().parents[1] / "build/release"
LABEL = "doubtful label"
BITS, COSINE = 10, 0.9  # of imagededup
SCORES = (0.1, 0.2, 0.5, 0.7)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def measure(words, **options):
    """Runs a command: what it printed, and its cost as the table tells it."""
    start = time.monotonic()
    with subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, **options) as child:
        told = child.stdout.read()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{words[0]} ended with {child.returncode}")
    return told.decode(), f"{time.monotonic() - start:.0f} | {used.ru_utime + used.ru_stime:.0f} | {used.ru_maxrss / 1024:.0f}"


# The peers: each runs in a process of its own, reads FOLDER and prints JSON.

def read_tensors(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    kinds = {"F32": "<f4", "I32": "<i4"}
    import numpy
    return {name: numpy.frombuffer(data[8 + size:][slice(*one["data_offsets"])], kinds[one["dtype"]]).reshape(one["shape"])
            for name, one in json.loads(data[8:8 + size]).items() if name != "__metadata__"}


def peer_hash(folder, name):
    from imagededup import methods
    found = getattr(methods, name)(verbose=False).find_duplicates(
        image_dir=str(folder / "flat"), max_distance_threshold=BITS, num_enc_workers=1, num_dist_workers=1)
    return sorted({tuple(sorted((a, b))) for a, others in found.items() for b in others})


def peer_cosine(folder, _):
    import torch
    from imagededup.methods import CNN
    from imagededup.utils import CustomModel
    rows = read_tensors(folder / "probe.safetensors")["rows"]
    names = [name.replace("/", "~") for name in (folder / "names.txt").read_text().splitlines()]
    none = CustomModel(model=torch.nn.Identity(), transform=lambda picture: picture, name="features of marque")
    found = CNN(verbose=False, model_config=none).find_duplicates(
        encoding_map=dict(zip(names, rows)), min_similarity_threshold=COSINE, num_sim_workers=0)
    return sorted({tuple(sorted((str(a), str(b)))) for a, others in found.items() for b in others})


def peer_labels(folder, name):
    import numpy
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores
    tensors = read_tensors(folder / "probe.safetensors")
    labels, answers = tensors["labels"], tensors["p"]
    if name.isdigit():
        quality = get_label_quality_scores(labels, answers, method="self_confidence")
        return [int(i) for i in numpy.argsort(quality, kind="stable")[:int(name)]]
    return [int(i) for i in numpy.flatnonzero(find_label_issues(labels, answers, filter_by=name, n_jobs=1))]


PEERS = {"hash": peer_hash, "cosine": peer_cosine, "labels": peer_labels}


def ask(folder, peer, name=""):
    told, cost = measure([sys.executable, __file__, "--peer", peer, name or "-", folder], stderr=subprocess.DEVNULL)
    return json.loads(told.splitlines()[-1]), cost


# The table.

def tell(what, found, truth, cost):
    hits = len(found & truth)
    print(f"| {what} | {len(found)} | {hits} of {len(truth)} | {hits / max(1, len(found)):.2f} | {hits / len(truth):.2f} | "
          f"{cost} |", flush=True)


def pairs_of(groups):
    return {frozenset(pair) for group in groups for pair in itertools.combinations(group, 2)}


def tell_copies(folder, scan, edits, scan_cost, clean_cost):
    copies = rows_of(folder / "planted/copies.csv")
    truth = {frozenset((row["copy"], row["original"])): row["kind"] for row in copies}
    groups = json.loads(scan.read_text())["groups"]
    found = {"marque scan": (pairs_of([one["file"] for one in group["pictures"]] for group in groups), scan_cost),
             "marque clean": ({frozenset((row["picture"], row["copy_of"])) for row in edits if row["copy_of"]}, clean_cost)}
    for what, peer, name in (("imagededup PHash", "hash", "PHash"), ("imagededup DHash", "hash", "DHash"),
                             ("imagededup CNN's search, marque's features", "cosine", "")):
        pairs, cost = ask(folder, peer, name)
        found[what] = {frozenset(one.replace("~", "/") for one in pair) for pair in pairs}, cost
    for what, (pairs, cost) in found.items():
        tell(f"copies: {what}", pairs, set(truth), cost)
    return truth, {what: pairs for what, (pairs, _) in found.items()}


def tell_labels(folder, edits, clean_cost):
    truth = {row["path"]: row["label"] for row in rows_of(folder / "planted/labels.csv")}
    doubts = [row for row in edits if row["reason"] == LABEL]
    for least in SCORES:
        tell(f"labels: marque clean, score from {least}", {row["picture"] for row in doubts if float(row["score"]) >= least},
             set(truth), clean_cost)
    changed = [row for row in doubts if row["action"] != "keep"]
    tell("labels: marque clean, proposed to be changed", {row["picture"] for row in changed}, set(truth), clean_cost)
    names = (folder / "names.txt").read_text().splitlines()
    for what, name in (("confident_learning", "confident_learning"), ("prune_by_noise_rate", "prune_by_noise_rate"),
                       ("both", "both"), (f"the {len(truth)} lowest self-confidences", str(len(truth)))):
        found, cost = ask(folder, "labels", name)
        tell(f"labels: cleanlab, {what}", {names[i] for i in found}, set(truth), cost)
    moved = [row for row in doubts if row["action"] == "relabel"]
    return f"relabelled to the true class: {sum(truth.get(row['picture']) == row['suggestion'] for row in moved)} of {len(moved)}"


def tell_kinds(truth, found):
    kinds = list(dict.fromkeys(truth.values()))
    print(f"\n| planted copies found | {' | '.join(kinds)} |\n|{'---|' * (1 + len(kinds))}")
    for what, pairs in found.items():
        counts = (f"{sum(k == kind and pair in pairs for pair, k in truth.items())} of {sum(k == kind for k in truth.values())}"
                  for kind in kinds)
        print(f"| {what} | {' | '.join(counts)} |")


def main():
    if sys.argv[1:2] == ["--peer"]:
        return print("\n" + json.dumps(PEERS[sys.argv[2]](Path(sys.argv[4]), sys.argv[3])))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("list", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--imgsz", type=int, default=299)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args()
    folder, marque, threads = words.folder, BUILD / "marque", ("--threads", words.threads)
    planted, data, edits, report = (folder / name for name in ("planted", "planted.mq", "edits.csv", "report"))
    told, _ = measure([sys.executable, Path(__file__).with_name("plant.py"), words.list, planted, "--seed", words.seed])
    print(told)
    measure([marque, "import", planted / "list.csv", "-o", data, "--val", 0, "--test", 0, "-j", words.threads])
    for row in rows_of(planted / "list.csv"):
        place(planted / row["path"], folder / "flat" / row["path"].replace("/", "~"))
    clean_cost = measure([marque, "clean", data, "-o", edits, "--imgsz", words.imgsz, *threads])[1]
    scan_cost = measure([marque, "scan", data, "-o", report, *threads])[1]
    weights = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "marque/weights/xception.safetensors"
    names, _ = measure([BUILD / "tests/clean_probe", weights, data, words.imgsz, folder / "probe.safetensors"])
    (folder / "names.txt").write_text(names)
    print("| what | found | planted ones | precision | recall | seconds | of processor | peak MB |\n|---|---|---|---|---|---|---|---|")
    truth, found = tell_copies(folder, report / "scan.json", rows_of(edits), scan_cost, clean_cost)
    moved = tell_labels(folder, rows_of(edits), clean_cost)
    tell_kinds(truth, found)
    print(f"\n{moved}")


if __name__ == "__main__":
    main()
