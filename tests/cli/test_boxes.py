"""test_boxes.py: boxes whose annotations tell the size of picture they were drawn on: pictures that EXIF turns, and
pictures of another size."""
import json
import struct
import sys
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from marque import Marque  # noqa: E402
from tap import Tap  # noqa: E402
from test_foreign_pictures import turned  # noqa: E402
from test_import import png  # noqa: E402
from test_sources import taken  # noqa: E402

W, H = 40, 30
BOX = (3, 5, 20, 11)  # edges: x1, y1, x2, y2


def turned_png(turn, shade):
    """A PNG with an EXIF block that gives its orientation."""
    data = png(W, H, shade)
    exif = b"eXIf" + struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 0x112, 3, 1, turn, 0, 0)
    chunk = struct.pack(">I", len(exif) - 4) + exif + struct.pack(">I", zlib.crc32(exif))
    return data[:33] + chunk + data[33:]


def stored_box(turn):
    """Where the pixels of BOX in the upright picture lie in the stored one."""
    upright = turned([[(x, y) for x in range(W)] for y in range(H)], turn)
    inside = [upright[y][x] for y in range(BOX[1], BOX[3]) for x in range(BOX[0], BOX[2])]
    xs, ys = [x for x, _ in inside], [y for _, y in inside]
    return min(xs), min(ys), max(xs) + 1, max(ys) + 1


def voc(folder, files):
    """Pascal VOC of files {name: (bytes, width, height, box)}, classes in turns."""
    for name in ("Annotations", "JPEGImages"):
        (folder / name).mkdir(parents=True)
    for k, (name, (data, width, height, box)) in enumerate(files.items()):
        (folder / "JPEGImages" / f"{name}.png").write_bytes(data)
        (folder / "Annotations" / f"{name}.xml").write_text(
            f"<annotation><filename>{name}.png</filename><size><width>{width}</width><height>{height}</height></size>"
            f"<object><name>{'ab'[k % 2]}</name><bndbox><xmin>{box[0] + 1}</xmin><ymin>{box[1] + 1}</ymin>"
            f"<xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object></annotation>")


def boxes(m, data):
    return {name.split("/")[-1].split(".")[0]: box for name, (_, _, box) in taken(m, data).items()}


def test_turned(tap, m):
    """Tools that show a photo upright write the upright size with the box."""
    quarter = range(5, 9)
    voc(m.folder / "upright", {str(n): (turned_png(n, n), H, W, BOX) for n in quarter})
    run = m.expect(tap, "boxes drawn on turned pictures", ["import", "upright", "-o", "upright.mq", "--test", "0.5"], 0,
                   out="4 boxes were drawn on their pictures as EXIF turns them, and are turned with it")
    got = boxes(m, "upright.mq")
    tap.check("lie on the same pixels of the stored ones", got == {str(n): stored_box(n) for n in quarter}, got)
    tap.check("without a warning", "another size" not in run.err, run.err)
    report = json.loads(m.run(["import", "upright", "-o", "x.mq", "--dry-run", "--json"]).out)
    tap.check("are counted for programs", report["boxes_turned"] == 4, report)
    voc(m.folder / "stored", {str(n): (turned_png(n, n), W, H, BOX) for n in range(1, 9)})
    run = m.expect(tap, "boxes drawn on pictures as they are stored", ["import", "stored", "-o", "stored.mq"], 0)
    tap.check("stay", set(boxes(m, "stored.mq").values()) == {BOX} and "EXIF" not in run.out, run.out)


def test_other_sizes(tap, m):
    files = {"right": (png(W, H, 1), W, H, BOX), "smaller": (png(W, H, 2), 2 * W, 2 * H, BOX),
             "across": (turned_png(3, 3), H, W, BOX), "nothing": (png(W, H, 4), 0, 0, BOX),
             "of-the-box": (png(W, H, 5), BOX[2] - BOX[0], BOX[3] - BOX[1], BOX), "words": (png(W, H, 6), "?", "nan", BOX)}
    voc(m.folder / "other", files)
    run = m.expect(tap, "boxes drawn on pictures of other sizes", ["import", "other", "-o", "other.mq"], 0,
                   err=["other: 2 boxes were drawn on a picture of another size, and taken as they are: ",
                        "across.png#1 is 40 x 30, annotated as 30 x 40", "smaller.png#1 is 40 x 30, annotated as 80 x 60"])
    tap.check("a size that does not hold its box tells nothing", all(n not in run.err for n in ("nothing", "of-the", "words")),
              run.err)
    tap.check("all are taken as they are", set(boxes(m, "other.mq").values()) == {BOX}, boxes(m, "other.mq"))


def main():
    tap = Tap()
    for test in (test_turned, test_other_sizes):
        with Marque() as m:
            test(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
