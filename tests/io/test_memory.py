"""What a conversion, or the use of a model, takes of memory beside the file's size."""

import os
import pathlib
import sys
import tempfile
import unittest

import h5py
import numpy

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench"))

import memory

MIXTAPE = os.environ["MIXTAPE"]
SIZE, BLOCKS, VOCABULARY = 1024, 5, 64  # the largest tensor is a sixteenth of all
MOST = 1.3  # times the file's size
PIECES = 0.5  # the same, of what goes from file to file


def peak(*arguments):
    """The most memory that the command had at a time, in bytes."""
    return memory.run([MIXTAPE, *map(str, arguments)], ".")[0]


class MemoryTest(unittest.TestCase):
    def test_no_verb_needs_a_second_copy_of_a_model(self):
        base = peak("--version")
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            weights, checkpoint = folder / "weights.safetensors", folder / "checkpoint.h5"
            memory.write_weights(weights, memory.hf_tensors(VOCABULARY, SIZE, BLOCKS))
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
