#!/usr/bin/env python3
"""WKV's CUDA kernels with other sizes (kernels/cuda/wkv_tuning.cuh), compiled, checked and timed on
the machine with the GPU; and a probe of what their chain of blocks rests on. Needs nvcc ($NVCC, or
on the PATH, or in /usr/local/cuda/bin) and nothing else.

    gpu_sweep.py build SOURCES BUILD [--jobs N] [--only "NAME;NAME"]
        compiles the probe and every variant into the folder BUILD; SOURCES has kernels/, include/
        and bench/ as in the repository
    gpu_sweep.py run BUILD OUT.json [--seconds N]
        runs those that have been built, one after the other, and starts none after N seconds
    gpu_sweep.py probe BUILD OUT.json
    gpu_sweep.py table OUT.json
        prints what run or probe wrote

A variant that does not compile, crashes, hangs or computes something wrong is a row that says so.
"""

import argparse
import concurrent.futures
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time

SHAPES = ["8,1024,768", "2,1024,768", "32,64,512", "32,1024,1024"]
# Read and written per element of (B, T, C): k, v, y; k, v, dy, dk, dv.
BYTES = {"forward": 12, "backward": 20}
SOURCES = ["bare_device", "gpu_sweep", "gpu_probe"]  # of bench/, the same for all variants


def variant(warps=None, steps=None, group=None, forward=None, backward=None, direct=None,
            tickets=None, carveout=None):
    values = {"WARPS": warps, "STEPS": steps, "GROUP_CHUNKS": group, "FORWARD_BLOCKS": forward,
              "BACKWARD_BLOCKS": backward,
              "DIRECT_FACTORS": direct, "TICKETS": tickets, "CARVEOUT": carveout}
    return {name: value for name, value in values.items() if value is not None}


# The most telling first, since time may be up before the last. Blocks to a multiprocessor go with
# the registers and the shared memory that a block of that size needs.
VARIANTS = {
    "default": variant(),
    "block order": variant(tickets=0),
    "packed": variant(direct=0),
    "packed, block order": variant(direct=0, tickets=0),
    "carveout by driver": variant(carveout=-1),
    "warps 8, steps 8": variant(warps=8, steps=8, forward=4, backward=2),
    "steps 8": variant(steps=8, forward=8, backward=7),
    "warps 8": variant(warps=8, forward=3, backward=2),
    "forward 5": variant(forward=5),
    "forward 7": variant(forward=7),  # spills
    "backward 4": variant(backward=4),
    "group 8": variant(group=8),
    "group 32": variant(group=32),
    "warps 2": variant(warps=2, forward=12, backward=10),
    "forward 4": variant(forward=4),
    "backward 3": variant(backward=3),
    "group 4": variant(group=4),
    "group 64": variant(group=64),
    "steps 32": variant(steps=32, forward=3, backward=2),
    "warps 2, steps 32": variant(warps=2, steps=32, forward=6, backward=4),
    "warps 16, steps 4": variant(warps=16, steps=4, forward=2, backward=2),
    "warps 16, steps 8": variant(warps=16, steps=8, forward=2, backward=1),
    "warps 8, forward 2": variant(warps=8, forward=2, backward=2),
    "steps 8, block order": variant(steps=8, forward=8, backward=7, tickets=0),
    "warps 8, block order": variant(warps=8, forward=3, backward=2, tickets=0),
    "packed, steps 8": variant(direct=0, steps=8, forward=8, backward=7),
    "packed, warps 8": variant(direct=0, warps=8, forward=3, backward=2),
    "packed, warps 8, steps 8": variant(direct=0, warps=8, steps=8, forward=4, backward=2),
    "packed, warps 2": variant(direct=0, warps=2, forward=12, backward=10),
    "packed, carveout by driver": variant(direct=0, carveout=-1),
    "packed, group 32": variant(direct=0, group=32),
}


# ---- building ----

def compiler():
    found = os.environ.get("NVCC") or shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    if not shutil.which(found):
        sys.exit("gpu_sweep.py: no nvcc (name it by NVCC)")
    return found


def architecture():
    """Of the first GPU, or what ARCHITECTURE says, or Hopper's."""
    if "ARCHITECTURE" in os.environ:
        return os.environ["ARCHITECTURE"]
    try:
        shown = subprocess.run(["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"],
                               capture_output=True, text=True, timeout=30)
        found = re.match(r"(\d+)\.(\d+)", shown.stdout)
    except (OSError, subprocess.TimeoutExpired):
        found = None
    return found.group(1) + found.group(2) if found else "90"


def folder_of(build, name):
    return os.path.join(build, re.sub(r"\W+", "_", name))


def call(command):
    """(whether it went well, what it printed)."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace")
    return done.returncode == 0, done.stdout


def resources(report):
    """Registers and spilled bytes of the two float32 kernels, by what ptxas -v reports."""
    found = {}
    for part in re.split(r"Compiling entry function '", report)[1:]:
        kernel = re.match(r"\S*?(forward|backward)_kernelIf", part)
        registers = re.search(r"Used (\d+) registers", part)
        spills = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", part)
        if kernel and registers and spills:
            found[kernel.group(1)] = {"registers": int(registers.group(1)),
                                      "spilled": sum(map(int, spills.groups()))}
    return found


def write_json(path, content):
    """Whole or not at all: who reads it may come at any time."""
    with open(path + ".new", "w") as file:
        json.dump(content, file, indent=1)
    os.replace(path + ".new", path)


class Builder:
    def __init__(self, sources, build):
        self.sources, self.build = sources, build
        self.base = [compiler(), "-std=c++17", "-O3", "-fmad=false", f"-arch=sm_{architecture()}"]
        for folder in ("bench/without_blas", "", "include"):
            self.base += ["-I", os.path.join(sources, folder)]

    def compile(self, source, to, *options):
        return call([*self.base, *options, "-c", os.path.join(self.sources, source), "-o", to])

    def link(self, to, *objects):
        return call([*self.base, "-o", to, *objects])

    def object(self, name):
        return os.path.join(self.build, name + ".o")

    def make_shared(self, name):
        return self.compile(f"bench/{name}.cu", self.object(name))

    def make_variant(self, name, shared):
        """Compiles and links one; built.json in its folder tells how that went. Returns what went
        wrong, or nothing."""
        folder = folder_of(self.build, name)
        os.makedirs(folder, exist_ok=True)
        kernels = os.path.join(folder, "wkv.o")
        began = time.monotonic()
        definitions = [f"-DMT_WKV_{key}={value}" for key, value in VARIANTS[name].items()]
        well, report = self.compile("kernels/cuda/wkv.cu", kernels, "-ftz=true", "-Xptxas=-v",
                                    *definitions)
        built = {"name": name, "parameters": VARIANTS[name], "kernels": resources(report)}
        for part in ("bare_device", "gpu_sweep"):
            if well:
                well, report = shared[part].result()
        if well:
            well, report = self.link(os.path.join(folder, "gpu_sweep"), self.object("bare_device"),
                                     self.object("gpu_sweep"), kernels)
        built["seconds"] = round(time.monotonic() - began, 1)
        if not well:
            built["error"] = report[-1000:]
        write_json(os.path.join(folder, "built.json"), built)
        return "" if well else report

    def make_probe(self, shared):
        for part in ("bare_device", "gpu_probe"):
            well, report = shared[part].result()
            if not well:
                return report
        well, report = self.link(os.path.join(self.build, "gpu_probe"), self.object("bare_device"),
                                 self.object("gpu_probe"))
        return "" if well else report


def build(options):
    """Status 1 only if nothing at all could be built."""
    os.makedirs(options.build, exist_ok=True)
    builder, names = Builder(options.sources, options.build), chosen(options)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        shared = {name: pool.submit(builder.make_shared, name) for name in SOURCES}
        # These come last to the pool, so what they wait for has begun.
        tasks = {"probe": pool.submit(builder.make_probe, shared)}
        tasks.update((name, pool.submit(builder.make_variant, name, shared)) for name in names)
        failures = {name: task.result() for name, task in tasks.items() if task.result()}
    for name, report in failures.items():
        print(f"{name}: not built\n{report[-1000:]}", file=sys.stderr)
    print(f"{len(tasks) - len(failures)} of {len(tasks)} programs built")
    return 1 if len(failures) == len(tasks) else 0


def chosen(options):
    """The variants that --only names, or all."""
    names = options.only.split(";") if options.only else list(VARIANTS)
    unknown = [name for name in names if name not in VARIANTS]
    if unknown:
        sys.exit(f"gpu_sweep.py: no such variant: {', '.join(unknown)}")
    return names


# ---- running ----

def run_program(program, words, seconds):
    """(how it ended, the JSON of its lines, the end of its complaints)."""
    try:
        done = subprocess.run([program, *words], capture_output=True, text=True, errors="replace",
                              timeout=seconds)
        output, complaint = done.stdout, done.stderr
        ended = {0: "right", 3: "wrong"}.get(done.returncode,
                                             f"failed with status {done.returncode}")
    except subprocess.TimeoutExpired as stopped:
        output, complaint = ((text or b"").decode(errors="replace")
                             for text in (stopped.stdout, stopped.stderr))
        ended = f"stopped after {seconds:.0f} s"
    except OSError as error:
        output, complaint, ended = "", str(error), "failed to start"
    lines = []
    for line in output.splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            complaint += line
    return ended, lines, complaint[-500:]


def row_of(build, name, words, seconds):
    try:
        with open(os.path.join(folder_of(build, name), "built.json")) as file:
            row = json.load(file)
    except OSError:
        return {"name": name, "ended": "not built in time"}
    if "error" in row:
        row["ended"] = "does not compile"
        return row
    program = os.path.join(folder_of(build, name), "gpu_sweep")
    row["ended"], lines, row["complaint"] = run_program(program, words, seconds)
    row["faults"] = [line[key] for line in lines for key in ("check", "fault") if line.get(key)]
    row["shapes"] = {",".join(map(str, line["shape"])): line for line in lines if "shape" in line}
    for line in lines:
        if "copy" in line:
            row["copy"] = line["bytes_per_second"]
    return row


def run(options):
    """Status 0 if the default was right, and so many variants ran as there was time for."""
    deadline = time.monotonic() + options.seconds
    names = chosen(options)
    again = max(1, len(names) // 2)
    # The default is measured three times: its rows tell what differences mean nothing.
    plan = [(name, name) for name in names]
    if names[0] == "default" and len(names) > 1:
        plan = [*plan[:again], ("default, again", "default"),
                *plan[again:], ("default, at last", "default")]
    rows = []
    for shown, name in plan:
        left = deadline - time.monotonic()
        if left > 0:
            words = ["check"] + ([f"copy:{options.copy}"] if name == "default" else [])
            words += [f"runs:{options.runs}", *options.shapes.split()]
            row = row_of(options.build, name, words, min(left, options.limit))
        else:
            row = {"name": name, "ended": "no time left"}
        rows.append({**row, "name": shown})
        write_json(options.out, {"shapes": options.shapes.split(), "variants": rows})
    print_table(options.out)
    return 0 if rows[0]["ended"] == "right" else 1


def probe(options):
    ended, output, complaint = "", "", ""
    try:
        done = subprocess.run([os.path.join(options.build, "gpu_probe")], capture_output=True,
                              text=True, timeout=options.limit)
        output, complaint = done.stdout, done.stderr
        ended = f"status {done.returncode}" if done.returncode != 0 else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        ended = str(error)
    if ended:
        print(f"probe: {ended}: {complaint[-500:]}", file=sys.stderr)
        return 1
    write_json(options.out, json.loads(output))
    print_table(options.out)
    return 0


# ---- showing ----

def elements(shape):
    B, T, C = map(int, shape.split(","))
    return B * T * C


def was_reached(row):
    """Whether there was time to build and to begin a variant."""
    return "kernels" in row


def sweep_table(found, direction):
    """Microseconds, GB/s and the share of a copy's rate for each shape; `*` is the best that was
    right."""
    copies = sorted(row["copy"] for row in found["variants"] if "copy" in row)
    copy = copies[len(copies) // 2] if copies else None
    times = {shape: {row["name"]: row["shapes"][shape][f"{direction}_us"]
                     for row in found["variants"] if shape in row.get("shapes", {})}
             for shape in found["shapes"]}
    right = [row["name"] for row in found["variants"] if row["ended"] == "right"]
    head = f"{direction:<28}{'regs':>5}{'spill':>6}"
    lines = [head + "".join(f"{shape:>16} us  GB/s  copy" for shape in found["shapes"])]
    for row in filter(was_reached, found["variants"]):
        kernel = row["kernels"].get(direction, {})
        line = f"{row['name']:<28}{kernel.get('registers', ''):>5}{kernel.get('spilled', ''):>6}"
        for shape in found["shapes"]:
            microseconds = times[shape].get(row["name"])
            if microseconds is None:
                line += f"{'-':>31}"
                continue
            rate = elements(shape) * BYTES[direction] / microseconds / 1e3
            best = min((times[shape][name] for name in right if name in times[shape]), default=None)
            mark = "*" if microseconds == best and row["name"] in right else " "
            share = f"{100 * rate * 1e9 / copy:5.0f}%" if copy else ""
            line += f"{microseconds:>18.2f}{mark}{rate:>6.0f}{share:>6}"
        lines.append(line + ("" if row["ended"] == "right" else f"  {row['ended']}"))
    if copy:
        lines.append(f"copy: {copy / 1e9:.0f} GB/s, read and written")
    return "\n".join(lines)


def probe_table(found):
    lines = [f"{found['multiprocessors']} multiprocessors",
             "blocks  threads  microseconds   begin late  early  out of order"]
    for row in found["dispatch"]:
        least, most = row["microseconds"]
        lines.append(f"{row['blocks']:>6}{row['threads']:>9}{least:>8} to {most:<4}"
                     f"{row['late']:>11}{row['early']:>7}{row['out_of_order']:>8}"
                     f" of {row['runs'] * row['blocks']}")
    for row in found["chain"]:
        lines.append(f"chain of {row['blocks']} blocks of {row['threads']} threads:"
                     f" {row['nanoseconds_per_hop']:.0f} ns a hop"
                     + ("" if row["right"] else ", WRONG"))
    return "\n".join(lines)


def print_table(path):
    with open(path) as file:
        found = json.load(file)
    if "dispatch" in found:
        print(probe_table(found))
        return
    print(sweep_table(found, "forward"))
    print(sweep_table(found, "backward"))
    for row in found["variants"]:
        told = [*row.get("faults", []), row.get("complaint"), row.get("error")]
        told = [text for text in told if text]
        if row["ended"] != "right" and told:
            print(f"{row['name']}: {row['ended']}: {'; '.join(told)[:300]}")
    missed = {}
    for row in itertools.filterfalse(was_reached, found["variants"]):
        missed.setdefault(row["ended"], []).append(row["name"])
    for ended, names in missed.items():
        print(f"{ended}: {'; '.join(names)}")


def table(options):
    print_table(options.out)
    return 0


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    adding = verbs.add_parser("build")
    adding.add_argument("sources")
    adding.add_argument("build")
    adding.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    adding.set_defaults(act=build)
    running = verbs.add_parser("run")
    probing = verbs.add_parser("probe")
    for verb in (running, probing):
        verb.add_argument("build")
        verb.add_argument("out")
        verb.add_argument("--limit", type=float, default=30.0, help="seconds for one program")
    running.add_argument("--seconds", type=float, default=300.0)
    running.add_argument("--shapes", default=" ".join(SHAPES), help="as \"B,T,C B,T,C\"")
    running.add_argument("--runs", type=int, default=11,
                         help="measurements of each, whose median is told")
    running.add_argument("--copy", type=int, default=1 << 30,
                         help="bytes of the copy to compare with")
    running.set_defaults(act=run)
    probing.set_defaults(act=probe)
    for verb in (adding, running):
        verb.add_argument("--only", help="variants, as \"NAME;NAME\"")
    showing = verbs.add_parser("table")
    showing.add_argument("out")
    showing.set_defaults(act=table)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    given = parse(sys.argv[1:])
    sys.exit(given.act(given))
