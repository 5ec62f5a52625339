"""test_near.py: pictures that show nearly the same stay on one side of an import's split, whatever the class, and are told."""
import csv
import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from marque import Marque  # noqa: E402
from pictures import png_of  # noqa: E402
from tap import Tap  # noqa: E402

CELLS, PAIRS, EACH = 13, 12, 40


def look(seed, side, light=1.0, mirror=False):
    """Cells of grey of a look of their own, drawn at a size; light changes every level."""
    draw = random.Random(seed)
    grid = [[draw.randint(30, 200) for _ in range(CELLS)] for _ in range(CELLS)]
    rows = [[int(light * grid[y * CELLS // side][x * CELLS // side]) for x in range(side)] for y in range(side)]
    return png_of(side, side, [v for row in rows for v in (row[::-1] if mirror else row)], grey=True)


def fill(folder):
    """ant and bee; the first pictures of ant have near copies, some as bee."""
    for name in ("ant", "bee"):
        (folder / name).mkdir(parents=True)
        for i in range(EACH):
            (folder / name / f"{i:02}.png").write_bytes(look(f"{name}{i}", 52))
    copies = [look(f"ant{i}", *how) for i, how in enumerate([(52, 0.8), (104,), (39,), (52, 1.2, True)] * (PAIRS // 4))]
    for i, data in enumerate(copies):
        (folder / ("bee" if i % 3 == 0 else "ant") / f"near-{i:02}.png").write_bytes(data)


def splits(data):
    with (data / "split.csv").open(newline="") as file:
        return {row["file"]: row["split"] for row in csv.DictReader(file)}


def pairs(placed):
    """The parts of each picture and its near copy."""
    return [(placed[f"ant/{i:02}.png"], placed[f"{'bee' if i % 3 == 0 else 'ant'}/near-{i:02}.png"]) for i in range(PAIRS)]


def test_together(tap, m):
    told = f"{PAIRS} pictures look nearly like others; such copies share a split"
    for seed in range(4):
        m.expect(tap, f"seed {seed}", ["import", "pictures", "-o", f"{seed}.mq", "--seed", str(seed)], 0, out=told)
        placed = pairs(splits(m.folder / f"{seed}.mq"))
        tap.check(f"seed {seed}: near copies share a split", all(a == b for a, b in placed), placed)
    report = json.loads(m.run(["import", "pictures", "-o", "none.mq", "--dry-run", "--json"]).out)
    tap.check("as a number", (report["near_copies"], report["copies"]) == (PAIRS, 0), report)
    m.expect(tap, "nothing leaks", ["scan", "0.mq"], 0)
    scanned = json.loads(m.run(["scan", "0.mq", "--json"]).out)
    tap.check("as scan has it, too", scanned["leaks"] == 0 and len(scanned["groups"]) == PAIRS, scanned["groups"])
    m.expect(tap, "in folds, too", ["import", "pictures", "-o", "folds.mq", "--folds", "3"], 0)
    with (m.folder / "folds.mq/split.csv").open(newline="") as file:
        folds = {row["file"]: (row["split"], row["fold"]) for row in csv.DictReader(file)}
    tap.check("near copies share a fold", all(a == b for a, b in pairs(folds)), pairs(folds))


def test_crowd(tap, m):
    """A look that 17 share is what pictures of a kind are like; that they may part is told."""
    for i in range(17):
        for name in ("same", "other"):
            path = m.folder / f"crowd/{name}/{i:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(look("one", 40 + i) if name == "same" else look(f"other{i}", 52))
    m.expect(tap, "17 pictures of one look", ["import", "crowd", "-o", "crowd.mq"], 0,
             out="17 pictures look nearly like more than 15 others and may lie in another split than they")
    (m.folder / "crowd/same/16.png").unlink()
    run = m.expect(tap, "16 of one look", ["import", "crowd", "-o", "few.mq"], 0, out="15 pictures look nearly like others; such copies share a split")
    tap.check("are no crowd", "than they" not in run.out, run.out)


def test_given(tap, m):
    """What the source or an earlier import has placed stays; what is new follows it."""
    (m.folder / "places.csv").write_text("path,split\nant/01.png,train\nant/near-01.png,test\n")
    m.expect(tap, "near copies that the source tears", ["import", "pictures", "-o", "torn.mq", "--split-file", "places.csv"], 0,
             err="warning: 2 pictures have near copies in another split, as the source has it")
    tap.check("stay as it has them", pairs(splits(m.folder / "torn.mq"))[1] == ("train", "test"))
    before = splits(m.folder / "0.mq")
    for i in range(12, EACH):
        (m.folder / f"pictures/bee/new-{i:02}.png").write_bytes(look(f"ant{i}", 65, 0.9))
    m.expect(tap, "an update", ["import", "pictures", "-o", "0.mq", "--update"], 0, out=f"{PAIRS + EACH - 12} pictures look nearly like")
    after = splits(m.folder / "0.mq")
    tap.check("moves nothing", all(after[name] == split for name, split in before.items()))
    follow = [(after[f"ant/{i:02}.png"], after[f"bee/new-{i:02}.png"]) for i in range(12, EACH)]
    tap.check("new near copies go where the old ones are", all(a == b for a, b in follow) and len(set(follow)) == 3, follow)


def test_many(tap, m):
    """A look that a whole class has tells no copies: the class is divided."""
    for name in ("coin", "note"):
        (m.folder / "flat" / name).mkdir(parents=True)
        for i in range(40):
            light = 1 if name == "note" else 1 - i / 200
            (m.folder / f"flat/{name}/{i:02}.png").write_bytes(look(f"{name}{i}" if name == "note" else "coin", 52, light))
    run = m.expect(tap, "one look for 40 pictures", ["import", "flat", "-o", "flat.mq"], 0, out="40 pictures look nearly like more than 15")
    tap.check("is no reason to keep them together", "share a split" not in run.out, run.out)
    placed = [split for name, split in splits(m.folder / "flat.mq").items() if name.startswith("coin")]
    tap.check("the class is in all parts", [placed.count(part) for part in ("train", "val", "test")] == [25, 3, 12], placed)


def main():
    tap = Tap()
    with Marque() as m:
        fill(m.folder / "pictures")
        test_together(tap, m)
        test_crowd(tap, m)
        test_given(tap, m)
        test_many(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
