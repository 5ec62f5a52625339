"""test_import.py: marque import on what people have: good folders, bad pictures, odd names, full disks."""
import csv
import ctypes
import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import matfile  # noqa: E402
from marque import Marque  # noqa: E402
from tap import Tap  # noqa: E402

ODD = [b"new\nline", b'quo"te', b"-dash", b"not\xffutf8", b"com,ma", b"sla sh\xe2\x82\xac"]


def png(width, height, shade=0):
    """A PNG of one colour; another shade is another content."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    row = b"\0" + bytes([shade & 255, shade >> 8 & 255, 90]) * width
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(row * height)) + chunk(b"IEND", b""))


def fill(folder, classes, size=(8, 6)):
    """A folder per class: {name: how many pictures}. Every picture is another."""
    shade = 0
    for name, count in classes.items():
        place = folder / name
        place.mkdir(parents=True)
        for i in range(count):
            (place / f"{i:03}.png").write_bytes(png(*size, shade := shade + 1))
    return folder


def rows(path, **how):
    with open(path, newline="", encoding="utf-8", errors="surrogateescape", **how) as file:
        return list(csv.DictReader(file))


def splits(data):
    return {row["file"]: row["split"] for row in rows(data / "split.csv")}


def content(folder):
    return {f.name: f.read_bytes() for f in folder.iterdir() if f.name != ".lock"}


def test_words(tap, m):
    fill(m.folder / "words", {"a": 3, "b": 3})
    m.expect(tap, "without -o", ["import", "words"], 64, err="marque import words -o DATA")
    m.expect(tap, "no such source", ["import", "nothing", "-o", "x.mq"], 66, err="nothing: no such folder")
    m.expect(tap, "a file as source", ["import", "words/a/000.png", "-o", "x.mq"], 66,
             err="neither a folder of pictures nor a list")
    m.expect(tap, "a share above 1", ["import", "words", "-o", "x.mq", "--test", "30"], 64, err="--test")
    m.expect(tap, "a wrong regular expression", ["import", "words", "-o", "x.mq", "--group-by", "("], 64,
             err="--group-by (")
    (m.folder / "empty").mkdir()
    m.expect(tap, "an empty folder", ["import", "empty", "-o", "x.mq"], 66, err="empty: no pictures")
    fill(m.folder / "single", {"only": 4})
    m.expect(tap, "one class", ["import", "single", "-o", "x.mq"], 65, err="a classifier needs two")
    (m.folder / "flat").mkdir()
    (m.folder / "flat/a.png").write_bytes(png(4, 4))
    m.expect(tap, "pictures without class folders", ["import", "flat", "-o", "x.mq"], 66,
             err="lies in no class folder")
    tap.check("a failed import leaves nothing behind", not (m.folder / "x.mq").exists())


def test_folder(tap, m):
    fill(m.folder / "pics", {"beetle": 20, "ant/deep": 10, "wasp": 1})
    run = m.expect(tap, "a folder per class", ["import", "pics", "-o", "pics.mq"], 0,
                   out=["31 pictures, 3 classes (class = top folder)", "train 20  val 2  test 9",
                        "next: marque train pics.mq"], err="warning: 1 class has fewer than 5 pictures: wasp 1")
    tap.check("the report is on stdout, progress on stderr", "checked" not in run.out, run.out)
    data = m.folder / "pics.mq"
    table = rows(data / "split.csv")
    tap.check("split.csv has a row a picture", len(table) == 31 and table[0]["file"] == "ant/deep/000.png" and
              table[0]["class"] == "ant", table[:2])
    tap.check("the class of one picture trains", splits(data)["wasp/000.png"] == "train")
    info = json.loads((data / "dataset.json").read_text())
    tap.check("classes are in the order of their bytes", info["classes"] == ["ant", "beetle", "wasp"], info)
    m.expect(tap, "again to the same place", ["import", "pics", "-o", "pics.mq"], 73, err="--update")
    before = content(data)
    m.expect(tap, "with one worker", ["import", "pics", "-o", "one.mq", "-j", "1"], 0)
    m.expect(tap, "with five workers", ["import", "pics", "-o", "five.mq", "-j", "5"], 0)
    tap.check("the number of workers leaves no trace",
              before == content(m.folder / "one.mq") == content(m.folder / "five.mq"))
    run = m.expect(tap, "--dry-run", ["import", "pics", "-o", "dry.mq", "--dry-run", "--json"], 0)
    tap.check("--dry-run writes nothing", not (m.folder / "dry.mq").exists())
    report = json.loads(run.out)
    tap.check("--json is the report", report["pictures"] == 31 and report["classes"][2] ==
              {"name": "wasp", "train": 1, "val": 0, "test": 0}, run.out)
    m.expect(tap, "--val 0", ["import", "pics", "-o", "noval.mq", "--val", "0"], 0,
             out=["val 0", "no validation part"])
    m.expect(tap, "class = leaf", ["import", "pics", "-o", "leaf.mq", "--class-level", "leaf"], 0, out="deep")
    fill(m.folder / "twice", {"x/same": 2, "y/same": 2, "z": 2})
    m.expect(tap, "two leaves of one name", ["import", "twice", "-o", "twice.mq", "--class-level", "leaf"], 65,
             err="two folders are called same")


def test_folds(tap, m):
    """Each training picture lies in one fold, copies share theirs, an update moves none."""
    source = fill(m.folder / "folded", {"a": 23, "b": 11, "c": 4})
    for i in range(6):
        (source / f"b/copy{i}.png").write_bytes((source / f"b/00{i}.png").read_bytes())
    m.expect(tap, "--folds", ["import", "folded", "-o", "folds.mq", "--folds", "3"], 0, out="in 3 folds of about 10 each")
    folds = lambda: {r["file"]: (r["split"], r["fold"]) for r in rows(m.folder / "folds.mq/split.csv")}  # noqa: E731
    old = folds()
    tap.check("every training picture has a fold, and no other has one",
              all((split == "train") == (fold in ("1", "2", "3")) for split, fold in old.values()) and
              not any(split == "val" for split, _ in old.values()), old)
    counts = [sum(f.startswith("a/") and fold == n for f, (_, fold) in old.items()) for n in "123"]
    tap.check("a class is spread evenly", sum(counts) == 16 and max(counts) - min(counts) <= 1, counts)
    tap.check("copies share a fold", all(old[f"b/00{i}.png"] == old[f"b/copy{i}.png"] for i in range(6)), old)
    for i in range(9):
        (source / "c" / f"new{i}.png").write_bytes(png(9, 9, 3000 + i))
    m.expect(tap, "an update that wants no folds", ["import", "folded", "-o", "folds.mq", "--update", "--folds", "0"], 64,
             err="folds.mq was made with --folds 3")
    m.expect(tap, "an update that wants more", ["import", "folded", "-o", "folds.mq", "--update", "--folds", "5"], 64, err="leave --folds out")
    m.expect(tap, "an update has them", ["import", "folded", "-o", "folds.mq", "--update"], 0, out="in 3 folds")
    new = folds()
    tap.check("moves no picture", all(new[f] == place for f, place in old.items()) and len(new) == len(old) + 9)
    lost = "folds.mq: the 3 folds that it was imported with are not kept; "
    m.expect(tap, "a set with folds as a source", ["import", "folds.mq", "-o", "again.mq"], 0, err=lost + "--folds 3 draws new ones\n")
    m.expect(tap, "which are drawn", ["import", "folds.mq", "-o", "drawn.mq", "--folds", "2"], 0, err=lost + "others are drawn\n")
    m.expect(tap, "a set without", ["import", "again.mq", "-o", "third.mq"], 0, no_err="folds")
    m.expect(tap, "one fold", ["import", "folded", "-o", "no.mq", "--folds", "1"], 64, err="from 2 to 100 parts")
    fill(m.folder / "ready", {"train/a": 5, "train/b": 5, "val/a": 2, "val/b": 2})
    m.expect(tap, "folds beside a validation part", ["import", "ready", "-o", "no.mq", "--folds", "2"], 64,
             err="names a validation part of its own")


def test_presize(tap, m):
    """Pictures stored for one size give the very pixels that the originals give, boxes, margins and turned ones included."""
    source = fill(m.folder / "large", {"a": 6, "b": 6})
    turned = (Path(__file__).resolve().parents[1] / "golden/pixels/exif-6.jpg").read_bytes()
    (source / "a/turned.jpg").write_bytes(turned)
    lines = ["path,label,x1,y1,x2,y2"] + [f"{p.relative_to(source)},{p.parent.name},2,1,9,8" for p in sorted(source.rglob("*.*"))]
    (source / "list.csv").write_text("\n".join(lines) + "\n")
    words = ["import", "large/list.csv", "--margin", "0.2", "--test", "0", "--val", "0"]
    m.expect(tap, "originals", [*words, "-o", "originals.mq"], 0)
    m.expect(tap, "--presize", [*words, "-o", "sized.mq", "--presize", "48"], 0, out="stored as --imgsz 48 takes them")
    for data in ("originals.mq", "sized.mq"):
        m.expect(tap, f"what a network gets of {data}",
                 ["inspect", data, "--batch", "13", "--imgsz", "48", "--augment", "reference", "-o", data + ".png"], 0)
    sheets = [(m.folder / f"{data}.png").read_bytes() for data in ("originals.mq", "sized.mq")]
    tap.check("are the same pixels", sheets[0] == sheets[1])
    told = json.loads(m.run(["inspect", "sized.mq", "--json"]).out)
    tap.check("inspect tells how they are stored and looked at", [told["presize"], told["decode"], told["recipe"]["crop"],
              told["recipe"]["margin"], told["recipe"]["imgsz"], told["recipe"]["fit"]] == [48, "exact", True, 0.2, 48, "stretch"], told)
    m.expect(tap, "in words, too", ["inspect", "sized.mq"], 0,
             out=["seen: the box and 20 % of its sides around it", "decoded: exactly", "stored: for --imgsz 48, --fit stretch"])
    m.expect(tap, "another size", ["inspect", "sized.mq", "--batch", "4", "--imgsz", "40", "-o", "no.png"], 64,
             err="--imgsz 48")
    m.expect(tap, "the loader alone, too", ["bench", "sized.mq"], 64, err="made for 48 pixels")
    m.expect(tap, "with --max-side", [*words, "-o", "no.mq", "--presize", "48", "--max-side", "90"], 64, err="leave")


def test_scaled(tap, m):
    """What the data set says of decoding, all that read it obey; a picture too small for it is the same to the bit."""
    fill(m.folder / "photos", {"a": 6, "b": 6})
    words = ["import", "photos", "--test", "0", "--val", "0"]
    m.expect(tap, "--decode exact", [*words, "-o", "exact.mq", "--decode", "exact"], 0)
    m.expect(tap, "--decode scaled", [*words, "-o", "scaled.mq", "--decode", "scaled"], 0)
    read = lambda data: json.loads((m.folder / data / "dataset.json").read_text())
    tap.check("it stands in the data set, where it is asked for",
              [read(data).get("decode") for data in ("exact.mq", "scaled.mq")] == [None, "scaled"])
    told = [json.loads(m.run(["inspect", data, "--json", "--imgsz", "71"]).out) for data in ("exact.mq", "scaled.mq")]
    tap.check("inspect tells it", [(one["decode"], one["recipe"].get("decode"), one["presize"], one["recipe"]["imgsz"]) for one in told] ==
              [("exact", None, 0, 71), ("scaled", "scaled", 0, 71)], told)
    m.expect(tap, "in words, too", ["inspect", "scaled.mq"], 0,
             out=["seen: the whole picture", "decoded: scaled, JPEGs far larger", "stored: as they came"])
    m.expect(tap, "with --presize", [*words, "-o", "no.mq", "--presize", "48", "--decode", "scaled"], 64, err="leave --decode scaled out")
    text = (m.folder / "scaled.mq/dataset.json").read_text()
    (m.folder / "scaled.mq/dataset.json").write_text(text.replace('"scaled"', '"guessed"'))
    m.expect(tap, "a way of decoding nobody knows", ["inspect", "scaled.mq"], 65, err='"guessed"')


def test_given_splits(tap, m):
    fill(m.folder / "given", {"train/a": 10, "train/b": 10, "valid/a": 2, "valid/b": 2, "test/a": 3, "test/b": 3})
    m.expect(tap, "folders named train, valid, test", ["import", "given", "-o", "given.mq"], 0,
             out=["train 20  val 4  test 6", "2 classes"])
    fill(m.folder / "vehicles", {"train": 6, "bus": 6})
    m.expect(tap, "a class called train", ["import", "vehicles", "-o", "vehicles.mq"], 0, out="2 classes")
    fill(m.folder / "listed", {"a": 4, "b": 4})
    table = "".join(f"{c}/{i:03}.png,{'test' if i else 'train'}\n" for c in "ab" for i in range(3))
    (m.folder / "split.csv").write_text("path,split\r\n" + table.replace("\n", "\r\n"))
    m.expect(tap, "--split-file", ["import", "listed", "-o", "listed.mq", "--split-file", "split.csv", "--val", "0"],
             0, out="train 4  val 0  test 4")
    (m.folder / "split.csv").write_text("path,split\nx.png,train\n")
    m.expect(tap, "--split-file about something else",
             ["import", "listed", "-o", "l2.mq", "--split-file", "split.csv"], 65, err="1 of its 1 rows names no picture")
    (m.folder / "split.csv").write_text("path,split\na/000.png,tset\n")
    m.expect(tap, "--split-file with a wrong word", ["import", "listed", "-o", "l2.mq", "--split-file", "split.csv"],
             65, err='split.csv:2: "tset" is not train, val or test')
    (m.folder / "split.csv").write_text("file,part\na/000.png,test\n")
    m.expect(tap, "--split-file without its columns", ["import", "listed", "-o", "l2.mq", "--split-file", "split.csv"],
             65, err="no column named path")
    fill(m.folder / "burst", {"a": 0, "b": 20})
    for i in range(20):
        (m.folder / "burst/a" / f"s{i // 4}_{i % 4}.png").write_bytes(png(8, 8, 5000 + i))
    m.expect(tap, "--group-by", ["import", "burst", "-o", "burst.mq", "--group-by", "a/(s[0-9]+)_"], 0)
    placed = {}
    for file, split in splits(m.folder / "burst.mq").items():
        if file.startswith("a/"):
            placed.setdefault(file.split("_")[0], set()).add(split)
    tap.check("a group lies in one split", len(placed) == 5 and all(len(s) == 1 for s in placed.values()), placed)


def test_groups(tap, m):
    """What the report tells of groups: how many, what they cost, and which class they leave nothing to train on."""
    fill(m.folder / "crowd", {"a": 0, "b": 0})
    for i in range(100):
        (m.folder / "crowd/a" / f"{'one' if i < 80 else i}_{i}.png").write_bytes(png(8, 8, 10000 + i))
    for i in range(4):
        (m.folder / "crowd/b" / f"b{i}_.png").write_bytes(png(8, 8, 11000 + i))
    run = m.expect(tap, "a large group", ["import", "crowd", "-o", "crowd.mq", "--group-by", "/([^_]+)_"], 0,
                   out="25 groups; the pictures of a group share a split", err=["warning: val has no pictures where its share comes to 8",
                        "warning: test has 21 pictures where its share comes to 31, for groups stay whole"])
    tap.check("every class has its training pictures", "no training picture" not in run.out, run.out)
    m.expect(tap, "a small part that stays empty", ["import", "crowd", "-o", "small.mq", "--val", "0.02", "--group-by", "/([^_]+)_"], 0,
             err="warning: val has no pictures where its share comes to 2")
    plain = m.expect(tap, "no group", ["import", "crowd", "-o", "plain.mq"], 0)
    tap.check("no word of groups or shares", "group" not in plain.out and "share" not in plain.out, plain.out)
    m.expect(tap, "a pattern that matches nothing", ["import", "crowd", "-o", "none.mq", "--group-by", "x(y)"], 64,
             err="--group-by x(y) matches no picture; it is tried on paths below crowd, such as a/")
    tap.check("leaves nothing", not (m.folder / "none.mq").exists())
    list_of = lambda *lines: "\n".join(["path,label,split,group", *lines]) + "\n"  # noqa: E731
    (m.folder / "crowd/torn.csv").write_text(list_of(*(f"a/one_{i}.png,a,{'test' if i < 5 else 'train'},{'g' if i in (0, 9) else ''}"
                                                      for i in range(20)), *(f"b/b{i}_.png,b,test,h" for i in range(4))))
    run = m.expect(tap, "groups that the source tears", ["import", "crowd/torn.csv", "-o", "torn.mq"], 0,
                   out="2 groups\n", err=["warning: 2 pictures are of groups that lie in several splits, as the source has it",
                        "warning: 1 class has no training picture: b 4"])
    tap.check("are no copies", "cop" not in run.out, run.out)


def test_bad_pictures(tap, m):
    source = fill(m.folder / "bad", {"a": 6, "b": 6})
    a = source / "a"
    (a / "page.jpg").write_text("<!DOCTYPE html><html>not here</html>")
    (a / "empty.png").write_bytes(b"")
    (a / "cut.png").write_bytes(png(50, 50, 77)[:-20])
    bomb = png(1, 1)[12:16] + struct.pack(">II", 60000, 60000) + png(1, 1)[24:29]
    (a / "bomb.png").write_bytes(png(1, 1)[:12] + bomb + struct.pack(">I", zlib.crc32(bomb)) + png(1, 1)[33:])
    os.mkfifo(a / "fifo.jpg")
    (a / "loop").symlink_to("..")
    (a / "self").symlink_to("self")
    (a / "inside.png").symlink_to("../b/000.png")
    (a / "outside.png").symlink_to("/etc/passwd")
    (a / "up").symlink_to("/")
    (a / "Thumbs.db").write_bytes(b"x")
    (a / "._000.png").write_bytes(b"x")
    (source / "__MACOSX").mkdir()
    (source / "__MACOSX/x.png").write_bytes(png(2, 2))
    (a / "tiny.png").write_bytes(png(1, 1, 401))
    (a / "long.png").write_bytes(png(1, 10000, 402))
    (source / "notes.txt").write_text("hello")
    before = {p: p.read_bytes() for p in source.rglob("*") if p.is_file()}
    m.expect(tap, "a folder of all that is bad", ["import", "bad", "-o", "bad.mq"], 0,
             out=["15 pictures, 2 classes", "left out -> bad.mq/quarantine.csv"], timeout=60)
    reasons = {row["file"]: row["reason"] for row in rows(m.folder / "bad.mq/quarantine.csv")}
    for file, words in {"a/page.jpg": "HTML", "a/empty.png": "empty", "a/cut.png": "cut", "a/bomb.png": "pixels",
                        "a/fifo.jpg": "named pipe", "a/loop": "read under another name", "a/self": "leads nowhere",
                        "a/outside.png": "out of the source", "a/up": "out of the source",
                        "notes.txt": "no class folder"}.items():
        tap.check(f"quarantine says why: {file}", words in reasons.get(file, ""), reasons)
    tap.check("litter is not even mentioned", len(reasons) == 10, reasons)
    taken = splits(m.folder / "bad.mq")
    tap.check("1x1 and 1x10000 are pictures", {"a/tiny.png", "a/long.png"} <= set(taken))
    tap.check("a link inside is its picture, in its picture's split", taken["a/inside.png"] == taken["b/000.png"])
    tap.check("originals are untouched", before == {p: p.read_bytes() for p in source.rglob("*") if p.is_file()})


def test_odd_names(tap, m):
    source = os.fsencode(m.folder / "odd")
    for k, name in enumerate(ODD):
        os.makedirs(os.path.join(source, name))
        for i in range(3):
            with open(os.path.join(source, name, b"%d " % i + name), "wb") as file:
                file.write(png(5, 5, 7000 + 10 * k + i))
    run = m.expect(tap, "odd names", ["import", "odd", "-o", "odd.mq"], 0, out="18 pictures, 6 classes")
    tap.check("no control character and no broken UTF-8 reaches the terminal",
              "new?line" in run.out and "\udcff" not in run.out, repr(run.out))
    info = json.loads((m.folder / "odd.mq/dataset.json").read_text())
    names = [bytes.fromhex(c["bytes"]) if isinstance(c, dict) else c.encode() for c in info["classes"]]
    tap.check("dataset.json holds every name exactly", names == sorted(ODD), info["classes"])
    table = rows(m.folder / "odd.mq/split.csv")
    wanted = sorted(name + b"/%d " % i + name for name in ODD for i in range(3))
    tap.check("split.csv holds every name exactly",
              [row["file"].encode("utf-8", "surrogateescape") for row in table] == wanted, table)
    m.expect(tap, "odd names are found again", ["import", "odd", "-o", "odd.mq", "--update"], 0,
             out="18 pictures keep their split, 0 are new")
    fill(m.folder / "-lead", {"a": 3, "b": 3})
    m.expect(tap, "a source with a leading dash", ["import", "-o", "lead.mq", "--", "-lead"], 0, out="6 pictures")


def cars(folder, table, size=(40, 30), pooled=False, names=("Ram C/V Van 2012", "smart fortwo")):
    """Stanford Cars in small: table of (file, class, box, is there)."""
    (folder / "devkit").mkdir(parents=True)
    (folder / ("car_ims" if pooled else "cars_train")).mkdir()
    annotations = []
    for k, (file, label, box, there) in enumerate(table):
        row = dict(zip(("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"), box), **{"class": label})
        row["relative_im_path" if pooled else "fname"] = ("car_ims/" if pooled else "") + file
        if pooled:
            row["test"] = k % 2
        annotations.append(row)
        if there:
            (folder / ("car_ims" if pooled else "cars_train") / file).write_bytes(png(*size, 3000 + k))
    if pooled:
        data = {"annotations": annotations, "class_names": list(names)}
        (folder / "cars_annos.mat").write_bytes(matfile.write(data))
    else:
        (folder / "devkit/cars_train_annos.mat").write_bytes(matfile.write({"annotations": annotations}))
        (folder / "devkit/cars_meta.mat").write_bytes(matfile.write({"class_names": list(names)}))
    return folder


def table(count, box=(3, 4, 33, 24)):
    return [(f"{i:05}.png", 1 + i % 2, box, True) for i in range(1, count + 1)]


def test_cars(tap, m):
    cars(m.folder / "cars", table(20))
    m.expect(tap, "Stanford Cars", ["import", "cars", "-o", "cars.mq"], 0,
             out=["20 pictures, 2 classes (class = annotation)", "Ram C/V Van 2012", "test 6"])
    row = rows(m.folder / "cars.mq/split.csv")[0]
    tap.check("the box is in split.csv", row["file"] == "cars_train/00001.png" and
              [row[k] for k in ("x1", "y1", "x2", "y2")] == ["3", "4", "33", "24"], row)
    info = json.loads((m.folder / "cars.mq/dataset.json").read_text())
    tap.check("dataset.json knows boxes and annotations", info["boxes"] and
              len(info["source"]["annotations_sha256"]) == 64, info)
    cars(m.folder / "pooled", table(20), pooled=True)
    m.expect(tap, "the pooled form keeps its test part", ["import", "pooled", "-o", "pooled.mq", "--val", "0"], 0,
             out="train 10  val 0  test 10")
    placed = splits(m.folder / "pooled.mq")
    tap.check("test fields are followed", all((s == "test") == (int(f[-8:-4]) % 2 == 0) for f, s in placed.items()))
    cars(m.folder / "holes", [(f, c, b, int(f[:5]) % 3 > 0) for f, c, b, _ in table(20)])
    m.expect(tap, "rows without picture", ["import", "holes", "-o", "holes.mq"], 66,
             err=["6 of 20 rows have no picture", "row 3 (00003.png), row 6", "--allow-missing"])
    m.expect(tap, "--allow-missing", ["import", "holes", "-o", "holes.mq", "--allow-missing"], 0,
             out=["14 pictures", "6 annotation rows have no picture"])
    outside = table(20)
    outside[6] = (outside[6][0], 1, (3, 4, 43, 24), True)
    outside[7] = (outside[7][0], 1, (3, 4, 42, 24), True)
    cars(m.folder / "outside", outside)
    m.expect(tap, "a box outside", ["import", "outside", "-o", "out.mq"], 65,
             err=["1 of 20 boxes", "row 7 (cars_train/00007.png, 40 x 30)", "--boxes ignore"])
    tap.check("nothing is left of it", not (m.folder / "out.mq").exists())
    outside[6] = outside[5]
    outside[6] = ("00007.png", *outside[5][1:])
    cars(m.folder / "edge", outside)
    m.expect(tap, "two pixels over the edge are cut", ["import", "edge", "-o", "edge.mq"], 0)
    tap.check("at the edge", rows(m.folder / "edge.mq/split.csv")[7]["x2"] == "40")
    cars(m.folder / "cut", table(20, box=(10, 20, 50, 50)))
    m.expect(tap, "already cut pictures", ["import", "cut", "-o", "cut.mq"], 65,
             err=["20 of 20 boxes", "already cut", "--boxes ignore"])
    m.expect(tap, "--boxes ignore", ["import", "cut", "-o", "cut.mq", "--boxes", "ignore"], 0, out="20 pictures")
    tap.check("no box is kept", rows(m.folder / "cut.mq/split.csv")[0]["x1"] == "")
    m.expect(tap, "--store crop", ["import", "cars", "-o", "crop.mq", "--store", "crop", "--max-side", "15"], 0,
             out="stored cut, as PNG")
    shard = (m.folder / "crop.mq/train-00000-of-00001.tfrecord").read_bytes()
    tap.check("the stored picture is the box, shrunk", struct.pack(">II", 15, 10) in shard)


def test_bad_cars(tap, m):
    broken = table(6)
    broken[3] = (broken[3][0], 2, (31, 4, 30, 24), True)
    cars(m.folder / "inverted", broken)
    m.expect(tap, "an inverted box", ["import", "inverted", "-o", "x.mq"], 65, err=["1 box has x2 < x1", "row 4"])
    cars(m.folder / "label", [*table(5), ("00006.png", 3, (1, 1, 5, 5), True)])
    m.expect(tap, "a class beyond the names", ["import", "label", "-o", "x.mq"], 65,
             err="row 6 has a class that is not 1 to 2")
    cars(m.folder / "climb", [*table(5), ("../../etc/passwd", 1, (1, 1, 5, 5), False)])
    m.expect(tap, "a path that climbs out", ["import", "climb", "-o", "x.mq"], 65,
             err="row 6 names a picture outside the source")
    cars(m.folder / "double", [*table(5), ("00001.png", 2, (1, 1, 5, 5), True)])
    m.expect(tap, "two rows of one picture", ["import", "double", "-o", "x.mq"], 65, err="rows 1 and 6 are both about")
    cars(m.folder / "namesake", table(6), names=("same", "same"))
    m.expect(tap, "two classes of one name", ["import", "namesake", "-o", "x.mq"], 65,
             err="two classes are called same")
    (m.folder / "namesake/devkit/cars_meta.mat").unlink()
    m.expect(tap, "no names", ["import", "namesake", "-o", "x.mq"], 66, err="cars_meta.mat")
    (m.folder / "namesake/devkit/cars_train_annos.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(600))
    m.expect(tap, "a MATLAB 7.3 file", ["import", "namesake", "-o", "x.mq"], 65, err="7.3")
    m.expect(tap, "--annotations that are not there",
             ["import", "cars", "-o", "x.mq", "--annotations", "nothing.mat"], 66, err="nothing.mat")


def write_list(folder, name, lines, end="\r\n", begin="\ufeff"):
    (folder / name).write_text(begin + end.join(lines) + end, encoding="utf-8", newline="")
    return f"{folder.name}/{name}"


def test_list(tap, m):
    """A list of pictures: byte-order mark, CRLF, quotes, a line break within a field, boxes, splits and groups."""
    folder = fill(m.folder / "listed", {"x": 12, "y": 12}, (40, 30))
    (folder / "x/a,b.png").write_bytes(png(40, 30, 999))
    lines = ["Id,path,class_name,xmin,ymin,xmax,ymax,split,group"]
    lines += [f'{i},x/{i:03}.png,"van, red",1,2.0,30,20,,g{i // 3}' for i in range(12)]
    lines += [f'"{i}\r\nnote",./y/{i:03}.png,kart,,,,,{"test" if i < 3 else ""},' for i in range(12)]
    lines += ['24,"x/a,b.png","van, red",,,,,,', ""]
    source = write_list(folder, "labels.csv", lines)
    run = m.expect(tap, "a list", ["import", source, "-o", "list.mq", "--json"], 0)
    report = json.loads(run.out)
    tap.check("has its classes by name, and its boxes", [c["name"] for c in report["classes"]] == ["kart", "van, red"] and
              report["pictures"] == 25 and report["boxes"] == 12, report)
    placed = splits(m.folder / "list.mq")
    tap.check("test is what the list says, and nothing more", sorted(f for f, s in placed.items() if s == "test") == [
        "y/000.png", "y/001.png", "y/002.png"], placed)
    grouped = write_list(folder, "grouped.csv", ["path,label,group", *(
        f"{label}/{i:03}.png,{label},{label}{i // 3}" for label in "xy" for i in range(12))])
    m.expect(tap, "groups", ["import", grouped, "-o", "grouped.mq", "--test", "0.5", "--val", "0"], 0)
    placed = splits(m.folder / "grouped.mq")
    whole = [{placed[f"{label}/{3 * g + i:03}.png"] for i in range(3)} for label in "xy" for g in range(4)]
    tap.check("stay together", all(len(g) == 1 for g in whole) and len(set(placed.values())) == 2, whole)
    turned = write_list(folder, "turned.csv", [lines[0], *reversed(lines[1:-1])], "\n", "")
    m.expect(tap, "rows in another order", ["import", turned, "-o", "turned.mq"], 0)
    shards = [content(m.folder / data)["train-00000-of-00001.tfrecord"] for data in ("list.mq", "turned.mq")]
    tap.check("lead to the same shards", shards[0] == shards[1])
    tabs = write_list(folder, "labels.tsv", ["file\tlabel", *(f"x/{i:03}.png\ta" for i in range(9)), "y/000.png\tb"])
    m.expect(tap, "tabs", ["import", tabs, "-o", "tabs.mq"], 0, out="class = label of the row")


def test_bad_list(tap, m):
    folder = fill(m.folder / "lists", {"x": 3, "y": 3}, (40, 30))
    for name, lines, code, words in (
            ("no path", ["label,x", "a,1"], 65, "no column named path"),
            ("no label", ["path,x", "x/000.png,1"], 65, "no column named label"),
            ("half a box", ["path,label,x1", "x/000.png,a,1"], 65, "no column named y1"),
            ("an empty path", ["path,label", "x/000.png,a", ",b"], 65, "csv:3: names no picture"),
            ("an empty label", ["path,label", "x/000.png,"], 65, "csv:2: x/000.png has no label"),
            ("a path out of the folder", ["path,label", "x/../../word.png,a"], 65, "csv:2: x/../../word.png lies outside"),
            ("an absolute path", ["path,label", "/etc/passwd,a"], 65, "lies outside"),
            ("a box of words", ["path,label,x1,y1,x2,y2", "x/000.png,a,1,2,three,4"], 65, "csv:2: the box of x/000.png"),
            ("an inverted box", ["path,label,x1,y1,x2,y2", "x/000.png,a,9,2,3,4"], 65, "line 2 (x/000.png)"),
            ("a box outside", ["path,label,x1,y1,x2,y2", "x/000.png,a,90,2,99,4", "y/000.png,b,,,,"], 65, "x/000.png"),
            ("another split", ["path,label,split", "x/000.png,a,exam"], 65, 'csv:2: "exam" is not train, val or test'),
            ("a missing picture", ["path,label", "x/000.png,a", "x/9.png,b"], 66, "line 3 (x/9.png); --allow-missing"),
            ("a picture twice", ["path,label", "x/000.png,a", "y/000.png,b", "./x/000.png,b"], 65,
             "lines 2 and 4 are both about x/000.png"),
            ("a short row", ["path,label", "x/000.png"], 65, "csv:2: 1 fields where the first row has 2"),
            ("one class", ["path,label", "x/000.png,a", "x/001.png,a"], 65, "are of one class")):
        source = write_list(folder, "bad.csv", lines)
        m.expect(tap, f"a list with {name}", ["import", source, "-o", "refused.mq"], code, err=words)
        tap.check(f"a list with {name} leaves nothing", not (m.folder / "refused.mq").exists())
    source = write_list(folder, "some.csv", ["path,label", "x/000.png,a", "y/000.png,b", "x/9.png,b"])
    m.expect(tap, "rows without picture passed over", ["import", source, "-o", "some.mq", "--allow-missing"], 0)


def limit_files():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))


def mount(what, where, kind, flags, data):
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.mount(what, os.fsencode(where), kind, flags, data) == 0


def test_disk(tap, m):
    fill(m.folder / "disk", {"a": 20, "b": 20}, (64, 64))
    run = m.expect(tap, "a file may grow no further", ["import", "disk", "-o", "limit.mq"], 74,
                   err="cannot be written", preexec=limit_files)
    tap.check("of which nothing is left", not (m.folder / "limit.mq").exists(), run.err)
    small = m.folder / "small"
    small.mkdir()
    if mount(b"tmpfs", small, b"tmpfs", 0, b"size=12k"):
        try:
            run = m.expect(tap, "a full disk", ["import", "disk", "-o", "small/disk.mq"], 74,
                           err=["small/disk.mq", "No space left"])
            tap.check("no file is left on it", not list(small.rglob("*.tfrecord*")), list(small.rglob("*")))
        finally:
            ctypes.CDLL(None).umount2(os.fsencode(small), 2)
    else:
        tap.skip("a full disk", "mounting is not allowed here")
    m.expect(tap, "a folder that cannot be", ["import", "disk", "-o", "/proc/marque/disk.mq"], 73, err="/proc/marque")
    m.expect(tap, "an output below a file", ["import", "disk", "-o", "disk/a/000.png/x.mq"], 73, err="000.png")
    (m.folder / "mine").mkdir()
    (m.folder / "mine/thesis.txt").write_text("years")
    m.expect(tap, "a folder of something else", ["import", "disk", "-o", "mine"], 73, err="not empty")
    tap.check("which stays as it is", [p.name for p in (m.folder / "mine").iterdir()] == ["thesis.txt"])


def test_in_use(tap, m):
    import fcntl
    fill(m.folder / "held", {"a": 5, "b": 5})
    (m.folder / "held.mq").mkdir()
    with open(m.folder / "held.mq/.lock", "w+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711\n")
        lock.flush()
        m.expect(tap, "a folder in use", ["import", "held", "-o", "held.mq"], 73, err="in use by process 4711")
    m.expect(tap, "the lock dies with its holder", ["import", "held", "-o", "held.mq"], 0)
    (m.folder / "held.mq/dataset.json.tmp-4711").write_text("cut off")
    m.expect(tap, "another goes on with it", ["import", "held", "-o", "held.mq", "--update"], 0)
    tap.check("and what a killed one left goes", not list((m.folder / "held.mq").glob("*.tmp-*")))
    if not shutil.which("strace"):
        tap.skip("two that begin at once", "strace is not here")
        return
    env = m.environment({"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"})  # leaks cannot be looked for under strace
    late = subprocess.Popen(["strace", "-qq", "-e", "inject=mkdir,mkdirat:delay_enter=600000", "-o", "/dev/null", m.program, "import", "held",
                             "-o", "both.mq"], cwd=m.folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    time.sleep(0.3)  # by now it has seen that there is no folder, and is about to make it
    (m.folder / "both.mq").mkdir()
    with open(m.folder / "both.mq/.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        err = late.communicate()[1].decode()
        tap.check("of two that begin at once one is refused", late.returncode == 73 and "in use" in err, (late.returncode, err))
        tap.check("and leaves the other's lock", (m.folder / "both.mq/.lock").exists())


def test_interrupt(tap, m):
    fill(m.folder / "many", {"a": 400, "b": 400}, (200, 200))
    for number in (signal.SIGINT, signal.SIGTERM):
        child = subprocess.Popen([m.program, "import", "many", "-o", "many.mq", "-j", "1"], cwd=m.folder,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=m.environment(None))
        deadline = time.monotonic() + 20
        while not (m.folder / "many.mq/.lock").exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        child.send_signal(number)
        err = child.communicate(timeout=60)[1].decode()
        tap.check(f"{number.name} ends it by that signal", child.returncode == -number, (child.returncode, err))
        tap.check(f"{number.name} leaves nothing", not (m.folder / "many.mq").exists())


def main():
    tap = Tap()
    with Marque() as m:
        for test in (test_words, test_folder, test_folds, test_presize, test_scaled, test_given_splits, test_groups, test_bad_pictures, test_odd_names,
                     test_cars, test_bad_cars, test_list, test_bad_list, test_disk, test_in_use, test_interrupt):
            test(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
