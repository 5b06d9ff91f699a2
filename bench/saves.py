#!/usr/bin/python3
"""What a save beside the training adds to a step.

    bench/saves.py build/mixtape [--with NAME=COMMAND]... [--rounds N] [--steps N] [--json FILE]
                   [--size S] [--blocks N] [--length T]... [--threads N]...

Steps of the copy task, of 32 sequences of 2 T + 1 symbols, by default of a model of 9.6 million
parameters, of runs that save at every third step: the seconds, from what metrics.csv has, of the
step that a save is written beside, less the mean of the two that come then. Each is compared with
its neighbours, so that a machine that is busy for a while makes no save look dear, and the medians
of all are told. Builds take turns, and OpenBLAS chooses its kernels.
"""

import argparse
import itertools
import pathlib
import statistics
import subprocess
import tempfile

import builds
import runs

EVERY = 3


def seconds_of_steps(command, steps, options):
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder, "run")
        subprocess.run([command, "train", "copy", "--steps", str(steps), "--log-every", "1",
                        "--eval-every", "0", "--save-every", str(EVERY), "--out", run,
                        *map(str, options)], check=True, capture_output=True)
        return runs.seconds_of_steps(run)


def measure(command, steps, options):
    """Of each save but the first, which finds its memory: seconds that it adds to the step behind
    it, and those of the steps that come then."""
    seconds = seconds_of_steps(command, steps, options)
    first = 2 * EVERY - 1  # of those behind the second save, since seconds[0] are the second step's
    behind = [(seconds[i], statistics.mean(seconds[i + 1:i + EVERY]))
              for i in range(first, len(seconds) - EVERY + 1, EVERY)]
    return [(round(step - others, 4), round(others, 4)) for step, others in behind]


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    builds.add_arguments(parser)
    for name, default in (("rounds", 3), ("steps", 30), ("size", 384), ("blocks", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--length", type=int, action="append")
    parser.add_argument("--threads", type=int, action="append")
    parser.add_argument("--json")
    given = parser.parse_args()
    found = {}
    for _ in range(given.rounds):
        for (build, command), length, threads in itertools.product(
                builds.builds_of(given).items(), given.length or [32, 64],
                given.threads or [1, 2]):
            options = ["--size", given.size, "--blocks", given.blocks, "--batch", 32, "--length",
                       length, "--threads", threads]
            found.setdefault((build, length, threads), []).extend(
                measure(command, given.steps, options))
    rows = []
    for (build, length, threads), saves in found.items():
        adds = statistics.median(added for added, _ in saves)
        step = statistics.median(others for _, others in saves)
        rows.append({"build": build, "length": length, "threads": threads, "step_s": step,
                     "save_adds_s": adds, "of_step": adds / step, "all_s": saves})
        print("{build:8} T{length:<5} {threads} threads, a step {step_s:7.4f} s, a save adds "
              "{save_adds_s:7.4f} s, {of_step:6.1%}".format(**rows[-1]))
    runs.write_rows(given.json, rows)


if __name__ == "__main__":
    main()
