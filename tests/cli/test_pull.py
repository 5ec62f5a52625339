"""test_pull.py: marque pull against a server of its own: good files, cut ones, changed ones, wrong ones."""
import hashlib
import http.server
import json
import os
import re
import resource
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from marque import ROOT, Marque, obey_modes  # noqa: E402
from tap import Tap  # noqa: E402

MODEL = (ROOT / "tests/data/weights/tiny.keras").read_bytes()  # a model, but not the weights of xception
REFUSED = "not the weights of xception"
PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>\n"


# Stands in for marque-convert: whatever the file, it holds the wanted tensors, of zeros.
CONVERTER = """import json, struct, sys
header, at = {"__metadata__": {"format": "zeros", "keras_version": ""}}, 0
for layer in json.load(sys.stdin)["layers"]:
    for param in layer["params"]:
        size = 4
        for side in param["shape"]:
            size *= side
        header[layer["layer"] + "/" + param["name"]] = {"dtype": "F32", "shape": param["shape"], "data_offsets": [at, at + size]}
        at += size
text = json.dumps(header).encode()
sys.stdout.buffer.write(struct.pack("<Q", len(text)) + text + bytes(at))
"""


class Handler(http.server.BaseHTTPRequestHandler):
    """Each path is a behaviour. The server counts what was asked: (path, Range, If-Range)."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def head(self, code, length, *headers):
        self.send_response(code)
        self.send_header("Content-Length", str(length))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def do_GET(self):
        wanted, condition = self.headers.get("Range"), self.headers.get("If-Range")
        self.server.asked.append((self.path, wanted, condition))
        getattr(self, "do_" + self.path.strip("/").split("?")[0].replace("-", "_"))(wanted, condition)

    def body(self, data, wanted, condition, etag='"v1"', cut=None, status=206):
        """data, or what follows the range; cut ends the connection after so many bytes."""
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted).group(1)) if wanted and condition == etag else 0
        etags = [("ETag", etag)] if etag else []
        if start:
            self.head(status, len(data) - start, *etags, ("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}"))
        else:
            self.head(200, len(data), *etags)
        self.wfile.write(data[start:cut])
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True

    def do_model(self, wanted, condition):
        self.body(MODEL, wanted, condition)

    def do_cut_once(self, wanted, condition):
        self.body(MODEL, wanted, condition, cut=None if wanted else 20000)

    def do_cut_weak(self, wanted, condition):
        self.body(MODEL, wanted, condition, etag='W/"v1"', cut=20000 if len(self.server.asked) == 1 else None)

    def do_changed(self, wanted, condition):
        first = len(self.server.asked) == 1
        self.body(bytes(len(MODEL)) if first else MODEL, wanted, condition, etag='"old"' if first else '"new"',
                  cut=20000 if first else None)

    def do_careless(self, wanted, condition):
        """Ignores If-Range: a range of another file, which only its ETag tells."""
        first = len(self.server.asked) == 1
        if wanted:
            self.head(206, len(MODEL) - 20000, ("ETag", '"new"'),
                      ("Content-Range", f"bytes 20000-{len(MODEL) - 1}/{len(MODEL)}"))
            self.wfile.write(MODEL[20000:])
        else:
            self.body(bytes(len(MODEL)) if first else MODEL, None, None, etag='"old"' if first else '"new"',
                      cut=20000 if first else None)

    def do_wrong_place(self, wanted, condition):
        """A range that begins elsewhere than asked."""
        if wanted:
            self.head(206, len(MODEL) - 5, ("ETag", '"v1"'),
                      ("Content-Range", f"bytes 5-{len(MODEL) - 1}/{len(MODEL)}"))
            self.wfile.write(MODEL[5:])
        else:
            self.body(MODEL, None, None, cut=20000 if len(self.server.asked) == 1 else None)

    def do_no_ranges(self, wanted, condition):
        self.body(MODEL, None, None, cut=20000 if len(self.server.asked) == 1 else None)

    def do_too_far(self, wanted, condition):
        if wanted:
            self.head(416, 0)
        else:
            self.body(MODEL, None, None, cut=20000 if len(self.server.asked) == 1 else None)

    def do_always_part(self, wanted, condition):
        """206 to whatever is asked, and no word of which part it is."""
        self.head(206, len(MODEL), ("ETag", '"v1"'))
        self.wfile.write(MODEL)

    def do_first_part(self, wanted, condition):
        """A part that nobody asked for, told rightly."""
        self.head(206, 20000, ("Content-Range", f"bytes 0-19999/{len(MODEL)}"))
        self.wfile.write(MODEL[:20000])

    def do_page(self, wanted, condition):
        self.head(200, len(PAGE), ("Content-Type", "text/html"))
        self.wfile.write(PAGE)

    def do_missing(self, wanted, condition):
        self.head(404, len(PAGE))
        self.wfile.write(PAGE)

    def do_to_http(self, wanted, condition):
        self.head(302, 0, ("Location", "http://127.0.0.1:1/model"))

    def do_to_https(self, wanted, condition):
        self.head(302, 0, ("Location", "/model"))

    def do_round(self, wanted, condition):
        self.head(302, 0, ("Location", "/round"))

    def do_large(self, wanted, condition):
        self.head(200, 1 << 40)

    def do_endless(self, wanted, condition):
        """Announces no length and never ends, slowly enough to be stopped."""
        self.send_response(200)
        self.send_header("ETag", '"v1"')
        self.end_headers()
        self.close_connection = True
        try:
            while True:
                self.wfile.write(bytes(4096))
                time.sleep(0.05)
        except OSError:
            pass


class Server:
    def __init__(self, folder, tls=True):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.asked = []
        self.server.daemon_threads = True
        self.certificate = folder / "certificate.pem"
        key = folder / "key.pem"
        if tls:
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                            "-nodes", "-keyout", key, "-out", self.certificate, "-days", "2", "-subj", "/CN=localhost",
                            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate, key)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.server.handle_error = lambda *_: None
        self.base = f"{'https' if tls else 'http'}://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path):
        self.server.asked.clear()
        return f"{self.base}/{path}"


def cached(m):
    return m.folder / "home/.cache/marque/weights"


def left_over(m):
    """What lies in the cache beside the lock."""
    return sorted(p.name for p in cached(m).iterdir() if p.name != ".lock") if cached(m).exists() else []


def clean(m):
    shutil.rmtree(cached(m), ignore_errors=True)


def test_words(tap, m):
    m.expect(tap, "--list", ["pull", "--list"], 0, out=["xception", "84 MB", "Apache-2.0", "not here"])
    m.expect(tap, "no name", ["pull"], 64, err="which network? marque pull --list shows them")
    m.expect(tap, "a network nobody knows", ["pull", "xceptoin"], 64, err="xceptoin is not a network marque knows")
    m.expect(tap, "--sha256 without --from", ["pull", "xception", "--sha256", "0" * 64], 64, err="belongs to --from")
    m.expect(tap, "a short --sha256", ["pull", "xception", "--from", "a", "--sha256", "12"], 64, err="64 hexadecimal")
    m.expect(tap, "no such file", ["pull", "xception", "--from", "nothing.keras"], 66,
             err="nothing.keras: no such regular file")
    m.expect(tap, "plain http", ["pull", "xception", "--from", "http://example.org/a.keras"], 64, err="by https:// only")
    m.expect(tap, "another scheme", ["pull", "xception", "--from", "file:///etc/passwd"], 64, err="by https:// only")
    m.expect(tap, "no folder for the cache", ["pull", "xception"], 73, err="set HOME or XDG_CACHE_HOME",
             env={"HOME": "", "XDG_CACHE_HOME": ""})


def test_offline(tap, m):
    """By name, with a proxy that does not exist in place of the network."""
    env = {"https_proxy": "http://127.0.0.1:1"}
    run = m.expect(tap, "offline: the address, the checksum and what to do", ["pull", "xception"], 69, env=env, err=[
        "downloading xception: 84 MB, Apache-2.0", "cannot be reached",
        "https://storage.googleapis.com/tensorflow/keras-applications/xception/"
        "xception_weights_tf_dim_ordering_tf_kernels_notop.h5", "MD5 b0042744bf5b25fce3cb969f33bebb97",
        "marque pull xception --from FILE"])
    tap.check("in one sentence", run.err.count("\n") == 2, run.err)
    tap.check("and nothing is left", left_over(m) == [], left_over(m))


def pulls(tap, m, server, name, path, code, err, asked=None, sha256=hashlib.sha256(MODEL).hexdigest()):
    """One pull from the server. The model never is xception's, so that 65 and REFUSED mean: it came whole."""
    url = server.url(path) if asked is None else f"{server.base}/{path}"
    before = len(server.server.asked)
    args = ["pull", "xception", "--from", url] + (["--sha256", sha256] if sha256 else [])
    run = m.expect(tap, name, args, code, err=err, env={"SSL_CERT_FILE": str(server.certificate)})
    if asked is not None:
        got = [(r, c) for _, r, c in server.server.asked[before:]]
        tap.check(f"{name}: asks rightly", got == asked, got)
    return run


def test_download(tap, m, server):
    pulls(tap, m, server, "a good download reaches the converter", "model", 65, REFUSED)
    tap.check("and leaves nothing", left_over(m) == [], left_over(m))
    pulls(tap, m, server, "a redirect within https", "to-https", 65, REFUSED)
    pulls(tap, m, server, "a redirect to http", "to-http", 69, "address that is not https")
    pulls(tap, m, server, "a redirect without end", "round", 69, "redirects")
    pulls(tap, m, server, "404", "missing", 69, "the server answers 404")
    pulls(tap, m, server, "a wrong checksum", "model", 65, ["with the SHA-256", "nothing of it is kept"], sha256="0" * 64)
    pulls(tap, m, server, "a login page", "page", 65, "it is a web page: does this network ask for a login?")
    pulls(tap, m, server, "a page without checksum", "page", 65, "neither a .keras nor an .h5 file", sha256=None)
    pulls(tap, m, server, "a file too large", "large", 65, "is larger than the 671 MB")
    for path in ("always-part", "first-part"):
        pulls(tap, m, server, f"{path}: 206 to a request of the whole", path, 69, "answers with a part nobody asked for",
              asked=[(None, None)] * 2, sha256=None)
    tap.check("none of them leaves anything", left_over(m) == [], left_over(m))
    m.expect(tap, "a certificate nobody signed", ["pull", "xception", "--from", server.url("model")], 69,
             err="certificate")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    m.expect(tap, "nobody listens", ["pull", "xception", "--from", f"https://127.0.0.1:{port}/a.keras"], 69,
             err="cannot be reached")


def test_secrets(tap, m, server):
    """What an address holds of names, passwords and tokens is used, but told nobody."""
    for path, code, told in (("model", 65, REFUSED), ("missing", 69, "answers 404"), ("page", 65, "neither")):
        url = server.url(path + "?token=hush#hush").replace("://", "://hush:hu%40sh@")
        run = m.expect(tap, f"an address with secrets: {path}", ["pull", "xception", "--from", url], code,
                       err=[told, f"from {server.base}/{path}\n"], env={"SSL_CERT_FILE": str(server.certificate)})
        tap.check(f"{path}: they are asked with", server.server.asked[0][0] == f"/{path}?token=hush", server.server.asked)
        tap.check(f"{path}: they are told nobody", "hush" not in run.err + run.out and "40sh" not in run.err, run.err)
    run = m.expect(tap, "a scheme nobody knows", ["pull", "xception", "--from", "ftp://me:hush@example.org/a?hush"], 64,
                   err="ftp://example.org/a: marque downloads by https:// only")
    tap.check("tells none either", "hush" not in run.err, run.err)


def test_secrets_stored(tap, m, server):
    """Nor does the file say them that models repeat."""
    folder, real = m.folder / "programs", m.program
    folder.mkdir()
    shutil.copy(real, folder / "marque")
    (folder / "marque-convert").write_text(f"#!{sys.executable}\n{CONVERTER}")
    (folder / "marque-convert").chmod(0o755)
    m.program = folder / "marque"
    url = server.url("model?token=hush").replace("://", "://me:hush@")
    m.expect(tap, "weights from an address with secrets", ["pull", "xception", "--from", url], 0,
             env={"SSL_CERT_FILE": str(server.certificate)})
    m.program = real
    stored = (cached(m) / "xception.safetensors").read_bytes()
    header = json.loads(stored[8:8 + struct.unpack("<Q", stored[:8])[0]])
    tap.check("know their address without them", header["__metadata__"]["source"] == f"{server.base}/model" and b"hush" not in stored,
              header["__metadata__"])
    clean(m)


def test_resume(tap, m, server):
    """Each path is cut once after 20,000 bytes; the second pull must end with the whole model."""
    rest, fresh = ("bytes=20000-", '"v1"'), (None, None)
    for path, name, second in (
            ("cut-once", "goes on where it was cut", [rest]),
            ("no-ranges", "200 instead of 206 begins again", [rest]),
            ("wrong-place", "another range than asked begins again", [rest, fresh]),
            ("too-far", "416 begins again", [rest, fresh]),
            ("cut-weak", "a weak ETag begins again", [fresh]),
            ("changed", "a changed ETag begins again", [("bytes=20000-", '"old"')]),
            ("careless", "a range of a changed file begins again", [("bytes=20000-", '"old"'), fresh])):
        clean(m)
        pulls(tap, m, server, f"{path}: is cut", path, 69, "the same line goes on from there")
        tap.check(f"{path}: 20,000 bytes are kept", (cached(m) / "xception.safetensors.download.part").stat().st_size
                  == 20000, left_over(m))
        pulls(tap, m, server, name, path, 65, REFUSED, asked=second)
        tap.check(f"{path}: nothing is left", left_over(m) == [], left_over(m))


def test_other_address(tap, m, server):
    """An ETag names a version of what one address gives, and says nothing of another's."""
    clean(m)
    pulls(tap, m, server, "cut", "cut-once", 69, "the same line goes on from there")
    pulls(tap, m, server, "another address with the same ETag begins again", "model", 65, REFUSED, asked=[(None, None)])


def test_stop(tap, m, server):
    """SIGINT during a download keeps what came and exits as resumable."""
    clean(m)
    env = dict(m.environment({"SSL_CERT_FILE": str(server.certificate)}))
    with subprocess.Popen([m.program, "pull", "xception", "--from", server.url("endless")], env=env, cwd=m.folder,
                          stderr=subprocess.PIPE, text=True) as process:
        part, deadline = cached(m) / "xception.safetensors.download.part", time.monotonic() + 30
        while time.monotonic() < deadline and not (part.exists() and part.stat().st_size):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        err = process.communicate(timeout=30)[1]
    tap.check("a stopped download exits 75", process.returncode == 75 and "the same line goes on" in err,
              f"{process.returncode} {err}")
    tap.check("and keeps what came", part.exists() and part.stat().st_size > 0, left_over(m))
    clean(m)


def test_disk(tap, m, server):
    """A limit on the size of files stands in for a full disk."""
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000))
    clean(m)
    m.expect(tap, "a full disk during a download", ["pull", "xception", "--from", server.url("model")], 74,
             err="cannot be written", env={"SSL_CERT_FILE": str(server.certificate)}, preexec=limit)
    tap.check("leaves no weights", "xception.safetensors" not in left_over(m), left_over(m))
    clean(m)
    cached(m).mkdir(parents=True)
    cached(m).chmod(0o500)
    m.expect(tap, "a folder that cannot be written", ["pull", "xception", "--from", server.url("model")], 73,
             err="cannot be written", env={"SSL_CERT_FILE": str(server.certificate)}, preexec=obey_modes)
    cached(m).chmod(0o700)
    clean(m)


def test_plain_http(tap, m):
    server = Server(m.folder, tls=False)
    pulls(tap, m, server, "http from this computer", "model", 65, REFUSED)
    pulls(tap, m, server, "its redirect must be https", "to-https", 69, "address that is not https")
    server.server.asked.clear()
    port = server.server.server_port
    for name, host in (("a user", "localhost:x@127.0.0.2"), ("a user of another host", "127.0.0.1:x@evil.example"),
                       ("another host's name", "localhost.evil.example")):
        m.expect(tap, f"http with {name} like this computer", ["pull", "xception", "--from", f"http://{host}:{port}/model"], 64,
                 err="by https:// only", env={"http_proxy": server.base})
    tap.check("asks nobody", server.server.asked == [], server.server.asked)
    server.server.shutdown()


def test_files(tap, m):
    data = ROOT / "tests/data/weights"
    cached(m).mkdir(parents=True)
    (cached(m) / "xception.safetensors.tmp-99").write_bytes(b"of a pull that was killed")
    m.expect(tap, "weights of another network", ["pull", "xception", "--from", data / "legacy.h5"], 65,
             err=[REFUSED, "of 234 tensors", "block1_conv1/kernel [3,3,2,3] for [3,3,3,32]"])
    m.expect(tap, "weights of Theano", ["pull", "xception", "--from", ROOT / "tests/data/legacy/bad_theano.h5"], 65,
             err=["Keras on Theano", "save it again"])
    m.expect(tap, "unreadable weights", ["pull", "xception", "--from", data / "bad_cut.keras"], 65,
             err="not a readable zip file")
    m.expect(tap, "a web page", ["pull", "xception", "--from", data / "bad_page.h5"], 65, err="neither a .keras nor an .h5")
    m.expect(tap, "a file of the wrong SHA-256", ["pull", "xception", "--from", data / "legacy.h5", "--sha256", "0" * 64],
             65, err="has the SHA-256")
    os.mkfifo(m.folder / "pipe.h5")
    m.expect(tap, "a FIFO", ["pull", "xception", "--from", "pipe.h5"], 66, err="no such regular file", timeout=20)
    tap.check("nothing of them is stored", left_over(m) == [], left_over(m))


def test_here(tap, m):
    """What is in the cache is not fetched again; a pull beside another is told so."""
    cached(m).mkdir(parents=True, exist_ok=True)
    (cached(m) / "xception.safetensors").write_bytes(struct.pack("<Q", 2) + b"{}")
    m.expect(tap, "a second pull", ["pull", "xception"], 0, err="xception is already here")
    m.expect(tap, "--list of what is here", ["pull", "--list"], 0, out="here: ")
    (cached(m) / "xception.safetensors").write_bytes(struct.pack("<Q", 2) + b"{")
    m.expect(tap, "what is here is damaged", ["pull", "xception", "--from", ROOT / "tests/data/weights/legacy.h5"], 65,
             err="9 bytes are no .safetensors file; its weights are pulled anew", no_err="already here")
    clean(m)
    cached(m).mkdir(parents=True)
    lock = open(cached(m) / ".lock", "w")
    try:
        import fcntl
        fcntl.flock(lock, fcntl.LOCK_EX)
        m.expect(tap, "another pull is running", ["pull", "xception", "--from", ROOT / "tests/data/weights/legacy.h5"], 73,
                 err="in use by process")
    finally:
        lock.close()


def test_named(tap, m):
    """--from with weights there: the same file is fine, another one is not passed over."""
    address = "https://example.org/x.keras"
    (m.folder / "mine.keras").write_bytes(MODEL)
    (m.folder / "other.keras").write_bytes(MODEL + b"!")
    sums = {name: hashlib.sha256((m.folder / name).read_bytes()).hexdigest() for name in ("mine.keras", "other.keras")}
    header = json.dumps({"__metadata__": {"source": address, "source.sha256": sums["mine.keras"]}}).encode()
    cached(m).mkdir(parents=True)
    place = cached(m) / "xception.safetensors"
    place.write_bytes(struct.pack("<Q", len(header)) + header)
    before = place.read_bytes()
    for name, args, code, words in (
            ("the file it came from", ["mine.keras"], 0, "already here"),
            ("it and its SHA-256", ["mine.keras", "--sha256", sums["mine.keras"]], 0, "already here"),
            ("it and another SHA-256", ["mine.keras", "--sha256", "0" * 64], 65, "instead of 000"),
            ("another file", ["other.keras"], 73, [f"holds other weights already, from {address}", "remove that file"]),
            ("another file with its SHA-256", ["other.keras", "--sha256", sums["other.keras"]], 73, "holds other weights already"),
            ("the address it came from", [address], 0, "already here"),
            ("it and the SHA-256 of then", [address, "--sha256", sums["mine.keras"].upper()], 0, "already here"),
            ("it and another SHA-256 than then", [address, "--sha256", sums["other.keras"]], 73, "holds other weights already"),
            ("another address", [address + "2"], 73, "holds other weights already")):
        m.expect(tap, f"weights there, --from {name}", ["pull", "xception", "--from", *args], code, err=words)
    for name, args, code, words in (
            ("with a password", ["https://me:hush@example.org/x.keras"], 0, "already here"),
            ("with a query", [address + "?id=hush"], 73, ["the query of an address is not kept", "--sha256"]),
            ("with a query and the SHA-256 of then", [address + "?id=hush", "--sha256", sums["mine.keras"]], 0, "already here"),
            ("another with a query", [address + "2?id=hush"], 73, f"to take those of {address}2\n")):
        run = m.expect(tap, f"weights there, --from the address {name}", ["pull", "xception", "--from", *args], code, err=words)
        tap.check(f"{name}: no secret is told", "hush" not in run.err, run.err)
    tap.check("they stay as they are", place.read_bytes() == before and left_over(m) == [place.name], left_over(m))
    clean(m)


def main():
    tap = Tap()
    with Marque() as m:
        for test in (test_words, test_offline, test_files, test_plain_http, test_here, test_named):
            clean(m)
            test(tap, m)
        server = Server(m.folder)
        for test in (test_download, test_secrets, test_secrets_stored, test_resume, test_other_address, test_stop, test_disk):
            test(tap, m, server)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
