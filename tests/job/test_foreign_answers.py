"""test_foreign_answers.py: marque predict of TIFF, BMP, GIF, HEIC and AVIF gives the answers for the PNG or JPEG that an import
makes of them. A model of real pictures with the real weights, at 71 pixels."""
import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cli"))

from foreignfile import bmp, gif, tiff  # noqa: E402
from marque import Marque  # noqa: E402
from tap import Tap  # noqa: E402
from test_foreign_pictures import as_png, encode, flat  # noqa: E402
from test_run import copy_pictures, real_pictures  # noqa: E402


def stripes(width, height):
    """Six colours, so that a GIF holds them all, and neither side is like the other."""
    colours = [(250, 250, 240), (20, 30, 40), (200, 60, 40), (30, 90, 210), (240, 200, 20), (60, 140, 60)]
    return [[colours[(x // 17 + 2 * (y // 11)) % 6] for x in range(width)] for y in range(height)]


def answer(tap, m, file):
    """{class: confidence} of the first five, or of all where there are fewer."""
    out = m.expect(tap, f"predict of {file}", ["predict", "run", file, "--json", "--dtype", "f32"], 0).out
    return {p["class"]: p["confidence"] for p in (json.loads(out)["predictions"] if out else [])}


def distance(a, b):
    return max(abs(a[k] - b[k]) for k in a) if a and a.keys() == b.keys() else 1


def imported(tap, m, name):
    """The picture that an import of the file name stores: that of its kind among PNGs of another."""
    folder, data = m.folder / f"of-{name}", m.folder / f"{name}.mq"
    for side in ("x", "y"):
        (folder / side).mkdir(parents=True)
    shutil.copy(m.folder / name, folder / "x")
    (folder / "y/other.png").write_bytes(as_png(flat(8, 8)))
    m.expect(tap, f"import of {name}", ["import", folder.name, "-o", data.name, "--test", "0", "--val", "0"], 0)
    shards = b"".join(f.read_bytes() for f in sorted(data.glob("*.tfrecord")))
    kind, begin = ("jpg", b"\xff\xd8\xff") if name.endswith(("heic", "avif")) else ("png", b"\x89PNG")
    parts = shards.split(begin)[1:]
    whole = max((begin + part for part in parts), key=len)  # the other one is tiny
    end = whole.rindex(b"\xff\xd9") + 2 if kind == "jpg" else whole.index(b"IEND") + 8
    (m.folder / f"{name}.{kind}").write_bytes(whole[:end])
    return f"{name}.{kind}"


def main():
    tap = Tap()
    with Marque() as m:
        m.share_weights()
        copy_pictures(m.folder / "pictures", real_pictures(3, 12))
        m.expect(tap, "import", ["import", "pictures", "-o", "data.mq"], 0)
        m.expect(tap, "train", ["train", "data.mq", "--imgsz", "71", "--dtype", "f32", "--head", "linear", "--stages",
                                "head:20@1e-3", "-o", "run"], 0)
        rows = stripes(150, 90)
        (m.folder / "a.png").write_bytes(as_png(rows))
        (m.folder / "other.png").write_bytes(as_png(flat(150, 90)))
        wanted = answer(tap, m, "a.png")
        tap.check("another picture has another answer", distance(wanted, answer(tap, m, "other.png")) > 0.05)
        files = {"a.tiff": tiff(rows), "a.bmp": bmp(rows), "a.gif": gif(rows)}
        if shutil.which("heif-enc"):  # with colours as sharp as greys, or the answer is for another picture
            files["a.heic"] = encode(m, "a.heic", as_png(rows), "-q", "95", "-p", "chroma=444")
            files["a.avif"] = encode(m, "a.avif", as_png(rows), "-A", "-q", "95", "-p", "chroma=444")
        else:
            tap.skip("HEIC and AVIF", "no heif-enc (libheif-examples)")
        for name, data in files.items():
            (m.folder / name).write_bytes(data)
            near = 0.03 if name.endswith(("heic", "avif")) else 1e-6  # both lose a little, the JPEG a little more
            said = answer(tap, m, name)
            tap.check(f"{name}: the answer for the same picture", distance(said, wanted) <= near, (said, wanted))
            kept = answer(tap, m, imported(tap, m, name))
            tap.check(f"{name}: the answer for what an import stores", distance(said, kept) <= near, (said, kept))
        turned = tiff([list(column) for column in zip(*rows)], turn=5)
        (m.folder / "turned.tiff").write_bytes(turned)
        tap.check("a turned TIFF is upright", distance(answer(tap, m, "turned.tiff"), wanted) <= 1e-6)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
