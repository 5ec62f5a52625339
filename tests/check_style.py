"""check_style.py: the budgets and the manners of the house. Prints TAP; scripts/test runs it first.

Each rule is a function from (file name, text) to a list of complaints, and each is shown to go red on a planted
violation in the same run (PLANTED below).
"""
import re
import shutil
import subprocess
import sys
import unicodedata

from source import ROOT, c_files, comment_lines, functions, read, strip_comments, tracked_files
from tap import Tap

FILE_LINES, FUNCTION_LINES, MOST_LINES, PARAMETERS, HEADER_LINES = 600, 100, 40, 6, 450
COMMENT_SHARE = (0.10, 0.18)
# All the environment variables marque reads; a library below it may know more of its own.
ENVIRONMENT = ("HOME", "XDG_CACHE_HOME", "TERM", "SSL_CERT_FILE", "OMP_WAIT_POLICY")
ENVIRONMENT_MOST = 6
SHOWN = 40
# Files made by scripts or made to be wrong.
DATA = ("tests/data/", "tests/golden/", "tests/fuzz/corpus/")
MAY_PRINT = ("src/cli/", "src/convert/", "src/unpack/", "src/pictures/", "tests/")
PRINTING = re.compile(r"\b(printf|fprintf|vprintf|vfprintf|puts|fputs|putchar|perror|_?exit|abort|assert)\s*\(")
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]) + r")\b")
# Assembled here so that this file does not name them itself.
PLACES = re.compile("|".join(re.escape(a + b) for a, b in [
    ("/wo", "rk/"), ("../sha", "red"), ("pypi", ".org"), ("python", "hosted.org"), ("npmjs", ".org"),
    ("crates", ".io"), ("proxy.go", "lang.org"), ("ana", "conda.org"), ("deb.deb", "ian.org")]))
MAY_NAME_PLACES = (".ci/run",)


def at(name, line, what):
    return f"{name}:{line}: {what}"


def matching(name, text, pattern, what):
    return [at(name, number, what) for number, line in enumerate(text.split("\n"), 1) if pattern.search(line)]


def file_length(name, text):
    limit = HEADER_LINES if name == "include/marque.h" else FILE_LINES
    lines = text.count("\n")
    return [f"{name}: {lines} lines, at most {limit}"] if lines > limit else []


def function_length(name, text):
    return [at(name, line, f"{function} has {length} lines, at most {FUNCTION_LINES}")
            for function, line, length, _ in functions(text) if length > FUNCTION_LINES]


def parameter_count(name, text):
    return [at(name, line, f"{function} has {count} parameters, at most {PARAMETERS}")
            for function, line, _, count in functions(text) if count > PARAMETERS]


def blanks(name, text):
    found = matching(name, text, re.compile(r"\t"), "a tab") if not name.endswith("Makefile") else []
    found += matching(name, text, re.compile(r"[ \t\r]$"), "blanks at the end of the line")
    if text and not text.endswith("\n"):
        found.append(f"{name}: no newline at the end")
    return found


def invisible(name, text):
    return [at(name, text.count("\n", 0, i) + 1, f"invisible character U+{ord(c):04X}") for i, c in enumerate(text)
            if ord(c) > 126 and unicodedata.category(c) in ("Cc", "Cf", "Zs", "Zl", "Zp", "Cs", "Co")]


def printing(name, text):
    if name.startswith(MAY_PRINT):
        return []
    return matching(name, strip_comments(text), PRINTING, "prints or ends the process: only src/cli may")


def environment(name, text):
    if name.startswith("tests/"):
        return []
    code = strip_comments(text, strings=False)
    found = [at(name, code.count("\n", 0, m.start()) + 1, f"reads {m.group(1)} from the environment")
             for m in re.finditer(r"\bgetenv\s*\(([^)]*)\)", code) if m.group(1).strip('"') not in ENVIRONMENT]
    return found


def unfinished(name, text):
    return matching(name, text, UNFINISHED, "unfinished")


def opening(name, text):
    return [] if not name.endswith(".c") or text.startswith("/*") else [f"{name}: does not open with a comment"]


def fast_math(name, text):
    return matching(name, text, re.compile("-ffast" + "-math|-Of" + "ast"), "changes what sums mean")


def places(name, text):
    return [] if name in MAY_NAME_PLACES else matching(name, text, PLACES, "names a place outside the project")


C_RULES = [file_length, function_length, parameter_count, printing, environment, opening]
TEXT_RULES = [blanks, invisible, unfinished, fast_math, places]
LONG = "static void f(void) {\n" + "    g();\n" * 99 + "}\n"
PLANTED = {
    file_length: ("src/base/a.c", "\n" * 601),
    function_length: ("src/base/a.c", LONG),
    parameter_count: ("src/base/a.c", "int f(int a, int b, int c, int d, int (*e)(int, int), int g,\n      int h) {\n}\n"),
    printing: ("src/base/a.c", 'void f(void) {\n    printf("x");\n}\n'),
    environment: ("src/base/a.c", 'const char *x = getenv("SURPRISE");\n'),
    opening: ("src/base/a.c", "int a;\n"),
    blanks: ("README.md", "a \n"),
    invisible: ("README.md", "a" + chr(0x200B) + "b\n"),
    unfinished: ("README.md", "a " + "TO" + "DO\n"),
    fast_math: ("CMakeLists.txt", "-ffast" + "-math\n"),
    places: ("README.md", "see /wo" + "rk/x\n"),
}
INNOCENT = ('/* a.c: printf( in a comment is no call. */\nint f(int (*g)(int, int), int a) {\n'
            '    return snprintf(b, c, "exit(1) %d", g(a, a));\n}\n')


def check_rule(tap, rule, files):
    found = [complaint for name in files for complaint in rule(name, read(name))]
    tap.check(f"{rule.__name__} in {len(files)} files", not found, "\n".join(found[:SHOWN]))
    tap.check(f"{rule.__name__} can go red", rule(*PLANTED[rule]))
    tap.check(f"{rule.__name__} leaves good code alone", not rule("src/base/a.c", INNOCENT))


def check_figures(tap):
    sources = c_files("src", "include")
    lengths = sorted(f[2] for name in sources for f in functions(read(name)))
    ninth = lengths[int(len(lengths) * 0.9)]
    tap.check(f"nine in ten of {len(lengths)} functions are under {MOST_LINES} lines", ninth < MOST_LINES,
              f"nine in ten are under {ninth + 1}")
    tap.check("functions are found at all", len(lengths) > 3 * len([s for s in sources if s.endswith(".c")]))
    share = sum(comment_lines(read(n)) for n in sources) / sum(read(n).count("\n") for n in sources)
    tap.check(f"{100 * share:.1f} % of the lines bear a comment", COMMENT_SHARE[0] <= share <= COMMENT_SHARE[1],
              "the house wants {:.0%} to {:.0%}".format(*COMMENT_SHARE))
    read_names = {m for n in sources for m in re.findall(r'\bgetenv\s*\("(\w+)"', read(n))}
    tap.check("the environment's table is short and true", len(ENVIRONMENT) <= ENVIRONMENT_MOST and
              read_names == set(ENVIRONMENT), sorted(read_names ^ set(ENVIRONMENT)))


def check_format(tap):
    tool = shutil.which("clang-format")
    if not tool:
        tap.check("clang-format is installed", False, "sudo apt-get install clang-format")
        return
    files = [f for f in c_files("src", "include", "tests", "bench") if not f.startswith(DATA)]
    run = subprocess.run([tool, "--dry-run", "-Werror", *files], cwd=ROOT, capture_output=True, text=True)
    wrong = sorted({line.split(":")[0] for line in run.stderr.splitlines() if ": error:" in line})
    tap.check(f"{len(files)} files are formatted", run.returncode == 0,
              f"clang-format -i {' '.join(wrong)}" if wrong else run.stderr[-2000:])
    planted = subprocess.run([tool, "--dry-run", "-Werror", "--assume-filename=src/a.c"], cwd=ROOT, text=True,
                             input="int  a ;\n", capture_output=True)
    tap.check("formatting can go red", planted.returncode != 0)


def main():
    tap = Tap()
    sources = c_files("src", "include", "tests", "bench")
    texts = [n for n in tracked_files() if b"\0" not in (ROOT / n).read_bytes()]
    prose = [n for n in texts if n != "LICENSE" and (not n.startswith(DATA) or n.endswith((".py", ".c", ".h")))]
    for rule in C_RULES:
        check_rule(tap, rule, sources)
    for rule in TEXT_RULES:
        check_rule(tap, rule, texts if rule is places else prose)
    check_figures(tap)
    check_format(tap)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
