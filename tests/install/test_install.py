"""test_install.py: `cmake --install` into a folder of its own; what lies there is whole, can be built against, and says
what the installed program says, to the last bit."""
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from marque import ROOT, Marque  # noqa: E402
from small_model import BUILD, make_model, pictures, single, top_answers  # noqa: E402
from source import strip_comments  # noqa: E402
from tap import Tap  # noqa: E402

HEADER = (ROOT / "include/marque.h").read_text()
VERSION = re.search(r"project\(marque VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text()).group(1)
INSTALLED = {
    "bin/marque", "libexec/marque/marque-convert", "libexec/marque/marque-pictures", "libexec/marque/marque-unpack",
    "include/marque.h", "lib/libmarque.a", "lib/libmarque.so",
    f"lib/libmarque.so.{VERSION.split('.')[0]}", f"lib/libmarque.so.{VERSION}", "lib/pkgconfig/marque.pc",
    "share/man/man1/marque.1.gz", "share/bash-completion/completions/marque", "share/zsh/vendor-completions/_marque",
    "share/fish/vendor_completions.d/marque.fish", "share/doc/marque/copyright", "share/doc/marque/changelog.gz",
}
STRICT = ["-Wall", "-Wextra", "-pedantic", "-Werror"]


def call(argv, **how):
    return subprocess.run([str(a) for a in argv], capture_output=True, **how)


def works(tap, name, argv, **how):
    """One check: exit code 0. Returns stdout as text."""
    done = call(argv, **how)
    tap.check(name, done.returncode == 0, (done.stdout + done.stderr).decode("utf-8", "replace")[-3000:])
    return done.stdout.decode("utf-8", "replace")


def test_files(tap, prefix):
    found = {str(p.relative_to(prefix)) for p in prefix.rglob("*") if not p.is_dir()}
    tap.check("exactly the files that belong there", found == INSTALLED, sorted(found ^ INSTALLED))
    places = [f"{ROOT}/{folder}".encode() for folder in ("build", "src", "include")]
    told = [name for name in found if any(place in (prefix / name).read_bytes() for place in places)]
    tap.check("none knows where it was built", not told, told)
    for name in ("bin/marque", "libexec/marque/marque-convert", "libexec/marque/marque-unpack", "libexec/marque/marque-pictures",
                 "lib/libmarque.so"):
        dynamic = works(tap, f"{name} is read", ["readelf", "-dW", prefix / name])
        tap.check(f"{name} finds its libraries the system's way", "RPATH" not in dynamic and "RUNPATH" not in dynamic, dynamic)
    page = works(tap, "the manual page renders without a warning", ["env", "LC_ALL=C.UTF-8", "man", "--warnings", "-E", "UTF-8",
                                                                     "-l", "-P", "cat", prefix / "share/man/man1/marque.1.gz"])
    tap.check("and is the program's", VERSION in page, page[:200])


def symbols(*options):
    """Names that nm tells, without their versions."""
    lines = call(["nm", "--defined-only", "--extern-only", *options]).stdout.decode().splitlines()
    return {re.sub(r"@.*", "", line.split()[2]) for line in lines if len(line.split()) == 3 and line.split()[1] != "A"}


def test_symbols(tap, prefix):
    public = set(re.findall(r"^MQ_API\b[^;]*?\b(mq_\w+)\(", HEADER, re.M))
    declared = set(re.findall(r"\b(mq_\w+)\([^;{]*\);", strip_comments(HEADER)))
    shown = symbols("-D", prefix / "lib/libmarque.so")
    tap.check(f"the shared library shows the {len(public)} functions of the header and nothing else",
              shown == public == declared and len(public) > 5, shown ^ public | declared ^ public)
    foreign = {name for name in symbols(prefix / "lib/libmarque.a") if not name.startswith("mq_")}
    tap.check("every name in the archive begins with mq_", not foreign, foreign)
    soname = works(tap, "its soname is read", ["readelf", "-dW", prefix / "lib/libmarque.so"])
    tap.check("its soname has the major version", f"[libmarque.so.{VERSION.split('.')[0]}]" in soname, soname)


def test_header(tap, m, prefix):
    include = f"-I{prefix}/include"
    for name, compiler in (("C11", ["gcc", "-std=c11"]), ("C17, clang", ["clang", "-std=c17"]), ("C++11", ["g++", "-std=c++11"])):
        source = m.folder / ("header.cc" if "+" in name else "header.c")
        source.write_text("#include <marque.h>\n#include <marque.h>\nint answer(void);\n"
                          "int answer(void) { mq_image image; return image.size = sizeof image, mq_version()[0]; }\n")
        works(tap, f"the header is {name}", [*compiler, *STRICT, include, "-fsyntax-only", source])


def test_example(tap, m, prefix):
    """The lines of code in the header's first comment, as they stand there."""
    code = "\n".join(re.findall(r"^ \*     (.*)$", HEADER.partition("*/")[0], re.M)).partition("cc program.c")[0]
    code = code.replace("... err.text says why ...", "return;")
    tap.check("the header has an example", "mq_classifier_open" in code and "mq_classifier_free" in code, code)
    source = m.folder / "example.c"
    source.write_text("#include <marque.h>\n#include <stdio.h>\nvoid example(const void *frame, size_t bytes);\n"
                      f"void example(const void *frame, size_t bytes) {{\n{code}}}\n")
    for name, compiler in (("C11", ["gcc", "-std=c11"]), ("C++20", ["g++", "-std=c++20", "-Wno-missing-field-initializers", "-x", "c++"])):
        works(tap, f"the header's example is {name}", [*compiler, *STRICT, f"-I{prefix}/include", "-fsyntax-only", source])


def build_programs(tap, m, prefix):
    """top_class against the shared library, the archive, and as C++; the paths of those that build."""
    def flags(*options):
        env = dict(os.environ, PKG_CONFIG_PATH=str(prefix / "lib/pkgconfig"))
        text = works(tap, f"pkg-config {' '.join(options)}", ["pkg-config", *options, "marque"], env=env)
        return text.split()

    tap.check("pkg-config tells the version", flags("--modversion") == [VERSION])
    named = [flag for flag in flags("--libs") if flag.startswith("-l")]
    tap.check("the shared library needs nothing else named", named == ["-lmarque"], named)
    source = ROOT / "tests/install/top_class.c"
    static = [f if f != "-lmarque" else "-l:libmarque.a" for f in flags("--static", "--libs")]
    ways = {"shared": ["gcc", "-std=c11", *STRICT, source, *flags("--cflags", "--libs")],
            "static": ["gcc", "-std=c11", *STRICT, source, *flags("--cflags"), *static],
            "clang-static": ["clang", "-std=c11", *STRICT, source, *flags("--cflags"), *static],
            "C++": ["g++", "-std=c++20", *STRICT, "-Wno-missing-field-initializers", "-x", "c++", source, "-x", "none", *flags("--cflags", "--libs")]}
    for way, argv in ways.items():
        works(tap, f"ten lines of C build, {way}", [*argv, "-o", m.folder / f"top-{way}"])
    needed = {way: "libmarque" in works(tap, f"{way} is read", ["readelf", "-dW", m.folder / f"top-{way}"]) for way in ways}
    tap.check("the archive alone is linked where asked", needed == {"shared": True, "static": False, "clang-static": False, "C++": True}, needed)
    return [m.folder / f"top-{way}" for way in ways]


def frame_of(path):
    """A picture decoded by the library's own decoders, as (width, height, BGR rows 13 bytes longer than they must be)."""
    done = call([BUILD / "tests/prepare_probe", "decode", path])
    head, rgb = done.stdout.split(b"\n", 1)
    width, height, _ = map(int, head.split())
    rows = [rgb[y * width * 3:(y + 1) * width * 3] for y in range(height)]
    bgr = [bytes(b for x in range(0, len(row), 3) for b in row[x:x + 3][::-1]) + b"\xAA" * 13 for row in rows]
    return width, height, b"".join(bgr)


def bmp_of(path):
    """The same picture as a BMP of 24 bits."""
    width, height, frame = frame_of(path)
    stride = width * 3 + 13
    rows = [frame[y * stride:y * stride + width * 3] + bytes(-width * 3 % 4) for y in reversed(range(height))]
    return (struct.pack("<2sIHHI", b"BM", 54 + len(b"".join(rows)), 0, 0, 54) +
            struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0) + b"".join(rows))


def test_answers(tap, m, prefix, model, programs):
    files = pictures(m)
    run = m.expect(tap, "the installed program predicts", ["predict", model, *files, "--json"], 0)
    wanted = top_answers(run.out)
    tap.check("its answers differ", len({one[1] for one in wanted}) == len(files), wanted)
    env = dict(os.environ, LD_LIBRARY_PATH=str(prefix / "lib"))
    for program in programs:
        for path, one in zip(files, wanted):
            width, height, frame = frame_of(path)
            done = call([program, model, width, height, width * 3 + 13], input=frame, env=env)
            got = done.stdout.decode().rstrip("\n").split(" ", 2)
            same = len(got) == 3 and (int(got[0]), single(got[1]), got[2]) == one
            tap.check(f"{program.name}: {path.name} as a BGR frame gets the same bits", same, (got, one, done.stderr))
    bmp, shared, static = bmp_of(files[0]), *(next(p for p in programs if p.name == f"top-{way}") for way in ("shared", "static"))
    (m.folder / "frame.bmp").write_bytes(bmp)
    one = top_answers(m.run(["predict", model, "frame.bmp", "--json"]).out)[0]
    done = call([shared, model, 0, 0, 0], input=bmp, env=env)
    got = done.stdout.decode().rstrip("\n").split(" ", 2)
    tap.check("a BMP goes through libexec beside the library, wherever the program lies",
              len(got) == 3 and (int(got[0]), single(got[1]), got[2]) == one, (got, one, done.stderr))
    done = call([static, model, 0, 0, 0], input=bmp, env=env)
    tap.check("without it that is told", done.returncode == 69 and b"marque-pictures is missing" in done.stderr, done)
    done = call(["sh", "-c", 'trap "" CHLD; exec "$0" "$@"', shared, model, 0, 0, 0], input=bmp[:-9], env=env)
    tap.check("its reason arrives though nobody waits for children", done.returncode == 65 and b"frame" not in done.stderr and
              b"BMP" in done.stderr, done)
    done = call([programs[0], model, 100, 100, 299], input=b"", env=env)
    tap.check("an impossible frame is told", done.returncode == 64 and b"image 0: a stride of 299" in done.stderr, done)
    done = call([programs[0], "nothing", 1, 1, 0], input=b"abc", env=env)
    tap.check("a model that is not there is told", done.returncode == 66 and b"nothing: no such model" in done.stderr, done)


def test_program(tap, m, prefix):
    m.expect(tap, "the installed program tells its version", ["--version"], 0, out=f"marque {VERSION}")
    report = m.expect(tap, "doctor misses nothing", ["doctor"], 0)
    tap.check("not even the converter", "marque-convert" not in report.out, report.out)
    bad, empty = ROOT / "tests/data/weights/bad_cut.h5", {"XDG_CACHE_HOME": str(m.folder / "empty")}
    m.expect(tap, "the converter in libexec answers", ["pull", "xception", "--from", bad], 65, err="bad_cut.h5", env=empty)
    converter = prefix / "libexec/marque/marque-convert"
    converter.rename(m.folder / "away")
    m.expect(tap, "without it that is told", ["pull", "xception", "--from", bad], 69,
             err="libexec/marque/marque-convert is missing", env=empty)
    (m.folder / "away").rename(converter)
    file = prefix / "share/bash-completion/completions/marque"
    script = f'source "{file}"; COMP_WORDS=(marque train --he); COMP_CWORD=2; _marque; echo "${{COMPREPLY[*]}}"'
    tap.check("bash completes from it", works(tap, "the completion is sourced", ["bash", "-euc", script]) == "--head --help\n")


def main():
    tap = Tap()
    with Marque() as m:
        m.share_weights()
        prefix = m.folder / "prefix"
        works(tap, "cmake --install", ["cmake", "--install", BUILD, "--prefix", prefix])
        m.program = str(prefix / "bin/marque")
        test_files(tap, prefix)
        test_symbols(tap, prefix)
        test_header(tap, m, prefix)
        test_example(tap, m, prefix)
        test_program(tap, m, prefix)
        programs = build_programs(tap, m, prefix)
        model = make_model(tap, m)
        moved = m.folder / "moved"
        shutil.move(prefix, moved)
        m.program = str(moved / "bin/marque")
        test_answers(tap, m, moved, model, programs)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
