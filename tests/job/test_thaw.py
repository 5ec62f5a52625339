"""test_thaw.py: stages that thaw layers, on real pictures with the real weights, at 71 pixels: cached or not, with any
number of workers, stopped in any stage, the same bytes; what is frozen stays as it was; what a stage takes is said
before it begins."""
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from marque import Marque, weights_cache  # noqa: E402
from tap import Tap  # noqa: E402
from test_run import prepare  # noqa: E402

SETTINGS = ["--imgsz", "71", "--dtype", "f32", "-b", "7"]  # 7 leaves a short batch at the end of an epoch
STAGES = "head:2@1e-3,block13+:2@1e-4,block5+:1@1e-4/stored,head:1@1e-3,all:1@1e-5"


def tensors(path):
    """{name: bytes} of a .safetensors file."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    head = json.loads(data[8:8 + size])
    return {name: data[8 + size + t["data_offsets"][0]:8 + size + t["data_offsets"][1]]
            for name, t in head.items() if name != "__metadata__"}


def origin(path):
    data = path.read_bytes()
    meta = json.loads(data[8:8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    return meta.get("licence"), meta.get("source") or meta.get("weights.source")


def last(m, run):
    return (m.folder / run / "weights/last.safetensors").read_bytes()


def train(m, run, stages, *more):
    return m.run(["train", "data.mq", *SETTINGS, "--stages", stages, "-o", run, *more])


def test_same_bytes(tap, m):
    done = train(m, "plain", STAGES, "--checkpoint-every", "0.5", "--keep", "3")
    tap.check("five stages of every kind", done.code == 0, done.err)
    for name, more in (("without the cache", ["--cache", "off"]), ("with seven workers", ["-j", "7"])):
        done = train(m, "other", STAGES, *more)
        tap.check(f"{name}: the same bytes", done.code == 0 and last(m, "other") == last(m, "plain"), done.err)
        shutil.rmtree(m.folder / "other")
    lines = (m.folder / "plain/results.csv").read_text().splitlines()
    tap.check("a row for each epoch", [line.split(",")[1] for line in lines[1:]] ==
              ["head", "head", "block13+", "block13+", "block5+", "head", "all"], "\n".join(lines))


def test_stops(tap, m):
    """Stopped once in every stage, then gone on with."""
    args = ["train", "data.mq", *SETTINGS, "--stages", STAGES, "-o", "cut", "--summary-steps", "1"]
    seen, code = [], 75
    for stage in ("block13+", "block5+", "all"):
        code, text = m.stop_when(args, f"{stage} 1/", signal.SIGTERM)  # not its row in the plan
        seen.append((stage, code))
        args = ["train", "--resume", "cut"]
    done = m.run(args) if code == 75 else None
    same = code in (0, 75) and (done is None or done.code == 0) and last(m, "cut") == last(m, "plain")
    tap.check("stopped in two stages at least", [code for _, code in seen[:2]] == [75, 75], seen)
    tap.check("and gone on with: the same bytes", same, f"{seen} {done.err if done else ''}")


def test_frozen(tap, m):
    original = tensors(weights_cache() / "xception.safetensors")
    for bn in ("train", "stored"):
        done = train(m, bn, "head:1@1e-3,block13+:1@1e-3", "--bn", bn)
        model = tensors(m.folder / bn / "weights/last.safetensors") if done.code == 0 else {}
        changed = {name for name, data in original.items() if model.get(f"trunk/{name}") != data}
        thawed = {name for name in original if name.startswith(("block13_", "block14_", "conv2d_3/", "batch_normalization_3/"))}
        moving = {name for name in thawed if "/moving_" in name}
        tap.check(f"--bn {bn}: what is frozen stays as it was, what is thawed moves",
                  done.code == 0 and changed == (thawed if bn == "train" else thawed - moving),
                  done.err + str(sorted(changed ^ thawed)[:5]))


def test_from_model(tap, m):
    """Another run begins with a run's layers, and goes on with them where it stopped."""
    begun = tensors(m.folder / "train/weights/last.safetensors")
    args = ["train", "data.mq", *SETTINGS, "--model", "train/weights/last.safetensors", "-o", "second"]
    done = m.run([*args, "--stages", "head:1@1e-3"])
    model = tensors(m.folder / "second/weights/best.safetensors") if done.code == 0 else {}
    same = {name for name, data in begun.items() if model.get(name) == data}
    known = origin(weights_cache() / "xception.safetensors")
    tap.check("models say where their weights came from", all(known) and known == origin(
        m.folder / "train/weights/last.safetensors") == origin(m.folder / "second/weights/best.safetensors"), known)
    tap.check("--model RUN: its layers, and a classifier of one's own", done.code == 0 and same == {
        name for name in begun if name.startswith("trunk/")}, done.err + str(sorted(set(begun) - same)[:5]))
    config = json.loads((m.folder / "second/config.json").read_text())
    tap.check("the config names it", config["model"] == "train/weights/last.safetensors", config)
    done = m.run(["train", "--resume", "second", "--epochs", "2"])
    tap.check("and it goes on, without measuring its stages again", done.code == 0 and "2 epochs" in done.out
              and "thawed" not in done.err, done)
    shutil.rmtree(m.folder / "second")
    done = m.run([*args[:-4], "--model", "train", "-o", "second", "--stages", "head:1@1e-3"])
    tap.check("a run's name is enough", done.code == 0 and "keeps its size" not in done.err, done)
    m.expect(tap, "another size than the run's is told", ["train", "data.mq", *SETTINGS, "--imgsz", "96", "--model", "train", "--plan"], 0,
             err="train was trained at 71 pixels, and this run is at 96; --imgsz 71 keeps its size")
    shutil.rmtree(m.folder / "second")
    done = m.run(["bench", "train", "-b", "2", "--dtype", "f32", "--infer", "--json"])
    report = json.loads(done.out) if done.code == 0 else {}
    tap.check("bench of a run: its network, at its size", (report.get("arch"), report.get("imgsz")) == ("xception", 71), done)
    m.expect(tap, "weights are no model", ["train", "data.mq", "--model", str(weights_cache() / "xception.safetensors")], 65,
             err="that marque train wrote")


def test_plan(tap, m):
    done = train(m, "none", "head:3@1e-3,block9+:2@1e-4", "--plan")
    table = done.err.splitlines()
    tap.check("the plan: a row for each stage", done.code == 0 and len(table) == 4 and
              "classifier" in table[2] and "block9 and above" in table[3] and "train" in table[3], done.err)
    linear = train(m, "none", "head:3@1e-3,block9+:2@1e-4", "--head", "linear", "--plan").err.splitlines()
    tap.check("a small classifier's numbers are counted in thousands", linear[2].split()[2:4] == ["10.2", "k"] and
              table[3].split()[5] == "M", (linear, table))
    tap.check("and its phases, kernels and places", all(word in done.out for word in (
        "training from add_6 on", "by weights", "alive (phases")), done.out[-300:])
    tap.check("no run is begun by that", not (m.folder / "none").exists())
    limit = 1200 << 20  # where OpenMP, which ends the process without a word of ours, would find no room for a thread late
    done = m.run(["train", "data.mq", "--imgsz", "299", "--dtype", "f32", "--stages", "all:1@1e-4", "-b", "64", "-o", "none"],
                 preexec=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
    tap.check("too little memory is said before the first step", done.code == 71, f"{done.code} {done.err}")
    limit = 4 << 30
    done = m.run(["train", "data.mq", "--imgsz", "299", "--dtype", "f32", "--stages", "all:1@1e-4", "-b", "128", "-o", "none"],
                 preexec=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
    tap.check("with a batch that fits", done.code == 71 and "fit: -b " in done.err, f"{done.code} {done.err}")


def test_memory(tap, m):
    """What was planned, against what the process then took at most."""
    for stages, *more in (["head:1@1e-3"], ["block9+:1@1e-4"], ["all:1@1e-4"], ["all:1@1e-4", "--bn", "stored"]):
        args = ["train", "data.mq", *SETTINGS, "--imgsz", "150", "-b", "32", "--stages", stages, *more, "-o", "measured"]
        process = subprocess.Popen([m.program, *args], cwd=m.folder, env=m.environment(None), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
        text = process.stderr.read()
        _, code, usage = os.wait4(process.pid, 0)
        planned = re.search(r"([\d.]+) GB", text)
        off = 1e9 * float(planned.group(1)) - 1024 * usage.ru_maxrss if planned else 1e9
        tap.check(f"{' '.join([stages, *more])}: memory as planned, to 64 MB", code == 0 and abs(off) <= 64e6,
                  f"{code} planned {planned and planned.group(0)}, took {usage.ru_maxrss} kB")
        shutil.rmtree(m.folder / "measured", ignore_errors=True)


def main():
    tap = Tap()
    if not (weights_cache() / "xception.safetensors").exists():
        tap.skip("thawed stages", "no weights here")
        return tap.done()
    with Marque() as m:
        prepare(m)
        m.expect(tap, "real pictures", ["import", "pictures", "-o", "data.mq"], 0)
        test_memory(tap, m)  # first: a process begins with the peak of the one that started it
        test_same_bytes(tap, m)
        test_stops(tap, m)
        test_frozen(tap, m)
        test_from_model(tap, m)
        test_plan(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
