#!/usr/bin/env python3
"""How import, split, scan and an epoch's order grow with the number of pictures: time and peak memory of each.

    python3 bench/growth.py FOLDER [--no-scan] [COUNT...] [--rows COUNT...]

Fashion-MNIST's 70,000 pictures where Debian's package dataset-fashion-mnist is installed, then COUNT synthetic pictures each
(28 x 28, ten classes, all different), written below FOLDER as TFRecord shards and imported from there. Fashion-MNIST is left
out where FOLDER has it, so a second call goes on with other counts. With --rows
lists of COUNT rows in their place: 400 boxes of each of COUNT / 400 pictures, and pictures that are not there; both as dry
runs. docs/RESULTS.md has the figures."""
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


def write_rows(folder, count):
    """A list that is imported, and one whose pictures are missing."""
    folder.mkdir(parents=True)
    boxes = [f"{x},{y},{x + 2},{y + 2}" for x in range(20) for y in range(20)]
    pictures = max(1, count // len(boxes))
    for i, (picture, _) in zip(range(pictures), synthetic(pictures)):
        (folder / f"{i:06}.png").write_bytes(picture)
    with (folder / "boxes.csv").open("w") as boxed, (folder / "missing.csv").open("w") as missing:
        boxed.write("path,label,x1,y1,x2,y2\n")
        missing.write("path,label\n" + "".join(f"{i:06}.png,kind {i % 2}\n" for i in range(min(2, pictures))))
        for i in range(count):
            boxed.write(f"{i % pictures:06}.png,kind {i % CLASSES},{boxes[i // pictures % len(boxes)]}\n")
            missing.write(f"none/{i:08}.png,kind {i % CLASSES}\n")


def measure_rows(folder, count):
    child = os.fork()
    if not child:
        write_rows(folder / f"rows-{count}", count)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit("the lists could not be written")
    for name, more in (("boxes", []), ("missing", ["--allow-missing"])):
        run(f"a list of {count:,} rows, {name}", "import", folder / f"rows-{count}/{name}.csv", "-o", folder / "none.mq", "--dry-run", *more)


def main():
    folder = Path(sys.argv[1])
    counts, _, rows = " ".join(sys.argv[2:]).partition("--rows")
    print("| what | seconds | of processor | peak MB |\n|---|---|---|---|", flush=True)
    if FASHION.is_dir() and not rows and not (folder / "fashion-70000").exists():
        measure(folder, "fashion-70000", fashion(), 70_000)
    for count in [int(word) for word in counts.split() if word.isdigit()]:
        measure(folder, f"synthetic-{count}", synthetic(count), count)
    for count in map(int, rows.split()):
        measure_rows(folder, count)


if __name__ == "__main__":
    main()
