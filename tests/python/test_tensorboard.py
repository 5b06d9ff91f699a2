"""Event files of a run, as the real TensorBoard reads them."""

import csv
import os
import shutil
import unittest

import h5py
import numpy
import support

SHAPE = ["--size", "16", "--blocks", "1", "--threads", "1", "--eval-batches", "2", "--log-every",
         "5", "--eval-every", "10", "--schedule", "constant"]


def setUpModule():
    support.need("h5py", "tensorboard", "google.protobuf")
    global event_multiplexer, tensor_util
    from tensorboard.backend.event_processing import plugin_event_multiplexer as event_multiplexer
    from tensorboard.util import tensor_util


class TensorboardTest(support.CommandTest):
    def train(self, *options):
        return self.run_command("train", *options)

    def read(self, run):
        """{(part, tag): (plugin, {step: value})}"""
        events = event_multiplexer.EventMultiplexer()
        events.AddRunsFromDirectory(self.path(run, "tensorboard"))
        events.Reload()
        found = {}
        for part, kinds in events.Runs().items():
            for tag in kinds["tensors"]:
                values = [(event.step, tensor_util.make_ndarray(event.tensor_proto))
                          for event in events.Tensors(part, tag)]
                self.assertEqual(len(values), len(dict(values)), "a step is there twice")
                plugin = events.SummaryMetadata(part, tag).plugin_data.plugin_name
                found[part, tag] = plugin, dict(values)
        return found

    def assert_curves(self, run):
        """They are those of metrics.csv, in float32."""
        found = self.read(run)
        with open(self.path(run, "metrics.csv")) as file:
            rows = list(csv.DictReader(file))
        for part, tag, column in (("train", "loss", "loss"), ("train", "acc", "accuracy"),
                                  ("train", "grad_norm", "grad_norm"),
                                  ("train", "optim0_lr0", "lr"), ("valid", "loss", "val_loss"),
                                  ("valid", "acc", "val_accuracy")):
            expected = {int(row["step"]): numpy.float32(row[column]) for row in rows if row[column]}
            plugin, values = found[part, tag]
            self.assertEqual(plugin, "scalars")
            self.assertEqual(values.keys(), expected.keys())
            for step, value in expected.items():
                numpy.testing.assert_allclose(values[step], value, rtol=1e-6)

    def test_curves_are_those_of_metrics(self):
        self.train("copy", *SHAPE, "--steps", "25", "--out", "run")
        self.assert_curves("run")
        plugin, texts = self.read("run")["train", "configuration"]
        self.assertEqual(plugin, "text")
        with open(self.path("run", "config.yaml")) as file:
            self.assertEqual(texts[1].item().decode(),
                             "".join("    " + line for line in file))

    def test_a_run_that_goes_on_replaces_what_it_had_told(self):
        self.train("copy", *SHAPE, "--steps", "20", "--out", "run")
        shutil.copy(self.path("run", "checkpoint.h5"), self.path("kept.h5"))
        self.train("--resume", "run", "--steps", "35")
        shutil.copy(self.path("kept.h5"), self.path("run", "checkpoint.h5"))
        self.train("--resume", "run", "--steps", "30", "--lr", "0.01")
        self.assert_curves("run")

    def test_a_run_that_begins_anew_replaces_what_it_had_told(self):
        """The first was ended before it had a checkpoint."""
        for steps in "20", "10":
            self.train("copy", *SHAPE, "--steps", steps, "--out", "run")
            for name in "checkpoint.h5", "best.h5":
                os.remove(self.path("run", name))
        self.assert_curves("run")

    def test_histograms_are_of_all_values(self):
        self.train("copy", *SHAPE, "--steps", "20", "--histograms", "--out", "run")
        found = self.read("run")
        with h5py.File(self.path("run", "checkpoint.h5")) as file:
            for name, values in file["model"].items():
                plugin, steps = found["train", "weights/" + name]
                self.assertEqual(plugin, "histograms")
                self.assertEqual(list(steps), [10, 20])
                values = values[()].astype("f8").ravel()
                counts, edges = numpy.histogram(values, 64)
                numpy.testing.assert_allclose(steps[20][:, 2].sum(), values.size)
                if edges[-1] > edges[0]:
                    numpy.testing.assert_allclose(steps[20][:, 1], edges[1:], rtol=1e-5, atol=1e-9)
                    self.assertLessEqual(abs(steps[20][:, 2] - counts).max(), 2)
                self.assertIn(("train", "gradients/" + name), found)

    def test_without(self):
        self.train("copy", *SHAPE, "--steps", "5", "--tensorboard=false", "--out", "run")
        self.assertFalse(os.path.exists(self.path("run", "tensorboard")))

    def test_what_cannot_be_written_ends_no_run(self):
        os.mkdir(self.path("run"))
        with open(self.path("run", "tensorboard"), "w") as file:
            file.write("mine")
        self.train("copy", *SHAPE, "--steps", "5", "--out", "run")
        with open(self.path("run", "train.log")) as file:
            said = file.read()
        self.assertEqual(said.count("no more for TensorBoard: "), 1, said)
        self.assertIn("done after step 5", said)


if __name__ == "__main__":
    unittest.main()
