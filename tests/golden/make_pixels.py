#!/usr/bin/env python3
"""Writes tests/golden/pixels: small pictures of every kind, and what Pillow makes of them.

    python3 tests/golden/make_pixels.py        (Pillow 11 or newer; no random numbers, no clock)

decoded.csv: file, format, colour, width, height, orientation, animated, SHA-256 of the RGB bytes over BACKGROUND
turned.csv: file, width, height, SHA-256 after Pillow's exif_transpose
resized.csv: file, width, height, SHA-256 after Pillow's bilinear resize, columns first
PNGs are written here and not by Pillow, which cannot write all kinds; where Pillow's reading is not the rule we
want (16-bit grey clipped at 255, the transparent value of 2- and 4-bit grey), the expected pixels are computed.
"""
import csv
import hashlib
import io
import pathlib
import struct
import zlib

from PIL import Image, ImageOps, PngImagePlugin

FOLDER = pathlib.Path(__file__).resolve().parent / "pixels"
BACKGROUND = (200, 100, 50)
WIDTH, HEIGHT = 45, 37  # odd, and no multiple of a JPEG block
SIZES = [(45, 37), (20, 20), (1, 1), (90, 11), (7, 80)]
PngImagePlugin.MAX_TEXT_CHUNK = 2**23  # for text-bomb.png, which marque skips
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def value(x, y, channel, bits=8):
    """A smooth slope with some noise, so that every pixel and channel differs from its neighbours."""
    noise = (x * 7919 + y * 104729 + channel * 1299709) * 2654435761 % 2**32 >> 26
    wave = (x * (3 + channel) + y * (5 - channel)) % 190
    return (wave * 257 + noise * 263) % 65536 >> (16 - bits)


def scene(mode="RGB"):
    image = Image.new(mode, (WIDTH, HEIGHT))
    bands = len(image.getbands())
    for y in range(HEIGHT):
        for x in range(WIDTH):
            pixel = tuple(value(x, y, c) for c in range(bands))
            image.putpixel((x, y), pixel if bands > 1 else pixel[0])
    return image


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def packed(samples, bits):
    """One row of samples as PNG packs it."""
    if bits == 16:
        return struct.pack(f">{len(samples)}H", *samples)
    whole, row = 8 // bits, bytearray()
    for i in range(0, len(samples), whole):
        byte = 0
        for sample in samples[i:i + whole]:
            byte = byte << bits | sample
        row.append(byte << bits * (whole - len(samples[i:i + whole])))
    return bytes(row)


def png(kind, bits, channels, interlaced=False, before=b"", after=b""):
    """A PNG of scene's values; before and after are chunks around the pixels."""
    data = b""
    for x0, y0, dx, dy in ADAM7 if interlaced else [(0, 0, 1, 1)]:
        for y in range(y0, HEIGHT, dy):
            samples = [value(x, y, c, bits) for x in range(x0, WIDTH, dx) for c in range(channels)]
            data += b"\0" + packed(samples, bits) if samples else b""
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, kind, 0, 0, interlaced)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", zlib.compress(data, 9))
            + after + chunk(b"IEND", b""))


def palette(count):
    return chunk(b"PLTE", bytes((i * step + 40) % 256 for i in range(count) for step in (97, 31, 173)))


def exif(orientation, big, kind=3):
    """TIFF with a directory of three entries, orientation in the middle."""
    order = ">" if big else "<"
    number = struct.pack(order + ("HH" if kind == 3 else "I"), orientation, *([0] if kind == 3 else []))
    entries = struct.pack(order + "HHII", 0x0100, 4, 1, 45)
    entries += struct.pack(order + "HHI", 0x0112, kind, 1) + number
    entries += struct.pack(order + "HHII", 0x0131, 4, 1, 7)
    return (b"MM\0*" if big else b"II*\0") + struct.pack(order + "IH", 8, 3) + entries + bytes(4)


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def jpegs():
    rgb = scene()
    yield "rgb-420.jpg", "RGB", saved(rgb, "JPEG", quality=80)
    yield "rgb-422.jpg", "RGB", saved(rgb, "JPEG", quality=80, subsampling="4:2:2")
    yield "rgb-444.jpg", "RGB", saved(rgb, "JPEG", quality=90, subsampling="4:4:4")
    yield "rgb-progressive.jpg", "RGB", saved(rgb, "JPEG", quality=80, progressive=True)
    yield "rgb-restarts.jpg", "RGB", saved(rgb, "JPEG", quality=80, restart_marker_blocks=2)
    yield "rgb-adobe.jpg", "RGB", saved(rgb, "JPEG", quality=80, keep_rgb=True)
    yield "rgb-tail.jpg", "RGB", saved(rgb, "JPEG", quality=80) + b"more data behind the end" * 9
    yield "grey.jpg", "grey", saved(scene("L"), "JPEG", quality=80)
    yield "grey-progressive.jpg", "grey", saved(scene("L"), "JPEG", quality=80, progressive=True)
    cmyk = saved(scene("CMYK"), "JPEG", quality=80)
    yield "cmyk.jpg", "CMYK", cmyk
    at = cmyk.index(b"Adobe") + 11  # its transform: 0 is CMYK, 2 is YCCK
    yield "ycck.jpg", "YCCK", cmyk[:at] + b"\2" + cmyk[at + 1:]
    for o in range(10):
        block = b"Exif\0\0" + exif(o, big=o % 2 == 0, kind=4 if o == 8 else 3)
        yield f"exif-{o}.jpg", "RGB", saved(rgb, "JPEG", quality=60, exif=block)


def pngs():
    for bits in (1, 2, 4, 8, 16):
        yield f"grey-{bits}.png", "grey", png(0, bits, 1)
    for bits in (1, 2, 4, 8):
        yield f"palette-{bits}.png", "palette", png(3, bits, 1, before=palette(2**bits))
    clear = chunk(b"tRNS", bytes((i * 77) % 256 for i in range(200)))
    yield "palette-clear.png", "palette", png(3, 8, 1, before=palette(256) + clear)
    for bits in (8, 16):
        yield f"rgb-{bits}.png", "RGB", png(2, bits, 3)
        yield f"rgba-{bits}.png", "RGBA", png(6, bits, 4)
        yield f"grey-alpha-{bits}.png", "grey+alpha", png(4, bits, 2)
    key = struct.pack(">HHH", *(value(9, 8, c) for c in range(3)))
    yield "rgb-clear.png", "RGB", png(2, 8, 3, before=chunk(b"tRNS", key))
    for bits in (4, 8):
        key = struct.pack(">H", value(3, 3, 0, bits))
        yield f"grey-{bits}-clear.png", "grey", png(0, bits, 1, before=chunk(b"tRNS", key))
    yield "rgb-interlaced.png", "RGB", png(2, 8, 3, interlaced=True)
    yield "grey-1-interlaced.png", "grey", png(0, 1, 1, interlaced=True)
    yield "rgba-interlaced.png", "RGBA", png(6, 8, 4, interlaced=True)
    yield "exif-5.png", "RGB", png(2, 8, 3, before=chunk(b"eXIf", exif(5, big=True)))
    yield "exif-6-behind.png", "RGB", png(2, 8, 3, after=chunk(b"eXIf", exif(6, big=False)))
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(4_000_000), 9))
    yield "text-bomb.png", "RGB", png(2, 8, 3, before=text)
    frame = struct.pack(">IIIIIHHBB", 0, WIDTH, HEIGHT, 0, 0, 1, 10, 0, 0)
    more = chunk(b"fcTL", struct.pack(">I", 1) + frame[4:])
    more += chunk(b"fdAT", struct.pack(">I", 2) + zlib.compress(bytes((WIDTH * 3 + 1) * HEIGHT)))
    begin = chunk(b"acTL", struct.pack(">II", 2, 0)) + chunk(b"fcTL", frame)
    yield "animated.png", "RGB", png(2, 8, 3, before=begin, after=more)


def webps():
    rgb, rgba = scene(), scene("RGBA")
    yield "rgb.webp", "RGB", saved(rgb, "WEBP", quality=80)
    yield "rgb-lossless.webp", "RGB", saved(rgb, "WEBP", lossless=True)
    yield "rgba.webp", "RGBA", saved(rgba, "WEBP", quality=80)
    yield "rgba-lossless.webp", "RGBA", saved(rgba, "WEBP", lossless=True)
    yield "exif-6.webp", "RGB", saved(rgb, "WEBP", quality=80, exif=exif(6, big=True))
    frames = {"save_all": True, "append_images": [ImageOps.invert(rgb)], "lossless": True, "duration": 100}
    yield "animated.webp", "RGB", saved(rgb, "WEBP", **frames)


def computed(name):
    """Expected pixels where Pillow has another rule than marque; None elsewhere."""
    if name == "grey-16.png":
        return [(value(x, y, 0, 16) >> 8,) * 3 for y in range(HEIGHT) for x in range(WIDTH)]
    if name == "grey-4-clear.png":
        key = value(3, 3, 0, 4)
        greys = [value(x, y, 0, 4) for y in range(HEIGHT) for x in range(WIDTH)]
        return [BACKGROUND if grey == key else (grey * 17,) * 3 for grey in greys]
    return None


def expected(name, data):
    image = Image.open(io.BytesIO(data))
    if computed(name):
        rgb = Image.new("RGB", image.size)
        rgb.putdata(computed(name))
        return rgb
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        under = Image.new("RGBA", image.size, (*BACKGROUND, 255))
        return Image.alpha_composite(under, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def digest(image):
    return hashlib.sha256(image.tobytes()).hexdigest()


def write_csv(name, rows):
    with open(FOLDER / name, "w", newline="", encoding="ascii") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def main():
    FOLDER.mkdir(exist_ok=True)
    decoded, turned, resized = [], [], []
    for name, colour, data in [*jpegs(), *pngs(), *webps()]:
        (FOLDER / name).write_bytes(data)
        image = expected(name, data)
        with Image.open(io.BytesIO(data)) as opened:
            orientation = opened.getexif().get(0x0112, 1)
            upright = ImageOps.exif_transpose(opened).convert("RGB") if "exif" in name else None
        orientation = orientation if 1 <= orientation <= 8 else 1
        kind = {"jpg": "jpeg"}.get(name.rsplit(".", 1)[1], name.rsplit(".", 1)[1])
        decoded.append([name, kind, colour, *image.size, orientation, int("animated" in name), digest(image)])
        if upright:
            turned.append([name, *upright.size, digest(upright)])
        if name in ("rgb-8.png", "rgb-420.jpg", "grey-4.png"):
            for width, height in SIZES:
                small = image.resize((width, image.height), Image.BILINEAR).resize((width, height), Image.BILINEAR)
                resized.append([name, width, height, digest(small)])
    write_csv("decoded.csv", decoded)
    write_csv("turned.csv", turned)
    write_csv("resized.csv", resized)


if __name__ == "__main__":
    main()
