"""test_disk.py: no space and failing disks under marque train: it goes on, or ends with one sentence and 74; nothing
older is damaged, and with space again it goes on to the bytes of a run that nothing disturbed."""
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from inject import available, files, spoil, trace  # noqa: E402
from pictures import png, write_classes  # noqa: E402
from runner import part_of  # noqa: E402
from tap import Tap  # noqa: E402
from workshop import STAGES, Workshop, root  # noqa: E402

IO = 74
EVERY_BATCH = ["--checkpoint-every", "0"]
# (without a cache, call, what its path ends with, which of them: an index or a share, may the run go on)
PLACES = [(False, "write", r"config\.json\.tmp", 0, False), (False, "mkdir", r"hurt/checkpoints", 0, False),
          (False, "write", r"checkpoint-\d+\.\w+\.tmp", 0.5, True), (False, "fsync", r"checkpoint-\d+\.\w+\.tmp", -1, False),
          (False, "close", r"checkpoint-\d+\.\w+\.tmp", 0.5, True), (False, "rename", r"checkpoint-\d+", 0.5, True),
          (False, "write", r"results\.csv\.tmp", 0.5, False), (False, "rename", r"results\.csv", -1, False),
          (False, "write", r"last\.safetensors\.tmp", 0.5, False), (False, "fsync", r"best\.safetensors\.tmp", 0, True),
          (False, "rename", r"best\.safetensors", -1, False), (True, "openat", r"features\.bin.*O_CREAT", 0, False),
          (True, "write", r"meta\.json\.tmp", 0, False), (True, "pwrite64", r"features\.bin", 0, False),
          (True, "pwrite64", r"features\.bin", 1, False), (True, "fdatasync", r"features\.bin", 0, False)]
# A checkpoint of the linear classifier has 100 kB, one of a thawed block 14 has 122 MB, a model 84 MB.
TOO_SMALL = {STAGES[0]: [("the first checkpoint", "64k", "checkpoint"), ("the models", "8m", "safetensors")],
             STAGES[1]: [("a thawed stage", "150m", "safetensors")]}
LARGE = "1200m"


def one_sentence(text):
    """Whether the error is told once, names a file and a reason."""
    told = re.findall(r"^marque: .*$", text, re.M)
    return len(told) == 1 and re.search(r"\S+: .*(No space left|Input/output error|File too large)", told[0])


def problem_at(w, call, error, args, may_go_on):
    done = spoil(call, f"error={error}", w.line(args), w.folder, w.environment(None))
    if "INJECTED" not in done.log:
        return "the call was not met"
    if done.code == 0 and may_go_on:
        if "training goes on" not in done.err:
            return f"no warning: {done.err}"
    elif done.code != IO or not one_sentence(done.err):
        return f"exit code {done.code}: {done.err[-500:]}"
    return w.problem("hurt")


def begin(w, cold):
    w.drop("hurt")
    if cold:
        w.drop_cache()


def test_failing_calls(tap, w):
    args, calls, bad, chosen = w.args("hurt", *EVERY_BATCH), {}, [], part_of(list(enumerate(PLACES)))
    for number, (cold, kind, path, at, may_go_on) in chosen:
        begin(w, cold)
        if cold not in calls:
            calls[cold] = trace(w.line(args), w.folder, w.environment(None))
            begin(w, cold)
        same = [c for c in calls[cold] if c.name == kind and re.search(path, c.text)]
        if not same:
            bad.append(f"no {kind} of {path}")
            continue
        error = ("ENOSPC", "EIO")[number % 2]
        call = same[int(len(same) * at) if isinstance(at, float) else at]
        problem = problem_at(w, call, error, args, may_go_on)
        if problem:
            bad.append(f"{error} at {call}: {problem}")
    tap.check(f"{w.stages}: {len(chosen)} of {len(PLACES)} failing calls", chosen and not bad, "\n".join(bad))
    w.drop("hurt")


class Disk:
    """A file system of its own on a folder."""

    def __init__(self, folder, size):
        self.folder = folder
        folder.mkdir()
        self.mounted = root() and self._mount(f"size={size}", "tmpfs", "-t", "tmpfs")

    def _mount(self, options, *words):
        return subprocess.run(["mount", "-o", options, *words, str(self.folder)], capture_output=True).returncode == 0

    def grow(self, size):
        return self._mount(f"remount,size={size}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.mounted:
            subprocess.run(["umount", str(self.folder)], check=True)


def test_full_disk(tap, w):
    """A file system that is really full."""
    for what, size, words in TOO_SMALL[w.stages]:
        with Disk(w.folder / "disk", size) as disk:
            if not disk.mounted:
                tap.skip(f"a disk too small for {what}", "no file system can be mounted here")
                disk.folder.rmdir()
                continue
            done = w.run(w.args("disk/hurt", *EVERY_BATCH))
            tap.check(f"{w.stages}: a disk too small for {what}: 74, one sentence and the way on", done.code == IO and
                      one_sentence(done.err) and words in done.err and "--resume disk/hurt" in done.err, done)
            before = files(w.path("disk/hurt"))
            again = w.run(["train", "--resume", "disk/hurt"])
            tap.check("it stays so while the disk is full", again.code == IO and one_sentence(again.err), again)
            now = files(w.path("disk/hurt"))
            kept = [name for name in before if name.startswith("checkpoints/")]
            tap.check("and no checkpoint is lost", kept == [n for n in now if n.startswith("checkpoints/")] and not any(
                ".tmp-" in name for name in now), (sorted(before), sorted(now)))
            disk.grow(LARGE)
            problem = w.problem("disk/hurt")
            tap.check(f"{w.stages}: with space again it ends as it should", not problem, problem)
        disk.folder.rmdir()


def test_limit(tap, w):
    """A limit on the size of files (ulimit -f) is a failing write, too, and no signal that ends the run."""
    w.drop("hurt")
    done = w.run(w.args("hurt", *EVERY_BATCH), preexec=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 20, 64 << 20)))
    tap.check(f"{w.stages}: files that may not grow: 74, one sentence and the way on", done.code == IO and
              one_sentence(done.err) and "--resume hurt" in done.err, done)
    problem = w.problem("hurt")
    tap.check(f"{w.stages}: without the limit it ends as it should", not problem, problem)


def cache_on(disk, w):
    """What makes the disk the place of a cache, which has the weights."""
    (disk.folder / "marque").mkdir()
    (disk.folder / "marque/weights").symlink_to((w.cache / "marque/weights").resolve())
    return {"XDG_CACHE_HOME": str(disk.folder)}


def test_full_cache(tap, w):
    with Disk(w.folder / "small", "1m") as disk:
        if not disk.mounted:
            tap.skip("a disk too small for the cache", "no file system can be mounted here")
            return
        place = cache_on(disk, w)
        w.drop("hurt")
        done = w.run(w.args("hurt"), env=place)
        tap.check("a disk too small for the features is told before the run begins", done.code == IO and
                  "--cache off" in done.err and not w.path("hurt").exists(), done)
        done = w.run(w.args("hurt", "--cache", "off"), env=place)
        problem = "" if done.code == 0 and w.result("hurt") == w.wanted else done
        tap.check("and without a cache it trains to the same bytes", not problem, problem)
        w.drop("hurt")
    with Disk(w.folder / "roomy", "14m") as disk:
        place = cache_on(disk, w)
        for name in ("a disk with room for the features", "what is there already needs no room again"):
            done = w.run(w.args("hurt"), env=place)
            problem = "" if done.code == 0 and w.result("hurt") == w.wanted else done
            tap.check(name, not problem, problem)
            w.drop("hurt")


def test_update(tap, w):
    """The disk fails when the old files of a data set have begun to go: the new ones are kept, and get their place."""
    source, update = w.folder / "growing", ["import", "growing", "-o", "changed.mq", "--update"]
    write_classes(source, classes=3, each=40)
    w.run(update[:-1])
    (source / "class-0/new.png").write_bytes(png(24, 24, seed=99))
    shutil.copytree(w.path("changed.mq"), w.path("before.mq"))
    calls = trace(w.line(update), w.folder, w.environment(None), ("unlink",))
    shutil.rmtree(w.path("changed.mq"))
    w.path("before.mq").rename(w.path("changed.mq"))
    call = next((c for c in calls if c.name == "unlink" and re.search(r"changed\.mq/train-\S+\.tfrecord", c.text)), None)
    done = call and spoil(call, "error=EIO", w.line(update), w.folder, w.environment(None))
    kept = w.path("changed.mq/.import.tmp/dataset.json").exists()
    tap.check("a data set whose old files cannot go keeps its new ones", done and done.code == IO and kept, (call, done))
    again = w.run(update)
    sound = w.run(["inspect", "changed.mq"])
    tap.check("and the next update ends the exchange", again.code == 0 and "is now complete" in again.err and
              "121 pictures keep their split" in again.out and sound.code == 0, (again, sound))


def main():
    tap = Tap()
    with Workshop() as w:
        for stages in STAGES:
            w.plain(stages)
            test_full_disk(tap, w)
            test_limit(tap, w)
        test_full_cache(tap, w)
        # Each call takes a run: only the last row, which has all kinds of stages.
        if available():
            test_update(tap, w)
            test_failing_calls(tap, w)
        else:
            tap.skip(f"{w.stages}: failing calls", "strace cannot trace here")
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
