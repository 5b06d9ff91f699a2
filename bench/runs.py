"""Runs of the command that benchmarks measure."""

import csv
import json
import pathlib
import resource


def seconds_of_steps(run):
    """Those of each step of a run that logged all of them, but of the first, which takes what the
    others find."""
    with open(pathlib.Path(run, "metrics.csv")) as file:
        ends = [float(row["seconds"]) for row in csv.DictReader(file)]
    return [end - begin for begin, end in zip(ends, ends[1:])]


def last_validation_loss(run):
    with open(pathlib.Path(run, "metrics.csv")) as file:
        return float([row["val_loss"] for row in csv.DictReader(file) if row["val_loss"]][-1])


def processor_seconds():
    """Of the processor, of all processes that were waited for until now."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def write_rows(path, rows):
    """What was found, as JSON, unless there is no path."""
    if path:
        with open(path, "w") as file:
            json.dump(rows, file, indent=1)
