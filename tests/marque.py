"""marque.py: how Python tests run the program: in a folder of their own, with a cache of their own, without stdin.

    with Marque() as m:
        m.expect(tap, "no such file", ["predict", "nothing.safetensors", "a.jpg"], 66, err="nothing.safetensors")

MARQUE_BIN names the program; without it build/release/marque is taken.
"""
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# A suite in a script's background, or under nohup, was told to ignore these, and so would be all that it starts.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, handler)
SANITIZER = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:")


@dataclass
class Run:
    code: int
    out: str
    err: str


def obey_modes():
    """For preexec: root, too, may then write only where a file's mode allows it."""
    drop, override, read_search = 24, 1, 2  # PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    if os.geteuid() == 0:
        for capability in (override, read_search):
            ctypes.CDLL(None).prctl(drop, capability, 0, 0, 0)


def weights_cache():
    """Where marque keeps the weights it pulled for the user who runs the tests."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "marque" / "weights"


class Marque:
    def __init__(self, cache=None):
        """cache: the folder to take weights from (XDG_CACHE_HOME); without it an empty one."""
        self.program = os.environ.get("MARQUE_BIN") or str(ROOT / "build/release/marque")
        self.cache = cache

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="marque-cli-"))
        (self.folder / "home").mkdir()
        return self

    def __exit__(self, *_):
        for path in self.folder.rglob("*"):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
        shutil.rmtree(self.folder, ignore_errors=True)

    def share_weights(self):
        """Gives the test the user's weights in a cache of its own."""
        self.cache = self.folder / "cache"
        (self.cache / "marque").mkdir(parents=True)
        (self.cache / "marque/weights").symlink_to(weights_cache())

    def environment(self, env):
        full = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "MARQUE_"))}
        full.update(HOME=str(self.folder / "home"), LC_ALL="C.UTF-8")
        if self.cache:
            full["XDG_CACHE_HOME"] = str(self.cache)
        full.update(env or {})
        return full

    def run(self, args, env=None, stdin=b"", stdout=None, timeout=300, preexec=None):
        """Runs marque ARGS. stdout: None to read it, "full" (/dev/full), "closed", "pipe without reader"."""
        target, held = subprocess.PIPE, []
        if stdout == "full":
            target = open("/dev/full", "wb")
            held.append(target)
        elif stdout == "pipe without reader":
            reader, writer = os.pipe()
            os.close(reader)
            target = os.fdopen(writer, "wb")
            held.append(target)
        elif stdout == "closed":
            target, preexec = None, lambda: os.close(1)
        try:
            done = subprocess.run([self.program, *map(os.fsencode, map(str, args))], input=stdin, stdout=target,
                                  stderr=subprocess.PIPE, cwd=self.folder, env=self.environment(env),
                                  timeout=timeout, preexec_fn=preexec)
        finally:
            for file in held:
                file.close()
        decode = lambda data: (data or b"").decode("utf-8", "surrogateescape")  # noqa: E731
        code = done.returncode if done.returncode >= 0 else 128 - done.returncode
        return Run(code, decode(done.stdout), decode(done.stderr))

    def start(self, args, env=None):
        """A process of marque with its stderr to be read line by line."""
        return subprocess.Popen([self.program, *map(str, args)], cwd=self.folder, env=self.environment(env),
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    @staticmethod
    def worked(process):
        """Seconds of processor time that a process has used."""
        fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def let_work(self, process, seconds):
        """Waits until a process has used so much processor time, however slow the machine is; or has ended."""
        while process.poll() is None and self.worked(process) < seconds:
            time.sleep(0.005)

    def stop_when(self, args, words, number=signal.SIGINT, env=None):
        """Sends the signal once a line of stderr holds words; (exit code, all of stderr)."""
        process = self.start(args, env)
        text = ""
        for line in process.stderr:
            text += line
            if words in line:
                process.send_signal(number)
                break
        text += process.stderr.read()
        process.stderr.close()
        return process.wait(), text

    def expect(self, tap, name, args, code, out=None, err=None, no_err=None, **how):
        """One check: the exit code, what stdout and stderr must hold, what stderr must not. Returns the Run."""
        run = self.run(args, **how)
        problems = []
        if run.code != code:
            problems.append(f"exit code {run.code}, wanted {code}")
        for wanted, text, stream in ((out, run.out, "stdout"), (err, run.err, "stderr")):
            for word in [wanted] if isinstance(wanted, str) else wanted or []:
                if word not in text:
                    problems.append(f"{stream} lacks: {word}")
        if no_err and no_err in run.err:
            problems.append(f"stderr holds: {no_err}")
        problems += [f"a sanitizer spoke: {word}" for word in SANITIZER if word in run.err]
        tap.check(name, not problems, "\n".join([*problems, "stdout: " + run.out[-1500:], "stderr: " + run.err[-3000:]]))
        return run
