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
import shutil
import subprocess
import sys
import tempfile

import record

RECORD = pathlib.Path(__file__).with_suffix(".tsv")
ISAS, DTYPES = ("avx2", "baseline"), ("f32", "bf16", "f64", "f16")
NAMES = ["call", *(f"{isa} {dtype}" for isa in ISAS for dtype in DTYPES)]
MOST, LEAST = 0.05, 10  # of the record, and instructions, that a count may differ by


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
        raise record.Unfit("there is no valgrind (Debian: valgrind)")
    # Nothing else of the environment, by which Mixtape, BLAS or Valgrind might do something else.
    environment = {"PATH": os.environ["PATH"], "MIXTAPE_ISA": isa}
    with tempfile.NamedTemporaryFile("r") as profile:
        done = subprocess.run(
            ["valgrind", "--quiet", "--tool=callgrind", "--toggle-collect=counted",
             "--dump-after=counted", "--combine-dumps=yes", "--compress-strings=no",
             "--compress-pos=no", f"--callgrind-out-file={profile.name}", program],
            env=environment, capture_output=True, text=True, check=False)
        if "is not to be had here" in done.stderr:
            raise record.Unfit(done.stderr.strip())
        if done.returncode != 0:
            raise RuntimeError(f"{program}: status {done.returncode}: {done.stderr.strip()}")
        found = own_instructions(profile.read().splitlines(), program)
    lines = done.stdout.splitlines()
    if len(lines) != 1 + len(found):
        raise RuntimeError(f"{program}: {len(found)} calls counted, {len(lines)} lines printed")
    return lines[0], {tuple(line.split("\t")): one for line, one in zip(lines[1:], found)}


def count_all(program):
    """The compiler, and a table: of each call the counts by the rest of NAMES."""
    table = {}
    for isa in ISAS:
        compiler, found = count(program, isa)
        for (call, dtype), instructions in found.items():
            table.setdefault(call, {})[f"{isa} {dtype}"] = instructions
    return compiler, table


def of_call(call, recorded, found):
    """A line for each count of a call that is not as the record says."""
    for build in [name for name in NAMES[1:] if name in recorded or name in found]:
        before, now = recorded.get(build), found.get(build)
        if before is None or now is None:
            yield f"{call} {build}: {before or 'no'} instructions recorded, {now or 'none'} found"
            continue
        change = now / before - 1.0
        if abs(change) > MOST and abs(now - before) > LEAST:
            yield (f"{call} {build}: {before} instructions recorded, {now} found "
                   f"({100.0 * change:+.1f} %)")


def differences(recorded, found):
    return record.differences(recorded, found, "bench/kernel_calls.h", of_call)


def compare(recorded, found):
    """Lines that tell what is not as recorded; none where all is."""
    (compiler, before), (other, now) = recorded, found
    if compiler != other:
        raise record.Unfit(f"the record is of {compiler}, the program of {other}")
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
            record.write(RECORD, found[0], NAMES, found[1])
            return 0
        lines = compare(record.read(RECORD, NAMES, least=1), found)
    except (OSError, record.Unfit, RuntimeError) as reason:
        print(f"instructions.py: {reason}", file=sys.stderr)
        return 1
    print("\n".join(lines) or "as recorded")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
