"""What a conversion, or the use of a model, takes of memory beside the file's size."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import h5py
import numpy

MIXTAPE = os.environ["MIXTAPE"]
SIZE, BLOCKS, VOCABULARY = 1024, 5, 64
MOST = 1.3  # times the file's size
PIECES = 0.5  # the same, of what goes from file to file


def hf_tensors():
    """Names and shapes of a model in Hugging Face's layout: the largest is a sixteenth of all."""
    yield "rwkv.embeddings.weight", (VOCABULARY, SIZE)
    for name in ("weight", "bias"):
        yield f"rwkv.blocks.0.pre_ln.{name}", (SIZE,)
        yield f"rwkv.ln_out.{name}", (SIZE,)
    yield "head.weight", (VOCABULARY, SIZE)
    for block in range(BLOCKS):
        prefix = f"rwkv.blocks.{block}."
        for name in ("ln1.weight", "ln1.bias", "ln2.weight", "ln2.bias"):
            yield prefix + name, (SIZE,)
        for name in ("time_decay", "time_first"):
            yield prefix + f"attention.{name}", (SIZE,)
        for name in ("key", "value", "receptance"):
            yield prefix + f"attention.time_mix_{name}", (1, 1, SIZE)
            yield prefix + f"attention.{name}.weight", (SIZE, SIZE)
        yield prefix + "attention.output.weight", (SIZE, SIZE)
        for name in ("key", "receptance"):
            yield prefix + f"feed_forward.time_mix_{name}", (1, 1, SIZE)
        yield prefix + "feed_forward.key.weight", (4 * SIZE, SIZE)
        yield prefix + "feed_forward.value.weight", (SIZE, 4 * SIZE)
        yield prefix + "feed_forward.receptance.weight", (SIZE, SIZE)


def write_safetensors(path):
    header, at, tensors = {}, 0, list(hf_tensors())
    for name, shape in tensors:
        end = at + 4 * int(numpy.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, shape in tensors:
            numpy.full(shape, 0.01, "<f4").tofile(file)


def peak(*arguments):
    """The most memory that the command had at a time, in bytes."""
    child = subprocess.Popen([MIXTAPE, *map(str, arguments)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0, arguments
    return 1024 * usage.ru_maxrss


class MemoryTest(unittest.TestCase):
    def test_no_verb_needs_a_second_copy_of_a_model(self):
        base = peak("--version")
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            weights, checkpoint = folder / "weights.safetensors", folder / "checkpoint.h5"
            write_safetensors(weights)
            with h5py.File(folder / "labels.h5", "w") as file:
                file["labels"] = numpy.array([[1, 2]], "i4")
            size = weights.stat().st_size
            verbs = [
                (PIECES, "import", weights, "-o", checkpoint),
                (PIECES, "import", checkpoint, "-o", folder / "again.h5"),
                (PIECES, "export", checkpoint, "-o", folder / "espnet.h5"),
                (PIECES, "export", checkpoint, "--layout", "hf", "-o", folder / "hf.safetensors"),
                (PIECES, "export", checkpoint, "--layout", "hf", "--dtype", "bf16",
                 "-o", folder / "hf"),
                (PIECES, "import", folder / "hf", "-o", folder / "again.h5"),
                (MOST, "forward", checkpoint, "--input", folder / "labels.h5",
                 "-o", folder / "out.h5"),
            ]
            for most, *verb in verbs:
                with self.subTest(verb[0]):
                    self.assertLess(peak(*verb) - base, most * size)
            with h5py.File(checkpoint, "r+") as file:
                tokens = [f"{i:02d}".encode() for i in range(VOCABULARY)]
                file.attrs.create("token_list", tokens, dtype=h5py.string_dtype("utf-8", 2))
            self.assertLess(peak("generate", checkpoint, "--length", 1) - base, MOST * size)
            self.assertLess(peak("info", checkpoint) - base, 0.3 * size)
            self.assertEqual(weights.stat().st_size // 1000000,
                             (folder / "hf.safetensors").stat().st_size // 1000000)


if __name__ == "__main__":
    unittest.main()
