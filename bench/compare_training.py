#!/usr/bin/env python3
"""Times a training step of the whole Xception (299 pixels, every layer, Adam) in marque, Keras and PyTorch in turns.

usage: compare_training.py [ROUNDS] [BATCH] [PRECISIONS]    (default: 3 16 bf16,f32)
Prints each round and the medians as a table with ratios to marque. BatchNorm on the batch's statistics (train), and for
marque also on the stored ones. Keras runs in .venv/oracle (scripts/test --oracle makes it), PyTorch in PEERS_TORCH or in
build/peers-torch, which this makes (some gigabytes)."""
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TORCH = ["torch==2.15.0", "timm==1.0.31"]


def torch_python():
    folder = Path(os.environ.get("PEERS_TORCH") or ROOT / "build/peers-torch")
    if not (folder / "bin/python").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin/pip", "install", "-q", *TORCH], check=True)
    return folder / "bin/python"


def programs(precision, batch, torch):
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    probe = [ROOT / "build/release/tests/train_probe", "--bench", cache / "marque/weights/xception.safetensors", precision,
             "299", "-"]
    peer = "bf16" if precision == "bf16" else "float32"
    return {"marque": [*probe, "train", batch, "3"],
            "marque, stored": [*probe, "stored", batch, "3"],
            "Keras": [ROOT / ".venv/oracle/bin/python", ROOT / "bench/peers/keras_xception.py", "train", peer, batch],
            "PyTorch": [torch, ROOT / "bench/peers/torch_xception.py", "train", peer, batch],
            "torch.compile": [torch, ROOT / "bench/peers/torch_xception.py", "train", peer, batch, "compile"]}


def images_a_second(argv):
    """Median of the steps, and peak memory in MB."""
    env = dict(os.environ, OMP_WAIT_POLICY="passive") if "train_probe" in str(argv[0]) else dict(os.environ)
    done = subprocess.run(["/usr/bin/env", "time", "-f", "peak %M", *map(str, argv)], capture_output=True, text=True, env=env)
    found = re.search(r"median ([\d.]+) img/s", done.stdout)
    if not found:
        return None, None
    return float(found.group(1)), int(re.search(r"peak (\d+)", done.stderr).group(1)) // 1024


def main():
    rounds, batch = int(sys.argv[1]) if len(sys.argv) > 1 else 3, sys.argv[2] if len(sys.argv) > 2 else "16"
    torch = torch_python()
    for precision in (sys.argv[3] if len(sys.argv) > 3 else "bf16,f32").split(","):
        paces, memory = {}, {}
        for turn in range(rounds):
            for name, argv in programs(precision, batch, torch).items():
                pace, peak = images_a_second(argv)
                if pace:
                    paces.setdefault(name, []).append(pace)
                    memory[name] = peak
                print(f"{precision} round {turn + 1}: {name}: {pace} img/s, {peak} MB", file=sys.stderr, flush=True)
        own = paces["marque"]
        print(f"\n{precision}, batch {batch}, {rounds} rounds in turns\n| program | img/s | marque is faster by | peak memory |\n"
              "|---|---|---|---|")
        for name, all_paces in paces.items():
            ratios = [mine / other for mine, other in zip(own, all_paces)]
            print(f"| {name} | {statistics.median(all_paces):.2f} | {statistics.median(ratios):.2f} "
                  f"({', '.join(f'{r:.2f}' for r in ratios)}) | {memory[name]} MB |")


if __name__ == "__main__":
    main()
