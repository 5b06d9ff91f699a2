#!/usr/bin/python3
"""Mixtape against PyTorch in one run: the CPU rows of docs/performance.md. Needs PyTorch (Debian:
python3-torch).

    bench/compare.py build/mixtape [--threads N] [--rounds N] [--blas NAME=FOLDER]...
                     [--peer NAME=PYTHON]... [--limit SECONDS] [--step I]... [--repeat N]
                     [--json FILE]

PyTorch runs on the BLAS that the system gives it, and once more on each that --blas names: the
folder that holds its libblas.so.3. Each --peer is another Python, whose PyTorch runs in float32, in
bfloat16 by autocast, and compiled in either, where it compiles a step within the limit (300 s; 0:
none is compiled). Rounds of all alternate, so that what else the machine does falls on each; the
ratios of the medians are what counts. --step takes some of the steps of `mixtape bench` for all, by
their numbers, and --repeat runs each of a round as often, where usually Mixtape's run 9 times and
PyTorch's 3. Libraries choose their kernels for the processor, whatever the environment says.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

import own_kernels
from pytorch_peer import STEPS, WAYS, name_of

PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pytorch_peer.py")
USUAL_STEPS = 3  # of `mixtape bench`
WKV = "wkv 8x1024x512"


def results_of(command, threads, *options):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "bench.json")
        subprocess.run([command, "bench", "--device", "cpu", "--threads", str(threads), "--json",
                        path, *options],
                       check=True, stdout=subprocess.DEVNULL)
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


def mixtape_round(given):
    """All in float32, and the steps in bfloat16."""
    usual = [given.mixtape, given.threads, "--repeat", str(given.repeat or 9)]
    found = seconds_of(results_of(*usual))
    for number in given.step:
        for dtype in ("f32", "bf16") if number >= USUAL_STEPS else ("bf16",):
            found |= seconds_of(results_of(*usual, "--dtype", dtype, "--step", str(number)))
    return found


def in_ways(given, *ways):
    """Of pytorch_peer.py: each step in each way."""
    return [f"{number},{way}" for way in ways for number in given.step]


def pytorch_round(python, given, asked, folder=None, limit=None):
    """What a PyTorch takes; None: it had not done within the limit."""
    paths = [path for path in (folder, os.environ.get("LD_LIBRARY_PATH")) if path]
    more = {"LD_LIBRARY_PATH": ":".join(paths)} if paths else {}
    if limit:
        more["TORCHINDUCTOR_CACHE_DIR"] = given.cache
    try:
        run = subprocess.run([python, PEER, str(given.threads), str(given.repeat or 3), *asked],
                             check=True, capture_output=True, text=True, env={**os.environ, **more},
                             timeout=limit)
    except subprocess.TimeoutExpired:
        return None
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(error.cmd)}: status {error.returncode}\n{error.stderr[-2000:]}")
    return json.loads(run.stdout)


def compiled_rounds(python, given, too_long):
    """One round of each compiled step, in processes of their own; those that take too long once are
    not tried again."""
    found = {}
    for what in in_ways(given, *(way for way in WAYS if "compiled" in way)):
        if given.limit > 0 and what not in too_long:
            one = pytorch_round(python, given, [what], limit=given.limit)
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


def ratios(chosen, ours, single, peers):
    yield ("WKV forward (8,1024,512), 1 thread, over its stream",
           single[WKV + " forward"] / single[WKV + " stream"])
    yield ("WKV time of as many steps, (1,65536,512) over (64,1024,512)",
           ours["wkv 1x65536x512 both"] / ours["wkv 64x1024x512 both"])
    yield ("WKV forward and backward (8,1024,512): PyTorch's over ours",
           peers["system"]["seconds"][WKV + " both"] / ours[WKV + " both"])
    for shape in (STEPS[number] for number in chosen):
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
    found.setdefault("ours", []).append(mixtape_round(given))
    found.setdefault("single", []).append(
        seconds_of(results_of(given.mixtape, 1, "--repeat", str(given.repeat or 5), "--wkv",
                              "8,1024,512")))
    for name, folder in libraries.items():
        found.setdefault(name, []).append(
            pytorch_round(sys.executable, given, ["wkv", *in_ways(given, "", "indexed")], folder))
    for name, python in pythons.items():
        one = pytorch_round(python, given, in_ways(given, "", "bf16"))
        one["seconds"] |= compiled_rounds(python, given, too_long)
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
    parser.add_argument("--step", type=int, action="append", choices=range(len(STEPS)))
    parser.add_argument("--repeat", type=int, default=0)
    parser.add_argument("--json")
    given = parser.parse_args()
    given.step = given.step or list(range(len(STEPS)))
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
    rows = dict(ratios(given.step, ours, single, peers))
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
