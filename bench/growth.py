#!/usr/bin/python3
"""How the time and the memory of a training step grow.

    bench/growth.py build/mixtape --json FILE [--svg FILE] [--rounds N] [--points N]
    bench/growth.py FILE.json --svg FILE

The task `echo` is trained on a few updates: with sequences of 1024 to 65 536 steps, models of ten
thousand to 200 million parameters, batches of 1 to 64 sequences, on one thread and on two by turns.
The time of a step is the median of the differences of what metrics.csv has, by the clock, and of
the rounds; the memory is what --dry-run tells of the whole run, and the most that its process had
(ru_maxrss), a validation and a save included. What the machine has no memory for is left out, and
said so. Printed is a table for each of the three; drawn are the same, from this run or from the
results of another (python3-matplotlib). --points takes the first of each row of points alone. JSON
is written after each round.
"""

import argparse
import json
import pathlib
import re
import statistics
import sys
import tempfile

import memory
import runs

THREADS = (1, 2)
STEPS, ENOUGH, MOST_STEPS = 5, 2.0, 400  # updates; seconds of updates that are enough of them


def point(size, blocks, batch, length):
    return {"size": size, "blocks": blocks, "batch": batch, "length": length}


# The name of what grows, as it stands in a point, and its points.
SERIES = {
    "length": [point(128, 2, 1, 1024 << i) for i in range(7)],
    "parameters": [point(size, blocks, 4, 128)
                   for size, blocks in ((16, 3), (32, 4), (64, 6), (128, 8), (256, 10), (512, 12),
                                        (1024, 15))],
    "batch": [point(128, 4, 1 << i, 128) for i in range(7)],
}


def arguments(at, steps, threads, folder):
    options = {**at, "context-size": at["length"], "steps": steps, "threads": threads,
               "log-every": 1, "eval-every": 0, "eval-batches": 1, "save-every": 0, "out": folder}
    return ["train", "echo", *(word for name, value in options.items()
                               for word in (f"--{name}", str(value)))]


def told(mixtape, at):
    """Parameters, and megabytes that a run will hold beside the program, and that the system
    has."""
    _, _, output = memory.run([mixtape, *arguments(at, STEPS, 1, "run"), "--dry-run"], ".")
    patterns = (r"([\d.]+) MB at most", r"([\d.]+) MB the program itself", r" MB (\d+) parameters",
                r"the system has ([\d.]+) MB")
    most, program, parameters, available = (re.search(pattern, output)[1] for pattern in patterns)
    return int(parameters), float(most) - float(program), float(available)


def run(mixtape, at, steps, threads):
    """Seconds of each update, and the peak in MB."""
    with tempfile.TemporaryDirectory() as folder:
        peak, _, _ = memory.run([mixtape, *arguments(at, steps, threads, "run")], folder)
        return runs.seconds_of_steps(pathlib.Path(folder, "run")), peak / 1e6


def measure(mixtape, at, threads):
    """Seconds of a step, from more updates where few are too short, and the peak in MB."""
    times, peak = run(mixtape, at, STEPS, threads)
    steps = min(MOST_STEPS, int(ENOUGH / statistics.median(times)))
    if steps > STEPS:
        times, peak = run(mixtape, at, steps, threads)
    return statistics.median(times), peak


def measure_all(mixtape, rounds, points, save):
    """Rows by series, each a point with what was found of it."""
    found = {name: [] for name in SERIES}
    for name, series in SERIES.items():
        for at in series[:points]:
            parameters, most, available = told(mixtape, at)
            if most > available:
                print(f"{name} {at}: of {most:.0f} MB the system has {available:.0f}",
                      file=sys.stderr)
                continue
            found[name].append({**at, "parameters": parameters, "told_mb": most,
                                "seconds": {str(threads): [] for threads in THREADS},
                                "peak_mb": {str(threads): [] for threads in THREADS}})
    for _ in range(rounds):
        for name, rows in found.items():
            for row in rows:
                for threads in THREADS:
                    at = {key: row[key] for key in SERIES[name][0]}
                    step, peak = measure(mixtape, at, threads)
                    row["seconds"][str(threads)].append(step)
                    row["peak_mb"][str(threads)].append(peak)
        save(found)
    return found


def median_seconds(row, threads):
    return statistics.median(row["seconds"][str(threads)])


def median_peak(row, threads):
    return statistics.median(row["peak_mb"][str(threads)])


def title(name, rows):
    same = {key: rows[0][key] for key in ("size", "blocks", "batch", "length")
            if len({row[key] for row in rows}) == 1}
    return f"{name}: " + ", ".join(f"{key} {value}" for key, value in same.items())


def figure_of(number):
    return f"{number:.0f}" if number >= 1000.0 else f"{number:.3g}"


def table(name, rows):
    """The lines of a table in Markdown."""
    yield title(name, rows)
    yield ""
    yield (f"| {name} | a step, 1 thread | 2 threads | its symbol | told | found, 1 thread | "
           "2 threads |")
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        symbols = row["batch"] * row["length"]
        times = (figure_of(1e3 * median_seconds(row, threads)) for threads in THREADS)
        of_symbol = 1e6 * median_seconds(row, 1) / symbols
        sizes = [row["told_mb"], *(median_peak(row, threads) for threads in THREADS)]
        yield (f"| {row[name]} | {' ms | '.join(times)} ms | {figure_of(of_symbol)} us | "
               f"{' MB | '.join(map(figure_of, sizes))} MB |")


def plotting():
    try:
        import matplotlib
    except ImportError:
        sys.exit("growth.py: --svg needs matplotlib (Debian: python3-matplotlib)")
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "growth",  # the same bytes when drawn again
                                "svg.fonttype": "none", "font.size": 8})
    from matplotlib import pyplot
    return pyplot


def draw(found, path):
    """Time above, memory below; what would grow in proportion is a thin line through the last."""
    figure, axes = plotting().subplots(2, len(found), figsize=(10, 5.5), squeeze=False,
                                       constrained_layout=True)
    for column, (name, rows) in zip(axes.T, found.items()):
        at = [row[name] for row in rows]
        for axis, values, unit in ((column[0], median_seconds, "seconds of a step"),
                                   (column[1], median_peak, "MB")):
            for threads, mark in zip(THREADS, ("o-", "s--")):
                axis.plot(at, [values(row, threads) for row in rows], mark, markersize=3,
                          linewidth=1, label=f"{threads} thread{'s' if threads > 1 else ''}")
            last = values(rows[-1], 1)
            axis.plot(at, [last * x / at[-1] for x in at], color="grey", linewidth=0.5,
                      label="in proportion")
            axis.set(xscale="log", yscale="log", xlabel=name, ylabel=unit)
            axis.minorticks_off()
        column[1].plot(at, [row["told_mb"] for row in rows], "k:", linewidth=1, label="told")
        column[0].set_title(title(name, rows), fontsize=8)
        for axis in column:
            axis.legend(fontsize=7, frameon=False)
    figure.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="MIXTAPE or FILE.json")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--svg", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--points", type=int, default=None)
    given = parser.parse_args()
    if given.svg:
        plotting()  # not found out at the end
    if given.source.endswith(".json"):
        found = json.loads(pathlib.Path(given.source).read_text())
    else:
        def save(found):
            if given.json:
                given.json.write_text(json.dumps(found, indent=1) + "\n")

        found = measure_all(str(pathlib.Path(given.source).resolve()), given.rounds, given.points,
                            save)
    found = {name: rows for name, rows in found.items() if rows}
    for name, rows in found.items():
        print(*table(name, rows), "", sep="\n")
    if given.svg:
        draw(found, given.svg)


if __name__ == "__main__":
    main()
