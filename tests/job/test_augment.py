"""test_augment.py: runs on augmented pictures: the same models whatever the workers and however often they were
stopped, caches that are not used, and the pictures in the run's folder. With the real weights, at 71 pixels."""
import csv
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from marque import Marque  # noqa: E402
from tap import Tap  # noqa: E402
from test_run import copy_pictures, models, real_pictures  # noqa: E402

POLICY = "reference; strong,rotate=5"
SETTINGS = ["--imgsz", "71", "--dtype", "f32", "--stages", "head:2@1e-3,block14+:2@1e-4/stored", "-b", "7"]
BATCH = ["inspect", "data.mq", "-b", "7", "--imgsz", "71"]


def train(run, *more):
    return ["train", "data.mq", *SETTINGS, "--augment", POLICY, "-o", run, *more]


def test_same_models(tap, m):
    first = m.expect(tap, "a stage with flips and one with more", train("one", "-j", "1"), 0, err="cache: off for training")
    tap.check("only the second is not cached", first.err.count("cache: off") == 1 and first.err.count("pictures: ") == 1,
              first.err)
    for workers in ("2", "7"):
        m.expect(tap, f"{workers} workers", train(workers, "-j", workers), 0)
        tap.check(f"{workers} workers make the same models", models(m, workers) == models(m, "one"))
    code, text = m.stop_when(train("stopped", "--checkpoint-every", "0"), "block14+ 1/2")
    tap.check("a run stops in the augmented stage", code == 75, (code, text))
    m.expect(tap, "and goes on", ["train", "--resume", "stopped"], 0)
    tap.check("to the same models", models(m, "stopped") == models(m, "one"))
    m.expect(tap, "but not by another policy", ["train", "--resume", "one", "--epochs", "3", "--augment", "none"], 65,
             err="augment was")
    m.expect(tap, "a run without flips", [*train("none"), "--augment", "none"], 0)
    m.expect(tap, "a run with flips", [*train("flips"), "--augment", "reference"], 0)
    three = [models(m, run)[1] for run in ("one", "none", "flips")]
    tap.check("policies make other models", len(set(three)) == 3)


def rows(m, run):
    with open(m.folder / run / "results.csv", newline="") as file:
        return list(csv.DictReader(file))


def kept(m):
    """Which share of both views of all training pictures the largest cache holds."""
    caches = [one for one in json.loads(m.run(["cache", "--json"]).out) if one["split"] == "train"]
    return max(caches, key=lambda one: one["bytes"])["complete"]


def test_only_training_pictures(tap, m):
    """With a learning rate of 0 the model stays as it is, so its figures tell which pictures it saw."""
    m.expect(tap, "no caches", ["cache", "rm", "--all"], 0)
    for run, policy, share in (("still", "none", 0.5), ("flipping", "reference", 1), ("moving", "strong", None)):
        m.expect(tap, f"a run that learns nothing, {policy}", [*train(run), "--stages", "head:2@0", "--head", "linear",
                                                             "--augment", policy], 0)
        if share:
            tap.check("the statistics of features see the views that training does", abs(kept(m) - share) < 0.01, kept(m))
    still, flipping, moving = rows(m, "still"), rows(m, "flipping"), rows(m, "moving")
    tap.check("validation and the statistics of features see pictures otherwise as they are",
              [row["val/loss"] for row in flipping] == [row["val/loss"] for row in moving], (flipping, moving))
    tap.check("training does not", len({row["train/loss"] for row in moving}) == 2 and
              len({row["train/loss"] for row in still}) == 1, (still, moving))


def test_pictures(tap, m):
    policies = json.loads((m.folder / "one/config.json").read_text())["augment"].split("; ")
    tap.check("config.json holds a policy for each stage", policies[0] == "hflip@0.5" and "rotate=5@1" in policies[1],
              policies)
    for stage, policy in enumerate(policies):
        m.expect(tap, f"the first batch of stage {stage + 1} drawn again",
                 [*BATCH, "--epoch", 2 * stage + 1, "--augment", policy, "-o", "sheet.jpg"], 0)
        same = (m.folder / "sheet.jpg").read_bytes() == (m.folder / f"one/batch-{stage + 1}.jpg").read_bytes()
        tap.check(f"is batch-{stage + 1}.jpg", same)


def main():
    tap = Tap()
    with Marque() as m:
        copy_pictures(m.folder / "pictures", real_pictures(3, 9))
        m.share_weights()
        m.expect(tap, "import", ["import", "pictures", "-o", "data.mq"], 0)
        test_same_models(tap, m)
        test_only_training_pictures(tap, m)
        test_pictures(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
