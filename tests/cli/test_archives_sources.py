"""test_archives_sources.py: every kind of source, packed: the same set as from its folder."""
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from archives import is_clean  # noqa: E402
from marque import Marque  # noqa: E402
from tap import Tap  # noqa: E402
from test_archives import content  # noqa: E402
from test_import import cars, fill, png, table  # noqa: E402
from test_sources import boxes_of, coco, shards, slim, tfds, voc  # noqa: E402

import matfile  # noqa: E402


def official_cars(folder):
    """Both official parts with the published labels of the test part."""
    cars(folder, table(20))
    (folder / "cars_test").mkdir()
    rows = []
    for i in range(1, 9):
        (folder / f"cars_test/{i:05}.png").write_bytes(png(40, 30, 6000 + i))
        rows.append({"bbox_x1": 2, "bbox_y1": 3, "bbox_x2": 30, "bbox_y2": 20, "class": 1 + i % 2, "fname": f"{i:05}.png"})
    (folder / "devkit/cars_test_annos_withlabels.mat").write_bytes(matfile.write({"annotations": rows}))


def doubled_cars(folder):
    """As some archives of the set unpack."""
    cars(folder, table(20))
    (folder / "cars_train").rename(folder / "inner")
    (folder / "cars_train").mkdir()
    (folder / "inner").rename(folder / "cars_train/cars_train")
    (folder / "devkit").rename(folder / "middle")
    (folder / "car_devkit").mkdir()
    (folder / "middle").rename(folder / "car_devkit/devkit")


def coco_parts(folder):
    for k, part in enumerate(("train2017", "val2017")):
        names = [(f"{part}-{i}.png", True) for i in range(6)]
        coco(folder / f"annotations/instances_{part}.json", names, boxes_of(6), folder / part, first=100 * k)


def roboflow(folder):
    for k, part in enumerate(("train", "valid", "test")):
        coco(folder / part / "_annotations.coco.json", [(f"{part}-{i}.png", True) for i in range(6)], boxes_of(6), folder / part,
             first=100 * k)


def listed(folder):
    fill(folder, {"x": 6, "y": 6}, (40, 30))
    (folder / "labels.csv").write_text("path,label,x1,y1,x2,y2,split\n" + "".join(
        f"{c}/{i:03}.png,kind {c},1,2,{10 + i},9,{'test' if i > 3 else ''}\n" for c in "xy" for i in range(6)))


def listed_tabs(folder):
    fill(folder / "images", {"x": 6, "y": 6}, (40, 30))
    (folder / "set.tsv").write_text("file\tclass\n" + "".join(f"images/{c}/{i:03}.png\tkind {c}\n" for c in "xy" for i in range(6)))


SOURCES = {
    "cars": official_cars,
    "cars-doubled": doubled_cars,
    "cars-pooled": lambda folder: cars(folder, table(20), pooled=True),
    "voc": lambda folder: voc(folder, 12, {"train": range(6), "val": range(6, 9), "test": range(9, 12)}),
    "voc-flat": lambda folder: voc(folder, 12, xml=".", jpeg="."),
    "coco": coco_parts,
    "coco-roboflow": roboflow,
    "records": lambda folder: (shards(folder, "x-train-{:05}-of-{:05}.tfrecord", slim(0, 20), 2),
                               shards(folder, "x-validation-{:05}-of-{:05}.tfrecord", slim(20, 6), 1)),
    "records-tfds": lambda folder: (shards(folder, "d-train.tfrecord-{:05}-of-{:05}", tfds(0, 20), 3),
                                    (folder / "label.labels.txt").write_text("ant\nbee\ncat\n")),
    "list": listed,
    "list-tabs": listed_tabs,
    "parts": lambda folder: fill(folder, {"train/a": 5, "train/b": 5, "val/a": 2, "val/b": 2, "test/a": 3, "test/b": 3}),
}


TABLES = {"list": "list/labels.csv", "list-tabs": "list-tabs/set.tsv"}  # what is meant; in an archive the only table is


def pack(folder, path, top):
    """top: what stands before the names, a folder or nothing."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, top + str(file.relative_to(folder)))
        return
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as archive:
        for file in files:
            archive.add(file, top + str(file.relative_to(folder)))


def description(data):
    """dataset.json without what only an archive has."""
    made = json.loads((data / "dataset.json").read_text())
    made["source"].pop("archive_sha256", None)
    return made


def test_sources(tap, m):
    for name, make in SOURCES.items():
        folder = m.folder / name
        folder.mkdir()
        make(folder)
        loose = m.folder / f"{name}.mq"
        m.expect(tap, name, ["import", TABLES.get(name, name), "-o", loose.name], 0)
        for archive, top in ((f"{name}.zip", ""), (f"{name}-in.zip", f"{name}/"), (f"{name}.tar", f"{name}/"), (f"{name}.tgz", "./")):
            pack(folder, m.folder / archive, top)
            data = m.folder / f"{archive}.mq"
            run = m.expect(tap, archive, ["import", archive, "-o", data.name], 0)
            tap.check(f"{archive}: the same set as from the folder", run.code == 0 and content(data) == content(loose) and
                      description(data) == description(loose) and is_clean(m, data.name), run.err)


def test_real_tar(tap, m):
    """Packed by tar itself, with the folders as members and owners and modes of anybody."""
    folder = m.folder / "cars"
    folder.mkdir()
    official_cars(folder)
    for file in folder.rglob("*.mat"):
        os.chmod(file, 0o400)
    m.expect(tap, "a folder", ["import", "cars", "-o", "loose.mq"], 0, out="28 pictures")
    subprocess.run(["tar", "-czf", m.folder / "cars.tar.gz", "-C", m.folder, "--owner=4711", "cars"], check=True)
    m.expect(tap, "packed by tar", ["import", "cars.tar.gz", "-o", "packed.mq"], 0, out="28 pictures")
    tap.check("the same set", content(m.folder / "packed.mq") == content(m.folder / "loose.mq"))
    (m.folder / "gone").mkdir()
    subprocess.run(["tar", "-cf", m.folder / "holes.tar", "-C", m.folder, "--exclude=00003.png", "cars"], check=True)
    m.expect(tap, "a picture missing from it", ["import", "holes.tar", "-o", "x.mq"], 66,
             err=["cars_train_annos.mat: 1 of 20 rows has no picture below holes.tar", "row 3 (00003.png)"])
    m.expect(tap, "--allow-missing", ["import", "holes.tar", "-o", "holes.mq", "--allow-missing"], 0, out="26 pictures")
    m.expect(tap, "an update from the archive", ["import", "cars.tar.gz", "-o", "packed.mq", "--update"], 0,
             out="28 pictures keep their split, 0 are new")


def main():
    tap = Tap()
    for test in (test_sources, test_real_tar):
        with Marque() as m:
            test(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
