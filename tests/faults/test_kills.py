"""test_kills.py: marque train killed where a run stands on the edge of a change on disk: each kind of call on each
kind of file, with the features cached and while they are computed. However it ends,
the run goes on to the bytes of one that nothing disturbed. (test_checkpoints.py is the one that leaves no call out.)"""
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from inject import available, spoil, trace  # noqa: E402
from runner import part_of  # noqa: E402
from tap import Tap  # noqa: E402
from workshop import Workshop  # noqa: E402

KILLED = 137
# What a kill before an opening or a sync leaves, a kill before the next of these leaves as well.
MAKES = ("write", "pwrite64", "rename", "unlink", "mkdir", "ftruncate")
ENDS = ("write", "rename", "pwrite64")
EVERY_BATCH = ["--checkpoint-every", "0"]


def kind(call):
    """The call and the file it changes, numbers left out; None for calls that change nothing of a run."""
    paths = re.findall(r'[<"]((?:[^<>"]*/)?(?:hurt|features)/[^<>"]*)[>"]', call.text)
    return (call.name, re.sub(r"features/\w+|\d+", "N", paths[0])) if paths and call.name in MAKES else None


def edges(calls):
    """The first of each kind, and the last of those that make what is under a final name, in order."""
    kinds = {}
    for call in calls:
        if kind(call):
            kinds.setdefault(kind(call), []).append(call)
    chosen = {id(c): c for same in kinds.values() for c in (same[0], same[-1 if same[0].name in ENDS else 0])}
    return [c for c in calls if id(c) in chosen]


def sweep(tap, w, name, calls, prepare):
    bad = []
    for call in part_of(calls):
        prepare()
        w.drop("hurt")
        done = spoil(call, "signal=KILL", w.line(w.args("hurt", *EVERY_BATCH)), w.folder, w.environment(None))
        problem = w.problem("hurt") if done.code == KILLED else f"exit code {done.code}, not killed: {done.err[-300:]}"
        if problem:
            bad.append(f"{call}: {problem}")
    tap.check(f"{w.stages}: killed at {len(part_of(calls))} of {len(calls)} calls {name}", calls and not bad, "\n".join(bad))


def test_kills(tap, w):
    w.drop("hurt")
    calls = edges(trace(w.line(w.args("hurt", *EVERY_BATCH)), w.folder, w.environment(None)))
    files = {kind(c)[1].rsplit("/", 1)[-1] for c in calls}
    tap.check(f"{w.stages}: checkpoints, results and models are among the files",
              {"results.csv.tmp-N", "best.safetensors.tmp-N", "last.safetensors.tmp-N", "config.json.tmp-N",
               "checkpoint-N.safetensors.tmp-N"} <= files, files)
    problem = w.problem("hurt")
    tap.check(f"{w.stages}: a checkpoint after each batch changes nothing", not problem, problem)
    sweep(tap, w, "that change the run", [c for c in calls if "/cache/" not in kind(c)[1]], lambda: None)
    w.drop("hurt")
    w.drop_cache()
    calls = [c for c in edges(trace(w.line(w.args("hurt")), w.folder, w.environment(None)))
             if "/cache/" in kind(c)[1]]
    sweep(tap, w, "that change the cache", calls, w.drop_cache)


def main():
    tap = Tap()
    if not available():
        tap.skip("runs killed at system calls", "strace cannot trace here")
        return tap.done()
    with Workshop() as w:
        w.plain("head:1@1e-3,block14+:1@1e-4")  # each call takes a run: both kinds of stages, as short as can be
        test_kills(tap, w)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
