"""test_foreign_pictures.py: TIFF, BMP, GIF, HEIC and AVIF, made here byte by byte (HEIC and AVIF by heif-enc), decoded
by marque-pictures and imported. Pillow's opinion of the same files: tests/oracle/foreign_pictures.py."""
import csv
import json
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from foreignfile import bmp, gif, shades, tiff  # noqa: E402
from marque import SANITIZER, Marque  # noqa: E402
from pictures import write_classes  # noqa: E402
from tap import Tap  # noqa: E402

W, H = 7, 5
FORMATS = ("tiff", "bmp", "gif", "heic", "avif")


def decoder(m):
    return Path(m.program).parent / "marque-pictures"


def decode(m, data, what="pixels"):
    """(format, width, height, channels, more, bytes) from marque-pictures, or its error."""
    (m.folder / "in").write_bytes(data)
    with open(m.folder / "in", "rb") as file:
        run = subprocess.run([decoder(m), what, "it"], stdin=file, capture_output=True, check=False, timeout=120)
    if run.returncode:
        text = run.stderr.decode()
        return text.replace("it:", "!") if any(word in text for word in SANITIZER) else text
    kind, *head = struct.unpack("5I", run.stdout[:20])
    return (FORMATS[kind], *head, run.stdout[20:])


def same(tap, m, name, data, kind, rows, channels=3, tolerance=0, more=0):
    """The decoder gives these rows of tuples."""
    got = decode(m, data)
    wanted = bytes(v for row in rows for pixel in row for v in pixel)
    good = (not isinstance(got, str) and got[:5] == (kind, len(rows[0]), len(rows), channels, more)
            and len(got[5]) == len(wanted) and all(abs(a - b) <= tolerance for a, b in zip(got[5], wanted)))
    tap.check(name, good, f"{got}\nwanted {len(rows[0])} x {len(rows)}: {wanted[:60]}")


def turned(rows, turn):
    """The upright picture of rows stored in orientation turn (TIFF 6.0)."""
    def flip(r):
        return [row[::-1] for row in r]
    across = [list(column) for column in zip(*rows)]
    return {1: rows, 2: flip(rows), 3: flip(rows)[::-1], 4: rows[::-1], 5: across, 6: flip(across),
            7: flip(across[::-1]), 8: across[::-1]}[turn]


def test_tiff(tap, m):
    rgb = shades(W, H)
    for order in "<>":
        same(tap, m, f"tiff {order} RGB", tiff(rgb, order=order), "tiff", rgb)
    grey = [[(p[0],) for p in row] for row in rgb]
    same(tap, m, "tiff grey", tiff(grey), "tiff", [[p * 3 for p in row] for row in grey])
    deep = [[tuple(v * 257 for v in p) for p in row] for row in rgb]
    same(tap, m, "tiff 16 bits", tiff(deep, bits=16), "tiff", rgb)
    alpha = [[(*p, 255 if (x + y) % 2 else 0) for x, p in enumerate(row)] for y, row in enumerate(rgb)]
    clear = [[p if p[3] else (0, 0, 0, 0) for p in row] for row in alpha]
    same(tap, m, "tiff RGBA", tiff(alpha, extra=2), "tiff", clear, 4)
    cmyk = [[(255 - p[0], 255 - p[1], 255 - p[2], 0) for p in row] for row in rgb]
    same(tap, m, "tiff CMYK", tiff(cmyk, photometric=5), "tiff", rgb)
    for turn in range(1, 9):
        same(tap, m, f"tiff orientation {turn}", tiff(rgb, turn=turn), "tiff", turned(rgb, turn))
    same(tap, m, "tiff orientation 9 counts as none", tiff(rgb, turn=9), "tiff", rgb)
    same(tap, m, "tiff of two pages", tiff(rgb, pages=2), "tiff", rgb, more=1)
    got = decode(m, tiff([[(0,)] * W] * H, bits=32, sample=3))
    tap.check("tiff of floats is refused in words", isinstance(got, str) and "unusual TIFF" in got, got)


def test_bmp(tap, m):
    rgb = shades(W, H)
    for how in ({}, {"top_down": True}, {"bits": 32}, {"core": True}):
        same(tap, m, f"bmp {how}", bmp(rgb, **how), "bmp", rgb)
    few = [[((x * 3 + y) % 2 * 255, 40, 90) for x in range(W)] for y in range(H)]
    for bits in (1, 4, 8):
        same(tap, m, f"bmp palette of {bits} bits", bmp(few, bits=bits), "bmp", few)
    five = [[tuple((v >> 3) * 255 // 31 for v in p) for p in row] for row in rgb]
    same(tap, m, "bmp 16 bits", bmp(rgb, bits=16), "bmp", five, tolerance=1)
    alpha = [[(*p, 100) for p in row] for row in rgb]
    same(tap, m, "bmp with alpha", bmp(alpha, bits=32, masks=True), "bmp", alpha, 4)
    got = decode(m, bmp(few, bits=8, compression=1))
    tap.check("bmp of run lengths is refused in words", isinstance(got, str) and "compressed by method 1" in got, got)


def test_gif(tap, m):
    rgb = shades(W, H, levels=3)
    full = [[(*p, 255) for p in row] for row in rgb]
    same(tap, m, "gif", gif(rgb), "gif", full, 4)
    same(tap, m, "gif interlaced", gif(shades(5, 21, levels=3), interlaced=True), "gif",
         [[(*p, 255) for p in row] for row in shades(5, 21, levels=3)], 4)
    hole = [[(0, 0, 0, 0) if p[:3] == rgb[0][0] else p for p in row] for row in full]
    same(tap, m, "gif with a transparent colour", gif(rgb, transparent=rgb[0][0]), "gif", hole, 4)
    same(tap, m, "gif animated", gif(rgb, frames=3), "gif", full, 4, more=1)
    got = decode(m, gif(rgb, frames=3), "head")
    tap.check("the head alone tells of the animation", got == ("gif", W, H, 4, 1, b""), got)


def encode(m, name, data, *how):
    """A HEIC or AVIF file of a PNG."""
    (m.folder / "source.png").write_bytes(data)
    subprocess.run(["heif-enc", *how, "-o", m.folder / name, m.folder / "source.png"], check=True, capture_output=True)
    return (m.folder / name).read_bytes()


def flat(width, height):
    """Two halves of one colour each, that any codec keeps nearly."""
    return [[(200, 60, 40) if x < width // 2 else (30, 90, 210) for x in range(width)] for y in range(height)]


def as_png(rows):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    raw = b"".join(b"\0" + bytes(v for p in row for v in p) for row in rows)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", len(rows[0]), len(rows), 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))


def test_heif(tap, m):
    if not shutil.which("heif-enc"):
        tap.skip("HEIC and AVIF", "no heif-enc (libheif-examples)")
        return
    rows = flat(96, 64)
    for name, how in (("heic", ("-q", "95")), ("avif", ("-A", "-q", "95"))):
        data = encode(m, f"a.{name}", as_png(rows), *how)
        got = decode(m, data)
        good = not isinstance(got, str) and got[:5] == (name, 96, 64, 3, 0)
        off = [abs(a - b) for a, b in zip(got[5], (v for row in rows for p in row for v in p))] if good else [255]
        tap.check(f"{name}: the picture's colours", sum(off) / len(off) < 3, f"{got[:5]}, mean error {sum(off) / len(off)}")
        problems = []
        for cut in [*range(12, len(data), max(1, len(data) // 40))]:
            got = decode(m, data[:cut])
            if not isinstance(got, str) or "it:" not in got:
                problems.append(f"{cut}: {got[:100]}")
        tap.check(f"{name}: cut anywhere is refused", not problems, "\n".join(problems))
        place = data.index(b"ispe") + 8  # the size that the file tells, made 30000 x 30000
        got = decode(m, data[:place] + struct.pack(">2I", 30000, 30000) + data[place + 8:], "head")
        tap.check(f"{name}: 900 million pixels are refused by the head", isinstance(got, str), got)


def test_phone(tap, m):
    """HEIC and AVIF in an import: stored as JPEG."""
    if not shutil.which("heif-enc"):
        tap.skip("HEIC and AVIF in an import", "no heif-enc (libheif-examples)")
        return
    write_classes(m.folder / "phone", classes=2, each=4)
    (m.folder / "phone/class-1/a.heic").write_bytes(encode(m, "a.heic", as_png(flat(96, 64)), "-q", "95"))
    (m.folder / "phone/class-1/b.JPG").write_bytes(encode(m, "b.avif", as_png(flat(90, 64)), "-A", "-q", "95"))
    m.expect(tap, "phone pictures", ["import", "phone", "-o", "phone.mq"], 0,
             out=["10 pictures, 2 classes", "2 pictures are HEIC or AVIF; they are stored as JPEG of quality 95"])
    data = m.folder / "phone.mq"
    shards = b"".join(f.read_bytes() for f in sorted(data.glob("*.tfrecord")))
    tap.check("the shards hold two JPEGs, under the names of the originals", shards.count(b"\xff\xd8\xff\xe0") == 2
              and b"ftyp" not in shards and b"class-1/a.heic" in shards and b"class-1/b.JPG" in shards)
    source = json.loads((data / "dataset.json").read_text())["source"]
    tap.check("dataset.json tells of JPEG", source.get("stored_as_jpeg") == 2 and "stored_as_png" not in source, source)
    m.expect(tap, "an update knows them", ["import", "phone", "-o", "phone.mq", "--update"], 0, out="10 pictures keep their split, 0 are new")
    data = bytearray(encode(m, "a.heic", as_png(flat(16, 16))))  # smaller than HEVC codes: a tile, and a picture made of it
    made = data.index(b"dimg") + 4
    data[made + 4:made + 6] = data[made:made + 2]
    (m.folder / "phone/class-1/circle.heic").write_bytes(data)
    m.expect(tap, "a HEIC made of itself, which libheif 1.15 follows until its stack ends", ["import", "phone", "-o", "circle.mq"], 0,
             out=["10 pictures, 2 classes", "1 left out"])


def test_hostile(tap, m):
    rgb = shades(W, H)
    good = {"tiff": tiff(rgb), "bmp": bmp(rgb), "gif": gif(shades(W, H, levels=3))}
    for name, data in good.items():
        problems, step = [], 3 if len(data) < 300 else 11  # fuzzers go through all of them, in one process
        for cut in range(8, len(data), step):
            got = decode(m, data[:cut])
            if not isinstance(got, str):
                wrong = name == "gif" and cut >= len(data) - 1 or name == "tiff" and cut > 8 + W * H * 3 and got[5] == b""
                if not wrong and got[5] != decode(m, data)[5]:
                    problems.append(f"cut {cut}: {got[:5]}")
            elif "it:" not in got:
                problems.append(f"cut {cut}: {got}")
        for at in range(0, len(data), 2 * step - 1):
            changed = bytearray(data)
            changed[at] ^= 0xA5
            got = decode(m, bytes(changed))
            if isinstance(got, str) and "it:" not in got:
                problems.append(f"changed {at}: {got}")
        tap.check(f"{name}: cut or changed, it ends in a sentence", not problems, "\n".join(problems[:10]))
    huge = {"tiff": tiff(rgb, size=(65500, 65500)), "bmp": bmp(rgb, size=(65500, 65500)), "gif": gif(rgb[:1], size=(65500, 65500))}
    for name, data in huge.items():
        got = decode(m, data)
        tap.check(f"{name}: 65500 x 65500 is refused by its header", isinstance(got, str) and "65500 x 65500" in got, got)
    for name, data in {"tiff": tiff(rgb, size=(0, 5)), "bmp": bmp(rgb, size=(7, 0))}.items():
        tap.check(f"{name}: no pixels", isinstance(decode(m, data), str))


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def fill(m, folder):
    """Two classes with a foreign picture of each kind, and one that is damaged."""
    write_classes(m.folder / folder, classes=2, each=4)
    rgb = shades(W, H)
    place = m.folder / folder / "class-0"
    (place / "a.tif").write_bytes(tiff(rgb, turn=6))
    (place / "b.bmp").write_bytes(bmp(rgb))
    (place / "c.gif").write_bytes(gif(shades(W, H, levels=3), frames=2))
    (place / "cut.tif").write_bytes(tiff(rgb)[:60])
    (place / "named.jpg").write_bytes(tiff(shades(W, H + 1)))
    (place / "BM, said the cook.txt").write_bytes(b"BM, said the cook, and went on with his work for a while.\n")


def test_import(tap, m):
    fill(m, "mixed")
    m.expect(tap, "an import", ["import", "mixed", "-o", "mixed.mq"], 0,
             out=["12 pictures, 2 classes", "4 pictures are TIFF, BMP or GIF; they are stored as PNG",
                  "1 picture is animated or has pages"])
    data = m.folder / "mixed.mq"
    split = {row["file"]: row for row in rows_of(data / "split.csv")}
    tap.check("names are the originals'", {"class-0/a.tif", "class-0/b.bmp", "class-0/c.gif", "class-0/named.jpg"} <= set(split))
    tap.check("a turned TIFF has its upright size", (split["class-0/a.tif"]["width"], split["class-0/a.tif"]["height"]) == (str(H), str(W)))
    left = {row["file"]: row["reason"] for row in rows_of(data / "quarantine.csv")}
    tap.check("the damaged one is left out alone", set(left) == {"class-0/cut.tif", "class-0/BM, said the cook.txt"}
              and "TIFF" in left["class-0/cut.tif"] and "text" in left["class-0/BM, said the cook.txt"], left)
    source = json.loads((data / "dataset.json").read_text())["source"]
    tap.check("dataset.json says so", source.get("stored_as_png") == 4, source)
    shards = b"".join(f.read_bytes() for f in sorted(data.glob("*.tfrecord")))
    upright = [p for row in turned(shades(W, H), 6) for p in row]
    pngs = []
    at = shards.find(b"\x89PNG")
    while at >= 0:
        pngs.append(shards[at:])
        at = shards.find(b"\x89PNG", at + 1)
    tap.check("the shards hold PNG only, and the TIFF upright", len(pngs) == 12 and b"II*\0" not in shards
              and bytes(v for p in upright for v in p) in b"".join(pixels_of(p) for p in pngs))
    m.run(["import", "mixed", "-o", "again.mq", "-j", "3"])
    tap.check("the same bytes again, with other workers", all(
        (m.folder / "again.mq" / f.name).read_bytes() == f.read_bytes() for f in data.iterdir() if f.name != ".lock"))
    run = m.expect(tap, "as JSON", ["import", "mixed", "-o", "json.mq", "--dry-run", "--json"], 0)
    tap.check("the report counts them", json.loads(run.out)["stored_as_png"] == 4 and json.loads(run.out)["animated"] == 1, run.out)


def pixels_of(data):
    """The RGB bytes of a PNG of 8 bits at the beginning of data."""
    at, packed = 8, b""
    while data[at + 4:at + 8] != b"IEND":
        length = struct.unpack(">I", data[at:at + 4])[0]
        kind, body = data[at + 4:at + 8], data[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height = struct.unpack(">2I", body[:8])
        packed += body if kind == b"IDAT" else b""
        at += length + 12
    raw, out, before = zlib.decompress(packed), b"", bytearray(width * 3)
    for y in range(height):
        how, row = raw[y * (width * 3 + 1)], bytearray(raw[y * (width * 3 + 1) + 1:(y + 1) * (width * 3 + 1)])
        for i in range(len(row)):
            a, b, c = row[i - 3] if i > 2 else 0, before[i], before[i - 3] if i > 2 else 0
            p = a + b - c
            paeth = min((a, b, c), key=lambda v: (abs(p - v), (a, b, c).index(v)))
            row[i] = row[i] + (0, a, b, (a + b) // 2, paeth)[how] & 255
        out, before = out + bytes(row), row
    return out


def test_mad_decoders(tap, m):
    """A decoder that a picture has taken over: this picture is left out, the others are not. One that is not there is no picture's
    fault."""
    place = m.folder / "bin"
    place.mkdir()
    shutil.copy(m.program, place / "marque")
    program, m.program = m.program, str(place / "marque")
    for script, words in (("kill -SEGV $$", "the decoder stopped: Segmentation fault"), ("exit 3", "without a word"),
                          ("exit 0", "said too little"), ("cat /dev/zero", "gave more than was asked for"),
                          ("printf '%020d' 0", "%s"), ("echo 'picture: no memory' >&2; exit 71", "no memory")):
        (place / "marque-pictures").write_text(f"#!/bin/sh\n{script}\n")
        (place / "marque-pictures").chmod(0o755)
        run = m.run(["import", "mixed", "-o", "mad.mq", "--dry-run"])
        words = words.replace("%s", "are refused, make it smaller")
        tap.check(f"a decoder that does: {script}", run.code == 0 and "8 pictures, 2 classes" in run.out and words in run.out,
                  f"{run.code} {run.out} {run.err}")
    (place / "marque-pictures").unlink()
    m.expect(tap, "no decoder", ["import", "mixed", "-o", "mad.mq", "--dry-run"], 69, err="marque-pictures is missing")
    m.program = program


def test_limits(tap, m):
    if not shutil.which("strace"):
        tap.skip("the decoder is limited", "no strace")
        return
    (m.folder / "in").write_bytes(tiff(shades(W, H)))
    with open(m.folder / "in", "rb") as file:
        run = subprocess.run(["strace", "-e", "trace=prlimit64,setrlimit", decoder(m), "head", "it"], stdin=file,
                             capture_output=True, check=False)
    text = run.stderr.decode()
    for limit in ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_FSIZE, {rlim_cur=0", "RLIMIT_NOFILE", "RLIMIT_CORE"):
        if limit == "RLIMIT_AS" and "Sanitizer" in text:
            tap.skip("the decoder has RLIMIT_AS", "sanitizers reserve far more address space than they use")
            continue
        tap.check(f"the decoder has {limit}", limit in text, text[-800:])


def main():
    tap = Tap()
    with Marque() as m:
        if not decoder(m).exists():
            tap.skip("foreign pictures", "built without MARQUE_FOREIGN_PICTURES")
            return tap.done()
        for test in (test_tiff, test_bmp, test_gif, test_heif, test_phone, test_hostile, test_import, test_mad_decoders, test_limits):
            test(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
