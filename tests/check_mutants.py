"""check_mutants.py: that every fault of mutants/table.py can be planted in the sources as they stand. Prints TAP.

The whole test plants a tenth of them; this finds at once the ones a change of the sources left without their place.
"""
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "mutants"))

from mutants import misplaced  # noqa: E402
from source import ROOT, read  # noqa: E402
from table import MUTANTS  # noqa: E402
from tap import Tap  # noqa: E402


def exists(test):
    return (ROOT / "tests" / test if test.endswith(".py") else ROOT / "tests/unit" / f"{test}.c").is_file()


def main():
    tap = Tap()
    once = ("fault", "a.c", "two", "2", ["test_base"])
    for name, text, good in (("its place", "one two", True), ("no place", "one", False), ("two places", "two two", False)):
        tap.check(f"a fault with {name}", (not misplaced(once, text)) == good)
    tap.check("a fault that changes nothing", misplaced(("fault", "a.c", "two", "two", []), "two"))
    wrong = [f"{m[0]}: {why}" for m in MUTANTS
             if (why := misplaced(m, read(m[1]) if (ROOT / m[1]).is_file() else ""))]
    tap.check("every fault has its one place", not wrong, "\n".join(wrong))
    missing = [f"{m[0]}: {test}" for m in MUTANTS for test in m[4] if not exists(test)]
    tap.check("every fault names tests there are", not missing, "\n".join(missing))
    names = [re.sub(r"\W+", " ", m[0]) for m in MUTANTS]
    tap.check("every fault has a name of its own", len(set(names)) == len(names))
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
