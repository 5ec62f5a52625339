"""pictures.py: pictures for the command-line tests, written without any library."""
import struct
import zlib
from pathlib import Path


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width, height, pixels, grey=False):
    """A PNG file of rows of RGB, or of grey levels, 8 bits each."""
    stride = width if grey else 3 * width
    rows = b"".join(b"\0" + bytes(pixels[at:at + stride]) for at in range(0, stride * height, stride))
    return (b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 0 if grey else 2, 0, 0, 0))
            + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b""))


def png(width, height, tint=(90, 90, 90), seed=1):
    """A tint below noise, as the bytes of a PNG file."""
    state, pixels = seed, bytearray()
    for _ in range(width * height):
        for channel in tint:
            state = (state * 1664525 + 1013904223) % 2**32
            pixels.append(channel + (state >> 27))
    return png_of(width, height, pixels)


def write_classes(folder, classes=3, each=10, side=40):
    """folder/class-N/NN.png, all different; the tint tells the class. Returns the paths."""
    paths = []
    for number in range(classes):
        place = Path(folder) / f"class-{number}"
        place.mkdir(parents=True)
        tint = tuple(200 if channel == number % 3 else 20 for channel in range(3))
        for i in range(each):
            path = place / f"{i:02}.png"
            path.write_bytes(png(side + i, side + number, tint, 1 + 100 * number + i))
            paths.append(path)
    return paths
