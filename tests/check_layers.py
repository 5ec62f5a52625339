"""check_layers.py: which folder may include which, and where each library lives. Prints TAP.

Rules are shown to go red on planted violations in the same run. THIRD_PARTY is also what check_compile.py goes by.
"""
import re
import sys

from source import c_files, read, strip_comments
from tap import Tap

# A folder of src/ -> the folders it may include, beside itself and marque.h.
LAYERS = {
    "base": (),
    "data": ("base",),
    "net": ("base",),
    "infer": ("base", "data", "net"),
    "train": ("base", "data", "net", "infer"),
    "curate": ("base", "data", "net", "infer"),
    "serve": ("base", "data", "net", "infer"),
    "report": ("base",),
    "fetch": ("base",),
    "convert": ("base",),
    "unpack": ("base",),
    "pictures": ("base",),
    "cli": ("base", "data", "net", "infer", "train", "curate", "serve", "report", "fetch"),
}
# A library's headers -> the only files that may include them.
THIRD_PARTY = {
    r"jansson\.h": r"src/base/json\.c",
    r"utf8proc\.h": r"src/base/unicode\.c",
    r"openssl/.*": r"src/base/digest\.c",
    r"xxhash\.h": r"src/base/hash\.c",
    r"omp\.h": r"src/base/par\.c",
    r"curl/.*": r"src/fetch/\w+\.c",
    r"jpeglib\.h|jerror\.h": r"src/data/(de|en)code_jpeg\.c",
    r"png\.h": r"src/data/(de|en)code_png\.c",
    r"webp/.*": r"src/data/decode_webp\.c",
    r"expat\.h": r"src/data/xml\.c",
    r"zlib\.h": r"src/(data/inflate|unpack/gzip)\.c",
    r"oneapi/dnnl/.*|dnnl.*\.h": r"src/net/dnn\w*\.[ch]",
    r"hdf5\.h|H5\w*\.h|hdf5/.*": r"src/convert/\w+\.[ch]",
    r"zip\.h": r"src/convert/\w+\.[ch]",
    r"tiffio\.h": r"src/pictures/tiff\.c",
    r"libheif/.*": r"src/pictures/heif\.c",
    r"gif_lib\.h": r"src/pictures/gif\.c",
    r"archive\.h|archive_entry\.h": r"src/unpack/members\.c",
}
SYSTEM = re.compile(
    r"(assert|ctype|dirent|dlfcn|errno|fcntl|fenv|float|fnmatch|ftw|glob|immintrin|inttypes|limits|locale|math|poll|pthread|"
    r"regex|sched|search|setjmp|signal|spawn|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|string|strings|"
    r"termios|time|unistd|cpuid|langinfo|wchar|wctype|"
    r"(sys|linux|netinet|arpa)/\w+)\.h")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(<[^>]*>|"[^"]*")', re.M)


def includes(text):
    """(line, header, is it ours) of each include."""
    code = strip_comments(text, strings=False)
    return [(code.count("\n", 0, m.start()) + 1, m.group(1)[1:-1], m.group(1)[0] == '"')
            for m in INCLUDE.finditer(code)]


def owner(header):
    """The pattern of the files that may include a third-party header; None for a system header."""
    return next((files for pattern, files in THIRD_PARTY.items() if re.fullmatch(pattern, header)), None)


def own_include(name, header):
    folder, target = name.split("/")[1], header.split("/")[0]
    if header == "marque.h" or target == folder and header.count("/") == 1:
        return None
    if folder not in LAYERS:
        return f"the folder {folder} has no row in LAYERS"
    if "/" not in header:
        return f'"{header}" wants its folder before it'
    return None if target in LAYERS[folder] else f"{folder} may not include {header}"


def system_include(name, header):
    files = owner(header)
    if files:
        return None if re.fullmatch(files, name) else f"<{header}> belongs to {files} alone"
    return None if SYSTEM.fullmatch(header) else f"<{header}> is not known: give it a row in THIRD_PARTY or SYSTEM"


def complaints(name, text):
    found = []
    for line, header, ours in includes(text):
        what = own_include(name, header) if ours else system_include(name, header)
        if what:
            found.append(f"{name}:{line}: {what}")
    return found


PLANTED = [
    ("base includes upwards", "src/base/a.c", '#include "data/loader.h"\n'),
    ("data includes net", "src/data/a.c", '#include "net/ops.h"\n'),
    ("net includes data", "src/net/a.h", '#  include "data/picture.h"\n'),
    ("report includes train", "src/report/a.c", '#include "train/loop.h"\n'),
    ("infer includes train", "src/infer/a.c", '#include "train/loop.h"\n'),
    ("convert includes net", "src/convert/a.c", '#include "net/bundle.h"\n'),
    ("a new folder without a row", "src/novel/a.c", '#include "base/buf.h"\n'),
    ("a header without its folder", "src/base/a.c", '#include "buf.h"\n'),
    ("a path that climbs", "src/data/a.c", '#include "../net/ops.h"\n'),
    ("jansson outside json.c", "src/base/recipe.c", "#include <jansson.h>\n"),
    ("libjpeg in another decoder", "src/data/decode_png.c", "#include <jpeglib.h>\n"),
    ("oneDNN outside dnn*.c", "src/net/graph.c", "#include <oneapi/dnnl/dnnl.h>\n"),
    ("HDF5 outside convert", "src/net/bundle.c", "#include <hdf5.h>\n"),
    ("an unknown library", "src/base/a.c", "#include <glib.h>\n"),
]


def main():
    tap = Tap()
    files = c_files("src")
    for folder in sorted({f.split("/")[1] for f in files}):
        mine = [f for f in files if f.startswith(f"src/{folder}/")]
        found = [what for f in mine for what in complaints(f, read(f))]
        tap.check(f"includes of {len(mine)} files in src/{folder}", not found, "\n".join(found))
    public = complaints("src/base/marque.h", read("include/marque.h"))
    tap.check("the public header includes nothing of ours", not public, "\n".join(public))
    for what, name, text in PLANTED:
        tap.check(f"seen: {what}", complaints(name, text))
    good = '#include "base/buf.h"\n#include "marque.h"\n#include <stdio.h>\n/* #include "net/ops.h" */\n'
    tap.check("good includes pass", not complaints("src/data/a.c", good), complaints("src/data/a.c", good))
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
