#!/usr/bin/python3
"""A training run on a machine that others use: how many times longer than on an idle one it takes.

    bench/shared_machine.py build/mixtape [--with NAME=COMMAND]... [--rounds N] [--steps N]
                            [--step-of SIZE] [--json FILE]

Each round trains the copy task on an idle machine, beside one busy process for each processor,
beside two, and within a quota of 0.6 of a processor where a control group can be made for it (which
takes root); with the default number of threads, and with one. --with adds another build to compare
with. Rounds of all alternate; what counts are ratios of the medians.

With --step-of, what a step of a model of that size takes on the idle machine alone: from the
difference of two runs, of --steps and of four times as many, without what a run does once, and
without evaluations and the saves that come with them. Its ratios are to the last build of --with.
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import builds

CORES = len(os.sched_getaffinity(0))
QUOTA, PERIOD = 60000, 100000  # microseconds
LONGER = 4  # times, the longer of two runs


@contextlib.contextmanager
def busy(processes):
    """Other programs, which are never done."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"])
              for _ in range(processes)]
    try:
        yield []
    finally:
        for other in others:
            other.kill()
            other.wait()


def end(number, _):
    """A signal ends it as an exception does, so that nothing is left running or in place."""
    sys.exit(128 + number)


@contextlib.contextmanager
def quota():
    """A control group, version 2 or 1, though one that was killed left it; what is yielded puts
    the words after it into the group."""
    two = os.path.exists("/sys/fs/cgroup/cgroup.controllers")
    group = os.path.join("/sys/fs/cgroup" if two else "/sys/fs/cgroup/cpu", "mixtape-bench")
    with contextlib.suppress(FileExistsError):
        os.mkdir(group)
    try:
        limits = ({"cpu.max": f"{QUOTA} {PERIOD}"} if two
                  else {"cpu.cfs_period_us": str(PERIOD), "cpu.cfs_quota_us": str(QUOTA)})
        for name, value in limits.items():
            with open(os.path.join(group, name), "w") as file:
                file.write(value)
        yield ["sh", "-c", f"echo $$ >{group}/cgroup.procs && exec \"$@\"", "sh"]
    finally:
        os.rmdir(group)


def seconds(command, steps, options, before):
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        subprocess.run([*before, command, "train", "copy", "--steps", str(steps), *options, "--out",
                        os.path.join(folder, "run")], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        return time.monotonic() - start


def seconds_of_step(command, steps, options, before):
    short, long = (seconds(command, count, options, before) for count in (steps, LONGER * steps))
    return (long - short) / ((LONGER - 1) * steps)


def main():
    for number in signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, end)
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    builds.add_arguments(parser)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--step-of", type=int, metavar="SIZE")
    parser.add_argument("--json")
    given = parser.parse_args()
    commands = builds.builds_of(given)
    places = {"idle": lambda: busy(0), "one process a core": lambda: busy(CORES),
              "two processes a core": lambda: busy(2 * CORES), "a quota of 0.6": quota}
    threads = {"default": [], "one": ["--threads", "1"]}
    measure, sized = seconds, []
    if given.step_of:
        never = str(LONGER * given.steps + 1)
        measure, sized = seconds_of_step, ["--size", str(given.step_of), "--eval-every", never]
        places = {"idle": places["idle"]}
    found = {}
    for _ in range(given.rounds):
        for place, enter in places.items():
            try:
                with enter() as before:
                    for build, command in commands.items():
                        for name, options in threads.items():
                            found.setdefault((build, name, place), []).append(
                                measure(command, given.steps, options + sized, before))
            except OSError as error:
                print(f"{place}: {error}", file=sys.stderr)
    medians = {key: statistics.median(times) for key, times in found.items()}
    for (build, name, place), median in medians.items():
        reference = list(commands)[-1] if given.step_of else build
        print(f"{build:10} {name:8} threads, {place:21} {median:8.4g} s "
              f"{median / medians[(reference, name, 'idle')]:6.3f} x")
    if given.json:
        with open(given.json, "w") as file:
            json.dump({"cores": CORES, "steps": given.steps, "step_of": given.step_of, "seconds":
                       {" / ".join(key): times for key, times in found.items()}}, file, indent=1)


if __name__ == "__main__":
    main()
