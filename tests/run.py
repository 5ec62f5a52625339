#!/usr/bin/env python3
"""run.py: every check of marque, cheap first. scripts/test calls it once the Debian packages are there.

A stage is a function that hands results to a Report. The last line of the output is the sum, and the exit code is 1
if anything failed.
"""
import argparse
import os
import re
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent / "mutants"))

from runner import COMPILED_ONCE, ROOT, Result, available_memory, part_of, run_all, run_program, run_tap  # noqa: E402

BUILD = ROOT / "build"
PYTHON = sys.executable
ORACLE = ROOT / ".venv" / "oracle"
ORACLE_PACKAGES = ["keras==3.15.1", "tensorflow-cpu==2.21.0", "pillow==13.0.0", "h5py==3.14.0", "numpy==2.4.6",
                   "scipy==1.17.1", "safetensors==0.8.0", "tensorboard==2.21.0",
                   "onednn-devel-cpu-gomp==2023.2.0", "onednn-cpu-gomp==2023.2.0"]
KERAS2 = "tf_keras==2.21.0"  # without what it asks for: the larger TensorFlow
SHOWN_LINES = 120
PARTS = 10  # of PARTED the whole test runs one; the next commit the next
PARTED = "the faults of mutants, the kills and failing calls of faults and the command-line tests of asan"
FUZZ_SECONDS = 3  # on new inputs, for each reader
ASAN = {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1"}
TSAN = {"TSAN_OPTIONS": "halt_on_error=0:exitcode=98:second_deadlock_stack=1"}
# Scripts that begin first, so that none of them is left running alone.
LONG = ("test_cars.py", "test_thaw.py", "test_run.py", "test_resume.py", "training_steps.py", "keras2.py", "weights.py")
# What has threads of its own; the thread sanitizer knows pthreads only, so nothing that runs oneDNN.
THREADED = ("test_base", "test_confident", "test_import", "test_loader", "test_looks", "test_mix", "test_phash", "test_prepare",
            "test_scan", "test_skipped")


class Report:
    """Counts results and shows those that failed as they come."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, results):
        for r in results:
            self.passed += r.passed
            self.failed += r.failed
            self.skipped += r.skipped
            notes = [f"{r.passed} passed"] + [f"{n} {word}" for n, word in
                                              ((r.failed, "FAILED"), (r.skipped, "skipped")) if n]
            print(f"  {r.name:<34} {', '.join(notes)} ({r.seconds:.1f} s)", flush=True)
            if r.failed:
                self.show(r.output)
            elif r.skipped:
                self.show("\n".join(line for line in r.output.splitlines() if "# SKIP" in line))

    def show(self, output):
        lines = [line for line in output.rstrip().splitlines() if not line.startswith("ok ") or "# SKIP" in line]
        if len(lines) > SHOWN_LINES:
            print(f"    | ... {len(lines) - SHOWN_LINES} lines left out")
        for line in lines[-SHOWN_LINES:]:
            print(f"    | {line}", flush=True)

    def step(self, name, argv, timeout=1200, env=None):
        """One thing that works or not, counted as one test. Returns whether it did."""
        start = time.monotonic()
        output, code = run_program(argv, env, timeout)
        good = code == 0
        self.add([Result(name, int(good), int(not good), 0, time.monotonic() - start, output)])
        return good

    def total(self):
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


class Build:
    """Builds a preset at most once a run. A compiler's warning is an error here. python: a Future of oracle_python, which
    mostly waits and so is begun first, where there is an oracle."""

    def __init__(self, report):
        self.report = report
        self.done = {}
        self.python = None

    def get(self, preset, *settings, name=None, targets=("all",)):
        """The build folder, or None if it does not build."""
        name = name or preset
        if name not in self.done:
            folder = BUILD / name
            configured = self.report.step(f"configure {name}", [
                "cmake", "--preset", preset, "-B", folder, "-DCMAKE_COMPILE_WARNING_AS_ERROR=ON",
                "-DMARQUE_TESTS=ON", COMPILED_ONCE, *settings])
            built = configured and self.report.step(f"build {name}", ["cmake", "--build", folder, "-j", "2", "--target", *targets])
            self.done[name] = folder if built else None
        return self.done[name]


def unit_programs():
    """The unit tests there are sources for, as (name, does it test the network's kernels, does it hold golden figures)."""
    found = []
    for source in sorted((ROOT / "tests/unit").glob("test_*.c")):
        text = source.read_text()
        network = bool(re.search(r'#include "net/(?!bundle|foreign|weights)', text))
        found.append((source.stem, network, '#include "golden/' in text))
    return found


def others_too(name, network, golden):
    """Those that other instructions and another oneDNN are tried with. test_bench times and counts what the others test."""
    return network and name != "test_bench"


# A stage hands over all its jobs at once: between two lists of them a core would have nothing to do.
def unit_jobs(folder, label, wanted, env=None, timeout=600):
    """The unit programs wanted(name, network, golden) picks. Those of the network use every core, but not all the time."""
    return [(f"{name}{label}", [folder / "tests" / name], env, timeout)
            for name, network, golden in unit_programs() if wanted(name, network, golden)]


def script_jobs(folder, where, label="", env=None, python=PYTHON, timeout=900, pattern="test_*.py"):
    """tests/WHERE/PATTERN against the programs in folder."""
    env = dict(env or {}, MARQUE_BIN=str(folder / "marque"))
    return [(f"{where}/{path.name}{label}", [python, path], env, timeout)
            for path in sorted((ROOT / "tests" / where).glob(pattern), key=lambda path: (path.name not in LONG, path.name))]


def stage_style(report, build):
    jobs = [(f"{name}.py", [PYTHON, ROOT / "tests" / f"{name}.py"], None, 300)
            for name in ("check_runner", "check_style", "check_layers", "check_compile", "check_mutants")]
    report.add(run_all(jobs))
    build.get("release")


def stage_unit(report, build):
    folder = build.get("release")
    if not folder:
        return
    jobs = unit_jobs(folder, "", lambda name, network, golden: not golden)
    wider = " avx512f " in Path("/proc/cpuinfo").read_text()  # else AVX2 is what they ran on already
    for isa in ("AVX2", "SSE41") if wider else ("SSE41",):
        jobs += unit_jobs(folder, f" on {isa}", others_too, {"ONEDNN_MAX_CPU_ISA": isa})
    report.add(run_all(jobs))


def stage_golden(report, build):
    folder = build.get("release")
    if folder:
        report.add(run_all(unit_jobs(folder, "", lambda name, network, golden: golden)))


def stage_cli(report, build):
    folder = build.get("release")
    if folder:
        report.add(run_all(script_jobs(folder, "cli")))


def stage_asan(report, build):
    folder = build.get("asan")
    if folder:  # the command-line tests take twice as long as without: parts of them
        report.add(run_all(unit_jobs(folder, " (asan)", lambda name, network, golden: True, ASAN, 900) +
                           part_of(script_jobs(folder, "cli", " (asan)", ASAN))))


def stage_fuzz(report, build):
    folder = build.get("fuzz", "-DMARQUE_TESTS=OFF", targets=["fuzzers"])
    if folder:
        report.add([run_tap("fuzz", [PYTHON, ROOT / "tests/fuzz/fuzz.py", folder, FUZZ_SECONDS], None, 900)])


def stage_tsan(report, build):
    folder = build.get("tsan", targets=THREADED)
    if folder:
        report.add(run_all(unit_jobs(folder, " (tsan)", lambda name, network, golden: name in THREADED, TSAN, 900)))


def get_weights(report):
    """Fetches the real weights unless they are here; whether they are now."""
    return report.step("the weights", [ROOT / "scripts/fetch-weights"])


def stage_mutants(report, build):
    if build.get("release") and get_weights(report):  # some faults show only in a training
        report.add([run_tap("mutants", [PYTHON, ROOT / "tests/mutants/mutants.py"], None, 2400)])


def real_stage(where, timeout):
    """A stage that runs tests/WHERE with the real weights."""
    def run(report, build):
        folder = build.get("release")
        if folder and get_weights(report):
            report.add(run_all(script_jobs(folder, where, timeout=timeout), 1 if where == "install" else 2))
    return run


def oracle_python(report):
    """The interpreter of a virtual environment with the frameworks marque is compared with; None without."""
    python, stamp = ORACLE / "bin/python", ORACLE / "packages.txt"
    wanted = "\n".join([*ORACLE_PACKAGES, KERAS2])
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    ORACLE.parent.mkdir(exist_ok=True)
    if not report.step("virtual environment", [PYTHON, "-m", "venv", "--clear", ORACLE]):
        return None
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if not report.step("Keras, TensorFlow, oneDNN 3.2", [*pip, *ORACLE_PACKAGES]):
        return None
    if not report.step("Keras 2", [*pip, "--no-deps", KERAS2]):
        return None
    stamp.write_text(wanted)
    return python


def stage_oracle(report, build):
    folder, python = build.get("release"), build.python.result()
    if not folder or not python or not get_weights(report):
        return
    # The last two: freed tensors stay with the process; it would get and clear their pages anew in every step.
    env = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "0", "MALLOC_MMAP_MAX_": "0",
           "MALLOC_TRIM_THRESHOLD_": str(8 << 30)}
    jobs = script_jobs(folder, "oracle", env=env, python=python, pattern="*.py")
    # The environment also holds oneDNN 3.2, whose interface differs from Debian's 2.6.
    other = build.get("release", f"-DMARQUE_DNNL_ROOT={ORACLE}", name="onednn3",
                      targets=[name for name, *what in unit_programs() if others_too(name, *what)])
    if other:
        jobs += unit_jobs(other, " on oneDNN 3.2", others_too)
    report.add(run_all(jobs))


STAGES = {
    "style": (stage_style, "style, layers, headers, formatting, warnings of gcc and clang, aarch64"),
    "unit": (stage_unit, "unit tests, the network's also on AVX2 and SSE4.1"),
    "golden": (stage_golden, "golden tests against Keras' figures"),
    "cli": (stage_cli, "every message a user can meet"),
    "asan": (stage_asan, "unit and command-line tests under the address and undefined-behaviour sanitizers"),
    "fuzz": (stage_fuzz, "every reader of files from outside on inputs that once led somewhere, then on new ones"),
    "tsan": (stage_tsan, "threaded tests under the thread sanitizer"),
    "mutants": (stage_mutants, "one-line faults, each of which must turn a test red"),
    "faults": (real_stage("faults", 1200), "runs killed, stopped, damaged and short of disk at every turn, then resumed"),
    "install": (real_stage("install", 1200), "the installed program and library, and the Debian package in a clean Debian"),
    "job": (real_stage("job", 1200), "the main job on real pictures with the real weights"),
    "oracle": (stage_oracle, "live comparison with Keras, TensorFlow and Pillow (with --oracle)"),
}
QUICK = ("style", "unit", "golden", "cli")


def part_of_commit():
    """K/PARTS by the number of commits; without git the first."""
    counted = subprocess.run(["git", "rev-list", "--count", "HEAD"], capture_output=True, text=True, check=False)
    return f"{int(counted.stdout or 0) % PARTS + 1}/{PARTS}"


def processor_seconds():
    """Of everything this program started and waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def options():
    parser = argparse.ArgumentParser(prog="scripts/test", description="Builds and tests marque, cheap things first.")
    parser.add_argument("--quick", action="store_true", help="only " + ", ".join(QUICK))
    parser.add_argument("--stage", action="append", choices=STAGES, metavar="NAME",
                        help="only this stage (may be repeated): " + "; ".join(f"{n}: {s[1]}" for n, s in STAGES.items()))
    parser.add_argument("--all", action="store_true", help=f"all of {PARTED}, as --stage does, not every {PARTS}th, which "
                        "changes with each commit")
    parser.add_argument("--oracle", action="store_true", help="also compare live with Keras, TensorFlow and Pillow")
    parser.add_argument("--no-install", action="store_true",
                        help="do not install Debian packages: name what is missing and exit 69")
    return parser.parse_args()


def main():
    chosen = options()
    names = chosen.stage or (QUICK if chosen.quick else [n for n in STAGES if n != "oracle" or chosen.oracle])
    if chosen.oracle and "oracle" not in names:
        names = [*names, "oracle"]
    os.chdir(ROOT)
    if not chosen.all and not chosen.stage:
        os.environ["MARQUE_PART"] = part_of_commit()
        print(f"part {os.environ['MARQUE_PART']} of {PARTED}; --all: all of them", flush=True)
    report = Report()
    build = Build(report)
    begin = time.monotonic()
    if "oracle" in names:
        build.python = ThreadPoolExecutor(1).submit(oracle_python, report)
    for number, name in enumerate(names, 1):
        start, worked, before = time.monotonic(), processor_seconds(), report.passed + report.failed
        print(f"== {number}/{len(names)} {name}: {STAGES[name][1]}", flush=True)
        STAGES[name][0](report, build)
        if report.passed + report.failed == before:
            report.add([Result(name, failed=1, output="this stage ran no test\n")])
        print(f"   {report.passed + report.failed - before} tests in {time.monotonic() - start:.0f} s, "
              f"{processor_seconds() - worked:.0f} s of processor; {available_memory() / 1e9:.1f} GB of memory are left",
              flush=True)
    print(f"{time.monotonic() - begin:.0f} s in all")
    print(report.total(), flush=True)
    return 1 if report.failed or not report.passed else 0


if __name__ == "__main__":
    sys.exit(main())
