"""eventfile.py: TensorBoard event files read without TensorBoard, for tests that run where it is not installed.

    for event in events(folder / "train"): ...   # Event(time, step, tag, value), in TensorBoard's order
"""
import struct
from dataclasses import dataclass

VARINT, BITS64, BYTES, BITS32 = 0, 1, 2, 5


@dataclass
class Event:
    time: float
    step: int
    tag: str  # "" for the file's version and the session's start
    value: float


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(path):
    """The data of each record; a cut file or a wrong checksum is a ValueError."""
    data, at = path.read_bytes(), 0
    while at < len(data):
        length, = struct.unpack_from("<Q", data, at)
        body = data[at + 12:at + 12 + length]
        sums = data[at + 8:at + 12] + data[at + 12 + length:at + 16 + length]
        if sums != struct.pack("<II", masked(data[at:at + 8]), masked(body)):
            raise ValueError(f"{path}: the record at byte {at} is not sound")
        yield body
        at += 16 + length


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fields(data):
    """{field number: content} of a message; the last of equal ones."""
    found, at = {}, 0
    while at < len(data):
        tag, at = varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == VARINT:
            found[number], at = varint(data, at)
            continue
        size = {BITS64: 8, BITS32: 4}.get(wire)
        if size is None:
            size, at = varint(data, at)
        found[number], at = data[at:at + size], at + size
    return found


def event(data):
    parts = fields(data)
    time, = struct.unpack("<d", parts[1])
    if 5 not in parts:
        return Event(time, parts.get(2, 0), "", 0.0)
    value = fields(fields(parts[5])[1])
    number, = struct.unpack("<f", fields(value[8])[4])
    return Event(time, parts.get(2, 0), value[1].decode(), number)


def events(folder):
    return [event(data) for path in sorted(folder.glob("*tfevents*")) for data in records(path)]
