"""test_cli.py: the frame of the command line: words nobody knows, help, exit codes, closed streams."""
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from marque import Marque, obey_modes  # noqa: E402
from tap import Tap  # noqa: E402


def listed_commands(overview):
    """The commands of `marque --help`: the indented lines before the first steps."""
    head = overview.split("First steps")[0]
    return [line.split()[0] for line in head.splitlines() if line.startswith("  ") and line.strip()]


def test_words(tap, m):
    m.expect(tap, "no command at all shows the overview", [], 64, err="usage: marque COMMAND")
    m.expect(tap, "--help", ["--help"], 0, out="usage: marque COMMAND")
    m.expect(tap, "help", ["help"], 0, out="marque pull xception")
    run = m.run(["help", "train"])
    tap.check("help of a command is its --help", run.code == 0 and run.out == m.run(["train", "--help"]).out, run)
    m.expect(tap, "help of a command nobody knows", ["help", "trian"], 64, err="did you mean train")
    m.expect(tap, "a command's other name", ["eval", "--help"], 0, out="another name: marque val\n")
    m.expect(tap, "an option's other name", ["train", "--help"], 0, out="pictures a step [32]; or --batch-size\n")
    m.expect(tap, "--dtype where a model in 8 bits serves", ["eval", "--help"], 0, out="auto: int8 for 8-bit models, else bf16")
    for name in ("train", "clean", "scan"):
        m.expect(tap, f"--dtype of {name}", [name, "--help"], 0, out="auto: bf16 where the processor has it [auto]\n")
    m.expect(tap, "--version", ["--version"], 0, out="marque 0.")
    m.expect(tap, "a command nobody knows", ["docter"], 64, err="docter is not a command; did you mean doctor")
    m.expect(tap, "a command near nothing", ["qqqqqqqqqqqq"], 64, err="marque --help lists them", no_err="did you mean")
    m.expect(tap, "an escape in a command's name", ["a\x1b[31mb"], 64, err="a?[31mb is not a command", no_err="\x1b")
    m.expect(tap, "an option nobody knows", ["doctor", "--threds", "2"], 64, err="--threds is not an option here")
    for args, words in ((["pull", "--list", "xception"], "--list shows all networks, and takes no name"),
                        (["pull", "--list", "--from", "x.keras"], "--from means nothing for --list"),
                        (["clean", "x.mq", "--apply", "x.csv", "--folds", "3"], "--folds means nothing for --apply"),
                        (["inspect", "x.mq", "--augment", "strong"], "--augment means nothing for anything but --batch"),
                        (["bench", "xception", "--infer", "--bn", "stored"], "--bn means nothing for --infer")):
        m.expect(tap, f"no option is ignored: {' '.join(args)}", args, 64, err=words)
    m.expect(tap, "too many words", ["doctor", "extra", "words"], 64, err="usage: marque doctor")
    run = m.run(["docter"])
    tap.check("an error is one line on stderr", run.err.count("\n") == 1 and run.out == "", repr(run))
    tap.check("its line begins with the program's name", run.err.startswith("marque: "), run.err)


def test_empty(tap, m):
    """A shell's variable that was never set must not write below /."""
    for args in (["train", "x.mq"], ["eval", "x"], ["export", "x"], ["scan", "x.mq"], ["clean", "x.mq"], ["predict", "x", "y.png"],
                 ["inspect", "x.mq", "--batch", "1"], ["import", "x"]):
        m.expect(tap, f"{args[0]} into nothing", [*args, "-o", ""], 64, err="--output must not be empty")
    m.expect(tap, "pull from nothing", ["pull", "xception", "--from="], 64, err="--from must not be empty")


def test_help(tap, m):
    commands = listed_commands(m.run(["--help"]).out)
    tap.check("the overview lists commands", "doctor" in commands, commands)
    for name in commands:
        run = m.run([name, "--help"])
        tap.check(f"{name} --help exits 0 on stdout alone", run.code == 0 and run.err == "", run.err)
        tap.check(f"{name} --help says how to call it", run.out.startswith(f"usage: marque {name}"), run.out)
        example = run.out.partition("\nexamples:\n")[2]
        tap.check(f"{name} --help has an example", f"  marque {name}" in example, run.out)
        wide = [line for line in run.out.splitlines() if len(line) > 130]
        tap.check(f"{name} --help fits a terminal", not wide, "\n".join(wide))
        m.expect(tap, f"{name} refuses an option nobody knows", [name, "--no-such-option"], 64,
                 err="--no-such-option is not an option here")


def test_streams(tap, m):
    run = m.run(["--help"], stdout="full")
    tap.check("a full disk behind stdout exits 74", run.code == 74 and "cannot be written" in run.err, repr(run))
    run = m.run(["--help"], stdout="closed")
    tap.check("a closed stdout is no better", run.code == 74 and "cannot be written: Bad file descriptor" in run.err, repr(run))
    run = m.run(["--help"], stdout="pipe without reader")
    tap.check("a reader that left ends it as SIGPIPE would", run.code == 128 + 13 and run.err == "", repr(run))


def test_doctor(tap, m):
    words = ["marque  ", "processor", "oneDNN", "dtype auto", "memory", "cache"]
    run = m.expect(tap, "doctor shows what matters", ["doctor"], 0, out=words)
    tap.check("doctor says how to get the weights", "marque pull xception" in run.out, run.out)
    run = m.run(["doctor", "--json"])
    report = json.loads(run.out) if run.code == 0 else {}
    tap.check("doctor --json has its members", set(report) == {
        "version", "processor", "cores", "isa", "onednn", "dtype", "memory_gb", "cache", "missing"}, run)
    tap.check("its cache is the one in HOME", report.get("cache") == str(m.folder / "home/.cache/marque"), report)
    nowhere = {"XDG_CACHE_HOME": "relative", "HOME": ""}
    run = m.run(["doctor"], env=nowhere)
    tap.check("no folder for the cache is told beside all else", run.code == 0 and "\ncache       unknown\n" in run.out and
              "memory" in run.out and "set HOME or XDG_CACHE_HOME" in run.out, run)
    run = m.run(["doctor", "--json"], env=nowhere)
    tap.check("and is null", run.code == 0 and json.loads(run.out)["cache"] is None, run)
    run = m.run(["pull", "--list"], env=nowhere)
    tap.check("networks are listed without it", run.code == 0 and "xception" in run.out and "set HOME" in run.out, run)
    m.expect(tap, "but not pulled", ["pull", "xception"], 73, err="set HOME or XDG_CACHE_HOME", env=nowhere)
    run = m.run(["doctor", "--json"], env={"ONEDNN_MAX_CPU_ISA": "AVX2"})
    tap.check("without bf16 instructions auto takes f32", run.code == 0 and json.loads(run.out)["dtype"] == "f32", run)


def test_cache(tap, m):
    """A cache by hand: never more than complete, and damaged where it is."""
    for key, meta, size in (("ab", '{"data": "x.mq", "split": "train", "bytes": 1000, "program": "p"}', 1001),
                            ("cd", '{"data": "x.mq"', 10), ("ef", "[]", 10)):
        folder = m.folder / "home/.cache/marque/features" / key
        folder.mkdir(parents=True)
        (folder / "meta.json").write_text(meta)
        (folder / "features.bin").write_bytes(bytes(size))
    rows = {row["key"]: row for row in json.loads(m.run(["cache", "--json"]).out)}
    tap.check("no cache is more than complete", rows["ab"]["complete"] == 1 and rows["cd"]["complete"] == 0, rows)
    lines = {line.split()[0]: line for line in m.run(["cache"]).out.splitlines()}
    tap.check("a damaged meta.json is called so", all("its meta.json is damaged" in lines[key] for key in ("cd", "ef")) and
              "of another marque or processor" in lines["ab"], lines)


    folders = [m.folder / "home/.cache/marque/features" / key for key in rows]
    for folder in folders:
        folder.chmod(0o500)
    run = m.run(["cache", "rm", "--all"], preexec=obey_modes)
    tap.check("caches that may not be removed are in nobody's use", run.code == 73 and run.err.count("Permission denied") == 3 and
              "3 cannot be removed, 0 in use stay" in run.err, run)
    for folder in folders:
        folder.chmod(0o700)
    m.expect(tap, "and go when they may", ["cache", "rm", "--all"], 0, out="removed ab")


def main():
    tap = Tap()
    with Marque() as m:
        test_words(tap, m)
        test_empty(tap, m)
        test_help(tap, m)
        test_streams(tap, m)
        test_doctor(tap, m)
        test_cache(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
