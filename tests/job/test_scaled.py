"""test_scaled.py: what a data set says of decoding is in the model that is trained on it, and in every answer of that
model. On real pictures with the real weights, at 71 pixels; the JPEGs are 284 pixels a side at least, so all of them scale."""
import csv
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from marque import Marque  # noqa: E402
from tap import Tap  # noqa: E402
from test_run import copy_pictures, real_pictures  # noqa: E402

STAGES = ["--imgsz", "71", "--dtype", "f32", "--stages", "head:20@1e-3", "--head", "linear"]


def fill(tap, m):
    """Cars as they are; where there are only the demo's small PNGs, sheets of them in classes that mean nothing."""
    if os.environ.get("MARQUE_CARS"):
        copy_pictures(m.folder / "pictures", real_pictures(3, 16))
        return
    copy_pictures(m.folder / "stamps", real_pictures(3, 12))
    m.expect(tap, "the stamps", ["import", "stamps", "-o", "stamps.mq", "--test", "0", "--val", "0"], 0)
    for i in range(36):
        sheet = m.folder / "pictures" / "abc"[i % 3] / f"{i}.jpg"
        sheet.parent.mkdir(parents=True, exist_ok=True)
        m.expect(tap, "a sheet", ["inspect", "stamps.mq", "--batch", "24", "--imgsz", "100", "--epoch", str(i + 1), "-o", sheet], 0)


def recipe_of(m, run):
    return json.loads(json.loads(m.run(["inspect", run, "--json"]).out)["metadata"]["recipe"])


def answers(tap, m, run):
    """{file: confidence} of what predict says of the test part, after eval said the same."""
    m.expect(tap, f"eval of {run}", ["eval", run, "--dtype", "f32"], 0)
    with open(m.folder / run / "eval/test/predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    out = m.expect(tap, "predict of the same pictures",
                   ["predict", run, *[m.folder / "pictures" / row["file"] for row in rows], "--json", "--dtype", "f32"], 0).out
    said = [json.loads(line)["predictions"][0] for line in out.splitlines()]
    tap.check("predict says what eval said", len(said) == len(rows) > 5 and all(
        a["class"] == int(row["predicted"]) and abs(a["confidence"] - float(row["confidence"])) < 1e-5 for a, row in zip(said, rows)))
    return {row["file"]: a["confidence"] for row, a in zip(rows, said)}


def main():
    tap = Tap()
    with Marque() as m:
        m.share_weights()
        fill(tap, m)
        for how in ("exact", "scaled"):
            m.expect(tap, f"import, {how}", ["import", "pictures", "-o", f"{how}.mq", "--decode", how], 0)
            m.expect(tap, "train", ["train", f"{how}.mq", *STAGES, "-o", how], 0)
        tap.check("the models know how", [recipe_of(m, how).get("decode") for how in ("exact", "scaled")] == [None, "scaled"])
        exact, scaled = answers(tap, m, "exact"), answers(tap, m, "scaled")
        off = [abs(exact[name] - scaled[name]) for name in exact]
        tap.check("their answers are near", exact.keys() == scaled.keys() and sum(off) / len(off) < 0.1, off)
        tap.check("but not the same: pictures were decoded otherwise", min(off) < max(off) and max(off) > 1e-6, off)
        m.expect(tap, "another filter", ["train", "scaled.mq", *STAGES, "--filter", "tensorflow", "-o", "no"], 64,
                 err="--filter pillow alone")
        m.expect(tap, "pictures stored for one size exactly", ["import", "pictures", "-o", "sized.mq", "--presize", "71"], 0)
        m.expect(tap, "are not what such a model takes", ["eval", "scaled", "sized.mq"], 64, err="--presize")
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
