"""test_export.py: a trained model in 8 bits: smaller, near the answers of the one it was made from, refused where it cannot
serve. On real pictures, at 71 pixels."""
import json
import os
import signal
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from marque import Marque  # noqa: E402
from tap import Tap  # noqa: E402
from test_run import prepare  # noqa: E402

MODEL, SMALL = "run/weights/best.safetensors", "run/weights/best-int8.safetensors"


def confidences(m, model, env=None):
    """{picture: {class: confidence}}"""
    run = m.run(["predict", model, "-r", "pictures", "--json"], env=env)
    lines = [json.loads(line) for line in run.out.splitlines()] if run.code == 0 else []
    return {line["file"]: {one["class"]: one["confidence"] for one in line["predictions"]} for line in lines}


def near(a, b):
    """Whether answers agree: nearly all of them, and on average by nearly the same confidence; with what was found."""
    pairs = [(max(a[file], key=a[file].get), max(b[file], key=b[file].get), file) for file in a]
    agreeing = sum(one == other for one, other, _ in pairs) / len(pairs)
    apart = sum(abs(a[file][best] - b[file].get(best, 0)) for best, _, file in pairs) / len(pairs)
    return agreeing >= 0.95 and apart < 0.03, (agreeing, apart)


def write_tensors(path, header, data):
    """A file in the format safetensors."""
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 64)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def test_export(tap, m):
    start = time.monotonic()
    m.expect(tap, "a folder that is not there", ["export", "run", "-o", "no/such/file"], 73, err="no/such")
    refused = time.monotonic() - start
    made = m.expect(tap, "export", ["export", "run", "--dtype", "int8", "--json"], 0)
    tap.check("what cannot be written is told at once", 2 * refused < time.monotonic() - start - refused, refused)
    report = json.loads(made.out)
    before, after = ((m.folder / name).stat().st_size for name in (MODEL, SMALL))
    tap.check("it says what it wrote", report["file"] == SMALL and report["bytes"] == after and report["layers"] == 39 and
              report["quantised"] + len(report["kept"]) == 39 and 0 < report["worst_error"] < 0.01, report)
    tap.check("most layers are in 8 bits, and the file is under half", report["quantised"] > 25 and after < before / 2,
              (report["quantised"], before, after))
    first = (m.folder / SMALL).read_bytes()
    m.expect(tap, "export again", ["export", MODEL, "-o", "again.safetensors"], 0,
             out=["in 8 bits", "next: marque eval again.safetensors"], no_err="has changed")
    tap.check("to the same bytes", (m.folder / "again.safetensors").read_bytes() == first)


def test_answers(tap, m):
    numbers, small = confidences(m, MODEL), confidences(m, SMALL)
    sure = [max(one.values()) for one in numbers.values()]
    tap.check("the model is sure of many pictures", sum(p > 0.8 for p in sure) > len(sure) / 3, sure)
    tap.check("answers of 8 bits are near", *near(numbers, small))
    tap.check("but not the same", numbers != small)
    for isa, what in (("AVX2", "without dot products of bytes"), ("SSE41", "widened, without AVX2")):
        tap.check(f"and so {what}", *near(numbers, confidences(m, SMALL, {"ONEDNN_MAX_CPU_ISA": isa})))
    isa = json.loads(m.run(["doctor", "--json"]).out)["isa"]
    dtype = "int8" if isa.startswith(("avx2", "avx512")) else "f32"
    run = m.expect(tap, "eval finds its data", ["eval", SMALL, "--json"], 0)
    scores = json.loads(run.out)
    tap.check("and computes in 8 bits where the processor does", scores["dtype"] == dtype, (isa, scores["dtype"]))
    tap.check("results lie beside those of the model", (m.folder / "run/eval/test-best-int8/metrics.json").exists())
    wide = json.loads(m.run(["eval", SMALL, "--dtype", "f32", "--json"]).out)
    tap.check("--dtype f32 widens it", wide["dtype"] == "f32" and abs(wide["loss"] - scores["loss"]) < 0.2,
              (wide["loss"], scores["loss"]))
    m.expect(tap, "bench measures it so too", ["bench", SMALL, "--infer", "-b", "1", "--threads", "1"], 0, out=dtype)


def test_refusals(tap, m):
    m.expect(tap, "a model in 8 bits again", ["export", SMALL], 64, err="is in 8 bits already")
    m.expect(tap, "training it", ["train", "data.mq", "--model", SMALL], 64, err="an 8-bit model is for answers alone")
    m.expect(tap, "cleaning by it", ["clean", "data.mq", "--model", SMALL], 64, err="an 8-bit model is for answers alone", no_err="train")
    m.expect(tap, "measuring its training", ["bench", SMALL, "--train", "-b", "1"], 64, err="cannot be trained")
    (m.folder / "alone.safetensors").write_bytes((m.folder / MODEL).read_bytes())
    m.expect(tap, "no data to calibrate on", ["export", "alone.safetensors"], 64, err="--calib DATA")
    (m.folder / "data.mq").rename(m.folder / "moved.mq")
    for command in ("export", "eval"):
        m.expect(tap, f"{command}: the run's data set was moved", [command, "run"], 66,
                 err=["data.mq: no such data set from here;", "run was trained on it, so say where it is now"])
    (m.folder / "moved.mq").rename(m.folder / "data.mq")
    m.expect(tap, "data named", ["export", "alone.safetensors", "--calib", "data.mq", "--images", "2"], 0,
             out="calibrated on 2 pictures")
    list_file = m.folder / "data.mq/dataset.json"
    then = list_file.read_bytes()
    list_file.write_bytes(then + b"\n")
    m.expect(tap, "the run's data set has changed", ["export", "run", "--images", "2", "-o", "changed.safetensors"], 0,
             err="data.mq: has changed since the model was trained on it; calibrated on its training pictures of today")
    m.expect(tap, "a data set that is named may be another", ["export", "run", "--calib", "data.mq", "--images", "2", "-o", "changed.safetensors"],
             0, no_err="has changed")
    list_file.write_bytes(then)
    data = (m.folder / MODEL).read_bytes()  # as a model of which no layer could be quantised: calibrated, and not in 8 bits
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    header["__metadata__"]["calibration"] = "{}"
    write_tensors(m.folder / "before.safetensors", header, data[8 + size:])
    m.expect(tap, "a model that has been calibrated before", ["export", "before.safetensors", "--calib", "data.mq", "--images", "2"], 0,
             out="calibrated on 2 pictures")
    header["__metadata__"]["classes"] = json.dumps(["a"] * 1000000)
    header["__metadata__"].pop("marque.seal")  # of tensors that are not there
    write_tensors(m.folder / "crowd.safetensors", {"__metadata__": header["__metadata__"], "head/standardise/mean":
                                                   {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}, b"")
    many = b'{"a":[' + b"{}," * 30000000 + b"{}]}"
    (m.folder / "values.safetensors").write_bytes(struct.pack("<Q", len(many)) + many)
    for name, words in (("crowd", "missing or of another shape"), ("values", "values")):
        process = m.start(["predict", f"{name}.safetensors", "x.png"])
        text = process.stderr.read()
        process.stderr.close()
        _, code, used = os.wait4(process.pid, 0)
        tap.check(f"{name}: what a file claims takes no memory before it is known to be so", os.waitstatus_to_exitcode(code) == 65 and
                  words in text and used.ru_maxrss < 400 << 10, (code, text, used.ru_maxrss))
    m.expect(tap, "no such model", ["export", "nothing"], 66, err="nothing: no such model file")
    m.expect(tap, "a format there is not", ["export", "run", "--dtype", "int4"], 64, err="int8")
    process = m.start(["export", "alone.safetensors", "--calib", "data.mq", "-o", "stopped.safetensors"])
    m.let_work(process, 0.5)  # of some six seconds
    process.send_signal(signal.SIGINT)
    text = process.stderr.read()
    process.stderr.close()
    tap.check("stopped, it leaves no file", process.wait() == -signal.SIGINT and "nothing is written" in text and
              not list(m.folder.glob("stopped*")), (process.returncode, text))


def main():
    tap = Tap()
    with Marque() as m:
        prepare(m)
        m.expect(tap, "import", ["import", "pictures", "-o", "data.mq"], 0)
        m.expect(tap, "train", ["train", "data.mq", "--imgsz", "71", "--stages", "head:20@1e-3", "-o", "run"], 0)
        test_export(tap, m)
        test_answers(tap, m)
        test_refusals(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
