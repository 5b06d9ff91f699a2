#!/usr/bin/python3
"""What a symbol costs where many prompts are answered at once.

    bench/prompts.py build/mixtape [--batches N...] [--rounds N] [--size S] [--blocks N]
                     [--vocabulary N] [--threads N] [--json FILE]

A model of random values answers as many prompts as there are rows: the time of `generate --prompts`
with long answers, less that with short ones, for each symbol more. Beside it stand the matrix
products of such a step alone, which NumPy leaves to its BLAS, by the same number of rows and on as
many threads. On one thread the time is the processor's, on several the clock's. Rounds take turns;
given are medians.
"""

import argparse
import os

# NumPy's BLAS asks for this when it is loaded.
threads = argparse.ArgumentParser(add_help=False)
threads.add_argument("--threads", type=int, default=1)
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(
    threads.parse_known_args()[0].threads)

import json
import statistics
import subprocess
import tempfile
import time

import own_kernels
import runs

import numpy

SHORT = 5


def time_of(command, folder, threads):
    clock = runs.processor_seconds if threads == 1 else time.monotonic
    began = clock()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return clock() - began


def make_run(options, folder):
    with open(os.path.join(folder, "text.txt"), "w", encoding="utf-8") as text:
        text.write("".join(chr(0x4E00 + i) for i in range(options.vocabulary)) * 20)
    subprocess.run([options.mixtape, "train", "text", "--data", "text.txt", "--size",
                    str(options.size), "--blocks", str(options.blocks), "--steps", "1", "--batch",
                    "1", "--length", "8", "--eval-batches", "1", "--threads", "1", "--out", "run"],
                   cwd=folder, check=True, capture_output=True)


def symbol_time(options, folder, rows):
    """Seconds of a symbol, of which at least a second's worth is measured."""
    with open(os.path.join(folder, f"prompts-{rows}"), "w", encoding="utf-8") as prompts:
        prompts.write("\u4e00\n" * rows)
    command = [options.mixtape, "generate", "run", "--prompts", f"prompts-{rows}", "--batch",
               str(rows), "--threads", str(options.threads), "--length"]
    long = SHORT + options.symbols
    more = time_of([*command, str(long)], folder, options.threads)
    less = time_of([*command, str(SHORT)], folder, options.threads)
    return (more - less) / (rows * (long - SHORT))


def products_of(options):
    """The matrices of a step, each as it lies in memory: (outputs, inputs)."""
    size = options.size
    shapes = [(size, size)] * 5 + [(4 * size, size), (size, 4 * size)]
    make = lambda shape: numpy.random.default_rng(1).standard_normal(shape, dtype=numpy.float32)
    return [make(shape) for _ in range(options.blocks) for shape in shapes
           ] + [make((options.vocabulary, size))]


def products_time(matrices, rows, threads):
    now = time.process_time if threads == 1 else time.monotonic
    inputs = {matrix.shape[1]: numpy.ones((rows, matrix.shape[1]), numpy.float32)
              for matrix in matrices}
    steps, began = 0, now()
    while steps == 0 or now() - began < 0.3:
        for matrix in matrices:
            inputs[matrix.shape[1]] @ matrix.T
        steps += 1
    return (now() - began) / steps / rows


def main():
    parser = argparse.ArgumentParser(parents=[threads], description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mixtape", type=os.path.abspath)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8, 32, 128])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--symbols", type=int, default=100, help="of each answer")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=65)
    parser.add_argument("--json", help="a file for the figures")
    options = parser.parse_args()
    found = {rows: {"symbol": [], "products": []} for rows in options.batches}
    with tempfile.TemporaryDirectory() as folder:
        make_run(options, folder)
        matrices = products_of(options)
        for _ in range(options.rounds):
            for rows, times in found.items():
                times["symbol"].append(symbol_time(options, folder, rows))
                times["products"].append(products_time(matrices, rows, options.threads))
    print("rows   ms a symbol   of its products   one row takes")
    medians = {rows: {name: statistics.median(values) for name, values in times.items()}
               for rows, times in found.items()}
    first = medians[options.batches[0]]["symbol"]
    for rows, times in medians.items():
        print(f"{rows:4}   {1e3 * times['symbol']:11.4f}   {1e3 * times['products']:15.4f}"
              f"   {first / times['symbol']:11.2f} x")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"options": {**vars(options), "mixtape": None}, "medians": medians,
                       "rounds": found}, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
