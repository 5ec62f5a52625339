"""test_locale.py: under a locale with a decimal comma numbers are read and written with a point, as elsewhere."""
import csv
import json
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import commalocale  # noqa: E402
from marque import Marque  # noqa: E402
from tap import Tap  # noqa: E402
from test_import import content, fill  # noqa: E402
from test_sources import boxes_of, coco, shards, tfds, voc  # noqa: E402


def both(tap, m, comma, name, args, code=0, **how):
    """The same command in both locales: the same words, and DATA, where there is one, of the same bytes."""
    data = m.folder / "same.mq"
    runs = []
    for env in (None, comma):
        shutil.rmtree(data, ignore_errors=True)
        run = m.expect(tap, f"{name}{', with a comma' if env else ''}", args, code, env=env, **how)
        runs.append((run.out, run.err, content(data) if data.is_dir() else None))
    tap.check(f"{name}: is the same in both", runs[0] == runs[1], runs[1][:2])
    return data


def test_import(tap, m, comma):
    folder = fill(m.folder / "pics", {"x": 12, "y": 12}, (40, 30))
    lines = [f"{c}/{i:03}.png,{c},{1.25 + i},2.4,{20.5 + i},9.75" for c in "xy" for i in range(12)]
    (folder / "list.csv").write_text("\n".join(["path,label,x1,y1,x2,y2", *lines, ""]))
    shares = ["--test", "0.25", "--val", "0.4", "-o", "same.mq"]
    data = both(tap, m, comma, "a list", ["import", "pics/list.csv", *shares, "--presize", "24", "--margin", "0.25"], out="0.0 MB\n")
    made = json.loads((data / "dataset.json").read_text())
    tap.check("its numbers have points", (made["split"]["test"], made["split"]["val"], made["margin"]) == (0.25, 0.4, 0.25), made)
    with open(data / "split.csv", newline="") as file:
        first = next(csv.DictReader(file))
    tap.check("its boxes are rounded, not cut", [first[k] for k in ("x1", "y1", "x2", "y2")] == ["1", "2", "21", "10"], first)
    m.expect(tap, "an update reads them back", ["import", "pics/list.csv", "-o", "same.mq", "--update"], 0, env=comma,
             out="24 pictures keep their split")
    tap.check("and leaves them", json.loads((data / "dataset.json").read_text()) == made)
    coco(m.folder / "coco/annotations/all.json", [(f"{k}.png", True) for k in range(8)], boxes_of(8), m.folder / "coco/images")
    both(tap, m, comma, "COCO", ["import", "coco", *shares, "--store", "crop", "--max-side", "12"])
    voc(m.folder / "voc", 6)
    both(tap, m, comma, "Pascal VOC", ["import", "voc", *shares])
    boxes = [{**record, "bbox": [0.125, 0.25, 0.75, 0.5 + k / 32]} for k, record in enumerate(tfds(0, 8))]
    shards(m.folder / "records", "d.tfrecord-{:05}-of-{:05}", boxes, 1)
    (m.folder / "records/label.labels.txt").write_text("ant\nbee\ncat\n")
    both(tap, m, comma, "TFRecord", ["import", "records", *shares])
    both(tap, m, comma, "a report", ["import", "pics", *shares, "--json"])


def test_refused(tap, m, comma):
    """A comma is no point, whatever the locale says."""
    folder = fill(m.folder / "pics", {"x": 4, "y": 4}, (40, 30))
    (folder / "list.csv").write_text('path,label,x1,y1,x2,y2\nx/000.png,a,"1,0",2,9,8\ny/000.png,b,,,,\n')
    both(tap, m, comma, "commas in boxes", ["import", "pics/list.csv", "-o", "same.mq"], 65,
         err="list.csv:2: the box of x/000.png is not four numbers")
    both(tap, m, comma, "a comma in a share", ["import", "pics", "-o", "same.mq", "--test", "0,25"], 64, err="--test")


def test_others(tap, m, comma):
    """What looks at a data set says the same."""
    fill(m.folder / "pics", {"x": 12, "y": 12}, (80, 70))
    m.expect(tap, "a set", ["import", "pics", "-o", "pics.mq", "--val", "0.25"], 0)
    both(tap, m, comma, "inspect", ["inspect", "pics.mq"])
    both(tap, m, comma, "inspect --json", ["inspect", "pics.mq", "--json"])
    for k, env in enumerate((None, comma)):
        m.expect(tap, "scan", ["scan", "pics.mq", "-o", f"scan{k}"], 0, env=env)
    made = [{f.name: f.read_bytes() for f in (m.folder / f"scan{k}").rglob("*") if f.suffix in (".json", ".csv")} for k in (0, 1)]
    tap.check("scan writes the same", made[0] == made[1] and made[0], sorted(made[0]))


def main():
    tap = Tap()
    for test in (test_import, test_refused, test_others):
        with Marque() as m:
            test(tap, m, commalocale.build(m.folder / "locales"))
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
