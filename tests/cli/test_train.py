"""test_train.py: what `marque train` refuses before it starts, and in which words; what `marque inspect` tells of a run."""
import json
import os
import shutil
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from marque import Marque  # noqa: E402
from pictures import write_classes  # noqa: E402
from tap import Tap  # noqa: E402


def test_settings(tap, m):
    def refused(name, args, code, err):
        m.expect(tap, name, ["train", "small.mq", *args], code, err=err)

    m.expect(tap, "no data set", ["train"], 64, err="usage: marque train DATA")
    refused("a block the network lacks", ["--stages", "head,block15+"], 64, ["block15", "block1 to block14"])
    refused("a block without its plus", ["--stages", "block13"], 64, "no stage")
    refused("batch norm in other words", ["--stages", "all/frozen"], 64, ["/stored or /train"])
    refused("batch statistics of a frozen network", ["--stages", "head/train"], 64, "thaws no batch norm")
    refused("a --bn nobody knows", ["--bn", "batch"], 64, "stored")
    refused("a preset that is known gets as far as the weights", ["--preset", "reference"], 66, "marque pull xception")
    refused("a preset nobody knows", ["--preset", "refrence"], 64, "there is: reference")
    refused("no epochs", ["--stages", "head:0@1e-3"], 64, "no number of epochs")
    refused("half an epoch", ["--stages", "head:1.5@1e-3"], 64, "no number of epochs")
    refused("a learning rate in words", ["--stages", "head:2@fast"], 64, "no learning rate")
    refused("a negative learning rate", ["--lr", "-1"], 64, "no learning rate")
    refused("more epochs than stages", ["--stages", "head:2@1e-3", "--epochs", "1,2"], 64, "2 numbers for 1 stages")
    refused("an empty list of stages", ["--stages", ""], 64, "--stages must not be empty")
    refused("stages that are commas", ["--stages", ","], 64, "names no stage")
    refused("blanks around stages and numbers", ["--stages", " head:1@1e-3 , block14+:1@1e-4/train ", "--lr", "1e-3, 1e-4 "], 66,
            "marque pull xception")
    refused("a head nobody knows", ["--head", "2048"], 64, "linear")
    refused("a batch of nothing", ["-b", "0"], 64, "a number from 1")
    refused("words for a number", ["--batch-size", "many"], 64, 'not "many"')
    refused("a network nobody knows", ["--model", "exception"], 64, "exception")
    refused("a picture size too small", ["--imgsz", "70"], 64, "71")
    refused("records every -1 steps", ["--summary-steps", "-1"], 64, ["--summary-steps", "a number from 0"])
    refused("a misspelt option names the nearest", ["--epoch", "3"], 64, "did you mean --epochs")
    refused("a value left out", ["--epochs"], 64, "--epochs needs a value")
    refused("a run that is not there", ["--resume", "runs/none"], 66, "runs/none: no such run folder or run below runs/")
    refused("a run's folder with two names", ["-o", "a", "--name", "b"], 64, "take one of the two")
    m.expect(tap, "a folder that is no run, before anything is measured", ["train", "small.mq", "-o", "pictures"], 73,
             err="pictures: exists already and is no run; choose another folder", no_err="--resume")
    refused("a name with a slash, too", ["--name", "a/b"], 64, "a name without slashes")
    refused("its plan alone makes no folder", ["-o", "pictures", "--plan"], 66, "marque pull xception")
    m.expect(tap, "resuming a folder that is no run", ["train", "--resume", "pictures"], 66, err="pictures: not a run folder")
    refused("a sampling nobody knows", ["--sampling", "even"], 64, "shuffle|balanced")
    refused("labels smoothed by more than all", ["--label-smoothing", "1.5"], 64, ["--label-smoothing", "from 0 to 0.99"])
    refused("a buffer for balanced sampling", ["--sampling", "balanced", "--shuffle-buffer", "9"], 64,
            ["--shuffle-buffer", "take one of the two"])
    refused("a buffer of less than nothing", ["--shuffle-buffer", "-1"], 64, "--shuffle-buffer")
    refused("rare classes raised twice", ["--sampling", "balanced", "--class-weights", "balanced"], 64, "take one of the two")
    refused("weights that are not there", ["--class-weights", "none.csv"], 66, "none.csv")
    refused("balanced weights get as far as the network's", ["--class-weights", "balanced"], 66, "marque pull xception")
    for text, words in (("class,weight\nclass-9,2\n", ["weights.csv:2: class-9 is no class of small.mq", "did you mean class-"]),
                        ("class,weight\nclass-1,heavy\n", ['weights.csv:2: "heavy" is no weight']),
                        ("class,weight\nclass-1,2\nclass-1,2\n", ["weights.csv:3:", "has a weight already"]),
                        ("class,times\nclass-1,2\n", ["weights.csv", "weight"])):
        (m.folder / "weights.csv").write_text(text)
        refused(f"the weights {text.split()[-1]}", ["--class-weights", "weights.csv"], 65, words)
    m.expect(tap, "bf16 where the processor has none", ["train", "small.mq", "--dtype", "bf16"], 69, err="--dtype f32",
             env={"ONEDNN_MAX_CPU_ISA": "AVX2"})


def test_config(tap, m):
    def config(name, content, code, err):
        (m.folder / "config.json").write_text(content if isinstance(content, str) else json.dumps(content))
        m.expect(tap, name, ["train", "--config", "config.json"], code, err=["config.json", *err])

    config("a config that is no JSON", "{", 65, [])
    config("a config that is a list", [], 64, ["not a JSON object"])
    config("the same behind a byte-order mark", "\ufeff[]", 64, ["not a JSON object"])
    config("a config of the future", {"version": 2}, 64, ["another version"])
    config("a key nobody knows", {"version": 1, "data": "small.mq", "epohcs": 3}, 64, ["epohcs", "did you mean"])
    config("a number for text", {"version": 1, "data": "small.mq", "model": 3}, 64, ["must be text"])
    config("a list for data", {"version": 1, "data": ["small.mq"]}, 64, ['"data" must be text'])
    for key in ("resume", "config"):
        config(f"{key} in a config", {"version": 1, "data": "small.mq", key: "small.mq"}, 64, [f'"{key}" belongs on the command line'])
    for stage, words in (({"epochs": 1}, 'lacks "lr"'), ({"lr": 1}, 'lacks "epochs"'), (3, "is not a JSON object"),
                         ({"epochs": 1, "lr": 1, "epohcs": 2}, '"epohcs" is no member of a stage; there are name, thaw, epochs'),
                         ({"epochs": 1.5, "lr": 1}, '"epochs" must be a whole number'),
                         ({"epochs": 1, "lr": "1"}, '"lr" must be a number'), ({"epochs": 1, "lr": 1, "thaw": 2}, '"thaw" must be text')):
        config(f"a stage of {stage}", {"version": 1, "data": "small.mq", "stages": [{"epochs": 1, "lr": 1e-3}, stage]}, 64,
               ["stages[1]", words])
    config("no stages", {"version": 1, "data": "small.mq", "stages": []}, 64, ["not a list of stages"])
    m.expect(tap, "a config that is not there", ["train", "--config", "none.json"], 66, err="none.json")


def test_data(tap, m):
    m.expect(tap, "data that are not there", ["train", "none.mq"], 66, err="none.mq")
    m.expect(tap, "pictures that are not imported yet", ["train", "pictures"], 64,
             err="marque import pictures -o pictures.mq")
    m.expect(tap, "weights that are not there", ["train", "small.mq"], 66, err="marque pull xception")
    m.expect(tap, "evaluating a run that is not there", ["eval", "none"], 66, err="none: no such model file")
    m.expect(tap, "asking a model that is not there", ["predict", "none", "a.png"], 66, err="none: no such model file")
    os.mkfifo(m.folder / "pipe")
    (m.folder / "round").symlink_to("round")
    for name, words in (("", "the name of a model is empty"), ("pipe", "pipe: is no regular file"), ("/dev/zero", "/dev/zero: is no regular file"),
                        ("round", "round: Too many levels of symbolic links"), ("text.py/x", "text.py/x: no such model file")):
        m.expect(tap, f"a model that is none: {words}", ["predict", name, "a.png"], 66, err=words, timeout=20)
    (m.folder / "text.safetensors").write_text("hello, this is no model at all")
    m.expect(tap, "a model that is text", ["predict", "text.safetensors", "a.png"], 65, err="text.safetensors")
    m.expect(tap, "90 for 90 %", ["eval", "none", "--assert-top1", "90"], 64, err="write 0.90")
    m.expect(tap, "a box without an area", ["predict", "none", "a.png", "--box", "5,5,5,9"], 64, err="x1,y1,x2,y2")
    m.expect(tap, "two formats at once", ["predict", "none", "a.png", "--json", "--csv"], 64, err="exclude each other")


def test_damaged_shards(tap, m):
    for name, damage, words in (("cut", lambda d: d[:-7], ["train-00000-of-00001.tfrecord"]),
                                ("flipped", lambda d: d[:200] + bytes([d[200] ^ 1]) + d[201:], ["checksum", "record"])):
        shutil.copytree(m.folder / "small.mq", m.folder / f"{name}.mq")
        shard = m.folder / f"{name}.mq/train-00000-of-00001.tfrecord"
        shard.write_bytes(damage(shard.read_bytes()))
        m.expect(tap, f"a {name} shard", ["inspect", f"{name}.mq"], 65, err=words)
    m.expect(tap, "training on a cut shard", ["train", "cut.mq"], 65, err="train-00000-of-00001.tfrecord")
    m.expect(tap, "a sound data set", ["inspect", "small.mq"], 0, err="every record is sound")


def test_run_told(tap, m):
    """Data, stages, epochs and the best epoch of a run, as training chose it."""
    (m.folder / "runs/told/weights").mkdir(parents=True)
    run, header = m.folder / "runs/told", b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    (run / "weights/best.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    stages = [{"name": "head", "thaw": "none", "epochs": 3, "lr": 0.001, "bn": "stored"},
              {"name": "block14+", "thaw": "block14+", "epochs": 2, "lr": 0.0001, "bn": "train"}]

    def told(monitor, *scores):
        (run / "config.json").write_text(json.dumps({"data": "cars.mq", "monitor": monitor, "stages": stages}))
        (run / "results.csv").write_text("epoch,stage,val/loss,metrics/accuracy_top1\n" + "".join(
            f"{i + 1},head,{loss},{top1}\n" for i, (loss, top1) in enumerate(scores)))
        return json.loads(m.run(["inspect", "told", "--json"]).out)["run"]

    facts = {"data": "cars.mq", "stages": "head:3@0.001,block14+:2@0.0001/train", "epochs": 5}
    scores = (0.5, 0.75), (0.4, 0.75), (0.4, 0.75), (0.3, 0.5)
    for monitor, best, top1 in (("loss", 4, 0.5), ("top1", 2, 0.75)):
        is_told = told(monitor, *scores)
        tap.check(f"the best by {monitor}", is_told == {**facts, "epochs_done": 4, "best_epoch": best, "best_top1": top1}, is_told)
    m.expect(tap, "in words, too", ["inspect", "told"], 0, out=[
        "\nrun.data             cars.mq\n", "\nrun.stages           head:3@0.001,block14+:2@0.0001/train\n",
        "\nrun.epochs           4 of 5 done\n", "\nrun.best             epoch 2, validation top-1 75.0 %\n"])
    is_told = told("top1", ("", ""))
    tap.check("without validation none is the best", is_told == {**facts, "epochs_done": 1, "best_epoch": None, "best_top1": None}, is_told)
    (run / "results.csv").unlink()
    done = m.expect(tap, "without results.csv", ["inspect", "runs/told"], 0, out="run.stages")
    tap.check("nothing is said of epochs", "run.epochs" not in done.out and "run.best" not in done.out, done.out)
    model = m.run(["inspect", "runs/told/weights/best.safetensors", "--json"])
    tap.check("a model's file is no run", json.loads(model.out)["run"] is None, model)
    (run / "config.json").write_text("{}")
    m.expect(tap, "a config that says nothing", ["inspect", "told"], 65, err="runs/told/config.json")


def main():
    tap = Tap()
    with Marque() as m:
        write_classes(m.folder / "pictures")
        m.expect(tap, "a small data set", ["import", "pictures", "-o", "small.mq"], 0)
        test_settings(tap, m)
        test_config(tap, m)
        test_data(tap, m)
        test_damaged_shards(tap, m)
        test_run_told(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
