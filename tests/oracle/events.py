#!/usr/bin/env python3
"""Real TensorBoard reads what a run records. Prints TAP.

A run that was stopped and resumed is read by TensorBoard's own EventAccumulator and loaders, which must show each tag,
step and value of results.csv, no step twice. The program itself is started on it, with both of its data readers, and asked
as its page asks; it also follows a run that is killed and resumed. TensorFlow must write the golden file of
tests/unit/test_events.c again.
"""
import csv
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "golden"), str(TESTS / "job")]

from tensorboard.backend.event_processing import directory_loader, event_accumulator  # noqa: E402
from tensorboard.backend.event_processing import event_file_loader, plugin_event_multiplexer  # noqa: E402
from tensorboard.util import tensor_util  # noqa: E402

import make_events  # noqa: E402
from marque import Marque  # noqa: E402
from tap import Tap  # noqa: E402
from test_records import CURVES, EPOCHS, log, train  # noqa: E402
from test_run import prepare  # noqa: E402

EVERY = 3
WAIT = 60  # seconds TensorBoard may take to start, or to see what was written
LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy cannot reach this machine
BATCH = ("batch_loss", "batch_accuracy", "learning_rate", "images_per_second")
TAGS = {"train": {*BATCH, *(t for f, t, _ in CURVES if f == "train")},
        "validation": {"evaluation_loss_vs_iterations", "evaluation_accuracy_vs_iterations",
                       *(t for f, t, _ in CURVES if f == "validation")}}


def figures(run):
    """{(folder, tag): [(step, value)]} that results.csv and log.jsonl promise; a value is None where they have none."""
    with open(run / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = {(folder, tag): [(int(r["epoch"]) - 1, float(r[column])) for r in rows] for folder, tag, column in CURVES}
    last = log(run)[-1]["step"]
    for tag in BATCH:
        wanted["train", tag] = [(step, None) for step in range(EVERY, last + 1, EVERY)]
    for tag, column in (("loss", "val/loss"), ("accuracy", "metrics/accuracy_top1")):
        wanted["validation", f"evaluation_{tag}_vs_iterations"] = [
            (int(r["epoch"]) * last // len(rows), float(r[column])) for r in rows]
    return wanted


def same(found, wanted):
    return len(found) == len(wanted) and all(
        s == t and (w is None or math.isclose(v, w, rel_tol=1e-6)) for (s, v), (t, w) in zip(found, wanted))


def check_points(tap, name, run, read):
    """read(folder, tag) must give results.csv's points for each tag."""
    wanted = figures(run)
    tap.check(f"{name}: {EPOCHS} epochs are wanted", len(wanted["train", "epoch_loss"]) == EPOCHS)
    for folder, tags in TAGS.items():
        wrong = [tag for tag in sorted(tags) if not same(read(folder, tag), wanted[folder, tag])]
        tap.check(f"{name}: every point of {len(tags)} tags in {folder}", not wrong,
                  [(tag, read(folder, tag)[:50]) for tag in wrong])


def check_libraries(tap, run, name):
    """The three ways of TensorBoard's own code into an event file."""
    def scalars(folder, tag):
        accumulator = event_accumulator.EventAccumulator(str(run / folder), size_guidance={"tensors": 0, "scalars": 0})
        accumulator.Reload()
        return [(e.step, float(tensor_util.make_ndarray(e.tensor_proto))) for e in accumulator.Tensors(tag)]

    multiplexer = plugin_event_multiplexer.EventMultiplexer(tensor_size_guidance={"scalars": 0})
    multiplexer.AddRunsFromDirectory(str(run))
    multiplexer.Reload()
    tags = {folder: set(found["tensors"]) for folder, found in multiplexer.Runs().items()}
    tap.check(f"{name}: the runs and tags TensorBoard finds", tags == TAGS, tags)
    plugins = {folder: set(multiplexer.PluginRunToTagToContent("scalars")[folder]) for folder in TAGS}
    tap.check(f"{name}: all of them scalars", plugins == TAGS, plugins)
    check_points(tap, f"{name}, EventAccumulator", run, scalars)
    check_points(tap, f"{name}, multiplexer", run, lambda folder, tag: [
        (e.step, float(tensor_util.make_ndarray(e.tensor_proto))) for e in multiplexer.Tensors(folder, tag)])
    for folder in TAGS:
        loader = directory_loader.DirectoryLoader(str(run / folder), event_file_loader.TimestampedEventFileLoader)
        times = [event.wall_time for event in loader.Load()]
        tap.check(f"{name}: times in {folder} never go back", times and times == sorted(times))


class Board:
    """TensorBoard as a program on a free port of this machine, ended by its own id."""

    def __init__(self, run, fast):
        argv = [sys.executable, "-m", "tensorboard.main", "--logdir", run, "--host", "127.0.0.1", "--port", "0",
                "--load_fast", fast, "--reload_interval", "1", "--samples_per_plugin", "scalars=100000"]
        self.log = open(run.parent / f"tensorboard-{run.name}-{fast}.log", "w+")
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)
        self.address = None

    def __enter__(self):
        found = self.until(lambda: re.search(r"at (http://127\.0\.0\.1:\d+)", self.said()))
        self.address = found.group(1) if found else None
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def said(self):
        return Path(self.log.name).read_text()

    def until(self, condition):
        end = time.monotonic() + WAIT
        while time.monotonic() < end and self.process.poll() is None:
            found = condition()
            if found:
                return found
            time.sleep(0.2)
        return None

    def ask(self, what, **query):
        url = f"{self.address}/data/plugin/scalars/{what}?{urllib.parse.urlencode(query)}"
        with LOCAL.open(url, timeout=20) as answer:
            return json.load(answer)

    def tags(self):
        return {folder: set(tags) for folder, tags in self.ask("tags").items()}

    def points(self, folder, tag):
        try:
            return [(step, value) for _, step, value in self.ask("scalars", run=folder, tag=tag)]
        except urllib.error.HTTPError:
            return []


def check_board(tap, run, name, fast):
    with Board(run, fast) as board:
        if not tap.check(f"{name}: tensorboard --load_fast={fast} starts", board.address, board.said()):
            return
        last = figures(run)["train", "epoch_loss"][-1][0]
        board.until(lambda: board.tags() == TAGS and board.points("validation", "epoch_loss")[-1:] and
                    board.points("validation", "epoch_loss")[-1][0] == last)
        tags = board.tags()
        tap.check(f"{name}: its page lists every tag", tags == TAGS, (tags, board.said()))
        check_points(tap, f"{name}, the page", run, board.points)


def recorded_since_checkpoint(run):
    """Steps that are in the event file and not in the last checkpoint, if an epoch has ended since: of those in the log all
    but the last, whose event may be missing yet."""
    told = log(run) if (run / "log.jsonl").exists() else []
    kinds = [line["event"] for line in told]
    since = told[len(told) - kinds[::-1].index("checkpoint"):] if "checkpoint" in kinds else []
    epochs = [line for line in since if line["event"] == "epoch"]
    return [line["step"] for line in since if line["event"] == "step"][:-1] if epochs else []


def killed_beyond_checkpoint(m, run):
    """Trains until the run is beyond a checkpoint, and kills it there; (exit code, stderr). It is stopped before each
    look, so that it cannot write the next checkpoint between the look and the end."""
    process = m.start(train(run.name, "--summary-steps", str(EVERY), "--checkpoint-every", "2"))
    while process.poll() is None:
        process.send_signal(signal.SIGSTOP)
        beyond = bool(recorded_since_checkpoint(run))
        process.send_signal(signal.SIGKILL if beyond else signal.SIGCONT)
        if beyond:
            break
        time.sleep(0.05)
    with process.stderr:
        text = process.stderr.read()
    return process.wait(), text


def check_follower(tap, m, fast):
    """TensorBoard has read a run beyond its checkpoint when the run is resumed from there."""
    run = m.folder / f"followed-{fast}"
    code, text = killed_beyond_checkpoint(m, run)
    tap.check("a run is killed beyond a checkpoint", code == -signal.SIGKILL, text)
    steps = max(recorded_since_checkpoint(run), default=0)
    with Board(run, fast) as board:
        seen = board.until(lambda: max((s for s, _ in board.points("train", "batch_loss")), default=0) >= steps)
        tap.check("TensorBoard has read it beyond that", seen, (steps, board.points("train", "batch_loss"), board.said()))
        m.expect(tap, "the run is resumed", ["train", "--resume", run.name], 0)
        resumed = next(line["step"] for line in log(run) if line["event"] == "resume")
        tap.check("from before what TensorBoard has read", resumed < steps, (resumed, steps))
        wanted = figures(run)
        board.until(lambda: board.points("train", "epoch_loss")[-1][0] == EPOCHS - 1)
        wrong = [tag for tag in BATCH if not same(board.points("train", tag), wanted["train", tag])]
        tap.check("TensorBoard shows no step twice", not wrong, [(tag, board.points("train", tag)) for tag in wrong])
        epochs = board.points("train", "epoch_loss")
        tap.check("nor an epoch with two values", len(set(epochs)) == len(dict(epochs)) == EPOCHS, epochs)


def check_bytes(tap):
    """The golden file of the unit test is what this TensorFlow writes."""
    golden = make_events.TARGET.read_bytes()
    tap.check("TensorFlow writes the golden event file again", make_events.content() == golden)


def main():
    tap = Tap()
    check_bytes(tap)
    with Marque() as m:
        prepare(m)
        m.expect(tap, "import", ["import", "pictures", "-o", "data.mq"], 0)
        code, text = m.stop_when(train("stopped", "--summary-steps", str(EVERY)), "head 3/20", signal.SIGINT)
        tap.check("a run is stopped", code == 75, text)
        m.expect(tap, "and resumed", ["train", "--resume", "stopped"], 0)
        check_libraries(tap, m.folder / "stopped", "stopped")
        for fast in ("false", "true"):
            check_board(tap, m.folder / "stopped", "stopped", fast)
            check_follower(tap, m, fast)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
