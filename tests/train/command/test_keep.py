"""What runs keep: the last checkpoints and the best models; and the mean of these."""

import csv
import os
import re
import shutil
import unittest

import h5py
import numpy
from test_command import COPY, CommandTest

SHAPE = ["--size", "16", "--blocks", "1", "--threads", "1", "--eval-batches", "1", *COPY]


class KeepTest(CommandTest):
    def train(self, *options):
        return self.run_command("train", *options).stderr.decode()

    def kept(self, kind, run="run"):
        found = [re.fullmatch(kind + r"-(\d+)\.h5", name) for name in os.listdir(self.path(run))]
        return sorted(int(name[1]) for name in found if name)

    def step(self, *names):
        with h5py.File(self.path(*names)) as file:
            return file["train"].attrs["step"]

    def losses(self, run="run"):
        with open(self.path(run, "metrics.csv")) as file:
            return {int(row["step"]): float(row["val_loss"]) for row in csv.DictReader(file)
                    if row["val_loss"]}

    def best(self, count, run="run"):
        losses = self.losses(run)
        return sorted(sorted(losses, key=losses.get)[:count])


class CheckpointsTest(KeepTest):
    def test_the_last_are_kept(self):
        self.train("copy", *SHAPE, "--steps", "11", "--save-every", "2", "--keep", "3", "--out",
                   "run")
        self.assertEqual(self.kept("checkpoint"), [8, 10, 11])
        for step in 8, 10, 11:
            self.assertEqual(self.step("run", f"checkpoint-{step}.h5"), step)
        self.train("--resume", "run", "--steps", "16")
        self.assertEqual(self.kept("checkpoint"), [12, 14, 16])
        self.assertEqual(self.step("run", "checkpoint.h5"), 16)

    def test_a_run_goes_on_from_one_that_was_kept(self):
        options = ["copy", *SHAPE, "--steps", "8", "--save-every", "2", "--keep", "4"]
        self.train(*options, "--out", "run")
        shutil.copy(self.path("run", "checkpoint-4.h5"), self.path("run", "checkpoint.h5"))
        self.train("--resume", "run")
        self.assertEqual(self.kept("checkpoint"), [2, 4, 6, 8])
        self.train(*options, "--out", "whole")
        self.run_command("diff", "--last", "run", "whole")

    def test_without_there_is_none(self):
        self.train("copy", *SHAPE, "--steps", "6", "--save-every", "2", "--out", "run")
        self.assertEqual(self.kept("checkpoint") + self.kept("best"), [])


class BestTest(KeepTest):
    RUN = ["copy", *SHAPE, "--eval-every", "1", "--lr", "0.1", "--schedule", "constant", "--warmup",
           "0"]

    def test_the_best_are_kept(self):
        self.train(*self.RUN, "--steps", "20", "--keep-best", "3", "--out", "run")
        self.assertEqual(self.kept("best"), self.best(3))
        losses = self.losses()
        first = min(losses, key=losses.get)
        self.run_command("diff", "run/best.h5", f"run/best-{first}.h5")
        self.train("--resume", "run", "--steps", "40")
        self.assertEqual(self.kept("best"), self.best(3))

    def claim_mean(self, mean, kind, count):
        files = [h5py.File(self.path("run", f"{kind}-{step}.h5")) for step in self.kept(kind)]
        self.assertEqual(len(files), count)
        with h5py.File(self.path(mean)) as of:
            for name, values in of["model"].items():
                total = sum(file["model"][name][()].astype("f8") for file in files)
                numpy.testing.assert_array_equal(values[()], (total / count).astype("f4"))
        for file in files:
            file.close()

    def test_a_mean_is_of_all_that_were_kept(self):
        self.train(*self.RUN, "--steps", "9", "--keep-best", "4", "--keep", "3", "--save-every",
                   "2", "--out", "run")
        self.run_command("average", "run", "-o", "mean.h5")
        self.claim_mean("mean.h5", "best", 4)
        self.run_command("average", "--last", "run", "-o", "mean.h5")
        self.claim_mean("mean.h5", "checkpoint", 3)
        self.train(*self.RUN, "--steps", "9", "--out", "other")
        self.run_command("average", "--last", "other", "other", "-o", "last.h5")
        self.run_command("diff", "--last", "other", "last.h5")

    def test_what_cannot_be_kept_is_told(self):
        os.makedirs(self.path("run", "checkpoint-2.h5", "mine"))
        said = self.train("copy", *SHAPE, "--steps", "4", "--save-every", "2", "--keep", "2",
                          "--out", "run")
        self.assertEqual(said.count("not kept: "), 1, said)
        self.assertIn("checkpoint-2.h5", said)
        self.assertTrue(os.path.exists(self.path("run", "checkpoint-2.h5", "mine")))
        self.assertIn(4, self.kept("checkpoint"))

    def test_options_out_of_range(self):
        for option in "--keep", "--keep-best":
            for value in "-1", "101":
                self.refuse("train", "copy", option, value, status=2, says=[option, value])


if __name__ == "__main__":
    unittest.main()
