#!/usr/bin/python3
"""Instructions of the CPU's kernels, beside those that bench/instructions.tsv records.

    bench/instructions.py build/tests/bench_instructions [--renew]

Each call of bench/kernel_calls.h runs under Valgrind's callgrind, on one thread, by the kernels for
AVX2 and by those for any processor. What counts are the instructions of the program's own
functions, not those of BLAS or the C library. They depend on the compiler, whose version the record
has, but neither on the clock nor on what else runs. A count that differs from its record by more
than 5 %, and by more than ten, is told of, one line each, and the status is 1; --renew writes the
record anew.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

RECORD = pathlib.Path(__file__).with_suffix(".tsv")
ISAS, DTYPES = ("avx2", "baseline"), ("f32", "bf16", "f64")
BUILDS = [f"{isa} {dtype}" for isa in ISAS for dtype in DTYPES]
MOST, LEAST = 0.05, 10  # of the record, and instructions, that a count may differ by


class Unfit(Exception):
    """Why no counts can be compared here."""


def own_instructions(profile, program):
    """Those of each call of `counted`, in order, of a profile that has a part for each."""
    own, of_call, found = False, False, []
    for line in profile:
        key, _, value = line.partition("=")
        if line.startswith("desc: Trigger: --dump-after"):
            found.append(0)
        elif key == "ob":
            own = value == program
        elif key == "calls":
            of_call = True  # the next line is what was counted within it
        elif line[:1].isdigit():
            if own and not of_call:
                found[-1] += int(line.split()[1])
            of_call = False
    return found


def count(program, isa):
    """What the program was compiled by, and the instructions of each call and type."""
    program = os.path.realpath(program)
    if not shutil.which("valgrind"):
        raise Unfit("there is no valgrind (Debian: valgrind)")
    # Nothing else of the environment, by which Mixtape, BLAS or Valgrind might do something else.
    environment = {"PATH": os.environ["PATH"], "MIXTAPE_ISA": isa}
    with tempfile.NamedTemporaryFile("r") as profile:
        done = subprocess.run(
            ["valgrind", "--quiet", "--tool=callgrind", "--toggle-collect=counted",
             "--dump-after=counted", "--combine-dumps=yes", "--compress-strings=no",
             "--compress-pos=no", f"--callgrind-out-file={profile.name}", program],
            env=environment, capture_output=True, text=True, check=False)
        if "is not to be had here" in done.stderr:
            raise Unfit(done.stderr.strip())
        if done.returncode != 0:
            raise RuntimeError(f"{program}: status {done.returncode}: {done.stderr.strip()}")
        found = own_instructions(profile.read().splitlines(), program)
    lines = done.stdout.splitlines()
    if len(lines) != 1 + len(found):
        raise RuntimeError(f"{program}: {len(found)} calls counted, {len(lines)} lines printed")
    return lines[0], {tuple(line.split("\t")): one for line, one in zip(lines[1:], found)}


def count_all(program):
    """The compiler, and a table: of each call the counts of BUILDS."""
    table = {}
    for isa in ISAS:
        compiler, found = count(program, isa)
        for (call, dtype), instructions in found.items():
            table.setdefault(call, {})[f"{isa} {dtype}"] = instructions
    return compiler, table


def write(path, compiler, table):
    lines = [["call", *BUILDS]] + [[call, *map(str, counts.values())]
                                   for call, counts in table.items()]
    text = f"# Instructions by code of {compiler}: see instructions.py\n"
    new = path.with_suffix(".new")
    new.write_text(text + "".join("\t".join(line) + "\n" for line in lines))
    os.replace(new, path)


def read(path):
    first, *lines = path.read_text().splitlines() or [""]
    compiler = first.partition(" by code of ")[2].partition(":")[0]
    table = {}
    for number, line in enumerate(lines[1:], 3):
        call, *counts = line.split("\t")
        are_counts = all(re.fullmatch("[1-9][0-9]*", one) for one in counts)
        if len(counts) != len(BUILDS) or not are_counts:
            raise Unfit(f"{path}:{number}: no counts of {len(BUILDS)} builds")
        table[call] = dict(zip(BUILDS, map(int, counts)))
    return compiler, table


def differences(recorded, found):
    """A line for each count that is not as the record says."""
    for call in [*found, *(call for call in recorded if call not in found)]:
        if call not in found or call not in recorded:
            where = "the record" if call in recorded else "bench/kernel_calls.h"
            yield f"{call}: in {where} alone"
            continue
        for build, now in found[call].items():
            before = recorded[call][build]
            change = now / before - 1.0
            if abs(change) > MOST and abs(now - before) > LEAST:
                yield (f"{call} {build}: {before} instructions recorded, {now} found "
                       f"({100.0 * change:+.1f} %)")


def compare(recorded, found):
    """Lines that tell what is not as recorded; none where all is."""
    (compiler, before), (other, now) = recorded, found
    if compiler != other:
        raise Unfit(f"the record is of {compiler}, the program of {other}")
    lines = list(differences(before, now))
    return lines + ["where that is meant: bench/instructions.py PROGRAM --renew"] if lines else []


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--renew", action="store_true")
    given = parser.parse_args()
    try:
        found = count_all(given.program)
        if given.renew:
            write(RECORD, *found)
            return 0
        lines = compare(read(RECORD), found)
    except (OSError, Unfit, RuntimeError) as reason:
        print(f"instructions.py: {reason}", file=sys.stderr)
        return 1
    print("\n".join(lines) or "as recorded")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
