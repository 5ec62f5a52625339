"""test_clean.py: what marque clean finds: wrong labels and copies that were planted among pictures made up on the spot,
with the real weights, at 71 pixels; and that training uses the features it leaves."""
import csv
import json
import shutil
import signal
import struct
import sys
import time
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from marque import Marque  # noqa: E402
from pictures import png_of, write_classes  # noqa: E402
from tap import Tap  # noqa: E402

EACH = 70  # from 200 pictures in all on labels are proposed to be changed
WRONG = {f"class-{(c + 1) % 3}/moved-{c}{i}.png": f"class-{c}" for c in range(3) for i in range(2)}
COPY, STRANGE, TWIN = "class-1/copy.png", "class-2/strange.png", "class-0/21.png"
FIND = ["clean", "data.mq", "--imgsz", "71"]


def plant(m):
    write_classes(m.folder / "pictures", each=EACH)
    for i, (wrong, right) in enumerate(WRONG.items()):
        shutil.move(m.folder / "pictures" / right / f"{i % 2:02}.png", m.folder / "pictures" / wrong)
    shutil.copy(m.folder / "pictures/class-1/20.png", m.folder / "pictures" / COPY)
    shutil.copy(m.folder / "pictures" / TWIN, m.folder / "pictures" / STRANGE)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_find(tap, m):
    m.expect(tap, "find", FIND, 0, out=["data-edits.csv: ", "next: look through the list",
                                        "marque clean data.mq --apply data-edits.csv"])
    rows = rows_of(m.folder / "data-edits.csv")
    doubts = {row["picture"]: row for row in rows if row["reason"] == "doubtful label"}
    tap.check("every wrong label is listed", set(WRONG) <= set(doubts), sorted(doubts))
    tap.check("with the right class", all(doubts[name]["suggestion"] == right and doubts[name]["class"] == name.split("/")[0] and
                                          doubts[name]["action"] == "relabel" for name, right in WRONG.items() if name in doubts))
    tap.check("few others are", len(set(doubts) - set(WRONG) - {STRANGE}) <= 3, sorted(set(doubts) - set(WRONG)))
    copies = [row for row in rows if row["reason"] == "copy"]
    tap.check("one of two copies goes", [row["action"] for row in copies] == ["drop"] and
              {copies[0]["picture"], copies[0]["copy_of"]} == {COPY, "class-1/20.png"} and copies[0]["suggestion"] == "", copies)
    twin = next(row for row in rows if row["picture"] == TWIN)
    tap.check("a copy in another class is told beside it", [twin[key] for key in ("reason", "copy_of", "suggestion", "action")] ==
              ["copy in another class", STRANGE, "class-2", "keep"], twin)
    scores = [float(row["score"]) for row in rows]
    tap.check("the surest first", scores == sorted(scores, reverse=True) and all(0 <= s <= 1 for s in scores), scores)
    first = (m.folder / "data-edits.csv").read_bytes()
    again = m.expect(tap, "find again", [*FIND, "-o", "again.csv", "--json"], 0)
    tap.check("the same list", (m.folder / "again.csv").read_bytes() == first)
    report = json.loads(again.out)
    tap.check("told in figures", report["schema"] == "marque.clean.v1" and report["pictures"] == 3 * EACH + 2 and
              report["copies"] == 1 and report["labels"] == len(doubts) and report["drop"] + report["relabel"] + report["keep"] ==
              len(rows) and 0 < report["label_noise"] < 0.2, report)
    m.expect(tap, "only what is likely", [*FIND, "-o", "sure.csv", "--least", "0.9"], 0)
    sure = [row for row in rows_of(m.folder / "sure.csv") if row["reason"] == "doubtful label"]
    tap.check("--least leaves the others out", all(float(row["score"]) >= 0.9 for row in sure) and len(sure) <= len(doubts))


def test_presized(tap, m):
    """Pictures stored at another size than the network's are scanned at theirs; too small for it, without it."""
    write_classes(m.folder / "sized", classes=2, each=10)
    data = (m.folder / "sized/class-0/03.png").read_bytes()
    text = b"tEXta\0b"
    (m.folder / "sized/class-0/other.png").write_bytes(data[:-12] + struct.pack(">I", 3) + text + struct.pack(">I", zlib.crc32(text)) + data[-12:])
    for side, words in ((96, "1 group of copies"), (48, ["1 group of copies", "pictures of 48 pixels are too small for xception"])):
        m.expect(tap, f"import at {side} pixels", ["import", "sized", "-o", f"at{side}.mq", "--presize", side], 0)
        run = m.expect(tap, f"scan at {side} pixels", ["scan", f"at{side}.mq"], 0, out=words)
        tap.check("by the network where it takes them", ("not confirmed by a network" in run.out) == (side < 71), run.out)
        tap.check("and what comes next works, or is not told", run.out.count("next: ") == run.out.count(f"next: marque clean at{side}.mq --imgsz {side}")
                  == (side >= 71), run.out)


def test_few(tap, m):
    """Few pictures are a reason to look, not to change labels that may be right."""
    write_classes(m.folder / "few", classes=4, each=20)
    (m.folder / "few/class-0/nothing.png").write_bytes(png_of(40, 40, [128] * 1600, grey=True))
    (m.folder / "few/class-1/twin.png").write_bytes((m.folder / "few/class-0/05.png").read_bytes())
    m.expect(tap, "import few", ["import", "few", "-o", "few.mq"], 0)
    found = m.expect(tap, "find among few", ["clean", "few.mq", "--imgsz", "71", "--least", "0"], 0,
                     out=["too few pictures, or right answers, to say how many are wrong", "relabel 0", "only to be looked at (keep): there are too few pictures"])
    rows = {row["picture"]: row for row in rows_of(m.folder / "few-edits.csv")}
    doubts = [row for row in rows.values() if row["reason"] == "doubtful label"]
    tap.check("what changes something goes before a look at a label", rows["class-0/nothing.png"]["reason"] == "empty" and
              rows["class-0/nothing.png"]["action"] == "drop", rows["class-0/nothing.png"])
    tap.check("and a copy in another class", all(rows[name]["reason"] == "copy in another class" for name in
                                                 ("class-0/05.png", "class-1/twin.png")), rows)
    tap.check("labels are doubted", any(float(row["score"]) >= 0.5 for row in doubts), found.out)
    tap.check("and none is proposed to be changed", all(row["action"] == "keep" for row in doubts), doubts)


def test_person(tap, m):
    """Whatever of the three a person writes into the row of a copy is done, or told to be impossible."""
    rows = rows_of(m.folder / "data-edits.csv")
    row = next(row for row in rows if row["picture"] == TWIN)
    for action, words in (("keep", "1 rows kept"), ("drop", "1 pictures dropped"), ("relabel", "1 relabelled")):
        with (m.folder / "one.csv").open("w", newline="") as file:
            csv.writer(file).writerows([row.keys(), {**row, "action": action}.values()])
        m.expect(tap, f"a copy in another class: {action}", ["clean", "data.mq", "--apply", "one.csv", "-o", f"{action}.mq"], 0, out=words)
    classes = {one["file"]: one["class"] for one in rows_of(m.folder / "relabel.mq/split.csv")}
    tap.check("relabelled to the class of the other copy", classes[TWIN] == "class-2", classes[TWIN])


def test_apply(tap, m):
    m.expect(tap, "apply the list as it is", ["clean", "data.mq", "--apply", "data-edits.csv"], 0, out="data-clean.mq")
    classes = {row["file"]: row["class"] for row in rows_of(m.folder / "data-clean.mq/split.csv")}
    tap.check("every wrong label is right now", all(classes.get(name) == right for name, right in WRONG.items()))
    m.expect(tap, "the cleaned data set is sound", ["inspect", "data-clean.mq"], 0, out="cleaned: ")


def test_cache(tap, m):
    """The features are those of a run: no other cache folder comes into being."""
    features = m.cache / "marque/features"
    before = sorted(path.name for path in features.iterdir())
    m.expect(tap, "train on the same data", ["train", "data.mq", "--imgsz", "71", "--stages", "head:1@1e-3", "-o", "run"], 0)
    tap.check("training goes on with the features", sorted(path.name for path in features.iterdir()) == before)
    held = [row["complete"] for row in json.loads(m.run(["cache", "--json"]).out)
            if row["split"] == "train" and row["data"].endswith("data.mq")]
    tap.check("of whose mirror images an epoch has asked for half", len(held) == 1 and 0.6 < held[0] < 0.9, held)


def test_stop(tap, m):
    shutil.rmtree(m.cache / "marque/features")
    process = m.start([*FIND, "-o", "stopped.csv", "--imgsz", "299", "--threads", "1"])
    while process.poll() is None and not list(m.cache.glob("marque/features/*/features.bin")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    code, text = process.wait(), process.stderr.read()
    process.stderr.close()
    tap.check("stopped by the signal", code == -signal.SIGINT and "are kept" in text, (code, text[-500:]))
    tap.check("no list is left", not list(m.folder.glob("stopped.csv*")))


def test_denoise(tap, m):
    """The filter against noise is part of the recipe: in the run, in the model, in the answers."""
    train = ["train", "data.mq", "--imgsz", "71", "--stages", "head:1@1e-3", "--denoise", "median"]
    m.expect(tap, "train with the filter", [*train, "-o", "quiet"], 0)
    tap.check("the run's settings have it", json.loads((m.folder / "quiet/config.json").read_text())["denoise"] == "median")
    recipe = json.loads(json.loads(m.run(["inspect", "quiet", "--json"]).out)["metadata"]["recipe"])
    tap.check("and the model's recipe", recipe.get("denoise") == "median", recipe)
    plain = json.loads(json.loads(m.run(["inspect", "run", "--json"]).out)["metadata"]["recipe"])
    tap.check("a recipe without it has no such word", "denoise" not in plain, plain)
    with open(m.folder / "quiet/results.csv", newline="") as file:
        trained = float(list(csv.DictReader(file))[-1]["val/loss"])
    found = json.loads(m.run(["eval", "quiet", "--split", "val", "--json"]).out)["loss"]
    tap.check("eval goes by it: validation's loss is that of training", abs(found - trained) <= 1e-5 * trained, (found, trained))
    m.expect(tap, "a run goes on with its filter alone", ["train", "--resume", "quiet", "--denoise", "none", "--epochs", "2"], 65,
             err="denoise")
    m.expect(tap, "only after Pillow's resize", [*train, "--filter", "tensorflow", "-o", "never"], 64, err="--filter pillow")


def main():
    tap = Tap()
    with Marque() as m:
        m.share_weights()
        plant(m)
        m.expect(tap, "import", ["import", "pictures", "-o", "data.mq"], 0)
        test_find(tap, m)
        test_person(tap, m)
        test_presized(tap, m)
        test_few(tap, m)
        test_apply(tap, m)
        test_cache(tap, m)
        test_denoise(tap, m)
        test_stop(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
