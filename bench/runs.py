"""Runs of the command that benchmarks measure."""

import csv
import os
import pathlib


def environment(**more):
    """This one, in which OpenBLAS chooses its kernels by the processor."""
    kept = {name: value for name, value in os.environ.items()
            if name not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    return {**kept, **more}


def seconds_of_steps(run):
    """Those of each step of a run that logged all of them, but of the first, which takes what the
    others find."""
    with open(pathlib.Path(run, "metrics.csv")) as file:
        ends = [float(row["seconds"]) for row in csv.DictReader(file)]
    return [end - begin for begin, end in zip(ends, ends[1:])]
