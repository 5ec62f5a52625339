#!/usr/bin/env python3
"""Times a training step of the whole Xception (299 pixels, every layer, Adam) in marque, Keras and PyTorch in turns.

usage: compare_training.py [ROUNDS] [BATCHES] [PRECISIONS] [NORMS]    (default: 3 32,16 bf16,f32 train,stored)
NORMS: batch norms on the batch's statistics (train) or on the stored ones. The machine may be shared: only ratios within a
round count. Prints each figure as it comes, then a table of medians and ratios for each combination.

Wants build/release (with tests). Keras runs in .venv/oracle (scripts/test --oracle makes it) or build/peers-keras, PyTorch
in PEERS_TORCH or build/peers-torch; what is missing below build is made with pip (some gigabytes). The first step of each
warms up or compiles and is not counted. marque's steps leave out the classifier, 0.03 % of the arithmetic."""
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TORCH = ["torch==2.15.0", "timm==1.0.31"]
KERAS = ["keras==3.15.1", "tensorflow-cpu==2.21.0"]
STEPS = "3"


def environment(folder, packages):
    """The interpreter of a virtual environment, made unless it is complete."""
    python, stamp = folder / "bin/python", folder / "complete"
    if python.exists() and (stamp.exists() or not folder.is_relative_to(ROOT / "build")):
        return python
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages], check=True)
    stamp.touch()
    return python


def peers():
    """The interpreters of Keras and PyTorch."""
    oracle = ROOT / ".venv/oracle"
    keras = oracle if (oracle / "bin/python").exists() else ROOT / "build/peers-keras"
    torch = Path(os.environ.get("PEERS_TORCH") or ROOT / "build/peers-torch")
    return environment(keras, KERAS), environment(torch, TORCH)


def programs(precision, batch, norm, interpreters):
    keras, torch = interpreters
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    peer = [norm, "bf16" if precision == "bf16" else "float32", batch]
    return {"marque": [ROOT / "build/release/tests/train_probe", "--bench", cache / "marque/weights/xception.safetensors",
                       precision, "299", "-", norm, batch, STEPS],
            "Keras": [keras, ROOT / "bench/peers/keras_xception.py", *peer],
            "PyTorch": [torch, ROOT / "bench/peers/torch_xception.py", *peer],
            "torch.compile": [torch, ROOT / "bench/peers/torch_xception.py", *peer, "compile"]}


def images_a_second(name, argv):
    """Median of the steps, and peak memory in MB; None twice and its last words when the program fails."""
    env = dict(os.environ, N=STEPS, **({"OMP_WAIT_POLICY": "passive"} if name == "marque" else {}))  # as marque sets it
    with subprocess.Popen([str(word) for word in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env=env) as child:
        output = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    found = re.search(r"median ([\d.]+) img/s", output)
    if child.returncode or not found:
        print(f"{name} failed: {output[-500:]}", file=sys.stderr)
        return None, None
    return float(found.group(1)), usage.ru_maxrss // 1024


def compare(title, rounds, contestants):
    paces, memory = {name: [] for name in contestants}, {}
    for turn in range(rounds):
        for name, argv in contestants.items():
            pace, peak = images_a_second(name, argv)
            paces[name].append(pace)
            memory[name] = max(peak or 0, memory.get(name, 0))
            print(f"{title}, round {turn + 1}: {name}: {pace} img/s, {peak} MB", file=sys.stderr, flush=True)
    print(f"\n{title}, {rounds} rounds in turns\n| program | img/s | marque is faster by | peak memory |\n|---|---|---|---|")
    for name, all_paces in paces.items():
        ratios = [own / other for own, other in zip(paces["marque"], all_paces) if own and other]
        if not ratios:
            print(f"| {name} | failed | | |", flush=True)
            continue
        print(f"| {name} | {statistics.median(filter(None, all_paces)):.2f} | {statistics.median(ratios):.2f} "
              f"({', '.join(f'{r:.2f}' for r in ratios)}) | {memory[name]} MB |", flush=True)


def main():
    words = sys.argv[1:] + ["3", "32,16", "bf16,f32", "train,stored"][len(sys.argv) - 1:]
    interpreters = peers()
    for batch in words[1].split(","):
        for precision in words[2].split(","):
            for norm in words[3].split(","):
                compare(f"{precision}, batch {batch}, norms {norm}", int(words[0]),
                        programs(precision, batch, norm, interpreters))


if __name__ == "__main__":
    main()
