#!/usr/bin/python3
"""A training step in bfloat16 against one in float32, on the CPU.

    bench/number_types.py build/mixtape [--with NAME=COMMAND]... [--step I]... [--threads N]
                          [--runs N] [--rounds N] [--isa ISA] [--text FILE [--steps N]]
                          [--json FILE]

The processor's time of a step by `mixtape bench --step I`, that of N of them less that of one: of
shapes 0 to 2 or those given, on one thread or as many as are given. The two types take turns, and
OpenBLAS and oneDNN choose their kernels; the command does, unless --isa names the instructions that
it is to have. A machine may do other work: what counts are ratios of medians. With --text also the
validation loss that the character model of a text ends with, after so many steps in either type.
"""

import argparse
import itertools
import os
import pathlib
import statistics
import subprocess
import tempfile

import builds
import runs

TYPES = ("f32", "bf16")


def seconds_of_bench(command, environment, *options):
    began = runs.processor_seconds()
    subprocess.run([command, "bench", "--device", "cpu", *map(str, options)], check=True,
                   env=environment, capture_output=True)
    return runs.processor_seconds() - began


def seconds_of_step(command, environment, steps, *options):
    one, all_of_them = (seconds_of_bench(command, environment, *options, "--runs", count)
                        for count in (1, steps))
    return (all_of_them - one) / (steps - 1)


def loss_of_text(command, environment, text, *options):
    with tempfile.TemporaryDirectory() as folder:
        run = pathlib.Path(folder, "run")
        subprocess.run([command, "train", "text", "--data", text, "--device", "cpu", "--out", run,
                        *map(str, options)], check=True, env=environment, capture_output=True)
        return runs.last_validation_loss(run)


def measure_steps(given, environment):
    found = {}
    for _ in range(given.rounds):
        for (build, command), step, dtype in itertools.product(
                builds.builds_of(given).items(), given.step or (0, 1, 2), TYPES):
            found.setdefault((build, step), {}).setdefault(dtype, []).append(
                seconds_of_step(command, environment, given.runs, "--threads", given.threads,
                                "--step", step, "--dtype", dtype))
    rows = []
    for (build, step), seconds in found.items():
        float32, bfloat16 = (statistics.median(seconds[dtype]) for dtype in TYPES)
        rows.append({"build": build, "step": step, "threads": given.threads, "isa": given.isa,
                     "f32_s": float32, "bf16_s": bfloat16, "bf16_over_f32": bfloat16 / float32,
                     "all": seconds})
        print("{build:8} step {step}, {threads} threads: float32 {f32_s:8.4f} s, bfloat16 "
              "{bf16_s:8.4f} s of the processor {bf16_over_f32:6.3f}".format(**rows[-1]))
    return rows


def measure_losses(given, environment):
    rows = []
    for build, command in builds.builds_of(given).items():
        float32, bfloat16 = (
            loss_of_text(command, environment, given.text, "--threads", given.threads, "--steps",
                         given.steps, "--dtype", dtype) for dtype in TYPES)
        rows.append({"build": build, "text": os.path.basename(given.text), "steps": given.steps,
                     "threads": given.threads, "isa": given.isa, "f32_loss": float32,
                     "bf16_loss": bfloat16})
        print("{build:8} {text}, {steps} steps, validation loss: float32 {f32_loss:.5f}, bfloat16 "
              "{bf16_loss:.5f}".format(**rows[-1]))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    builds.add_arguments(parser)
    parser.add_argument("--step", type=int, action="append")
    for name, default in (("threads", 1), ("runs", 100), ("rounds", 3), ("steps", 2000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    for name in "isa", "text", "json":
        parser.add_argument(f"--{name}")
    given = parser.parse_args()
    if given.runs < 2:
        parser.error(f"--runs {given.runs}: one of them is not measured")
    environment = dict(os.environ, **({"MIXTAPE_ISA": given.isa} if given.isa else {}))
    rows = measure_steps(given, environment)
    if given.text:
        rows += measure_losses(given, environment)
    runs.write_rows(given.json, rows)


if __name__ == "__main__":
    main()
