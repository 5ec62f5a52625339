"""test_deb.py: the Debian package, from cpack to a prediction in a Debian that has nothing but its essential packages.

That Debian is made by debootstrap from the mirror of this machine's own apt, kept in build/debian together with the
packages fetched into it, and copied for each run. Needs root, and to mount /proc in it; skipped without.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from marque import ROOT, Marque  # noqa: E402
from small_model import BUILD, make_model, pictures, top_answers  # noqa: E402
from tap import Tap  # noqa: E402

KEPT = ROOT / "build/debian"
# What says how packages come to this machine; the copy gets the same.
SETTINGS = ("apt/sources.list", "apt/sources.list.d", "apt/apt.conf.d", "resolv.conf", "hosts", "ssl/certs/ca-certificates.crt")
PATHS = "/usr/sbin:/usr/bin:/sbin:/bin"


def call(argv, **how):
    done = subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **how)
    return done.returncode, done.stdout.decode("utf-8", "replace")


def works(tap, name, argv, **how):
    code, text = call(argv, **how)
    tap.check(name, code == 0, text[-4000:])
    return text if code == 0 else ""


def make_package(tap, m):
    """The path of the package, built from the release build; None where that fails."""
    works(tap, "cpack -G DEB", ["cpack", "-G", "DEB", "-B", m.folder / "deb"], cwd=BUILD)
    packages = list((m.folder / "deb").glob("*.deb"))
    return packages[0] if tap.check("one package", len(packages) == 1, packages) else None


def test_control(tap, package):
    control = works(tap, "its control file is read", ["dpkg-deb", "-f", package])
    fields = dict(re.findall(r"^([\w-]+): (.*)$", control, re.M))
    tap.check("fields a package needs", fields.get("Package") == "marque" and fields.get("Section") == "science" and
              fields.get("Priority") == "optional" and "@" in fields.get("Maintainer", ""), control)
    names = {row.split()[0] for row in fields.get("Depends", "").split(", ") if row}
    wanted = {"libc6", "libdnnl2", "libhdf5-103-1", "libcurl4", "libjansson4", "libgomp1"}
    tap.check("it depends on the libraries it was linked with", wanted <= names, fields.get("Depends"))
    tap.check("and on none for building", not [n for n in names if n.endswith("-dev")], names)
    long_lines = [line for line in control.splitlines() if line.startswith(" ") and len(line) > 80]
    tap.check("its description fits a terminal", "\n " in control and not long_lines, long_lines)
    parts = works(tap, "its control archive is read", ["bash", "-c", f'dpkg-deb --ctrl-tarfile "{package}" | tar t'])
    files = {line.removeprefix("./") for line in parts.split() if line != "./"}
    tap.check("no conffiles; the only scripts are those that cpack adds for ldconfig",
              files == {"control", "md5sums", "shlibs", "triggers", "postinst", "postrm"}, files)


def test_contents(tap, m, package):
    listing = works(tap, "its contents are listed", ["dpkg-deb", "-c", package])
    rows = [line.split(None, 5) for line in listing.splitlines()]
    tap.check("all of it is root's, below /usr", rows and all(r[1] == "root/root" and r[5].startswith("./usr/") for r in rows), listing)
    strange = [r for r in rows if r[0] not in ("drwxr-xr-x", "-rwxr-xr-x", "-rw-r--r--", "lrwxrwxrwx")]
    tap.check("with plain modes", not strange, strange)
    root = m.folder / "unpacked"
    works(tap, "it unpacks", ["dpkg-deb", "-x", package, root])
    for name in ("usr/bin/marque", "usr/libexec/marque/marque-convert", "usr/lib/libmarque.so"):
        _, sections = call(["readelf", "-SW", root / name])
        tap.check(f"{name} is stripped", ".text" in sections and ".debug_info" not in sections and ".symtab" not in sections)


def mirror():
    """(address, release) of this machine's Debian, as its own apt says; None without."""
    release = re.search(r"VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text())
    _, text = call(["apt-get", "indextargets", "--no-release-info", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)",
                    "Identifier: Packages"])
    rows = [line.split() for line in text.splitlines()]
    return next(((r[0], r[1]) for r in rows if release and r[1:] == [release.group(1), "main"]), None)


def copy_settings(root):
    for name in SETTINGS:
        source, target = Path("/etc") / name, root / "etc" / name
        for file in [f for f in source.iterdir() if f.is_file()] if source.is_dir() else [source] if source.is_file() else []:
            copy = target / file.name if source.is_dir() else target
            copy.unlink(missing_ok=True)  # it may be a link, which from here leads out of the root
            shutil.copyfile(file, copy)


def remove(folder):
    """Removes a root; not what is mounted in it, should anything be."""
    call(["rm", "-rf", "--one-file-system", folder])


def way_to_mount(m):
    """How commands are run that mount: in a namespace of their own where that can be had (not below a chroot), else as
    they are; None where mounting is not allowed."""
    (m.folder / "mount").mkdir()
    trial = ["sh", "-c", 'mount -t proc proc "$1" && umount "$1"', "sh", m.folder / "mount"]
    ways = (["unshare", "--mount"], [])
    return next((way for way in ways if os.geteuid() == 0 and call([*way, *trial])[0] == 0), None)


def base_root(tap, way, address, release):
    """The folder of a minimal Debian, made once."""
    base = KEPT / release
    if (base / "ready").is_file():
        return base
    remove(base)
    KEPT.mkdir(parents=True, exist_ok=True)
    works(tap, "debootstrap makes a minimal Debian", [*way, "debootstrap", "--variant=minbase", "--include=ca-certificates",
                                                      release, base, address])
    if not (base / "usr/bin/apt-get").exists():
        return None
    copy_settings(base)
    (base / "ready").touch()
    return base


def inside(way, root, *words):
    """The call of a command in the root, which has a /proc as long as it runs, and the few devices of debootstrap."""
    script = ('root=$1; shift; mount -t proc proc "$root/proc" || exit; '
              f'chroot "$root" /usr/bin/env -i PATH={PATHS} HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"; '
              'code=$?; umount "$root/proc"; exit $code')
    return [*way, "sh", "-c", script, "sh", root, *words]


def test_in_debian(tap, m, package, way, root):
    def run(name, *words):
        return works(tap, name, inside(way, root, *words))

    kept = KEPT / "archives"
    (root / "var/cache/kept/partial").mkdir(parents=True)
    for file in kept.glob("*.deb"):
        shutil.copyfile(file, root / "var/cache/kept" / file.name)
    shutil.copyfile(package, root / "marque.deb")
    options = ["-o", "Dir::Cache::archives=/var/cache/kept", "-o", "APT::Keep-Downloaded-Packages=true"]
    run("apt-get update", "apt-get", "update", "-q")
    run("apt installs it with all it needs", "apt-get", "install", "-qy", "--no-install-recommends", *options, "/marque.deb")
    kept.mkdir(exist_ok=True)
    for file in (root / "var/cache/kept").glob("*.deb"):
        shutil.copyfile(file, kept / file.name)
    version = re.search(r"VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text().partition("project(marque ")[2]).group(1)
    text = run("marque --version", "marque", "--version")
    tap.check("tells the version", text == f"marque {version}\n", text)
    text = run("marque doctor", "marque", "doctor")
    tap.check("misses the weights alone", "marque pull xception" in text and "marque-convert" not in text, text)
    tap.check("the loader knows the library", "libmarque.so.0" in run("ldconfig", "ldconfig", "-p"))
    model = make_model(tap, m)
    files = pictures(m)
    (root / "asked").mkdir()
    shutil.copyfile(model, root / "asked/model.safetensors")
    for i, file in enumerate(files):
        shutil.copyfile(file, root / f"asked/{i}")
    mine = m.expect(tap, "predict as built", ["predict", model, *files, "--json"], 0)
    text = run("predict as installed", "marque", "predict", "/asked/model.safetensors",
               *(f"/asked/{i}" for i in range(len(files))), "--json")
    tap.check("gives the same answers", text and top_answers(text) == top_answers(mine.out), (text, mine.out))
    run("apt removes it", "apt-get", "remove", "-qy", "marque")
    left = [str(p) for p in root.glob("usr/**/*marque*")]
    tap.check("and nothing of it stays", not left, left)


def main():
    tap = Tap()
    with Marque() as m:
        m.share_weights()
        package = make_package(tap, m)
        if not package:
            return tap.done()
        test_control(tap, package)
        test_contents(tap, m, package)
        way = way_to_mount(m)
        if way is None:
            tap.skip("in a clean Debian", "needs root, and to mount")
            return tap.done()
        source = mirror()
        if not source:
            tap.skip("in a clean Debian", "this machine's apt has no Debian of its own release")
            return tap.done()
        for old in KEPT.glob("root-*"):
            remove(old)
        base = base_root(tap, way, *source)
        if tap.check("a minimal Debian is there", base):
            root = Path(tempfile.mkdtemp(prefix="root-", dir=KEPT))
            try:
                works(tap, "it is copied", ["cp", "-a", "--reflink=auto", f"{base}/.", root])
                test_in_debian(tap, m, package, way, root)
            finally:
                remove(root)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
