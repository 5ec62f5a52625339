"""test_signals.py: SIGINT, SIGTERM, SIGUSR1 and SIGHUP while marque train measures, computes features, trains, saves,
validates and writes its models: it ends soon with 75 and says how to go on, and the run ends with the same bytes. A
second signal ends it at once."""
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from inject import available, spoil, trace  # noqa: E402
from tap import Tap  # noqa: E402
from workshop import STAGES, Workshop, rows  # noqa: E402

STOPPED, SIGINT = 75, 2
SIGNALS = ("INT", "TERM", "USR1", "HUP")
CALLS = ("openat", "pread64", "pwrite64", "rename", "close", "write")
SOON = 10  # seconds, on a busy machine


def find(calls, name, path, at):
    """The call of this name on a file whose path ends so; at counts among these calls, a share or an index."""
    found = [c for c in calls if c.name == name and re.search(path, c.text)]
    return found[int(len(found) * at) if isinstance(at, float) else at] if found else None


def phases(calls):
    """[(phase, a call in it)] of a traced run with cached features; what a run has no call for is None."""
    keys = list(dict.fromkeys(m for c in calls if c.name == "pread64" for m in re.findall(r"features/(\w+)/", c.text)))
    train, val = (f"features/{k}/" for k in keys[-2:])  # of the last stage
    return [("opening the run", find(calls, "rename", r"hurt/config\.json", 0)),
            ("training", find(calls, "pread64", train, 0.5)),
            ("the last batch", find(calls, "pread64", train, -1)),
            ("validation", find(calls, "pread64", val, 0.5)),
            ("writing results", find(calls, "rename", r"hurt/results\.csv", 0)),
            ("a checkpoint", find(calls, "rename", r"hurt/checkpoints/", 0)),
            ("writing the best model", find(calls, "openat", r"hurt/weights/best\.safetensors\.tmp", -1))]


def stopped_well(done, run):
    return done.code == STOPPED and f"marque train --resume {run}" in done.err and done.err.count("marque: ") == 1


def test_phases(tap, w):
    w.drop("hurt")
    args = w.args("hurt")
    calls = trace(w.line(args), w.folder, w.environment(None), CALLS)
    for number, (phase, call) in enumerate(phases(calls)):
        name = f"{w.stages}: SIG{SIGNALS[number % len(SIGNALS)]} in {phase}"
        if not call:
            tap.skip(name, "this run makes no such call")
            continue
        w.drop("hurt")
        done = spoil(call, f"signal={SIGNALS[number % len(SIGNALS)]}", w.line(args), w.folder, w.environment(None))
        tap.check(f"{name} ends with 75 and the way on", stopped_well(done, "hurt"), (call, done.code, done.err))
        if phase == "validation" and "block" in w.stages:  # which takes long enough for the signal to be seen in it
            w.run(["train", "--resume", "hurt"])
            paces = [(row["img_s"] == "", row["data_pct"] == "") for row in rows(w.path("hurt/results.csv"))]
            tap.check(f"{name}: an epoch of which that alone was left has no pace", paces.count((True, True)) == 1 and
                      paces.count((False, False)) == len(paces) - 1, paces)
        problem = w.problem("hurt")
        tap.check(f"{name} changes nothing", not problem, problem)
    w.drop("hurt")
    last = find(calls, "rename", r"hurt/weights/last", 0)
    done = spoil(last, "signal=INT", w.line(args), w.folder, w.environment(None))
    tap.check(f"{w.stages}: a signal when all is written ends a finished run", done.code == 0 and "next: " in done.out,
              done)
    w.drop("hurt")
    done = spoil(find(calls, "pread64", r"/features/", 0.5) or last, "signal=INT+", w.line(args), w.folder,
                 w.environment(None))
    tap.check(f"{w.stages}: a second signal ends it at once", done.code == 128 + SIGINT, done)
    problem = w.problem("hurt")
    tap.check(f"{w.stages}: and loses nothing", not problem, problem)


def test_features(tap, w):
    w.drop("hurt")
    w.drop_cache()
    calls = trace(w.line(w.args("hurt")), w.folder, w.environment(None), CALLS)
    call = find(calls, "pwrite64", r"features\.bin", 0)
    w.drop("hurt")
    w.drop_cache()
    done = spoil(call, "signal=TERM", w.line(w.args("hurt")), w.folder, w.environment(None))
    kept = [f.stat().st_size for f in w.cache.glob("marque/features/*/features.bin") if f.stat().st_size]
    chunk = lambda views: 4 + views * (4 + 2048 * 4) + 4  # noqa: E731
    tap.check(f"{w.stages}: SIGTERM among the features keeps them, and the batch that was in work", stopped_well(
        done, "hurt") and kept == [chunk(64) + chunk(16)] and "80 of" in done.err, (done, kept))
    problem = w.problem("hurt")
    tap.check(f"{w.stages}: and changes nothing", not problem, problem)


def test_uncached(tap, w):
    """Without a cache the pass for the classifier's statistics runs the network, too, and must be left as soon."""
    w.drop("hurt")
    args = [*w.args("hurt", "--cache", "off"), "-j", "1"]
    process = w.start([*args, "--imgsz", "199"])
    while process.poll() is None and not w.path("hurt/config.json").exists():
        time.sleep(0.01)
    start = time.monotonic()
    process.send_signal(SIGINT)
    text, code = process.stderr.read(), process.wait()
    process.stderr.close()
    took = time.monotonic() - start
    tap.check(f"{w.stages}: without a cache it stops before the first step", code == STOPPED and took < SOON and
              "features were measured" in text and not list(w.path("hurt/checkpoints").iterdir()), (code, took, text))
    w.drop("hurt")


def test_measuring(tap, w):
    """Before the run's folder exists there is nothing to save, and 75 is true of the same command."""
    args = [*w.args("hurt"), "--imgsz", "299"]
    w.drop("hurt")
    calls = trace(w.line([*args, "--plan"]), w.folder, w.environment(None), CALLS)
    call = find(calls, "close", r"xception\.safetensors", 0)
    start = time.monotonic()
    done = spoil(call, "signal=INT", w.line(args), w.folder, w.environment(None))
    tap.check("SIGINT while the pace is measured: 75, and no run", done.code == STOPPED and
              "the same command again" in done.err and not w.path("hurt").exists(), done)
    tap.check("and soon", time.monotonic() - start < 2 * SOON, time.monotonic() - start)


def test_hangup(tap, w):
    """What was ignored when marque began stays so, as under nohup and in a script's background; a terminal that closes may
    send SIGHUP twice."""
    def ignore():
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)

    for what, before, numbers in (("ignored", ignore, [signal.SIGINT, signal.SIGHUP, signal.SIGTERM]),
                                  ("twice", None, [signal.SIGHUP, signal.SIGHUP])):
        w.drop("hurt")
        process = subprocess.Popen(w.line(w.args("hurt", "--epochs", "100000", "--summary-steps", "0")), cwd=w.folder,
                                   env=w.environment(None), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True, preexec_fn=before)
        next(line for line in process.stderr if " 1/" in line)
        for number in numbers[:-1]:
            process.send_signal(number)
            w.let_work(process, w.worked(process) + (0.3 if before else 0.01))  # so that signals are two
            if before:
                tap.check(f"{number.name} stays ignored", process.poll() is None)
        process.send_signal(numbers[-1])
        text = process.stderr.read()
        process.stderr.close()
        tap.check(f"signals {what}: 75 and a checkpoint", process.wait() == STOPPED and "--resume hurt" in text and
                  len(list(w.path("hurt/checkpoints").iterdir())) > 0, (process.returncode, text[-500:]))
    w.drop("hurt")


def main():
    tap = Tap()
    if not available():
        tap.skip("signals in every phase", "strace cannot trace here")
        return tap.done()
    with Workshop() as w:
        for stages in STAGES:
            w.plain(stages)
            test_phases(tap, w)
            test_features(tap, w)
            test_uncached(tap, w)
        test_measuring(tap, w)
        test_hangup(tap, w)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
