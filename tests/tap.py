"""tap.py: what every test written in Python reports with. One line for each check, the plan at the end.

    from tap import Tap
    tap = Tap()
    tap.check("two and two", 2 + 2 == 4, f"got {2 + 2}")
    sys.exit(tap.done())

A test asks sys.path for the folder tests/ first: sys.path.insert(0, str(Path(__file__).parents[1])).
"""


class Tap:
    def __init__(self):
        self.count = 0
        self.failed = 0

    def _line(self, good, text):
        self.count += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {' '.join(text.split())}", flush=True)

    def check(self, name, condition, detail=""):
        """One check; detail is shown only when it fails. Returns whether it held."""
        good = bool(condition)
        self._line(good, name.replace("#", ""))
        if not good and detail:
            for line in str(detail).splitlines():
                print(f"# {line}", flush=True)
        return good

    def skip(self, name, reason):
        """A check that cannot run here. A skip is counted and shown: it is not a pass."""
        self._line(True, f"{name.replace('#', '')} # SKIP {reason}")

    def done(self):
        """Prints the plan and returns the exit code. No check at all is a failure."""
        print(f"1..{self.count}", flush=True)
        return 1 if self.failed or not self.count else 0
