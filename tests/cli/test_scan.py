"""test_scan.py: marque scan on pictures with planted faults: copies, leaks, wrong labels, dark, empty and tiny ones, damage.
Without the network's weights, so near copies stay unconfirmed."""
import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from foreignfile import bmp  # noqa: E402
from marque import ROOT, Marque  # noqa: E402
from pictures import png_of  # noqa: E402
from tap import Tap  # noqa: E402

SIDE, CELLS = 96, 8
CELL = SIDE // CELLS


def grey_png(rows):
    """A PNG of rows of grey levels."""
    return png_of(len(rows[0]), len(rows), [level for row in rows for level in row], grey=True)


def cells(seed, low=40, high=210):
    draw = random.Random(seed)
    return [[draw.randint(low, high) for _ in range(CELLS)] for _ in range(CELLS)]


def picture(seed, add=0, scale=1.0, mirror=False):
    """Cells of grey with some grain: edges to be sharp at, a look of its own for each seed."""
    grid, draw = cells(seed), random.Random(1000 + seed)
    rows = [[min(255, max(0, int(scale * (grid[y // CELL][x // CELL] + draw.randint(-12, 12))) + add)) for x in range(SIDE)]
            for y in range(SIDE)]
    return grey_png([row[::-1] for row in rows] if mirror else rows)


def fill(folder):
    files = {f"{name}/{i:02}.png": picture(seed * 100 + i) for seed, name in enumerate(("ant", "bee", "fly")) for i in range(12)}
    files["ant/same.png"] = files["ant/03.png"]
    files["bee/strange.png"] = files["ant/05.png"]
    files["fly/brighter.png"] = picture(207, add=9)
    files["fly/mirrored.png"] = picture(208, mirror=True)
    files["ant/dark.png"] = picture(301, scale=0.1)
    files["bee/empty.png"] = grey_png([[128] * SIDE] * SIDE)
    files["ant/drawing.png"] = grey_png([[0 if 40 < x < 44 or 30 < y < 33 else 255 for x in range(SIDE)] for y in range(SIDE)])
    files["fly/tiny.png"] = grey_png([[random.Random(9 * y + x).randint(0, 255) for x in range(12)] for y in range(12)])
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder.parent / "places.csv").write_text("path,split\nfly/07.png,train\nfly/brighter.png,test\n")


def scan(m, data):
    run = m.run(["scan", data, "--json"])
    return json.loads(run.out) if run.code == 0 else {"groups": [], "flagged": [], "error": run.err}


def groups(report):
    return {frozenset(p["file"] for p in g["pictures"]): g for g in report["groups"]}


def test_copies(tap, m):
    report = scan(m, "data.mq")
    found = groups(report)
    same = found.get(frozenset(("ant/03.png", "ant/same.png")), {})
    tap.check("copies within a class", same.get("kind") == "exact" and not same["leak"] and not same["conflict"], report["groups"])
    strange = found.get(frozenset(("ant/05.png", "bee/strange.png")), {})
    tap.check("copies in two classes are a conflict", strange.get("kind") == "exact" and strange["conflict"], report["groups"])
    near = found.get(frozenset(("fly/07.png", "fly/brighter.png")), {})
    tap.check("a near copy in another part is a leak, not confirmed without weights",
              near.get("kind") == "near" and near["leak"] and not near["confirmed"], report["groups"])
    mirrored = found.get(frozenset(("fly/08.png", "fly/mirrored.png")), {})
    tap.check("so is a mirror image found", mirrored.get("mirrored") is True, report["groups"])
    tap.check("and nothing else is a copy", len(found) == 4, report["groups"])
    tap.check("the sums are those of the groups", (report["leaks"], report["conflicts"]) == (
        sum(g["leak"] for g in report["groups"]), sum(g["conflict"] and not g["leak"] for g in report["groups"])), report)


def test_flaws(tap, m):
    report = scan(m, "data.mq")
    reasons = {one["file"]: one["reasons"] for one in report["flagged"]}
    tap.check("a dark picture", "dark" in reasons.get("ant/dark.png", []), reasons)
    tap.check("an empty one", "empty" in reasons.get("bee/empty.png", []), reasons)
    tap.check("but no drawing of two tones", "empty" not in reasons.get("ant/drawing.png", []), reasons)
    tap.check("a tiny one", "tiny" in reasons.get("fly/tiny.png", []), reasons)
    ordinary = [name for name in reasons if name[4:6].isdigit()]
    tap.check("ordinary pictures are not flagged", not ordinary, reasons)
    tap.check("every picture is counted", report["pictures"] == 47, report["pictures"])
    copies = {one["file"] for group in report["groups"] for one in group["pictures"]}
    tap.check("flagged are those with flaws and those with copies", report["flawed_pictures"] == len(reasons) and
              report["flagged_pictures"] == len(copies | set(reasons)) > len(reasons), report["flagged_pictures"])
    m.expect(tap, "in words, too", ["scan", "data.mq"], 0, out=f"47 pictures, {len(copies | set(reasons))} of them flagged")


def test_report(tap, m):
    m.expect(tap, "in words", ["scan", "data.mq"], 0,
             out=["1 group of copies across train, val and test (leaks)", "2 groups of copies within a class", "dark", "next: marque clean data.mq"])
    m.expect(tap, "--strict", ["scan", "data.mq", "--strict"], 65, err="data.mq")
    (m.folder / "file").write_text("")
    m.expect(tap, "into a folder that cannot be", ["scan", "data.mq", "-o", "file/report"], 73, err="file")
    m.expect(tap, "into a folder", ["scan", "data.mq", "-o", "report"], 0)
    page = (m.folder / "report/scan.html").read_text()
    tap.check("a page of its own, without anything from elsewhere", "Content-Security-Policy" in page and "data:image" in page and
              "http://" not in page and "https://" not in page and "<script" not in page.lower(), page[:500])
    tap.check("names are escaped", "&lt;b&gt;" in page and "<b>x" not in page)
    again = m.run(["scan", "data.mq", "--json", "-j", "1"]).out
    tap.check("the number of workers changes nothing", json.loads(again) == json.loads((m.folder / "report/scan.json").read_text()))
    m.expect(tap, "a folder of pictures", ["scan", "pictures"], 64, err="marque import pictures")
    m.expect(tap, "nothing there", ["scan", "nowhere.mq"], 66, err="nowhere.mq")


def test_strict(tap, m):
    """A leak alone, of the same bytes or of the same look, and a conflict alone: each is reason enough."""
    for kind, data, place, told in (("same", picture(1), "a/0.png", "1 groups of copies across train, val and test, 0 across classes"),
                                    ("near", picture(1, add=9), "a/0.png", "1 groups of copies across train, val and test, 0 across classes"),
                                    ("label", picture(1), "b/0.png", "0 groups of copies across train, val and test, 1 across classes")):
        for name in ("a", "b"):
            (m.folder / kind / name).mkdir(parents=True)
            for i in range(4):
                (m.folder / kind / name / f"{i + 1}.png").write_bytes(picture(60 + i if name == "a" else 70 + i))
        (m.folder / kind / "a/1.png").write_bytes(picture(1))
        (m.folder / kind / place).write_bytes(data)
        (m.folder / "places.csv").write_text("path,split\na/1.png,train\n" + ("" if kind == "label" else "a/0.png,test\n"))
        options = ["--split-file", "places.csv", "--test", "0", "--val", "0"]
        m.expect(tap, f"{kind}: import", ["import", kind, "-o", f"{kind}.mq", *options], 0)
        m.expect(tap, f"{kind}: --strict", ["scan", f"{kind}.mq", "--strict"], 65, err=[f"{kind}.mq: {told}", "0 corrupt"])
        m.expect(tap, f"{kind}: without it the scan itself is no failure", ["scan", f"{kind}.mq"], 0)


def test_damage(tap, m):
    m.expect(tap, "a copy of the data", ["import", "pictures", "-o", "hurt.mq"], 0)
    shard = m.folder / "hurt.mq/train-00000-of-00001.tfrecord"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 0x10
    shard.write_bytes(data)
    report = scan(m, "hurt.mq")
    corrupt = [one for one in report["flagged"] if "corrupt" in one["reasons"]]
    tap.check("a damaged record is one corrupt picture", len(corrupt) == 1, report["flagged"])
    place = f"{shard.name} record {corrupt[0]['index']}" if corrupt else "none"
    tap.check("that is told by its place", corrupt and corrupt[0]["file"] == place, (corrupt, place))
    text = m.expect(tap, "in words, too", ["scan", "hurt.mq"], 0, out=[f"{place} (train)", "next: import the pictures again"]).out
    tap.check("and clean is not advised", "marque clean" not in text, text)
    m.expect(tap, "and --strict says so", ["scan", "hurt.mq", "--strict"], 65)


def test_shards(tap, m):
    """A record's number is that in its shard."""
    draw = random.Random(5)
    for i in range(6):
        (m.folder / f"large/{'ab'[i % 2]}").mkdir(parents=True, exist_ok=True)
        (m.folder / f"large/{'ab'[i % 2]}/{i}.png").write_bytes(png_of(400, 400, draw.randbytes(480000)))
    m.expect(tap, "in several shards", ["import", "large", "-o", "large.mq", "--shard-mb", "1", "--val", "0", "--test", "0"], 0)
    shards = sorted((m.folder / "large.mq").glob("train-*.tfrecord"))
    data = bytearray(shards[-1].read_bytes())
    data[len(data) // 4] ^= 1
    shards[-1].write_bytes(data)
    flagged = [one for one in scan(m, "large.mq")["flagged"] if "corrupt" in one["reasons"]]
    tap.check("a damaged one of the last shard", len(shards) > 1 and [one["file"] for one in flagged] == [f"{shards[-1].name} record 0"] and
              flagged[0]["index"] > 0 and f"{shards[-1].name}: record 0 at byte 0" in flagged[0]["error"], flagged)


def stored_otherwise(tap, m, how, folder, *options):
    """Sound pictures that were not stored as they came."""
    m.expect(tap, f"{how}: import", ["import", folder, "-o", f"{how}.mq", *options], 0)
    report = scan(m, f"{how}.mq")
    tap.check(f"{how}: none is corrupt", "error" not in report and report["flaws"]["corrupt"]["pictures"] == 0, report)
    measured = [one["sharpness"] for one in report["flagged"]]
    tap.check(f"{how}: a dark one is measured", any("dark" in one["reasons"] and one["width"] for one in report["flagged"]) and
              all(measured), report["flagged"])
    same = [g for g in report["groups"] if g["kind"] == "exact"]
    tap.check(f"{how}: copies of a file are exact ones", len(same) == 1 and len(same[0]["pictures"]) == 2, report["groups"])
    m.expect(tap, f"{how}: --strict passes", ["scan", f"{how}.mq", "--strict"], 0)


def test_stored(tap, m):
    rows = []
    for i in range(10):
        grid = cells(700 + i, *((5, 20) if i == 9 else (40, 210)))
        shades = [[(grid[y // CELL][x // CELL],) * 3 for x in range(SIDE)] for y in range(SIDE)]
        files = {"bmp": bmp(shades), "png": png_of(SIDE, SIDE, [v for row in shades for p in row for v in p])}
        for kind, data in files.items():
            for name in (f"{i}", *(("same",) if i == 3 else ())):
                path = m.folder / f"{kind}s/{'ant' if i % 2 else 'bee'}/{name}.{kind}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                if kind == "png":
                    rows.append(f"{path.relative_to(m.folder)},{path.parent.name},8,8,88,88")
    (m.folder / "boxed.csv").write_text("\n".join(["path,label,x1,y1,x2,y2", *rows]) + "\n")
    one_part = ("--val", "0", "--test", "0")
    stored_otherwise(tap, m, "converted", "bmps", *one_part)
    stored_otherwise(tap, m, "presized", "pngs", "--presize", "80", *one_part)
    stored_otherwise(tap, m, "shrunk", "pngs", "--max-side", "72", *one_part)
    stored_otherwise(tap, m, "cut", "boxed.csv", "--store", "crop", *one_part)


def test_boxes(tap, m):
    """Two objects of one file have its bytes, and are no copies."""
    folder = m.folder / "coco"
    folder.mkdir()
    names, images, annotations = ("ant", "bee"), [], []
    for i in range(8):
        (folder / f"{i}.png").write_bytes(picture(500 + i))
        images.append({"id": i, "file_name": f"{i}.png", "width": SIDE, "height": SIDE})
        annotations += [{"id": 10 * i + k, "image_id": i, "category_id": k + 1, "bbox": [k * 48, 0, 48, SIDE], "iscrowd": 0}
                        for k in (0, 1)]
    (folder / "instances.json").write_text(json.dumps({
        "images": images, "annotations": annotations, "categories": [{"id": k + 1, "name": n} for k, n in enumerate(names)]}))
    m.expect(tap, "objects of COCO", ["import", "coco/instances.json", "-o", "coco.mq"], 0)
    report = scan(m, "coco.mq")
    tap.check("are no copies of each other", report["pictures"] == 16 and not report["groups"], report["groups"])


def test_turns(tap, m):
    """How EXIF turns pictures, in words; 0 and 9 mean nothing."""
    for i in range(10):
        path = m.folder / f"turns/{'ab'[i % 2]}/exif-{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((ROOT / "tests/golden/pixels" / path.name).read_bytes())
    m.expect(tap, "pictures of every orientation", ["import", "turns", "-o", "turns.mq"], 0)
    words = ["mirrored", "half a turn", "mirrored, half a turn", "mirrored, a quarter turn left", "a quarter turn right",
             "mirrored, a quarter turn right", "a quarter turn left"]
    run = m.expect(tap, "are told", ["scan", "turns.mq", "-o", "turns"], 0, out="turned    as EXIF asks: ")
    line = next((part for part in run.out.splitlines() if part.startswith("turned")), "")
    tap.check("in words", sorted(line.split("asks: ")[-1].split("; ")) == sorted(["3 not at all", *(f"1 {w}" for w in words)]), line)
    page, report = (m.folder / "turns/scan.html").read_text(), json.loads((m.folder / "turns/scan.json").read_text())
    tap.check("on the page, too", all(w in page for w in words) and "turned as EXIF asks" in page)
    tap.check("for programs by EXIF's numbers", {o["name"]: o["pictures"] for o in report["orientations"]} ==
              {"1": 3, **{str(n): 1 for n in range(2, 9)}}, report["orientations"])


def main():
    tap = Tap()
    with Marque() as m:
        fill(m.folder / "pictures")
        (m.folder / "pictures/<b>x").mkdir()
        for i in range(3):
            (m.folder / f"pictures/<b>x/{i}.png").write_bytes(picture(900 + i, scale=0.1))
        m.expect(tap, "import", ["import", "pictures", "-o", "data.mq", "--split-file", "places.csv"], 0)
        for test in (test_copies, test_flaws, test_report, test_strict, test_damage, test_shards, test_stored, test_boxes,
                     test_turns):
            test(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
