"""test_told.py: what marque import says and where, dry runs onto a data set, updates after a kill."""
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from archives import pictures, write_zip  # noqa: E402
from marque import Marque  # noqa: E402
from tap import Tap  # noqa: E402
from test_import import cars, fill, png, rows, splits, table  # noqa: E402
from test_sources import everything  # noqa: E402


def test_warnings(tap, m):
    """Warnings are messages: stderr has them, and stdout has none."""
    source = fill(m.folder / "pics", {"a": 10, "b": 10, **{f"small{i:02}": 1 for i in range(14)}})
    run = m.expect(tap, "warnings", ["import", "pics", "-o", "pics.mq"], 0,
                   err=["warning: 14 classes have fewer than 5 pictures: small00 1, ", "small09 1, ...\n"])
    tap.check("stdout has none", "warning" not in run.out and "small10 1" not in run.err, run.out)
    for name in os.listdir(source):
        if name.startswith("small") and name != "small03":
            (source / name / "000.png").unlink()
    run = m.expect(tap, "one", ["import", "pics", "-o", "one.mq"], 0, err="warning: 1 class has fewer than 5 pictures: small03 1\n")
    (m.folder / "list.csv").write_text("path,label,split\npics/a/000.png,a,train\npics/b/000.png,b,test\n")
    run = m.expect(tap, "a class without training picture", ["import", "list.csv", "-o", "list.mq"], 0,
                   err="warning: 1 class has no training picture: b 1\n")
    fill(m.folder / "lone", {"a": 1})
    m.expect(tap, "one picture", ["import", "lone", "-o", "x.mq"], 65, err="lone: has but one picture; a classifier needs two classes")
    tiny = fill(m.folder / "tiny", {"a": 1, "b": 1})
    m.expect(tap, "one shard", ["import", "tiny", "-o", "tiny.mq", "--test", "0", "--val", "0"], 0, out="\n1 shard, 0.0 MB\n")
    (tiny / "a/000.png").write_bytes(b"x")
    m.expect(tap, "one picture that can be read", ["import", "tiny", "-o", "x.mq"], 65, err="has but one picture")


def test_dry_run(tap, m):
    """Onto a data set, too, a dry run tells everything and changes nothing."""
    source = fill(m.folder / "pics", {"a": 10, "b": 10})
    m.expect(tap, "a set", ["import", "pics", "-o", "pics.mq"], 0)
    (source / "a/new.png").write_bytes(png(8, 8, 999))
    (source / "a/bad.png").write_bytes(b"")
    write_zip(m.folder / "p.zip", pictures())
    before = everything(m.folder)
    m.expect(tap, "a dry run onto it", ["import", "pics", "-o", "pics.mq", "--dry-run"], 0,
             out=["21 pictures, 2 classes", "a/bad.png", "a data set is there already: --update goes on with it"])
    m.expect(tap, "as an update", ["import", "pics", "-o", "pics.mq", "--dry-run", "--update"], 0,
             out=["20 pictures keep their split, 1 is new", "it would be pics.mq, of 3 shards"])
    m.expect(tap, "of other things", ["import", "p.zip", "-o", "pics.mq", "--dry-run"], 0, out="12 pictures, 2 classes")
    m.expect(tap, "elsewhere", ["import", "pics", "-o", "new.mq", "--dry-run"], 0, out="0.0 MB in all, about\n")
    after = everything(m.folder)
    changed = {p for p in before if p.is_file() and p.name != ".lock" and before[p] != after.get(p)}
    tap.check("writes nothing", before.keys() == after.keys() and not changed, (before.keys() ^ after.keys(), changed))
    m.expect(tap, "the import itself", ["import", "pics", "-o", "pics.mq"], 73, err="is a data set already")
    (m.folder / "other").mkdir()
    (m.folder / "other/file").write_text("x")
    m.expect(tap, "a folder of other files", ["import", "pics", "-o", "other", "--dry-run"], 73, err="not a data set")


def test_killed(tap, m):
    """An import killed while its files went to their place: the next goes on with its settings and its splits."""
    source = fill(m.folder / "pics", {"a": 20, "b": 20})
    made = ["import", "pics", "-o", "pics.mq"]
    m.expect(tap, "a set", [*made, "--folds", "3", "--max-side", "6", "--group-by", "(.)\\.png"], 0)
    before = splits(m.folder / "pics.mq")
    data = m.folder / "pics.mq"
    (source / "a/900.png").write_bytes(png(8, 8, 999))
    for kept in (set(), {"split.csv", "train.idx"}):
        (data / ".import.tmp").mkdir()
        for file in list(data.iterdir()):
            if not file.name.startswith(".") and file.name not in kept:
                file.rename(data / ".import.tmp" / file.name)
        m.expect(tap, f"an update when {len(kept)} files were in their place", [*made, "--update"], 0, err="is now complete")
        after = splits(data)
        tap.check("keeps what was placed", all(after[f] == s for f, s in before.items()) and "a/900.png" in after)
    m.expect(tap, "other settings are still refused", [*made, "--update", "--max-side", "7"], 64, err="with --max-side 6")


def test_parts(tap, m):
    """What was drawn of a part that the source names stays, too: no picture goes from training to validation or back, none changes its fold."""
    source = fill(m.folder / "parts", {"train/a": 30, "train/b": 30, "test/a": 5, "test/b": 5})
    folds = lambda data: {r["file"]: (r["split"], r["fold"]) for r in rows(m.folder / data / "split.csv")}  # noqa: E731
    m.expect(tap, "train and test", ["import", "parts", "-o", "parts.mq"], 0, out="train 54  val 6  test 10")
    m.expect(tap, "in folds", ["import", "parts", "-o", "folds.mq", "--folds", "3"], 0)
    before, folded = splits(m.folder / "parts.mq"), folds("folds.mq")
    for i in range(60):
        (source / f"train/{'ab'[i % 2]}/n{i}.png").write_bytes(png(9, 9, 5000 + i))
    (source / "train/a/copy.png").write_bytes((source / "train/a/000.png").read_bytes())
    run = m.expect(tap, "an update", ["import", "parts", "-o", "parts.mq", "--update"], 0,
                   out=["71 pictures keep their split, 60 are new", "train 109  val 12  test 10"])
    after = splits(m.folder / "parts.mq")
    tap.check("every picture stays", all(after[f] == s for f, s in before.items()))
    tap.check("a copy goes with its picture", after["train/a/copy.png"] == after["train/a/000.png"] and "warning" not in run.err, run.err)
    m.expect(tap, "an update of folds", ["import", "parts", "-o", "folds.mq", "--update"], 0, out="71 pictures keep their split, 60 are new")
    after = folds("folds.mq")
    tap.check("every fold stays", all(after[f] == place for f, place in folded.items()))


def test_cut(tap, m):
    """A copy of Stanford Cars that is cut and not whole: one error names all that helps."""
    holes = lambda box: [(f, c, box, int(f[:5]) % 3 > 0) for f, c, _, _ in table(60)]  # noqa: E731
    cars(m.folder / "cut", holes((10, 20, 50, 50)))
    m.expect(tap, "cut and not whole", ["import", "cut", "-o", "cut.mq"], 66,
             err=["20 of 60 rows have no picture", "already cut", "import them with --allow-missing --boxes ignore"])
    m.expect(tap, "what it says", ["import", "cut", "-o", "cut.mq", "--allow-missing", "--boxes", "ignore"], 0, out="40 pictures")
    cars(m.folder / "whole", holes((3, 4, 33, 24)))
    run = m.expect(tap, "not whole", ["import", "whole", "-o", "x.mq"], 66, err="--allow-missing imports the others")
    tap.check("nothing of boxes", "--boxes" not in run.err, run.err)
    run = m.expect(tap, "--boxes ignore", ["import", "cut", "-o", "x.mq", "--boxes", "ignore"], 66, err="--allow-missing imports the others")


def main():
    tap = Tap()
    for test in (test_warnings, test_dry_run, test_killed, test_parts, test_cut):
        with Marque() as m:
            test(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
