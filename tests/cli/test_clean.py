"""test_clean.py: lists of edits applied to data sets: what changes, what stays, and every row that cannot be taken.
(What marque clean finds itself needs the network's weights: job/test_clean.py.)"""
import csv
import hashlib
import json
import shutil
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from marque import Marque  # noqa: E402
from pictures import write_classes  # noqa: E402
from tap import Tap  # noqa: E402

HEAD = ["picture", "class", "reason", "score", "suggestion", "action"]  # copy_of is for people
DROPPED, MOVED = "class-0/02.png", "class-1/03.png"


def write_list(m, rows, head=HEAD, name="edits.csv"):
    with (m.folder / name).open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.name != ".lock"}


def inspect(m, data):
    return json.loads(m.run(["inspect", data, "--json"]).out)


def test_apply(tap, m):
    before = digests(m.folder / "data.mq")
    write_list(m, [[DROPPED, "class-0", "because, \"so\"", "1", "", "drop"], [MOVED, "class-1", "label", "0.9", "class-2", "relabel"],
                   ["class-2/00.png", "class-2", "label", "0.3", "class-0", "keep"]])
    m.expect(tap, "apply", ["clean", "data.mq", "--apply", "edits.csv", "-o", "new.mq"], 0,
             out=["1 pictures dropped, 1 relabelled, 1 rows kept", "next: marque train new.mq"])
    tap.check("DATA stays as it was", digests(m.folder / "data.mq") == before)
    old, new = (rows_of(m.folder / name / "split.csv") for name in ("data.mq", "new.mq"))
    wanted = [dict(row, **({"class": "class-2"} if row["file"] == MOVED else {})) for row in old if row["file"] != DROPPED]
    tap.check("split.csv: one row less, one class changed, splits kept", new == wanted)
    left_out = rows_of(m.folder / "new.mq/quarantine.csv")
    tap.check("the dropped one is told of", left_out == [{"file": DROPPED, "reason": "dropped: because, \"so\""}], left_out)
    before, after = inspect(m, "data.mq"), inspect(m, "new.mq")
    count = lambda d: sum(d[s] for s in ("train", "val", "test"))  # noqa: E731
    tap.check("29 of 30 pictures", (count(before), count(after)) == (30, 29))
    per_class = [sum(one[s] for s in ("train", "val", "test")) for one in after["classes"]]
    tap.check("classes keep their numbers", per_class == [9, 9, 11], per_class)
    digest = hashlib.sha256((m.folder / "edits.csv").read_bytes()).hexdigest()
    tap.check("inspect tells of the list", before["cleaned"] == [] and
              after["cleaned"] == [{"dropped": 1, "relabelled": 1, "list_sha256": digest}], after["cleaned"])
    m.expect(tap, "in words, too", ["inspect", "new.mq"], 0, out=f"cleaned: 1 dropped, 1 relabelled by the list of SHA-256 {digest}")
    described = json.loads((m.folder / "new.mq/dataset.json").read_text())
    edits = described["cleaned"][0]["edits"]
    tap.check("dataset.json has the entries", [(e["picture"], e["action"], e["class"], e.get("to")) for e in edits] in
              ([(DROPPED, "drop", "class-0", None), (MOVED, "relabel", "class-1", "class-2")],
               [(MOVED, "relabel", "class-1", "class-2"), (DROPPED, "drop", "class-0", None)]), edits)
    tap.check("and whose they are", described["cleaned"][0]["data_sha256"] == before["sha256"])
    shutil.copytree(m.folder / "new.mq", m.folder / "long.mq")
    described["blank"] = " " * (70 << 20)  # as long as with some 300,000 entries
    (m.folder / "long.mq/dataset.json").write_text(json.dumps(described))
    m.expect(tap, "which may be hundreds of thousands", ["inspect", "long.mq"], 0, out="cleaned: 1 dropped")


def test_other_folder(tap, m):
    """Nothing of a folder that is no data set is touched."""
    folder = m.folder / "mine"
    (folder / ".unpack.tmp").mkdir(parents=True)
    for name in ("keep.txt", "notes.tmp-12", ".unpack.tmp/y"):
        (folder / name).touch()
    before = sorted(folder.rglob("*"))
    m.expect(tap, "apply to a folder of something else", ["clean", "data.mq", "--apply", "edits.csv", "-o", "mine"], 73, err="not a data set of marque")
    tap.check("which stays as it is", sorted(folder.rglob("*")) == before, sorted(folder.rglob("*")))


def test_again(tap, m):
    """Edits of a cleaned data set come behind the first ones; the same list gives the same bytes."""
    m.expect(tap, "apply once more", ["clean", "data.mq", "--apply", "edits.csv", "-o", "same.mq"], 0)
    tap.check("to the same bytes", digests(m.folder / "new.mq") == digests(m.folder / "same.mq"))
    write_list(m, [["class-2/00.png", "class-2", "", "", "", "drop"]], name="more.csv")
    m.expect(tap, "a list for the cleaned one", ["clean", "new.mq", "--apply", "more.csv", "--json"], 0, out='"dropped": 1')
    tap.check("beside DATA unless told otherwise, with both lists",
              [one["dropped"] for one in inspect(m, "new-clean.mq")["cleaned"]] == [1, 1])
    m.expect(tap, "an update would undo the edits", ["import", "pictures", "-o", "new.mq", "--update"], 64,
             err=["new.mq: was made by marque clean", "apply the list"])
    m.expect(tap, "one of DATA is welcome", ["import", "pictures", "-o", "data.mq", "--update"], 0)
    m.expect(tap, "the output is there", ["clean", "data.mq", "--apply", "edits.csv", "-o", "new.mq"], 73,
             err="new.mq: is a data set already; choose another output folder")


def refused(tap, m, name, rows, err, head=HEAD):
    write_list(m, rows, head, "bad.csv")
    m.expect(tap, name, ["clean", "data.mq", "--apply", "bad.csv", "-o", "bad.mq"], 65, err=err)
    tap.check(f"{name}: nothing was made", not (m.folder / "bad.mq").exists())


def test_rows(tap, m):
    good = [DROPPED, "class-0", "r", "1", "", "drop"]
    refused(tap, m, "an unknown picture", [good, ["class-9/00.png", *good[1:]]], "bad.csv:3: class-9/00.png is no picture of data.mq")
    refused(tap, m, "an unknown class", [[DROPPED, "class-7", *good[2:]]], "bad.csv:2: class-7 is no class of data.mq")
    refused(tap, m, "another class than it bears", [[DROPPED, "class-1", *good[2:]]], "bad.csv:2: the picture is of another class")
    refused(tap, m, "an unknown new class", [[*good[:4], "lorry", "relabel"]], "bad.csv:2: lorry is no class of data.mq")
    refused(tap, m, "a relabelling without a class", [[*good[:5], "relabel"]], "bad.csv:2: relabel takes the class in the column suggestion")
    refused(tap, m, "a wrong action", [[*good[:5], "delete"]], 'bad.csv:2: the action "delete" is none of keep, drop and relabel')
    refused(tap, m, "two rows about one", [good, good], f"bad.csv:3: a second row about {DROPPED}")
    refused(tap, m, "a row too short", [good[:5]], "bad.csv:2")
    refused(tap, m, "a column that is missing", [good[:5]], "action", head=HEAD[:5])
    everything = [[f"class-{c}/{i:02}.png", f"class-{c}", "r", "1", "", "drop"] for c in range(3) for i in range(10)]
    refused(tap, m, "nothing left", everything, "the edits leave no picture to train on")
    refused(tap, m, "a class alone", everything[10:], "the edits leave pictures of 1 class, and a classifier tells at least two apart")
    m.expect(tap, "no list", ["clean", "data.mq", "--apply", "none.csv"], 66, err="none.csv")
    m.expect(tap, "no data set", ["clean", "none.mq"], 66, err="none.mq: no such data set")
    m.expect(tap, "weights that are not there", ["clean", "data.mq"], 66, err="marque pull xception")
    (m.folder / "data-edits.csv").write_text("mine")
    m.expect(tap, "a list in no folder", ["clean", "data.mq", "-o", "nowhere/list.csv"], 73, err="nowhere/list.csv: cannot be written")
    m.expect(tap, "a list that is a folder", ["clean", "data.mq", "-o", "data.mq"], 73, err="data.mq: is a folder")
    m.expect(tap, "a list that is there already", ["clean", "data.mq"], 73, err="data-edits.csv: is there already")
    tap.check("it stays", (m.folder / "data-edits.csv").read_text() == "mine")


def test_stop(tap, m):
    write_classes(m.folder / "many", classes=3, each=300, side=8)
    m.expect(tap, "a larger data set", ["import", "many", "-o", "many.mq"], 0)
    write_list(m, [["class-0/02.png", "class-0", "r", "1", "", "drop"]], name="one.csv")
    process = m.start(["clean", "many.mq", "--apply", "one.csv", "-o", "stopped.mq"])
    folder = m.folder / "stopped.mq"
    while process.poll() is None and not folder.exists():
        pass
    process.send_signal(signal.SIGINT)
    process.stderr.read()
    code = process.wait()
    tap.check("stopped by the signal, or done before it", code in (-signal.SIGINT, 0), code)
    tap.check("nothing half-written stays", (folder / "dataset.json").exists() if code == 0 else not folder.exists())


def main():
    tap = Tap()
    with Marque() as m:
        write_classes(m.folder / "pictures")
        m.expect(tap, "import", ["import", "pictures", "-o", "data.mq"], 0)
        test_apply(tap, m)
        test_other_folder(tap, m)
        test_again(tap, m)
        test_rows(tap, m)
        test_stop(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
