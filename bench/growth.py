#!/usr/bin/env python3
"""How import, split, scan and an epoch's order grow with the number of pictures: time and peak memory of each.

    python3 bench/growth.py FOLDER [--no-scan] [COUNT...]

Fashion-MNIST's 70,000 pictures where Debian's package dataset-fashion-mnist is installed, then COUNT synthetic pictures each
(28 x 28, ten classes, all different), written below FOLDER as TFRecord shards and imported from there. Fashion-MNIST is left out
where FOLDER has it, so a second call goes on with other counts. docs/RESULTS.md has the figures."""
import gzip
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from pictures import png_of  # noqa: E402
from recordfile import example, frame  # noqa: E402

MARQUE = ROOT / "build/release/marque"
FASHION = Path("/usr/share/datasets/fashion-mnist")
SIDE, CLASSES, SHARD = 28, 10, 100_000


def synthetic(count):
    """Flat grey with its number in it: small and all different."""
    for i in range(count):
        yield png_of(SIDE, SIDE, struct.pack("<Q", i) + bytes([i % 251]) * (SIDE * SIDE - 8), grey=True), i % CLASSES


def fashion():
    for part in ("train", "t10k"):
        pixels = gzip.decompress((FASHION / f"{part}-images-idx3-ubyte.gz").read_bytes())[16:]
        labels = gzip.decompress((FASHION / f"{part}-labels-idx1-ubyte.gz").read_bytes())[8:]
        for i, label in enumerate(labels):
            yield png_of(SIDE, SIDE, pixels[i * SIDE * SIDE:(i + 1) * SIDE * SIDE], grey=True), label


def write(folder, pictures, count):
    folder.mkdir(parents=True)
    shards = (count + SHARD - 1) // SHARD
    pictures = iter(pictures)
    for shard in range(shards):
        with (folder / f"all-{shard:05}-of-{shards:05}.tfrecord").open("wb") as file:
            for _ in range(min(SHARD, count - shard * SHARD)):
                picture, label = next(pictures)
                file.write(frame(example({"image/encoded": [picture], "image/class/label": [int(label) + 1]})))


def run(what, *words):
    start = time.monotonic()
    with subprocess.Popen([MARQUE, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as child:
        told = child.stderr.read()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    print(f"| {what} | {time.monotonic() - start:.1f} | {used.ru_utime + used.ru_stime:.1f} | {used.ru_maxrss / 1024:.0f} |", flush=True)
    if child.returncode:
        sys.exit(f"{what} failed: {told.decode()[-500:]}")


def measure(folder, name, pictures, count):
    """The pictures are written by a process of their own: a child's peak begins with the memory of who started it."""
    child = os.fork()
    if not child:
        write(folder / name, pictures, count)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(f"{name}: its pictures could not be written")
    run(f"import and split, {name}", "import", folder / name, "-o", folder / f"{name}.mq")
    if "--no-scan" not in sys.argv:
        run(f"scan, {name}", "scan", folder / f"{name}.mq", "-o", folder / f"{name}-report")
    run(f"an order of the training part, and 5 s of loading, {name}", "bench", folder / f"{name}.mq", "--imgsz", SIDE)


def main():
    folder = Path(sys.argv[1])
    print("| what | seconds | of processor | peak MB |\n|---|---|---|---|", flush=True)
    if FASHION.is_dir() and not (folder / "fashion-70000").exists():
        measure(folder, "fashion-70000", fashion(), 70_000)
    for count in [int(word) for word in sys.argv[2:] if word.isdigit()]:
        measure(folder, f"synthetic-{count}", synthetic(count), count)


if __name__ == "__main__":
    main()
