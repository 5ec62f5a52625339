#!/usr/bin/env python3
"""fuzz.py FOLDER [SECONDS] [NAME...]: runs the fuzzers built in FOLDER: over all inputs that are kept, then each for SECONDS
on new ones. Says in TAP what broke; the input is left in build/fuzz-found.

Inputs: tests/fuzz/corpus/NAME and what the unit tests read anyway. The corpus was grown from SEEDS by
fuzz.py FOLDER --grow SECONDS [NAME...], which keeps the few inputs that reach everything. found-* broke a reader once; they stay.
Foreign pictures are made anew each time besides: their libraries are not watched, so growing tells nothing of them.
"""
import gzip
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import warnings
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from archives import special, write_tar, write_zip  # noqa: E402
from foreignfile import bmp, gif, shades, tiff  # noqa: E402
from pictures import png  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
CORPUS, GOLDEN, FOUND, MADE = ROOT / "tests/fuzz/corpus", ROOT / "tests/golden", ROOT / "build/fuzz-found", ROOT / "build/fuzz-made"
# Further folders of inputs; their other files do no harm.
ALSO = {"picture": ["pixels"], "mat": ["mat"], "tfrecord": ["tfrecord"], "bundle": ["bundle"],
        "keras": ["../data/legacy", "../data/weights"]}
EXIF = (b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0",
        b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0")
DATASET = (b'{"format":"marque.dataset","version":1,"pictures":2,"classes":["a",{"bytes":"ff"}],"counts":[[1,0,0],[0,0,1]],'
           b'"splits":{"train":{"pictures":1,"index":"train.idx","index_sha256":"00","shards":[{"file":"train-00000-of-00001.tfrecord",'
           b'"pictures":1,"bytes":9}]}},"split":{"rule":"","seed":1,"test":0.3,"val":0.1,"folds":5,"group_by":"(a)"},"boxes":true,'
           b'"margin":0.1,"store":"crop","max_side":9,"presize":9,"boxes_taken":"ignore","decode":"scaled","truncated":"accept",'
           b'"cleaned":[{}],"source":{"kind":"folder","classes":"class = top folder","truncated":["a"]}}')
RECIPE = (b'{"imgsz":299,"crop":true,"exif":true,"margin":0.1,"filter":"pillow-bilinear","fit":"pad","range":"tf",'
          b'"background":[255,255,255]}')


def archives():
    """Zips and tars of little files, packed in every way; some hold what must be refused."""
    def tar(members, mode="w"):
        data = write_tar(path, members, mode).read_bytes()
        return data.rstrip(b"\0") + bytes(1024 + -len(data.rstrip(b"\0")) % 512) if mode == "w" else data  # fewer zeros behind it

    members = {"a/1.png": b"one", "a/./b//2.png": b"two" * 50, "__MACOSX/c": b"", "d/": b""}
    odd = [special("l", tarfile.SYMTYPE, "/etc"), special("h", tarfile.LNKTYPE, "a/1.png"), special("p", tarfile.FIFOTYPE),
           special("d", tarfile.DIRTYPE)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "archive"
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
            yield write_zip(path, members, method).read_bytes()
        warnings.simplefilter("ignore", UserWarning)  # of a zip that a name is there already
        for wrong in ([("../up", b"x")], [("/top", b"x")], [("a", b"x"), ("a", b"y")], [("a", b"x"), ("a/b", b"y")]):
            yield write_zip(path, wrong).read_bytes()
            yield tar(wrong)
        for mode in ("w", "w:gz", "w:bz2", "w:xz"):
            yield tar({"a/1.png": b"one", "\u00fc" * 60 + "/2.png": b"two"}, mode)
        for member in odd:
            yield tar([member])


def index(rows):
    """A data set's index (src/data/shards.h); the fuzzer puts its checksums right."""
    head = b"marqueIX" + struct.pack("<IIQIIII", 1, 56, rows, 1, 0, 0, 0)
    return head + b"".join(struct.pack("<IIQQ", 0, i, i * 99, 83) + bytes(32) for i in range(rows))


def foreign():
    """Small pictures of each foreign format, of every kind that its reader knows; HEIC and AVIF where heif-enc is there."""
    rgb, few = shades(7, 5), shades(9, 11, levels=2)
    grey = [[p[:1] for p in row] for row in rgb]
    rgba = [[(*p, 200) for p in row] for row in rgb]
    tiffs = [tiff(rgb), tiff(grey, order=">", turn=6), tiff(rgba, extra=2, pages=2), tiff(rgba, photometric=5), tiff(grey, bits=16),
             tiff(rgb, packing=8), tiff(grey, packing=32773)]
    bmps = [bmp(rgb), bmp(few, bits=8), bmp(few, bits=4), bmp(rgb, bits=16, top_down=True), bmp(rgba, bits=32, masks=True),
            bmp(rgb, core=True)]
    gifs = [gif(few), gif(few, interlaced=True, transparent=few[0][0]), gif(few, frames=2)]
    heifs = []
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder) / "source.png", Path(folder) / "made"
        source.write_bytes(png(16, 16))
        for how in ([], ["-A"]) if shutil.which("heif-enc") else ():
            subprocess.run(["heif-enc", *how, "-q", "30", "-o", made, source], check=True, capture_output=True)
            heifs.append(made.read_bytes())
    return {"tiff": tiffs, "bmp": bmps, "gif": gifs, "heif": heifs}


SEEDS = {"members": list(archives()), "csv": [b"path,label\n", b'\xef\xbb\xbfpath,label\r\n"a,""b"".jpg",x\r\n\r\nb.jpg,"two\nlines"\r\n'],
         "exif": EXIF, "recipe": [RECIPE], "dataset": [DATASET], "index": [index(0), index(1), index(3)],
         "inflate": [zlib.compress(b""), zlib.compress(b"abc" * 400), gzip.compress(b"a" * 99), gzip.compress(b"a") * 2, bytes(9)],
         "keras": list(archives())[:2],
         "xml": [b"<annotation><filename>a.jpg</filename><object><name>ant &amp; b</name><difficult>0</difficult><bndbox>"
                 b"<xmin>1</xmin><ymin>2</ymin></bndbox></object></annotation>", b"<!DOCTYPE a><a/>"],
         "json_list": [b'{"info":{"a":[1]},"images":[{"id":1,"file_name":"a\\"b"},{"id":2}],"x":1}', b'{"images":[]}'],
         "policy": [b"fine-grained,rotate=10,blur=1@0.2", b"none", b"mixup=0.2,cutmix=1@0.5", b"randaugment=2:9,shift=0.1:0.2"]}
LIMITS = ["-timeout=20", "-rss_limit_mb=3000", "-max_len=65536", "-print_final_stats=0", "-verbosity=0"]
KEPT_BYTES = 2048  # of an input of the corpus
PARALLEL = 2


def folders(name):
    also = [GOLDEN / folder for folder in ALSO.get(name, [])] + [MADE / name]
    return [CORPUS / name, *(folder for folder in also if folder.exists())]


def make_foreign():
    for name, files in foreign().items():
        (MADE / name).mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(files):
            (MADE / name / str(number)).write_bytes(data)


def call(program, name, *words):
    FOUND.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([program, *LIMITS, f"-artifact_prefix={FOUND}/{name}-", *map(str, words)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout.decode("utf-8", "replace")


def kept(program, name):
    """Every input there is, once: how many, and whether all went well."""
    files = [f for folder in folders(name) for f in sorted(folder.iterdir()) if f.is_file()]
    code, output = call(program, name, *files)
    return len(files), code == 0 and files, output


def fresh(program, name, seconds):
    with tempfile.TemporaryDirectory() as new:
        code, output = call(program, name, f"-max_total_time={seconds}", new, *folders(name))
        return code == 0, output


def grow(program, name, seconds):
    """Looks for new inputs, then keeps of all of them the few that reach everything."""
    (CORPUS / name).mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS.get(name, [])):
        (CORPUS / name / f"seed-{number}").write_bytes(seed)
    with tempfile.TemporaryDirectory() as new, tempfile.TemporaryDirectory() as least:
        call(program, name, f"-max_total_time={seconds}", new, *folders(name))
        call(program, name, "-merge=1", f"-max_len={KEPT_BYTES}", least, CORPUS / name, new)
        for path in (CORPUS / name).iterdir():
            if not path.name.startswith("found"):
                path.unlink()
        for number, path in enumerate(sorted(Path(least).iterdir(), key=lambda p: (p.stat().st_size, p.name))):
            (CORPUS / name / f"{number:03}").write_bytes(path.read_bytes())
        print(f"{name}: {len(list((CORPUS / name).iterdir()))} inputs")


def lines(program, name, seconds):
    """TAP lines, without numbers."""
    count, good, output = kept(program, name)
    yield good, f"{name}: {count} inputs that are kept", output
    if good:
        good, output = fresh(program, name, seconds)
        yield good, f"{name}: {seconds} s of new inputs", output


def sees_faults(program):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "input"
        path.write_bytes(b"break")
        code, output = call(program, "nothing", path)
        return code != 0 and "broken: as it is meant to" in output


def main():
    words = [w for w in sys.argv[1:] if w != "--grow"]
    build = Path(words[0])
    seconds = int(words[1]) if len(words) > 1 else 10
    programs = {p.name[len("fuzz_"):]: p for p in sorted((build / "tests").glob("fuzz_*")) if os.access(p, os.X_OK)}
    names = words[2:] or [n for n in programs if n != "nothing"]
    if not {"tiff", "bmp", "gif", "heif"}.isdisjoint(names):
        make_foreign()
    with ThreadPoolExecutor(PARALLEL) as pool:
        if "--grow" in sys.argv:
            list(pool.map(lambda n: grow(programs[n], n, seconds), names))
            return 0
        results = [line for some in pool.map(lambda n: list(lines(programs[n], n, seconds)), names) for line in some]
    results.append((sees_faults(programs["nothing"]), "what breaks is seen", ""))
    print(f"1..{len(results)}")
    for number, (good, text, output) in enumerate(results, 1):
        print(f"{'ok' if good else 'not ok'} {number} - {text}")
        if not good:
            print("\n".join("# " + line for line in output.splitlines()[-40:]))
    return 0 if all(good for good, _, _ in results) else 1


if __name__ == "__main__":
    sys.exit(main())
