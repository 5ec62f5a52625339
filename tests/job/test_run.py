"""test_run.py: what must hold of a run whatever happens to it: cached or not, with any number of workers, stopped,
killed, damaged and resumed, its models are the same bytes. On real pictures with the real weights, at 71 pixels."""
import collections
import csv
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from marque import Marque, obey_modes  # noqa: E402
from tap import Tap  # noqa: E402

STAMPS = Path("/usr/share/tuxpaint/stamps")
EPOCHS = 30
SETTINGS = ["--imgsz", "71", "--dtype", "f32", "--stages", f"head:{EPOCHS}@1e-3", "-b", "7"]
PER_CLASS = 12


def real_pictures(class_count=5, each=PER_CLASS):
    """{class: paths} of real pictures."""
    cars = os.environ.get("MARQUE_CARS")
    if not cars:
        folders = ["animals/birds", "food/fruit", "symbols/money", "plants/flowers", "town/houses"]
        return {f.split("/")[1]: sorted((STAMPS / f).rglob("*.png"))[:each] for f in folders}
    classes = {}
    with open(Path(cars) / "cars_subset.csv", newline="") as file:
        for row in csv.DictReader(file):
            classes.setdefault(row["class_name"].replace("/", " "), []).append(Path(cars) / row["filename"])
    return {name: classes[name][:each] for name in sorted(classes)[:class_count]}


def copy_pictures(folder, classes):
    for name, paths in classes.items():
        (folder / name).mkdir(parents=True)
        for path in paths:
            shutil.copy(path, folder / name)


def prepare(m):
    copy_pictures(m.folder / "pictures", real_pictures())
    m.share_weights()


def models(m, run):
    return [(m.folder / run / "weights" / f"{name}.safetensors").read_bytes() for name in ("best", "last")]


def same_models(tap, m, name, run):
    try:
        same = models(m, run) == models(m, "plain")
        detail = "the bytes differ"
    except OSError as error:
        same, detail = False, str(error)
    tap.check(name, same, detail)


def train(run, *more):
    return ["train", "data.mq", *SETTINGS, "-o", run, *more]


def test_ways(tap, m):
    m.expect(tap, "a plain run", train("plain"), 0, out=[f"{EPOCHS} epochs", "next: marque eval plain"])
    m.expect(tap, "again from the cache", train("again"), 0)
    same_models(tap, m, "the cache changes nothing", "again")
    m.expect(tap, "without cache, three workers", train("uncached", "--cache", "off", "--epochs", "2", "-j", "3"), 0)
    m.expect(tap, "cached, as short", train("short", "--epochs", "2"), 0)
    tap.check("cached and uncached training are byte-equal", models(m, "short") == models(m, "uncached"))
    m.expect(tap, "a finished run goes on", ["train", "--resume", "short", "--epochs", EPOCHS], 0, out=f"{EPOCHS} epochs")
    same_models(tap, m, "and ends as the long one", "short")
    m.expect(tap, "a run's config.json is a config", ["train", "--config", "plain/config.json", "-o", "copied"], 0)
    same_models(tap, m, "and leads to the same models", "copied")
    rows = json.loads(m.run(["cache", "--json"]).out)
    keys = [row["key"] for row in rows]
    tap.check("the cache is listed: training and validation part", len(keys) == 2 and all(r["usable"] for r in rows), rows)
    meta = m.cache / "marque/features" / keys[0] / "meta.json"
    meta.write_text(re.sub(r"engine \d+", "engine 0", meta.read_text()))
    listed = m.run(["cache"]).out.splitlines()
    tap.check("and what another marque made", [line for line in listed if "of no use here" in line] ==
              [line for line in listed if line.startswith(keys[0])], listed)
    m.expect(tap, "one cache is removed", ["cache", "rm", keys[0]], 0, out=f"removed {keys[0]}")
    m.expect(tap, "one that is not there", ["cache", "rm", keys[0]], 66, err=keys[0])
    m.expect(tap, "a path is no key", ["cache", "rm", "../weights"], 64, err="no key")
    m.expect(tap, "all caches are removed", ["cache", "rm", "--all"], 0)
    tap.check("the cache is empty", json.loads(m.run(["cache", "--json"]).out) == [])
    m.expect(tap, "seven workers fill the cache", train("seven", "-j", "7"), 0)
    same_models(tap, m, "workers change nothing", "seven")


def test_stops(tap, m):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        name = signal.Signals(number).name
        run = f"stopped-{name}"
        code, text = m.stop_when(train(run), f"head 3/{EPOCHS}", number)
        tap.check(f"{name} ends with 75 and the way on", code == 75 and f"marque train --resume {run}" in text, text)
        m.expect(tap, f"resumed after {name}", ["train", "--resume", run], 0)
        same_models(tap, m, f"{name} changes nothing", run)
    code, text = m.stop_when(train("killed", "--checkpoint-every", "0.2"), f"head 10/{EPOCHS}", signal.SIGKILL)
    tap.check("killed", code == -signal.SIGKILL, text)
    m.expect(tap, "resumed after kill -9", ["train", "--resume", "killed"], 0)
    same_models(tap, m, "kill -9 and checkpoints change nothing", "killed")
    with open(m.folder / "killed/results.csv", newline="") as file:
        epochs = [int(row["epoch"]) for row in csv.DictReader(file)]
    tap.check("results.csv has each epoch once", epochs == list(range(1, EPOCHS + 1)), epochs)


def chunk_bytes(views):
    """Of the feature cache, in f32: a number, a number and a row for each view, a checksum."""
    return 4 + views * (4 + 2048 * 4) + 4


def cached_views(m):
    """Views in the training part's cache, in their order: twice the picture's place, plus 1 for its mirror image."""
    folder = next(f.parent for f in (m.cache / "marque/features").glob("*/meta.json")
                  if json.loads(f.read_text())["split"] == "train")
    data, at, views = (folder / "features.bin").read_bytes(), 0, []
    while at < len(data):
        count = int.from_bytes(data[at:at + 4], "little")
        views += [int.from_bytes(data[k:k + 4], "little") for k in range(at + 4, at + 4 + 4 * count, 4)]
        at += chunk_bytes(count)
    return views


def test_lazy(tap, m):
    """Of a picture and its mirror image only what an epoch draws is computed, when it first is."""
    m.expect(tap, "no cache", ["cache", "rm", "--all"], 0)
    m.expect(tap, "one epoch", train("lazy", "--epochs", "1"), 0)
    first = cached_views(m)
    pictures = sorted(view // 2 for view in first)
    tap.check("one view of each picture, some mirrored", pictures == list(range(len(first))) and
              0 < sum(view % 2 for view in first) < len(first), first)
    with open(next(f.parent / ".lock" for f in (m.cache / "marque/features").glob("*/meta.json")
                   if json.loads(f.read_text())["split"] == "train"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = m.start(["train", "--resume", "lazy", "--epochs", "2"])
        told = next((line for line in process.stderr if "waiting for it" in line), None)
        tap.check("a second one waits while another run fills the cache", told and process.poll() is None, told)
    text = process.stderr.read()
    process.stderr.close()
    tap.check("and then goes on", process.wait() == 0, text)
    second = cached_views(m)
    tap.check("adds what it is the first to draw", second[:len(first)] == first and
              len(first) < len(second) < 2 * len(first) and len(set(second)) == len(second), second)
    m.expect(tap, "all of them", ["train", "--resume", "lazy", "--epochs", EPOCHS], 0)
    tap.check("no view is computed twice", sorted(cached_views(m)) == list(range(2 * len(first))), cached_views(m))
    same_models(tap, m, "and the run is the plain one", "lazy")
    m.expect(tap, "half of the pictures", train("half", "--epochs", "3", "--fraction", "0.5"), 0)
    tap.check("has its views from the same cache", len(cached_views(m)) == 2 * len(first), len(cached_views(m)))
    m.expect(tap, "without cache", train("half-again", "--epochs", "3", "--fraction", "0.5", "--cache", "off"), 0)
    tap.check("the same bytes", models(m, "half") == models(m, "half-again"))
    m.expect(tap, "no cache again", ["cache", "rm", "--all"], 0)
    m.expect(tap, "a cache that a part begins", train("begun", "--epochs", "1", "--fraction", "0.3"), 0)
    m.expect(tap, "and the whole goes on with", train("ended", "--epochs", "4"), 0)
    rows = json.loads(m.run(["cache", "--json"]).out)
    tap.check("no cache holds more than all", rows and all(0 < row["complete"] <= 1 for row in rows), rows)


def test_cache_in_use(tap, m):
    """What a run reads from is not removed; the rest is."""
    other = m.cache / "marque/features/00000000deadbeef"
    other.mkdir()
    (other / "features.bin").write_bytes(bytes(100))
    process = m.start(train("user"))
    told = next((line for line in process.stderr if "head 1/" in line), None)
    process.send_signal(signal.SIGSTOP)
    run = m.run(["cache", "rm", "--all"])
    process.send_signal(signal.SIGCONT)
    tap.check("caches in use stay, others go", told and run.code == 73 and "in use stay" in run.err and not other.exists() and cached_views(m), run)
    text = process.stderr.read()
    process.stderr.close()
    tap.check("and the run does not notice", process.wait() == 0, text)
    same_models(tap, m, "its models are the plain ones", "user")


def test_features(tap, m):
    """Stopped while features are computed: what is computed stays, what follows whole chunks is not believed."""
    copy_pictures(m.folder / "more", real_pictures(12, 40))
    m.expect(tap, "a larger data set", ["import", "more", "-o", "more.mq", "--test", "0.1"], 0)
    args = ["train", "more.mq", "--imgsz", "150", "--dtype", "f32", "--stages", "head:1@1e-3"]
    shutil.rmtree(m.cache / "marque/features", ignore_errors=True)
    process = subprocess.Popen([m.program, *args, "-o", "cut"], cwd=m.folder, env=m.environment(None),
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    chunk = chunk_bytes(64)
    files = lambda: list((m.cache / "marque/features").glob("*/features.bin"))  # noqa: E731
    while process.poll() is None and not any(f.stat().st_size >= chunk for f in files()):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    text = process.stderr.read()
    cut = max(files(), key=lambda f: f.stat().st_size)  # the other is the validation part's
    size, kept = cut.stat().st_size, [number for number in range(16, 480, 16) if f"of {number} of" in text]
    tap.check("stopped among the features, they are kept", process.wait() == 75 and "are kept" in text and kept and
              size == kept[0] // 64 * chunk + (chunk_bytes(kept[0] % 64) if kept[0] % 64 else 0), (text, size))
    with open(cut, "ab") as file:
        file.write(os.urandom(chunk // 2))
    m.expect(tap, "it goes on behind a torn chunk", ["train", "--resume", "cut"], 0, out="1 epoch")
    m.expect(tap, "the same without cache", [*args, "-o", "whole", "--cache", "off"], 0)
    tap.check("and ends with the same bytes", models(m, "cut") == models(m, "whole"))


def test_damage(tap, m):
    code, _ = m.stop_when(train("hurt", "--checkpoint-every", "0.2"), f"head 10/{EPOCHS}", signal.SIGINT)
    checkpoints = sorted((m.folder / "hurt/checkpoints").glob("*.safetensors"))
    tap.check("stopped with checkpoints", code == 75 and len(checkpoints) >= 2, checkpoints)
    data = bytearray(checkpoints[-1].read_bytes())
    data[len(data) // 2] ^= 4
    checkpoints[-1].write_bytes(data)
    if (os.cpu_count() or 1) > 1:
        m.expect(tap, "other threads are refused", ["train", "--resume", "hurt", "--threads", "1"], 65,
                 err="--allow-inexact")
    m.expect(tap, "other settings are refused", ["train", "--resume", "hurt", "-b", "8"], 65, err="other settings")
    m.expect(tap, "a flipped bit falls back to the checkpoint before", ["train", "--resume", "hurt"], 0,
             err=[checkpoints[-1].name, "passed over", checkpoints[-2].name])
    same_models(tap, m, "and changes nothing", "hurt")
    with open(m.folder / "hurt/.lock", "r+") as lock:
        lock.truncate(0)
        lock.write("4711\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        m.expect(tap, "a run in use", ["train", "--resume", "hurt"], 73, err="4711")
    m.expect(tap, "a run's folder is never overwritten", train("plain"), 73, err="--resume plain")


def test_answers(tap, m):
    with open(m.folder / "plain/results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    val = json.loads(m.expect(tap, "eval of the validation part", ["eval", "plain", "--split", "val", "--dtype", "f32",
                                                                     "--json"], 0).out)
    best = max(float(row["metrics/accuracy_top1"]) for row in rows)
    tap.check("eval says of the best model what training said", abs(val["top1"] - best) < 1e-6, (val["top1"], best))
    m.expect(tap, "eval of the test part", ["eval", "plain", "--dtype", "f32"], 0, out=["top-1", "files: "])
    with open(m.folder / "plain/eval/test/predictions.csv", newline="") as file:
        predictions = list(csv.DictReader(file))
    counts = collections.Counter((row["name"], row["predicted_name"]) for row in predictions)
    with open(m.folder / "plain/eval/test/confusion_matrix.csv", newline="") as file:
        (corner, *names), *matrix = csv.reader(file)
    tap.check("the confusion matrix counts the same answers", corner == "true\\predicted" and [row[0] for row in matrix] == names and
              matrix == [[truth, *(str(counts[truth, answer]) for answer in names)] for truth in names], matrix)
    with open(m.folder / "plain/eval/test/per_class.csv", newline="") as file:
        classes = [(row["name"], int(row["images"]), float(row["recall"]), row["precision"]) for row in csv.DictReader(file)]
    shares = [(truth, sum(counts[truth, answer] for answer in names), sum(counts[other, truth] for other in names)) for truth in names]
    tap.check("and so does each class", classes == [
        (truth, pictures, round(counts[truth, truth] / pictures, 6), f"{counts[truth, truth] / answers:.6f}" if answers else "")
        for truth, pictures, answers in shares], classes)
    paths = [m.folder / "pictures" / row["file"] for row in predictions]
    if not all(path.exists() for path in paths):
        paths = [Path(row["file"]) if Path(row["file"]).is_absolute() else m.folder / row["file"] for row in predictions]
    lines = m.expect(tap, "predict of the same pictures", ["predict", "plain", *paths, "--json", "--dtype", "f32"], 0).out
    answers = [json.loads(line) for line in lines.splitlines()]
    tap.check("as many answers, in order", [a["file"] for a in answers] == [str(p) for p in paths])
    worst = max(abs(a["predictions"][0]["confidence"] - float(p["confidence"])) for a, p in zip(answers, predictions))
    same = all(a["predictions"][0]["class"] == int(p["predicted"]) for a, p in zip(answers, predictions))
    tap.check("predict says what eval said", same and worst < 1e-5, worst)
    one = json.loads(m.run(["predict", "plain", paths[0], "--json", "--dtype", "f32"]).out)
    tap.check("one picture alone gets the same answer", abs(one["predictions"][0]["confidence"] -
                                                          answers[0]["predictions"][0]["confidence"]) < 1e-5, one)
    again = m.run(["predict", "plain", "-", "--json", "--dtype", "f32"], stdin=paths[0].read_bytes())
    tap.check("and so does standard input", json.loads(again.out)["predictions"] == one["predictions"], again.err)
    (m.folder / "page.jpg").write_text("<!DOCTYPE html><html></html>")
    os.mkfifo(m.folder / "pipe.jpg")
    files = [paths[0], "page.jpg", "pipe.jpg", "gone.jpg", paths[1]]
    run = m.expect(tap, "bad files among good ones", ["predict", "plain", *files, "--json"], 65, timeout=60)
    lines = [json.loads(line) for line in run.out.splitlines()]
    told = [line.get("error") or "" for line in lines]
    tap.check("each has its error, the rest goes on", len(lines) == 5 and all(word in said for word, said in zip(
        ("", "HTML", "not a regular file", "No such file", ""), told)) and [bool(line["predictions"]) for line in lines] == [
            True, False, False, False, True], run.out)
    m.expect(tap, "a gate that holds", ["eval", "plain", "--assert-top1", "0.0"], 0)
    m.expect(tap, "a gate that is missed", ["eval", "plain", "--assert-top1", "1"], 1, err="below")
    (m.folder / "plain/eval").chmod(0o500)
    m.expect(tap, "eval of a run that may not be written to", ["eval", "plain", "--split", "train"], 73, err="-o DIR takes the files elsewhere",
             preexec=obey_modes)
    (m.folder / "plain/eval").chmod(0o700)
    run = m.expect(tap, "a plan onto a full disk", train("plan", "--plan"), 74, err="the output cannot be written",
                   no_err="Success", stdout="full")
    m.expect(tap, "each name stands apart from its value", ["inspect", m.cache / "marque/weights/xception.safetensors"], 0,
             out=["\nsource.keras_version ", "\nlicence              "])
    chance = json.loads((m.folder / "plain/eval/test/metrics.json").read_text())["top1"]
    tap.check("better than chance", chance > 0.3, chance)


def main():
    tap = Tap()
    with Marque() as m:
        prepare(m)
        m.expect(tap, "import", ["import", "pictures", "-o", "data.mq"], 0)
        test_ways(tap, m)
        test_stops(tap, m)
        test_lazy(tap, m)
        test_cache_in_use(tap, m)
        test_features(tap, m)
        test_damage(tap, m)
        test_answers(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
