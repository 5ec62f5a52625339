"""test_sources.py: marque import from what others publish and people list: COCO, Pascal VOC, TFRecord, lists on stdin,
Stanford Cars in all its forms. Every source is made here, small, by the standard library."""
import gzip
import json
import shutil
import struct
import sys
import time
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import matfile  # noqa: E402
import pictures  # noqa: E402
import recordfile  # noqa: E402
from eventfile import masked  # noqa: E402
from marque import Marque  # noqa: E402
from tap import Tap  # noqa: E402
from test_import import cars, content, fill, png, rows  # noqa: E402
from test_import import table as car_table  # noqa: E402


def taken(m, data):
    """{name: (class, split, box)} of a data set's pictures."""
    return {r["file"]: (r["class"], r["split"], tuple(int(r[k]) for k in ("x1", "y1", "x2", "y2")) if r["x1"] else None)
            for r in rows(m.folder / data / "split.csv")}


def quarantine(m, data):
    return {r["file"]: r["reason"] for r in rows(m.folder / data / "quarantine.csv")}


# --- COCO

CATEGORIES = [{"id": 90, "name": "none"}, {"id": 17, "name": "ape", "supercategory": "animal"}, {"id": 3, "name": "cat"}]


def coco(path, pictures, annotations, place, categories=CATEGORIES, first=0):
    """A file of annotations; pictures [(file, is there)], annotations [(picture, category, bbox, more)]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place.mkdir(parents=True, exist_ok=True)
    for k, (file, there) in enumerate(pictures):
        if there:
            (place / file).parent.mkdir(parents=True, exist_ok=True)
            (place / file).write_bytes(png(40, 30, 100 + first + k))
    data = {"info": {"text": "a \"quoted\" ] } word \\"}, "licenses": [],
            "images": [{"id": 1000 - k, "file_name": file, "width": 40, "height": 30}
                       for k, (file, _) in enumerate(pictures)],
            "annotations": [{"id": first + 1 + k, "image_id": 1000 - p, "category_id": c, "bbox": box, "iscrowd": 0,
                             "segmentation": [[1, 2, 3.5, 4]], **more}
                            for k, (p, c, box, more) in enumerate(annotations)],
            "categories": categories}
    path.write_text(json.dumps(data))
    return path


def boxes_of(count):
    """For each picture a cat and an ape."""
    return [(k // 2, (3, 17)[k % 2], [2 + k % 2, 3.4, 20.0, 10.2], {}) for k in range(2 * count)]


def test_coco(tap, m):
    root = m.folder / "coco"
    pictures = [(f"{i:03}.png", True) for i in range(12)]
    coco(root / "annotations/instances_train2017.json", pictures[:8], boxes_of(8), root / "train2017")
    coco(root / "annotations/instances_val2017.json", pictures[8:], boxes_of(4), root / "images/val2017", first=100)
    run = m.expect(tap, "COCO", ["import", "coco", "-o", "coco.mq"], 0,
                   out=["24 pictures, 2 classes (class = category of the annotation)", "boxes of 12 pictures",
                        "train 16  val 8  test 0"], err="1 class has no picture")
    got = taken(m, "coco.mq")
    tap.check("a box is a picture, named by its annotation, in pixels", got["train2017/000.png#1"] ==
              ("cat", "train", (2, 3, 22, 14)) and got["images/val2017/008.png#102"] == ("ape", "val", (3, 3, 23, 14)), got)
    tap.check("classes are in the order of categories", classes_of(m, "coco.mq") == ["cat", "ape"])
    tap.check("boxes of one picture are no copies of each other", "copies" not in run.out, run.out)
    one = "coco/annotations/instances_train2017.json"
    m.expect(tap, "one JSON of COCO", ["import", one, "-o", "one.mq"], 0, out="16 pictures")
    parts = {}
    for name, (_, split, _) in taken(m, "one.mq").items():
        parts.setdefault(name.split("#")[0], set()).add(split)
    tap.check("is split by itself, and no picture lies in two parts", all(len(p) == 1 for p in parts.values()) and
              len(set.union(*parts.values())) == 3, parts)
    before = content(m.folder / "one.mq")
    m.expect(tap, "is updated", ["import", one, "-o", "one.mq", "--update"], 0,
             out="16 pictures keep their split, 0 are new")
    tap.check("to the same bytes", before == content(m.folder / "one.mq"))
    m.expect(tap, "five workers", ["import", one, "-o", "five.mq", "-j", "5"], 0)
    tap.check("change nothing", before == content(m.folder / "five.mq"))
    (m.folder / "split.csv").write_text("path,split\ntrain2017/000.png,test\ntrain2017/001.png#3,test\n")
    m.expect(tap, "--split-file names pictures or boxes", ["import", one, "-o", "placed.mq", "--split-file", "split.csv"], 0)
    got = {name: split for name, (_, split, _) in taken(m, "placed.mq").items() if split == "test"}
    tap.check("and places all boxes of a picture", {"train2017/000.png#1", "train2017/000.png#2", "train2017/001.png#3",
                                                    "train2017/001.png#4"} == set(got), got)
    m.expect(tap, "pictures with objects of several classes as wholes", ["import", one, "-o", "x.mq", "--boxes", "ignore"],
             66, err="shows objects of several classes")
    m.expect(tap, "--annotations names a JSON elsewhere",
             ["import", "coco/train2017", "--annotations", one, "-o", "else.mq"], 0, out="16 pictures")
    m.expect(tap, "--store crop", ["import", one, "-o", "cut.mq", "--store", "crop"], 0, out="stored cut, as PNG")
    for part in ("train2017", "val2017"):
        (root / f"annotations/instances_{part}.json").rename(root / f"annotations/{part}.json")
    m.expect(tap, "annotations by other names", ["import", "coco", "-o", "other.mq"], 0, out="train 16  val 8")
    exported = m.folder / "exported"
    for k, part in enumerate(("train", "valid", "test")):
        coco(exported / part / "_annotations.coco.json", pictures[4 * k:4 * k + 4], boxes_of(4), exported / part, first=8 * k)
    m.expect(tap, "a JSON beside the pictures of each part", ["import", "exported", "-o", "exported.mq"], 0,
             out="train 8  val 8  test 8")


def test_coco_odd(tap, m):
    """What is left out and what is whole, with reasons; then what is refused."""
    root = m.folder / "odd-coco"
    pictures = [(f"p/{i}.png", True) for i in range(8)]
    annotations = [*boxes_of(6), (6, 3, [1, 1, 9, 9], {"iscrowd": 1}), (6, 3, [4, 4, 0.2, 9], {}), (7, 17, [], {}),
                   (7, 17, [], {}), (0, 3, [38, 28, 4, 4], {})]
    path = coco(root / "labels.json", pictures, annotations, root)
    m.expect(tap, "COCO with oddities", ["import", path, "-o", "odd-coco.mq"], 0, out="14 pictures, 2 classes")
    got, left = taken(m, "odd-coco.mq"), quarantine(m, "odd-coco.mq")
    tap.check("a crowd and a box without a pixel are left out, with the reason",
              left == {"p/6.png#13": "a crowd, not one object (iscrowd)", "p/6.png#14": "a box of less than a pixel"}, left)
    tap.check("an annotation without bbox is the whole picture, once", got["p/7.png"][0] == "ape" and
              got["p/7.png"][2] is None, got)
    tap.check("two pixels over the edge are cut", got["p/0.png#17"][2] == (38, 28, 40, 30), got)
    (root / "p/3.png").write_bytes(png(40, 30, 9)[:-30])
    m.expect(tap, "a damaged picture", ["import", path, "-o", "torn.mq"], 0, out="12 pictures")
    tap.check("is left out with all its boxes", {"p/3.png#7", "p/3.png#8"} <= set(quarantine(m, "torn.mq")))
    good = json.loads(path.read_text())

    def refuse(name, change, code, words):
        data = json.loads(json.dumps(good))
        change(data)
        (root / "bad.json").write_text(json.dumps(data))
        m.expect(tap, f"COCO with {name}", ["import", root / "bad.json", "-o", "refused.mq"], code, err=words)
        tap.check(f"COCO with {name} leaves nothing", not (m.folder / "refused.mq").exists())

    refuse("no annotations", lambda d: d.pop("annotations"), 65, "bad.json: holds no list called annotations")
    refuse("an unknown image", lambda d: d["annotations"][4].update(image_id=5), 65,
           "bad.json: annotations, element 5: no image has the id 5")
    refuse("an unknown category", lambda d: d["annotations"][4].update(category_id=5), 65, "no category has the id 5")
    refuse("a box of words", lambda d: d["annotations"][4].update(bbox=[1, 2, "3", 4]), 65, "bbox is not four numbers")
    refuse("a box of three", lambda d: d["annotations"][4].update(bbox=[1, 2, 3]), 65, "bbox is not four numbers")
    refuse("an endless box", lambda d: d["annotations"][4].update(bbox=[1, 2, 1e300, 4]), 65, "of sensible size")
    refuse("a negative width", lambda d: d["annotations"][4].update(bbox=[9, 2, -3, 4]), 65,
           "1 box has x2 < x1 or y2 < y1: annotation 5 (p/2.png)")
    refuse("a box outside", lambda d: d["annotations"][4].update(bbox=[9, 2, 300, 4]), 65,
           "1 of 11 boxes lie more than 2 pixels outside")
    refuse("a path that climbs out", lambda d: d["images"][1].update(file_name="../x.png"), 65,
           "images, element 2: names a picture outside the source")
    refuse("an absolute path", lambda d: d["images"][1].update(file_name="/etc/passwd"), 65, "outside the source")
    refuse("one id twice", lambda d: d["images"][1].update(id=1000), 65, "two images have the id 1000")
    refuse("an annotation twice", lambda d: d["annotations"].append(d["annotations"][0]), 65,
           "annotations 1 and 1 are both about p/0.png#1")
    refuse("a missing picture", lambda d: d["images"][1].update(file_name="gone.png"), 66,
           ["2 of 17 rows have no picture below", "annotation 3 (gone.png), annotation 4 (gone.png)", "--allow-missing"])
    m.expect(tap, "COCO, missing pictures allowed", ["import", root / "bad.json", "-o", "some.mq", "--allow-missing"], 0,
             out="2 annotation rows have no picture")
    text = path.read_text()
    for name, damaged in (("cut off", text[:len(text) // 2]), ("no JSON", "hello"), ("empty", ""), ("a list", "[]"),
                          ("deep", '{"categories": ' + "[" * 100000), ("a hole", text.replace('"bbox": [', '"bbox": ', 1))):
        (root / "bad.json").write_text(damaged)
        m.expect(tap, f"JSON that is {name}", ["import", root / "bad.json", "-o", "refused.mq"], 65, err="bad.json: ")


# --- Pascal VOC

OBJECT = """<object><name>{name}</name><pose>Left</pose><truncated>1</truncated><difficult>{hard}</difficult>
<bndbox><xmin>{0}</xmin><ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax></bndbox>
<part><name>head</name><bndbox><xmin>3</xmin><ymin>3</ymin><xmax>4</xmax><ymax>4</ymax></bndbox></part></object>"""


def voc_text(file, objects):
    """objects: [(name, difficult, (xmin, ymin, xmax, ymax))]"""
    return (f"<annotation>\n<folder>VOC</folder><filename>{file}</filename><size><width>40</width><height>30</height>"
            "<depth>3</depth></size>" + "".join(OBJECT.format(*box, name=n, hard=h) for n, h, box in objects) +
            "<segmented>0</segmented></annotation>\n")


def voc(root, count, sets=None, xml="Annotations", jpeg="JPEGImages"):
    for folder in {xml, jpeg, "ImageSets/Main"}:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for k in range(count):
        (root / jpeg / f"2007_{k:03}.png").write_bytes(png(40, 30, 700 + k))
        (root / xml / f"2007_{k:03}.xml").write_text(voc_text(f"2007_{k:03}.png", [
            ("tricycle", 0, (1, 1, 40, 30)), ("person", 0, ("10.2", 5, 20, "25.0")), ("person", 1, (2, 2, 5, 5))]))
    for name, stems in (sets or {}).items():
        (root / f"ImageSets/Main/{name}.txt").write_text("".join(f"2007_{k:03}\r\n" for k in stems))
    return root


def test_voc(tap, m):
    voc(m.folder / "voc", 12, {"train": range(6), "val": range(6, 9), "test": range(9, 12), "tricycle_train": [0]})
    m.expect(tap, "Pascal VOC", ["import", "voc", "-o", "voc.mq"], 0,
             out=["24 pictures, 2 classes (class = name of the object)", "boxes of 12 pictures", "train 12  val 6  test 6"])
    got = taken(m, "voc.mq")
    tap.check("pixels count from 1, and parts are no objects", got["JPEGImages/2007_000.png#1"] ==
              ("tricycle", "train", (0, 0, 40, 30)) and got["JPEGImages/2007_009.png#2"] ==
              ("person", "test", (9, 4, 20, 25)), got)
    tap.check("classes are in the order of their names", classes_of(m, "voc.mq") == ["person", "tricycle"])
    left = quarantine(m, "voc.mq")
    tap.check("difficult objects are left out, truncated ones not",
              len(left) == 12 and left["JPEGImages/2007_000.png#3"] == "marked as difficult", left)
    voc(m.folder / "older", 12, {"trainval": range(9), "test": range(8, 14)})
    m.expect(tap, "trainval is train, and lends to val; test goes before it", ["import", "older", "-o", "older.mq"], 0,
             out="train 14  val 2  test 8", err="2 names in ImageSets/Main have no file of annotations")
    spaced = voc(m.folder / "spaced", 12, {"train": range(6), "val": range(6, 9)})
    for name in ("Annotations/2007_011.xml", "JPEGImages/2007_011.png"):
        (spaced / name).rename(spaced / name.replace("2007_011", "IMG 011"))
    text = (spaced / "Annotations/IMG 011.xml").read_text()
    (spaced / "Annotations/IMG 011.xml").write_text(text.replace("2007_011", "IMG 011"))
    (spaced / "ImageSets/Main/test.txt").write_bytes(b"\xef\xbb\xbf2007_009\nIMG 011 \r\n2007_010 -1\n")
    m.expect(tap, "sets with blanks in a name, behind it, and a byte order mark", ["import", spaced, "-o", "spaced.mq"], 0,
             out="train 12  val 6  test 6", no_err="ImageSets")
    flat = voc(m.folder / "flat", 12, xml="", jpeg="")
    (flat / "notes.xml").write_text("<annotation><filename>none.png</filename></annotation>")
    m.expect(tap, "XML files beside pictures", ["import", flat, "-o", "flat.mq"], 66, err="1 of 13 rows has no picture")
    m.expect(tap, "XML files beside pictures", ["import", flat, "-o", "flat.mq", "--allow-missing"], 0, out="24 pictures")
    fill(m.folder / "classes", {"a": 3, "b": 3})
    (m.folder / "classes/other.xml").write_text("<x/>")
    m.expect(tap, "an XML file beside class folders", ["import", "classes", "-o", "classes.mq"], 0,
             out="class = top folder")
    (m.folder / "devkit").mkdir()
    (m.folder / "devkit/VOC2007").symlink_to(m.folder / "voc")
    m.expect(tap, "the folder above", ["import", "devkit", "-o", "x.mq"], 64, err="holds Pascal VOC in VOC2007; import that")
    m.expect(tap, "pictures as wholes", ["import", "voc", "-o", "whole.mq", "--boxes", "ignore"], 66,
             err="shows objects of several classes")
    path = m.folder / "voc/Annotations/2007_005.xml"
    good = path.read_text()
    path.write_text(good.replace("2007_005.png", "other.png"))
    m.expect(tap, "a wrong name in the XML", ["import", "voc", "-o", "named.mq"], 0, out="24 pictures")
    bomb = '<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "&x;&x;">]>' + good
    for name, text, words in (
            ("cut off", good[:200], "Annotations/2007_005.xml:"), ("empty", "", "Annotations/2007_005.xml:"),
            ("of entities", bomb, "2007_005.xml:1: has a document type declaration"),
            ("deep", "<a>" * 100, "elements in elements"), ("of long text", f"<a>{'x' * 5000}</a>", "more text"),
            ("without a side", good.replace("<ymax>30</ymax>", ""), "the box of object 1 lacks a side"),
            ("without a name", good.replace("<name>tricycle</name>", ""), "object 1 has no name"),
            ("with a decimal comma", good.replace("25.0", "25,0"), 'object 2 has "25,0" for a side'),
            ("with a box of no number", good.replace("25.0", "nan"), 'object 2 has "nan" for a side'),
            ("inverted", good.replace("<xmin>10.2", "<xmin>30"), "1 box has x2 < x1 or y2 < y1: file 6"),
            ("with a box outside", good.replace("25.0", "2500"), "boxes lie more than 2 pixels outside")):
        path.write_text(text)
        m.expect(tap, f"XML that is {name}", ["import", "voc", "-o", "refused.mq"], 65, err=words)
        tap.check(f"XML that is {name} leaves nothing", not (m.folder / "refused.mq").exists())
    path.write_text(good)
    secret = m.folder / "secret.png"
    secret.write_bytes(png(40, 30, 5))
    (m.folder / "voc/JPEGImages/2007_004.png").unlink()
    (m.folder / "voc/JPEGImages/2007_004.png").symlink_to(secret)
    m.expect(tap, "a link that leads out", ["import", "voc", "-o", "link.mq"], 0, out="22 pictures")
    tap.check("is left out", quarantine(m, "link.mq")["JPEGImages/2007_004.png#1"] ==
              "a link that leads out of the source folder (--follow all takes it)")


# --- TFRecord

def shards(folder, name, records, count):
    """name is a pattern of the shards' names; records are dealt out in turns."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        (folder / name.format(i, count)).write_bytes(recordfile.write(records[i::count]))


def slim(first, count, text=True, **more):
    """Records of TensorFlow's shape: labels 1 to 3."""
    words = [b"ant", b"bee", b"cat"]
    return [{"image/encoded": [png(20 + k % 3, 10, 50 + first + k)], "image/format": [b"png"],
             "image/class/label": [1 + k % 3], "image/filename": [b"%d.png" % (first + k)],
             **({"image/class/text": [words[k % 3]]} if text else {}), **more} for k in range(count)]


def tfds(first, count, name="label", **more):
    """Records of TensorFlow Datasets' shape: labels 0 to 2, no names of files."""
    return [{"image": [png(20, 10 + k % 3, 400 + first + k)], name: [k % 3], **more} for k in range(count)]


def classes_of(m, data):
    return json.loads((m.folder / data / "dataset.json").read_text())["classes"]


def test_tfrecord(tap, m):
    shards(m.folder / "slim", "x_train_{:05}-of-{:05}.tfrecord", slim(0, 18), 2)
    shards(m.folder / "slim", "x_validation_{:05}-of-{:05}.tfrecord", slim(18, 6), 1)
    m.expect(tap, "TensorFlow's shape", ["import", "slim", "-o", "slim.mq"], 0,
             out=["24 pictures, 3 classes (class = label of the record)", "train 18  val 6  test 0"])
    got = taken(m, "slim.mq")
    tap.check("names, labels and parts are the records'", got["4.png"] == ("bee", "train", None) and
              got["20.png"] == ("cat", "val", None) and classes_of(m, "slim.mq") == ["ant", "bee", "cat"], got)
    m.expect(tap, "one shard", ["import", "slim/x_train_00000-of-00002.tfrecord", "-o", "shard.mq"], 0,
             out=["9 pictures", "test 3"])
    m.expect(tap, "our own shards", ["import", "slim.mq", "-o", "again.mq"], 0, out="train 18  val 6  test 0")
    tap.check("give the same data set", content(m.folder / "again.mq") == content(m.folder / "slim.mq"))
    before = content(m.folder / "slim.mq")
    m.expect(tap, "an update", ["import", "slim", "-o", "slim.mq", "--update", "-j", "3"], 0, out="24 pictures")
    tap.check("that adds nothing changes nothing", before == content(m.folder / "slim.mq"))
    (m.folder / "slim/x_train_00001-of-00002.tfrecord").rename(m.folder / "kept")
    m.expect(tap, "a missing shard", ["import", "slim", "-o", "x.mq"], 66, err="shard 1 is missing behind x_train_00000-of-00002")
    m.expect(tap, "--allow-missing", ["import", "slim", "-o", "someshards.mq", "--allow-missing"], 0, out="15 pictures")

    root = m.folder / "birds/1.0.0"
    shards(root, "birds-train.tfrecord-{:05}-of-{:05}", tfds(0, 12), 3)
    shards(root, "birds-test.tfrecord-{:05}-of-{:05}", tfds(12, 6), 1)
    (root / "label.labels.txt").write_text("Black footed\nLaysan\nSooty\n")
    m.expect(tap, "TensorFlow Datasets' shape", ["import", "birds/1.0.0", "-o", "birds.mq"], 0,
             out=["18 pictures, 3 classes", "test 6"])
    got = taken(m, "birds.mq")
    tap.check("labels count from 0, pictures are called by shard and place",
              got["birds-train.tfrecord-00000-of-00003:1"][0] == "Black footed" and
              got["birds-test.tfrecord-00000-of-00001:2"][:2] == ("Sooty", "test"), got)


def test_tfrecord_labels(tap, m):
    """Numbers without text: from 0, from 1, with and without lines of names."""
    for name, first, lines, wanted in (
            ("numbers", slim(0, 9, False), None, ["1", "2", "3"]),
            ("as many lines as the highest label", slim(0, 9, False), "x\ny\nz\n", ["x", "y", "z"]),
            ("lines behind a byte order mark", slim(0, 9, False), "\ufeffx\ny\nz\n", ["x", "y", "z"]),
            ("lines with numbers", slim(0, 9, False), "0:none\n3:z\n2:y\r\n1:x\n", ["x", "y", "z"]),
            ("more lines than labels", slim(0, 9, False), "x\ny\nz\nw", ["x", "y", "z"]),
            ("label 0", tfds(0, 9, "image/class/label"), "x\ny\nz\n", ["x", "y", "z"]),
            ("one name for two lines", tfds(0, 9), "x\ny\ny\n", ["x", "y (1)", "y (2)"]),
            ("text for a label", [{"image": r["image"], "label": [[b"b", b"a"][r["label"][0] % 2]]} for r in tfds(0, 9)],
             None, ["a", "b"]),
            ("one text for two numbers", slim(0, 6) + slim(6, 3, **{"image/class/label": [9], "image/class/text": [b"ant"]}),
             None, ["ant (1)", "bee", "cat", "ant (9)"]),
            ("several labels for some", tfds(0, 9) + tfds(9, 2, **{"label": [1, 2]}), None, ["0", "1", "2"]),
            ("no label for some", tfds(0, 9) + tfds(9, 2, **{"label": [-1]}), None, ["0", "1", "2"])):
        root = m.folder / "labels"
        shards(root, "a.tfrecord", first, 1)
        (root / "labels.txt").unlink(missing_ok=True)
        if lines:
            (root / "labels.txt").write_text(lines)
        run = m.expect(tap, f"labels: {name}", ["import", root, "-o", "labels.mq"], 0)
        tap.check(f"labels: {name}: the classes", classes_of(m, "labels.mq") == wanted, classes_of(m, "labels.mq"))
        tap.check(f"labels: {name}: a doubt is told", ("may be that of 0 or 1" in run.err) == name.startswith("more"), run.err)
        left, why = quarantine(m, "labels.mq"), f"has {name.removesuffix(' for some')}" if name.endswith("some") else ""
        tap.check(f"labels: {name}: what has none, or several, is left out",
                  left == ({"a.tfrecord:9": why, "a.tfrecord:10": why} if why else {}), left)
        for path in (m.folder / "labels.mq").iterdir():
            path.unlink()
    shards(root, "a.tfrecord", slim(0, 9, False), 1)
    (root / "labels.txt").write_text("x\n1:y\n")
    m.expect(tap, "labels.txt of two minds", ["import", root, "-o", "x.mq"], 65, err="1 of its 2 lines begin with a number")
    (root / "labels.txt").write_text("0:x\n1:y\n")
    m.expect(tap, "labels.txt without a line", ["import", root, "-o", "x.mq"], 65, err="has no line for label 2")
    (root / "labels.txt").write_text("0:x\n1:y\n2:z\n1:w\n")
    m.expect(tap, "labels.txt with a number twice", ["import", root, "-o", "x.mq"], 65, err="labels.txt: two lines are of the number 1")
    shards(root, "a.tfrecord", slim(0, 3) + slim(3, 3, **{"image/class/text": [b"ape"]}), 1)
    m.expect(tap, "one number with two texts", ["import", root, "-o", "x.mq"], 65,
             err=['record 3 at byte', 'calls label 1 "ape", an earlier record "ant"'])


def test_tfrecord_boxes(tap, m):
    side = {f"image/object/bbox/{k}": [v] for k, v in (("xmin", 0.1), ("ymin", 0.2), ("xmax", 0.5), ("ymax", 1.0))}
    one = [{**r, **side, "image/encoded": [png(20, 10, 900 + k)]} for k, r in enumerate(slim(0, 9))]
    shards(m.folder / "one", "a.tfrecord", one, 1)
    m.expect(tap, "a box in a record", ["import", "one", "-o", "onebox.mq"], 0, out="9 pictures, 3 classes")
    got = taken(m, "onebox.mq")
    tap.check("is in pixels, and needs no number", got["0.png"][2] == (2, 2, 10, 10), got)
    m.expect(tap, "our own shards with boxes", ["import", "onebox.mq", "-o", "onebox2.mq"], 0)
    tap.check("keep them", taken(m, "onebox2.mq") == {**got, **{k: (c, taken(m, "onebox2.mq")[k][1], b) for k, (c, _, b) in
              got.items()}})
    two = {"image/object/bbox/xmin": [0.1, 0.5], "image/object/bbox/ymin": [0.0, 0.5], "image/object/bbox/xmax": [0.6, 1.0],
           "image/object/bbox/ymax": [0.5, 1.0], "image/object/class/label": [1, 2], "image/object/class/text": [b"p", b"q"]}
    detect = [{"image/encoded": [png(20, 10, 950 + k)], "image/filename": [b"same.png"], **two} for k in range(6)]
    shards(m.folder / "two", "a.tfrecord", detect, 1)
    m.expect(tap, "objects with labels of their own", ["import", "two", "-o", "two.mq"], 0,
             out=["12 pictures, 2 classes", "boxes of 6 pictures"])
    got = taken(m, "two.mq")
    tap.check("records of one name are told apart", got["same.png@a.tfrecord:0#1"][0] == "p" and
              got["same.png@a.tfrecord:5#2"][2] == (10, 5, 20, 10), got)
    tap.check("boxes of a record share a part", all(got[f"same.png@a.tfrecord:{k}#1"][1] ==
              got[f"same.png@a.tfrecord:{k}#2"][1] for k in range(6)), got)
    m.expect(tap, "objects of several classes as one picture", ["import", "two", "-o", "x.mq", "--boxes", "ignore"], 66,
             err="shows objects of several classes")
    cars = [{**r, "bbox": [0.2, 0.1, 1.0, 0.5]} for r in tfds(0, 9)]
    shards(m.folder / "cars196", "cars196-train.tfrecord-{:05}-of-{:05}", cars, 1)
    m.expect(tap, "TensorFlow Datasets' bbox", ["import", "cars196", "-o", "cars196.mq"], 0)
    got = taken(m, "cars196.mq")
    tap.check("is ymin, xmin, ymax, xmax", got["cars196-train.tfrecord-00000-of-00001:0"][2] == (2, 2, 10, 10), got)
    shards(m.folder / "objects", "a.tfrecord", [{"image": r["image"], "objects/bbox": [0.0, 0.0, 0.5, 0.5, 0.5, 0.5, 1.0, 1.0],
                                                 "objects/label": [4, 7]} for r in tfds(0, 6)], 1)
    m.expect(tap, "TensorFlow Datasets' objects", ["import", "objects", "-o", "objects.mq"], 0, out="12 pictures, 2 classes")
    for name, change, words in (("fewer sides", {"image/object/bbox/ymax": []}, "not as many of image/object/bbox/ymax as of"),
                                ("an inverted box", {"image/object/bbox/xmax": [0.05]}, "box has x2 < x1"),
                                ("a box outside", {"image/object/bbox/xmax": [1.9]}, "boxes lie more than 2 pixels outside"),
                                ("a box of no number", {"image/object/bbox/xmax": [float("nan")]}, "of sensible size"),
                                ("integers for sides", {"image/object/bbox/xmax": [1]}, "not as many of")):
        shards(m.folder / "one", "a.tfrecord", one[:4] + [{**one[4], **change}] + one[5:], 1)
        m.expect(tap, f"a record with {name}", ["import", "one", "-o", "refused.mq"], 65, err=words)
    m.expect(tap, "--boxes ignore", ["import", "one", "-o", "ignored.mq", "--boxes", "ignore"], 0, out="9 pictures")
    tap.check("keeps whole pictures", all(box is None for _, _, box in taken(m, "ignored.mq").values()))


def test_tfrecord_damage(tap, m):
    folder = m.folder / "damage"
    shards(folder, "a.tfrecord", slim(0, 9), 1)
    path = folder / "a.tfrecord"
    good = path.read_bytes()
    size, = struct.unpack_from("<Q", good)
    second = 16 + size

    def changed(at, value):
        return good[:at] + bytes([good[at] ^ value]) + good[at + 1:]

    huge = struct.pack("<Q", 1 << 63)
    for name, data, words in (
            ("a length that fails its checksum", changed(second + 8, 1), f"the length of record 1 at byte {second} fails"),
            ("data that fail their checksum", changed(second + 40, 1), f"record 1 at byte {second} fails its checksum"),
            ("a length of 2^63", good[:second] + huge + struct.pack("<I", masked(huge)) + good[second + 12:],
             f"record 1 at byte {second} says {1 << 63} bytes"),
            ("a torn tail", good[:-5], "record 8 at byte"), ("a torn header", good + b"1234", "record 9 at byte"),
            ("another message", good + recordfile.frame(b"\x0b\x0c"), "record 9 at byte"),
            ("no picture", good + recordfile.write([{"x": [1]}]), "neither image/encoded nor image"),
            ("a GZIP that is cut", gzip.compress(good)[:-9], "cut short or damaged"),
            ("a ZLIB that is cut", zlib.compress(good)[:-1], "cut short or damaged"),
            ("a GZIP with a flipped bit", gzip.compress(good)[:-6] + b"\x55" + gzip.compress(good)[-5:], "cut short or damaged"),
            ("a GZIP and something else", gzip.compress(good) + b"more", "cut short or damaged"),
            ("a GZIP of a torn tail", gzip.compress(good[:-5]), "record 8 at byte"),
            ("a bomb", gzip.compress(bytes(70 << 20), 1), "would grow to more than 67.1 MB")):
        path.write_bytes(data)
        run = m.expect(tap, f"a shard with {name}", ["import", "damage", "-o", "refused.mq"], 65, err=["a.tfrecord", words])
        tap.check(f"a shard with {name} leaves nothing", not (m.folder / "refused.mq").exists())
        tap.check(f"a shard with {name}: no wrong remedy", "import the pictures again" not in run.err, run.err)
    tap.check("nothing is left beside them", [p.name for p in folder.iterdir()] == ["a.tfrecord"])
    path.write_bytes(good + recordfile.write([{"image/encoded": [b"GIF89a"], "image/class/label": [1], "image/filename": [b"bad"],
                                               "image/class/text": [b"ant"]}, {"image/encoded": [b""], "image/class/label": [1],
                                               "image/class/text": [b"ant"], "image/filename": [b"none"]}]))
    m.expect(tap, "a record whose picture is none", ["import", "damage", "-o", "left.mq"], 0, out="9 pictures")
    left = quarantine(m, "left.mq")
    tap.check("is left out with the reason", set(left) == {"bad", "none"}, left)


def test_tfrecord_packed(tap, m):
    """Files compressed as a whole, as TensorFlow writes them, hold what they hold unpacked: in one stream or several, among others
    that are not compressed, in an archive, and in a dry run."""
    shards(m.folder / "plain", "a-{:05}-of-{:05}.tfrecord", slim(0, 18), 3)
    m.expect(tap, "not compressed", ["import", "plain", "-o", "plain.mq"], 0, out="18 pictures")
    wanted = taken(m, "plain.mq")
    (m.folder / "packed").mkdir()
    for path, pack in zip(sorted((m.folder / "plain").iterdir()),
                          (gzip.compress, zlib.compress, lambda d: gzip.compress(d[:999]) + gzip.compress(d[999:]))):
        (m.folder / "packed" / path.name).write_bytes(pack(path.read_bytes()))
    m.expect(tap, "a dry run", ["import", "packed", "-o", "dry.mq", "--dry-run"], 0, out="18 pictures")
    tap.check("leaves nothing", not (m.folder / "dry.mq").exists())
    m.expect(tap, "GZIP and ZLIB", ["import", "packed", "-o", "packed.mq"], 0, out="18 pictures")
    tap.check("hold the same", taken(m, "packed.mq") == wanted)
    tap.check("and leave nothing else", not any(p.name.startswith(".") and p.is_dir() for p in (m.folder / "packed.mq").iterdir()))
    first = m.folder / "packed/a-00000-of-00003.tfrecord"
    first.write_bytes((m.folder / "plain" / first.name).read_bytes())
    m.expect(tap, "one of them is not compressed", ["import", "packed", "-o", "mixed.mq"], 0, out="18 pictures")
    tap.check("the same again", taken(m, "mixed.mq") == wanted)
    shutil.make_archive(str(m.folder / "packed"), "tar", m.folder / "packed")
    m.expect(tap, "in an archive", ["import", "packed.tar", "-o", "archive.mq"], 0, out="18 pictures")
    tap.check("the same from there", taken(m, "archive.mq") == wanted)


# --- Lists on standard input

def test_stdin(tap, m):
    fill(m.folder / "pics", {"ant": 10, "bee/deep": 10, "bee a": 4})
    m.expect(tap, "the folder itself", ["import", "pics", "-o", "folder.mq"], 0)
    wanted, files = content(m.folder / "folder.mq"), sorted((m.folder / "pics").rglob("*.png"), reverse=True)
    relative = [f.relative_to(m.folder) for f in files]
    same = {k: v for k, v in wanted.items() if k != "dataset.json"}

    def listed(data, lines, end="\n", args=(), code=0, **how):
        return m.expect(tap, f"a list: {data}", ["import", "-", "-o", data, *args], code,
                        stdin=end.join([*map(str, lines), ""]).encode("utf-8", "surrogateescape"), **how)

    listed("lines.mq", relative, out=["24 pictures, 3 classes (class = top folder)"])
    listed("crlf.mq", ["\ufeff" + str(relative[0]), *relative[1:], "", relative[0]], "\r\n")
    listed("print0.mq", relative, "\0")
    listed("absolute.mq", files)
    listed("dots.mq", [f"./x/..//{f}" for f in relative])
    listed("folders.mq", ["pics", "pics/ant", *relative])
    listed("rooted.mq", [f.relative_to("pics") for f in relative], args=["--root", "pics"])
    for data in ("lines.mq", "crlf.mq", "print0.mq", "absolute.mq", "dots.mq", "folders.mq", "rooted.mq"):
        got = {k: v for k, v in content(m.folder / data).items() if k != "dataset.json"}
        tap.check(f"{data} is what its folder gives", got == same, sorted(got))
    listed("some.mq", relative[:-3])
    listed("some.mq", relative, args=["--update"], out=["21 pictures keep their split, 3 are new"])
    listed("leaf.mq", relative, args=["--class-level", "leaf"], out=["class = folder of the picture", "deep"])
    listed("missing.mq", [*relative, "pics/ant/none.png"], code=66, err=["1 of 25 rows has no picture", "line 25 (",
                                                                         "/pics/ant/none.png)", "--allow-missing"])
    long = "n" * (240 - len(str(m.folder / "pics/ant"))) + ".png)"  # with its folder just short of 255 bytes
    listed("long.mq", [*relative, f"pics/ant/{long[:-1]}"], code=66, err=[long, "--allow-missing"])
    listed("allowed.mq", [*relative, "pics/ant/none.png"], args=["--allow-missing"], out="24 pictures")
    listed("empty.mq", [], code=66, err="standard input: no pictures in what it lists")
    listed("flat.mq", ["pics/ant/000.png", "pics/ant/001.png"], code=66, err="lies in no class folder")
    listed("outside.mq", files, args=["--root", "pics/ant"], code=65, err=["standard input:", "lies outside --root"])
    m.expect(tap, "--root of a folder", ["import", "pics", "-o", "x.mq", "--root", "pics"], 64, err="--root is for lists")
    m.expect(tap, "--root that is none", ["import", "-", "-o", "x.mq", "--root", "nowhere"], 66, err="nowhere: no such folder")
    fill(m.folder / "parts", {"train/a": 6, "train/b": 6, "val/a": 2, "val/b": 2})
    listed("parts.mq", [f"parts/{p}" for p in ("train/a/000.png", "train/b/000.png", "val/a/000.png", "val/b/001.png")],
           out=["train 2  val 2  test 0", "class = folder below train, val and test"])
    odd = m.folder / "odd"
    for name in ("new\nline", "-dash", "qu\"ote", "b\udcffd", "x" * 255):
        (odd / name).mkdir(parents=True)
        (odd / name / f"{name[:250]}.png").write_bytes(png(5, 5, len(name) * 7 + 1000))
        (odd / name / "2.png").write_bytes(png(5, 5, len(name) * 7 + 2000))
    listed("odd.mq", odd.rglob("*.png"), "\0", out="10 pictures, 5 classes")
    tap.check("every byte of a name is kept", {r["class"] for r in rows(m.folder / "odd.mq/split.csv")} ==
              {p.name for p in odd.iterdir()})
    rows_of = ["path,label,split", *(f"{f},{'xy'[i % 2]}," for i, f in enumerate(relative))]
    listed("table.mq", rows_of, out=["24 pictures, 2 classes (class = label of the row)"])
    tabs = ["label\tfile", *(f"{'xy'[i % 2]}\t{f.relative_to('pics')}" for i, f in enumerate(relative))]
    listed("tabs.mq", tabs, args=["--root", "pics"], out="24 pictures, 2 classes")
    (m.folder / "away").mkdir()
    (m.folder / "away/list.csv").write_text("\n".join(["path,label", *(f"{f},{'xy'[i % 2]}" for i, f in enumerate(files))]))
    m.expect(tap, "a list file away from its pictures", ["import", "away/list.csv", "-o", "x.mq"], 65, err="lies outside")
    m.expect(tap, "with --root", ["import", "away/list.csv", "--root", "pics", "-o", "away.mq"], 0, out="24 pictures")
    (m.folder / "pics/ant/link.png").symlink_to("/etc/hostname")
    (m.folder / "pics/list.csv").write_text("path,label\nant/link.png,a\nant/000.png,a\nant/001.png,b\n")
    m.expect(tap, "a link in a list file that leads out", ["import", "pics/list.csv", "-o", "link.mq"], 0, out="2 pictures")
    tap.check("is left out", "leads out" in quarantine(m, "link.mq")["ant/link.png"])


# --- Stanford Cars

def test_cars(tap, m):
    root = cars(m.folder / "cars", car_table(20))
    m.expect(tap, "the official form without test part", ["import", "cars", "-o", "train.mq"], 0, out="20 pictures")
    rows_of = [{"bbox_x1": 3, "bbox_y1": 4, "bbox_x2": 33, "bbox_y2": 24, "class": 1 + k % 2, "fname": f"{k + 1:05}.png"}
               for k in range(6)]
    (root / "cars_test").mkdir()
    for k in range(6):
        (root / "cars_test" / f"{k + 1:05}.png").write_bytes(png(40, 30, 9000 + k))
    m.expect(tap, "test pictures without labels", ["import", "cars", "-o", "nolabels.mq"], 0, out="20 pictures",
             err="cars_test_annos_withlabels.mat is not there")
    (root / "devkit/cars_test_annos_withlabels.mat").write_bytes(matfile.write({"annotations": rows_of}))
    m.expect(tap, "the official test part", ["import", "cars", "-o", "cars.mq"], 0, out=["26 pictures", "val 2  test 6"])
    got = taken(m, "cars.mq")
    tap.check("is the test part, with its boxes", {n for n, (_, s, _) in got.items() if s == "test"} ==
              {f"cars_test/{k + 1:05}.png" for k in range(6)} and got["cars_test/00002.png"] ==
              ("smart fortwo", "test", (3, 4, 33, 24)), got)
    (root / "cars_test/00003.png").unlink()
    m.expect(tap, "a missing test picture", ["import", "cars", "-o", "x.mq"], 66,
             err=["withlabels.mat: 1 of 6 rows has no picture", "row 3 (00003.png)"])
    m.expect(tap, "is allowed to miss", ["import", "cars", "-o", "miss.mq", "--allow-missing"], 0,
             out=["25 pictures", "1 annotation row has no picture"])
    (root / "cars_train").rename(root / "inner")
    (root / "cars_train").mkdir()
    (root / "inner").rename(root / "cars_train/cars_train")
    m.expect(tap, "folders within folders of one name", ["import", "cars", "-o", "nested.mq", "--allow-missing"], 0,
             out="25 pictures")
    pooled = cars(m.folder / "pooled", car_table(20), pooled=True)
    for path in (pooled / "car_ims").iterdir():
        path.rename(pooled / path.name)
    m.expect(tap, "the pooled form without its folder", ["import", "pooled", "-o", "pooled.mq"], 0, out=["20 pictures", "test 10"])
    cut = cars(m.folder / "cut", car_table(20, box=(10, 20, 50, 50)), pooled=True)
    for args, code, words in (([], 65, ["20 of 20 boxes", "already cut", "--boxes ignore"]),
                              (["--boxes", "ignore"], 0, [])):
        m.expect(tap, f"a pooled copy that is cut {args}", ["import", cut, "-o", "cut.mq", *args], code, err=words)


# --- What is told, and what is written

def everything(folder):
    """{path: (content or kind, time of last change)} of all below a folder."""
    return {p: (p.read_bytes() if p.is_file() else "", p.lstat().st_mtime_ns) for p in folder.rglob("*")}


def test_dry_run(tap, m):
    source = m.folder / "pics"
    for name, count in (("ant", 30), ("bee", 20)):
        (source / name).mkdir(parents=True)
        for k in range(count):
            (source / name / f"{k:03}.png").write_bytes(pictures.png(50, 40, seed=1000 * count + k))
    for k in range(5):
        (source / f"ant/{k}.html.jpg").write_text(f"<!DOCTYPE html><html>{k}</html>")
    (source / "bee/empty.png").write_bytes(b"")
    before = everything(m.folder)
    m.expect(tap, "a dry run", ["import", "pics", "-o", "dry.mq"] + ["--dry-run"], 0,
             out=["       6  would be left out", "       5  looks like HTML",
                  "ant/0.html.jpg, ant/1.html.jpg, ant/2.html.jpg, ...", "bee/empty.png\n", "train 32  val 3  test 15",
                  "it would be dry.mq, of 3 shards, 0.2 MB in all"])
    run = m.expect(tap, "as JSON", ["import", "pics", "-o", "dry.mq", "--dry-run", "--json"], 0)
    tap.check("a dry run writes nothing", before == everything(m.folder))
    report = json.loads(run.out)
    tap.check("JSON has the first pictures of each reason", report["reasons"][0]["pictures"] == 5 and
              report["reasons"][0]["examples"] == ["ant/0.html.jpg", "ant/1.html.jpg", "ant/2.html.jpg"] and
              report["reasons"][1]["examples"] == ["bee/empty.png"], run.out)
    run = m.expect(tap, "the import", ["import", "pics", "-o", "dry.mq", "--json"], 0)
    real = json.loads(run.out)
    tap.check("is what the dry run said, its size about", report["classes"] == real["classes"] and
              report["shards"] == real["shards"] == 3 and
              abs(report["bytes"] - real["bytes"]) < 0.1 * real["bytes"] + 1 and
              real["bytes"] == sum(p.stat().st_size for p in (m.folder / "dry.mq").glob("*.tfrecord")), (report, real))
    (source / "cat").mkdir()
    (source / "cat/1.png").write_bytes(png(9, 9, 4000))
    before = everything(m.folder)
    m.expect(tap, "a dry run of an update", ["import", "pics", "-o", "dry.mq", "--update", "--dry-run"], 0,
             out="50 pictures keep their split, 1 is new")
    m.expect(tap, "a dry run of a list", ["import", "-", "-o", "list.mq", "--dry-run"], 0, stdin=b"pics/ant/001.png\npics/bee/001.png\n")
    tap.check("write nothing either", before == everything(m.folder))


def test_unlisted(tap, m):
    """Pictures without a row, a class without a picture, and a class of one."""
    folder = fill(m.folder / "some", {"x": 6, "y": 6})
    (folder / "list.csv").write_text("path,label\n" + "".join(f"{c}/{i:03}.png,{c}\n" for c in "xy" for i in range(4)) +
                                     "x/004.png,only\nx/none.png,gone\n")
    run = m.expect(tap, "a list of some", ["import", "some/list.csv", "-o", "some.mq", "--allow-missing"], 0,
                   out=["9 pictures, 3 classes", "3 pictures lie beside these without annotation",
                        "1 annotation row has no picture"], err=["1 class has no picture that can be used; left out: ", "only 1"])
    tap.check("the picture of a class of one trains", taken(m, "some.mq")["x/004.png"] == ("only", "train", None), run.out)
    run = m.expect(tap, "the same as JSON", ["import", "some/list.csv", "-o", "x.mq", "--allow-missing", "--json"], 0)
    tap.check("counts them", json.loads(run.out)["unlisted"] == 3 and json.loads(run.out)["missing"] == 1, run.out)


def test_csv_faults(tap, m):
    folder = fill(m.folder / "pics", {"x": 30, "y": 30}, (40, 30))

    def listed(name, text, code, **how):
        (folder / "list.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        m.expect(tap, f"a list with {name}", ["import", "pics/list.csv", "-o", f"{name.replace(' ', '-')}.mq", *how.pop("args", [])],
                 code, **how)

    listed("decimal points", "path,label,x1,y1,x2,y2\nx/000.png,a,1.0,2.4,9.6,8\ny/000.png,b,,,,\n", 0)
    tap.check("they are rounded to pixels", taken(m, "decimal-points.mq")["x/000.png"][2] == (1, 2, 10, 8))
    lines = ["x/000.png,b,20,2,30,9", "x/000.png,a,1,2,9,8", "y/000.png,b,1,1,9,9", "x/000.png,a,1,2,9,7"]
    for name, order in (("several boxes", lines), ("several boxes turned", lines[::-1])):
        listed(name, "\n".join(["path,label,x1,y1,x2,y2", *order, ""]), 0, args=["--test", "0.5", "--val", "0"],
               out=["4 pictures, 2 classes", "boxes of 2 pictures"])
    got = taken(m, "several-boxes.mq")
    tap.check("rows about one picture are its objects, whatever their order", {k: (c, b) for k, (c, _, b) in got.items()} == {
        "x/000.png#1": ("a", (1, 2, 9, 7)), "x/000.png#2": ("a", (1, 2, 9, 8)), "x/000.png#3": ("b", (20, 2, 30, 9)),
        "y/000.png": ("b", (1, 1, 9, 9))} and got == taken(m, "several-boxes-turned.mq"), got)
    tap.check("so are the numbers of classes", classes_of(m, "several-boxes.mq") == classes_of(m, "several-boxes-turned.mq") == ["a", "b"])
    tap.check("they share a part", len({s for k, (_, s, _) in got.items() if "#" in k}) == 1, got)
    listed("one box twice", "path,label,x1,y1,x2,y2\nx/000.png,b,20,2,30,9\nx/000.png,a,20,2,30,9\n", 65,
           err="lines 2 and 3 are both about x/000.png")
    listed("a box and none", "path,label,x1,y1,x2,y2\nx/000.png,b,20,2,30,9\nx/000.png,a,,,,\n", 65,
           err="lines 2 and 3 are both about x/000.png")
    listed("semicolons", "path;label\nx/000.png;a\n", 65, err="no column named path in its first row (there are: path;label); write commas (.csv) or tabs")
    listed("junk behind a quote", 'path,label\nx/000.png,a\n"x/"001.png,a\n', 65, err="list.csv:3: text behind the quote")
    listed("UTF-16", "path,label\n".encode("utf-16"), 65, err="NUL")
    many = 300000
    rows_of = "".join(f"x/{i:03}.png,class {i % 500}\n" for i in range(many))
    start = time.monotonic()
    listed("many rows", "path,label\n" + rows_of, 0, args=["--allow-missing", "--dry-run"],
           out=["30 pictures, 30 classes", "299,970 annotation rows have no picture"])
    seconds = time.monotonic() - start
    tap.check("300,000 rows take no more than 60 s", seconds < 60, seconds)


def main():
    tap = Tap()
    for test in (test_coco, test_coco_odd, test_voc, test_tfrecord, test_tfrecord_labels, test_tfrecord_boxes,
                 test_tfrecord_damage, test_tfrecord_packed, test_stdin, test_cars, test_dry_run, test_unlisted, test_csv_faults):
        with Marque() as m:  # a folder of its own
            test(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
