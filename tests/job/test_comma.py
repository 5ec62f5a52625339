"""test_comma.py: a run under a locale with a decimal comma reads its fractions and writes its figures with points, and ends
with the same bytes. On real pictures with the real weights, at 71 pixels."""
import csv
import json
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import commalocale  # noqa: E402
from marque import Marque  # noqa: E402
from tap import Tap  # noqa: E402
from test_run import models, prepare, same_models  # noqa: E402

TIMED = ("time", "img_s", "data_pct")
FIGURES = ("train/loss", "val/loss", "metrics/accuracy_top1", "metrics/auc", "metrics/mae", "lr")


def results(run):
    with open(run / "results.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMED} for row in csv.DictReader(file)]


def main():
    tap = Tap()
    with Marque() as m:
        comma = commalocale.build(m.folder / "locales")
        prepare(m)
        m.expect(tap, "import", ["import", "pictures", "-o", "data.mq"], 0, env=comma)
        words = ["train", "data.mq", "--imgsz", "71", "--dtype", "f32", "--stages", "head:3@2.5e-3", "-b", "7", "--label-smoothing", "0.05",
                 "--head", "linear", "--fraction", "0.75"]
        m.expect(tap, "a run", [*words, "-o", "plain"], 0)
        m.expect(tap, "a run with a comma", [*words, "-o", "comma"], 0, env=comma)
        same_models(tap, m, "ends with the same bytes", "comma")
        tap.check("which are weights", len(models(m, "comma")[1]) > 5000)
        plain, other = (results(m.folder / run) for run in ("plain", "comma"))
        tap.check("its curves are the same", plain == other and len(other) == 3 and
                  all("." in row[key] and float(row[key]) >= 0 for row in other for key in FIGURES), other)
        config = json.loads((m.folder / "comma/config.json").read_text())
        tap.check("its settings have points", (config["label-smoothing"], config["fraction"], config["stages"][0]["lr"]) == (0.05, 0.75, 0.0025),
                  config)
        lines = [json.loads(line) for line in (m.folder / "comma/log.jsonl").read_text().splitlines()]
        tap.check("its log is JSON", len(lines) > 3)
        told = []
        for run, env in (("plain", None), ("comma", comma)):
            evaluated = json.loads(m.expect(tap, f"eval of {run}", ["eval", run, "--json"], 0, env=env).out)
            told.append({k: evaluated[k] for k in ("top1", "top5", "loss", "auc", "mae")})
            picture = str(next((m.folder / "pictures").rglob("*.*g")))
            predicted = json.loads(m.expect(tap, f"predict with {run}", ["predict", run, picture, "--json"], 0, env=env).out.splitlines()[0])
            told[-1]["confidences"] = [p["confidence"] for p in predicted["predictions"]]
        tap.check("figures and answers are the same", told[0] == told[1] and 0 < told[1]["confidences"][0] < 1, told)
        m.expect(tap, "a gate with a comma is refused", ["eval", "comma", "--assert-top1", "0,1"], 64, env=comma, err="--assert-top1")
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
