"""test_records.py: pictures that cannot be read while the real program trains: the system fails, a shard is cut under the
run. It goes on without them up to --max-bad, else ends with one sentence and goes on once they are back; eval is strict."""
import json
import os
import re
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from inject import available, run_traced  # noqa: E402
from tap import Tap  # noqa: E402
from workshop import STAGES, Workshop, rows  # noqa: E402

SHARD = "train-00000-of-00001.tfrecord"
BAD, IO = 65, 74


def log(w, run, event):
    lines = [json.loads(line) for line in w.path(run, "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == event]


def in_use(w):
    splits = json.loads(w.path("data.mq", "dataset.json").read_text())["splits"]
    return splits["train"]["pictures"] + splits["val"]["pictures"]


def flip(path, where):
    """One bit at each of the places, shares of the file."""
    data = bytearray(path.read_bytes())
    for share in where:
        data[int(share * len(data))] ^= 1
    path.write_bytes(data)


def test_damaged(tap, w):
    """Two flipped bits: two records."""
    shutil.copytree(w.path("data.mq"), w.path("hurt.mq"))
    flip(w.path("hurt.mq", SHARD), (0.25, 0.75))
    w.drop_cache()  # which holds what the sound data set gave: it would be used

    def args(run, *more):
        return ["hurt.mq" if word == "data.mq" else word for word in w.args(run, *more)]

    done = w.expect(tap, f"{w.stages}: two damaged records", args("some", "--max-bad", "0.02"), 0,
                    out="2 of its pictures could not be read and were skipped; some/log.jsonl",
                    err=[SHARD, "checksum", "training goes on without this picture", "  2 skipped"])
    tap.check("both are named once", done.err.count("goes on without") == 2, done.err)
    skipped = log(w, "some", "skipped")
    tap.check("and in the log", len(skipped) == 2 and all(
        one["split"] == "train" and re.search(SHARD + r": record \d+ ", one["text"]) for one in skipped) and
        {line["skipped"] for line in log(w, "some", "epoch")} == {2}, skipped)
    w.expect(tap, "by one worker, without a cache", args("again", "--max-bad", "1", "-j", "1", "--cache", "off"), 0)
    tap.check("it is the same run", w.result("again") == w.result("some"))
    w.expect(tap, "above the share", args("strict"), BAD, err=[
        f"hurt.mq: 2 of the {in_use(w)} pictures in use cannot be read, more than the 1 that --max-bad 0.01", "marque scan hurt.mq lists the damaged ones"])
    w.expect(tap, "--max-bad 0", args("none", "--max-bad", "0"), BAD, err=[SHARD, "checksum", "--max-bad 0 lets pass", "--resume"])
    w.expect(tap, "a share above 1", args("more", "--max-bad", "2"), 64, err="--max-bad")
    w.expect(tap, "eval has no pictures to spare", ["eval", "some", "--split", "train"], BAD, err=[SHARD, "checksum"])
    w.expect(tap, "and measures a sound part", ["eval", "some", "--json"], 0, out='"skipped": 0')
    for run in ("some", "again", "strict", "none"):
        w.drop(run)
    shutil.rmtree(w.path("hurt.mq"))


def test_cut_under_the_run(tap, w):
    """The shard loses a byte of its last record behind the first epoch, and gets it back before the run goes on."""
    shard = w.path("data.mq", SHARD)
    whole = shard.read_bytes()
    for run, share, code in (("cut", "0.02", 0), ("strict", "0", BAD)):
        process = w.start(w.args(run, "--max-bad", share, "--cache", "off", "--checkpoint-every", "0"))
        text = ""
        for line in process.stderr:
            text += line
            if re.search(r"head 1/\d loss \S+ top1 \S+ %  val", line):
                os.truncate(shard, len(whole) - 1)
        process.stderr.close()
        found = process.wait()
        wanted = "  1 skipped" if code == 0 else "1 bytes too early"
        tap.check(f"{w.stages}: a shard is cut under the run, --max-bad {share}", found == code and SHARD in text and
                  wanted in text, (found, text))
        shard.write_bytes(whole)
        if code:
            problem = w.problem(run)
            tap.check("whole again it ends as it should", not problem, problem)
        else:
            tap.check("all epochs are there", len(rows(w.path(run, "results.csv"))) == len(w.wanted[1]))
        w.drop(run)


def test_failing_disk(tap, w):
    """Each thread's third read of the shard fails, its sixth and so on."""
    def spoilt(error, *more):
        return run_traced(["-e", "trace=pread64", "-P", str(w.path("data.mq", SHARD)),
                           "-e", f"inject=pread64:error={error}:when=3+3"],
                          w.line(w.args("hurt", "--cache", "off", *more)), w.folder, w.environment(None), timeout=300)

    done = spoilt("EIO", "--max-bad", "1")
    count = len(log(w, "hurt", "skipped"))
    tap.check(f"{w.stages}: every third read fails", done.code == 0 and "INJECTED" in done.log and
              count > 10 and f"{count} of its pictures could not be read" in done.out, (count, done.out, done.err))
    w.drop("hurt")
    done = spoilt("ESTALE")
    tap.check("is too much of it", done.code == IO and "--resume hurt" in done.err and
              f"2 of the {in_use(w)} pictures in use cannot be read" in done.err, done.err)
    problem = w.problem("hurt")
    tap.check("and with a sound disk the run goes on", not problem, problem)
    w.drop("hurt")


def main():
    tap = Tap()
    with Workshop() as w:
        w.plain(STAGES[-1])  # which has all kinds of stages
        test_damaged(tap, w)
        test_cut_under_the_run(tap, w)
        if available():
            test_failing_disk(tap, w)
        else:
            tap.skip(f"{w.stages}: a failing disk", "strace cannot trace here")
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
