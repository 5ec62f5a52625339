"""test_bench.py: marque bench on seeded weights: its tables, its JSON, and words it cannot take."""
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from marque import Marque  # noqa: E402
from pictures import write_classes  # noqa: E402
from tap import Tap  # noqa: E402

SMALL = ["--imgsz", "71", "-b", "2", "--dtype", "f32", "--threads", "1"]


def near(a, b):
    return abs(a - b) <= 1e-6 * abs(b)


def report(tap, m, name, args):
    run = m.run(["bench", "xception", *SMALL, *args, "--json"])
    tap.check(f"{name} exits 0", run.code == 0, run)
    return json.loads(run.out) if run.code == 0 else {}


def check_sums(tap, name, r):
    sums = [sum(one["flops"] for one in r[rows] if "again" not in one["what"]) for rows in ("layers", "work")]
    tap.check(f"{name}: layers and kinds of work add up", all(near(one, r["flops"]) for one in sums), (sums, r["flops"]))
    tap.check(f"{name}: pictures a second are the batch by the median", near(r["img_s"], r["batch"] / r["median_s"]) and
              r["best_s"] <= r["median_s"], r)
    off = [one["what"] for one in r["work"] if one["seconds"] > 0 and abs(
        one["of_peak"] - one["flops"] / one["seconds"] / (r["peak_flops"] / r["threads"])) > 1e-6 * one["of_peak"]]
    tap.check(f"{name}: shares are of one thread's peak", not off and any(one["of_peak"] > 0 for one in r["work"]), off)


def test_json(tap, m):
    infer = report(tap, m, "inference", ["--infer"])
    check_sums(tap, "inference", infer)
    tap.check("inference names its pass and no batch norms", infer["pass"] == "infer" and "bn" not in infer and
              infer["arch"] == "xception" and infer["imgsz"] == 71 and infer["dtype"] == "f32", infer)
    train = report(tap, m, "training", ["--bn", "stored", "--thaw", "block13+"])
    check_sums(tap, "training", train)
    tap.check("training names what it does", (train["pass"], train["bn"], train["thaw"]) == ("train", "stored", "block13+"),
              train)
    tap.check("its limit is the arithmetic alone", near(train["limit_img_s"], train["peak_flops"] / train["flops"]), train)
    above = report(tap, m, "the last block", ["--thaw", "block14+"])
    check_sums(tap, "the last block", above)
    tap.check("less work than two", above["flops"] < 0.8 * train["flops"] and
              {one["layer"].split("_")[0] for one in above["layers"]}.isdisjoint({"block1", "block13"}), above["flops"])


def test_text(tap, m):
    m.expect(tap, "a table of kinds of work", ["bench", "xception", *SMALL, "--infer"], 0,
             out=["xception 71 px, f32, made-up weights", "inference, batch 2:", "of the limit", "forward", "in all"])
    run = m.expect(tap, "and one of layers", ["bench", "xception", *SMALL, "--infer", "--layers"], 0,
                   out=["block14_sepconv2", "kernel"])
    tap.check("a line for each", run.out.count("block") > 60, run.out.count("block"))


def test_words(tap, m):
    m.expect(tap, "no network and no model", ["bench", "xceptoin"], 66, err="xceptoin")
    m.expect(tap, "two passes at once", ["bench", "xception", "--train", "--infer"], 64, err="one of them at a time")
    m.expect(tap, "pictures too small", ["bench", "xception", "--imgsz", "70"], 64, err="from 71 pixels on")
    m.expect(tap, "no block", ["bench", "xception", "--thaw", "+"], 64, err="all or BLOCK+")
    m.expect(tap, "a block without plus", ["bench", "xception", "--thaw", "block13"], 64, err="all or BLOCK+")
    m.expect(tap, "a block nobody knows", ["bench", "xception", *SMALL, "--thaw", "block99+"], 64,
             err="no block called block99")


def test_load(tap, m):
    write_classes(m.folder / "pictures")
    m.expect(tap, "a data set", ["import", "pictures", "-o", "data.mq"], 0)
    run = m.run(["bench", "data.mq", "--imgsz", "40", "-j", "2", "--json"])
    r = json.loads(run.out) if run.code == 0 else {}
    tap.check("pictures a second of its loader", r.get("pass") == "load" and r["workers"] == 2 and r["imgsz"] == 40 and
              r["pictures"] > 100 and r["pictures"] % 18 == 0 and r["img_s"] > 0 and r["core_ms"] > 0, run)
    run = m.run(["bench", "data.mq", "--imgsz", "40", "--cold", "--shuffle-buffer", "5", "--json"])
    r = json.loads(run.out) if run.code == 0 else {}
    tap.check("all pictures once from disk", r.get("pictures") == 18 and r["cold"] and r["shuffle_buffer"] == 5, run)
    m.expect(tap, "and in words", ["bench", "data.mq", "--imgsz", "40", "--cold"], 0, out="loading data.mq from disk, 40 px")
    m.expect(tap, "no disk in a network", ["bench", "xception", "--cold"], 64, err="xception is no data set")
    m.expect(tap, "nor an order", ["bench", "xception", "--shuffle-buffer", "5"], 64, err="--shuffle-buffer is for one")


def main():
    tap = Tap()
    with Marque() as m:
        test_json(tap, m)
        test_text(tap, m)
        test_words(tap, m)
        test_load(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
