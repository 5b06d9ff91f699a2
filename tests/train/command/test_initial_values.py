"""What is to be overwritten is given no initial values. MIXTAPE is the command that counts them
(initial_values.c)."""

import os
import struct
import unittest

import h5py
import numpy

from test_command import CommandTest

SIZES = ["--size", "256", "--blocks", "3"]
STEP = ["--batch", "1", "--length", "4", "--eval-batches", "1", "--threads", "1"]
TUNED = ["--tune", "lora", "--lora-rank", "8"]


class InitialValuesTest(CommandTest):
    def setUp(self):
        super().setUp()
        self.write("text.txt", "the quick brown fox jumps over the lazy dog\n" * 20)
        self.train(*SIZES, "--steps", "1", "--style", "rwkv-lm", "--out", "run")
        with h5py.File(self.path("run", "checkpoint.h5")) as file:
            sizes = {name: values.size for name, values in file["model"].items()}
        self.size, self.head = sum(sizes.values()), sizes["head.weight"]

    def train(self, *options):
        return self.counts("train", "text", "--data", "text.txt", *STEP, *options)

    def counts(self, *arguments):
        """Values that the command draws, and bytes that it clears."""
        path = self.write("counts", bytes(16))
        self.run_command(*arguments, environment={"INITIAL_VALUES": path})
        with open(path, "rb") as file:
            return struct.unpack("=qq", file.read())

    def check_none(self, *arguments):
        """Nothing is drawn. Options and a step's sums are cleared, which are less than a fifth of
        what the parameters take."""
        drawn, cleared = self.counts(*arguments)
        self.assertEqual(drawn, 0)
        self.assertLess(cleared, 0.2 * 4 * self.size)

    def test_a_new_run_draws_each_value_once(self):
        drawn, cleared = self.train(*SIZES, "--steps", "1", "--style", "rwkv-lm", "--out", "new")
        self.assertEqual(drawn, self.size)
        self.assertGreater(cleared, 2 * 4 * self.size) # Adam's moments
        self.assertLess(cleared, 2.5 * 4 * self.size)

    def test_a_run_that_goes_on(self):
        self.check_none("train", "--resume", "run", "--steps", "2")

    def test_a_run_that_begins_with_a_model(self):
        drawn, _ = self.train("--init", "run", "--steps", "1", "--out", "next")
        self.assertEqual(drawn, 0)

    def test_a_run_that_begins_with_a_model_without_a_head(self):
        with h5py.File(self.path("run", "best.h5"), "a") as file:
            del file["model/head.weight"]
            file["model"].attrs["output_size"] = numpy.int64(0)
        drawn, _ = self.train("--init", "run", "--steps", "1", "--out", "next")
        self.assertEqual(drawn, self.head)

    def test_an_adapter(self):
        drawn, _ = self.train("--init", "run", *TUNED, "--steps", "1", "--out", "tuned")
        self.assertGreater(drawn, 0)
        self.assertLess(drawn, self.size)
        for arguments in (["train", "--resume", "tuned", "--steps", "2"],
                          ["generate", "tuned", "--length", "1"], ["eval", "tuned"],
                          ["info", "tuned"], ["export", "tuned", "-o", "tuned.h5"]):
            with self.subTest(arguments):
                self.check_none(*arguments)

    def test_a_tuned_state(self):
        self.train("--init", "run", "--tune", "state", "--steps", "1", "--out", "tuned")
        for arguments in (["train", "--resume", "tuned", "--steps", "2"],
                          ["generate", "tuned", "--length", "1"], ["eval", "tuned"]):
            with self.subTest(arguments):
                self.check_none(*arguments)

    def test_models_that_are_read(self):
        for arguments in (["export", "run", "--layout", "mixtape", "-o", "mixtape.h5"],
                          ["export", "run", "--layout", "rwkv-lm", "-o", "lm.h5"],
                          ["export", "run", "--layout", "hf", "-o", "hf.safetensors"],
                          ["export", "run", "--layout", "hf", "-o", "hf"],
                          ["import", "lm.h5", "-o", "of-lm.h5"],
                          ["import", "hf.safetensors", "-o", "of-file.h5"],
                          ["import", "hf", "-o", "of-hf.h5"],
                          ["average", "run", "mixtape.h5", "-o", "mean.h5"],
                          ["diff", "run", "mean.h5"], ["info", "run"], ["info", "hf"],
                          ["generate", "run", "--length", "1"],
                          ["generate", "hf", "--ids", "--length", "1"],
                          ["generate", "run", "--length", "1", "--weights", "int8"],
                          ["eval", "run"]):
            with self.subTest(arguments):
                self.check_none(*arguments)


if __name__ == "__main__":
    unittest.main()
