"""runner.py: runs programs that speak TAP and counts what they say. Called by run.py and by the mutants.

A program that ends with an error without a "not ok", that runs fewer tests than it planned, or that runs none,
counts as one failure: silence is never a pass.
"""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULT = re.compile(r"^(not )?ok\b(?:\s+\d+)?(?:\s+-)?\s*(.*)$")
# Tests share the cores: threads that spin while they wait would make one another several times slower.
FRIENDLY = {"OMP_WAIT_POLICY": "passive"}
# What several builds would compile alike is compiled once: without regard to where they lie.
COMPILED_ONCE = "-DCMAKE_C_COMPILER_LAUNCHER=ccache"
CCACHE = {"CCACHE_DIR": str(ROOT / "build/ccache"), "CCACHE_BASEDIR": str(ROOT), "CCACHE_NOHASHDIR": "1"}
PLAN = re.compile(r"^1\.\.(\d+)")
# Where syncing is free tests that write take up to a quarter of the time. What lies there is taken from the memory that
# programs need, whatever the file system says is free.
MEMORY, ENOUGH = "/dev/shm", 6 << 30


@dataclass
class Result:
    name: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    output: str = ""


def available_memory():
    """Bytes that programs can still have; what lies in /dev/shm is already taken off."""
    return int(re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.M).group(1)) << 10


def quick_folder():
    """For what tests write, programs among it; None: the usual one."""
    fits = (os.access(MEMORY, os.W_OK) and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC and
            min(shutil.disk_usage(MEMORY).free, available_memory()) > ENOUGH)
    return MEMORY if fits else None


def verdict(line):
    """"pass", "fail" or "skip" where a line tells of a test, else None."""
    outcome = RESULT.match(line)
    if not outcome:
        return None
    if re.search(r"#\s*skip", outcome.group(2), re.I):
        return "skip"
    return "fail" if outcome.group(1) else "pass"


def count_tap(result, output, code):
    """Fills a Result from a program's output and exit code. cmocka prints one plan for each of its groups."""
    planned = None
    for line in output.splitlines():
        plan, told = PLAN.match(line), verdict(line)
        if plan:
            planned = (planned or 0) + int(plan.group(1))
        elif told:
            result.skipped += told == "skip"
            result.failed += told == "fail"
            result.passed += told == "pass"
    total = result.passed + result.failed + result.skipped
    problem = None
    if code is None:
        problem = "ran into its time limit"
    elif code != 0 and not result.failed:
        problem = f"ended with {'signal ' + signal.Signals(-code).name if code < 0 else f'exit code {code}'}"
    elif total == 0:
        problem = "ran no test"
    elif planned is None or total < planned:
        problem = f"ran {total} tests of {planned} planned"
    if problem:
        result.failed += 1
        output += f"\n{result.name} {problem}\n"
    result.output = output
    return result


def run_program(argv, env=None, timeout=600, cwd=ROOT, enough=None):
    """Runs argv without stdin in a process group of its own; returns (output, exit code or None after the time).

    enough(line): whether no more need be seen once the program has said that line; it is ended then."""
    full = {**FRIENDLY, **os.environ, **CCACHE}
    full.update({"CMOCKA_MESSAGE_OUTPUT": "TAP", "PYTHONDONTWRITEBYTECODE": "1"}, **(env or {}))
    with subprocess.Popen([str(a) for a in argv], cwd=cwd, env=full, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True) as process:
        output, late = [], threading.Event()

        def end():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        timer = threading.Timer(timeout, lambda: (late.set(), end()))
        timer.start()
        try:
            for line in process.stdout:
                output.append(line.decode("utf-8", "replace"))
                if enough and enough(output[-1]):
                    end()
            code = process.wait()
        except BaseException:
            end()
            raise
        finally:
            timer.cancel()
    return "".join(output), None if late.is_set() else code


def run_tap(name, argv, env=None, timeout=600, enough=None):
    """The program has a TMPDIR of its own: what it leaves there, as when it is ended, goes with it."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="marque-", dir=quick_folder(), ignore_cleanup_errors=True) as own:
        output, code = run_program(argv, dict(env or {}, TMPDIR=own), timeout, enough=enough)
    result = count_tap(Result(name), output, code)
    result.seconds = time.monotonic() - start
    return result


def part_of(cases):
    """All of many like cases or, where MARQUE_PART is K/N, every Nth from the Kth on."""
    first, step = map(int, os.environ.get("MARQUE_PART", "1/1").split("/"))
    return cases[first - 1::step]


def run_all(jobs, parallel=2):
    """jobs: (name, argv, env, timeout) each. Yields results in the order of jobs, as soon as they are there."""
    with ThreadPoolExecutor(parallel) as pool:
        yield from pool.map(lambda job: run_tap(*job), jobs)
