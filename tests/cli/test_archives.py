"""test_archives.py: marque import of zip and tar files, good ones and those that were made to harm."""
import csv
import gzip
import json
import re
import shutil
import subprocess
import sys
import tarfile
import warnings
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from archives import BLUE, DATE, RED, is_clean, pictures, refuses, special, write_tar, write_zip  # noqa: E402
from marque import Marque  # noqa: E402
from pictures import png  # noqa: E402
from tap import Tap  # noqa: E402


def rows(data):
    with open(data / "split.csv", newline="", encoding="utf-8") as file:
        return {row["file"]: (row["class"], row["split"]) for row in csv.DictReader(file)}


def content(folder):
    """All but dataset.json, which names the archive."""
    return {f.name: f.read_bytes() for f in folder.iterdir() if f.name not in (".lock", "dataset.json")}


def test_good(tap, m):
    folder = m.folder / "loose"
    for name, data in pictures().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    m.expect(tap, "the folder itself", ["import", "loose", "-o", "loose.mq"], 0, out="12 pictures, 2 classes")
    wanted = content(m.folder / "loose.mq")
    inside = {"shots/" + k: v for k, v in pictures().items()}
    litter = {"__MACOSX/shots/red/._0.png": b"x", "shots/.DS_Store": b"x", "shots/red/._0.png": b"x"}
    made = [write_zip(m.folder / "a.zip", pictures()), write_zip(m.folder / "b.zip", inside),
            write_zip(m.folder / "litter.zip", {**inside, **litter}),
            write_zip(m.folder / "stored.zip", pictures(), zipfile.ZIP_STORED),
            write_zip(m.folder / "no-ending", pictures()),
            write_tar(m.folder / "a.tar", pictures()), write_tar(m.folder / "tar-no-ending", pictures()),
            write_tar(m.folder / "dot.tar", {"./" + k: v for k, v in inside.items()}),
            write_tar(m.folder / "a.tar.gz", inside, "w:gz"), write_tar(m.folder / "a.tgz", pictures(), "w:gz"),
            write_tar(m.folder / "a.tar.xz", pictures(), "w:xz"), write_tar(m.folder / "a.tar.bz2", pictures(), "w:bz2")]
    subprocess.run(["zstd", "-q", m.folder / "a.tar", "-o", m.folder / "a.tar.zst"], check=True)
    for archive in [*made, m.folder / "a.tar.zst"]:
        data = archive.name + ".mq"
        m.expect(tap, f"{archive.name}", ["import", archive.name, "-o", data], 0, out="12 pictures, 2 classes")
        tap.check(f"{archive.name}: the same bytes as from the folder", content(m.folder / data) == wanted
                  and is_clean(m, data))
    source = json.loads((m.folder / "a.zip.mq/dataset.json").read_text())["source"]
    digest = subprocess.run(["sha256sum", m.folder / "a.zip"], capture_output=True, text=True, check=True).stdout
    tap.check("the data set knows its archive", source["archive_sha256"] == digest.split()[0], source)


def test_update(tap, m):
    write_zip(m.folder / "u.zip", pictures())
    m.expect(tap, "an import to update", ["import", "u.zip", "-o", "u.mq"], 0)
    before = rows(m.folder / "u.mq")
    write_zip(m.folder / "u.zip", pictures(9))
    m.expect(tap, "an update from a larger archive", ["import", "u.zip", "-o", "u.mq", "--update"], 0,
             out="12 pictures keep their split, 6 are new")
    after = rows(m.folder / "u.mq")
    tap.check("known pictures keep their splits", all(after[name] == row for name, row in before.items())
              and len(after) == 18, after)
    m.expect(tap, "a dry run", ["import", "u.zip", "-o", "dry.mq", "--dry-run"], 0, out="18 pictures, 2 classes")
    tap.check("a dry run leaves nothing", not (m.folder / "dry.mq").exists())


def test_lists(tap, m):
    table = "path,label\n" + "".join(f"{name},{name.split('/')[0]}y\n" for name in pictures())
    write_zip(m.folder / "list.zip", {**pictures(), "labels.csv": table.encode()})
    m.expect(tap, "a table in an archive", ["import", "list.zip", "-o", "list.mq"], 0, out="class = label of the row")
    tap.check("its labels are the classes", {row[0] for row in rows(m.folder / "list.mq").values()} == {"redy", "bluey"})
    write_zip(m.folder / "notes.zip", {**pictures(), "notes.csv": b"who,when\nme,now\n"})
    m.expect(tap, "a table of something else", ["import", "notes.zip", "-o", "notes.mq"], 0, out="class = top folder")
    m.expect(tap, "--root with an archive", ["import", "list.zip", "-o", "x.mq", "--root", "loose"], 64, err="--root is for lists")


def test_names(tap, m):
    for name, words in {"../evil.png": "leads out of the archive", "red/../../evil.png": "leads out of the archive",
                        "red/..": "leads out of the archive", "/tmp/evil.png": "absolute name",
                        "d/" * 33 + "a.png": "below more than 32 folders", "n" * 256 + "/a.png": "is too long",
                        ("p" * 200 + "/") * 6 + "a.png": "is too long"}.items():
        short = name[:12].replace("/", "|")
        refuses(tap, m, f"zip, {short}", write_zip(m.folder / "bad.zip", {**pictures(), name: b"x"}), words)
        refuses(tap, m, f"tar, {short}", write_tar(m.folder / "bad.tar", {**pictures(), name: b"x"}), words)
    parts = ["a" * 255, "b" * 255, "c" * 255, "x"]
    for length, code in ((1023, 0), (1024, 65)):
        name = "/".join([*parts, "z" * (length - 770)])
        for kind, member in (("file", (name, png(9, 9, RED, 7))), ("folder", special(name, tarfile.DIRTYPE))):
            write_tar(m.folder / "long.tar", [*pictures().items(), member])
            run = m.expect(tap, f"a {kind} with a name of {length} bytes", ["import", "long.tar", "-o", f"{kind}{length}.mq"], code)
            tap.check(f"{kind}, {length}: told", ("is too long" in run.err) == (code != 0), run.err)
    odd = {"red/new\nline.png": png(9, 9, RED, 7), "blue/gr\u00fc\u00df \u20ac.png": png(9, 9, BLUE, 8)}
    for archive in (write_zip(m.folder / "odd.zip", {**pictures(), **odd}),
                    write_tar(m.folder / "odd.tar", {**pictures(), **odd})):
        m.expect(tap, f"odd names in {archive.name}", ["import", archive.name, "-o", archive.name + ".mq"], 0)
        tap.check(f"odd names in {archive.name} are kept", set(odd) <= set(rows(m.folder / (archive.name + ".mq"))))


def test_kinds(tap, m):
    good = list(pictures().items())
    for name, member, words in (
            ("a symbolic link", special("red/l.png", tarfile.SYMTYPE, "/etc/passwd"), "is a link"),
            ("a link to a folder", special("out", tarfile.SYMTYPE, "/tmp"), "is a link"),
            ("a hard link", special("red/h.png", tarfile.LNKTYPE, "red/0.png"), "is a link"),
            ("a device", special("red/d.png", tarfile.CHRTYPE), "device or pipe"),
            ("a named pipe", special("red/f.png", tarfile.FIFOTYPE), "device or pipe")):
        refuses(tap, m, f"tar, {name}", write_tar(m.folder / "bad.tar", [*good, member]), words)
    through = [*good, special("out", tarfile.SYMTYPE, ".."), ("out/evil.png", b"x")]
    refuses(tap, m, "tar, a file through a link", write_tar(m.folder / "bad.tar", through), "is a link")
    with zipfile.ZipFile(write_zip(m.folder / "bad.zip", pictures()), "a") as file:
        link = zipfile.ZipInfo("red/l.png", DATE)
        link.create_system, link.external_attr = 3, 0o120777 << 16
        file.writestr(link, "/etc/passwd")
    refuses(tap, m, "zip, a symbolic link", m.folder / "bad.zip", "is a link")


def test_doubles(tap, m):
    twice = [*pictures().items(), ("red/0.png", png(5, 5, RED, 3))]
    for name, members in {"a name": twice, "a name, written otherwise": [*twice[:-1], ("./red//0.png", b"x")],
                          "a folder that is a file": [*twice[:-1], ("red/0.png/a.png", b"x")],
                          "a file that is a folder": [*twice[:-1], ("red", b"x")]}.items():
        refuses(tap, m, f"tar, twice: {name}", write_tar(m.folder / "bad.tar", members), "two members named")
    warnings.simplefilter("ignore")
    refuses(tap, m, "zip, twice: a name", write_zip(m.folder / "bad.zip", twice), "two members named")


def test_bombs(tap, m):
    zeros = bytes(1 << 20)
    bomb = [*pictures().items(), *((f"red/z{i}.png", zeros) for i in range(80))]
    refuses(tap, m, "zip, a bomb", write_zip(m.folder / "bad.zip", bomb), "would grow to more than 67.1 MB")
    refuses(tap, m, "tar.gz, a bomb", write_tar(m.folder / "bad.tar.gz", bomb, "w:gz"), "would grow to more than")
    one = [*pictures().items(), ("red/z.png", zeros * 80)]
    refuses(tap, m, "tar.xz, one large member", write_tar(m.folder / "bad.tar.xz", one, "w:xz"), "would grow to more than")
    deep = [special("/".join([f"{i:x}", *"d" * 31]), tarfile.DIRTYPE) for i in range(600)]
    refuses(tap, m, "tar.gz, folders without end", write_tar(m.folder / "bad.tar.gz", [*pictures().items(), *deep], "w:gz"),
            "would grow to more than 67.1 MB")
    empty = [(f"red/{i}.txt", b"") for i in range(17000)]
    refuses(tap, m, "tar.gz, empty files without end", write_tar(m.folder / "bad.tar.gz", [*pictures().items(), *empty], "w:gz"),
            "would grow to more than 67.1 MB")
    (m.folder / "twice.tar.gz").write_bytes(gzip.compress((m.folder / "bad.tar.gz").read_bytes()))
    refuses(tap, m, "gzip within gzip", m.folder / "twice.tar.gz", "would grow to more than")


def is_sanitized(program):
    return b"__asan_init" in Path(program).read_bytes()


def test_isolation(tap, m):
    """What the unpacker may do: seen by strace, on kernels with Landlock."""
    if not shutil.which("strace"):
        tap.skip("the unpacker is shut in", "no strace")
        return
    if is_sanitized(m.program):
        tap.skip("the unpacker is shut in", "a sanitizer must read /proc at its end, and cannot be traced")
        return
    trace = m.folder / "trace"
    write_zip(m.folder / "t.zip", pictures())
    subprocess.run(["strace", "-f", "-o", trace, "-e", "trace=prlimit64,setrlimit,openat2,landlock_create_ruleset,landlock_restrict_self",
                    m.program, "import", "t.zip", "-o", "t.mq"], cwd=m.folder, env=m.environment(None), check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    text = trace.read_text()
    for limit in ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_CORE"):
        tap.check(f"the unpacker has {limit}", f"{limit}, {{" in text, text[:500])
    opened = [line for line in text.splitlines() if "openat2(" in line and "ENOSYS" not in line]
    tap.check("files are made below the folder only", "openat2(" in text and
              all("RESOLVE_BENEATH" in line and "RESOLVE_NO_SYMLINKS" in line for line in opened), text[-500:])
    if re.search(r"landlock_create_ruleset\(.*\)\s+= -1 E(NOSYS|OPNOTSUPP)", text):
        tap.skip("Landlock holds it", "this kernel has none")
    else:
        tap.check("Landlock holds it", re.search(r"landlock_restrict_self\(.*\)\s+= 0", text), text[-500:])


def main():
    tap = Tap()
    tests = (test_good, test_update, test_lists, test_names, test_kinds, test_doubles, test_bombs,
             test_isolation)
    with Marque() as m:
        for test in tests:
            test(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
