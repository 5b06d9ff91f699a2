#!/usr/bin/python3
"""What nvcc makes of WKV's kernels and of time's mix, beside what bench/machine_code.tsv records.

    bench/machine_code.py NVCC [--renew]

SOURCES of kernels/cuda/ are compiled for each of ARCHITECTURES, and nvdisasm (of the toolkit, or of
PyPI's nvidia-cuda-nvdisasm) lists the code. Whatever compiles it, no kernel may keep registers in
memory or divide integers of 64 bits, what WKV's blocks publish to one another must be written and
read by strong accesses, and from sm_90 on every kernel must wait for the one before. Of each kernel
the record has the instructions, the registers, how many of its accesses are strong, the waits, and
the divisions of 64 bits, as one version of nvcc makes them: where that is the same, instructions
that differ by more than 5 %, and anything else that differs, are told of, one line each, and the
status is 1. --renew writes the record anew.
"""

import argparse
import itertools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile

import record

SOURCE = pathlib.Path(__file__).resolve().parent.parent
RECORD = pathlib.Path(__file__).with_suffix(".tsv")
SOURCES = ("wkv", "time_mix")
ARCHITECTURES = (80, 90)
FLAGS = ("-std=c++17", "-O3", "-fmad=false", "-ftz=true", "-I", "include", "-I", ".")
NAMES = ("kernel", "instructions", "registers", "strong stores", "strong loads",
         "strong additions", "waits", "wide divisions")
WAIT = "ACQBULK"  # for the kernel before, by begin_kernel
FIRST_TO_WAIT = 90
STRONG = {"ST": "strong stores", "LD": "strong loads", "AT": "strong additions",
          "RE": "strong additions"}  # by the beginnings of their names
MOST = 0.05  # of the record, that instructions may differ by
# By the source, of triples: two are published, a chunk's summary and a group's, and three are
# looked at and waited for, two summaries and a group's. Forward publishes the state that the caller
# gets, too, and looks at the one that it is given. A ticket is taken.
LEAST_STRONG = {
    "forward_kernel": {"strong stores": 9, "strong loads": 21, "strong additions": 1},
    "backward_kernel": {"strong stores": 6, "strong loads": 18, "strong additions": 1},
}
TYPES = ("float, float", "double, double", "bfloat16, float", "float16, float")
MIXED = {"float, float": 4, "double, double": 2, "bfloat16, float": 8}  # of each type in a pack
MIXES = (1, 2, 3)
DIVIDES = "column_totals"  # once for a column, when all is summed

INSTRUCTION = re.compile(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_]*)([.\w]*)")
DIVISION = re.compile(r"\bCALL\b.*__cuda_sm\w+_(?:div|rem)_[su]64\b")  # which is a function


def run(*command):
    done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: status {done.returncode}: {done.stderr.strip()}")
    return done.stdout + done.stderr


def find_disassembler(nvcc):
    """Of the toolkit, of PATH, or of this Python's packages."""
    packages = pathlib.Path(sysconfig.get_path("purelib"), "nvidia").glob("cu*/bin")
    for folder in (pathlib.Path(nvcc).resolve().parent, None, *packages):
        found = shutil.which("nvdisasm", path=folder)
        if found:
            return found
    raise record.Unfit("there is no nvdisasm (pip install nvidia-cuda-nvdisasm)")


def short(names):
    """The names of kernels, as C++ has them, without their parameters and namespaces."""
    lines = run("c++filt", *names).splitlines()
    plain = [re.sub(r"\(anonymous namespace\)::|mt_cuda::|^void ", "", line) for line in lines]
    return {name: line.partition("(")[0] for name, line in zip(names, plain)}


def count(listing):
    """Of each kernel in nvdisasm's listing, by its symbol, the counts but the registers; and those
    that keep something in local memory."""
    found, spills, present = {}, set(), None
    for line in listing.splitlines():
        if line.startswith(".text."):
            present = line[len(".text."):-1]
            found[present] = dict.fromkeys(NAMES[1:], 0)
        instruction = INSTRUCTION.match(line)
        if present is None or not instruction or instruction[1] == "NOP":
            continue
        name, kinds = instruction[1], instruction[2].split(".")
        found[present]["instructions"] += 1
        if name == WAIT:
            found[present]["waits"] += 1
        if DIVISION.search(line):
            found[present]["wide divisions"] += 1
        if name in ("LDL", "STL"):
            spills.add(present)
        if "STRONG" in kinds and name[:2] in STRONG:
            found[present][STRONG[name[:2]]] += 1
    return found, spills


def registers(report):
    """Those of each kernel that ptxas tells of, by its symbol."""
    return {name: int(used) for name, used in re.findall(
        r"Compiling entry function '(\w+)'(?:(?!Compiling).)*?Used (\d+) registers", report,
        re.DOTALL)}


def examine(nvcc):
    """The compiler; a table, of each kernel and architecture its counts; and lines that tell what
    no compiler may do."""
    nvdisasm, table, faults = find_disassembler(nvcc), {}, []
    version = re.search(r"release ([\d.]+)", run(nvcc, "--version"))
    with tempfile.TemporaryDirectory() as folder:
        for architecture, source in itertools.product(ARCHITECTURES, SOURCES):
            binary = os.path.join(folder, f"{source}.cubin")
            report = run(nvcc, *FLAGS, "-Xptxas=-v", f"-arch=sm_{architecture}", "-cubin", "-o",
                         binary, f"kernels/cuda/{source}.cu")
            found, spills = count(run(nvdisasm, "-c", binary))
            used, names = registers(report), short(list(found))
            for name in sorted(found, key=names.get):
                kernel = f"{names[name]} sm_{architecture}"
                table[kernel] = found[name] | {"registers": used.get(name, 0)}
                faults += check(kernel, table[kernel], name in spills)
    faults += (f"{kernel}: not in the machine code" for kernel in needed() if kernel not in table)
    return f"nvcc {version[1] if version else '?'}", table, faults


def needed():
    """The kernels that there have to be."""
    kernels = [f"{name}<{types}>" for name in LEAST_STRONG for types in TYPES]
    for count, (types, width) in itertools.product(MIXES, MIXED.items()):
        kernels += [f"mix_rows<{count}, {some}, {types}>" for some in (1, width)]
        kernels.append(f"column_sums<{count}, {types.split()[-1]}, "
                       f"element_backward<{count}, {types}> >")
    return [f"{name} sm_{architecture}" for name in kernels for architecture in ARCHITECTURES]


def check(kernel, counts, spills):
    """A line for each thing that would be wrong whatever the compiler."""
    lines = [f"{kernel}: keeps registers in memory"] if spills else []
    if int(kernel.rpartition("_")[2]) >= FIRST_TO_WAIT and counts["waits"] == 0:
        lines.append(f"{kernel}: does not wait for the kernel before")
    if counts["wide divisions"] > 0 and not kernel.startswith(DIVIDES):
        lines.append(f"{kernel}: divides integers of 64 bits")
    least = LEAST_STRONG.get(kernel.partition("<")[0], {})
    return lines + [f"{kernel}: {counts[what]} {what}, needs {at_least}"
                    for what, at_least in least.items() if counts[what] < at_least]


def of_kernel(kernel, recorded, found):
    """A line for each count of a kernel that is not as the record says."""
    for what, now in found.items():
        before = recorded[what]
        most = MOST * before if what == "instructions" else 0
        if abs(now - before) > most:
            yield f"{kernel}: {before} {what} recorded, {now} found"


def differences(recorded, found):
    return record.differences(recorded, found, "the machine code", of_kernel)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nvcc")
    parser.add_argument("--renew", action="store_true")
    given = parser.parse_args()
    try:
        compiler, table, lines = examine(given.nvcc)
        if given.renew and not lines:
            record.write(RECORD, compiler, NAMES, table)
            return 0
        recorded, before = record.read(RECORD, NAMES)
        same = compiler == recorded
        lines += differences(before, table) if same else []
    except (OSError, record.Unfit, RuntimeError) as reason:
        print(f"machine_code.py: {reason}", file=sys.stderr)
        return 1
    right = "as recorded" if same else f"right, but {compiler} has no record ({recorded} has)"
    print("\n".join(lines) or right)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
