#!/usr/bin/python3
"""What files of a large model cost: export, import, what a verb takes before its first symbol.

    bench/files.py build/mixtape [--with NAME=COMMAND]... [--rounds N] [--size S] [--blocks N]
                   [--json FILE]

A model of random values, by default of 92 million parameters (0.37 GB), is exported, imported, told
of by `info`, and generates one symbol, from each kind of file, whose pages the system has in
memory; and `dd` copies one, and flushes the copy. Builds take turns at being the first, and from
the second round on what is measured is in an order of its own each round: what the system takes to
write a file depends on the memory that it has from the one before. Given are medians: seconds of
the processor, of all processes and of the system for them, which is told again alone, and the least
of them; of the clock; megabytes of parameters for each second of the processor; and the megabytes
that were read and written by calls, which does not count what goes between processes. What the
builds write is compared byte for byte.
"""

import argparse
import filecmp
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile

import builds

# What the system counts of a process has what it began. So a small process begins each.
BEGIN = """
import json, resource, subprocess, sys, time
def counted():
    with open("/proc/self/io") as file:
        counts = dict(line.split(": ") for line in file)
    return int(counts["rchar"]), int(counts["wchar"])
before, began = counted(), time.monotonic()
status = subprocess.call(sys.argv[2:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
clock, used = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
read, written = (now - then for now, then in zip(counted(), before))
with open(sys.argv[1], "w") as file:
    json.dump({"processor": used.ru_utime + used.ru_stime, "system": used.ru_stime,
               "clock": clock, "read": read, "written": written}, file)
sys.exit(status)
"""

MODEL = ["--style", "hf", "--batch", "1", "--length", "8", "--steps", "1", "--eval-batches", "1",
         "--threads", "1"]


def run(folder, command):
    with tempfile.NamedTemporaryFile("r") as counts:
        subprocess.run([sys.executable, "-IS", "-c", BEGIN, counts.name, *command], cwd=folder,
                       check=True)
        return json.load(counts)


COPY = "a copy, by dd"


def rows_of():
    """What is measured: its name, arguments, and the file that it writes or None. Exports come
    first: the other rows read what they wrote."""
    yield COPY, ["dd", "if=run/best.h5", "of=copy.h5", "bs=16M", "conv=fsync"], "copy.h5"
    exports = {"HDF5, layout mixtape": ("mixtape", "mixtape.h5"),
               "HDF5, layout espnet": ("espnet", "espnet.h5"),
               ".safetensors": ("hf", "hf.safetensors"),
               "folder of hf": ("hf", "hf")}
    for name, (layout, file) in exports.items():
        yield f"export, {name}", ["export", "run", "--layout", layout, "-o", file], file
    yield ("export, .safetensors, f16", ["export", "run", "--layout", "hf", "--dtype", "f16", "-o",
                                         "half.safetensors"], "half.safetensors")
    for name, (_, file) in exports.items():
        yield f"import, {name}", ["import", file, "-o", f"of-{file}.h5"], f"of-{file}.h5"
    models = {"best.h5": "run", "checkpoint.h5": "run/checkpoint.h5", "HDF5": "mixtape.h5",
              ".safetensors": "hf.safetensors", "folder of hf": "hf"}
    for name, file in models.items():
        yield f"info, {name}", ["info", file], None
    for name, file in models.items():
        yield f"generate, {name}", ["generate", file, "--ids", "--length", "1", "--threads",
                                    "1"], None


def remove(path):
    if path.is_dir():
        for entry in path.iterdir():
            entry.unlink()
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def same(one, other):
    if one.is_dir():
        names = sorted(entry.name for entry in one.iterdir())
        return not any(filecmp.cmpfiles(one, other, names, shallow=False)[1:])
    return filecmp.cmp(one, other, shallow=False)


def make_model(folder, command, given):
    letters = random.Random(1).choices("abcdefghijklmnopqrstuvwxyz \n", k=20000)
    (folder / "text.txt").write_text("".join(letters))
    subprocess.run([command, "train", "text", "--data", "text.txt", "--size", str(given.size),
                    "--blocks", str(given.blocks), *MODEL, "--out", "run"], cwd=folder, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return (folder / "run" / "best.h5").stat().st_size / 1e6


def measure(folder, what, command, output, found):
    """Adds what a command takes. What was written before it in its place must be the same."""
    before = folder / "before"
    if output is not None and (folder / output).exists():
        remove(before)
        (folder / output).rename(before)
    found.append(run(folder, command))
    if output is not None and before.exists():
        if not same(before, folder / output):
            sys.exit(f"{what}: not every time the same bytes")
        remove(before)


def show(found, megabytes, rounds, several):
    print(f"{megabytes:.0f} MB of parameters, medians of {rounds} rounds")
    print(f"{'':30}{'':8}{'processor':>10}{'system':>10}{'least':>10}{'clock':>9}{'MB/s':>7}"
          f"{'read':>10}{'written':>10}")
    for what, of_builds in found.items():
        for build, counts in of_builds.items():
            median = {key: statistics.median(count[key] for count in counts) for key in counts[0]}
            least = min(count["processor"] for count in counts)
            print(f"{what:30}{build if several else '':8}{median['processor']:8.3f} s"
                  f"{median['system']:8.3f} s{least:8.3f} s{median['clock']:7.2f} s"
                  f"{megabytes / median['processor']:7.0f}"
                  f"{median['read'] / 1e6:7.1f} MB{median['written'] / 1e6:7.1f} MB")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    builds.add_arguments(parser)
    for name, default in (("rounds", 5), ("size", 768), ("blocks", 12)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json")
    given = parser.parse_args()
    commands = builds.builds_of(given)
    found = {}
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        folder = pathlib.Path(name)
        megabytes = make_model(folder, commands["this"], given)
        rows = list(rows_of())
        for turn in range(given.rounds):
            if turn > 0:
                random.Random(turn).shuffle(rows)
            for what, arguments, output in rows:
                for build, command in sorted(commands.items(), reverse=turn % 2 == 1):
                    counts = found.setdefault(what, {}).setdefault(build, [])
                    measure(folder, what, arguments if what == COPY else [command, *arguments],
                            output, counts)
    show(found, megabytes, given.rounds, len(commands) > 1)
    if given.json:
        with open(given.json, "w") as file:
            json.dump({"megabytes": megabytes, "rounds": found}, file, indent=1)


if __name__ == "__main__":
    main()
