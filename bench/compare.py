#!/usr/bin/python3
"""Mixtape against PyTorch in one run: the CPU rows of docs/performance.md. Needs PyTorch (Debian:
python3-torch).

    bench/compare.py build/mixtape [--threads N] [--rounds N] [--blas NAME=FOLDER]... [--json FILE]

PyTorch runs on the BLAS that the system gives it, and once more on each that --blas names: the
folder that holds its libblas.so.3. Rounds of all alternate, so that what else the machine does
falls on each; the ratios of the medians are what counts.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

from pytorch_peer import STEPS

PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pytorch_peer.py")


def mixtape_round(command, threads, repeat):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "bench.json")
        subprocess.run([command, "bench", "--device", "cpu", "--threads", str(threads),
                        "--repeat", str(repeat), "--json", path],
                       check=True, stdout=subprocess.DEVNULL)
        with open(path) as file:
            results = json.load(file)["results"]
    found = {}
    for result in results:
        if result["what"] == "wkv":
            key = "wkv " + "x".join(map(str, result["shape"]))
            found.update({
                key + " stream": result["stream_s"], key + " forward": result["forward_s"],
                key + " both": result["forward_s"] + result["backward_s"]
            })
        else:
            key = "step {B}x{T}x{vocab}x{size}x{blocks}".format(**result)
            found.update({key: result["step_s"], key + " products": result["products_s"]})
    return found


def pytorch_round(threads, folder):
    path = [folder] if folder else []
    path += [os.environ["LD_LIBRARY_PATH"]] if "LD_LIBRARY_PATH" in os.environ else []
    run = subprocess.run([sys.executable, PEER, str(threads)], check=True, capture_output=True,
                         text=True, env=dict(os.environ, LD_LIBRARY_PATH=":".join(path)))
    return json.loads(run.stdout)


def processor():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":")[1].strip() for line in file if line.startswith("model name")),
                    "")


def medians(rounds):
    return {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mixtape")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--blas", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--json")
    given = parser.parse_args()
    libraries = {"": ""}
    for library in given.blas:
        name, _, folder = library.partition("=")
        if not os.path.exists(os.path.join(folder, "libblas.so.3")):
            parser.error(f"--blas {library}: no libblas.so.3 there")
        libraries[name] = folder
    ours, single, theirs = [], [], {name: [] for name in libraries}
    for _ in range(given.rounds):
        ours.append(mixtape_round(given.mixtape, given.threads, 9))
        single.append(mixtape_round(given.mixtape, 1, 5))
        for name, folder in libraries.items():
            theirs[name].append(pytorch_round(given.threads, folder))
    ours, single = medians(ours), medians(single)
    peers = {
        name: dict(rounds[0], seconds=medians([one["seconds"] for one in rounds]))
        for name, rounds in theirs.items()
    }
    key = "wkv 8x1024x512"
    rows = [
        ("WKV forward (8,1024,512), 1 thread, over its stream",
         single[key + " forward"] / single[key + " stream"]),
        ("WKV time of as many steps, (1,65536,512) over (64,1024,512)",
         ours["wkv 1x65536x512 both"] / ours["wkv 64x1024x512 both"]),
        ("WKV forward and backward (8,1024,512): PyTorch's over ours",
         peers[""]["seconds"][key + " both"] / ours[key + " both"]),
    ]
    for shape in STEPS:
        step = "step " + "x".join(map(str, shape))
        rows.append(
            (step + ": ours over its matrix products", ours[step] / ours[step + " products"]))
        for name, peer in peers.items():
            on = f" on {name}" if name else ""
            rows.append((f"{step}: PyTorch's{on} over ours", peer["seconds"][step] / ours[step]))
            rows.append(
                (f"{step}: PyTorch's{on}, with the loop as transformers writes it, over ours",
                 peer["seconds"][step + " indexed"] / ours[step]))
    for name, ratio in rows:
        print(f"{ratio:8.2f}  {name}")
    if given.json:
        with open(given.json, "w") as file:
            json.dump(
                {
                    "threads": given.threads, "rounds": given.rounds, "processor": processor(),
                    "ratios": dict(rows), "mixtape_s": ours, "mixtape_1_thread_s": single,
                    "peers": {name or "system": peer for name, peer in peers.items()}
                }, file, indent=2)


if __name__ == "__main__":
    main()
