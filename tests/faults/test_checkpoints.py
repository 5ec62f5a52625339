"""test_checkpoints.py: checkpoints under fire, by a program that does nothing else: killed before every system call it
makes, and each of these calls failing. What was told as saved is there, and the run ends with the same bytes."""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from inject import available, files, spoil, trace  # noqa: E402
from marque import ROOT  # noqa: E402
from tap import Tap  # noqa: E402

STEPS, KEEP = 4, 2
IO, BAD_DATA = 74, 65


def probe():
    program = os.environ.get("MARQUE_BIN") or ROOT / "build/release/marque"
    return Path(program).resolve().parent / "tests/checkpoint_probe"


class Probe:
    def __init__(self, folder):
        self.folder = folder / "checkpoints"
        self.run_line = [probe(), "run", self.folder, STEPS, KEEP]
        self.fresh()

    def fresh(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()

    def ask(self, *words):
        return subprocess.run([*map(str, [probe(), *words])], capture_output=True, text=True)

    def newest(self):
        """Steps of the newest sound checkpoint, or the message."""
        done = self.ask("open", self.folder)
        return int(done.stdout) if done.returncode == 0 else done.stderr

    def problem_after(self, done, wanted, codes):
        """What is wrong once a run was spoilt, or None: it must go on from what it said was saved to the wanted end."""
        said = [int(line.split()[1]) for line in done.out.splitlines() if line.startswith("saved ")]
        if done.code not in codes:
            return f"exit code {done.code}: {done.err}"
        newest = self.newest()
        if not isinstance(newest, int) or newest < max(said, default=0):
            return f"said {said}, found {newest}"
        again = self.ask(*self.run_line[1:])
        if again.returncode != 0:
            return f"does not go on: {again.stderr}"
        # A save that failed leaves a gap, and a kill before the last removal one checkpoint more than asked for.
        left = files(self.folder)
        last = max(wanted)
        if left.get(last) != wanted[last] or len(left) > KEEP + 1 or any(".tmp-" in name for name in left):
            return f"other files at the end: {sorted(left)}"
        return None


def sweep(tap, p, wanted, calls, how, codes):
    """Spoils each call in its turn; one check for all, which names those that did harm."""
    bad, met = [], 0
    for call in calls:
        p.fresh()
        done = spoil(call, how, p.run_line, p.folder.parent, dict(os.environ))
        met += done.code == 137 or "INJECTED" in done.log
        problem = p.problem_after(done, wanted, codes)
        if problem:
            bad.append(f"{call}: {problem}")
    tap.check(f"{how} at each of {len(calls)} system calls: nothing is lost", not bad and met == len(calls),
              "\n".join([f"{met} calls were met", *bad]))


def test_every_call(tap, p):
    done = p.ask(*p.run_line[1:])
    wanted = files(p.folder)
    names = [f"checkpoint-{n:010}.safetensors" for n in (STEPS - 1, STEPS)]
    tap.check("a run keeps its last checkpoints", done.returncode == 0 and sorted(wanted) == names, sorted(wanted))
    if not available():
        tap.skip("killed and failing at each system call", "strace cannot trace here")
        return
    p.fresh()
    calls = [c for c in trace(p.run_line, p.folder.parent, dict(os.environ)) if str(p.folder) in c.text]
    # Four saves of some twenty calls; were they not seen, nothing would be tested.
    enough = {name: sum(c.name == name for c in calls) for name in ("rename", "fsync", "write", "unlink")}
    tap.check("all saves are seen", enough["rename"] == STEPS and enough["fsync"] == 2 * STEPS and
              enough["write"] >= 3 * STEPS and enough["unlink"] >= STEPS - KEEP, enough)
    sweep(tap, p, wanted, calls, "signal=KILL", (137,))
    for error in ("ENOSPC", "EIO"):
        sweep(tap, p, wanted, calls, f"error={error}", (0, IO))
    renames = [c for c in calls if c.name == "rename"]
    sweep(tap, p, wanted, [c for c in calls if c.name in ("write", "fsync", "rename")], "error=ENOSPC+", (IO,))
    p.fresh()
    left = spoil(renames[1], "signal=KILL", p.run_line, p.folder.parent, dict(os.environ))
    tap.check("a killed save leaves a temporary file", left.code == 137 and any(".tmp-" in f for f in files(p.folder)))
    p.newest()
    tap.check("which the next opening removes", not any(".tmp-" in f for f in files(p.folder)), sorted(files(p.folder)))


def test_unreadable(tap, p):
    """A folder that cannot be read is an error, not the beginning of a run."""
    p.fresh()
    p.ask(*p.run_line[1:])
    before = files(p.folder)
    if not available():
        tap.skip("a folder that cannot be read", "strace cannot trace here")
        return
    calls = [c for c in trace([probe(), "open", p.folder], p.folder.parent, dict(os.environ)) if str(p.folder) in c.text]
    # The first opening of the folder looks for temporary files, the second for checkpoints.
    wanted = [[c for c in calls if c.name == name][at] for name, at in (("openat", 1), ("getdents64", 2))]
    for call in wanted:
        done = spoil(call, "error=EIO", p.run_line, p.folder.parent, dict(os.environ))
        tap.check(f"{call.name} of the folder fails: the run does not begin anew", done.code == IO and
                  "checkpoints: " in done.err and "saved" not in done.out and files(p.folder) == before, done)


def test_damage(tap, p):
    p.fresh()
    p.ask(*p.run_line[1:])
    sound = files(p.folder)
    for name in sound:
        (p.folder / name).write_bytes(b"")
    done = p.ask(*p.run_line[1:])
    tap.check("all damaged: a clear sentence, and nothing is begun", done.returncode == BAD_DATA and
              "none of its 2 checkpoints is sound" in done.stderr and "saved" not in done.stdout, done)
    for name, content in sound.items():
        (p.folder / name).write_bytes(content)
    tap.check("and a copy put back helps", p.newest() == STEPS)


def main():
    tap = Tap()
    place = tempfile.mkdtemp(prefix="marque-faults-")
    try:
        p = Probe(Path(place))
        test_every_call(tap, p)
        test_unreadable(tap, p)
        test_damage(tap, p)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
