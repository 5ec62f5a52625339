"""test_boxes.py: boxes whose annotations tell the size of picture they were drawn on: pictures that EXIF turns, and
pictures of another size; boxes without a pixel, of several objects, and none."""
import json
import struct
import sys
import time
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import recordfile  # noqa: E402
from marque import Marque  # noqa: E402
from tap import Tap  # noqa: E402
from test_foreign_pictures import turned  # noqa: E402
from test_import import cars, fill, png, table  # noqa: E402
from test_sources import coco, quarantine, taken  # noqa: E402

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


def listed(m, name, *lines):
    (m.folder / "pics" / name).write_text("\n".join(["path,label,x1,y1,x2,y2,split,group", *lines, ""]))
    return f"pics/{name}"


def test_no_pixel(tap, m):
    """A box in which no pixel lies is left out, whatever source it comes from; one whose edges are exchanged is an error."""
    fill(m.folder / "pics", {"x": 6, "y": 6}, (W, H))
    less = {"x/000.png": "10.2,10,10.4,20", "x/001.png": "10,10,10,20", "x/002.png": f"{W},{H},{W + 2},{H + 2}", "x/003.png": "-2,3,0,9"}
    whole = ["x/004.png,a,1,2,9,8,,", *(f"y/00{k}.png,b,,,,,," for k in range(6))]
    source = listed(m, "less.csv", *(f"{name},a,{box},," for name, box in less.items()), *whole)
    m.expect(tap, "a list with boxes of no pixel", ["import", source, "-o", "less.mq"], 0, out=["7 pictures", "4 a box of less than a pixel"])
    tap.check("leaves them out", quarantine(m, "less.mq") == dict.fromkeys(less, "a box of less than a pixel"), quarantine(m, "less.mq"))
    source = listed(m, "turned.csv", "x/000.png,a,10.4,10,10.2,20,,", "x/001.png,a,10,20,20,10,,", *whole)
    m.expect(tap, "exchanged edges", ["import", source, "-o", "x.mq"], 65,
             err="2 boxes have x2 < x1 or y2 < y1: line 2 (x/000.png), line 3 (x/001.png)")
    cars(m.folder / "cars", [*table(8), ("00009.png", 1, (5, 5, 5, 20), True)])
    m.expect(tap, "Stanford Cars with such a box", ["import", "cars", "-o", "cars.mq"], 0, out="8 pictures")
    tap.check("leaves it out", list(quarantine(m, "cars.mq").values()) == ["a box of less than a pixel"], quarantine(m, "cars.mq"))
    source = listed(m, "far.csv", "x/000.png,a,1,2,90,8,,", *whole)
    m.expect(tap, "a box of a list that lies outside", ["import", source, "-o", "x.mq"], 65, err=f": line 2 (x/000.png, {W} x {H})")
    voc(m.folder / "far", {str(n): (png(W, H, n), W, H, (1, 1, 9, 9) if n else (1, 1, 90, 9)) for n in range(4)})
    m.expect(tap, "one of Pascal VOC", ["import", "far", "-o", "x.mq"], 65, err=f": file 1 (JPEGImages/0.png#1, {W} x {H})")


def test_ignored(tap, m):
    """Without boxes the objects of a picture are the picture, if they are of one class."""
    fill(m.folder / "pics", {"x": 6, "y": 6}, (W, H))
    source = listed(m, "some.csv", "x/000.png,a,1,2,9,8,,", "x/000.png,a,11,2,19,8,,", "x/001.png,a,1,2,9,8,,", "x/001.png,b,11,2,19,8,,",
                    "x/002.png,a,1,2,9,8,train,", "x/002.png,a,11,2,19,8,test,", "x/003.png,a,1,2,9,8,,g", "x/003.png,a,11,2,19,8,,h",
                    "y/000.png,b,,,,,,", "y/001.png,b,99,2,3,8,,")
    m.expect(tap, "a list without its boxes", ["import", source, "-o", "list.mq", "--boxes", "ignore"], 0, out=["3 pictures, 2 classes"])
    tap.check("has each picture once", {name: got[0] for name, got in taken(m, "list.mq").items()} ==
              {"x/000.png": "a", "y/000.png": "b", "y/001.png": "b"}, taken(m, "list.mq"))
    tap.check("leaves out what its rows contradict", quarantine(m, "list.mq") == {
        "x/001.png": "shows objects of several classes", "x/002.png": "shows objects of several parts or groups",
        "x/003.png": "shows objects of several parts or groups"}, quarantine(m, "list.mq"))
    (m.folder / "pics/plain.csv").write_text("path,label\nx/000.png,a\nx/000.png,a\ny/000.png,b\n")
    m.expect(tap, "two rows without boxes", ["import", "pics/plain.csv", "-o", "x.mq", "--boxes", "ignore"], 65, err="lines 2 and 3 are both about x/000.png")
    voc(m.folder / "voc", {str(n): (png(W, H, n), W, H, BOX) for n in range(6)})
    for name in "01":
        path = m.folder / f"voc/Annotations/{name}.xml"
        path.write_text(path.read_text().replace("<object>", "<object><difficult>1</difficult>").replace("<xmax>20", "<xmax>2"))
    for how in ([], ["--boxes", "ignore"]):
        run = m.expect(tap, f"difficult objects with exchanged edges {' '.join(how)}", ["import", "voc", "-o", f"voc{len(how)}.mq", *how], 0, out="4 pictures")
        tap.check("are left out, each told as one", sorted(quarantine(m, f"voc{len(how)}.mq").values()) == ["marked as difficult"] * 2 and
                  "without annotation" not in run.out, (quarantine(m, f"voc{len(how)}.mq"), run.out))


def test_coco_bbox(tap, m):
    """Only no bbox, null and [] are the whole picture."""
    root = m.folder / "coco"
    def import_of(bbox, code, **how):  # noqa: E306
        coco(root / "labels.json", [(f"{n}.png", True) for n in range(4)], [(n, (3, 17)[n % 2], bbox if n == 1 else [1, 2, 9, 9], {}) for n in range(4)], root)
        m.expect(tap, f"a bbox {bbox!r}", ["import", "coco/labels.json", "-o", "coco.mq", "--dry-run"], code, **how)
    for bbox in ("5,6,7,8", 5, True, {}, {"x": 1}):
        import_of(bbox, 65, err="annotations, element 2: bbox is not four numbers")
    for bbox in (None, []):
        import_of(bbox, 0, out="4 pictures")
    import_of([1, 2, 300, 9], 65, err="annotation 2 (1.png#2, 40 x 30)")


def test_many_objects(tap, m):
    """Thousands of objects in one record: as long as their number, not as its square."""
    count = 25000
    sides = {f"image/object/bbox/{k}": [v] * count for k, v in (("xmin", 0.1), ("ymin", 0.2), ("xmax", 0.1), ("ymax", 0.2))}
    crowd = {"image/encoded": [png(W, H, 1)], **sides, "image/object/class/label": [1 + i % 2 for i in range(count)],
             "image/object/class/text": [(b"p", b"q")[i % 2] for i in range(count)]}
    (m.folder / "crowd").mkdir()
    (m.folder / "crowd/a.tfrecord").write_bytes(recordfile.write([crowd]))
    begin = time.monotonic()
    m.expect(tap, "a record of many objects", ["import", "crowd", "-o", "crowd.mq", "--dry-run"], 66)
    tap.check("is read in a moment", time.monotonic() - begin < 5, f"{time.monotonic() - begin:.1f} s")


def test_endings(tap, m):
    """XML beside pictures is of them, however their names end."""
    for k, ending in enumerate(("bmp", "tif", "PNG", "JPEG", "gif", "heic", "AVIF", "WEBP")):
        folder = m.folder / ending
        voc(folder, {str(n): (png(W, H, 10 * k + n), W, H, BOX) for n in range(4)})
        for n in range(4):
            text = (folder / f"Annotations/{n}.xml").read_text()
            (folder / f"{n}.xml").write_text(text.replace(f"{n}.png", f"{n}.{ending}"))
            (folder / f"JPEGImages/{n}.png").rename(folder / f"{n}.{ending}")
            (folder / f"Annotations/{n}.xml").unlink()
        for name in ("Annotations", "JPEGImages"):
            (folder / name).rmdir()
        (folder / f"more.{ending}").write_bytes(png(W, H, 99))
        m.expect(tap, f"XML beside .{ending}", ["import", ending, "-o", f"{ending}.mq"], 0,
                 out=["4 pictures, 2 classes (class = name of the object)", "1 picture lies beside these without annotation"])


def main():
    tap = Tap()
    for test in (test_turned, test_other_sizes, test_no_pixel, test_ignored, test_coco_bbox, test_many_objects, test_endings):
        with Marque() as m:
            test(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
