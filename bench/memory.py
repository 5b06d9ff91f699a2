#!/usr/bin/env python3
"""bench/memory.py MIXTAPE [--json FILE]: the most memory that each step with a large model takes.

Random weights in Hugging Face's layout, by default of an RWKV-4 of 170 million parameters, go
through the command: import, finetuning on random labels, resuming, sampling, evaluation, export.
The peak of each is what the largest of its processes had resident at a time (ru_maxrss), and is
also given in units of the parameters in float32.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import own_kernels

import numpy


def hf_tensors(vocabulary, size, blocks):
    """Names and shapes of a model in Hugging Face's layout."""
    yield "rwkv.embeddings.weight", (vocabulary, size)
    for name in ("weight", "bias"):
        yield f"rwkv.blocks.0.pre_ln.{name}", (size,)
        yield f"rwkv.ln_out.{name}", (size,)
    yield "head.weight", (vocabulary, size)
    for block in range(blocks):
        prefix = f"rwkv.blocks.{block}."
        for name in ("ln1.weight", "ln1.bias", "ln2.weight", "ln2.bias"):
            yield prefix + name, (size,)
        for name in ("time_decay", "time_first"):
            yield prefix + f"attention.{name}", (size,)
        for name in ("key", "value", "receptance"):
            yield prefix + f"attention.time_mix_{name}", (1, 1, size)
            yield prefix + f"attention.{name}.weight", (size, size)
        yield prefix + "attention.output.weight", (size, size)
        for name in ("key", "receptance"):
            yield prefix + f"feed_forward.time_mix_{name}", (1, 1, size)
        yield prefix + "feed_forward.key.weight", (4 * size, size)
        yield prefix + "feed_forward.value.weight", (size, 4 * size)
        yield prefix + "feed_forward.receptance.weight", (size, size)


def write_weights(path, tensors):
    """Returns the bytes of the parameters."""
    tensors, header, end = list(tensors), {}, 0
    for name, shape in tensors:
        begin, end = end, end + 4 * int(numpy.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    random = numpy.random.default_rng(1)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in tensors:
            values = 0.02 * random.standard_normal(shape, "f4")
            if name.endswith(("ln1.weight", "ln2.weight", "ln_out.weight", "pre_ln.weight")):
                values += 1.0
            values.tofile(file)
    return end


def write_transcripts(folder, vocabulary, length, count):
    names = ["<blank>", "<unk>", *(f"t{i}" for i in range(vocabulary - 3)), "<sos/eos>"]
    (folder / "tokens.txt").write_text("\n".join(names) + "\n")
    labels = numpy.random.default_rng(2).integers(2, vocabulary - 1, (count, length))
    lines = (f"u{i} " + " ".join(names[label] for label in row) for i, row in enumerate(labels))
    (folder / "transcripts.txt").write_text("\n".join(lines) + "\n")


# The system counts what a process was before it became a command: a copy of whoever began it. So a
# small process begins it.
BEGIN = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(status)
"""


def run(command, folder, environment=None):
    """Runs it there: the peak of the largest of its processes in bytes, seconds of the clock, and
    what it wrote to standard output."""
    began = time.monotonic()
    with tempfile.NamedTemporaryFile("r") as peak:
        done = subprocess.run([sys.executable, "-IS", "-c", BEGIN, peak.name, *command], cwd=folder,
                              env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: status {done.returncode}\n{done.stderr}")
        return 1024 * int(peak.read()), time.monotonic() - began, done.stdout


def steps_of(options):
    batch = ["--batch", str(options.batch), "--eval-batches", "1", "--threads", "0",
             "--log-every", "1"]
    data = ["--data", "transcripts.txt", "--token-list", "tokens.txt", "--unit", "word"]
    train = ["train", "tokens", *data, "--init", "model.h5", "--lr", "1e-5", *batch]
    half = str(options.steps // 2)
    yield "import", ["import", "weights.safetensors", "-o", "model.h5"]
    yield "finetune", [*train, "--steps", half, "--out", "run"]
    yield "... resumed", ["train", "--resume", "run", "--steps", str(options.steps)]
    yield "... --recompute", [*train, "--recompute", "--steps", half, "--out", "again"]
    yield "generate", ["generate", "run", "--prompt", "t1 t2", "--length", "16"]
    yield "eval", ["eval", "run"]
    yield "export, HDF5", ["export", "run", "--layout", "rwkv-lm", "-o", "out.h5"]
    yield "export, .safetensors", ["export", "run", "--layout", "hf", "-o", "out.safetensors"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mixtape")
    for name, default in (("vocabulary", 50277), ("size", 768), ("blocks", 12), ("batch", 4),
                          ("length", 256), ("steps", 4)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--json")
    options = parser.parse_args()
    mixtape = str(pathlib.Path(options.mixtape).resolve())
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        tensors = hf_tensors(options.vocabulary, options.size, options.blocks)
        parameters = write_weights(folder / "weights.safetensors", tensors)
        write_transcripts(folder, options.vocabulary, options.length, 10 * options.batch)
        print(f"{parameters / 4e6:.1f} million parameters, {parameters / 1e6:.0f} MB")
        rows = []
        for what, arguments in steps_of(options):
            peak, seconds, _ = run([mixtape, *arguments], folder)
            print(f"{what:22}{peak / 1e6:7.0f} MB {peak / parameters:6.2f} x{seconds:8.1f} s",
                  flush=True)
            rows.append({"step": what, "peak": peak, "parameters": parameters, "seconds": seconds})
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
