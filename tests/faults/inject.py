"""inject.py: system calls seen and spoilt with strace. A call is named by its place in a trace: the nth of its kind
that the first thread makes. The same program on the same files makes the same calls, so it can be met again.

    calls = trace([program, "run", folder], cwd, env)
    done = spoil(calls[12], "signal=KILL", [program, "run", folder], cwd, env)
"""
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

# Those that change a disk or a folder's list, and reads of what may be damaged.
CHANGES = ("openat", "write", "pwrite64", "fsync", "fdatasync", "close", "rename", "unlink", "unlinkat", "mkdir",
           "ftruncate", "getdents64")
LINE = re.compile(r"^(\d+) +(\w+)\((.*)$")


@dataclass
class Call:
    name: str
    nth: int  # of this name in its thread, from 1
    text: str  # arguments and result, with the paths of descriptors

    def __str__(self):
        return f"{self.name} {self.nth} ({self.text[:90]})"


@dataclass
class Done:
    code: int  # as a shell sees it
    out: str
    err: str
    log: str


def available():
    """Whether strace is here and may trace (containers sometimes forbid it)."""
    return bool(shutil.which("strace")) and subprocess.run(
        ["strace", "-o", "/dev/null", "true"], capture_output=True).returncode == 0


def run_traced(options, argv, cwd, env, timeout=60):
    with tempfile.NamedTemporaryFile("r", prefix="marque-strace-", errors="replace") as log:
        # Without waiting asleep already set the program would start itself anew, and every call be counted twice.
        full = dict(env or {}, OMP_WAIT_POLICY="passive")
        done = subprocess.run(["strace", "-f", "-qq", "-y", "-o", log.name, *options, *map(str, argv)], cwd=cwd,
                              env=full, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
        code = done.returncode if done.returncode >= 0 else 128 - done.returncode
        return Done(code, done.stdout, done.stderr, log.read())


def trace(argv, cwd, env, names=CHANGES):
    """The calls of the first thread, in order."""
    done = run_traced(["-e", "trace=" + ",".join(names)], argv, cwd, env)
    calls, counts, first = [], {}, None
    for line in done.log.splitlines():
        match = LINE.match(line)
        if not match:
            continue
        thread, name, text = match.groups()
        first = first or thread
        if thread == first:
            counts[name] = counts.get(name, 0) + 1
            calls.append(Call(name, counts[name], text))
    return calls


def spoil(call, how, argv, cwd, env, timeout=60):
    """Runs argv and does to the call what strace's inject says: signal=KILL, error=ENOSPC, ..."""
    when = "when=" + str(call.nth) + ("+" if how.endswith("+") else "")
    return run_traced(["-e", f"trace={call.name}", "-e", f"inject={call.name}:{how.rstrip('+')}:{when}"], argv, cwd, env,
                      timeout)


def files(folder):
    """{path below folder: bytes} of all its files but the lock, which names whoever had it last."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(Path(folder).rglob("*"))
            if p.is_file() and p.name != ".lock"}
