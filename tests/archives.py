"""archives.py: zip and tar files for the command-line tests, and how a bad one must be refused."""
import io
import tarfile
import zipfile

from pictures import png

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


def write_tar(path, members, mode="w"):
    """Members are name -> bytes, or TarInfo objects in a list."""
    with tarfile.open(path, mode, format=tarfile.PAX_FORMAT) as file:
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


def is_clean(m, data):
    """Nothing of an unpacked archive is left; and of a failed import nothing at all."""
    return not (m.folder / data).exists() or not (m.folder / data / ".unpack.tmp").exists()


def refuses(tap, m, name, archive, err, code=65):
    run = m.expect(tap, name, ["import", archive.name, "-o", "bad.mq"], code, err=err)
    tap.check(f"{name}: leaves nothing", not (m.folder / "bad.mq").exists() and not (m.folder / "evil.png").exists()
              and not (m.folder.parent / "evil.png").exists() and "stopped:" not in run.err, run.err)
