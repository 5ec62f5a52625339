"""test_waiting.py: the share of its time that training waits for pictures, on the progress line and in results.csv: large on
a disk that takes its time for each picture, small on one that does not, and of each epoch alone."""
import os
import pty
import re
import subprocess
import sys
import termios
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from inject import available  # noqa: E402
from marque import Marque  # noqa: E402
from pictures import write_classes  # noqa: E402
from tap import Tap  # noqa: E402
from workshop import rows  # noqa: E402

CLASSES, EACH = 3, 5
DELAY = 400_000  # microseconds for each picture: many times what the network needs
# The cache is off, so that every epoch reads its pictures; two stages, since the loader is opened anew in the second.
ARGS = ["train", "data.mq", "--imgsz", "71", "--dtype", "f32", "-b", "4", "-j", "1", "--cache", "off",
        "--stages", "head:2@1e-3,head:1@5e-4"]
LINE = re.compile(r"head (\d)/\d \[(\d+)/\d+ \d+%\] loss [^\r]*? img/s data (\d+)% eta ")


def on_terminal(argv, cwd, env):
    """(exit code, all that it tells a terminal)."""
    mine, its = pty.openpty()
    termios.tcsetwinsize(its, (24, 200))
    child = subprocess.Popen(argv, cwd=cwd, env=dict(env, TERM="xterm"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=its)
    os.close(its)
    told = bytearray()

    def read():
        try:
            while data := os.read(mine, 65536):
                told.extend(data)
        except OSError:  # the last who could write has gone
            pass
    reader = threading.Thread(target=read)
    reader.start()
    code = child.wait(300)
    reader.join()
    os.close(mine)
    return code, told.decode(errors="replace")


def shares(tap, m, name, before):
    """Percent on progress lines, from the second batch of an epoch on, and of each epoch in results.csv."""
    code, told = on_terminal([*before, m.program, *ARGS, "-o", name], m.folder, m.environment({"OMP_WAIT_POLICY": "passive"}))
    if not tap.check(f"{name}: a run", code == 0, told[-2000:]):
        return [], []
    shown = [int(share) for _, done, share in LINE.findall(told) if int(done) > 4]
    return shown, [float(row["data_pct"]) for row in rows(m.folder / name / "results.csv")]


def main():
    tap = Tap()
    if not available():
        tap.skip("a slow disk", "strace cannot trace here")
        return tap.done()
    with Marque() as m:
        m.share_weights()
        write_classes(m.folder / "pictures", classes=CLASSES, each=EACH)
        m.expect(tap, "a data set", ["import", "pictures", "-o", "data.mq", "--test", "0", "--val", "0"], 0)
        shards = [word for path in sorted((m.folder / "data.mq").glob("*.tfrecord")) for word in ("-P", str(path))]
        slow = ["strace", "-f", "-qq", "-o", "/dev/null", *shards, "-e", "trace=pread64", "-e",
                f"inject=pread64:delay_enter={DELAY}"]
        shown, epochs = shares(tap, m, "slow", slow)
        tap.check("on a slow disk nearly all of each epoch is waiting", len(epochs) == 3 and all(50 < e <= 100 for e in epochs), epochs)
        tap.check("and the progress line says so", shown and all(40 < s <= 100 for s in shown), shown)
        shown, epochs = shares(tap, m, "fast", [])
        tap.check("on a fast one little is", len(epochs) == 3 and all(0 <= e < 40 for e in epochs), epochs)
        tap.check("which the progress line says, too", shown and all(s < 40 for s in shown), shown)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
