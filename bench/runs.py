"""Runs of the command that benchmarks measure."""

import csv
import pathlib


def seconds_of_steps(run):
    """Those of each step of a run that logged all of them, but of the first, which takes what the
    others find."""
    with open(pathlib.Path(run, "metrics.csv")) as file:
        ends = [float(row["seconds"]) for row in csv.DictReader(file)]
    return [end - begin for begin, end in zip(ends, ends[1:])]


def last_validation_loss(run):
    with open(pathlib.Path(run, "metrics.csv")) as file:
        return float([row["val_loss"] for row in csv.DictReader(file) if row["val_loss"]][-1])
