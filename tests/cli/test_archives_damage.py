"""test_archives_damage.py: archives that are cut, changed or endless, and imports that are stopped while they unpack."""
import gzip
import os
import signal
import sys
import tarfile
import time
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from archives import is_clean, pictures, refuses, special, write_tar, write_zip  # noqa: E402
from marque import Marque  # noqa: E402
from pictures import write_classes  # noqa: E402
from tap import Tap  # noqa: E402


def encrypt(path):
    """Sets the flag of encryption in both headers of the first member, which is all a reader goes by."""
    data = bytearray(path.read_bytes())
    data[6] |= 1
    central = data.index(b"PK\1\2")
    data[central + 8] |= 1
    path.write_bytes(data)
    return path


def test_many(tap, m):
    """A million members and one: empty tar headers, all of one kind, packed well."""
    header = special("d/", tarfile.DIRTYPE).tobuf(tarfile.USTAR_FORMAT)
    with gzip.open(m.folder / "many.tar.gz", "wb", 1) as file:
        for _ in range(1001):
            file.write(header * 1000)
    refuses(tap, m, "more than a million members", m.folder / "many.tar.gz", "more than 1000000 members")


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
    for name, at in (("checksum", -8), ("length", -4)):
        data = bytearray(write_tar(m.folder / "bad.tar.gz", pictures(), "w:gz").read_bytes())
        data[at] ^= 1
        (m.folder / "bad.tar.gz").write_bytes(data)
        refuses(tap, m, f"tar.gz, a wrong {name}", m.folder / "bad.tar.gz", "its checksum does not fit")
    for archive in (write_zip(m.folder / "whole.zip", pictures(2)), write_tar(m.folder / "whole.tar.gz", pictures(2), "w:gz"),
                    write_tar(m.folder / "whole.tar.xz", pictures(2), "w:xz")):
        whole = archive.read_bytes()
        problems = []
        cuts = range(1, len(whole) - 1, max(1, len(whole) // 12))
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
        problems, before, inside = [], set(os.listdir(m.folder.parent)), set(os.listdir(m.folder))
        for at in range(0, len(whole), max(1, len(whole) // 20)):
            data = bytearray(whole)
            data[at] ^= 0x41
            archive.write_bytes(data)
            run = m.run(["import", archive.name, "-o", "fuzz.mq", "--dry-run"])
            if run.code not in (0, 65, 66) or "stopped:" in run.err or (m.folder / "fuzz.mq").exists():
                problems.append(f"{at}: {run.code} {run.err}")
        tap.check(f"{archive.name} with a byte changed", not problems, "\n".join(problems))
        tap.check(f"{archive.name}: nothing outside", set(os.listdir(m.folder.parent)) <= before | {m.folder.name} and
                  set(os.listdir(m.folder)) <= inside, os.listdir(m.folder))


def start_slow(m, data):
    """A process of marque that unpacks for a while, once it has begun."""
    process = m.start(["import", "slow.tar", "-o", data])
    folder = m.folder / data / ".unpack.tmp"
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None and not (folder.is_dir() and any(folder.iterdir())):
        time.sleep(0.002)
    return process, folder


def test_stops(tap, m):
    """Ctrl-C, and kill -9 of marque: its child ends too, and the next import cleans up."""
    noise = os.urandom(64)
    write_tar(m.folder / "slow.tar", {**pictures(), **{f"red/n{i}.png": noise for i in range(20000)}})
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
    write_classes(m.folder / "loose", classes=2, each=6)
    m.expect(tap, "the next import", ["import", "loose", "-o", "kill.mq"], 0, out="12 pictures")
    tap.check("cleans up after the killed one", is_clean(m, "kill.mq"))


def main():
    tap = Tap()
    with Marque() as m:
        for test in (test_many, test_damage, test_fuzz, test_stops):
            test(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
