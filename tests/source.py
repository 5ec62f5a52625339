"""source.py: how the checks of the house read C: the files, code without comments and strings, functions."""
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
HEAD = re.compile(r"^(?!struct\b|enum\b|union\b|typedef\b|extern\b|#)[A-Za-z_].*\)\s*\{$", re.S)


def tracked_files():
    """Every file git knows or would add, as paths relative to the root."""
    out = subprocess.run(["git", "-c", f"safe.directory={ROOT}", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT,
                         check=True, capture_output=True).stdout.decode()
    return sorted({name for name in out.split("\0") if name and (ROOT / name).is_file()})


def c_files(*tops):
    """The .c and .h files under these folders, as paths relative to the root."""
    return [f for f in tracked_files() if f.endswith((".c", ".h")) and f.startswith(tuple(t + "/" for t in tops))]


def read(name):
    return (ROOT / name).read_text(encoding="utf-8", errors="surrogateescape")


def strip_comments(text, strings=True):
    """Code with comments (and what stands in strings) blanked, every line kept."""

    def blank(match):
        token = match.group()
        if token[0] == "/":
            return re.sub(r"[^\n]", " ", token)
        return token[0] + "-" * (len(token) - 2) + token[-1] if strings else token

    return TOKEN.sub(blank, text)


def comment_lines(text):
    """How many lines bear (a part of) a comment."""
    lines = set()
    for match in TOKEN.finditer(text):
        if match.group()[0] == "/":
            first = text.count("\n", 0, match.start())
            lines.update(range(first, first + match.group().count("\n") + 1))
    return len(lines)


def parameters(head):
    """How many parameters a function's head declares."""
    depth, count, last = 0, 1, head.rindex(")")
    for i in range(last, -1, -1):
        depth += (head[i] == ")") - (head[i] == "(")
        count += head[i] == "," and depth == 1
        if depth == 0:
            return 0 if head[i + 1:last].strip() in ("", "void") else count
    return count


def functions(text):
    """(name, first line, length, parameters) of each function defined in clang-formatted code."""
    found, head, start = [], [], None
    name = count = None
    for number, line in enumerate(strip_comments(text).split("\n"), 1):
        if start is not None:
            if line.startswith("}"):
                found.append((name, start, number - start + 1, count))
                start, head = None, []
            continue
        if not line.strip() or line.startswith(("#", "}")) or line.rstrip().endswith((";", "\\")):
            head = []
            continue
        head.append((number, line.rstrip()))
        whole = "\n".join(text for _, text in head)
        if HEAD.match(whole):
            called = re.findall(r"(\w+)\s*\(", whole)
            name, start, count = called[0] if called else "?", head[0][0], parameters(whole)
        elif line.rstrip().endswith("{"):
            head = []
    return found
