#!/usr/bin/env python3
"""Lets a fuzzer run for some time: fuzz.py PROGRAM WORK SECONDS [-OPTION]... FOLDER...

New inputs are kept in WORK/corpus, findings in WORK/findings, beside what was said of them. Of a
finding within libhdf5 the command, which reads files in a child, is asked: MIXTAPE info FINDING has
to answer with a message. Anything else fails.
"""

import os
import re
import subprocess
import sys
import time

LIMITS = ["-timeout=60", "-report_slow_units=60", "-rss_limit_mb=1500", "-malloc_limit_mb=256",
          "-close_fd_mask=1", "-print_final_stats=1"]
FRAME = re.compile(r"^ *#\d+ 0x[0-9a-f]+ (.*)$", re.MULTILINE)
OURS = re.compile(r"/(io|train|layers|kernels|optim|autograd|tests)/[^ ]*\.[ch]:")
ANSWER_SECONDS = 60


def is_within_hdf5(report):
    """Tells if the first frame that is ours or libhdf5's is libhdf5's."""
    for frame in FRAME.findall(report):
        if "libhdf5" in frame:
            return True
        if OURS.search(frame):
            return False
    return False


def answers(finding):
    """Tells if the command survives the finding, and says in one line what it is."""
    command = os.environ.get("MIXTAPE")
    if command is None:
        return False
    try:
        done = subprocess.run([command, "info", finding], capture_output=True, text=True,
                              timeout=ANSWER_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    said = re.findall(r"^mixtape: .*", done.stderr, re.MULTILINE)  # beside a child's sanitizer
    return done.returncode == 0 or done.returncode == 1 and len(said) == 1


def run_once(program, work, seconds, rest):
    """Returns what the fuzzer said, and its findings."""
    done = subprocess.run(
        [program, *LIMITS, f"-max_total_time={max(1, int(seconds))}",
         f"-artifact_prefix={os.path.join(work, 'findings')}/", *rest[0],
         os.path.join(work, "corpus"), *rest[1]],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    report = done.stderr.decode(errors="replace")
    findings = re.findall(r"Test unit written to (.*)", report)
    if done.returncode != 0 and not findings:
        sys.exit(f"{report}\n{program} ended with status {done.returncode}")
    return report, findings


def explain(program, finding, report):
    """What the fuzzer says of a finding alone, with its stack; where it is none alone, what was
    said at first: what libhdf5 does depends on what it did before.
    """
    done = subprocess.run([program, *LIMITS, finding], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, check=False,
                          env={**os.environ, "ASAN_OPTIONS": "symbolize=1"})
    if done.returncode != 0:
        report = done.stderr.decode(errors="replace")
    with open(finding + ".txt", "w", encoding="utf-8") as file:
        file.write(report)
    return report


def main():
    program, work, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    rest = ([a for a in sys.argv[4:] if a.startswith("-")],
            [a for a in sys.argv[4:] if not a.startswith("-")])
    for name in ("corpus", "findings"):
        os.makedirs(os.path.join(work, name), exist_ok=True)
    end, executions, within_hdf5, failed = time.monotonic() + seconds, 0, 0, []
    while time.monotonic() < end and not failed:
        report, findings = run_once(program, work, end - time.monotonic(), rest)
        executions += sum(map(int, re.findall(r"stat::number_of_executed_units: *(\d+)", report)))
        for finding in findings:
            explained = explain(program, finding, report)
            if is_within_hdf5(explained) and answers(finding):
                within_hdf5 += 1
            else:
                failed.append(finding)
                print(explained)
    print(f"{executions} executions, {within_hdf5} findings within libhdf5, others: {failed}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
