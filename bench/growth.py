#!/usr/bin/env python3
"""How import, split, scan and an epoch's order grow with the number of pictures: time and peak memory of each.

    python3 bench/growth.py FOLDER [COUNT...]

Fashion-MNIST's 70,000 pictures where Debian's package dataset-fashion-mnist is installed, then COUNT synthetic pictures each
(28 x 28, ten classes, all different), written below FOLDER as TFRecord shards and imported from there. docs/RESULTS.md has
the figures."""
import gzip
import os
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MARQUE = ROOT / "build/release/marque"
FASHION = Path("/usr/share/datasets/fashion-mnist")
SIDE, CLASSES, SHARD = 28, 10, 100_000


def crc_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)
    return table


TABLE = crc_table()


def masked(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def png(grey):
    raw = b"".join(b"\0" + grey[i:i + SIDE] for i in range(0, SIDE * SIDE, SIDE))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))  # noqa: E731
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", SIDE, SIDE, 8, 0, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(raw, 1)) + chunk(b"IEND", b""))


def field(number, data):
    size, n = b"", len(data)
    while n > 127:
        size, n = size + bytes([n & 127 | 128]), n >> 7
    return bytes([number << 3 | 2]) + size + bytes([n]) + data


def entry(name, kind, value):
    return field(1, field(1, name) + field(2, field(kind, field(1, value))))


def record(picture, label):
    data = field(1, entry(b"image/encoded", 1, picture) + entry(b"image/class/label", 3, bytes([label + 1])))
    head = struct.pack("<Q", len(data))
    return head + struct.pack("<I", masked(head)) + data + struct.pack("<I", masked(data))


def synthetic(count):
    """Flat grey with its number in it: small and all different."""
    for i in range(count):
        yield png(struct.pack("<Q", i) + bytes([i % 251]) * (SIDE * SIDE - 8)), i % CLASSES


def fashion():
    for part in ("train", "t10k"):
        pixels = gzip.decompress((FASHION / f"{part}-images-idx3-ubyte.gz").read_bytes())[16:]
        labels = gzip.decompress((FASHION / f"{part}-labels-idx1-ubyte.gz").read_bytes())[8:]
        for i, label in enumerate(labels):
            yield png(pixels[i * SIDE * SIDE:(i + 1) * SIDE * SIDE]), label


def write(folder, pictures, count):
    folder.mkdir(parents=True)
    shards = (count + SHARD - 1) // SHARD
    pictures = iter(pictures)
    for shard in range(shards):
        with (folder / f"all-{shard:05}-of-{shards:05}.tfrecord").open("wb") as file:
            for _ in range(min(SHARD, count - shard * SHARD)):
                file.write(record(*next(pictures)))


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
    write(folder / name, pictures, count)
    run(f"import and split, {name}", "import", folder / name, "-o", folder / f"{name}.mq")
    run(f"scan, {name}", "scan", folder / f"{name}.mq", "-o", folder / f"{name}-report")
    run(f"an order of the training part, and 5 s of loading, {name}", "bench", folder / f"{name}.mq", "--imgsz", SIDE)


def main():
    folder = Path(sys.argv[1])
    print("| what | seconds | of processor | peak MB |\n|---|---|---|---|", flush=True)
    if FASHION.is_dir():
        measure(folder, "fashion-70000", fashion(), 70_000)
    for count in map(int, sys.argv[2:]):
        measure(folder, f"synthetic-{count}", synthetic(count), count)


if __name__ == "__main__":
    main()
