"""test_docs.py: the manual page and the completions that the program writes of itself, in the programs that read them."""
import re
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from check_style import ENVIRONMENT  # noqa: E402
from marque import ROOT, Marque  # noqa: E402
from tap import Tap  # noqa: E402

SHELLS = ("bash", "zsh", "fish")


def helps(m):
    """{command: (all of its --help, its options' names, other ones too)}, from the overview and every --help."""
    head = m.run(["--help"]).out.split("First steps")[0]
    names = [line.split()[0] for line in head.splitlines() if line.startswith("  ")]
    texts = {name: m.run([name, "--help"]).out for name in names}
    return {name: (text, re.findall(r"(?:^  (?:-\w, )?|; or )--([\w-]+)", text, re.M)) for name, text in texts.items()}


def call(argv, text=""):
    done = subprocess.run(argv, input=text, capture_output=True, text=True)
    return done.stdout, done.stderr, done.returncode


def test_man(tap, m, commands):
    page = m.folder / "marque.1"
    page.write_text(m.expect(tap, "docs man", ["docs", "man"], 0, out=".TH MARQUE 1").out)
    out, err, code = call(["env", "LC_ALL=C.UTF-8", "MANWIDTH=200", "MANROFFSEQ=", "man", "--warnings", "-E", "UTF-8", "-l",
                           "-P", "cat", page])
    tap.check("man shows it without a warning", code == 0 and not err and "NAME" in out, err)
    tap.check("its dashes can be copied", not re.search(r"(?<!\\)-", page.read_text()))
    flat = " ".join(re.sub(r".\x08", "", out).split())
    for name, (text, options) in commands.items():
        section = re.search(rf"marque {name} .*?(?=marque \w+ marque |EXIT STATUS)", flat.split("defaults stand in brackets.")[1])
        section = section.group() if section else ""
        lost = [option for option in options if f"--{option}" not in section]
        tap.check(f"{name} has its section with all {len(options)} options", section and not lost, (lost, section))
        summary = text.splitlines()[2]
        example = text.partition("examples:\n")[2].splitlines()[0].strip()
        tap.check(f"{name} has its summary and examples", summary in section and " ".join(example.split()) in section, section)
    header = (ROOT / "include/marque.h").read_text()
    codes = {"0", *re.findall(r"MQ_\w+ = (\d+),", header)}
    told = set(re.findall(r"^\\fB(\d+)\\fR$", page.read_text(), re.M))
    tap.check("it tells every exit code of marque.h", codes == told, codes ^ told)
    lost = [name for name in ENVIRONMENT if name not in flat.split("ENVIRONMENT")[-1]]
    tap.check("it tells of signals", "128+N ended by signal N: 130 for Ctrl-C" in flat, flat[-3000:])
    tap.check("it tells every environment variable", not lost, lost)
    tap.check("it does not tell of itself", "marque docs" not in flat)


def bash_words(file, *words):
    """What bash offers for the last of the words."""
    script = f'source "{file}"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _marque; printf "%s\\n" "${{COMPREPLY[@]}}"'
    out, err, code = call(["bash", "-euc", script, "bash", *words])
    return set(out.split()) if code == 0 and not err else {err}


def test_bash(tap, m, commands):
    file = m.folder / "marque.bash"

    def offered(name, words, wanted):
        got = bash_words(file, "marque", *words)
        tap.check(f"bash: {name}", got == set(wanted), got)

    offered("the commands", [""], [*commands, "--help", "--version"])
    offered("a command that is begun", ["tr"], ["train"])
    offered("an option that is begun", ["train", "--hea"], ["--head"])
    for name, (_, options) in commands.items():
        offered(f"all options of {name}", [name, "--"], [*(f"--{o}" for o in options), "--help"])
    offered("the words of a choice", ["predict", "model", "--dtype", ""], ["auto", "f32", "bf16"])
    offered("one of them behind =", ["predict", "--dtype", "=", "b"], ["bf16"])
    offered("all of them behind =", ["predict", "--dtype", "="], ["auto", "f32", "bf16"])
    offered("the value of another name", ["predict", "--workers", ""], [])
    offered("a command's other name", ["val", "--spl"], ["--split"])
    offered("an option's other name", ["train", "--work"], ["--workers"])
    offered("the plain words of a value", ["train", "--class-weights", ""], ["none", "balanced"])
    offered("presets", ["train", "--preset", ""], ["reference"])
    offered("no word for what stands for others", ["train", "--augment", ""], [])
    offered("the words of a command", ["cache", ""], ["list", "rm"])
    offered("networks", ["pull", ""], {line.split()[0] for line in m.run(["pull", "--list"]).out.splitlines()})
    offered("files behind a command's first word", ["cache", "rm", ""], [])
    offered("files where no word fits", ["train", "--output", "-"], [])
    out, _, _ = call(["bash", "-c", f'source "{file}"; complete -p marque'])
    tap.check("bash: files are bash's own", "-o default" in out and "-F _marque" in out, out)


def test_zsh(tap, m, commands):
    """The words that zsh's own functions get; they stand in for by ones that print."""
    stubs = 'print_all() { print -rl -- "$@" }; _arguments() { print_all "$@" }; _describe() { print_all "${(@)commands}" }; '
    def given(*words):
        return call(["zsh", "-fc", f'{stubs} words=("$@"); CURRENT=$#; source "{m.folder}/marque.zsh"', "zsh", *words])
    out, err, code = given("marque", "")
    tap.check("zsh: the commands", code == 0 and not err and [line.split(":")[0] for line in out.split("\n")[:-1]] == list(commands), out + err)
    for name, (_, options) in commands.items():
        out, err, code = given("marque", name, "--")
        got = set(re.findall(r"^--([\w-]+)", out, re.M))
        tap.check(f"zsh: all options of {name}", code == 0 and not err and got == {*options, "help"}, out + err)
    out, _, _ = given("marque", "predict", "--")
    out_cache, _, _ = given("marque", "cache", "")
    out_train, _, _ = given("marque", "train", "--")
    tap.check("zsh: words of commands and of texts", "1:word:(list rm)" in out_cache and
              ":none|balanced|FILE.csv:{compadd none balanced; _files}" in out_train, out_cache + out_train)
    tap.check("zsh: the words of a choice", "--dtype=[" in out and ":auto|f32|bf16:(auto f32 bf16)" in out, out)


def test_fish(tap, m, commands):
    env = ["env", f"HOME={m.folder}/home", f"XDG_DATA_DIRS={m.folder}", "fish", "--no-config", "-c"]
    def offered(line):
        out, err, code = call([*env, f'source "{m.folder}/marque.fish"; complete -C "{line}"'])
        return {row.split("\t")[0] for row in out.splitlines()} if code == 0 and not err else {err}
    got = offered("marque ")
    tap.check("fish: the commands", got == set(commands), got)
    for name, (_, options) in commands.items():
        got = offered(f"marque {name} --")
        tap.check(f"fish: all options of {name}", {f"--{o}" for o in options} <= {word.rstrip("=") for word in got}, got)
    got = offered("marque cache ") | offered("marque train --class-weights ")
    tap.check("fish: words of commands and of texts", {"list", "rm", "none", "balanced"} <= got, got)
    got = offered("marque predict --dtype ")
    tap.check("fish: the words of a choice", got == {"auto", "f32", "bf16"}, got)


def main():
    tap = Tap()
    with Marque() as m:
        commands = helps(m)
        tap.check("docs is not in the overview", "docs" not in commands and "train" in commands, list(commands))
        m.expect(tap, "docs of what nobody knows", ["docs", "csh"], 64, err="usage: marque docs man|bash|zsh|fish")
        test_man(tap, m, commands)
        for shell, test in zip(SHELLS, (test_bash, test_zsh, test_fish)):
            (m.folder / f"marque.{shell}").write_text(m.expect(tap, f"docs {shell}", ["docs", shell], 0).out)
            if tap.check(f"{shell} is installed", shutil.which(shell), f"sudo apt-get install {shell}"):
                test(tap, m, commands)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
