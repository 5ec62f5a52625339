"""test_resume.py: what a resumed run takes and what it refuses: damaged checkpoints, other threads, processors and
settings, a folder in use, clocks that jump, numbers that come apart, more epochs than were asked for at first."""
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from inject import files  # noqa: E402
from tap import Tap  # noqa: E402
from workshop import STAGES, Workshop, rows  # noqa: E402

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
BAD_DATA, CANNOT_CREATE, STOPPED, SIGKILL = 65, 73, 75, 9


def cut(w, run, *more):
    """Stops a run in its first epochs, with a checkpoint after each batch."""
    w.drop(run)
    code, text = w.stop_when(w.args(run, "--checkpoint-every", "0", *more), " 1/2 ")
    assert code == STOPPED, text
    return sorted(w.path(run, "checkpoints").iterdir())


def test_damage(tap, w):
    cut(w, "hurt")
    sound = files(w.path("hurt"))
    [newest, before] = sorted((n for n in sound if n.startswith("checkpoints/")), reverse=True)[:2]
    size = len(sound[newest])
    flips = [(f"bit {at % 8} of byte {at} flipped", lambda d, at=at: d[:at] + bytes([d[at] ^ 1 << at % 8]) + d[at + 1:])
             for at in (0, 9, 200, size // 2, size - 1)]
    cuts = [(f"cut to {n} bytes", lambda d, n=n: d[:n]) for n in (0, 7, 300, size - 1)]
    bad = []
    for name, damage in flips + cuts:
        w.drop("hurt")
        for path, content in sound.items():
            w.path("hurt", path).parent.mkdir(parents=True, exist_ok=True)
            w.path("hurt", path).write_bytes(damage(content) if path == newest else content)
        done = w.run(["train", "--resume", "hurt", "--threads", "1"])
        words = [Path(newest).name, "passed over", f"{Path(before).name}: the run goes on from this"]
        if done.code != BAD_DATA or not all(word in done.err for word in words):
            bad.append(f"{name}: {done}")
    tap.check(f"{w.stages}: {len(flips + cuts)} damages of the newest checkpoint are told of", not bad, "\n".join(bad))
    problem = w.problem("hurt")
    tap.check(f"{w.stages}: and the one before leads to the same bytes", not problem, problem)
    for path in cut(w, "hurt"):
        path.write_bytes(path.read_bytes()[:-1])
    before = files(w.path("hurt"))
    w.expect(tap, f"{w.stages}: all checkpoints damaged", ["train", "--resume", "hurt"], BAD_DATA,
             err="checkpoints is sound; put a copy back, or remove them to train from the beginning")
    tap.check("nothing is changed by that", files(w.path("hurt")) == before)
    for path in w.path("hurt/checkpoints").iterdir():
        path.unlink()
    problem = w.problem("hurt")
    tap.check(f"{w.stages}: and without them it begins anew", not problem, problem)


def test_environment(tap, w):
    cut(w, "hurt")
    before = files(w.path("hurt"))
    for name, args, env in (("other threads", ["--threads", "1"], None),
                            ("another instruction set", [], {"ONEDNN_MAX_CPU_ISA": "SSE41"})):
        w.expect(tap, f"{w.stages}: refused: {name}", ["train", "--resume", "hurt", *args], BAD_DATA,
                 err=["other threads, processor, library or version of marque", "--allow-inexact"], env=env)
    for args, words in ((["-b", "8"], "batch was 50 and would be 8"), (["--imgsz", "75"], "imgsz was 71"),
                        (["--seed", "4"], "seed was 123 and would be 4"), (["--lr", "0.5"], "lr was"),
                        (["--head", "1024"], 'head was "linear"'), (["--stages", "head:9@1"], "2 stages and would have 1")):
        w.expect(tap, f"{w.stages}: {args[0]} is refused by name", ["train", "--resume", "hurt", *args], BAD_DATA,
                 err=["other settings", words, "leave"])
    w.run(["import", "pictures", "-o", "other.mq", "--test", "0.2"])
    os.rename(w.path("data.mq"), w.path("kept.mq"))
    os.rename(w.path("other.mq"), w.path("data.mq"))
    w.expect(tap, f"{w.stages}: other data are refused", ["train", "--resume", "hurt"], BAD_DATA,
             err="is not the data set that hurt began with")
    os.rename(w.path("data.mq"), w.path("other.mq"))
    os.rename(w.path("kept.mq"), w.path("data.mq"))
    tap.check("refusals change nothing", files(w.path("hurt")) == before)
    w.expect(tap, f"{w.stages}: both with --allow-inexact", ["train", "--resume", "hurt", "--threads", "1",
                                                              "--allow-inexact"], 0, env={"ONEDNN_MAX_CPU_ISA": "SSE41"})
    w.drop("hurt")


def test_lock(tap, w):
    """One process in a run's folder; the lock of a dead one holds nobody up."""
    process = w.start(w.args("hurt", "--epochs", "100000", "--checkpoint-every", "0.2"))
    for line in process.stderr:
        if " 1/" in line:
            break
    process.send_signal(signal.SIGSTOP)
    for name, args in (("resumed", ["train", "--resume", "hurt"]), ("begun", w.args("hurt"))):
        w.expect(tap, f"{w.stages}: a run in use is not {name} by another", args, CANNOT_CREATE,
                 err=f"in use by process {process.pid};" if name == "resumed" else "exists already")
    process.send_signal(signal.SIGCONT)
    process.kill()
    process.stderr.close()
    process.wait()
    tap.check("the dead process left its lock", w.path("hurt/.lock").read_text() == f"{process.pid}\n")
    w.expect(tap, f"{w.stages}: which holds nobody up", ["train", "--resume", "hurt", "--epochs", "2"], 0)
    w.drop("hurt")
    w.path("hurt").mkdir()
    w.path("hurt/.lock").write_text("1\n")
    problem = w.problem("hurt")
    tap.check(f"{w.stages}: a folder whose process died before it was a run is begun again", not problem, problem)
    for name, lock in (("weights/best.safetensors", True), ("checkpoints/checkpoint-0000000001/state.json", True), ("labels.txt", False),
                       ("weights-of-before/best.safetensors", True)):
        w.drop("kept")
        w.path(f"kept/{name}").parent.mkdir(parents=True)
        w.path(f"kept/{name}").write_text("all that is left")
        if lock:
            w.path("kept/.lock").write_text("1\n")
        w.expect(tap, f"{w.stages}: a folder with {name} is no such one", w.args("kept"), CANNOT_CREATE, err="exists already")
        tap.check(f"{w.stages}: and stays as it is", w.path(f"kept/{name}").read_text() == "all that is left")


def test_clock(tap, w):
    """The day's clock jumps to and fro: checkpoints keep their rhythm and no time is negative."""
    if not FAKETIME.exists():
        tap.skip("jumps of the clock", "libfaketime is not here")
        return
    stamp, every = w.path("clock"), 0.25
    stamp.write_text("+0\n")
    env = {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(stamp), "FAKETIME_NO_CACHE": "1",
           "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}
    (stamp.parent / "far").write_text("+3000d\n")
    far = subprocess.run([sys.executable, "-c", "import time; print(time.time(), time.monotonic())"], capture_output=True,
                         env={**os.environ, **env, "FAKETIME_TIMESTAMP_FILE": str(stamp.parent / "far")}, text=True)
    day, steady = map(float, far.stdout.split())
    tap.check("the clock can be made to jump, and the steady one stays", day > time.time() + 1e8 and
              abs(steady - time.monotonic()) < 60, far)
    process = w.start(w.args("hurt", "--epochs", "100000", "--checkpoint-every", every, "--keep", "1000"), env)
    for line in process.stderr:
        if " 1/" in line:
            break
    start = time.monotonic()
    for jump in ("+3000d", "-3000d", "+0", "-9999d"):
        stamp.write_text(f"{jump}\n")
        time.sleep(0.75)
    took = time.monotonic() - start
    process.send_signal(signal.SIGINT)
    for _ in process.stderr:
        pass
    process.stderr.close()
    tap.check(f"{w.stages}: a run whose clock jumps is stopped as ever", process.wait() == STOPPED)
    times = [float(row["time"]) for row in rows(w.path("hurt/results.csv"))]
    rates = [float(row[name]) for row in rows(w.path("hurt/results.csv")) for name in ("img_s", "data_pct")]
    tap.check(f"{w.stages}: times rise, rates are no less than 0", times == sorted(times) and times[0] >= 0 and
              times[-1] < took + 30 and min(rates) >= 0, (times[:3], times[-3:], min(rates)))
    count = len(list(w.path("hurt/checkpoints").iterdir()))
    tap.check(f"{w.stages}: checkpoints keep their rhythm", took / every / 3 < count < took / every + 5, (count, took))
    w.drop("hurt")


def test_numbers(tap, w):
    """A learning rate that no training survives: the classifier with a hidden layer overflows in its second step, the
    linear one's weights in its first."""
    for head, lr in (("1024", "1e30"), ("linear", "1e39")):
        w.drop("hurt")
        done = w.expect(tap, f"--lr {lr} with the classifier {head}", w.args("hurt", "--head", head, "--lr", f"1e-3,{lr}"),
                        BAD_DATA, err=["training has come apart", "lower learning rate"])
        step = re.search(r"at step (\d+)|after step (\d+)", done.err)
        tap.check("it stops within two steps of the stage", step and int(step.group(1) or step.group(2)) <= 2, done.err)
        kept = list(w.path("hurt/checkpoints").iterdir())
        tap.check("the checkpoint of the stage before is kept", len(kept) == 1, kept)
        again = w.run(["train", "--resume", "hurt"])
        tap.check("which is sound", again.code == BAD_DATA and "training has come apart" in again.err and
                  "passed over" not in again.err, again)
    w.drop("hurt")


def test_statistics(tap, w):
    """Numbers that only use meets end the run, and no checkpoint has them: statistics beyond f32, and a validation without a
    number behind the only step of an epoch."""
    thawed = w.stages.rsplit(",", 1)[0] + ",block14+:3@1e6/train"
    for stages, batch, words in ((thawed, 50, "the numbers of layer block14"),
                                 ("head:1@1e-3,head:2@1e38", 200, "the validation loss is no number")):
        w.drop("hurt")
        w.expect(tap, f"--stages {stages}", [*w.args("hurt")[:-4], "-b", batch, "--stages", stages, "-o", "hurt"], BAD_DATA,
                 err=["training has come apart", words])
        kept = list(w.path("hurt/checkpoints").iterdir())
        tap.check("the checkpoint of the stage before is kept", len(kept) == 1, kept)
    w.drop("hurt")


def test_more_epochs(tap, w):
    short = re.sub(r":\d+(@[^,]*)$", r":1\1", w.stages)
    w.drop("hurt")
    w.expect(tap, f"{short}: a finished run", [*w.args("hurt")[:-4], "--stages", short, "-o", "hurt"], 0)
    problem = w.problem("hurt", "--epochs", "2")
    tap.check(f"{w.stages}: goes on with more epochs as one that had them from the start", not problem, problem)
    w.expect(tap, f"{short}: again", [*w.args("hurt")[:-4], "--stages", short, "-o", "hurt"], 0)
    code, text = w.stop_when(["train", "--resume", "hurt", "--epochs", "100000", "--checkpoint-every", "0"], " 2/",
                             signal.SIGKILL)
    tap.check("killed among its new epochs", code == -SIGKILL, text)
    done = w.stop_when(["train", "--resume", "hurt"], "/100000 ")
    tap.check("it remembers how many there are", done[0] == STOPPED and "/100000 " in done[1], done)
    w.drop("hurt")


def main():
    tap = Tap()
    with Workshop() as w:
        for stages in STAGES:
            w.plain(stages)
            for test in (test_damage, test_environment, test_lock, test_clock, test_numbers, test_statistics, test_more_epochs):
                test(tap, w)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
