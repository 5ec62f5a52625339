"""commalocale.py: a real locale with a decimal comma, built on the spot, for tests that numbers keep their point.

    comma = commalocale.build(folder)      # what to give as env
"""
import os
import subprocess
import sys

NAME = "de_DE.UTF-8"
ASK = "import locale; locale.setlocale(locale.LC_ALL, ''); print(locale.localeconv()['decimal_point'], end='')"


def build(folder):
    """Variables of the environment that make it the locale. RuntimeError where programs would not see it."""
    folder.mkdir()
    made = subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", folder / NAME], capture_output=True, text=True)
    # The C library itself keeps the parsed LOCPATH: that, and nothing else, the leak sanitizer lets pass. (Where the
    # library has all its symbols the name begins with two underscores.)
    known = folder / "leaks.txt"
    known.write_text("leak:argz_add_sep\n")
    env = {"LOCPATH": str(folder), "LC_ALL": NAME, "LSAN_OPTIONS": f"suppressions={known}:print_suppressions=0"}
    seen = subprocess.run([sys.executable, "-c", ASK], env={**os.environ, **env}, capture_output=True, text=True)
    if seen.stdout != ",":
        raise RuntimeError(f"no locale with a decimal comma (apt-get install locales): {made.stderr} {seen.stdout} {seen.stderr}")
    return env
