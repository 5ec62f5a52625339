#!/usr/bin/env python3
"""Writes tests/golden/mat: MATLAB files for tests/unit/test_mat.c, and checks them with scipy.

    python3 tests/golden/make_mat.py        (package scipy; no random numbers, no clock)

squeezed.mat   as MATLAB writes Stanford Cars: compressed, numbers in the smallest type
plain.mat      the same, not compressed
scipy.mat      the same by scipy: doubles as doubles
kinds.mat      number types, text in UTF-8, UTF-16 and one byte, an empty cell, nested cells
level4.mat     level 4
deep.mat       cells nested deeper than the reader goes
bomb.mat       72 MB of zeros, compressed
"""
import pathlib
import struct
import sys
import zlib

import numpy as np
import scipy.io

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import matfile  # noqa: E402

OUT = pathlib.Path(__file__).parent / "mat"
FIELDS = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")
ROWS = [(39, 116, 569, 375, 1, "00001.jpg"), (36, 116, 868, 587, 196, "00002.jpg"),
        (0, 4, 70000, 2.5, 3, "fünf €.jpg")]
NAMES = ["AM General Hummer SUV 2000", "Ram C/V Cargo Van Minivan 2012", "smart fortwo Convertible 2012"]


def cars():
    return {"annotations": [dict(zip(FIELDS, row)) for row in ROWS], "class_names": NAMES}


def by_scipy():
    rows = np.array([row for row in ROWS], dtype=[(f, object) for f in FIELDS]).reshape(1, -1)
    return {"annotations": rows, "class_names": np.array(NAMES, dtype=object).reshape(1, -1)}


def kinds():
    text = "a€\U0001F697"
    values = {
        "int8": (8, 1, "<b", -5), "int16": (10, 3, "<h", -300), "uint16": (11, 4, "<H", 65535),
        "int32": (12, 5, "<i", -70000), "uint32": (13, 6, "<I", 4000000000), "single": (7, 7, "<f", 0.5),
        "double": (6, 9, "<d", -1.25), "int64": (14, 12, "<q", -1 << 40), "uint64": (15, 13, "<Q", 1 << 50),
    }
    out = b"MATLAB 5.0 MAT-file, written by a test".ljust(124) + struct.pack("<H2s", 0x0100, b"IM")
    for name, (kind, stored, form, value) in values.items():
        out += matfile.matrix(kind, (1, 1), name, matfile.element(stored, struct.pack(form, value)))
    units = text.encode("utf-16-le")
    out += matfile.matrix(4, (1, len(units) // 2), "utf16", matfile.element(17, units))
    out += matfile.matrix(4, (1, 3), "utf8", matfile.element(16, text.encode()))
    out += matfile.matrix(4, (1, 2), "narrow", matfile.element(2, "aé".encode("latin-1")))
    empty = matfile.matrix(1, (1, 2), "cells", matfile.element(14, b"") + matfile.number(7))
    return out + empty + matfile.encode([["x", ["y"]]], "nested")


def save(name, data):
    (OUT / name).write_bytes(data)


OUT.mkdir(exist_ok=True)
save("squeezed.mat", matfile.write(cars()))
save("plain.mat", matfile.write(cars(), compressed=False))
save("kinds.mat", kinds())
scipy.io.savemat(OUT / "scipy.mat", by_scipy(), do_compression=True)
head = (OUT / "scipy.mat").read_bytes()
save("scipy.mat", b"MATLAB 5.0 MAT-file, written by scipy".ljust(116) + head[116:])  # its text holds the time
scipy.io.savemat(OUT / "level4.mat", {"x": np.arange(6.0)}, format="4")
deep = "bottom"
for _ in range(9):
    deep = [deep]
save("deep.mat", matfile.write({"deep": deep}))
bomb = zlib.compress(struct.pack("<II", 14, 72 << 20) + bytes(72 << 20), 9)
save("bomb.mat", matfile.write({}) + struct.pack("<II", 15, len(bomb)) + bomb)

for name in ("squeezed.mat", "plain.mat", "scipy.mat"):
    read = scipy.io.loadmat(OUT / name, squeeze_me=True)
    assert [tuple(row) for row in read["annotations"]] == ROWS, name
    assert list(read["class_names"]) == NAMES, name
read = scipy.io.loadmat(OUT / "kinds.mat", squeeze_me=True, variable_names=["int64", "utf8"])
assert read["int64"] == -1 << 40 and read["utf8"] == "a€\U0001F697", read
