"""test_update.py: marque import --update: what was placed stays, settings stay, copies are known."""
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from marque import Marque  # noqa: E402
from tap import Tap  # noqa: E402
from test_import import cars, fill, png, splits, table  # noqa: E402


def test_update(tap, m):
    source = fill(m.folder / "grow", {"b": 10, "c": 10})
    m.expect(tap, "first import", ["import", "grow", "-o", "grow.mq"], 0)
    old, classes = splits(m.folder / "grow.mq"), ["b", "c"]
    for i in range(10):
        (source / "b" / f"new{i}.png").write_bytes(png(9, 9, 1000 + i))
        (source / "a").mkdir(exist_ok=True)
        (source / "a" / f"new{i}.png").write_bytes(png(9, 9, 2000 + i))
    m.expect(tap, "--update", ["import", "grow", "-o", "grow.mq", "--update"], 0,
             out="20 pictures keep their split, 20 are new")
    new = splits(m.folder / "grow.mq")
    tap.check("old pictures keep their splits", all(new[f] == s for f, s in old.items()))
    info = json.loads((m.folder / "grow.mq/dataset.json").read_text())
    tap.check("old classes keep their numbers", info["classes"] == [*classes, "a"], info["classes"])
    m.expect(tap, "no --update", ["import", "grow", "-o", "grow.mq"], 73, err="--update takes its source again, with more in it")
    m.expect(tap, "--update without a data set", ["import", "grow", "-o", "none.mq", "--update"], 66,
             err="without --update")


def test_update_settings(tap, m):
    """An update goes on as the data set was made; another setting that would mix is refused."""
    read = lambda data: json.loads((m.folder / data / "dataset.json").read_text())  # noqa: E731
    grown = fill(m.folder / "grown", {"a": 0, "b": 0})
    sequence = lambda i: f"{'ab'[i % 2]}/s{i // 8}_{i}.png"  # noqa: E731
    for i in range(0, 80, 2):
        (grown / sequence(i // 2)).write_bytes(png(8, 8, 8000 + i))
    make = ["import", "grown", "-o", "grown.mq"]
    m.expect(tap, "groups", [*make, "--group-by", "(s[0-9]+)_", "--seed", "7", "--test", "0.4"], 0)
    for i in range(40, 80):
        (grown / sequence(i)).write_bytes(png(8, 8, 9000 + i))
    for i in range(8):
        (grown / f"a/s{i}_new.png").write_bytes(png(8, 8, 9500 + i))
    m.expect(tap, "an update of groups", [*make, "--update"], 0, out="40 pictures keep their split, 48 are new")
    placed = {}
    for file, split in splits(m.folder / "grown.mq").items():
        placed.setdefault(file[2:].split("_")[0], set()).add(split)
    tap.check("no group crosses the split", len(placed) == 10 and all(len(s) == 1 for s in placed.values()), placed)
    tap.check("the rule stands", read("grown.mq")["split"] == {**read("grown.mq")["split"], "group_by": "(s[0-9]+)_",
              "seed": 7, "test": 0.4}, read("grown.mq")["split"])
    m.expect(tap, "the same pattern again", [*make, "--update", "--group-by", "(s[0-9]+)_"], 0)
    m.expect(tap, "another pattern", [*make, "--update", "--group-by", "(s)"], 64,
             err=["grown.mq was made with --group-by (s[0-9]+)_", "leave --group-by out"])
    boxed = cars(m.folder / "settled", table(20))
    kept = {"decode": ["--decode", "scaled"], "presize": ["--presize", "24", "--margin", "0.25"], "boxes_taken": ["--boxes", "ignore"],
            "max_side": ["--boxes", "ignore", "--max-side", "20"], "store": ["--store", "crop"]}
    for member, how in kept.items():
        make = ["import", boxed.name, "-o", f"{member}.mq"]
        m.expect(tap, f"made with {' '.join(how)}", [*make, *how], 0)
        made = read(f"{member}.mq")
        m.expect(tap, "an update", [*make, "--update"], 0, out="20 pictures keep their split")
        tap.check("goes on so", read(f"{member}.mq") == made and made.get(member), (made, read(f"{member}.mq")))
    for data, how, words in [("decode", ["--decode", "exact"], "with --decode scaled"), ("presize", ["--presize", "0"], "with --presize 24"),
                             ("presize", ["--margin", "0.5"], "with --margin 0.25"), ("boxes_taken", ["--boxes", "crop"], "with --boxes ignore"),
                             ("decode", ["--boxes", "ignore"], "with --boxes crop"), ("max_side", ["--max-side", "0"], "with --max-side 20"),
                             ("boxes_taken", ["--max-side", "9"], "without --max-side"), ("store", ["--store", "original"], "with --store crop"),
                             ("store", ["--group-by", "0"], "without --group-by")]:
        m.expect(tap, f"{' '.join(how)} to {data}.mq", ["import", boxed.name, "-o", f"{data}.mq", "--update", *how], 64,
                 err=f"{data}.mq was made {words}")
    fill(m.folder / "leaves", {"x/p": 3, "y/q": 3, "y/r": 3})
    m.expect(tap, "leaves", ["import", "leaves", "-o", "leaves.mq", "--class-level", "leaf"], 0)
    m.expect(tap, "an update of leaves", ["import", "leaves", "-o", "leaves.mq", "--update"], 0, out="9 pictures, 3 classes")
    m.expect(tap, "leaves no more", ["import", "leaves", "-o", "leaves.mq", "--update", "--class-level", "1"], 64, err="--class-level leaf")
    m.expect(tap, "no boxes to ignore", ["import", "leaves", "-o", "leaves.mq", "--update", "--boxes", "ignore"], 0)
    text = (m.folder / "store.mq/dataset.json").read_text()
    (m.folder / "store.mq/dataset.json").write_text(text.replace('"max_side": 0', '"max_side": -4'))
    m.expect(tap, "a setting that no import writes", ["import", boxed.name, "-o", "store.mq", "--update"], 65, err="max_side is no whole number")


def test_copies(tap, m):
    """A picture is known by its content, its part and its name."""
    fill(m.folder / "crowd", {"a": 0, "b": 0})
    for name, shade in (("a/one_0", 1), ("a/one_1", 2), ("b/b0_", 3)):
        (m.folder / f"crowd/{name}.png").write_bytes(png(8, 8, shade))
    list_of = lambda *lines: "\n".join(["path,label,split,group", *lines]) + "\n"  # noqa: E731
    (m.folder / "crowd/a/copy.png").write_bytes((m.folder / "crowd/a/one_0.png").read_bytes())
    (m.folder / "crowd/copies.csv").write_text(list_of("a/one_0.png,a,train,", "a/copy.png,a,test,", "a/one_1.png,a,train,", "b/b0_.png,b,train,"))
    m.expect(tap, "copies that the source tears", ["import", "crowd/copies.csv", "-o", "copies.mq"], 0,
             out="1 picture is a copy of another\n", err=["warning: 2 pictures have copies in another split, as the source has it"])
    m.expect(tap, "an update with nothing new knows both", ["import", "crowd/copies.csv", "-o", "copies.mq", "--update"], 0,
             out="4 pictures keep their split")
    def pairs(train, test, parts=("train", "test")):
        for i in range(30):
            for name in (train, test):
                (m.folder / f"crowd/a/{name}{i}.png").write_bytes(png(9, 9, 900 + i))
        (m.folder / "crowd/pairs.csv").write_text(list_of(*(f"a/{name}{i}.png,a,{split}," for i in range(30)
                                                            for name, split in zip((train, test), parts)), f"b/b0_.png,b,{parts[0]},"))
    pairs("p", "q")
    m.expect(tap, "copies in train and test, some of train drawn for val", ["import", "crowd/pairs.csv", "-o", "pairs.mq"], 0, out="val 3")
    m.expect(tap, "an update knows those, too", ["import", "crowd/pairs.csv", "-o", "pairs.mq", "--update"], 0, out="61 pictures keep their split")
    pairs("q", "p")
    m.expect(tap, "nor do other names make them new", ["import", "crowd/pairs.csv", "-o", "pairs.mq", "--update"], 0,
             out="61 pictures keep their split")
    pairs("r", "s")
    m.expect(tap, "nor new ones", ["import", "crowd/pairs.csv", "-o", "pairs.mq", "--update"], 0, out="61 pictures keep their split")
    before = splits(m.folder / "pairs.mq")
    pairs("r", "s", ("", ""))
    m.expect(tap, "nor no word of parts", ["import", "crowd/pairs.csv", "-o", "pairs.mq", "--update"], 0, out="61 pictures keep their split")
    tap.check("each copy stays where it was", splits(m.folder / "pairs.mq") == before)


def test_gone(tap, m):
    """What SRC has no more leaves the set, and what it has in another part changes it; both are told."""
    source = fill(m.folder / "old", {"a": 10, "b": 10})
    fill(m.folder / "new", {"a": 0, "b": 0})
    for k in range(4):
        (m.folder / f"new/{'ab'[k % 2]}/new{k}.png").write_bytes(png(8, 8, 6000 + k))
    make = ["import", "old", "-o", "old.mq"]
    m.expect(tap, "pictures", make, 0)
    run = m.expect(tap, "an update from others", ["import", "new", "-o", "old.mq", "--update", "--dry-run"], 0,
                   out="0 pictures keep their split, 20 are gone, 4 are new",
                   err="warning: 20 pictures of before are not in new, or left out, and leave the set: a/000.png, a/001.png, a/002.png, ...")
    run = m.run(["import", "new", "-o", "old.mq", "--update", "--dry-run", "--json"])
    told = json.loads(run.out)
    tap.check("is counted for programs", [told[k] for k in ("kept", "changed_part", "new", "gone")] == [0, 0, 4, 20], told)
    (source / "a/000.png").rename(source / "a/renamed.png")
    (source / "a/copy.png").write_bytes((source / "a/001.png").read_bytes())
    (source / "a/001.png").unlink()
    m.expect(tap, "renamed pictures are there", [*make, "--update"], 0, out="20 pictures keep their split, 0 are new", no_err="leave")
    (source / "a/more.png").write_bytes((source / "a/002.png").read_bytes())
    m.expect(tap, "a copy", [*make, "--update"], 0, out="21 pictures keep their split, 0 are new")
    (source / "a/more.png").unlink()
    m.expect(tap, "of two copies one", [*make, "--update"], 0, out="20 pictures keep their split, 1 is gone, 0 are new",
             err="1 picture of before is not in old, or left out, and leaves the set: a/more.png")
    (source / "b/003.png").write_bytes(b"")
    m.expect(tap, "one that is left out", [*make, "--update"], 0, out="1 is gone", err="leaves the set: b/003.png")
    parts = fill(m.folder / "parts", {"train/a": 6, "train/b": 6, "test/a": 3, "test/b": 3})
    make = ["import", "parts", "-o", "parts.mq", "--val", "0"]
    m.expect(tap, "parts", make, 0, out="train 12  val 0  test 6")
    (parts / "test/a/000.png").rename(parts / "train/a/moved.png")
    (parts / "train/b/copy.png").write_bytes((parts / "test/b/001.png").read_bytes())
    m.expect(tap, "a picture in another part, and a copy", [*make, "--update"], 0, no_err="leave",
             out="17 pictures keep their split, 1 changes it, 1 is new",
             err="warning: 1 picture changes its part, as the source has it: train/a/moved.png")
    lines = lambda *parts: "path,label,split\n" + "".join(f"{p},{p[0]},{s}\n" for p, s in parts)  # noqa: E731
    listed = [("a/002.png", "train"), ("a/003.png", "test"), ("b/000.png", "train"), ("b/001.png", "train"), ("b/002.png", "test")]
    make = ["import", "old/list.csv", "-o", "list.mq", "--val", "0"]
    (source / "list.csv").write_text(lines(*listed))
    m.expect(tap, "a list", make, 0, out="train 3  val 0  test 2")
    (source / "list.csv").write_text(lines(("a/002.png", "test"), ("a/003.png", "train"), *listed[2:]))
    m.expect(tap, "that moves pictures", [*make, "--update"], 0, out=["3 pictures keep their split, 2 change it, 0 are new", "train 3  val 0  test 2"],
             err="warning: 2 pictures change their parts, as the source has it: a/002.png, a/003.png", no_err="leave")


def main():
    tap = Tap()
    for test in (test_update, test_update_settings, test_copies, test_gone):
        with Marque() as m:
            test(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
