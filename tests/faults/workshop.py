"""workshop.py: a small data set, a run that nothing disturbed, and whether another run ended as that one did.

    with Workshop(tap) as w:
        for stages in STAGES:
            w.plain(stages)
            ... w.args("hurt"), w.problem("hurt")
"""
import csv
import os
import shutil

from marque import Marque
from pictures import write_classes

# What is trained, one row for each kind of run: every test goes over all of them.
STAGES = ["head:2@1e-3,head:2@5e-4", "head:1@1e-3,block14+:2@1e-4"]
# Small numbers; the linear classifier's checkpoints have 100 kB.
SETTINGS = ["--imgsz", "71", "--dtype", "f32", "--head", "linear", "-b", "50", "--threads", "2", "-j", "2"]
MEASURED = ("time", "img_s", "data_pct")  # columns of results.csv that are no function of the settings
PLAIN = "plain"


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


class Workshop(Marque):
    def __enter__(self):
        super().__enter__()
        self.share_weights()
        # 120 pictures, of which 99 are trained on: more than one chunk of 64 in the feature cache, and more than one batch.
        write_classes(self.folder / "pictures", classes=3, each=40)
        done = self.run(["import", "pictures", "-o", "data.mq", "--test", "0.1"])
        assert done.code == 0, done.err
        return self

    def environment(self, env):
        return super().environment({"OMP_WAIT_POLICY": "passive", **(env or {})})

    def path(self, *parts):
        return self.folder.joinpath(*parts)

    def plain(self, stages):
        """Makes the undisturbed run of these stages."""
        self.stages = stages
        self.drop(PLAIN)
        done = self.run(self.args(PLAIN))
        assert done.code == 0, done.err
        self.wanted = self.result(PLAIN)

    def args(self, run, *more):
        return ["train", "data.mq", *SETTINGS, "--stages", self.stages, "-o", run, *more]

    def drop(self, run):
        shutil.rmtree(self.path(run), ignore_errors=True)

    def drop_cache(self):
        shutil.rmtree(self.cache / "marque/features", ignore_errors=True)

    def result(self, run):
        """What a run ends with: its models, and its rows without what was measured with a clock."""
        models = [self.path(run, "weights", f"{name}.safetensors").read_bytes() for name in ("best", "last")]
        table = [{k: v for k, v in row.items() if k not in MEASURED} for row in rows(self.path(run, "results.csv"))]
        return models, table

    def problem(self, run, *more):
        """Goes on with a run, and says what is wrong: it must end as the plain one did. Removes it if all is well."""
        begun = self.path(run, "config.json").exists()
        done = self.run(["train", "--resume", run, *more] if begun else self.args(run))
        if done.code != 0:
            return f"does not go on: {done.code} {done.err[-600:]}"
        if self.result(run) != self.wanted:
            return "ends with other models or rows"
        left = [str(p) for p in self.path(run).rglob("*.tmp-*")]
        if left:
            return f"leaves {left}"
        self.drop(run)
        return None

    def line(self, args):
        """The command line of marque ARGS, for strace."""
        return [self.program, *map(str, args)]


def root():
    return os.geteuid() == 0
