#!/usr/bin/python3
"""Mixtape against PyTorch in one run: the CPU rows of docs/performance.md. Needs PyTorch (Debian: python3-torch).

    bench/compare.py build/mixtape [--threads N] [--json FILE]

Rounds of both alternate, so that what else the machine does falls on both; the ratios of the medians are what counts.
"""

import argparse
import functools
import json
import os
import statistics
import subprocess
import tempfile

import torch

import pytorch_peer

STEPS = [(32, 64, 500, 256, 4), (32, 128, 64, 64, 2), (12, 64, 65, 128, 4)]


def mixtape_round(command, threads, repeat):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "bench.json")
        subprocess.run([command, "bench", "--device", "cpu", "--threads", str(threads), "--repeat", str(repeat), "--json", path], check=True,
                       stdout=subprocess.DEVNULL)
        with open(path) as file:
            results = json.load(file)["results"]
    found = {}
    for result in results:
        if result["what"] == "wkv":
            key = "wkv " + "x".join(map(str, result["shape"]))
            found.update({key + " stream": result["stream_s"], key + " forward": result["forward_s"],
                          key + " both": result["forward_s"] + result["backward_s"]})
        else:
            key = "step {B}x{T}x{vocab}x{size}x{blocks}".format(**result)
            found.update({key: result["step_s"], key + " products": result["products_s"]})
    return found


def pytorch_round(threads):
    torch.set_num_threads(threads)
    forward, both = pytorch_peer.time_wkv(8, 1024, 512, 3)
    found = {"wkv 8x1024x512 forward": forward, "wkv 8x1024x512 both": both}
    for shape in STEPS:
        step = "step " + "x".join(map(str, shape))
        found[step] = pytorch_peer.time_step(*shape, 3)
        found[step + " indexed"] = pytorch_peer.time_step(*shape, 3, functools.partial(pytorch_peer.wkv, indexed=True))
    return found


def processor():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "")


def medians(rounds):
    return {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mixtape")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json")
    given = parser.parse_args()
    ours, single, theirs = [], [], []
    for _ in range(given.rounds):
        ours.append(mixtape_round(given.mixtape, given.threads, 9))
        single.append(mixtape_round(given.mixtape, 1, 5))
        theirs.append(pytorch_round(given.threads))
    ours, single, theirs = medians(ours), medians(single), medians(theirs)
    key = "wkv 8x1024x512"
    rows = [
        ("WKV forward (8,1024,512), 1 thread, against its stream", single[key + " forward"] / single[key + " stream"]),
        ("WKV forward and backward (8,1024,512): PyTorch's time over ours", theirs[key + " both"] / ours[key + " both"]),
        ("WKV time of as many steps, (1,65536,512) over (64,1024,512)",
         ours["wkv 1x65536x512 both"] / ours["wkv 64x1024x512 both"]),
    ]
    for shape in STEPS:
        step = "step " + "x".join(map(str, shape))
        rows.append((step + ": PyTorch's time over ours", theirs[step] / ours[step]))
        rows.append((step + ": the same, with the loop as transformers writes it", theirs[step + " indexed"] / ours[step]))
        rows.append((step + ": ours over its matrix products", ours[step] / ours[step + " products"]))
    for name, ratio in rows:
        print(f"{ratio:8.2f}  {name}")
    if given.json:
        with open(given.json, "w") as file:
            json.dump({"threads": given.threads, "rounds": given.rounds, "processor": processor(),
                       "pytorch": torch.__version__, "ratios": dict(rows), "mixtape_s": ours, "mixtape_1_thread_s": single,
                       "pytorch_s": theirs}, file, indent=2)


if __name__ == "__main__":
    main()
