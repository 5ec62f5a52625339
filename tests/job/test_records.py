"""test_records.py: what a run records while it trains: TensorBoard's curves are results.csv's figures, and a run that
was stopped, killed and resumed has the very curves of one that was not. On real pictures, at 71 pixels."""
import csv
import json
import math
import shutil
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from eventfile import events  # noqa: E402
from marque import Marque  # noqa: E402
from tap import Tap  # noqa: E402
from test_run import prepare  # noqa: E402

SETTINGS = ["--imgsz", "71", "--dtype", "f32", "--stages", "head:20@1e-3,head:20@1e-4", "-b", "5"]
EPOCHS = 40
# (folder, tag, column of results.csv)
CURVES = [("train", "epoch_loss", "train/loss"), ("train", "epoch_accuracy", "train/top1"),
          ("train", "epoch_learning_rate", "lr"), ("train", "epoch_images_per_second", "img_s"),
          ("validation", "epoch_loss", "val/loss"), ("validation", "epoch_accuracy", "metrics/accuracy_top1"),
          ("validation", "epoch_top5", "metrics/accuracy_top5"), ("validation", "epoch_auc", "metrics/auc"),
          ("validation", "epoch_mae", "metrics/mae")]


def near(found, wanted):
    """Equal [(step, value)], as near as single precision and results.csv's seven digits tell."""
    return len(found) == len(wanted) and all(
        s == t and math.isclose(v, float(w), rel_tol=1e-6) for (s, v), (t, w) in zip(found, wanted))


def curves(run):
    """{(folder, tag): [(step, value)]}, without what depends on the clock."""
    found = {}
    for folder in ("train", "validation"):
        for e in events(run / folder):
            if e.tag and not e.tag.endswith("images_per_second"):
                found.setdefault((folder, e.tag), []).append((e.step, e.value))
    return found


def log(run):
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def train(run, *more):
    return ["train", "data.mq", *SETTINGS, "-o", run, *more]


def test_whole(tap, m):
    m.expect(tap, "a run recorded every third step", train("plain", "--summary-steps", "3"), 0)
    run = m.folder / "plain"
    with open(run / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for folder, tag, column in CURVES:
        found = [(e.step, e.value) for e in events(run / folder) if e.tag == tag]
        wanted = [(int(row["epoch"]) - 1, row[column]) for row in rows]
        tap.check(f"{folder}/{tag} is {column}", len(rows) == EPOCHS and near(found, wanted), (found[:3], wanted[:3]))
    names = [path.name for folder in ("train", "validation") for path in (run / folder).iterdir()]
    tap.check("one file in each folder", len(names) == 2 and all(n.startswith("events.out.tfevents.") for n in names),
              names)
    batch = [e.step for e in events(run / "train") if e.tag == "batch_loss"]
    lines = log(run)
    last = lines[-1]["step"]
    tap.check("every third step of all stages", batch == list(range(3, last + 1, 3)) and last % EPOCHS == 0, batch[-9:])
    rates = [(e.step, e.value) for e in events(run / "train") if e.tag == "learning_rate"]
    tap.check("with its stage's learning rate", near(rates, [(step, 1e-3 if step <= last // 2 else 1e-4)
                                                            for step in batch]))
    kinds = [line["event"] for line in lines]
    tap.check("the log tells the whole run", kinds[0] == "start" and kinds[-1] == "end" and kinds.count("stage") == 2 and
              kinds.count("epoch") == EPOCHS and kinds.count("step") == len(batch) and "best" in kinds, kinds)
    figures = [(line["epoch"], line["val_top1"]) for line in lines if line["event"] == "epoch"]
    tap.check("with its figures", near(figures, [(int(r["epoch"]), r["metrics/accuracy_top1"]) for r in rows]),
              figures)
    tap.check("in order of time", [line["time"] for line in lines] == sorted(line["time"] for line in lines))
    tap.check("config.json has the setting", json.loads((run / "config.json").read_text())["summary-steps"] == 3)


def check_same(tap, m, name, run):
    try:
        found, wanted = curves(m.folder / run), curves(m.folder / "plain")
        wrong = [key for key in wanted if found.get(key) != wanted[key]] + [key for key in found if key not in wanted]
    except (OSError, ValueError) as error:
        wrong = [error]
    tap.check(name, not wrong, wrong)


def test_resumed(tap, m):
    every = ("--summary-steps", "3")
    code, text = m.stop_when(train("stopped", *every), "head 3/20", signal.SIGINT)
    tap.check("stopped", code == 75, text)
    m.expect(tap, "resumed after SIGINT", ["train", "--resume", "stopped"], 0)
    check_same(tap, m, "its curves are those of the whole run", "stopped")
    kinds = [line["event"] for line in log(m.folder / "stopped")]
    stop = kinds.index("stop")
    tap.check("the log tells of the stop", kinds[stop + 1] == "resume" and kinds[-1] == "end", kinds)
    code, text = m.stop_when(train("killed", *every, "--checkpoint-every", "0.2"), "head 10/20", signal.SIGKILL)
    tap.check("killed", code == -signal.SIGKILL, text)
    newest = max((m.folder / "killed/train").iterdir())
    with open(newest, "ab") as file:
        file.write(b"\x18\0\0\0torn")
    with open(m.folder / "killed/log.jsonl", "ab") as file:
        file.write(b'{"time": "2026-')
    m.expect(tap, "resumed after kill -9, with torn files", ["train", "--resume", "killed"], 0)
    check_same(tap, m, "its curves are those of the whole run, too", "killed")
    tap.check("and its log is sound", log(m.folder / "killed")[-1]["event"] == "end")
    # An older checkpoint, as after a damaged one: much is trained and written again.
    shutil.copytree(m.folder / "stopped", m.folder / "older")
    for path in (m.folder / "older/checkpoints").iterdir():
        path.unlink()
    m.expect(tap, "resumed from the beginning", ["train", "--resume", "older"], 0)
    check_same(tap, m, "and nothing stands there twice", "older")


def test_obstacles(tap, m):
    m.expect(tap, "a run without records of steps", train("none", "--summary-steps", "0"), 0)
    tags = {e.tag for e in events(m.folder / "none/train")}
    tap.check("has its epochs", tags and all(tag.startswith("epoch_") for tag in tags - {""}), tags)
    shutil.rmtree(m.folder / "none/train")
    (m.folder / "none/train").write_text("in the way")
    run = m.expect(tap, "what cannot be recorded ends no run", ["train", "--resume", "none", "--epochs", "20,22"], 0,
                   out="42 epochs", err=["none/train", "training goes on"])
    tap.check("and is told once", run.err.count("training goes on") == 1, run.err)


def main():
    tap = Tap()
    with Marque() as m:
        prepare(m)
        m.expect(tap, "import", ["import", "pictures", "-o", "data.mq"], 0)
        test_whole(tap, m)
        test_resumed(tap, m)
        test_obstacles(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
