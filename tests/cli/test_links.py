"""test_links.py: marque import --follow: loops, chains, links out of the source, and folders behind links."""
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from marque import Marque  # noqa: E402
from tap import Tap  # noqa: E402
from test_import import cars, fill, png, rows, splits, table  # noqa: E402

NONE, OUT, NOWHERE, AGAIN = "--follow inside takes", "out of the source folder (--follow all", "leads nowhere", "read under another name"


def quarantine(data):
    return {row["file"]: row["reason"] for row in rows(data / "quarantine.csv")}


def says(tap, name, found, wanted):
    """Each file is left out for its reason, and nothing else is."""
    tap.check(name, found.keys() == wanted.keys() and all(words in found[file] for file, words in wanted.items()), found)


def test_folder(tap, m):
    source = fill(m.folder / "pics", {"a": 4, "b": 4, ".hidden/kept": 3})
    outside = fill(m.folder / "outside", {"in/deep": 2, "other": 2})
    (outside / "single.png").write_bytes(png(8, 8, 900))
    (source / "a/loop").symlink_to("..")
    (source / "a/self").symlink_to("self")
    (source / "a/ping").symlink_to("pong")
    (source / "a/pong").symlink_to("ping")
    (source / "a/gone.png").symlink_to("no.png")
    (source / "a/near.png").symlink_to("../b/000.png")
    (source / "a/chain.png").symlink_to("chain2.png")  # within, though by a way that leads out
    (source / "a/chain2.png").symlink_to(m.folder / "hop.png")
    (m.folder / "hop.png").symlink_to(source / "b/001.png")
    (source / "a/far.png").symlink_to(outside / "single.png")
    (source / "b/again").symlink_to("../a")
    (source / "c").symlink_to("../outside")
    (source / "d").symlink_to("../outside/other")
    (source / "Early").symlink_to(".hidden/kept")
    (outside / "back").symlink_to(source)
    links = {"a/loop", "a/self", "a/ping", "a/pong", "a/gone.png", "a/near.png", "a/chain.png", "a/chain2.png", "a/far.png",
             "b/again", "c", "d", "Early"}
    nowhere = dict.fromkeys(("a/self", "a/ping", "a/pong", "a/gone.png"), NOWHERE)
    loops = dict.fromkeys(("a/loop", "b/again"), AGAIN)
    run = m.expect(tap, "--follow none", ["import", "pics", "-o", "none.mq", "--follow", "none"], 0,
                   out=["8 pictures, 2 classes", "13 left out -> none.mq/quarantine.csv (13 a link"])
    says(tap, "takes no link", quarantine(m.folder / "none.mq"), dict.fromkeys(links, NONE))
    run = m.expect(tap, "as it is", ["import", "pics", "-o", "inside.mq"], 0,
                   out=["14 pictures, 3 classes", "3 a link that leads out of the source folder"])
    says(tap, "links inside are taken, those that lead out are left out by name", quarantine(m.folder / "inside.mq"),
         {**nowhere, **loops, **dict.fromkeys(("a/far.png", "c", "d"), OUT)})
    taken = splits(m.folder / "inside.mq")
    tap.check("a hidden folder is read through its link", {"Early/000.png", "Early/001.png", "Early/002.png"} <= set(taken), taken)
    tap.check("a link and its picture share a part", taken["a/near.png"] == taken["b/000.png"] and
              taken["a/chain.png"] == taken["a/chain2.png"] == taken["b/001.png"], taken)
    m.expect(tap, "--follow all", ["import", "pics", "-o", "all.mq", "--follow", "all", "--test", "0"], 0, out=["20 pictures, 4 classes"])
    says(tap, "reads every folder once", quarantine(m.folder / "all.mq"),
         {**nowhere, **loops, "d": AGAIN, "c/back": AGAIN})
    taken = splits(m.folder / "all.mq")
    tap.check("takes what lies outside", {"a/far.png", "c/in/deep/000.png", "c/other/001.png", "c/single.png"} <= set(taken), taken)
    made = json.loads((m.folder / "all.mq/dataset.json").read_text())
    tap.check("its classes are in the order of their names", made["classes"] == ["Early", "a", "b", "c"], made["classes"])
    tap.check("the data set says so", made["source"]["follow"] == "all" and
              "follow" not in json.loads((m.folder / "inside.mq/dataset.json").read_text())["source"], made["source"])
    m.expect(tap, "an update", ["import", "pics", "-o", "all.mq", "--update"], 0, out="20 pictures keep their split, 0 are new")
    tap.check("follows as it was made", json.loads((m.folder / "all.mq/dataset.json").read_text()) == made)
    m.expect(tap, "another word", ["import", "pics", "-o", "x.mq", "--follow", "some"], 64, err="--follow")


def test_splits(tap, m):
    """Parts that are links are parts; a link to one of them is not another."""
    elsewhere = fill(m.folder / "disk", {"train/a": 4, "train/b": 4, "test/a": 2, "test/b": 2})
    source = m.folder / "parts"
    source.mkdir()
    (source / "train").symlink_to(elsewhere / "train")
    (source / "test").symlink_to(elsewhere / "test")
    m.expect(tap, "parts that are links", ["import", "parts", "-o", "parts.mq", "--follow", "all"], 0,
             out=["12 pictures, 2 classes (class = folder below train, val and test)", "train 8  val 0  test 4"])
    m.expect(tap, "parts that are links out", ["import", "parts", "-o", "x.mq"], 66, err=["no pictures in class folders", "2 files were left out", OUT])
    (elsewhere / "latest").symlink_to("train")
    m.expect(tap, "a link to a part", ["import", "disk", "-o", "disk.mq"], 0, out="12 pictures, 2 classes (class = folder below train")
    says(tap, "is no part", quarantine(m.folder / "disk.mq"), {"latest": AGAIN})


def test_depth(tap, m):
    """A row of folders, each reached through a link in the one before, is followed for 32 of them."""
    source = fill(m.folder / "row/src", {"a": 3, "b": 3})
    before = source / "a"
    for i in range(40):
        folder = m.folder / f"row/{i}"
        folder.mkdir()
        (folder / "p.png").write_bytes(png(8, 8, 100 + i))
        (before / "next").symlink_to(folder)
        before = folder
    m.expect(tap, "a row of links", ["import", "row/src", "-o", "row.mq", "--follow", "all"], 0, out="37 pictures, 2 classes")
    says(tap, "ends at a depth", quarantine(m.folder / "row.mq"), {"a/" + "next/" * 31 + "next": "below too many others"})


def test_lists(tap, m):
    """Rows of lists and annotations obey, too; a list of plain paths has chosen its files itself."""
    source = fill(m.folder / "pics", {"a": 4, "b": 4})
    outside = fill(m.folder / "outside", {"o": 1})
    (source / "a/far.png").symlink_to(outside / "o/000.png")
    (source / "a/near.png").symlink_to("../b/000.png")
    (source / "c").symlink_to("b")
    names = ["a/000.png", "a/001.png", "a/far.png", "a/near.png", "b/001.png", "c/002.png"]
    (source / "list.csv").write_text("path,label\n" + "".join(f"{n},{n[0]}\n" for n in names))
    for follow, wanted in {"none": {"a/far.png": NONE, "a/near.png": NONE, "c/002.png": NONE}, "inside": {"a/far.png": OUT}, "all": {}}.items():
        m.expect(tap, f"a table, --follow {follow}", ["import", "pics/list.csv", "-o", f"{follow}.mq", "--follow", follow], 0)
        says(tap, "judges each row's file", quarantine(m.folder / f"{follow}.mq"), wanted)
    paths = "".join(f"pics/{n}\n" for n in names).encode()
    m.expect(tap, "paths", ["import", "-", "-o", "paths.mq"], 0, stdin=paths, out="6 pictures, 3 classes")
    m.expect(tap, "paths, --follow none", ["import", "-", "-o", "plain.mq", "--follow", "none"], 0, stdin=paths, out="3 pictures, 2 classes")
    says(tap, "no link is taken", quarantine(m.folder / "plain.mq"), {"a/far.png": NONE, "a/near.png": NONE, "c/002.png": NONE})
    folder = cars(m.folder / "cars", table(8))
    one = sorted((folder / "cars_train").iterdir())[0]
    os.rename(one, m.folder / "moved.jpg")
    one.symlink_to(m.folder / "moved.jpg")
    m.expect(tap, "Stanford Cars", ["import", "cars", "-o", "cars.mq"], 0, out="7 pictures")
    m.expect(tap, "Stanford Cars, --follow all", ["import", "cars", "-o", "cars-all.mq", "--follow", "all"], 0, out="8 pictures")


def main():
    tap = Tap()
    for test in (test_folder, test_splits, test_depth, test_lists):
        with Marque() as m:
            test(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
