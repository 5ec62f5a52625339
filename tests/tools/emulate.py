#!/usr/bin/env python3
"""Runs unit tests on an emulated processor that has AVX-512 and bf16 (Bochs 3), for machines that have neither.

usage: tests/tools/emulate.py [TEST[:NAME] ...]
As root on Debian, behind scripts/test; needs debootstrap, xorriso, isolinux, syslinux-common, cpio and
busybox-static, and 1 GB of disk.

TEST is that of build/release/tests/test_TEST, NAME one test of it. Emulated are some 100 million instructions a
second: what takes seconds here takes a quarter of an hour there. All of these tests take twelve minutes.

The emulated processor is an Ice Lake that was given the instructions, but does not say so; a small library in
front of oneDNN's says it. oneDNN itself takes its own way to bf16 on AVX-512."""
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "emulator"
DEBIAN = WORK / "debian"
DEFAULT = ["rows", "windows", "mapped", "outer", "winograd", "depthwise", "trainable:test_bf16", "trainable:test_loops",
           "trainable:test_slices", "golden_training", "program:test_loops"]
PACKAGES = ["bochs", "bochs-term", "linux-image-cloud-amd64"]

SHIM = """
#include <stdlib.h>
void cmocka_set_test_filter(const char *pattern);
int dnnl_get_effective_cpu_isa(void) { return 0xe7; /* dnnl_cpu_isa_avx512_core_bf16 */ }
__attribute__((constructor)) static void choose(void) {
    if (getenv("NAME")) cmocka_set_test_filter(getenv("NAME"));
}
"""
INIT = """#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
exec >/dev/ttyS0 2>&1
export HOME=/tmp OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive LD_PRELOAD=/lib/shim.so
cd /tmp
for test in {tests}; do
    NAME=${{test#*:}} /tests/test_${{test%%:*}}
    echo "emulated $test: $?"
done
/bin/busybox sleep 2
/bin/busybox poweroff -f
"""
LOADER = """default linux
prompt 0
timeout 1
label linux
kernel /linux
append initrd=/files console=ttyS0 panic=1 mitigations=off lpj=4000000 quiet
"""
BOCHS = """megs: 2048
cpu: model=corei7_icelake_u, count=1, ips=100000000, ignore_bad_msrs=1, add_features="avx512bf16"
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
ata0: enabled=1
ata0-master: type=cdrom, path=/tmp/disc.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=/tmp/said
log: /tmp/log
panic: action=fatal
error: action=ignore
info: action=ignore
display_library: term
clock: sync=none
"""


def run(*command, **options):
    subprocess.run(command, check=True, **options)


def make_debian():
    """Debian 13, whose Bochs knows bf16; its kernel is the one that is emulated."""
    if (DEBIAN / "complete").exists():
        return
    shutil.rmtree(DEBIAN, ignore_errors=True)
    run("debootstrap", "--variant=minbase", "trixie", str(DEBIAN), stdout=subprocess.DEVNULL)
    run("chroot", str(DEBIAN), "apt-get", "install", "-qq", "--no-install-recommends", *PACKAGES, stdout=subprocess.DEVNULL)
    (DEBIAN / "complete").touch()


def copy_libraries(files, program):
    for line in subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout.splitlines():
        path = next((word for word in line.split() if word.startswith("/")), None)
        if path:
            to = files / path[1:]
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, to)


def make_disc(tests):
    files, disc = WORK / "files", WORK / "disc"
    for folder in (files, disc):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in ("bin", "proc", "dev", "tmp", "lib", "tests"):
        (files / folder).mkdir(parents=True)
    (disc / "isolinux").mkdir(parents=True)
    shutil.copy("/bin/busybox", files / "bin")
    (files / "init").write_text(INIT.format(tests=" ".join(t if ":" in t else t + ":*" for t in tests)))
    (files / "init").chmod(0o755)
    run("cc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(files / "lib/shim.so"), "-lcmocka", input=SHIM.encode())
    for name in {test.split(":")[0] for test in tests}:
        program = ROOT / "build/release/tests" / f"test_{name}"
        run("strip", str(program), "-o", str(files / "tests" / program.name))
        copy_libraries(files, str(program))
    run("sh", "-c", f"cd '{files}' && find . | cpio -o -H newc > '{disc}/files'", stderr=subprocess.DEVNULL)
    shutil.copy(next((DEBIAN / "boot").glob("vmlinuz-*")), disc / "linux")
    shutil.copy("/usr/lib/ISOLINUX/isolinux.bin", disc / "isolinux")
    shutil.copy("/usr/lib/syslinux/modules/bios/ldlinux.c32", disc / "isolinux")
    (disc / "isolinux/isolinux.cfg").write_text(LOADER)
    run("xorriso", "-as", "mkisofs", "-quiet", "-o", str(DEBIAN / "tmp/disc.iso"), "-b", "isolinux/isolinux.bin", "-c",
        "isolinux/boot.cat", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", str(disc))


def main():
    tests = sys.argv[1:] or DEFAULT
    if "-h" in tests or "--help" in tests:
        print(__doc__)
        return 0
    make_debian()
    make_disc(tests)
    said = DEBIAN / "tmp/said"
    said.unlink(missing_ok=True)
    (DEBIAN / "tmp/rc").write_text(BOCHS)
    # It wants a terminal to draw its screen on.
    run("script", "-qfc", f"chroot '{DEBIAN}' bochs -q -f /tmp/rc", "/dev/null", stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, env={**os.environ, "TERM": "xterm"})
    answer = said.read_text(errors="replace")
    print(answer)
    passed = sum(f"emulated {t if ':' in t else t + ':*'}: 0" in answer for t in tests)
    print(f"{passed} passed, {len(tests) - passed} failed")
    return 0 if passed == len(tests) else 1


if __name__ == "__main__":
    sys.exit(main())
