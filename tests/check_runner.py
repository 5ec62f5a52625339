"""check_runner.py: that the counting of results can go red. Prints TAP."""
import os
import signal
import sys

from runner import Result, count_tap, part_of, run_program, run_tap
from tap import Tap

CASES = [
    # name, output, exit code, (passed, failed, skipped)
    ("two good tests", "1..2\nok 1 - a\nok 2 - b\n", 0, (2, 0, 0)),
    ("a failure", "1..2\nok 1 - a\nnot ok 2 - b\n", 1, (1, 1, 0)),
    ("a failure and exit code 0", "1..1\nnot ok 1 - a\n", 0, (0, 1, 0)),
    ("two groups of cmocka", "1..1\nok 1 - a\n# ok - tests\n1..1\nok 1 - b\n# ok - tests\n", 0, (2, 0, 0)),
    ("a skip", "1..2\nok 1 - a # SKIP no picture\nok 2 - b\n", 0, (1, 0, 1)),
    ("cmocka's skip", "1..1\nnot ok 1 # SKIP test_a\n", 0, (0, 0, 1)),
    ("no test", "1..0\n", 0, (0, 1, 0)),
    ("no output", "", 0, (0, 1, 0)),
    ("an end in the middle", "1..3\nok 1 - a\n", 0, (1, 1, 0)),
    ("no plan", "ok 1 - a\n", 0, (1, 1, 0)),
    ("an exit code without a failure", "1..1\nok 1 - a\n", 99, (1, 1, 0)),
    ("a signal", "1..1\nok 1 - a\n", -signal.SIGSEGV, (1, 1, 0)),
    ("the time limit", "1..1\nok 1 - a\n", None, (1, 1, 0)),
    ("the word ok in a sentence", "1..1\nokay then\nok 1 - a\n", 0, (1, 0, 0)),
]


def main():
    tap = Tap()
    for name, output, code, wanted in CASES:
        r = count_tap(Result("x"), output, code)
        tap.check(f"counting {name}", (r.passed, r.failed, r.skipped) == wanted, (r.passed, r.failed, r.skipped))
    r = run_tap("x", [sys.executable, "-c", "import time; print('1..1\\nok 1 - a', flush=True); time.sleep(60)"], None, 1)
    tap.check("a program is ended at its time limit", r.failed == 1 and r.seconds < 10, r)
    output, code = run_program([sys.executable, "-c", "import sys; print(repr(sys.stdin.read()))"])
    tap.check("programs have an empty stdin", code == 0 and output == "''\n", output)
    child = "import os, time; print(os.getpid(), flush=True); os.fork() or time.sleep(60); time.sleep(60)"
    output, code = run_program([sys.executable, "-c", child], timeout=1)
    try:
        os.kill(int(output), 0)
        gone = False
    except ProcessLookupError:
        gone = True
    tap.check("its children end with it", code is None and gone)
    parts = []
    for which in (1, 2, 3):
        os.environ["MARQUE_PART"] = f"{which}/3"
        parts.append(part_of(list(range(8))))
    del os.environ["MARQUE_PART"]
    tap.check("three parts are the whole", parts == [[0, 3, 6], [1, 4, 7], [2, 5]] and part_of("all") == "all", parts)
    chatter = "import time; print('one\\ntwo', flush=True); time.sleep(60)"
    r = run_tap("x", [sys.executable, "-c", chatter], enough=lambda line: line == "two\n")
    tap.check("one that has said enough is ended", r.output.startswith("one\ntwo\n") and r.failed == 1 and r.seconds < 10, r)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
