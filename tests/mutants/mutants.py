#!/usr/bin/env python3
"""mutants.py: plants each fault of table.py in a copy of the sources and wants a test to turn red. Prints TAP.

Copies are build/mutants/N/src, one for each processor, which share the work; each is built once whole, where every named
test must be green, then bit by bit. A fault whose text is not there exactly once, or that does not compile, is a failure
of the table.
Words on the command line choose the faults whose name holds one of them.
"""
import os
import queue
import re
import shutil
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from runner import COMPILED_ONCE, ROOT, part_of, run_program, run_tap, verdict  # noqa: E402
from source import tracked_files  # noqa: E402
from table import MUTANTS  # noqa: E402
from tap import Tap  # noqa: E402

FOLDER = ROOT / "build/mutants"
TIME_LIMIT = 400  # of a test without a fault, on a machine that is busy
FEW = 12  # faults that are not worth a second copy
# The kernels take half the time to compile at -O1; libraries are lists of their objects; gold links faster than ld.
BUILT_OFTEN = ["-DCMAKE_BUILD_TYPE=Mutants", "-DCMAKE_C_FLAGS_MUTANTS=-O1", "-DCMAKE_EXE_LINKER_FLAGS=-fuse-ld=gold",
               "-DCMAKE_C_ARCHIVE_CREATE=<CMAKE_AR> qcT <TARGET> <OBJECTS>"]
# Scripts that need another program than marque, or more.
PROBES = {"faults/test_checkpoints.py": ["checkpoint_probe"],
          "cli/test_truncated.py": ["prepare_probe", "example_probe"]}


def targets(tests):
    """What must be built for these tests."""
    wanted = []
    for test in tests:
        script = test.endswith(".py")
        wanted += PROBES.get(test, [] if script else [test])
        if script:
            wanted += ["marque", "marque-convert", "marque-unpack", "marque-pictures"]
    return sorted(set(wanted))


class Copy:
    """A copy of the sources and its build."""

    def __init__(self, index):
        self.source, self.folder = FOLDER / str(index) / "src", FOLDER / str(index) / "build"

    def refresh(self):
        """The tree as it stands, except files that did not change: their time stamps keep the build small."""
        wanted = [f for f in tracked_files() if f.startswith(("src/", "include/", "tests/", "CMake", "cmake/"))]
        for old in self.source.rglob("*"):
            if old.is_file() and str(old.relative_to(self.source)) not in wanted:
                old.unlink()
        for name in wanted:
            target = self.source / name
            if not target.is_file() or target.read_bytes() != (ROOT / name).read_bytes():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, target)

    def build(self, tests, jobs=1, env=None):
        return run_program(["cmake", "--build", self.folder, "-j", jobs, "--target", *targets(tests)], env, timeout=1200)

    def make(self, tests):
        """The whole of it; (output, exit code)."""
        self.refresh()
        output, code = run_program(["cmake", "-S", self.source, "-B", self.folder, "-G", "Ninja", "-DMARQUE_TESTS=ON",
                                    COMPILED_ONCE, *BUILT_OFTEN])
        return self.build(tests, len(os.sched_getaffinity(0))) if code == 0 else (output, code)

    def test(self, name, limit=TIME_LIMIT, enough=None):
        if name.endswith(".py"):
            return run_tap(name, [sys.executable, self.source / "tests" / name],
                           {"MARQUE_BIN": str(self.folder / "marque")}, limit, enough)
        return run_tap(name, [self.folder / "tests" / name], None, limit, enough)


def misplaced(mutant, text):
    """Why the fault cannot be planted in a file that holds this text; nothing where it can."""
    file, old, new = mutant[1:4]
    if old == new:
        return "changes nothing"
    return "" if text.count(old) == 1 else f"{file} holds the text {text.count(old)} times, wanted once: {old}"


def plant(copy, mutant, green):
    """(what to say, whether the fault was noticed, why not). green: seconds of each test that is green without a fault."""
    name, file, old, new, tests = mutant[:5]
    if not set(tests) <= set(green):
        return name, False, f"cannot be judged: of {' '.join(tests)} not all are green without a fault"
    target = copy.source / file
    text = target.read_text() if target.is_file() else ""
    if why := misplaced(mutant, text):
        return name, False, why
    target.write_text(text.replace(old, new))
    try:
        start = time.monotonic()
        output, code = copy.build(tests, env={"CCACHE_DISABLE": "1"})  # no two faults are alike
        if code != 0:
            return name, False, f"does not compile\n{output[-2000:]}"
        name, seconds = f"{name}: built in {time.monotonic() - start:.1f} s", 0.0
        for test in tests:
            result = copy.test(test, 15 + 5 * green[test], lambda line: verdict(line) == "fail")
            seconds += result.seconds
            if result.failed:
                return f"{name}, noticed by {test} in {seconds:.1f} s", True, ""
        return name, False, f"{' '.join(tests)} stayed green"
    finally:
        target.write_text(text)


def processor_has(features):
    """A feature behind a ! must be missing."""
    flags = Path("/proc/cpuinfo").read_text()
    return all(bool(re.search(rf"^flags\s*:.*\b(?:{feature.lstrip('!')})\b", flags, re.M)) != feature.startswith("!")
               for feature in features)


class Crew:
    """The copies; each does one piece of work at a time."""

    def __init__(self, count):
        self.count, self.free = count, queue.SimpleQueue()
        for index in range(count):
            self.free.put(Copy(index))

    def each(self, work, items, told):
        """told(item, work(copy, item)) for every item, one at a time, as they are done."""
        lock = threading.Lock()

        def one(item):
            copy = self.free.get()
            try:
                result = work(copy, item)
            finally:
                self.free.put(copy)
            with lock:
                told(item, result)
        with ThreadPoolExecutor(self.count) as pool:
            for done in [pool.submit(one, item) for item in items]:
                done.result()


def main():
    words = sys.argv[1:]
    chosen = [m for m in part_of(MUTANTS) if not words or any(w in m[0] for w in words)]
    tap, green = Tap(), {}
    for mutant in [m for m in chosen if not processor_has(m[5:])]:
        tap.skip(mutant[0], f"shows only where the processor has {mutant[5]}")
        chosen.remove(mutant)
    crew = Crew(1 if len(chosen) < FEW else len(os.sched_getaffinity(0)))
    every = sorted({test for m in chosen for test in m[4]})
    built = [Copy(index).make(every) for index in range(crew.count)]  # the first compiles, on all processors
    output, code = max(built, key=lambda result: result[1] != 0)
    if not tap.check("the copy without a fault builds", code == 0, output[-3000:]):
        return tap.done()

    def tested(test, result):
        if tap.check(f"{test} is green without a fault", not result.failed, result.output[-3000:]):
            green[test] = result.seconds
    crew.each(Copy.test, every, tested)
    groups = {}  # by file: a copy then builds each fault over the last one, not over the sound file
    for mutant in chosen:
        groups.setdefault(mutant[1], []).append(mutant)
    crew.each(lambda copy, group: [plant(copy, mutant, green) for mutant in group], sorted(groups.values(), key=len, reverse=True),
              lambda group, results: [tap.check(*result) for result in results])
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
