"""test_labels.py: runs on uneven classes, balanced, weighted and smoothed, or shuffled some at a time: the same bytes with any number of workers,
cached or not, stopped, killed and resumed. On real pictures with the real weights, at 71 pixels."""
import csv
import json
import re
import signal
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from marque import Marque  # noqa: E402
from tap import Tap  # noqa: E402
from test_run import EPOCHS, cached_views, copy_pictures, models, real_pictures, same_models, train  # noqa: E402

KEPT = [24, 12, 12, 4, 2]  # pictures of each class
BALANCED = ["--sampling", "balanced", "--class-weights", "weights.csv", "--label-smoothing", "0.1"]


def prepare(m):
    classes = {name: paths[:kept] for kept, (name, paths) in zip(KEPT, real_pictures(len(KEPT), KEPT[0]).items())}
    copy_pictures(m.folder / "pictures", classes)
    names = list(classes)
    rows = [f'"{name}",{weight}\n' for name, weight in ((names[0], 0.5), (names[4], 3))]
    (m.folder / "weights.csv").write_text("class,weight\n" + "".join(rows))
    m.share_weights()


def test_ways(tap, m):
    m.expect(tap, "a balanced run", train("plain", *BALANCED), 0, out=f"{EPOCHS} epochs",
             err=["class weights 0.5 to 3", "each class is shown equally often", "labels smoothed by 0.1"])
    views = cached_views(m)
    tap.check("no view is computed twice", len(views) == len(set(views)), sorted(views))
    m.expect(tap, "with seven workers and no cache", train("other", *BALANCED, "-j", "7", "--cache", "off", "--epochs", "3"), 0)
    m.expect(tap, "with one and a cache", train("short", *BALANCED, "-j", "1", "--epochs", "3"), 0)
    tap.check("are byte-equal", models(m, "other") == models(m, "short"))
    m.expect(tap, "a run's config.json is a config", ["train", "--config", "plain/config.json", "-o", "copied"], 0)
    same_models(tap, m, "and leads to the same models", "copied")
    config = json.loads((m.folder / "plain/config.json").read_text())
    tap.check("it holds the settings", [config[key] for key in ("sampling", "class-weights", "label-smoothing")] ==
              ["balanced", "weights.csv", 0.1], config)


def test_stops(tap, m):
    code, text = m.stop_when(train("stopped", *BALANCED), f"head 3/{EPOCHS}", signal.SIGINT)
    tap.check("stopped", code == 75, text)
    for option, value, words in (("--sampling", "shuffle", 'sampling was "balanced"'),
                                 ("--class-weights", "none", 'class-weights was "weights.csv"'),
                                 ("--label-smoothing", "0.2", "label-smoothing was 0.1")):
        m.expect(tap, f"{option} {value} is refused", ["train", "--resume", "stopped", option, value], 65,
                 err=["other settings", words])
    kept = (m.folder / "weights.csv").read_text()
    (m.folder / "weights.csv").write_text(kept.replace(",3\n", ",4\n"))
    m.expect(tap, "so are other weights in the file", ["train", "--resume", "stopped"], 65, err="other settings")
    (m.folder / "weights.csv").write_text(kept)
    m.expect(tap, "resumed", ["train", "--resume", "stopped"], 0)
    same_models(tap, m, "a stop changes nothing", "stopped")
    code, text = m.stop_when(train("killed", *BALANCED, "--checkpoint-every", "0"), f"head 10/{EPOCHS}", signal.SIGKILL)
    tap.check("killed with a checkpoint behind every step", code == -signal.SIGKILL, text)
    m.expect(tap, "resumed after kill -9", ["train", "--resume", "killed"], 0)
    same_models(tap, m, "kill -9 changes nothing", "killed")


def test_each(tap, m):
    """Each setting makes another model; the settings that are the default make the default's."""
    few = ["--epochs", "3"]
    m.expect(tap, "without any", train("none", *few), 0, err=["uneven classes: 1 to 15 ", "--sampling balanced"])
    m.expect(tap, "with the defaults by name", train("named", *few, "--sampling", "shuffle", "--class-weights", "none",
                                                     "--label-smoothing", "0"), 0)
    seen = [models(m, "none")]
    tap.check("are byte-equal", models(m, "named") == seen[0])
    for name, args in (("sampled", ["--sampling", "balanced"]), ("weighted", ["--class-weights", "balanced"]),
                       ("listed", ["--class-weights", "weights.csv"]), ("smoothed", ["--label-smoothing", "0.1"])):
        m.expect(tap, " ".join(args), train(name, *few, *args), 0, no_err=None if name == "smoothed" else "uneven")
        seen.append(models(m, name))
    tap.check("all others differ", len({model[1] for model in seen}) == 5)


def test_buffer(tap, m):
    """Shuffled some at a time: another order, the same from cache and shards, in a fold, after a stop."""
    buffer = ["--shuffle-buffer", "8", "--epochs", "6"]
    m.expect(tap, "a buffer", train("buffer", *buffer), 0, err="pictures are shuffled 8 at a time")
    m.expect(tap, "all at once", train("at once", "--shuffle-buffer", "0", "--epochs", "3"), 0, no_err="at a time")
    tap.check("0 is what there was before", models(m, "at once") == models(m, "none"))
    m.expect(tap, "without cache", train("shards", *buffer, "--cache", "off", "-j", "7"), 0)
    tap.check("the same bytes from the shards", models(m, "shards") == models(m, "buffer"))
    code, text = m.stop_when(train("halted", *buffer), "head 3/6", signal.SIGINT)
    tap.check("stopped", code == 75, text)
    m.expect(tap, "another buffer is refused", ["train", "--resume", "halted", "--shuffle-buffer", "9"], 65,
             err=["other settings", "shuffle-buffer was 8"])
    m.expect(tap, "resumed", ["train", "--resume", "halted"], 0)
    tap.check("a stop changes nothing", models(m, "halted") == models(m, "buffer"))
    m.expect(tap, "three epochs of it", train("three", *buffer[:2], "--epochs", "3"), 0)
    tap.check("its order is another one", models(m, "three")[1] != models(m, "none")[1])


def test_folds(tap, m):
    """The folds of a data set validate in turn, each picture once, all from one cache."""
    m.expect(tap, "no cache", ["cache", "rm", "--all"], 0)
    m.expect(tap, "folds", ["import", "pictures", "-o", "folds.mq", "--folds", "3", "--test", "0.2"], 0)
    m.expect(tap, "no fold in a data set without", train("unfolded", "--fold", "1"), 64, err="import it with --folds")
    words = ["--imgsz", "71", "--dtype", "f32", "--stages", "head:3@1e-3"]
    validated = trained = 0
    for fold in (1, 2, 3):
        run = m.expect(tap, f"fold {fold}", ["train", "folds.mq", *words, "--fold", str(fold), "-o", f"fold{fold}"], 0)
        train_count, val_count = (int(n) for n in re.search(r"train (\d+), val (\d+)", run.err).groups())
        trained, validated = trained + train_count, validated + val_count
    with open(m.folder / "folds.mq/split.csv", newline="") as file:
        pictures = sum(row["split"] == "train" for row in csv.DictReader(file))
    tap.check("each picture is validated on once and trained on twice",
              (validated, trained) == (pictures, 2 * pictures), (validated, trained, pictures))
    answered = []
    for fold in (1, 2, 3):
        scores = json.loads(m.expect(tap, f"eval of fold {fold}", ["eval", f"fold{fold}", "--split", "val", "--dtype", "f32", "--json"], 0).out)
        with open(m.folder / f"fold{fold}/results.csv", newline="") as file:
            best = max(float(row["metrics/accuracy_top1"]) for row in csv.DictReader(file))
        tap.check("says what training said of it", abs(scores["top1"] - best) < 1e-6 and (scores["split"], scores["seen"]) == ("val", 0), scores)
        with open(m.folder / f"fold{fold}/eval/val/predictions.csv", newline="") as file:
            answered += [row["file"] for row in csv.DictReader(file)]
    tap.check("together all pictures are answered out of fold", len(answered) == len(set(answered)) == pictures, len(answered))
    views = cached_views(m)
    tap.check("no view is computed twice", len(views) == len(set(views)) and
              {view // 2 for view in views} == set(range(pictures)), sorted(views))
    m.expect(tap, "no fold is none to validate on", ["train", "folds.mq", *words, "--plan"], 0, err="--fold N validates on one")
    m.expect(tap, "and one is", ["train", "folds.mq", *words, "--fold", "1", "--plan"], 0, no_err="no validation part")
    m.expect(tap, "a fold too many", ["train", "folds.mq", *words, "--fold", "4"], 64, err="has 3 folds")
    m.expect(tap, "a run's fold stays", ["train", "--resume", "fold1", "--fold", "2", "--epochs", "4"], 65,
             err="fold was 1")
    m.expect(tap, "with a buffer", ["train", "folds.mq", *words, "--fold", "2", "-o", "few", "--shuffle-buffer", "8"], 0,
             no_err="features of train")
    tap.check("in another order", models(m, "few")[1] != models(m, "fold2")[1])
    m.expect(tap, "without cache", ["train", "folds.mq", *words, "--fold", "2", "-o", "again", "--cache", "off"], 0)
    tap.check("the same bytes", models(m, "again") == models(m, "fold2"))


def main():
    tap = Tap()
    with Marque() as m:
        prepare(m)
        m.expect(tap, "import", ["import", "pictures", "-o", "data.mq"], 0)
        test_ways(tap, m)
        test_stops(tap, m)
        test_each(tap, m)
        test_buffer(tap, m)
        test_folds(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
