"""matfile.py: writes MATLAB files of level 5 the way MATLAB does: numbers in the smallest type that holds them, small
elements inside their tag, each variable compressed. For golden data and tests; the standard library is enough.

    data = matfile.write({"annotations": [{"bbox_x1": 39, "fname": "00001.jpg"}], "class_names": ["a", "b"]})

A list of dicts is a struct array, another list a row of cells, a str text, a number a double.
"""
import struct
import zlib

INT8, UINT8, INT16, UINT16, INT32, UINT32, DOUBLE, MATRIX, COMPRESSED, UTF8 = 1, 2, 3, 4, 5, 6, 9, 14, 15, 16
CELL, STRUCT, CHAR, NUMBERS = 1, 2, 4, 6


def element(kind, data):
    if len(data) <= 4 and kind != MATRIX:
        return struct.pack("<HH", kind, len(data)) + data.ljust(4, b"\0")
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def matrix(kind, dims, name, body):
    return element(MATRIX, element(UINT32, struct.pack("<II", kind, 0)) + element(INT32, struct.pack("<2i", *dims)) +
                   element(INT8, name.encode()) + body)


def number(value, name=""):
    if value != int(value):
        body = element(DOUBLE, struct.pack("<d", value))
    elif 0 <= value < 256:
        body = element(UINT8, struct.pack("<B", int(value)))
    elif 0 <= value < 65536:
        body = element(UINT16, struct.pack("<H", int(value)))
    else:
        body = element(INT32, struct.pack("<i", int(value)))
    return matrix(NUMBERS, (1, 1), name, body)


def text(value, name=""):
    return matrix(CHAR, (1, len(value)), name, element(UTF8, value.encode("utf-8", "surrogateescape")))


def encode(value, name=""):
    if isinstance(value, str):
        return text(value, name)
    if not isinstance(value, list):
        return number(value, name)
    if not value or not isinstance(value[0], dict):
        return matrix(CELL, (1, len(value)), name, b"".join(map(encode, value)))
    fields = list(value[0])
    length = max(map(len, fields)) + 1
    head = element(INT32, struct.pack("<i", length)) + element(INT8, b"".join(
        f.encode().ljust(length, b"\0") for f in fields))
    return matrix(STRUCT, (1, len(value)), name, head + b"".join(encode(row[f]) for row in value for f in fields))


def write(variables, compressed=True):
    out = b"MATLAB 5.0 MAT-file, written by a test".ljust(124) + struct.pack("<H2s", 0x0100, b"IM")
    for name, value in variables.items():
        data = encode(value, name)
        if compressed:
            packed = zlib.compress(data, 9)
            data = struct.pack("<II", COMPRESSED, len(packed)) + packed
        out += data
    return out
