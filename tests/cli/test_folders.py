"""test_folders.py: folders that are parts or classes or neither, and options that a source has no use for."""
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from marque import Marque  # noqa: E402
from tap import Tap  # noqa: E402
from test_import import fill, png, rows, splits  # noqa: E402


def test_parts(tap, m):
    """Folders of parts, in any case; an earlier output beside them is none."""
    for name, parts in (("small", ("train", "val", "test")), ("capital", ("Train", "Valid", "TEST"))):
        fill(m.folder / name, {f"{part}/{c}": 3 for part in parts for c in "ab"})
        for turn in ("x1.mq", "x2.mq"):
            m.expect(tap, f"{name}: {turn} among the parts", ["import", name, "-o", f"{name}/{turn}"], 0,
                     out=["18 pictures, 2 classes (class = folder below train, val and test)", "train 6  val 6  test 6"])
    left = {r["file"]: r["reason"] for r in rows(m.folder / "capital/x2.mq/quarantine.csv")}
    tap.check("an earlier output is left out as one", left == {"x1.mq": "a data set of marque, no class of pictures"}, left)
    lines = "".join(f"{path}\n" for path in (m.folder / "capital").rglob("*.png")).encode()
    m.expect(tap, "a list of parts in capitals", ["import", "-", "-o", "list.mq"], 0, stdin=lines, out="train 6  val 6  test 6")
    fill(m.folder / "classes", {"a": 4, "b": 4})
    (m.folder / "classes/a/dataset.json").write_text('{"format": "another"}')
    m.expect(tap, "pictures beside somebody else's dataset.json", ["import", "classes", "-o", "classes.mq"], 0, out="8 pictures")
    fill(m.folder / "lone", {"train/a": 3, "train/b": 3})
    m.expect(tap, "a part alone", ["import", "lone", "-o", "x.mq"], 65,
             err="lone: all pictures lie in train, which is taken for a class as there are no parts beside it; import lone/train")
    fill(m.folder / "one", {"bus/a": 3})
    m.expect(tap, "a class alone", ["import", "one", "-o", "x.mq"], 65, err="all pictures are of one class; a classifier needs two")


def test_idle_options(tap, m):
    """An option that would do nothing is refused."""
    source = fill(m.folder / "pics", {"a": 20, "b": 20})
    (source / "list.csv").write_text("path,label\na/000.png,a\nb/000.png,b\n")
    table = (source / "list.csv").read_bytes()
    for name, args, words in (("--meta of a folder", ["pics", "--meta", "nix.mat"], "--meta is for Stanford Cars, and pics is something else"),
                              ("leaves of a list", ["pics/list.csv", "--class-level", "leaf"], "and in pics/list.csv class = label of the row"),
                              ("leaves of a table", ["-", "--root", "pics", "--class-level", "leaf"], "and in standard input class = label of the row"),
                              ("--folds and --val", ["pics", "--folds", "3", "--val", "0.1"], "each fold is the validation part of a run; leave --val out"),
                              ("more folds than pictures", ["pics", "--folds", "30"], "--folds 30: the 28 training pictures do not fill so many folds")):
        m.expect(tap, name, ["import", *args, "-o", "x.mq"], 64, err=words, stdin=table)
    m.expect(tap, "--folds and --val 0", ["import", "pics", "-o", "folds.mq", "--folds", "28", "--val", "0"], 0, out="in 28 folds of about 1 each")
    for k in range(28):
        (source / f"a/copy{k}.png").write_bytes(png(8, 6, 5))
    m.expect(tap, "copies fill one fold", ["import", "pics", "-o", "x.mq", "--folds", "40"], 64, err="do not fill so many folds, copies and groups")
    m.expect(tap, "an update", ["import", "pics", "-o", "folds.mq", "--update"], 0, out="in 28 folds")
    m.expect(tap, "an update with --val", ["import", "pics", "-o", "folds.mq", "--update", "--val", "0.2"], 64, err="leave --val out")
    tap.check("no part for validation", "val" not in splits(m.folder / "folds.mq").values())


def test_stop(tap, m):
    """Ctrl-C ends an import that waits for standard input."""
    child = subprocess.Popen([m.program, "import", "-", "-o", "x.mq"], cwd=m.folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, env=m.environment(None))
    child.stdin.write(b"a/1.png\n")
    child.stdin.flush()
    caught = lambda: int(Path(f"/proc/{child.pid}/status").read_text().split("SigCgt:")[1].split()[0], 16) & 2  # noqa: E731
    deadline = time.monotonic() + 20
    while not caught() and time.monotonic() < deadline:
        time.sleep(0.005)
    child.send_signal(signal.SIGINT)
    try:
        code = child.wait(timeout=20)
    except subprocess.TimeoutExpired:
        code = None
        child.kill()
    err = child.communicate()[1].decode()
    tap.check("the first signal ends it", code == -signal.SIGINT and "stopped while standard input was read" in err, (code, err))


def main():
    tap = Tap()
    for test in (test_parts, test_idle_options, test_stop):
        with Marque() as m:
            test(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
