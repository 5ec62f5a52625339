"""test_guards.py: what marque does not spoil by mistake, and the ways out it names: outputs that are inputs, runs that moved
with or without their data, lost models, fewer epochs than are done. On small pictures with the real weights, at 71 pixels."""
import csv
import json
import os
import re
import shutil
import signal
import stat
import struct
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from marque import Marque  # noqa: E402
from pictures import write_classes  # noqa: E402
from tap import Tap  # noqa: E402

SETTINGS = ["--imgsz", "71", "--dtype", "f32", "--head", "linear", "--threads", "2", "-j", "2"]
BEST, LAST, PICTURE = "weights/best.safetensors", "weights/last.safetensors", "pictures/class-0/00.png"


def train(run, stages, *more):
    return ["train", "data.mq", *SETTINGS, "--stages", stages, "-o", run, *more]


def digests(data, split):
    with open(data / "split.csv", newline="") as file:
        return [row["sha256"] for row in csv.DictReader(file) if row["split"] == split]


def seen(folder):
    count = json.loads((folder / "metrics.json").read_text())["seen"]
    return count if count is None or isinstance(count, int) else f"{count}, which is no whole number"


def everything(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


def refused(tap, m, name, args, code, err, run="run", **how):
    """A refusal that leaves the run as it was."""
    before = everything(m.folder / run)
    done = m.expect(tap, name, args, code, err=err, **how)
    tap.check(f"{name}: nothing is changed", everything(m.folder / run) == before)
    return done


def test_outputs(tap, m):
    (m.folder / "link.safetensors").symlink_to(m.folder / "run" / BEST)
    (m.folder / "hard.png").hardlink_to(m.folder / PICTURE)
    picture = (m.folder / PICTURE).read_bytes()
    for name in (f"run/{BEST}", f"run/../run/{BEST}", "link.safetensors"):
        refused(tap, m, f"export onto its model as {name}", ["export", "run", "--images", "1", "-o", name], 64,
                f"{name}: is the very model that is read")
    refused(tap, m, "answers onto the model", ["predict", "run", PICTURE, "-o", "link.safetensors"], 64, "is the model itself")
    for name in (PICTURE, "hard.png"):
        m.expect(tap, f"answers onto the picture as {name}", ["predict", "run", "-r", "pictures", "-o", name], 64,
                 err=f"{name}: is one of the pictures")
    tap.check("which stays", (m.folder / PICTURE).read_bytes() == picture)
    m.expect(tap, "answers onto a folder", ["predict", "run", PICTURE, "-o", "pictures"], 73, err="pictures: cannot be written: it is a folder")
    m.expect(tap, "a box beyond any picture", ["predict", "run", PICTURE, "--box", "0,0,99999999999,10"], 64, err="--box takes")
    run = m.run(["predict", "run", *[PICTURE] * 200, "--json"], stdout="pipe without reader")
    tap.check("answers whose reader left end as by SIGPIPE", run.code == 128 + 13 and run.err == "", run)


def test_folders(tap, m):
    """Below a folder predict passes over what an import does; what looks like no picture is told."""
    place = m.folder / "mixed"
    (place / "sub").mkdir(parents=True)
    for name in ("b.png", "sub/a.png", ".hidden.png", "sub/.hidden.png", "._b.png"):
        (place / name).write_bytes((m.folder / PICTURE).read_bytes())
    for name in ("Thumbs.db", "desktop.ini", "sub/.DS_Store"):
        (place / name).write_bytes(b"x")
    run = m.expect(tap, "what file managers leave is no picture", ["predict", "run", "-r", "mixed", "--json"], 0)
    files = [json.loads(line)["file"] for line in run.out.splitlines()]
    tap.check("the others come in order", files == ["mixed/b.png", "mixed/sub/a.png"], files)
    (place / "notes.txt").write_text("some words")
    m.expect(tap, "a text among them", ["predict", "run", "-r", "mixed"], 65, err="mixed/notes.txt: looks like text")
    m.expect(tap, "nothing but litter", ["predict", "run", "-r", "empty"], 66, err="empty: no pictures below it")


def test_names(tap, m):
    (m.folder / "runs").mkdir()
    shutil.copytree(m.folder / "run", m.folder / "runs/named")
    m.expect(tap, "a run's name serves to resume it", ["train", "--resume", "named"], 0, out="run: runs/named")
    m.expect(tap, "a folder of models is no run", ["predict", "run/weights", PICTURE], 66, err="run/weights: neither a run's folder",
             no_err="--resume")
    for flag, value in (("-o", "other"), ("--name", "other"), ("--preset", "reference")):
        refused(tap, m, f"--resume with {flag}", ["train", "--resume", "run", flag, value], 64, "leave out --output, --name and --preset")
    m.expect(tap, "two names for a run", train("other", "head", "--name", "other"), 64, err="take one of the two")


def test_other_data(tap, m):
    m.expect(tap, "another data set", ["import", "pictures", "-o", "other.mq", "--test", "0.4", "--seed", "5"], 0)
    m.expect(tap, "eval on the run's own", ["eval", "run"], 0, out="files: run/eval/test\n")
    own = everything(m.folder / "run/eval")
    m.expect(tap, "eval on another", ["eval", "run", "other.mq/"], 0, out="files: run/eval/test-other\n",
             err="of the test part of other.mq/ are among those that the model was trained on")
    told, trained = seen(m.folder / "run/eval/test-other"), set(digests(m.folder / "data.mq", "train"))
    tap.check("which says how many the model has seen",
              told == sum(d in trained for d in digests(m.folder / "other.mq", "test")) > 0, told)
    tap.check("of its own none", seen(m.folder / "run/eval/test") == 0)
    m.expect(tap, "its own training part", ["eval", "run", "--split", "train"], 0, no_err="trained on")
    tap.check("of which it has seen all", seen(m.folder / "run/eval/train") == len(digests(m.folder / "data.mq", "train")))
    shutil.rmtree(m.folder / "run/eval/train")
    os.rename(m.folder / "data.mq", m.folder / "gone.mq")
    m.expect(tap, "where its own data are gone", ["eval", "run", "other.mq"], 0, err="whether other.mq holds pictures that")
    tap.check("nobody knows", seen(m.folder / "run/eval/test-other") is None)
    os.rename(m.folder / "gone.mq", m.folder / "data.mq")
    m.expect(tap, "eval of last on another", ["eval", f"run/{LAST}", "other.mq"], 0, out="files: run/eval/test-last-other\n")
    now = everything(m.folder / "run/eval")
    tap.check("its results stand beside the run's own", own.items() <= now.items() and len(now) == 3 * len(own), list(now))
    m.expect(tap, "its own data by another name", ["eval", "run", "./data.mq"], 0, out="files: run/eval/test\n")
    refused(tap, m, "resumed on other data", ["train", "other.mq", "--resume", "run"], 65,
            ["other.mq: is not the data set that run began with", "marque train other.mq --model run"])
    shutil.copytree(m.folder / "run", m.folder / "older")
    config = m.folder / "older/config.json"
    config.write_text(re.sub(r'\s*"data-digest": "[^"]*",?', "", config.read_text()).replace(",\n}", "\n}"))
    tap.check("a config of before says nothing of it", "data-digest" not in json.loads(config.read_text()))
    refused(tap, m, "resumed on other data, as its checkpoint says", ["train", "other.mq", "--resume", "older"], 65,
            ["the weights, the data set or the file of --class-weights has changed", "begin another run"], run="older")
    m.expect(tap, "a run's config for another run", ["train", "--config", "run/config.json", "other.mq", "--plan"], 0)


def test_bytes(tap, m):
    """Names of folders that are no UTF-8 stay what they are from the import to the answer."""
    names = [b"K\xe4fer", b"K\xf6fer", b"Ameise"]
    for k, name in enumerate(names):
        os.rename(os.fsencode(m.folder / f"bytes-{k}"), os.path.join(os.fsencode(m.folder), b"latin", name))
    m.expect(tap, "names in Latin-1", ["import", "latin", "-o", "latin.mq"], 0)
    m.expect(tap, "are trained on", ["train", "latin.mq", *SETTINGS, "--stages", "head:2@1e-3", "-o", "latin-run"], 0)
    m.expect(tap, "are the model's own", ["eval", "latin-run"], 0)
    for run in ([], ["latin-run/" + LAST]):
        classes = json.loads(m.run(["inspect", *(run or ["latin-run"]), "--json"]).out)["metadata"]["classes"]
        tap.check("the model keeps them", classes in (json.dumps(c, separators=s) for c in [[
            "Ameise", {"bytes": names[0].hex()}, {"bytes": names[1].hex()}]] for s in ((", ", ": "), (",", ":"))), classes)
    answers = [json.loads(line) for line in m.run(["predict", "latin-run", "-r", "latin", "--json"]).out.splitlines()]
    tap.check("answers are JSON", len(answers) == 90 and all(len(a["predictions"]) == 3 for a in answers), answers[:1])


def test_alike(tap, m):
    shutil.copytree(m.folder / "pictures", m.folder / "cased")
    (m.folder / "cased/class-1").rename(m.folder / "cased/Class-1")
    m.expect(tap, "classes in other letters", ["import", "cased", "-o", "cased.mq"], 0)
    m.expect(tap, "a class that only reads like the model's", ["eval", "run", "cased.mq"], 65,
             err=['the class "Class-1" is not among the model\'s 3 classes, but "class-1", which differs only in case'])
    (m.folder / "cased/Class-1").rename(m.folder / "cased/Wasp")
    m.expect(tap, "another class", ["import", "cased", "-o", "wasps.mq"], 0)
    m.expect(tap, "a class that it does not have", ["eval", "run", "wasps.mq"], 65, err='"Wasp" is not among the model\'s 3 classes\n')


def test_moved(tap, m):
    (m.folder / "data.mq").rename(m.folder / "moved.mq")
    refused(tap, m, "the data set was moved", ["train", "--resume", "run"], 66,
            ["data.mq: no such data set from here; run was trained on it, so say where it is now", "train DATA --resume RUN"])
    m.expect(tap, "DATA says where it is", ["train", "moved.mq", "--resume", "run"], 0)
    tap.check("and the run remembers", json.loads((m.folder / "run/config.json").read_text())["data"] == "moved.mq")
    (m.folder / "moved.mq").rename(m.folder / "data.mq")
    m.expect(tap, "and back", ["train", "data.mq", "--resume", "run"], 0)
    (m.folder / "run/config.json").rename(m.folder / "kept.json")
    (m.folder / "run/config.json").write_text("{}")
    refused(tap, m, "an empty config", ["train", "--resume", "run"], 65, "run/config.json: names no data set")
    (m.folder / "kept.json").rename(m.folder / "run/config.json")
    (m.folder / "weights.csv").write_text("class,weight\nclass-1,2\n")
    os.mkfifo(m.folder / "fifo")
    (m.folder / "leads to it").symlink_to("fifo")
    for name in ("fifo", "leads to it"):
        m.expect(tap, f"answers onto {name}", ["predict", "run", PICTURE, "-o", name], 73, err=f"{name}: cannot be written: it is a device or a pipe")
    tap.check("which stays", stat.S_ISFIFO((m.folder / "fifo").lstat().st_mode) and (m.folder / "leads to it").is_symlink())
    m.expect(tap, "answers to standard output by its usual name", ["predict", "run", PICTURE, "--csv", "-o", "-"], 0, out="file,rank,class,name")
    m.expect(tap, "the next command can be pasted", ["import", "pictures", "-o", "my data.mq"], 0, out="next: marque train 'my data.mq'\n")
    m.expect(tap, "and where it was forgotten", ["train", "pictures"], 64, err="make one with: marque import pictures -o pictures.mq\n")
    m.expect(tap, "what means nothing for a data set is refused", ["bench", "data.mq", "--layers"], 64, err="--layers means nothing for a data set")
    m.expect(tap, "a model that is not there", train("no", "head:1@1e-3", "--model", "gone.safetensors"), 66, err="no model or run")
    m.expect(tap, "nor a network", train("no", "head:1@1e-3", "--model", "gone"), 64, err="no model or run")
    m.expect(tap, "class weights", train("weighed", "head:1@1e-3", "--class-weights", "weights.csv"), 0)
    (m.folder / "weights.csv").unlink()
    refused(tap, m, "class weights that are gone", ["train", "--resume", "weighed"], 66,
            "weights.csv: no such file from here; weighed was begun with its class weights", run="weighed")


def test_epochs(tap, m):
    refused(tap, m, "fewer epochs than are done", ["train", "--resume", "run", "--epochs", "2"], 64,
            "run: 3 epochs of the stage head are done or begun already; --epochs takes no fewer, not 2")
    code, text = m.stop_when(["train", "--resume", "run", "--epochs", "100000", "--checkpoint-every", "0"], "head 5/")
    tap.check("stopped among more epochs", code == 75, text)
    refused(tap, m, "fewer epochs than are begun", ["train", "--resume", "run", "--epochs", "3"], 64, "are done or begun already")
    (m.folder / "run/results.csv").write_text("".join(
        line if number else "garbage\n" for number, line in enumerate((m.folder / "run/results.csv").open())))
    m.expect(tap, "more again", ["train", "--resume", "run", "--epochs", "40"], 0)
    lines = (m.folder / "run/results.csv").read_text().splitlines()
    tap.check("a damaged header of the results is mended", lines[0].startswith("epoch,stage,") and len(lines) == 41 and
              [line.split(",")[0] for line in lines[1:]] == [str(i + 1) for i in range(40)], lines)


def test_lost_model(tap, m):
    m.expect(tap, "a run whose last epoch is not its best", train("worse", "head:1@30,head:1@1e-3", "--monitor", "loss"), 0, out="best: epoch 1")
    m.expect(tap, "a run whose last epoch is its best", train("better", "head:3@1e-3", "--monitor", "loss"), 0, out="best: epoch 3")
    for damage, name in ((lambda p: p.unlink(), "lost"), (lambda p: p.write_bytes(p.read_bytes()[:-1]), "cut")):
        for run, code in (("worse", 65), ("better", 0)):
            best = m.folder / run / BEST
            kept = best.read_bytes()
            damage(best)
            if code:
                refused(tap, m, f"{run}: the best model is {name}", ["train", "--resume", run], code,
                        [f"{run}/{BEST}", "the best model, of epoch 1, is in no other file", "begin another run"], run=run)
                best.write_bytes(kept)
            else:
                m.expect(tap, f"{run}: the best model is {name}", ["train", "--resume", run], code, err="written anew")
                tap.check("it comes back as it was", best.read_bytes() == kept)


def metrics_of(path):
    """What a model's file says of its validation."""
    data = path.read_bytes()
    return json.loads(json.loads(data[8:8 + int.from_bytes(data[:8], "little")])["__metadata__"]["metrics"])


def test_other_way(tap, m):
    """Killed behind a better model than the checkpoint knows of, a run goes another way: to an earlier end."""
    args = ["train", "data.mq", "--imgsz", "71", "--dtype", "f32", "--stages", "block14+:6@1e-5", "--monitor", "loss", "-o", "behind"]
    code, text = m.stop_when(args, "block14+ 2/6")
    tap.check("a thawed run is stopped", code == 75, text)
    code, text = m.stop_when(["train", "--resume", "behind"], "block14+ 5/6", signal.SIGKILL)
    asides = [p.name for p in (m.folder / "behind/checkpoints").glob("best-*")]
    tap.check("the best model that the checkpoint names is set aside", code == -signal.SIGKILL and len(asides) == 1, (text, asides))
    done = m.expect(tap, "resumed to an earlier end", ["train", "--resume", "behind", "--epochs", "3"], 0)
    rows = list(csv.DictReader((m.folder / "behind/results.csv").open()))
    best = min(rows, key=lambda row: float(row["val/loss"]))
    tap.check("its best model is of an epoch that it has", len(rows) == 3 and f"best: epoch {best['epoch']}" in done.out and
              abs(metrics_of(m.folder / "behind" / BEST)["loss"] - float(best["val/loss"])) < 1e-5,
              (rows, metrics_of(m.folder / "behind" / BEST), done.out))
    tap.check("nothing is set aside behind a checkpoint", not list((m.folder / "behind/checkpoints").glob("best-*")))


def numbers_of(path, name):
    """The f32 numbers of a tensor of a bundle."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    begin, end = json.loads(data[8:8 + size])[name]["data_offsets"]
    return struct.unpack(f"<{(end - begin) // 4}f", data[8 + size + begin:8 + size + end])


def test_scales(tap, m):
    """No feature counts as varying by less than a hundredth of what they do on average."""
    counted = [scale ** -2 for scale in numbers_of(m.folder / "run" / BEST, "head/standardise/scale")]
    tap.check("features that hardly vary do not drown the others", 0.0098 < min(counted) / (sum(counted) / len(counted)) < 0.0102,
              (min(counted), sum(counted) / len(counted)))


def without(old, new, name):
    """Writes a model anew without one of its tensors."""
    data = old.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    begin, end = header.pop(name)["data_offsets"]
    header["__metadata__"].pop("marque.seal")
    for key, tensor in header.items():
        if key != "__metadata__" and tensor["data_offsets"][0] >= end:
            tensor["data_offsets"] = [offset - (end - begin) for offset in tensor["data_offsets"]]
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    new.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size:8 + size + begin] + data[8 + size + end:])


def test_lacking(tap, m):
    """A model that lacks a tensor is refused by whoever looks for it."""
    without(m.folder / "run" / BEST, m.folder / "trunkless.safetensors", "trunk/block13_sepconv1/pointwise_kernel")
    m.expect(tap, "clean by a model without a kernel", ["clean", "data.mq", "--model", "trunkless.safetensors"], 65,
             err="block13_sepconv1/pointwise_kernel")
    data = (m.folder / "run" / BEST).read_bytes()  # and one of a shape as long as can be
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    header["__metadata__"].pop("marque.seal")
    header["trunk/block1_conv1/kernel"].update(shape=[0, *[2 ** 63 - 1] * 7], data_offsets=[0, 0])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (m.folder / "long.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size:])
    m.expect(tap, "a model with a shape of many digits", ["predict", "long.safetensors", PICTURE], 65)
    without(m.folder / "run" / BEST, m.folder / "headless.safetensors", "head/predictions/bias")
    m.expect(tap, "export of a model without a bias", ["export", "headless.safetensors", "--calib", "data.mq", "--images", "2"], 65,
             err="head/predictions/bias is missing", no_err="1 of 2")


def widen(old, new, count):
    """Writes a linear model anew with classes that it never answers, count in all."""
    data = old.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + size])
    meta, parts, at = header.pop("__metadata__"), [], 0
    names = json.loads(meta.pop("classes"))
    meta.pop("marque.seal")
    meta["classes"] = json.dumps(names + [f"never-{i}" for i in range(count - len(names))])
    for name, tensor in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, end = (8 + size + offset for offset in tensor["data_offsets"])
        part = data[begin:end]
        if name.startswith("head/predictions/"):
            tensor["shape"][-1] = count
            unlikely = struct.pack("<f", -1e3 if name.endswith("bias") else 0) * (count - len(names))
            row = 4 * len(names)
            part = b"".join(part[i:i + row] + unlikely for i in range(0, len(part), row))
        tensor["data_offsets"] = [at, at := at + len(part)]
        parts.append(part)
    text = json.dumps({"__metadata__": meta, **header}).encode()
    text += b" " * (-len(text) % 8)
    new.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def test_many_classes(tap, m):
    """A matrix that nobody could read is left out, and what is written otherwise is whole."""
    widen(m.folder / "run" / BEST, m.folder / "wide.safetensors", 5001)
    few = json.loads(m.expect(tap, "a few classes", ["eval", "run", "--json"], 0).out)
    wide = m.expect(tap, "thousands of classes", ["eval", "wide.safetensors", "data.mq", "--json", "-o", "wide"], 0,
                    err="no confusion_matrix.csv for more than 5000 classes; predictions.csv has every answer")
    wide = json.loads(wide.out)
    tap.check("their figures", wide["num_classes"] == 5001 and all(
        abs(wide[name] - few[name]) < 1e-6 for name in ("top1", "loss")) and wide["macro"] == few["macro"], (few, wide))
    tap.check("and files", sorted(p.name for p in (m.folder / "wide").iterdir()) == ["metrics.json", "per_class.csv", "predictions.csv"])


def flip(path):
    """A bit of a number in the middle of the largest kernel."""
    data = bytearray(path.read_bytes())
    size = int.from_bytes(data[:8], "little")
    tensors = [t for name, t in json.loads(data[8:8 + size]).items() if name != "__metadata__"]
    begin, end = max((t["data_offsets"] for t in tensors), key=lambda place: place[1] - place[0])
    data[8 + size + (begin + end) // 2] ^= 0x40
    path.write_bytes(data)


def test_damage(tap, m):
    """One bit that has turned is met wherever numbers are read."""
    shutil.copytree(m.folder / "run", m.folder / "turned")
    flip(m.folder / "turned" / BEST)
    for args in (["predict", "turned", PICTURE], ["eval", "turned"], ["export", "turned", "--images", "1", "-o", "x.safetensors"],
                 ["train", "data.mq", *SETTINGS, "--model", "turned", "--stages", "head:1@1e-3"], ["inspect", f"turned/{BEST}"]):
        m.expect(tap, f"a bit of a model has turned: {args[0]}", args, 65, err=f"{BEST}: tensor trunk/")
    m.expect(tap, "resumed, it is written anew", ["train", "--resume", "turned"], 0, err="is not as it was written", timeout=300)
    tap.check("and sound", (m.folder / "turned" / BEST).read_bytes() == (m.folder / "run" / BEST).read_bytes())
    cache = m.folder / "other/marque/weights"
    cache.mkdir(parents=True)
    (cache / "xception.safetensors").write_bytes((m.cache / "marque/weights/xception.safetensors").read_bytes()[:-1])
    m.expect(tap, "weights are cut short", train("no", "head:1@1e-3"), 65, env={"XDG_CACHE_HOME": str(m.folder / "other")},
             err=["it is cut or damaged", "fetch them again: marque pull xception"])
    missing = json.loads(m.run(["doctor", "--json"], env={"XDG_CACHE_HOME": str(m.folder / "other")}).out)["missing"]
    tap.check("doctor finds them", len(missing) == 1 and missing[0].endswith("fetch them again: marque pull xception"), missing)


def test_no_cache(tap, m):
    """A feature cache that cannot be written is said before anything is computed for it, and what to do."""
    cache = m.folder / "full/marque"
    cache.mkdir(parents=True)
    (cache / "weights").symlink_to(m.cache / "marque/weights")
    (cache / "features").write_text("in the way")
    env = {"XDG_CACHE_HOME": str(cache.parent)}
    m.expect(tap, "no place for features", train("cacheless", "head:1@1e-3"), 73, env=env,
             err=["the folder cannot be made", "XDG_CACHE_HOME names another place, and marque train --cache off does without\n"],
             no_err="features of train")
    m.expect(tap, "which does", ["train", "--resume", "cacheless", "--cache", "off"], 0, env=env)


def test_stdin(tap, m):
    process = subprocess.Popen([m.program, "predict", "run", "-"], cwd=m.folder, env=m.environment(None), stdin=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    process.stdin.write(bytes(256 << 10))  # more than a pipe holds: some of it is read
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
    text = process.stderr.read().decode()
    tap.check("a first Ctrl-C stops predict while it reads standard input", process.wait() == -signal.SIGINT and
              # the latter where the signal comes before the picture is waited for
              ("stopped while standard input was read" in text or "stopped after 0 of 1" in text), (process.returncode, text))
    process.stderr.close()
    process.stdin.close()


def main():
    tap = Tap()
    with Marque() as m:
        m.share_weights()
        write_classes(m.folder / "pictures", classes=3, each=30)
        for k in range(3):
            shutil.copytree(m.folder / f"pictures/class-{k}", m.folder / f"bytes-{k}")
        (m.folder / "latin").mkdir()
        (m.folder / "empty").mkdir()
        (m.folder / "empty/Thumbs.db").touch()
        m.expect(tap, "import", ["import", "pictures", "-o", "data.mq", "--test", "0.2"], 0)
        m.expect(tap, "train", train("run", "head:3@1e-3"), 0)
        for test in (test_outputs, test_folders, test_names, test_other_data, test_bytes, test_alike, test_moved, test_epochs, test_lost_model,
                     test_other_way, test_many_classes, test_scales, test_lacking, test_damage, test_no_cache, test_stdin):
            test(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
