"""test_export.py: a trained model in 8 bits: smaller, near the answers of the one it was made from, refused where it cannot
serve. At 71 pixels, on pictures made up on the spot."""
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from marque import Marque  # noqa: E402
from small_model import make_model, pictures  # noqa: E402
from tap import Tap  # noqa: E402

MODEL, SMALL = "run/weights/best.safetensors", "run/weights/best-int8.safetensors"
PLAIN = {"ONEDNN_MAX_CPU_ISA": "AVX2"}  # no instructions for 8 bits


def confidences(m, model, env=None):
    """{picture: {class: confidence}}; None where predict failed."""
    run = m.run(["predict", model, *pictures(m), "--json"], env=env)
    lines = [json.loads(line) for line in run.out.splitlines()] if run.code == 0 else []
    return {line["file"]: {one["class"]: one["confidence"] for one in line["predictions"]} for line in lines} or None


def farthest(a, b):
    return max(abs(a[file][k] - b[file][k]) for file in a for k in a[file]) if a and b else 1


def test_export(tap, m):
    made = m.expect(tap, "export", ["export", "run", "--dtype", "int8", "--json"], 0)
    report = json.loads(made.out)
    before, after = ((m.folder / name).stat().st_size for name in (MODEL, SMALL))
    tap.check("it says what it wrote", report["file"] == SMALL and report["bytes"] == after and report["layers"] == 34 and
              report["quantised"] + len(report["kept"]) == 34 and 0 < report["worst_error"] < 0.01, report)
    tap.check("most layers are in 8 bits, and the file is under half", report["quantised"] > 25 and after < before / 2,
              (report["quantised"], before, after))
    first = (m.folder / SMALL).read_bytes()
    m.expect(tap, "export again", ["export", MODEL, "-o", "again.safetensors"], 0,
             out=["in 8 bits", "next: marque eval again.safetensors"])
    tap.check("to the same bytes", (m.folder / "again.safetensors").read_bytes() == first)


def test_answers(tap, m):
    numbers, small = confidences(m, MODEL), confidences(m, SMALL)
    tap.check("answers of 8 bits are near", farthest(numbers, small) < 0.1, (numbers, small))
    tap.check("but not the same", farthest(numbers, small) > 0, small)
    wide = confidences(m, SMALL, PLAIN)
    tap.check("and so without the instructions", farthest(numbers, wide) < 0.1, wide)
    run = m.expect(tap, "eval finds its data", ["eval", SMALL, "--json"], 0)
    scores = json.loads(run.out)
    tap.check("and computes in 8 bits", scores["dtype"] == "int8", scores["dtype"])
    tap.check("results lie beside those of the model", (m.folder / "run/eval/test-best-int8/metrics.json").exists())
    wide = json.loads(m.run(["eval", SMALL, "--dtype", "f32", "--json"]).out)
    tap.check("--dtype f32 widens it", wide["dtype"] == "f32" and abs(wide["loss"] - scores["loss"]) < 0.2,
              (wide["loss"], scores["loss"]))
    m.expect(tap, "bench measures it in 8 bits", ["bench", SMALL, "--infer", "-b", "1", "--threads", "1"], 0, out="int8")


def test_refusals(tap, m):
    m.expect(tap, "a model in 8 bits again", ["export", SMALL], 64, err="is in 8 bits already")
    m.expect(tap, "training it", ["train", "data.mq", "--model", SMALL], 64, err="is not trained further")
    m.expect(tap, "measuring its training", ["bench", SMALL, "--train", "-b", "1"], 64, err="cannot be trained")
    (m.folder / "alone.safetensors").write_bytes((m.folder / MODEL).read_bytes())
    m.expect(tap, "no data to calibrate on", ["export", "alone.safetensors"], 64, err="--calib DATA")
    m.expect(tap, "data named", ["export", "alone.safetensors", "--calib", "data.mq", "--images", "2"], 0,
             out="calibrated on 2 pictures")
    m.expect(tap, "no such model", ["export", "nothing"], 66, err="nothing: no such model file")
    m.expect(tap, "a format there is not", ["export", "run", "--dtype", "int4"], 64, err="int8")
    m.expect(tap, "a folder that is not there", ["export", "run", "-o", "no/such/file"], 73, err="no/such")
    code, text = m.stop_when(["export", "alone.safetensors", "--calib", "data.mq", "-o", "stopped.safetensors"], "calibrate")
    tap.check("stopped, it leaves no file", code != 0 and "nothing is written" in text and
              not list(m.folder.glob("stopped*")), (code, text))


def main():
    tap = Tap()
    with Marque() as m:
        m.share_weights()
        make_model(tap, m)
        test_export(tap, m)
        test_answers(tap, m)
        test_refusals(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
