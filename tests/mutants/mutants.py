#!/usr/bin/env python3
"""mutants.py: plants each fault of table.py in a copy of the sources and wants a test to turn red. Prints TAP.

The copy is build/mutants/src; it is built once whole, where every named test must be green, then bit by bit. A fault
whose text is not there exactly once, or that does not compile, is a failure of the table.
Words on the command line choose the faults whose name holds one of them.
"""
import re
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from runner import ROOT, run_program, run_tap  # noqa: E402
from source import tracked_files  # noqa: E402
from table import MUTANTS  # noqa: E402
from tap import Tap  # noqa: E402

COPY, BUILD = ROOT / "build/mutants/src", ROOT / "build/mutants/build"
TIME_LIMIT = 60
# Scripts that need another program than marque.
PROBES = {"faults/test_checkpoints.py": ["checkpoint_probe"]}


def copy_sources():
    """The tree as it stands, except files that did not change: their time stamps keep the build small."""
    wanted = [f for f in tracked_files() if f.startswith(("src/", "include/", "tests/", "CMake", "cmake/"))]
    for old in COPY.rglob("*"):
        if old.is_file() and str(old.relative_to(COPY)) not in wanted:
            old.unlink()
    for name in wanted:
        target = COPY / name
        if not target.is_file() or target.read_bytes() != (ROOT / name).read_bytes():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)


def configure():
    return run_program(["cmake", "-S", COPY, "-B", BUILD, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
                        "-DCMAKE_C_FLAGS_RELWITHDEBINFO=-O1 -DNDEBUG", "-DMARQUE_TESTS=ON"])


def targets(tests):
    """What must be built for these tests."""
    wanted = []
    for test in tests:
        wanted += ["marque"] if test.startswith("cli/") else PROBES.get(test, [test])
        if test.startswith("cli/"):
            wanted += ["marque-convert", "marque-unpack", "marque-pictures"]
    return sorted(set(wanted))


def build(tests):
    return run_program(["cmake", "--build", BUILD, "-j", "2", "--target", *targets(tests)])


def run_test(test):
    if test.endswith(".py"):
        return run_tap(test, [sys.executable, COPY / "tests" / test], {"MARQUE_BIN": str(BUILD / "marque")}, TIME_LIMIT)
    return run_tap(test, [BUILD / "tests" / test], None, TIME_LIMIT)


def plant(tap, mutant, green):
    name, file, old, new, tests = mutant
    if not set(tests) <= green:
        tap.check(name, False, f"cannot be judged: of {' '.join(tests)} not all are green without a fault")
        return
    target = COPY / file
    text = target.read_text() if target.is_file() else ""
    if text.count(old) != 1 or old == new:
        tap.check(name, False, f"{file} holds the text {text.count(old)} times, wanted once: {old}")
        return
    target.write_text(text.replace(old, new))
    try:
        output, code = build(tests)
        if code != 0:
            tap.check(name, False, f"does not compile\n{output[-2000:]}")
            return
        results = [run_test(test) for test in tests]
        red = [r.name for r in results if r.failed]
        seconds = sum(r.seconds for r in results)
        tap.check(f"{name}: noticed by {' '.join(red)} in {seconds:.1f} s" if red else name, red,
                  f"{' '.join(tests)} stayed green")
    finally:
        target.write_text(text)


def main():
    words = sys.argv[1:]
    chosen = [m for m in MUTANTS if not words or any(w in m[0] for w in words)]
    tap = Tap()
    copy_sources()
    output, code = configure()
    every = sorted({test for m in chosen for test in m[4]})
    if code == 0:
        output, code = build(every)
    if not tap.check("the copy without a fault builds", code == 0, output[-3000:]):
        return tap.done()
    green = set()
    for test in every:
        result = run_test(test)
        if tap.check(f"{test} is green without a fault", not result.failed, result.output[-3000:]):
            green.add(test)
    for mutant in chosen:
        plant(tap, mutant, green)
    names = [re.sub(r"\W+", " ", m[0]) for m in MUTANTS]
    tap.check("every fault has a name of its own", len(set(names)) == len(names))
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
