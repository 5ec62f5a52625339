"""test_hard_pictures.py: marque import on pictures of odd sizes, things that are no files, and files that change meanwhile."""
import contextlib
import csv
import json
import os
import socket
import stat
import struct
import sys
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from marque import ROOT, Marque  # noqa: E402
from pictures import png, write_classes  # noqa: E402
from tap import Tap  # noqa: E402

GOLDEN = ROOT / "tests/golden/pixels"


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bits(width, height, seed=0):
    """A PNG of 1-bit grey: many pixels, few bytes."""
    packed = zlib.compressobj(1)
    row = b"\0" + bytes([seed % 256]) * (-(-width // 8))
    data = b"".join(packed.compress(row) for _ in range(height)) + packed.flush()
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", width, height, 1, 0, 0, 0, 0)) + chunk(b"IDAT", data)
            + chunk(b"IEND", b""))


def lists(data):
    def read(name):
        with open(data / name, newline="", encoding="utf-8") as file:
            return {row["file"]: row for row in csv.DictReader(file)}
    return read("split.csv"), read("quarantine.csv")


def test_sizes(tap, m):
    write_classes(m.folder / "sizes", classes=2, each=4)
    place = m.folder / "sizes/class-0"
    for name, width, height in (("dot", 1, 1), ("tall", 1, 10000), ("wide", 65500, 1), ("small", 3, 2)):
        (place / f"{name}.png").write_bytes(png(width, height, seed=width + height))
    m.expect(tap, "odd sizes", ["import", "sizes", "-o", "sizes.mq"], 0, out="12 pictures, 2 classes")
    taken, left = lists(m.folder / "sizes.mq")
    tap.check("all are taken as they are", not left and taken["class-0/wide.png"]["width"] == "65500"
              and taken["class-0/tall.png"]["height"] == "10000", left)
    m.expect(tap, "odd sizes as a network gets them", ["inspect", "sizes.mq", "--batch", "12", "-o", "sizes.png"], 0)
    m.expect(tap, "odd sizes, shrunk", ["import", "sizes", "-o", "shrunk.mq", "--max-side", "100"], 0, out="12 pictures")


def test_many_pixels(tap, m):
    write_classes(m.folder / "many", classes=2, each=4)
    (m.folder / "many/class-0/large.png").write_bytes(bits(10000, 8948))
    (m.folder / "many/class-1/bomb.png").write_bytes(bits(13400, 13400))
    m.expect(tap, "89.48 million pixels", ["import", "many", "-o", "many.mq"], 0, out="9 pictures", err="1 picture has more than 89 million pixels")
    taken, left = lists(m.folder / "many.mq")
    write_classes(m.folder / "wide", classes=2, each=4)
    (m.folder / "wide/class-0/cut.png").write_bytes(bits(9000, 9000)[:-30])
    m.expect(tap, "81 million pixels that would be a PNG of their own", ["import", "wide", "-o", "wide.mq", "--truncated", "accept"], 0,
             out="8 pictures")
    _, wide = lists(m.folder / "wide.mq")
    tap.check("are left out before anything is written", "too many to be stored as PNG" in wide["class-0/cut.png"]["reason"], wide)
    tap.check("179 million are refused", "13400 x 13400" in left["class-1/bomb.png"]["reason"] and "class-0/large.png" in taken, left)


def make_socket(folder):
    with contextlib.chdir(folder), socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.jpg")  # its path may have no more than 107 bytes


def test_no_files(tap, m):
    write_classes(m.folder / "things", classes=2, each=4)
    place = m.folder / "things/class-0"
    (place / "folder.jpg").mkdir()
    (place / "folder.jpg/in.png").write_bytes(png(5, 5, seed=3))
    os.mkfifo(place / "pipe.jpg")
    make_socket(place)
    device = True
    try:
        os.mknod(place / "device.jpg", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        device = False
    m.expect(tap, "things that are no files", ["import", "things", "-o", "things.mq"], 0, out="9 pictures, 2 classes", timeout=60)
    taken, left = lists(m.folder / "things.mq")
    tap.check("a folder called x.jpg is a folder", "class-0/folder.jpg/in.png" in taken)
    wanted = {"class-0/pipe.jpg": "named pipe", "class-0/socket.jpg": "socket", **({"class-0/device.jpg": "device"} if device else {})}
    tap.check("the others are left out, each with its reason", set(left) == set(wanted)
              and all(word in left[name]["reason"] for name, word in wanted.items()), left)


def test_named(tap, m):
    """Things that are no files, where a list names them: each is told, and none is waited for."""
    place = m.folder / "named"
    write_classes(place, classes=2, each=4)
    (place / "odd/folder.jpg").mkdir(parents=True)
    os.mkfifo(place / "odd/pipe.jpg")
    make_socket(place / "odd")
    odd = ["odd/pipe.jpg", "odd/socket.jpg", "odd/folder.jpg"]
    names = [*(str(p.relative_to(place)) for p in sorted(place.glob("class-*/*.png"))), *odd]
    (place / "list.csv").write_text("path,label\n" + "".join(f"{n},{'ab'[i % 2]}\n" for i, n in enumerate(names)))
    m.expect(tap, "a list that names them", ["import", "named/list.csv", "-o", "named.mq"], 66, timeout=60,
             err=["3 of 11 rows have no picture", "odd/pipe.jpg", "odd/socket.jpg", "odd/folder.jpg"])
    m.expect(tap, "and may miss some", ["import", "named/list.csv", "-o", "named.mq", "--allow-missing"], 0, out="8 pictures, 2 classes",
             timeout=60)


def test_names(tap, m):
    """Names and endings say nothing of what is in a file; what systems leave in folders is counted."""
    place = m.folder / "names"
    write_classes(place, classes=2, each=4)
    for name, source in {"a.png": "rgb-420.jpg", "b.jpg": "rgb-8.png", "c": "rgb.webp", "d.TXT": "rgb-444.jpg"}.items():
        (place / "class-0" / name).write_bytes((GOLDEN / source).read_bytes())
    for name, data in {"e.jpg": b"<!DOCTYPE html>", "f.jpg": b"", "g.png": b"to do: pictures", "h.jpg": bytes(9)}.items():
        (place / "class-1" / name).write_bytes(data)
    for name in ("._00.png", "Thumbs.db", "desktop.ini", ".hidden.jpg"):
        (place / "class-1" / name).write_bytes((GOLDEN / "rgb-8.png").read_bytes())
    m.expect(tap, "names that say nothing", ["import", "names", "-o", "names.mq"], 0,
             out=["12 pictures, 2 classes", "4 left out", "4 names were passed over: hidden, or left by other systems (._x, Thumbs.db)"])
    left = lists(m.folder / "names.mq")[1]
    wanted = {"e.jpg": "HTML", "f.jpg": "is empty", "g.png": "looks like text", "h.jpg": "no picture of a known kind"}
    tap.check("each with its reason", {n.split("/")[1] for n in left} == set(wanted)
              and all(words in left[f"class-1/{name}"]["reason"] for name, words in wanted.items()), left)
    report = json.loads(m.run(["import", "names", "-o", "again.mq", "--json"]).out)
    tap.check("programs get the numbers", report["passed_over"] == 4 and report["left_out"] == 4, report)


def test_animated(tap, m):
    place = m.folder / "moving"
    write_classes(place, classes=2, each=4)
    for name in ("animated.png", "animated.webp"):
        (place / "class-0" / name).write_bytes((GOLDEN / name).read_bytes())
    m.expect(tap, "APNG and WebP of several pictures", ["import", "moving", "-o", "moving.mq"], 0,
             out=["10 pictures", "2 pictures are animated or have pages; the first is taken"])


def test_bombs(tap, m):
    """What would take 400 MB: chunks that are passed over, and sizes that are refused unread."""
    place = m.folder / "bombs"
    write_classes(place, classes=2, each=4)
    packed = zlib.compressobj(9)
    zeros = b"".join(packed.compress(bytes(1 << 20)) for _ in range(400)) + packed.flush()
    plain = png(9, 9)
    for name, kind, head in (("text", b"zTXt", b"Comment\0\0"), ("profile", b"iCCP", b"icc\0\0"), ("words", b"iTXt", b"Comment\0\1\0\0\0")):
        (place / f"class-0/{name}.png").write_bytes(plain[:33] + chunk(kind, head + zeros) + plain[33:])
    jpeg = bytearray((GOLDEN / "rgb-420.jpg").read_bytes())
    frame = jpeg.index(b"\xff\xc0\0\x11\x08")
    jpeg[frame + 5:frame + 9] = struct.pack(">HH", 65500, 65500)
    (place / "class-1/large.jpg").write_bytes(jpeg)
    (place / "class-1/large.webp").write_bytes(b"RIFF\x20\0\0\0WEBPVP8L\x14\0\0\0\x2f\xff\xff\xff\x0f" + bytes(15))
    process = m.start(["import", "bombs", "-o", "bombs.mq", "-j", "1"])
    process.stderr.close()
    _, code, used = os.wait4(process.pid, 0)
    tap.check("bombs", code == 0 and used.ru_maxrss < 300 << 10, f"{code}, {used.ru_maxrss} kB")
    taken, left = lists(m.folder / "bombs.mq")
    tap.check("chunks are passed over", len(taken) == 11 and len(left) == 2, left)
    tap.check("are refused by their sizes", "65500 x 65500" in left["class-1/large.jpg"]["reason"]
              and "16384 x 16384" in left["class-1/large.webp"]["reason"], left)


def test_changes(tap, m):
    """A picture that is another, or gone, when it is to be stored: no half data set, and a sentence."""
    for what, words in (("changed", "changed while it was imported; import again"), ("gone", "No such file")):
        source = m.folder / what
        write_classes(source, classes=2, each=4)
        for i in range(4):
            (source / f"class-1/z{i}.png").write_bytes(bits(9000, 9000, i))
        process = m.start(["import", what, "-o", f"{what}.mq", "-j", "1"])
        m.let_work(process, 0.2)  # the small ones are checked in a few ms, the large ones take longer than this
        path = source / "class-0/00.png"
        if what == "gone":
            path.unlink()
        else:
            path.write_bytes(png(40, 40, seed=99))
        err = process.communicate()[1]
        tap.check(f"a picture is {what} before it is stored", process.returncode in (65, 66) and words in err
                  and not (m.folder / f"{what}.mq").exists(), f"{process.returncode} {err}")


def main():
    tap = Tap()
    with Marque() as m:
        for test in (test_sizes, test_many_pixels, test_no_files, test_named, test_names, test_animated, test_bombs, test_changes):
            test(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
