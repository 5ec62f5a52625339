#!/usr/bin/env python3
"""Times marque, Keras, PyTorch and OpenVINO on Xception in turns; bench/compare.sh calls it with everything set up.

The machine may be shared: only ratios within a round count. Each figure is told as it comes; at the end of each case a
table of medians, with the ratios of the rounds and marque's share of the limit (see marque bench --help)."""
import argparse
import datetime
import json
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "bench/peers"
STEPS = "5"  # as many as marque bench takes; the first one warms up and is not counted
WORDS = {"train": ["--train", "--bn", "train"], "stored": ["--train", "--bn", "stored"], "infer": ["--infer"]}


def programs(options, kind, dtype, batch):
    """{name: command} of a case."""
    keras, torch = (options.peers / name / "bin/python" for name in ("keras", "torch"))
    case = [kind, {"bf16": "bf16", "f32": "float32"}.get(dtype), batch]
    network = [options.model] if dtype == "int8" else ["xception", "--dtype", dtype]
    found = {"marque": [ROOT / "build/release/marque", "bench", *network, *WORDS[kind], "-b", batch, "--json"],
             "Keras": [keras, PEERS / "keras_xception.py", *case],
             "PyTorch": [torch, PEERS / "torch_xception.py", *case],
             "torch.compile": [torch, PEERS / "torch_xception.py", *case, "compile"]}
    if kind == "infer":
        found["OpenVINO"] = [torch, PEERS / "openvino_xception.py", dtype, batch, options.peers]
    wanted = options.against.split(",") if dtype != "int8" else ["OpenVINO"]
    return {name: command for name, command in found.items() if name == "marque" or name in wanted}


def run(name, command):
    """{img_s, memory in MB, share of the limit (marque only)}; None, and its last words told, when it fails."""
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env=dict(os.environ, N=STEPS)) as child:
        output = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    memory = usage.ru_maxrss // 1024
    if child.returncode == 0 and name == "marque":
        result = json.loads(output[output.index("{"):])
        return {"img_s": result["img_s"], "memory": memory, "share": result["img_s"] / result["limit_img_s"]}
    found = re.search(r"median ([\d.]+) img/s", output)
    if child.returncode == 0 and found:
        return {"img_s": float(found.group(1)), "memory": memory}
    print(f"{name} failed: {output[-500:]}", file=sys.stderr)
    return None


def report(title, results):
    """Prints the table of a case from {name: [result or None of each round]}."""
    print(f"\n### {title}\n| program | img/s | marque is faster by | peak memory | of the limit |\n|---|---|---|---|---|")
    for name, rounds in results.items():
        good = [r for r in rounds if r]
        if not good:
            print(f"| {name} | failed | | | |", flush=True)
            continue
        ratios = [own["img_s"] / other["img_s"] for own, other in zip(results["marque"], rounds) if own and other]
        faster = f"{statistics.median(ratios):.2f} ({', '.join(f'{r:.2f}' for r in ratios)})" if name != "marque" else ""
        share = f"{100 * statistics.median(r['share'] for r in good):.0f} %" if name == "marque" else ""
        print(f"| {name} | {statistics.median(r['img_s'] for r in good):.2f} | {faster} | "
              f"{max(r['memory'] for r in good)} MB | {share} |", flush=True)


def compare(options, kind, dtype, batch):
    title = f"{kind}, {dtype}, batch {batch}"
    contestants = programs(options, kind, dtype, batch)
    results = {name: [] for name in contestants}
    for turn in range(options.rounds):
        for name, command in contestants.items():
            result = run(name, command)
            results[name].append(result)
            print(f"{title}, round {turn + 1}: {name}: {result}", file=sys.stderr, flush=True)
    report(title, results)


def processor():
    return next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")


def main():
    parser = argparse.ArgumentParser(prog="bench/compare.sh", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--passes", default="train,stored,infer", help="stored: training, batch norms on stored statistics")
    parser.add_argument("--dtype", default="bf16,f32", help="int8 (infer only, against OpenVINO) needs --model")
    parser.add_argument("--model", help="a model in 8 bits, from marque export")
    parser.add_argument("--batch", default="32,16")
    parser.add_argument("--against", default="Keras,PyTorch,torch.compile,OpenVINO")
    parser.add_argument("--peers", type=Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if "int8" in options.dtype.split(",") and (not options.model or options.passes != "infer"):
        parser.error("--dtype int8 takes --passes infer --model FILE, a file that marque export wrote")
    print(f"{processor()}, {len(os.sched_getaffinity(0))} cores, {datetime.date.today()}\n"
          f"bench/compare.sh {' '.join(word for word in sys.argv[1:] if word not in ('--peers', str(options.peers)))}")
    for batch in options.batch.split(","):
        for dtype in options.dtype.split(","):
            for kind in options.passes.split(","):
                compare(options, kind, dtype, batch)


if __name__ == "__main__":
    main()
