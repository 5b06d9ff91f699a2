#!/usr/bin/python3
"""What a generated token costs, by how the weights are kept in memory.

    bench/generate.py build/mixtape [--with NAME=COMMAND]... [--rounds N] [--threads N]...
                      [--tokens N] [--vocabulary N] [--size S] [--blocks N] [--json FILE]

A model of random values, by default of 92 million weights (12 blocks of size 768), generates: the
time of a token is that of 610 of them less that of 10, over 600 (--tokens). It is told over the
time to read the same bytes once, by a loop of NumPy's on as many threads. Builds, kinds and reading
take turns, and medians count: on one thread of the processor's time outside of the system, in which
the loading of a model differs by more than these tokens take, and on several of the clock's. Other
builds (--with) generate as they do without --weights.
"""

import argparse
import json
import math
import pathlib
import resource
import statistics
import subprocess
import tempfile
import threading
import time

import builds

import numpy

from memory import hf_tensors, write_weights

KINDS = {"f32": 4, "bf16": 2, "int8": 1}
FEW = 10 # tokens


def processor():
    """Seconds of the processor outside of the system, of this process and of those that it waited
    for."""
    return sum(resource.getrusage(of).ru_utime
               for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def seconds_of(threads, work):
    clock = processor if threads == 1 else time.monotonic
    began = clock()
    work()
    return clock() - began


def generate(command, options, length, threads):
    subprocess.run([command, "generate", *options, "--ids", "--prompt", "1", "--device", "cpu",
                    "--threads", str(threads), "--length", str(length)], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def token(command, options, threads, tokens):
    few, many = (seconds_of(threads, lambda: generate(command, options, length, threads))
                 for length in (FEW, FEW + tokens))
    return (many - few) / tokens


def read(array, threads):
    def all_parts():
        others = [threading.Thread(target=part.max) for part in numpy.array_split(array, threads)]
        for other in others:
            other.start()
        for other in others:
            other.join()
    times = 10
    return seconds_of(threads, lambda: [all_parts() for _ in range(times)]) / times


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    builds.add_arguments(parser)
    parser.add_argument("--threads", action="append", type=int)
    parser.add_argument("--json")
    for name, default in (("rounds", 5), ("tokens", 600), ("vocabulary", 64), ("size", 768),
                          ("blocks", 12)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    shapes = [shape for name, shape in hf_tensors(options.vocabulary, options.size, options.blocks)
              if len(shape) == 2 and "embeddings" not in name]
    weights = sum(rows * columns for rows, columns in shapes)
    mixtape = str(pathlib.Path(options.command).resolve())
    runs = {kind: (mixtape, ["--weights", kind], size) for kind, size in KINDS.items()}
    runs.update({name: (command, [], 4) for name, command in builds.others_of(options).items()})
    results = []
    with tempfile.TemporaryDirectory() as folder:
        model = str(pathlib.Path(folder) / "model.safetensors")
        write_weights(model, hf_tensors(options.vocabulary, options.size, options.blocks))
        arrays = {size: numpy.ones(weights * size // 8, "u8") for size in KINDS.values()}
        for threads in options.threads or [1, 2]:
            tokens, reading = ({name: [] for name in runs} for _ in range(2))
            for _ in range(options.rounds):
                for name, (command, kept, size) in runs.items():
                    reading[name].append(read(arrays[size], threads))
                    tokens[name].append(
                        token(command, [model, *kept], threads, options.tokens))
            for name, (_, _, size) in runs.items():
                found = statistics.median(tokens[name])
                bytes_read = statistics.median(reading[name])
                results.append({"threads": threads, "weights": name, "megabytes":
                                weights * size / 1e6, "token_s": found, "reading_s": bytes_read,
                                "tokens_s": tokens[name], "readings_s": reading[name]})
                print(f"{threads} threads  {name:8}{weights * size / 1e6:6.0f} MB  token "
                      f"{1e3 * found:6.2f} ms  reading {1e3 * bytes_read:6.2f} ms  "
                      f"{found / (bytes_read or math.nan):5.2f} x", flush=True)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
