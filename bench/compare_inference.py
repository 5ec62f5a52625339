#!/usr/bin/env python3
"""compare_inference.py: pictures a second of Xception's forward pass, marque and Keras in turns in one run.

    bench/compare_inference.py [ROUNDS] [BATCH]

Wants build/release (with tests) and the virtual environment that `scripts/test --oracle` makes. The machine may be
shared: only the ratio within a round counts, so each round runs both, and the median of the rounds is printed.
"""
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROBE = ROOT / "build/release/tests/net_probe"
PYTHON = Path(os.environ.get("KERAS_PYTHON") or ROOT / ".venv/oracle/bin/python")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def images_per_second(command, pattern):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    return float(re.search(pattern, done.stdout).group(1))


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    batch = sys.argv[2] if len(sys.argv) > 2 else "16"
    weights = CACHE / "marque/weights/xception.safetensors"
    for ours, theirs in (("f32", "float32"), ("bf16", "bf16")):
        pairs = []
        for _ in range(rounds):
            marque = images_per_second([PROBE, "--bench", weights, ours, 299, batch], r"([\d.]+) img/s")
            keras = images_per_second([PYTHON, ROOT / "bench/peers/keras_xception.py", "infer", theirs, batch],
                                      r"best ([\d.]+)")
            pairs.append((marque, keras, marque / keras))
        marque, keras, ratio = (statistics.median(column) for column in zip(*pairs))
        spread = ", ".join(f"{pair[2]:.2f}" for pair in pairs)
        print(f"{ours:<5} batch {batch}: marque {marque:.1f} img/s, Keras {keras:.1f} img/s, ratio {ratio:.2f} ({spread})",
              flush=True)


if __name__ == "__main__":
    main()
