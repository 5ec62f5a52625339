#!/usr/bin/env python3
"""Writes tests/golden/bundle: .safetensors files by the reference implementation, and damaged ones.

    python3 tests/golden/make_bundle.py        (package safetensors, 0.4 to 0.6; no random numbers, no clock)

tests/unit/test_bundle.c writes the same tensors and compares byte by byte; every file bad_*.safetensors
must be refused with the words in bad.txt.
"""
import json
import pathlib
import struct

from safetensors import serialize

OUT = pathlib.Path(__file__).parent / "bundle"


def reference():
    """The tensors test_bundle.c builds: each type, an empty one, a scalar, a name that needs escapes."""
    def entry(dtype, shape, data):
        return {"dtype": dtype, "shape": shape, "data": data}
    tensors = {
        "zeta": entry("float32", [2, 3], struct.pack("<6f", 0.5, -1, 2, 3, -4, 5.25)),
        "alpha": entry("float32", [], struct.pack("<f", 7)),
        "count": entry("int64", [1], struct.pack("<q", -2)),
        "labels": entry("int32", [3], struct.pack("<3i", 1, -1, 1 << 30)),
        "half": entry("bfloat16", [2], struct.pack("<2H", 0x3f80, 0xc000)),
        "bytes": entry("uint8", [5], bytes([0, 1, 2, 254, 255])),
        "empty": entry("float32", [0, 4], b""),
        "é\n\"\\\x01/": entry("uint8", [1], b"x"),
    }
    return serialize(tensors, {"text": "Ram C/V\t\"quoted\" é\x7f"})


def stream(header, data=b"", size=None):
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def tensor(begin, end, shape=None, dtype="F32"):
    return {"dtype": dtype, "shape": [(end - begin) // 4] if shape is None else shape, "data_offsets": [begin, end]}


BAD = {
    "short": (b"\0" * 7, "are no .safetensors file"),
    "huge_header": (stream(b"{}", size=1 << 40), "cut in its header"),
    "cut_header": (stream(b'{"a":', size=64), "cut in its header"),
    "no_brace": (stream(b" {}"), "not a .safetensors file"),
    "no_json": (stream(b'{"a"}'), "expected"),
    "trailing": (stream(b"{} x"), "expected"),
    "twice": (stream(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
                     b'"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"x"), "duplicate"),
    "hole": (stream({"a": tensor(0, 4), "b": tensor(8, 12)}, b"x" * 12), "tensor b does not begin where"),
    "overlap": (stream({"a": tensor(0, 8), "b": tensor(4, 12)}, b"x" * 12), "tensor b does not begin where"),
    "start": (stream({"a": tensor(4, 8)}, b"x" * 8), "tensor a does not begin where"),
    "cut_data": (stream({"a": tensor(0, 8)}, b"x" * 7), "cut or damaged"),
    "more_data": (stream({"a": tensor(0, 8)}, b"x" * 9), "cut or damaged"),
    "shape": (stream({"a": tensor(0, 8, [3])}, b"x" * 8), "tensor a: its shape does not fit"),
    "overflow": (stream({"a": tensor(0, 4, [1 << 32, 1 << 32])}, b"x" * 4), "tensor a: its shape does not fit"),
    "negative": (stream({"a": tensor(0, 4, [-1, -1])}, b"x" * 4), "negative dimension"),
    "backwards": (stream({"a": tensor(4, 0, [0])}, b"x" * 4), "does not fit its place"),
    "real": (stream({"a": tensor(0, 4, [1.0])}, b"x" * 4), "Expected integer"),
    "no_list": (stream({"a": tensor(0, 4, {})}, b"x" * 4), "Expected array"),
    "rank": (stream({"a": tensor(0, 4, [1] * 9)}, b"x" * 4), "9 dimensions"),
    "dtype": (stream({"a": tensor(0, 4, [1], "F128")}, b"x" * 4), "type F128, which marque does not read"),
    "unaligned": (stream({"a": tensor(0, 1, [1], "U8"), "b": tensor(1, 5)}, b"x" * 5), "multiple of its elements"),
    "extra_member": (stream({"a": dict(tensor(0, 4), more=1)}, b"x" * 4), "unpacked"),
    "meta_number": (stream({"__metadata__": {"k": 1}}), "its metadata k is not text"),
    "meta_list": (stream({"__metadata__": []}), "Expected object"),
}


def main():
    OUT.mkdir(exist_ok=True)
    (OUT / "reference.safetensors").write_bytes(reference())
    for name, (data, _) in BAD.items():
        (OUT / f"bad_{name}.safetensors").write_bytes(data)
    (OUT / "bad.txt").write_text("".join(f"{name} {words}\n" for name, (_, words) in BAD.items()))


if __name__ == "__main__":
    main()
