"""Runs that carry a state from window to window: resumed, validated, refused."""

import unittest

import h5py
import numpy

import test_command
from test_command import read

SHAPE = ["--vocab-size", "10", "--size", "16", "--blocks", "2", "--length", "8", "--batch", "8",
         "--eval-every", "8", "--log-every", "1", "--threads", "1"]


class CarryTest(test_command.CommandTest):
    def setUp(self):
        super().setUp()
        # The key that a document begins with is asked for behind every second window.
        random = numpy.random.default_rng(1)
        documents = numpy.full((100, 65), 8)
        documents[:, 15::16] = 9
        documents[:, ::16] = random.integers(0, 8, (100, 1))
        numpy.save(self.path("keys.npy"), documents.astype("uint16"))

    def train(self, *arguments, out="run", **options):
        return self.run_command("train", "ids", "--data", "keys.npy", *SHAPE, *arguments, "--out",
                                out, **options).stderr.decode()

    def weights(self, run):
        """All that a checkpoint has, but for times."""
        found = {}
        with h5py.File(self.path(run, "checkpoint.h5")) as file:
            file.visititems(lambda name, object: found.update(
                {name: object[()].tobytes()} if isinstance(object, h5py.Dataset) else {}))
        return found


class RunTest(CarryTest):
    def test_a_run_that_goes_on_is_the_run_that_was_not_interrupted(self):
        for extra in (["--carry"], ["--carry-gradient", "2", "--accumulate", "2", "--dropout",
                                    "0.1"]):
            with self.subTest(extra=extra):
                out = "-".join(extra).replace("-", "")
                self.train(*extra, "--steps", "16", "--schedule", "constant", out=out + "whole")
                self.train(*extra, "--steps", "9", "--schedule", "constant", out=out)
                self.run_command("train", "--resume", out, "--steps", "16")
                weights = self.weights(out)
                self.assertTrue(weights == self.weights(out + "whole"))
                self.assertIn("carried/rows", weights)
                info = self.run_command("info", out + "/checkpoint.h5").stdout
                self.assertIn(b"carries 8 rows of 160 values from batch to batch\n", info)

    def test_a_validation_carries_from_nothing_and_leaves_the_training_alone(self):
        self.train("--carry", "--steps", "16")
        self.train("--carry", "--steps", "16", "--eval-every", "0", out="seldom")
        self.assertTrue(self.weights("run") == self.weights("seldom"))
        told = self.run_command("eval", "run").stdout.decode()
        row = read(self.path("run", "metrics.csv")).splitlines()[-1].split(",")
        self.assertIn(f"loss {float(row[3]):.6f}\n", told)
        self.assertIn("counted 640\n", told) # each id of 10 documents but the first
        shorter = self.run_command("eval", "run", "--data", "keys.npy").stdout.decode()
        self.assertIn("counted 6400\n", shorter)

    def test_windows_through_which_gradients_flow_learn_what_windows_alone_do_not(self):
        short = ["--steps", "300", "--lr", "3e-3", "--eval-every", "0"]
        self.train(*short, out="apart")
        self.train(*short, "--carry-gradient", "2", out="carried")
        losses = [float(read(self.path(run, "metrics.csv")).splitlines()[-1].split(",")[3])
                  for run in ("apart", "carried")]
        self.assertLess(losses[1], 0.7 * losses[0])

    def test_memory_is_told_before(self):
        told = self.run_command("train", "ids", "--data", "keys.npy", *SHAPE, "--carry-gradient",
                                "4", "--dry-run").stdout.decode()
        self.assertIn(" what 8 rows carry\n", told)
        self.assertIn(" a step of 8 by 4 times 8, recomputed\n", told)


class RefusedTest(CarryTest):
    def refuses(self, message, *arguments, status=2):
        result = self.run_command(*arguments, status=status)
        self.assertEqual(result.stderr.decode().strip().splitlines()[-1], "mixtape: " + message)

    def test_what_cannot_be_carried_is_refused_in_one_line(self):
        of_ids = ["train", "ids", "--data", "keys.npy", *SHAPE]
        self.refuses("--carry true: copy does not read it (text|ids does)", "train", "copy",
                     "--carry")
        self.refuses("--carry-gradient 4: it is of --carry", *of_ids, "--carry=false",
                     "--carry-gradient", "4")
        self.train("--steps", "2", out="plain")
        self.refuses("--carry-gradient 1: it is of --carry", "train", "--resume", "plain",
                     "--carry-gradient", "1")
        self.refuses("--carry-gradient 0: not a whole number in 1 .. 1024", *of_ids,
                     "--carry-gradient", "0")
        self.refuses("--batch 721: there are 720 windows of --length 8 to train on, and with "
                     "--carry each row goes on in windows of its own", *of_ids, "--carry",
                     "--batch", "721")

    def test_a_run_goes_on_in_its_windows(self):
        self.train("--carry", "--steps", "2")
        resume = ["train", "--resume", "run", "--steps", "4"]
        for option, now, before in (("--batch", "4", "8"), ("--length", "16", "8"),
                                    ("--accumulate", "2", "1")):
            self.refuses(f"{option} {now}: a run with --carry goes on with the {before} that it "
                         "began with", *resume, option, now)
        self.refuses("--carry-gradient 2: the run began with 1, and keeps it", *resume,
                     "--carry-gradient", "2")
        numpy.save(self.path("others.npy"), numpy.arange(6000).astype("uint16").reshape(60, -1) % 9)
        self.refuses("other data to train on: a run with --carry is in the midst of its own "
                     "(begin another, with --init)", *resume, "--data", "others.npy")
        with h5py.File(self.path("run", "checkpoint.h5"), "a") as file:
            del file["carried"]
        self.refuses(self.path("run", "checkpoint.h5").replace(self.folder.name + "/", "") +
                     ": it has no state that is carried to go on from", *resume)


if __name__ == "__main__":
    unittest.main()
