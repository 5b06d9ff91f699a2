#!/usr/bin/python3
"""What a save at every step adds to a step.

    bench/saves.py build/mixtape [--with NAME=COMMAND]... [--rounds N] [--steps N] [--json FILE]
                   [--size S] [--blocks N] [--length T]... [--threads N]...

Steps of the copy task, of 32 sequences of 2 T + 1 symbols, by default of a model of 9.6 million
parameters: the differences of what metrics.csv has as seconds. Runs that save at every step and
runs that save at their end take turns, and OpenBLAS chooses its kernels. Wants an idle machine.
What counts are ratios of medians.
"""

import argparse
import itertools
import pathlib
import statistics
import subprocess
import tempfile

import builds
import runs


def seconds_of_step(command, steps, options):
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder, "run")
        subprocess.run([command, "train", "copy", "--steps", str(steps), "--log-every", "1",
                        "--eval-every", "0", "--out", run, *map(str, options)], check=True,
                       capture_output=True)
        return statistics.median(runs.seconds_of_steps(run))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    builds.add_arguments(parser)
    for name, default in (("rounds", 3), ("steps", 10), ("size", 384), ("blocks", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--length", type=int, action="append")
    parser.add_argument("--threads", type=int, action="append")
    parser.add_argument("--json")
    given = parser.parse_args()
    saves = {"at the end": given.steps + 1, "every step": 1}
    found = {}
    for _ in range(given.rounds):
        for (build, command), length, threads, (when, every) in itertools.product(
                builds.builds_of(given).items(), given.length or [32, 64],
                given.threads or [1, 2], saves.items()):
            options = ["--size", given.size, "--blocks", given.blocks, "--batch", 32, "--length",
                       length, "--threads", threads, "--save-every", every]
            found.setdefault((build, length, threads, when), []).append(
                seconds_of_step(command, given.steps, options))
    rows = []
    for (build, length, threads, when), times in found.items():
        step = statistics.median(found[build, length, threads, "at the end"])
        rows.append({"build": build, "length": length, "threads": threads, "saves": when,
                     "step_s": statistics.median(times), "of_step": statistics.median(times) / step,
                     "all_s": times})
        print("{build:8} T{length:<5} {threads} threads, saves {saves:10} {step_s:8.4f} s "
              "{of_step:6.3f}".format(**rows[-1]))
    runs.write_rows(given.json, rows)


if __name__ == "__main__":
    main()
