#!/usr/bin/python3
"""Mixtape against PyTorch in one run: the CPU rows of docs/performance.md. Needs PyTorch (Debian:
python3-torch).

    bench/compare.py build/mixtape [--threads N] [--rounds N] [--blas NAME=FOLDER]...
                     [--peer NAME=PYTHON]... [--limit SECONDS] [--json FILE]

PyTorch runs on the BLAS that the system gives it, and once more on each that --blas names: the
folder that holds its libblas.so.3. Each --peer is another Python, whose PyTorch runs in float32, in
bfloat16 by autocast, and compiled in either, where it compiles a step within the limit (300 s; 0:
none is compiled). Rounds of all alternate, so that what else the machine does falls on each; the
ratios of the medians are what counts. Libraries choose their kernels for the processor, whatever
the environment says.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

from pytorch_peer import STEPS, WAYS, name_of
from runs import environment

PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pytorch_peer.py")
USUAL_STEPS = 3  # of `mixtape bench`
NUMBERS = [str(number) for number in range(len(STEPS))]
BY_SYSTEM = ["wkv", *NUMBERS, *(f"{number},indexed" for number in NUMBERS)]
BY_PEER = [*NUMBERS, *(f"{number},bf16" for number in NUMBERS)]
COMPILED = [f"{number},{way}" for way in WAYS if "compiled" in way for number in NUMBERS]
WKV = "wkv 8x1024x512"


def results_of(command, threads, *options):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "bench.json")
        subprocess.run([command, "bench", "--device", "cpu", "--threads", str(threads), "--json",
                        path, *options],
                       check=True, stdout=subprocess.DEVNULL, env=environment())
        with open(path) as file:
            return json.load(file)["results"]


def seconds_of(results):
    found = {}
    for result in results:
        if result["what"] == "wkv":
            key = "wkv " + "x".join(map(str, result["shape"]))
            found[key + " stream"] = result["stream_s"]
            found[key + " forward"] = result["forward_s"]
            found[key + " both"] = result["forward_s"] + result["backward_s"]
        else:
            shape = [result[name] for name in ("B", "T", "vocab", "size", "blocks")]
            key = name_of(shape, "" if result["dtype"] == "f32" else result["dtype"])
            found |= {key: result["step_s"], key + " products": result["products_s"]}
    return found


def mixtape_round(command, threads, repeat):
    """All in float32, and the steps in bfloat16."""
    found = seconds_of(results_of(command, threads, "--repeat", str(repeat)))
    for dtype, numbers in (("f32", NUMBERS[USUAL_STEPS:]), ("bf16", NUMBERS)):
        for number in numbers:
            found |= seconds_of(results_of(command, threads, "--repeat", str(repeat), "--dtype",
                                           dtype, "--step", number))
    return found


def pytorch_round(python, threads, asked, folder=None, limit=None, cache=None):
    """What a PyTorch takes; None: it had not done within the limit."""
    paths = [path for path in (folder, os.environ.get("LD_LIBRARY_PATH")) if path]
    more = {"LD_LIBRARY_PATH": ":".join(paths)} if paths else {}
    if cache:
        more["TORCHINDUCTOR_CACHE_DIR"] = cache
    try:
        run = subprocess.run([python, PEER, str(threads), *asked], check=True, capture_output=True,
                             text=True, env=environment(**more), timeout=limit)
    except subprocess.TimeoutExpired:
        return None
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(error.cmd)}: status {error.returncode}\n{error.stderr[-2000:]}")
    return json.loads(run.stdout)


def compiled_rounds(python, threads, given, too_long):
    """One round of each compiled step, in processes of their own; those that take too long once are
    not tried again."""
    found = {}
    for what in COMPILED:
        if given.limit > 0 and what not in too_long:
            one = pytorch_round(python, threads, [what], limit=given.limit, cache=given.cache)
            too_long |= {what} if one is None else set()
            found |= one["seconds"] if one is not None else {}
    return found


def processor():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":")[1].strip() for line in file if line.startswith("model name")),
                    "")


def medians(rounds):
    return {key: statistics.median(one[key] for one in rounds if key in one)
            for key in {key: None for one in rounds for key in one}}


def ratios(ours, single, peers):
    yield ("WKV forward (8,1024,512), 1 thread, over its stream",
           single[WKV + " forward"] / single[WKV + " stream"])
    yield ("WKV time of as many steps, (1,65536,512) over (64,1024,512)",
           ours["wkv 1x65536x512 both"] / ours["wkv 64x1024x512 both"])
    yield ("WKV forward and backward (8,1024,512): PyTorch's over ours",
           peers["system"]["seconds"][WKV + " both"] / ours[WKV + " both"])
    for shape in STEPS:
        step, narrow = name_of(shape, ""), name_of(shape, "bf16")
        for name in (step, narrow):
            yield f"{name}: ours over its matrix products", ours[name] / ours[name + " products"]
        yield f"{step}: float32 over bfloat16", ours[step] / ours[narrow]
        for peer, measured in peers.items():
            for way in WAYS:
                name = name_of(shape, way)
                if name in measured["seconds"]:
                    own = ours[narrow if "bf16" in way else step]
                    yield f"{name}: {peer}'s PyTorch over ours", measured["seconds"][name] / own


def add_round(given, libraries, pythons, found, too_long):
    """Adds a round of all to what was found."""
    found.setdefault("ours", []).append(mixtape_round(given.mixtape, given.threads, 9))
    found.setdefault("single", []).append(
        seconds_of(results_of(given.mixtape, 1, "--repeat", "5", "--wkv", "8,1024,512")))
    for name, folder in libraries.items():
        found.setdefault(name, []).append(
            pytorch_round(sys.executable, given.threads, BY_SYSTEM, folder))
    for name, python in pythons.items():
        one = pytorch_round(python, given.threads, BY_PEER)
        one["seconds"] |= compiled_rounds(python, given.threads, given, too_long)
        found.setdefault(name, []).append(one)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mixtape")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--blas", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--limit", type=float, default=300.0, metavar="SECONDS")
    parser.add_argument("--json")
    given = parser.parse_args()
    libraries = {"system": None}
    for library in given.blas:
        name, _, folder = library.partition("=")
        if not os.path.exists(os.path.join(folder, "libblas.so.3")):
            parser.error(f"--blas {library}: no libblas.so.3 there")
        libraries[name] = folder
    pythons = {}
    for peer in given.peer:
        name, _, python = peer.partition("=")
        if not os.path.exists(python) or name in {"ours", "single", *libraries}:
            parser.error(f"--peer {peer}: no NAME=PYTHON with a name of its own")
        pythons[name] = python
    found, too_long = {}, set()
    with tempfile.TemporaryDirectory() as given.cache:
        for _ in range(given.rounds):
            add_round(given, libraries, pythons, found, too_long)
    ours, single = medians(found["ours"]), medians(found["single"])
    peers = {name: dict(found[name][0], seconds=medians([one["seconds"] for one in found[name]]))
             for name in [*libraries, *pythons]}
    rows = dict(ratios(ours, single, peers))
    for name, ratio in rows.items():
        print(f"{ratio:8.2f}  {name}")
    for what in sorted(too_long):
        number, _, way = what.partition(",")
        print(f"{'':8}  {name_of(STEPS[int(number)], way)}: not within {given.limit:.0f} s")
    if given.json:
        with open(given.json, "w") as file:
            json.dump({"threads": given.threads, "rounds": given.rounds, "processor": processor(),
                       "ratios": rows, "too_long": sorted(too_long), "mixtape_s": ours,
                       "mixtape_1_thread_s": single, "peers": peers}, file, indent=2)


if __name__ == "__main__":
    main()
