"""test_archives.py: marque import of zip and tar files, good ones and those that were made to harm."""
import csv
import gzip
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import warnings
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from marque import Marque  # noqa: E402
from pictures import png, write_classes  # noqa: E402
from tap import Tap  # noqa: E402

DATE = (2020, 1, 1, 0, 0, 0)
RED, BLUE = (200, 20, 20), (20, 20, 200)


def pictures(each=6):
    """name -> bytes, two classes."""
    return {f"{name}/{i}.png": png(9 + i, 8, tint, 1 + i) for name, tint in (("red", RED), ("blue", BLUE))
            for i in range(each)}


def write_zip(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w") as file:
        for name, data in members if isinstance(members, list) else members.items():
            info = zipfile.ZipInfo(name, DATE)
            info.compress_type = method
            file.writestr(info, data)
    return path


def write_tar(path, members, mode="w", **how):
    """Members are name -> bytes, or TarInfo objects in a list."""
    with tarfile.open(path, mode, format=tarfile.PAX_FORMAT, **how) as file:
        for member in members.items() if isinstance(members, dict) else members:
            if isinstance(member, tarfile.TarInfo):
                file.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            file.addfile(info, io.BytesIO(member[1]))
    return path


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def rows(data):
    with open(data / "split.csv", newline="", encoding="utf-8") as file:
        return {row["file"]: (row["class"], row["split"]) for row in csv.DictReader(file)}


def content(folder):
    """All but dataset.json, which names the archive."""
    return {f.name: f.read_bytes() for f in folder.iterdir() if f.name not in (".lock", "dataset.json")}


def is_clean(m, data):
    """Nothing of an unpacked archive is left; and of a failed import nothing at all."""
    return not (m.folder / data).exists() or not (m.folder / data / ".unpack.tmp").exists()


def refuses(tap, m, name, archive, err, code=65):
    run = m.expect(tap, name, ["import", archive.name, "-o", "bad.mq"], code, err=err)
    tap.check(f"{name}: leaves nothing", not (m.folder / "bad.mq").exists() and not (m.folder / "evil.png").exists()
              and not (m.folder.parent / "evil.png").exists() and "stopped:" not in run.err, run.err)


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
    (m.folder / "twice.tar.gz").write_bytes(gzip.compress((m.folder / "bad.tar.gz").read_bytes()))
    refuses(tap, m, "gzip within gzip", m.folder / "twice.tar.gz", "would grow to more than")


def test_many(tap, m):
    """A million members and one: empty tar headers, all of one kind, packed well."""
    header = special("d/", tarfile.DIRTYPE).tobuf(tarfile.USTAR_FORMAT)
    with gzip.open(m.folder / "many.tar.gz", "wb", 1) as file:
        for _ in range(1001):
            file.write(header * 1000)
    refuses(tap, m, "more than a million members", m.folder / "many.tar.gz", "more than 1000000 members")


def encrypt(path):
    """Sets the flag of encryption in both headers of the first member, which is all a reader goes by."""
    data = bytearray(path.read_bytes())
    data[6] |= 1
    central = data.index(b"PK\1\2")
    data[central + 8] |= 1
    path.write_bytes(data)
    return path


def test_damage(tap, m):
    refuses(tap, m, "zip, encrypted", encrypt(write_zip(m.folder / "bad.zip", pictures())), "encrypted")
    (m.folder / "bad.zip").write_bytes(b"Rar!\x1a\x07\0 not a zip")
    refuses(tap, m, "another format by that name", m.folder / "bad.zip", "no zip or tar")
    (m.folder / "bad.zip").write_bytes(b"")
    refuses(tap, m, "an empty file", m.folder / "bad.zip", "no zip or tar")
    write_zip(m.folder / "empty.zip", {})
    refuses(tap, m, "an archive of nothing", m.folder / "empty.zip", "empty.zip: cut short, damaged or no zip")
    write_zip(m.folder / "text.zip", {"a/1.txt": b"words", "b/1.txt": b"words"})
    refuses(tap, m, "an archive without pictures", m.folder / "text.zip", "text.zip: no pictures in class folders", 66)
    data = bytearray(write_zip(m.folder / "bad.zip", pictures(), zipfile.ZIP_STORED).read_bytes())
    data[data.index(b"IDAT") + 6] ^= 1
    (m.folder / "bad.zip").write_bytes(data)
    refuses(tap, m, "zip, a wrong checksum", m.folder / "bad.zip", "cut short, damaged")
    for archive in (write_zip(m.folder / "whole.zip", pictures(2)), write_tar(m.folder / "whole.tar.gz", pictures(2), "w:gz"),
                    write_tar(m.folder / "whole.tar.xz", pictures(2), "w:xz")):
        whole = archive.read_bytes()
        problems = []
        cuts = range(1, len(whole) - 1, max(1, len(whole) // 25))
        for cut in cuts:
            (m.folder / ("cut-" + archive.name)).write_bytes(whole[:cut])
            run = m.run(["import", "cut-" + archive.name, "-o", "bad.mq"])
            if run.code != 65 or "stopped:" in run.err or (m.folder / "bad.mq").exists():
                problems.append(f"{cut}: {run.code} {run.err}")
        tap.check(f"{archive.name} cut at {len(cuts)} places is refused", not problems, "\n".join(problems))


def test_fuzz(tap, m):
    """Bytes changed one at a time: an import or a refusal, no crash of the unpacker, nothing outside."""
    for archive in (write_zip(m.folder / "fuzz.zip", pictures(2)), write_tar(m.folder / "fuzz.tar", pictures(2))):
        whole = archive.read_bytes()
        problems, before = [], set(os.listdir(m.folder.parent))
        for at in range(0, len(whole), max(1, len(whole) // 40)):
            data = bytearray(whole)
            data[at] ^= 0x41
            archive.write_bytes(data)
            run = m.run(["import", archive.name, "-o", "fuzz.mq", "--dry-run"])
            if run.code not in (0, 65, 66) or "stopped:" in run.err or (m.folder / "fuzz.mq").exists():
                problems.append(f"{at}: {run.code} {run.err}")
        tap.check(f"{archive.name} with a byte changed", not problems, "\n".join(problems))
        tap.check(f"{archive.name}: nothing outside", "evil.png" not in set(os.listdir(m.folder.parent)) - before)


def start_slow(m, data):
    """A process of marque that unpacks for a while, once it has begun."""
    process = m.start(["import", "slow.tar.xz", "-o", data])
    folder = m.folder / data / ".unpack.tmp"
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None and not (folder.is_dir() and any(folder.iterdir())):
        time.sleep(0.002)
    return process, folder


def test_stops(tap, m):
    """Ctrl-C, and kill -9 of marque: its child ends too, and the next import cleans up."""
    noise = os.urandom(1 << 20)
    members = {**pictures(), **{f"red/n{i}.bin": noise for i in range(150)}}
    write_tar(m.folder / "slow.tar.xz", members, "w:xz", preset=0)
    process, folder = start_slow(m, "int.mq")
    process.send_signal(signal.SIGINT)
    err = process.communicate()[1]
    tap.check("Ctrl-C while it unpacks", process.returncode == -signal.SIGINT and "stopped; nothing was written" in err,
              f"{process.returncode} {err}")
    tap.check("Ctrl-C leaves nothing", not (m.folder / "int.mq").exists())
    process, folder = start_slow(m, "kill.mq")
    process.kill()
    process.communicate()
    time.sleep(0.5)
    first = sum(1 for _ in folder.rglob("*"))
    time.sleep(0.5)
    tap.check("kill -9: the child ends with marque", first > 0 and sum(1 for _ in folder.rglob("*")) == first, first)
    m.expect(tap, "the next import", ["import", "loose", "-o", "kill.mq"], 0, out="12 pictures")
    tap.check("cleans up after the killed one", is_clean(m, "kill.mq"))


def test_isolation(tap, m):
    """What the unpacker may do: seen by strace, on kernels with Landlock."""
    if not shutil.which("strace"):
        tap.skip("the unpacker is shut in", "no strace")
        return
    trace = m.folder / "trace"
    write_zip(m.folder / "t.zip", pictures())
    subprocess.run(["strace", "-f", "-o", trace, "-e", "trace=prlimit64,setrlimit,openat2,landlock_restrict_self",
                    m.program, "import", "t.zip", "-o", "t.mq"], cwd=m.folder, env=m.environment(None), check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    text = trace.read_text()
    for limit in ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_CORE"):
        tap.check(f"the unpacker has {limit}", f"{limit}, {{" in text, text[:500])
    opened = [line for line in text.splitlines() if "openat2(" in line and "ENOSYS" not in line]
    tap.check("files are made below the folder only", "openat2(" in text and
              all("RESOLVE_BENEATH" in line and "RESOLVE_NO_SYMLINKS" in line for line in opened), text[-500:])
    tap.check("Landlock holds it", "landlock_restrict_self" in text or not Path("/sys/kernel/security/landlock").exists(),
              text[-500:])


def main():
    tap = Tap()
    tests = (test_good, test_update, test_lists, test_names, test_kinds, test_doubles, test_bombs, test_many,
             test_damage, test_fuzz, test_stops, test_isolation)
    with Marque() as m:
        for test in tests:
            test(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
