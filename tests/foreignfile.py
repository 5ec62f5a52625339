"""foreignfile.py: TIFF, BMP and GIF written byte by byte, from rows of pixels (tuples of channels)."""
import struct
import zlib


def shades(width, height, levels=256):
    """Rows of RGB pixels, all different from their neighbours; with levels, of no more values a channel."""
    step = max(1, 256 // levels)
    return [[tuple(v * 7 % 256 // step * step for v in (x * 5 + y, 3 * y + 2 * x + 9, x * y + 40)) for x in range(width)]
            for y in range(height)]


def tiff(rows, order="<", bits=8, photometric=None, extra=None, turn=1, pages=1, sample=1, size=None, packing=1):
    """One strip; packing: its compression, 1 none, 8 deflate, 32773 PackBits. extra: the meaning of a fourth channel (2: alpha);
    size: what the header claims."""
    channels = len(rows[0][0])
    if photometric is None:
        photometric = 2 if channels >= 3 else 1
    code = {8: "B", 16: "H", 32: "I"}[bits]
    data = b"".join(struct.pack(f"{order}{len(p)}{code}", *p) for row in rows for p in row)
    if packing == 8:
        data = zlib.compress(data)
    elif packing == 32773:  # runs of literal bytes alone
        data = b"".join(bytes([len(data[at:at + 128]) - 1]) + data[at:at + 128] for at in range(0, len(data), 128))
    out = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8 + len(data) + len(data) % 2))
    out += data + b"\0" * (len(data) % 2)
    width, height = size or (len(rows[0]), len(rows))
    for page in range(pages):
        tags = [(256, 4, [width]), (257, 4, [height]), (258, 3, [bits] * channels), (259, 3, [packing]), (262, 3, [photometric]),
                (273, 4, [8]), (274, 3, [turn]), (277, 3, [channels]), (278, 4, [height]), (279, 4, [len(data)]), (284, 3, [1]),
                (339, 3, [sample] * channels)]
        if extra is not None:
            tags.insert(-1, (338, 3, [extra]))
        at = len(out)
        far = at + 2 + 12 * len(tags) + 4
        entries, tail = b"", b""
        for tag, kind, values in tags:
            packed = struct.pack(f"{order}{len(values)}{'H' if kind == 3 else 'I'}", *values)
            if len(packed) > 4:
                entries += struct.pack(order + "HHII", tag, kind, len(values), far + len(tail))
                tail += packed + b"\0" * (len(packed) % 2)
            else:
                entries += struct.pack(order + "HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
        after = far + len(tail) if page + 1 < pages else 0
        out += struct.pack(order + "H", len(tags)) + entries + struct.pack(order + "I", after) + tail
    return bytes(out)


def bmp(rows, bits=24, top_down=False, core=False, masks=False, compression=0, size=None):
    """A palette below 16 bits; masks: BITFIELDS in a header of 56 bytes, with alpha; core: OS/2's header."""
    width, height = size or (len(rows[0]), len(rows))
    palette = sorted({p[:3] for row in rows for p in row}) if bits <= 8 else []
    lines = []
    for row in rows:
        if bits <= 8:
            number = "".join(format(palette.index(p[:3]), f"0{bits}b") for p in row)
            line = int(number.ljust(-(-len(number) // 8) * 8, "0"), 2).to_bytes(-(-len(number) // 8), "big")
        elif bits == 16:
            line = b"".join(struct.pack("<H", (p[0] >> 3) << 10 | (p[1] >> 3) << 5 | p[2] >> 3) for p in row)
        else:
            line = b"".join(bytes((p[2], p[1], p[0], *((p[3],) if masks else (0,) * (bits // 8 - 3)))) for p in row)
        lines.append(line + b"\0" * (-len(line) % 4))
    data = b"".join(lines if top_down else lines[::-1])
    table = b"".join(bytes((*p[::-1], *(() if core else (0,)))) for p in palette)
    if core:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
        table = table.ljust(3 << bits, b"\0") if bits <= 8 else b""
    else:
        info = struct.pack("<IiiHHIIiiII", 56 if masks else 40, width, -height if top_down else height, 1, bits,
                           3 if masks else compression, len(data), 2835, 2835, len(palette), 0)
        info += struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) if masks else b""
    start = 14 + len(info) + len(table)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + info + table + data


def _codes(indices):
    """LZW of 8 bits that never grows its table: a clear code before it would (GIF89a, appendix F)."""
    codes = []
    for i, index in enumerate(indices):
        if i % 200 == 0:
            codes.append(256)
        codes.append(index)
    codes.append(257)
    number = length = 0
    for code in codes:
        number |= code << length
        length += 9
    return number.to_bytes(-(-length // 8), "little")


def gif(rows, interlaced=False, transparent=None, frames=1, size=None):
    palette = sorted({p for row in rows for p in row})
    width, height = size or (len(rows[0]), len(rows))
    out = b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF7, 0, 0)
    out += b"".join(bytes(p) for p in palette).ljust(768, b"\0")
    order = list(range(len(rows)))
    if interlaced:
        order = [*order[0::8], *order[4::8], *order[2::4], *order[1::2]]
    for _ in range(frames):
        if transparent is not None:
            out += b"\x21\xf9\x04" + struct.pack("<BHB", 1, 0, palette.index(transparent)) + b"\0"
        out += b"\x2c" + struct.pack("<HHHHB", 0, 0, len(rows[0]), len(rows), 0x40 if interlaced else 0) + b"\x08"
        data = _codes([palette.index(p) for y in order for p in rows[y]])
        for at in range(0, len(data), 255):
            out += bytes([len(data[at:at + 255])]) + data[at:at + 255]
        out += b"\0"
    return out + b"\x3b"
