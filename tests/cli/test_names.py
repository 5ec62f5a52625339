"""test_names.py: marque import and the names of classes: such as people read as one, odd ones, very many."""
import json
import os
import sys
import time
import unicodedata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from marque import Marque  # noqa: E402
from tap import Tap  # noqa: E402
from test_import import cars, fill, png, rows, table  # noqa: E402
from test_sources import coco, tfds, voc, voc_text  # noqa: E402

import recordfile  # noqa: E402

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
ALIKE = "differ only in case or in the bytes that write their accents"


def classes(data):
    return [bytes.fromhex(c["bytes"]) if isinstance(c, dict) else c.encode()
            for c in json.loads((data / "dataset.json").read_text())["classes"]]


def test_alike(tap, m):
    """Two folders that people read as one are told, whatever makes them two."""
    for k, (one, two) in enumerate([("Ant", "ant"), (COMPOSED, DECOMPOSED), ("\u00c9tude", "e\u0301TUDE"), ("stra\u00dfe", "STRASSE"),
                                    ("\u1e69", "s\u0307\u0323"), (b"\xffAnt", b"\xffant")]):
        source = os.fsencode(m.folder / f"alike{k}")
        for name in (one, two, "wasp"):
            os.makedirs(os.path.join(source, os.fsencode(name)))
            with open(os.path.join(source, os.fsencode(name), b"0.png"), "wb") as file:
                file.write(png(8, 8, 10 * k + len(name)))
        run = m.expect(tap, f"classes {one} and {two}", ["import", f"alike{k}", "-o", "x.mq"], 65, err=[f"alike{k}: the classes", ALIKE])
        shown = [name.replace(b"\xff", b"?").decode() if isinstance(name, bytes) else name for name in (one, two)]
        tap.check("both are named", all(name in run.err for name in shown), run.err)
    tap.check("nothing is left", not (m.folder / "x.mq").exists())
    for k, (one, two) in enumerate([("\uff21", "A"), ("m2", "m\u00b2"), ("resume", "r\u00e9sum\u00e9"), ("a", "a "), (b"\xff\xe9", b"\xff\xc9")]):
        source = os.fsencode(m.folder / f"other{k}")
        for i, name in enumerate((one, two)):
            os.makedirs(os.path.join(source, os.fsencode(name)))
            for j in range(2):
                with open(os.path.join(source, os.fsencode(name), b"%d.png" % j), "wb") as file:
                    file.write(png(8, 8, 500 + 10 * k + 2 * i + j))
        m.expect(tap, f"classes {one} and {two}", ["import", f"other{k}", "-o", f"other{k}.mq"], 0)
        tap.check("are two", classes(m.folder / f"other{k}.mq") == sorted((os.fsencode(one), os.fsencode(two))))
    source = fill(m.folder / "empty", {"ant": 3, "bee": 3})
    (source / "Ant").mkdir()
    m.expect(tap, "an empty folder is no class", ["import", "empty", "-o", "empty.mq"], 0, out="6 pictures, 2 classes")
    (source / "ant").rename(source / "Bee")
    m.expect(tap, "an update, a class renamed", ["import", "empty", "-o", "empty.mq", "--update"], 65, err=["Bee and bee", ALIKE])
    (source / "Ant").rmdir()
    (source / "Bee").rename(source / "Ant")
    m.expect(tap, "an update, a class in another case", ["import", "empty", "-o", "empty.mq", "--update"], 65,
             err=["the class that was called ant is called Ant now", "call it as before"])


def test_sources(tap, m):
    """The same in every kind of source."""
    source = fill(m.folder / "pics", {"x": 4, "y": 4})
    (source / "list.csv").write_text("path,label\nx/000.png,Ant\nx/001.png,ant\ny/000.png,bee\n")
    m.expect(tap, "labels of a list", ["import", "pics/list.csv", "-o", "x.mq"], 65, err=["pics/list.csv: the classes Ant and ant", ALIKE])
    two = [{"id": 1, "name": COMPOSED}, {"id": 2, "name": DECOMPOSED}, {"id": 3, "name": "Unused"}, {"id": 4, "name": "unused"}]
    boxes = [(k, 1 + k % 2, [2, 2, 9, 9], {}) for k in range(4)]
    coco(m.folder / "coco/annotations/all.json", [(f"{k}.png", True) for k in range(4)], boxes, m.folder / "coco/images", two)
    m.expect(tap, "categories of COCO", ["import", "coco", "-o", "x.mq"], 65, err=["coco: the classes", ALIKE])
    boxes = [(k, (1, 3)[k % 2], [2, 2, 9, 9], {}) for k in range(4)]
    coco(m.folder / "coco/annotations/all.json", [(f"{k}.png", True) for k in range(4)], boxes, m.folder / "coco/images", two)
    m.expect(tap, "categories of COCO that are not used", ["import", "coco", "-o", "coco.mq"], 0, out="2 classes")
    voc(m.folder / "voc", 2)
    (m.folder / "voc/Annotations/2007_001.xml").write_text(voc_text("2007_001.png", [("Tricycle", 0, (1, 1, 40, 30))]))
    m.expect(tap, "objects of Pascal VOC", ["import", "voc", "-o", "x.mq"], 65, err=["voc: the classes Tricycle and tricycle", ALIKE])
    (m.folder / "records").mkdir()
    (m.folder / "records/x-train.tfrecord-00000-of-00001").write_bytes(recordfile.write(tfds(0, 6)))
    (m.folder / "records/label.labels.txt").write_text("ant\nbee\nAnt\n")
    m.expect(tap, "labels of records", ["import", "records", "-o", "x.mq"], 65, err=["records: the classes Ant and ant", ALIKE])
    cars(m.folder / "cars", table(6), names=("Audi TT", "AUDI TT"))
    m.expect(tap, "names of Stanford Cars", ["import", "cars", "-o", "x.mq"], 65, err=["cars: the classes AUDI TT and Audi TT", ALIKE])


def test_odd(tap, m):
    """Names that are hard to print are kept, byte for byte, in what is written."""
    names = [b"-rf", b"it's", b'"quoted"', b"tab\there", b"line\nend", b"not \xff utf-8", b"esc\x1b[31m", b"z" * 255, b"\xc3\xa9" * 127,
             b" edge ", b"com,ma", b"%s%n", b"\\back"]
    source = os.fsencode(m.folder / "odd")
    for k, name in enumerate(names):
        os.makedirs(os.path.join(source, name))
        for i in range(2):
            with open(os.path.join(source, name, (b"%d" % i + name)[:255]), "wb") as file:
                file.write(png(8, 8, 100 + 10 * k + i))
    run = m.expect(tap, "odd names of classes and pictures", ["import", "odd", "-o", "odd.mq"], 0, out="26 pictures, 13 classes")
    tap.check("no control character reaches the terminal", not any(c in run.out + run.err for c in "\x1b\t\udcff") and
              "line?end" in run.out and len(run.out.splitlines()) < 40, repr(run.out))
    tap.check("all classes are kept", classes(m.folder / "odd.mq") == sorted(names), classes(m.folder / "odd.mq"))
    made = [row["class"].encode("utf-8", "surrogateescape") for row in rows(m.folder / "odd.mq/split.csv")]
    tap.check("split.csv has every one twice", sorted(made) == sorted(2 * names), made)
    run = m.expect(tap, "as JSON", ["import", "odd", "-o", "odd.mq", "--update", "--json"], 0)
    told = [bytes.fromhex(c["name"]["bytes"]) if isinstance(c["name"], dict) else c["name"].encode()
            for c in json.loads(run.out)["classes"]]
    tap.check("has them, too", told == sorted(names), told)


def test_many(tap, m):
    """100,000 classes of one sample each: boxes of few pictures, so that it is the names that take the time."""
    many, each = 100000, 400  # boxes of a picture
    folder = m.folder / "many"
    folder.mkdir()
    for i in range(many // each):
        (folder / f"{i}.png").write_bytes(png(40, 30, i))
    box = [f"{x},{y},{x + 2},{y + 2}" for x in range(20) for y in range(20)]
    (folder / "list.csv").write_text("path,label,x1,y1,x2,y2\n" + "".join(
        f"{i % (many // each)}.png,c{i:06},{box[i // (many // each)]}\n" for i in range(many)))
    start = time.monotonic()
    m.expect(tap, "100,000 classes", ["import", "many/list.csv", "-o", "many.mq", "--val", "0", "--test", "0"], 0,
             out="100,000 pictures, 100,000 classes")
    seconds = time.monotonic() - start
    tap.check("take no more than 60 s", seconds < 60, seconds)
    made = json.loads((m.folder / "many.mq/dataset.json").read_text())
    tap.check("each has its number", made["classes"] == [f"c{i:06}" for i in range(many)] and made["counts"][-1] == [1, 0, 0])
    m.expect(tap, "their set is read", ["inspect", "many.mq"], 0)
    m.expect(tap, "and goes on", ["import", "many/list.csv", "-o", "many.mq", "--update"], 0, out="100,000 pictures keep their split, 0 are new")


def main():
    tap = Tap()
    for test in (test_alike, test_sources, test_odd, test_many):
        with Marque() as m:
            test(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
