"""check_compile.py: every header compiles alone and twice; what needs no third-party library compiles for aarch64; clang, with
the flags of the build, warns of no source.

Prints TAP, one line for each header and each file.
"""
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from check_layers import includes, owner
from source import ROOT, c_files, read
from tap import Tap

FLAGS = ["-std=c17", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", '-DMARQUE_VERSION="0"', '-DMARQUE_LIBEXEC="."', '-DMARQUE_LIBEXEC_OF_LIB="."', "-Iinclude", "-Isrc",
         "-Wall", "-Wextra", "-Wstrict-prototypes", "-Werror", "-fsyntax-only"]
CROSS = "aarch64-linux-gnu-gcc"


def compiles(compiler, argv, text=None):
    """(True, "") or (False, what the compiler says)."""
    run = subprocess.run([compiler, *FLAGS, *argv], cwd=ROOT, input=text, text=True, capture_output=True)
    return run.returncode == 0, run.stderr


def header_alone(name):
    short = name.removeprefix("src/").removeprefix("include/")
    return compiles("gcc", ["-x", "c", "-"], f'#include "{short}"\n#include "{short}"\nextern int mq_dummy;\n')


def clang_commands(folder):
    """{source: (where, command)} as the build has it, but to look at the source only: its code is what takes most of the time."""
    subprocess.run(["cmake", "--preset", "debug", "-B", folder, "-DCMAKE_C_COMPILER=clang", "-DMARQUE_OPENMP=OFF", "-DMARQUE_TESTS=ON",
                    "-DCMAKE_COMPILE_WARNING_AS_ERROR=ON", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"], cwd=ROOT, check=True, capture_output=True)
    with open(f"{folder}/compile_commands.json") as file:
        return {one["file"].removeprefix(f"{ROOT}/"): (one["directory"], [*shlex.split(one["command"]), "-fsyntax-only"])
                for one in json.load(file)}


def clang_warns(command):
    run = subprocess.run(command[1], cwd=command[0], text=True, capture_output=True)
    return run.returncode != 0, run.stderr


def main():
    tap = Tap()
    headers = c_files("src", "include")
    headers = [h for h in headers if h.endswith(".h")]
    portable = [f for f in c_files("src") if f.endswith(".c")
                and not any(owner(h) for _, h, ours in includes(read(f)) if not ours and h != "omp.h")]
    with ThreadPoolExecutor(2) as pool:
        for name, (good, words) in zip(headers, pool.map(header_alone, headers)):
            tap.check(f"{name} compiles alone", good, words)
        if tap.check(f"{CROSS} is installed", shutil.which(CROSS), "sudo apt-get install gcc-aarch64-linux-gnu"):
            for name, (good, words) in zip(portable, pool.map(lambda f: compiles(CROSS, [f]), portable)):
                tap.check(f"{name} compiles for aarch64", good, words)
        with tempfile.TemporaryDirectory() as folder:
            commands = clang_commands(folder)
            for name, (warned, words) in zip(commands, pool.map(clang_warns, commands.values())):
                tap.check(f"clang warns of nothing in {name}", not warned, words)
            where, command = commands["src/base/text.c"]
            warned, _ = clang_warns((where, [*command, "-DMQ_TEXT_H"]))
            tap.check("a source without its header is seen", warned)
            planted = Path(folder) / "planted.c"
            planted.write_text("int mq_short(long x);\nint mq_short(long x) {\n    return x;\n}\n")
            warned, words = clang_warns((where, [str(planted) if word.endswith("text.c") else word for word in command]))
            tap.check("a warning is seen", warned and "-Wshorten-64-to-32" in words, words)
    good, _ = compiles("gcc", ["-x", "c", "-"], "size_t mq_dummy;\n")
    tap.check("a header that leans on another is seen", not good)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
