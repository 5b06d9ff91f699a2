#!/usr/bin/python3
"""Two processes of one thread against one process of two threads, and one of one.

    bench/processes.py build/mixtape [--with NAME=COMMAND]... [--size SIZE,BLOCKS]...
                       [--rounds N] [--steps N] [--json FILE]

Steps of the copy task, of 32 sequences of 129 symbols, at three sizes of model or those given: the
differences of what metrics.csv has as seconds, and the processor's time of whole runs, their start
included. The three take turns, and OpenBLAS chooses its kernels. Wants an idle machine for the
first; what counts are ratios of medians. Of several processes mpirun is Open MPI's.
"""

import argparse
import pathlib
import statistics
import subprocess
import tempfile

import builds
import runs

SIZES = [(64, 2), (256, 4), (512, 6)] # and blocks
WAYS = ((1, 1), (1, 2), (2, 1))       # processes, and threads of each
MPIRUN = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n"]


def run(command, processes, threads, steps, size, blocks):
    """The seconds of a step, and the processor's of all."""
    launcher = [*MPIRUN, str(processes)] if processes > 1 else []
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder, "run")
        before = runs.processor_seconds()
        subprocess.run([*launcher, command, "train", "copy", "--batch", "32", "--length", "64",
                        "--size", str(size), "--blocks", str(blocks), "--steps", str(steps),
                        "--log-every", "1", "--eval-every", "0", "--threads", str(threads),
                        "--out", out], check=True, capture_output=True)
        return statistics.median(runs.seconds_of_steps(out)), runs.processor_seconds() - before


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    builds.add_arguments(parser)
    parser.add_argument("--size", action="append",
                        type=lambda text: tuple(map(int, text.split(","))))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--json")
    given = parser.parse_args()
    if given.steps < 2:
        parser.error(f"--steps {given.steps}: of two at least the second is measured")
    found = {}
    for _ in range(given.rounds):
        for build, command in builds.builds_of(given).items():
            for size, blocks in given.size or SIZES:
                for processes, threads in WAYS:
                    found.setdefault((build, size, blocks, processes, threads), []).append(
                        run(command, processes, threads, given.steps, size, blocks))
    rows = []
    for (build, size, blocks, processes, threads), results in found.items():
        step, used = (statistics.median(values) for values in zip(*results))
        alone = statistics.median(step for step, _ in found[build, size, blocks, 1, 2])
        rows.append({"build": build, "size": size, "blocks": blocks, "processes": processes,
                     "threads": threads, "step_s": step, "of_two_threads": step / alone,
                     "processor_s": used, "all": results})
        print("{build:8} size {size:<4} {blocks} blocks, {processes} of {threads} threads: a step "
              "{step_s:8.4f} s {of_two_threads:6.3f}, the processor {processor_s:7.2f} s".format(
                  **rows[-1]))
    runs.write_rows(given.json, rows)


if __name__ == "__main__":
    main()
